//! Why a cache has not a file, and what the machine that asked is told.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::upstream::Trouble;
use crate::boot::artifact::ArtifactError;
use crate::model::Digest;

/// Why a cache has not a file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The folder.
    #[error("use the cache {}", .0.display())]
    Folder(PathBuf, #[source] Arc<io::Error>),
    /// The folder's disk has no room, and there is nothing left to take out.
    #[error("the disk of the cache is full, and nothing in it can make room for {bytes} bytes")]
    Full {
        /// Of the file.
        bytes: u64,
    },
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
    #[error("{why}")]
    Fetch {
        /// What the machine is told.
        status: u16,
        /// Why.
        why: String,
    },
    /// It is there and cannot be read.
    #[error("read the cache's own file")]
    Read(#[source] Arc<ArtifactError>),
}

impl CacheError {
    pub(super) fn folder(path: &std::path::Path, error: io::Error) -> Self {
        Self::Folder(path.to_path_buf(), Arc::new(error))
    }

    /// The disk is full; making room may help.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Folder(_, error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The status that a machine is told: 502 when upstream is wrong, 503 when trying again may help.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Folder(..) | Self::Read(_) => 500,
            Self::NoRoom { .. } | Self::Full { .. } => 503,
            Self::Digest { .. } => 502,
            Self::Fetch { status, .. } => *status,
        }
    }

    /// With its causes.
    pub(super) fn words(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |e| e.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

impl From<Trouble> for CacheError {
    fn from(Trouble { status, why }: Trouble) -> Self {
        Self::Fetch { status, why }
    }
}
