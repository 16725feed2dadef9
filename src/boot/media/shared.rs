//! What all media of an image have in common, and how far its digest goes: worked out once, by one reader, while everybody else who asks waits
//! without a thread and without a place at the server's desk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::Piece;
use crate::boot::artifact::{Opened, Stamp};
use crate::model::Digest;

/// Images whose digest is remembered.
const REMEMBERED: usize = 16;

/// What is remembered of the media that were made: how far the digest had come before the bytes that are a node's own.
#[derive(Default)]
pub(in crate::boot) struct Remembered {
    known: Arc<Mutex<BTreeMap<Digest, Sha256>>>,
    /// Who may read an image now.
    turns: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    #[cfg(test)]
    readings: std::sync::atomic::AtomicUsize,
}

impl Remembered {
    /// The digest as far as the shared pieces go, if it is known; never reads.
    pub(super) fn of(&self, recipe: &Digest) -> Option<Sha256> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(recipe).cloned()
    }

    /// Reads the pieces of a recipe, once for all who wait for it; how that went is what [`Self::of`] says then.
    pub(super) async fn learn(&self, recipe: Digest, mut pieces: Vec<Piece>) {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= REMEMBERED {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(recipe.clone()).or_default())
        };
        let held = turn.lock().await;
        if self.of(&recipe).is_some() {
            return;
        }
        #[cfg(test)]
        self.readings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let known = Arc::clone(&self.known);
        let work = move || {
            let Ok(hasher) = whole(&mut pieces) else { return };
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.pop_first();
            }
            known.insert(recipe, hasher);
        };
        drop(tokio::task::spawn_blocking(work).await);
        drop(held);
    }
}

fn whole(pieces: &mut [Piece]) -> io::Result<Sha256> {
    let mut hasher = Sha256::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => hasher.update(bytes),
            Piece::File(Opened { file, length, stamp }) => {
                read(file, *length, &mut hasher)?;
                // What was read is the file that was looked at, or nothing is remembered.
                if Stamp::of(&file.metadata()?) != *stamp {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            Piece::Zeros(count) => hasher.update(vec![0; usize::try_from(*count).unwrap_or_default()]),
        }
    }
    Ok(hasher)
}

fn read(file: &mut File, length: u64, hasher: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let got = file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(buffer.get(..got).unwrap_or_default());
        left -= got as u64;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(n: u8) -> Digest {
        Digest::from_bytes(&[n; 32])
    }

    fn pieces(path: &std::path::Path) -> Vec<Piece> {
        let file = File::open(path).unwrap();
        let about = file.metadata().unwrap();
        let opened = Opened { file, length: about.len(), stamp: Stamp::of(&about) };
        vec![Piece::Bytes(b"head".to_vec()), Piece::File(opened), Piece::Zeros(5)]
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_asks_at_once_waits_for_one_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        std::fs::write(&path, vec![7; 3_000_000]).unwrap();
        let remembered = Arc::new(Remembered::default());
        assert!(remembered.of(&recipe(1)).is_none(), "nothing is read by asking");
        let asked: Vec<_> = (0..32)
            .map(|_| {
                let (remembered, pieces) = (Arc::clone(&remembered), pieces(&path));
                tokio::spawn(async move { remembered.learn(recipe(1), pieces).await })
            })
            .collect();
        for one in asked {
            one.await.unwrap();
        }
        assert_eq!(remembered.readings.load(std::sync::atomic::Ordering::Relaxed), 1);
        let want = Sha256::digest([&b"head"[..], &[7; 3_000_000], &[0; 5]].concat());
        assert_eq!(remembered.of(&recipe(1)).unwrap().finalize(), want);
        // Of many images, some are read again; the turns do not grow either.
        for n in 2..60 {
            remembered.learn(recipe(n), pieces(&path)).await;
        }
        assert!(remembered.known.lock().unwrap().len() <= REMEMBERED && remembered.turns.lock().unwrap().len() <= REMEMBERED);
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        std::fs::write(&path, b"one").unwrap();
        let opened = pieces(&path);
        std::fs::write(&path, b"two").unwrap();
        let remembered = Remembered::default();
        remembered.learn(recipe(1), opened).await;
        assert!(remembered.of(&recipe(1)).is_none());
        remembered.learn(recipe(1), pieces(&path)).await;
        assert!(remembered.of(&recipe(1)).is_some());
    }
}
