//! Opens a file only when it is what its digest says. One look at the file's stamp tells whether the last answer still holds.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::model::{Artifact, Digest};

/// Why a file is not served.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what was planned.
    #[error("{path} has SHA-256 {found}, not {want}: it was changed or is incomplete")]
    Digest {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// What it must be.
        want: Digest,
    },
    /// A folder, pipe or device.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
}

/// Changes whenever anybody writes to the file: device, inode, length, and times of content and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, u64, (i64, i64), (i64, i64));

impl Stamp {
    pub(super) fn of(about: &Metadata) -> Self {
        Self(about.dev(), about.ino(), about.len(), (about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()))
    }
}

/// A file that was what it should be when it was opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) length: u64,
    /// To be compared again when it has been sent.
    pub(super) stamp: Stamp,
}

type Answered = Arc<Mutex<Option<(Stamp, Digest)>>>;

/// Remembers digests by path. Two askers of one file wait for one reading.
#[derive(Default)]
pub(super) struct Artifacts {
    known: Mutex<BTreeMap<PathBuf, Answered>>,
}

impl Artifacts {
    /// Opens a file after checking it; blocks, the first time as long as it takes to read it all.
    pub(super) fn open(&self, artifact: &Artifact) -> Result<Opened, ArtifactError> {
        let path = &artifact.path;
        let read = |source| ArtifactError::Read { path: path.clone(), source };
        let mut file = File::open(path).map_err(read)?;
        let about = file.metadata().map_err(read)?;
        if !about.is_file() {
            return Err(ArtifactError::NotAFile(path.clone()));
        }
        let stamp = Stamp::of(&about);
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(path.clone()).or_default())
        };
        let mut answered = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match &*answered {
            Some((then, found)) if *then == stamp => found.clone(),
            _ => {
                let found = hash(&mut file).map_err(read)?;
                *answered = Some((stamp, found.clone()));
                found
            }
        };
        if found != artifact.sha256 {
            return Err(ArtifactError::Digest { path: path.clone(), found, want: artifact.sha256.clone() });
        }
        Ok(Opened { file, length: about.len(), stamp })
    }
}

/// SHA-256 of a file from where it stands; leaves it at its beginning.
pub(super) fn hash(file: &mut File) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(Digest::from_bytes(&hasher.finalize().into()))
}
