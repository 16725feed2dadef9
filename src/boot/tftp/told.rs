//! What the operator hears of each transfer: how it ended, how much arrived, what was refused and why.

use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::model::Digest;

/// How a transfer ended, or why there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TftpEnd {
    /// The client acknowledged the last block.
    Whole,
    /// The client asked and then ended it by an error before any data: boot ROMs learn a file's length so.
    Asked,
    /// The client ended it by an error; its words, escaped.
    Stopped(String),
    /// The client fell silent; how long the transfer waited is in the words.
    GaveUp(&'static str),
    /// There was no transfer.
    Refused(String),
}

/// One transfer that ended, or one refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TftpTold {
    /// Who asked.
    pub from: SocketAddrV4,
    /// What was asked for, escaped and cut.
    pub file: String,
    /// Digest of what was offered.
    pub sha256: Option<Digest>,
    /// How it ended.
    pub end: TftpEnd,
    /// Bytes that the client acknowledged.
    pub bytes: u64,
    /// Bytes of the file.
    pub of: u64,
    /// From request to end.
    pub took: Duration,
    /// Packets that were sent more than once.
    pub again: u64,
    /// Others that came to nothing before this one and were not told, since there were too many.
    pub others: u64,
}

/// Where the server tells what it sees. Listeners that fall behind lose the oldest; the server never waits for one.
#[derive(Debug, Clone)]
pub struct TftpLog(broadcast::Sender<TftpTold>);

impl Default for TftpLog {
    fn default() -> Self {
        Self(broadcast::Sender::new(2048))
    }
}

impl TftpLog {
    /// Listens from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<TftpTold> {
        self.0.subscribe()
    }

    pub(super) fn tell(&self, told: TftpTold) {
        // Nobody listening is no trouble.
        drop(self.0.send(told));
    }
}

/// A client's bytes, fit for a terminal and for a line: at most 100 characters.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.escape_ascii().map(char::from).take(101).collect();
    if text.len() > 100 { text.chars().take(99).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_reaches_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let text = shown(&bytes);
            prop_assert!(text.chars().count() <= 100 && text.chars().all(|c| c == '…' || (' '..='~').contains(&c)));
        }
    }
}
