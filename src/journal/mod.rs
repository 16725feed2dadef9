//! The store of what happened: append-only, hash-chained, written before anything is told. It never forgets and never decides.
//!
//! One SQLite file (WAL, `synchronous=FULL`) holds all runs. One writer thread takes events in batches: every event of a batch is on
//! the disk before any of their writers goes on, so a thousand nodes share one fsync.

mod chain;
mod lock;
mod sqlite;
mod store;

use std::path::PathBuf;

pub use chain::{ChainFault, GENESIS, link};
pub use lock::RunLock;
pub use store::{HandSummary, Journal, RunSummary, Touched};

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be opened.
    #[error("open the journal {}", path.display())]
    Open {
        /// File.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file was written by a newer `bringup`.
    #[error("the journal {} has format {found}, and this version reads up to {known}", path.display())]
    Newer {
        /// File.
        path: PathBuf,
        /// Format of the file.
        found: i64,
        /// Newest format that this build reads.
        known: i64,
    },
    /// The run lock's file cannot be used (no space, no right to).
    #[error("take the lock {}", path.display())]
    Lock {
        /// File.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A read failed.
    #[error("read the journal")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A write failed (disk full, read-only): nothing that depends on it may be done.
    #[error("write the journal")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The writer has stopped after an earlier failure.
    #[error("the journal's writer has stopped")]
    Stopped,
    /// No such run.
    #[error("the journal holds no run {0}")]
    NoRun(String),
    /// The journal holds no run at all.
    #[error("the journal holds no run yet")]
    Empty,
    /// A line does not follow from the line before.
    #[error(transparent)]
    Broken(#[from] ChainFault),
    /// A run's plan is not the one that the chain names.
    #[error("the journal's plan of {run} is not the one that the run began with: {what}")]
    Plan {
        /// Run.
        run: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An event is not legal where it stands.
    #[error("fold event {seq}")]
    Fold {
        /// Its position.
        seq: u64,
        /// Why.
        #[source]
        source: crate::model::TransitionError,
    },
    /// Another run holds the lock.
    #[error("locked by {holder}")]
    Locked {
        /// Who holds it.
        holder: String,
    },
}
