//! Files by digest in one folder, bounded; the one that was longest unused makes room. A file is in the folder under its digest only when it has it.
//! What was left there by an earlier life is hashed before it is served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::CacheError;
use super::incoming::{PART, fetch};
use super::shelf::Shelf;
use super::upstream::Upstream;
use crate::boot::artifact::{Artifacts, Opened};
use crate::model::{Artifact, Digest};

/// How much a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes that it may hold, those on their way in included.
    pub limit: u64,
    /// Bytes of files that came from upstream since the start.
    pub fetched: u64,
}

/// The files of a cache.
pub struct Blobs {
    folder: PathBuf,
    limit: u64,
    shelf: Arc<Mutex<Shelf>>,
    /// Who fetches a file holds its lock; the others wait for it.
    turns: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    artifacts: Arc<Artifacts>,
}

impl Blobs {
    /// Opens a folder, which is the cache's alone, and makes it when it is not there. What is half there is removed.
    ///
    /// # Errors
    /// [`CacheError::Folder`].
    pub fn open(folder: &Path, limit: u64) -> Result<Self, CacheError> {
        let fail = |error| CacheError::folder(folder, error);
        std::fs::create_dir_all(folder).map_err(fail)?;
        let mut found = Vec::new();
        for item in std::fs::read_dir(folder).map_err(fail)? {
            let item = item.map_err(fail)?;
            let about = item.metadata().map_err(fail)?;
            let name = item.file_name();
            let Some(name) = name.to_str().filter(|_| about.is_file()) else { continue };
            if let Ok(digest) = Digest::new(name) {
                found.push((about.modified().map_err(fail)?, digest, about.len()));
            } else if name.strip_suffix(PART).is_some_and(|digest| Digest::new(digest).is_ok()) {
                std::fs::remove_file(item.path()).map_err(fail)?;
            }
            // The rest is somebody else's: left alone.
        }
        found.sort();
        let mut shelf = Shelf::default();
        for (_, digest, bytes) in found {
            shelf.put(digest, bytes);
        }
        // The limit may be another one than that of the earlier life.
        shelf.make_room(0, limit, folder)?;
        let (shelf, artifacts) = (Arc::new(Mutex::new(shelf)), Arc::default());
        Ok(Self { folder: folder.to_path_buf(), limit, shelf, turns: Mutex::default(), artifacts })
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> Held {
        let shelf = self.shelf();
        Held { files: shelf.files(), bytes: shelf.bytes(), limit: self.limit, fetched: shelf.fetched }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    /// The file with this digest: from the folder, or from upstream, once for all who ask meanwhile.
    pub(super) async fn get(
        &self,
        want: &Digest,
        length: u64,
        upstream: &Arc<Upstream>,
        target: &str,
    ) -> Result<Opened, CacheError> {
        let turn = {
            let mut turns = locked(&self.turns);
            // Only digests that upstream has named get here; those that nobody waits for make room.
            turns.retain(|digest, turn| digest == want || Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(want.clone()).or_default())
        };
        let turn = turn.lock_owned().await;
        if self.shelf().touch(want) {
            match self.read(want).await {
                Ok(opened) => return Ok(opened),
                // Changed, or gone, behind our back: it is fetched anew.
                Err(_) => self.shelf().remove(want, &self.folder),
            }
        }
        self.shelf().make_room(length, self.limit, &self.folder)?;
        let coming = Coming { shelf: Arc::clone(&self.shelf), bytes: length };
        let (folder, upstream, target, digest) = (self.folder.clone(), Arc::clone(upstream), target.to_owned(), want.clone());
        // A task of its own: whoever asked first may hang up, and the others still wait for this.
        let fetched = tokio::spawn(async move {
            let fetched = with_room(&coming, &folder, &digest, &upstream, &target).await;
            if fetched.is_ok() {
                let mut shelf = locked(&coming.shelf);
                shelf.put(digest, length);
                shelf.fetched = shelf.fetched.saturating_add(length);
            }
            drop((coming, turn));
            fetched
        });
        fetched.await.map_err(|e| CacheError::Fetch { status: 500, why: e.to_string() })??;
        self.read(want).await
    }

    /// Opens a file after its digest was proven, in this life at least once.
    async fn read(&self, want: &Digest) -> Result<Opened, CacheError> {
        let artifact = Artifact { path: self.folder.join(want.as_str()), sha256: want.clone() };
        let artifacts = Arc::clone(&self.artifacts);
        let opened = tokio::task::spawn_blocking(move || artifacts.open(&artifact)).await;
        let opened = opened.map_err(|e| CacheError::Fetch { status: 500, why: e.to_string() })?;
        opened.map_err(|error| CacheError::Read(Arc::new(error)))
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches. When the disk is full before the limit is reached (others write there too), what was longest unused makes room, one by one.
async fn with_room(coming: &Coming, folder: &Path, want: &Digest, upstream: &Upstream, target: &str) -> Result<(), CacheError> {
    let bytes = coming.bytes;
    loop {
        match fetch(folder, want, bytes, upstream, target).await {
            Err(error) if error.is_full() => {
                let mut shelf = locked(&coming.shelf);
                let before = shelf.bytes();
                while before - shelf.bytes() < bytes && shelf.remove_oldest(folder) {}
                if shelf.bytes() == before {
                    return Err(CacheError::Full { bytes });
                }
            }
            other => return other,
        }
    }
}

/// Bytes that are on their way; they are not any more when this is dropped.
struct Coming {
    shelf: Arc<Mutex<Shelf>>,
    bytes: u64,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut shelf = locked(&self.shelf);
        shelf.coming = shelf.coming.saturating_sub(self.bytes);
    }
}
