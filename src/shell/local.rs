//! Is the local file what its digest says? Remembers the answer while the file is untouched, since one file goes to thousands of nodes.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::model::{Artifact, Digest};

/// Files remembered at once; a run pushes a handful.
const REMEMBERED: usize = 64;

/// Device, inode, length, and times of content and of inode in nanoseconds: what changes when anybody writes the file.
type Stamp = (u64, u64, u64, i64, i64);

static KNOWN: LazyLock<Mutex<BTreeMap<Stamp, Digest>>> = LazyLock::new(Mutex::default);

/// Why a local file cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error("the file cannot be read")]
    Read(#[source] std::io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("its SHA-256 is {found}, not {want}")]
    Digest { found: Digest, want: Digest },
}

/// Checks a file against its digest and opens it; blocks.
pub(super) fn open(artifact: &Artifact) -> Result<(std::fs::File, u64), LocalError> {
    let file = std::fs::File::open(&artifact.path).map_err(LocalError::Read)?;
    let about = file.metadata().map_err(LocalError::Read)?;
    if !about.is_file() {
        return Err(LocalError::NotAFile);
    }
    let stamp = (
        about.dev(),
        about.ino(),
        about.len(),
        nanos(about.mtime(), about.mtime_nsec()),
        nanos(about.ctime(), about.ctime_nsec()),
    );
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&stamp).cloned();
    let found = match known {
        Some(found) => found,
        None => {
            let found = hash(&artifact.path).map_err(LocalError::Read)?;
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(stamp, found.clone());
            found
        }
    };
    if found == artifact.sha256 {
        Ok((file, about.len()))
    } else {
        Err(LocalError::Digest { found, want: artifact.sha256.clone() })
    }
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(&hasher.finalize().into())),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}
