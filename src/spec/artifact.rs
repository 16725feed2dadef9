//! Files named by path and SHA-256: reading the two words, and, when asked, hashing the file. Never opens a file while reading words.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::decode::Fields;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::{code, yaml::Tree};
use crate::model::{Artifact, Digest, DiskContent, Packed};

/// Where artifacts of one file may lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Folder of the file that names them.
    pub folder: &'a Path,
    /// How many folders up the project begins; `None` lets them lie anywhere. Images of a site are often shared by projects and mounted
    /// elsewhere; a stack belongs to its project, and its review must show all of it.
    pub levels: Option<usize>,
}

/// An artifact and where it was named.
#[derive(Debug, Clone)]
pub struct Named {
    /// The file.
    pub artifact: Artifact,
    /// Where its path was written.
    pub span: Span,
    /// What it holds, when it is an image of a whole disk.
    pub disk: Option<DiskContent>,
}

/// Reads `{file, sha256}`.
pub(super) fn read(tree: &Tree, what: String, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Artifact> {
    let mut own = Fields::of(tree, what, out)?;
    let read = fields(&mut own, at, out);
    own.finish(out);
    let (artifact, span) = read?;
    named.push(Named { artifact: artifact.clone(), span, disk: None });
    Some(artifact)
}

/// The two words among others, and where the path was written.
pub(super) fn fields(fields: &mut Fields<'_>, at: Place<'_>, out: &mut Diagnostics) -> Option<(Artifact, Span)> {
    let file = fields.need_text("file", out);
    let sha256 = fields.need_parsed::<Digest>("sha256", out);
    let file = file?;
    match resolve(&file.value, at) {
        Ok(path) => Some((Artifact { path, sha256: sha256?.value }, file.span)),
        Err((why, hint)) => {
            let message = format!("the path `{}` {why}", quote(&file.value));
            out.push(Diagnostic::error(code::BAD_PATH, message).at(file.span).hint(hint));
            None
        }
    }
}

/// The path seen from where `bringup` runs, without `.` and `..` where they can be resolved by their text alone.
fn resolve(text: &str, at: Place<'_>) -> Result<PathBuf, (&'static str, &'static str)> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(("is empty or holds control characters", "write a path relative to this file"));
    }
    if text.ends_with('/') {
        return Err(("names a folder", "write the path of one file"));
    }
    let path = Path::new(text);
    if let Some(levels) = at.levels {
        if path.is_absolute() {
            return Err(("is absolute", "write it relative to this file; only images may lie anywhere"));
        }
        let mut depth = levels;
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(("leads out of the project", "put the file into the project; only images may lie anywhere"))?;
                }
                Component::Normal(_) => depth += 1,
                _ => {}
            }
        }
    }
    Ok(tidy(&at.folder.join(path)))
}

/// A path without `.` and without `..` behind a named folder. Symbolic links are not followed: the digest is what counts.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidy.components().next_back(), Some(Component::Normal(_))) => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// Why an artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It cannot be read.
    #[error("read the artifact")]
    Io(#[source] std::io::Error),
    /// It is something else than its manifest says.
    #[error("its SHA-256 is {found}")]
    Differs {
        /// What it is.
        found: Digest,
    },
    /// An image of a whole disk that cannot be unpacked.
    #[error("unpack the disk image")]
    Unpack(#[source] std::io::Error),
    /// An image of a whole disk that is another one unpacked.
    #[error("it has {bytes} bytes unpacked, with SHA-256 {found}")]
    Unpacked {
        /// What it is.
        found: Digest,
        /// Its length.
        bytes: u64,
    },
    /// An image of a whole disk that UEFI does not start.
    #[error("it has no GUID partition table in sectors of 512 bytes")]
    NoTable,
}

/// Hashes an artifact, in pieces: images have gigabytes.
///
/// # Errors
/// [`ArtifactError`] when it is missing, unreadable or another file than its digest says.
pub fn check(artifact: &Artifact) -> Result<(), ArtifactError> {
    let mut file = std::fs::File::open(&artifact.path).map_err(ArtifactError::Io)?;
    let (found, ..) = hash(&mut file).map_err(ArtifactError::Io)?;
    if found == artifact.sha256 { Ok(()) } else { Err(ArtifactError::Differs { found }) }
}

/// Looks into an image of a whole disk, whose file is the right one: a wrong word would be found only when a disk has been written.
///
/// # Errors
/// [`ArtifactError`] when it is not what is written of it, or nothing that UEFI starts.
pub(super) fn check_disk(disk: &DiskContent) -> Result<(), ArtifactError> {
    let file = std::fs::File::open(&disk.file.path).map_err(ArtifactError::Io)?;
    let (found, bytes, head) = match disk.packed {
        Packed::None => hash(file).map_err(ArtifactError::Io)?,
        Packed::Zstd => zstd::stream::read::Decoder::new(file).and_then(hash).map_err(ArtifactError::Unpack)?,
    };
    if found != disk.sha256 || bytes != disk.bytes {
        return Err(ArtifactError::Unpacked { found, bytes });
    }
    // The header's signature, in the second sector (UEFI 2.10, 5.3.2).
    if head.get(512..520) == Some(b"EFI PART") { Ok(()) } else { Err(ArtifactError::NoTable) }
}

/// SHA-256 of what is read, its length, and its first KiB.
fn hash(mut from: impl Read) -> std::io::Result<(Digest, u64, Vec<u8>)> {
    let (mut hash, mut length, mut head) = (Sha256::new(), 0, Vec::new());
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = from.read(&mut piece)?;
        let Some(bytes) = piece.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        length += u64::try_from(n).unwrap_or(u64::MAX);
        let missing = 1024_usize.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..missing.min(n)).unwrap_or_default());
    }
    Ok((Digest::from_bytes(&hash.finalize().into()), length, head))
}

/// The mistake that an unusable artifact is.
pub(super) fn mistake(named: &Named, error: &ArtifactError) -> Diagnostic {
    let path = quote(&named.artifact.path.display().to_string());
    match error {
        ArtifactError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Diagnostic::error(code::ARTIFACT, format!("the artifact `{path}` is missing"))
                .at(named.span)
                .hint(format!("fetch or build it; its SHA-256 must be {}", named.artifact.sha256))
        }
        ArtifactError::Io(e) => {
            Diagnostic::error(code::ARTIFACT, format!("the artifact `{path}` cannot be read: {e}")).at(named.span)
        }
        ArtifactError::Unpack(e) => {
            Diagnostic::error(code::ARTIFACT, format!("the disk image `{path}` cannot be unpacked: {e}")).at(named.span)
        }
        ArtifactError::Unpacked { found, bytes } => {
            Diagnostic::error(code::ARTIFACT, format!("the disk image `{path}` is another disk than is written of it"))
                .at(named.span)
                .label(format!("unpacked it has {bytes} bytes, with SHA-256 {found}"))
        }
        ArtifactError::NoTable => {
            Diagnostic::error(code::ARTIFACT, format!("the disk image `{path}` has no GPT in sectors of 512 bytes"))
                .at(named.span)
                .hint("no UEFI starts a disk without one; only raw images are written, see `qemu-img convert -O raw`")
        }
        ArtifactError::Differs { found } => {
            Diagnostic::error(code::ARTIFACT, format!("the artifact `{path}` is another file than its digest says"))
                .at(named.span)
                .label(format!("the file there has SHA-256 {found}"))
                .hint("do not change the digest before you know where the file comes from")
        }
    }
}
