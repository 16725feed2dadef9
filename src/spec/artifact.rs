//! Files named by path and SHA-256: reading the two words, and, when asked, hashing the file. Never opens a file while reading words.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::decode::Fields;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::{code, yaml::Tree};
use crate::model::{Artifact, Digest};

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
}

/// Reads `{file, sha256}`.
pub(super) fn read(tree: &Tree, what: String, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Artifact> {
    let mut fields = Fields::of(tree, what, out)?;
    let file = fields.need_text("file", out);
    let sha256 = fields.need_parsed::<Digest>("sha256", out);
    fields.finish(out);
    let file = file?;
    match resolve(&file.value, at) {
        Ok(path) => {
            let artifact = Artifact { path, sha256: sha256?.value };
            named.push(Named { artifact: artifact.clone(), span: file.span });
            Some(artifact)
        }
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
}

/// Hashes an artifact, in pieces: images have gigabytes.
///
/// # Errors
/// [`ArtifactError`] when it is missing, unreadable or another file than its digest says.
pub fn check(artifact: &Artifact) -> Result<(), ArtifactError> {
    let mut file = std::fs::File::open(&artifact.path).map_err(ArtifactError::Io)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(ArtifactError::Io)?;
        match piece.get(..n) {
            None | Some([]) => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    let found = Digest::from_bytes(&hash.finalize().into());
    if found == artifact.sha256 { Ok(()) } else { Err(ArtifactError::Differs { found }) }
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
        ArtifactError::Differs { found } => {
            Diagnostic::error(code::ARTIFACT, format!("the artifact `{path}` is another file than its digest says"))
                .at(named.span)
                .label(format!("the file there has SHA-256 {found}"))
                .hint("do not change the digest before you know where the file comes from")
        }
    }
}
