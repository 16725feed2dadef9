//! Boot media: an ISO image with GRUB, kernel, initial RAM disks and the command line of one grant, for BMCs that put it into a virtual drive. It is
//! never written anywhere: what holds it together is made in memory (some 70 KB), the rest is read from the image's own files while it is sent.
//!
//! Media of one image differ in the last 4 KiB alone, so the digest of the rest is worked out once. What a node alone may have (an identity, once
//! media travel over HTTPS) belongs there too: at the end, at a length that is the same for all.

mod fat;
mod grub;
mod iso;
mod shared;

use sha2::{Digest as _, Sha256};

use self::iso::{BLOCK, Entry, Folder};
use super::artifact::{ArtifactError, Artifacts, Opened};
use super::grant::GrantSpec;
use super::loaders::{GRUB, Loaders};
use crate::model::{Artifact, Digest};

pub(super) use self::grub::argument_fault;
pub(super) use self::shared::Remembered;

/// What UEFI firmware looks for on x86-64.
const PROGRAM: &[u8; 11] = b"BOOTX64 EFI";

/// Why a medium cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MediumError {
    #[error(
        "there is no pinned {GRUB}; Debian's package grub-efi-amd64-bin holds it, `bringup image loaders` tells what is pinned"
    )]
    NoLoader,
    #[error("a file of the medium")]
    Artifact(#[from] ArtifactError),
    #[error("the files of the medium have not been read yet")]
    Unread,
    #[error("the command line cannot pass through GRUB, or is too long")]
    Arguments,
    #[error("the image does not fit a medium: GRUB may have 31 MiB, each file 4 GiB")]
    Size,
}

/// A part of a medium.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    File(Opened),
    Zeros(u64),
}

impl Piece {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(opened) => opened.length,
            Self::Zeros(count) => *count,
        }
    }
}

/// A medium, ready to be sent.
pub(super) struct Medium {
    pub(super) pieces: Vec<Piece>,
    pub(super) length: u64,
    pub(super) sha256: Digest,
}

/// A medium without the bytes that are a node's own.
struct Shared {
    recipe: Digest,
    pieces: Vec<Piece>,
}

/// Makes the medium of a grant; `arguments` is the whole command line. It reads no file: [`MediumError::Unread`] asks for [`learn`] first.
pub(super) fn make(
    spec: &GrantSpec,
    arguments: &[String],
    loaders: &Loaders,
    artifacts: &Artifacts,
    remembered: &Remembered,
) -> Result<Medium, MediumError> {
    let own = grub::config(spec, arguments).ok_or(MediumError::Arguments)?;
    let Shared { recipe, mut pieces } = shared(spec, loaders, artifacts)?;
    let mut hasher = remembered.of(&recipe).ok_or(MediumError::Unread)?;
    hasher.update(&own);
    pieces.push(Piece::Bytes(own));
    let length = pieces.iter().map(Piece::length).sum();
    Ok(Medium { pieces, length, sha256: Digest::from_bytes(&hasher.finalize().into()) })
}

/// Reads what a grant's medium is made of, once for all who wait for the same image; how that went is what [`make`] says then.
pub(super) async fn learn(spec: &GrantSpec, loaders: &Loaders, artifacts: &Artifacts, remembered: &Remembered) {
    let Ok(parts) = parts(spec, loaders) else { return };
    for part in parts {
        if artifacts.open_known(part).is_none() {
            artifacts.learn(part).await;
        }
    }
    if let Ok(Shared { recipe, pieces }) = shared(spec, loaders, artifacts) {
        remembered.learn(recipe, pieces).await;
    }
}

/// GRUB, kernel and initial RAM disks, in their order on the medium.
fn parts<'a>(spec: &'a GrantSpec, loaders: &'a Loaders) -> Result<Vec<&'a Artifact>, MediumError> {
    let program = loaders.get(GRUB).ok_or(MediumError::NoLoader)?;
    Ok([&program.artifact, &spec.kernel].into_iter().chain(&spec.initrd).collect())
}

fn shared(spec: &GrantSpec, loaders: &Loaders, artifacts: &Artifacts) -> Result<Shared, MediumError> {
    let parts = parts(spec, loaders)?;
    let mut opened = Vec::with_capacity(parts.len());
    for part in &parts {
        opened.push(artifacts.open_known(part).ok_or(MediumError::Unread)??);
    }
    let lengths: Vec<u64> = opened.iter().map(|file| file.length).collect();
    let mut opened = opened.into_iter();
    let program = opened.next().ok_or(MediumError::NoLoader)?;
    let fat = fat::around(PROGRAM, program.length).ok_or(MediumError::Size)?;
    let names = std::iter::once("KERNEL".to_owned()).chain((0..spec.initrd.len()).map(grub::initrd));
    let mut files: Vec<Entry> =
        names.zip(lengths.iter().skip(1)).map(|(name, bytes)| Entry { folder: Folder::Boot, name, bytes: *bytes }).collect();
    files.push(Entry { folder: Folder::Grub, name: "GRUB.CFG".to_owned(), bytes: grub::LENGTH as u64 });
    let mut pieces = vec![Piece::Bytes(iso::head(fat.length, &files).ok_or(MediumError::Size)?)];
    let rest = fat.length - fat.head.len() as u64 - program.length;
    pieces.extend([Piece::Bytes(fat.head), Piece::File(program), Piece::Zeros(rest)]);
    for file in opened {
        let rest = file.length.next_multiple_of(BLOCK) - file.length;
        pieces.extend([Piece::File(file), Piece::Zeros(rest)]);
    }
    Ok(Shared { recipe: recipe(&parts), pieces })
}

/// What the bytes that all media of an image share depend on. The form of the medium is this build's own, and so is what is remembered.
fn recipe(parts: &[&Artifact]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.sha256.as_str().as_bytes());
    }
    Digest::from_bytes(&hasher.finalize().into())
}
