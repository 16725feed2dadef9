//! Files by digest in one folder, bounded; the one that was longest unused makes room. A file is in the folder under its digest only when it has it:
//! it is written beside, hashed while it is written, and renamed. What was left there by an earlier life is hashed before it is served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::upstream::Upstream;
use crate::boot::artifact::{ArtifactError, Artifacts, Opened};
use crate::model::{Artifact, Digest};

/// Why a cache has not a file.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder.
    #[error("use the cache {}", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// Larger than the whole cache, or all that is there is on its way in.
    #[error("the file has {bytes} bytes and the cache has room for {room} beside what is being fetched")]
    NoRoom {
        /// Of the file.
        bytes: u64,
        /// Left.
        room: u64,
    },
    /// What came is not what was said.
    #[error("what the boot server sent has SHA-256 {found}, not {want}; it was thrown away")]
    Digest {
        /// What came.
        found: Digest,
        /// What was to come.
        want: Digest,
    },
    /// It did not come.
    #[error("fetch the file: {0}")]
    Fetch(String, u16),
    /// It is there and cannot be read.
    #[error("read the cache's own file")]
    Read(#[source] ArtifactError),
}

impl CacheError {
    /// The status that a machine is told: 502 when upstream is wrong, 503 when trying again may help.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Folder(..) | Self::Read(_) => 500,
            Self::NoRoom { .. } => 503,
            Self::Digest { .. } => 502,
            Self::Fetch(_, status) => *status,
        }
    }

    /// With its causes.
    pub(super) fn words(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |e| e.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

/// How much a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes that it may hold, those on their way in included.
    pub limit: u64,
}

#[derive(Default)]
struct Shelf {
    kept: BTreeMap<Digest, Kept>,
    /// Counts uses.
    clock: u64,
    /// Bytes that are being fetched.
    coming: u64,
}

struct Kept {
    bytes: u64,
    used: u64,
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
        let fail = |error| CacheError::Folder(folder.to_path_buf(), error);
        std::fs::create_dir_all(folder).map_err(fail)?;
        let mut found = Vec::new();
        for item in std::fs::read_dir(folder).map_err(fail)? {
            let item = item.map_err(fail)?;
            let about = item.metadata().map_err(fail)?;
            let name = item.file_name();
            match name.to_str().map(|n| (Digest::new(n), n.ends_with(PART))) {
                Some((Ok(digest), _)) if about.is_file() => {
                    found.push((about.modified().map_err(fail)?, digest, about.len()));
                }
                Some((_, true)) => std::fs::remove_file(item.path()).map_err(fail)?,
                // Somebody else's: left alone.
                _ => {}
            }
        }
        found.sort();
        let mut shelf = Shelf::default();
        for (_, digest, bytes) in found {
            shelf.clock += 1;
            shelf.kept.insert(digest, Kept { bytes, used: shelf.clock });
        }
        let blobs = Self {
            folder: folder.to_path_buf(),
            limit,
            shelf: Arc::new(Mutex::new(shelf)),
            turns: Mutex::default(),
            artifacts: Arc::default(),
        };
        // The limit may be another one than that of the earlier life.
        drop(make_room(&mut blobs.shelf(), 0, limit, folder));
        Ok(blobs)
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> Held {
        let shelf = self.shelf();
        Held { files: shelf.kept.len(), bytes: shelf.bytes(), limit: self.limit }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
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
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Only digests that upstream has named get here; those that nobody waits for make room.
            turns.retain(|digest, turn| digest == want || Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(want.clone()).or_default())
        };
        let turn = turn.lock_owned().await;
        if self.touch(want) {
            match self.read(want).await {
                Ok(opened) => return Ok(opened),
                // Changed, or gone, behind our back: it is fetched anew.
                Err(_) => self.forget(want),
            }
        }
        make_room(&mut self.shelf(), length, self.limit, &self.folder)?;
        let coming = Coming { shelf: Arc::clone(&self.shelf), bytes: length };
        let (folder, upstream, target, digest) = (self.folder.clone(), Arc::clone(upstream), target.to_owned(), want.clone());
        // A task of its own: whoever asked first may hang up, and the others still wait for this.
        let fetched = tokio::spawn(async move {
            let fetched = fetch(&folder, &digest, length, &upstream, &target).await;
            if fetched.is_ok() {
                let mut shelf = coming.shelf.lock().unwrap_or_else(PoisonError::into_inner);
                shelf.clock += 1;
                let used = shelf.clock;
                shelf.kept.insert(digest, Kept { bytes: length, used });
            }
            drop(coming);
            drop(turn);
            fetched
        });
        fetched.await.map_err(|e| CacheError::Fetch(e.to_string(), 500))??;
        self.read(want).await
    }

    fn touch(&self, want: &Digest) -> bool {
        let mut shelf = self.shelf();
        shelf.clock += 1;
        let clock = shelf.clock;
        shelf.kept.get_mut(want).map(|kept| kept.used = clock).is_some()
    }

    fn forget(&self, digest: &Digest) {
        self.shelf().kept.remove(digest);
        drop(std::fs::remove_file(self.folder.join(digest.as_str())));
    }

    /// Opens a file after its digest was proven, in this life at least once.
    async fn read(&self, want: &Digest) -> Result<Opened, CacheError> {
        let artifact = Artifact { path: self.folder.join(want.as_str()), sha256: want.clone() };
        let artifacts = Arc::clone(&self.artifacts);
        let opened = tokio::task::spawn_blocking(move || artifacts.open(&artifact)).await;
        opened.map_err(|e| CacheError::Fetch(e.to_string(), 500))?.map_err(CacheError::Read)
    }
}

/// End of the name of a file that is on its way in.
const PART: &str = ".part";

/// Bytes that are on their way; they are not any more when this is dropped.
struct Coming {
    shelf: Arc<Mutex<Shelf>>,
    bytes: u64,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.coming = shelf.coming.saturating_sub(self.bytes);
    }
}

impl Shelf {
    fn bytes(&self) -> u64 {
        self.kept.values().map(|kept| kept.bytes).sum()
    }
}

/// Takes out the longest unused until so many bytes fit, and counts them as coming.
fn make_room(shelf: &mut Shelf, bytes: u64, limit: u64, folder: &Path) -> Result<(), CacheError> {
    let room = limit.saturating_sub(shelf.coming);
    if bytes > room {
        return Err(CacheError::NoRoom { bytes, room });
    }
    while shelf.bytes() > room - bytes {
        let Some(oldest) = shelf.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(digest, _)| digest.clone()) else { break };
        shelf.kept.remove(&oldest);
        // Whoever is being sent it holds it open, and gets it whole.
        drop(std::fs::remove_file(folder.join(oldest.as_str())));
    }
    shelf.coming += bytes;
    Ok(())
}

/// Fetches a file, and puts it under its digest if it has it. Nothing stays when it has not.
async fn fetch(folder: &Path, want: &Digest, length: u64, upstream: &Upstream, target: &str) -> Result<(), CacheError> {
    let part = folder.join(format!("{want}{PART}"));
    let done = write(&part, length, upstream, target).await.and_then(|found| match found == *want {
        true => std::fs::rename(&part, folder.join(want.as_str())).map_err(|e| CacheError::Folder(folder.to_path_buf(), e)),
        false => Err(CacheError::Digest { found, want: want.clone() }),
    });
    if done.is_err() {
        drop(std::fs::remove_file(&part));
    }
    done
}

async fn write(part: &Path, length: u64, upstream: &Upstream, target: &str) -> Result<Digest, CacheError> {
    let disk = |error| CacheError::Folder(part.to_path_buf(), error);
    let mut answer = upstream.fetch(target).await.map_err(|trouble| CacheError::Fetch(trouble.why, trouble.status))?;
    let mut file = tokio::fs::File::create(part).await.map_err(disk)?;
    let (mut hasher, mut left) = (Sha256::new(), length);
    while let Some(piece) = answer.next().await.map_err(|why| CacheError::Fetch(format!("{upstream} broke off: {why}"), 502))? {
        // It would fill the disk beyond what was made room for.
        left = left
            .checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX))
            .ok_or_else(|| CacheError::Fetch(format!("{upstream} sends more than the {length} bytes that it named"), 502))?;
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    Ok(Digest::from_bytes(&hasher.finalize().into()))
}
