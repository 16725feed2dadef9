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

/// One path.
#[derive(Default)]
struct Slot {
    /// Held for as long as the file is read.
    reading: Mutex<()>,
    /// Held for a moment.
    answered: Mutex<Option<(Stamp, Digest)>>,
}

impl Slot {
    fn known(&self, now: Stamp) -> Option<Digest> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.as_ref().filter(|(then, _)| *then == now).map(|(_, found)| found.clone())
    }
}

/// Remembers digests by path. Two askers of one file wait for one reading.
#[derive(Default)]
pub(super) struct Artifacts {
    known: Arc<Known>,
    /// Who may read a file now.
    turns: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Known(Mutex<BTreeMap<PathBuf, Arc<Slot>>>);

impl Artifacts {
    /// Opens a file after checking it; blocks, the first time as long as it takes to read it all.
    pub(super) fn open(&self, artifact: &Artifact) -> Result<Opened, ArtifactError> {
        self.known.open(artifact)
    }

    /// The same without reading: `None` when the file would have to be read first.
    pub(super) fn open_known(&self, artifact: &Artifact) -> Option<Result<Opened, ArtifactError>> {
        let (file, about) = match look(artifact) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let found = self.known.slot(artifact).known(Stamp::of(&about))?;
        Some(judge(file, &about, artifact, &found))
    }

    /// Reads and hashes a file, once for all who wait for it; how that went is what [`Self::open_known`] says then.
    pub(super) async fn learn(&self, artifact: &Artifact) {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(artifact.path.clone()).or_default())
        };
        let held = turn.lock().await;
        let (known, artifact) = (Arc::clone(&self.known), artifact.clone());
        drop(tokio::task::spawn_blocking(move || drop(known.open(&artifact))).await);
        drop(held);
    }
}

impl Known {
    fn slot(&self, artifact: &Artifact) -> Arc<Slot> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(artifact.path.clone()).or_default())
    }

    fn open(&self, artifact: &Artifact) -> Result<Opened, ArtifactError> {
        let (mut file, about) = look(artifact)?;
        let stamp = Stamp::of(&about);
        let slot = self.slot(artifact);
        if let Some(found) = slot.known(stamp) {
            return judge(file, &about, artifact, &found);
        }
        let reading = slot.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have read it meanwhile.
        let found = match slot.known(stamp) {
            Some(found) => found,
            None => hash(&mut file).map_err(|source| ArtifactError::Read { path: artifact.path.clone(), source })?,
        };
        *slot.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, found.clone()));
        drop(reading);
        judge(file, &about, artifact, &found)
    }
}

fn look(artifact: &Artifact) -> Result<(File, Metadata), ArtifactError> {
    let path = &artifact.path;
    let read = |source| ArtifactError::Read { path: path.clone(), source };
    let file = File::open(path).map_err(read)?;
    let about = file.metadata().map_err(read)?;
    if about.is_file() { Ok((file, about)) } else { Err(ArtifactError::NotAFile(path.clone())) }
}

fn judge(file: File, about: &Metadata, artifact: &Artifact, found: &Digest) -> Result<Opened, ArtifactError> {
    if *found == artifact.sha256 {
        return Ok(Opened { file, length: about.len(), stamp: Stamp::of(about) });
    }
    Err(ArtifactError::Digest { path: artifact.path.clone(), found: found.clone(), want: artifact.sha256.clone() })
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
