//! Boot media: an ISO image with GRUB, kernel, initial RAM disks and the command line of one grant, for BMCs that put it into a virtual drive. It is
//! never written anywhere: what holds it together is made in memory (some 70 KB), the rest is read from the image's own files while it is sent.
//!
//! Media of one image differ in the last 4 KiB alone, so the digest of the rest is worked out once. What a node alone may have (an identity, once
//! media travel over HTTPS) belongs there too: at the end, at a length that is the same for all.

mod fat;
mod grub;
mod iso;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use self::iso::{BLOCK, Entry, Folder};
use super::artifact::{ArtifactError, Artifacts, Opened};
use super::grant::GrantSpec;
use super::loaders::{GRUB, Loaders};
use crate::model::{Artifact, Digest};

pub(super) use grub::argument_fault;

/// What UEFI firmware looks for on x86-64.
const PROGRAM: &[u8; 11] = b"BOOTX64 EFI";
/// Images whose digest is remembered.
const REMEMBERED: usize = 16;

/// Why a medium cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MediumError {
    #[error(
        "there is no pinned {GRUB}; Debian's package grub-efi-amd64-bin holds it, `bringup image loaders` tells what is pinned"
    )]
    NoLoader,
    #[error("a file of the medium")]
    Artifact(#[from] ArtifactError),
    #[error("read a file of the medium")]
    Read(#[from] std::io::Error),
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

/// What is remembered of the media that were made: how far the digest had come before the bytes that are a node's own.
#[derive(Default)]
pub(super) struct Remembered(Mutex<BTreeMap<Digest, Sha256>>);

/// Makes the medium of a grant; `arguments` is the whole command line. It reads every file the first time.
pub(super) fn make(
    spec: &GrantSpec,
    arguments: &[String],
    loaders: &Loaders,
    artifacts: &Artifacts,
    remembered: &Remembered,
) -> Result<Medium, MediumError> {
    let own = grub::config(spec, arguments).ok_or(MediumError::Arguments)?;
    let program = loaders.get(GRUB).ok_or(MediumError::NoLoader)?;
    let parts: Vec<&Artifact> = [&program.artifact, &spec.kernel].into_iter().chain(&spec.initrd).collect();
    let mut opened = Vec::with_capacity(parts.len());
    for part in &parts {
        opened.push(artifacts.open(part)?);
    }
    let lengths: Vec<u64> = opened.iter().map(|file| file.length).collect();
    let mut opened = opened.into_iter();
    let program = opened.next().ok_or(MediumError::NoLoader)?;
    let fat = fat::around(PROGRAM, program.length).ok_or(MediumError::Size)?;
    let names = std::iter::once("KERNEL".to_owned()).chain((0..spec.initrd.len()).map(grub::initrd));
    let mut files: Vec<Entry> =
        names.zip(lengths.iter().skip(1)).map(|(name, bytes)| Entry { folder: Folder::Boot, name, bytes: *bytes }).collect();
    files.push(Entry { folder: Folder::Grub, name: "GRUB.CFG".to_owned(), bytes: own.len() as u64 });
    let mut pieces = vec![Piece::Bytes(iso::head(fat.length, &files).ok_or(MediumError::Size)?)];
    let rest = fat.length - fat.head.len() as u64 - program.length;
    pieces.extend([Piece::Bytes(fat.head), Piece::File(program), Piece::Zeros(rest)]);
    for file in opened {
        let rest = file.length.next_multiple_of(BLOCK) - file.length;
        pieces.extend([Piece::File(file), Piece::Zeros(rest)]);
    }
    let recipe = recipe(&parts);
    let mut hasher = remembered.of(recipe, &mut pieces)?;
    hasher.update(&own);
    pieces.push(Piece::Bytes(own));
    let length = pieces.iter().map(Piece::length).sum();
    Ok(Medium { pieces, length, sha256: Digest::from_bytes(&hasher.finalize().into()) })
}

/// What the bytes that all media of an image share depend on. The form of the medium is this build's own, and so is what is remembered.
fn recipe(parts: &[&Artifact]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.sha256.as_str().as_bytes());
    }
    Digest::from_bytes(&hasher.finalize().into())
}

impl Remembered {
    /// The digest as far as these pieces go. Whoever asks at the same time for the same image waits.
    fn of(&self, recipe: Digest, pieces: &mut [Piece]) -> std::io::Result<Sha256> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hasher) = known.get(&recipe) {
            return Ok(hasher.clone());
        }
        let mut hasher = Sha256::new();
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => hasher.update(bytes),
                Piece::File(opened) => whole(&mut opened.file, opened.length, &mut hasher)?,
                Piece::Zeros(count) => hasher.update(vec![0; usize::try_from(*count).unwrap_or_default()]),
            }
        }
        if known.len() >= REMEMBERED {
            known.pop_first();
        }
        known.insert(recipe, hasher.clone());
        Ok(hasher)
    }
}

fn whole(file: &mut File, length: u64, hasher: &mut Sha256) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let got = file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(buffer.get(..got).unwrap_or_default());
        left -= got as u64;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}
