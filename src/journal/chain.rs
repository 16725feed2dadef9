//! The hash chain: each line's hash covers the line before, so that no line can be changed, dropped or moved unseen.

use sha2::{Digest as _, Sha256};

use crate::model::{Digest, Recorded};

/// What the first line of a journal follows.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A line that does not follow from the line before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal's chain breaks at event {seq}: {what}")]
pub struct ChainFault {
    /// Position of the line.
    pub seq: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Hash of a line: SHA-256 over the previous hash, the position, the run, the time and the body, separated by newlines.
/// The body is hashed as the bytes that are stored, so that newer and older versions agree on it.
#[must_use]
pub fn link(previous: &str, seq: u64, run: &str, at_ms: i64, body: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{previous}\n{seq}\n{run}\n{at_ms}\n{body}"));
    Digest::from_bytes(&hash.finalize().into()).into()
}

/// Checks one stored line against the line before it and returns its hash for the next one.
///
/// # Errors
/// [`ChainFault`] says which line and how.
pub(super) fn check(previous: (u64, &str), line: &Recorded, body: &str) -> Result<(), ChainFault> {
    if line.seq != previous.0 + 1 {
        return Err(ChainFault { seq: line.seq, what: "a line is missing or out of place" });
    }
    if link(previous.1, line.seq, line.run.as_str(), line.at_ms, body) != line.hash {
        return Err(ChainFault { seq: line.seq, what: "its hash does not match its content" });
    }
    Ok(())
}
