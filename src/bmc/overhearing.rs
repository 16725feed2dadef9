//! What a node prints on its serial console, overheard while something is done with it, and kept for whoever asks afterwards. Best effort: nothing
//! waits for it for long, nothing fails because of it, and the console is never taken away from anybody. It types nothing.

use std::time::Duration;

use async_trait::async_trait;

/// What was overheard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overheard {
    /// The last lines, the oldest first: without control sequences, printable, each bounded.
    pub lines: Vec<String>,
    /// Bytes that the node printed in all.
    pub printed: u64,
    /// Places at which something is missing.
    pub gaps: u32,
    /// Why nothing (more) is heard; `None` while the console is listened to.
    pub trouble: Option<String>,
}

/// An ear at one node's console.
#[async_trait]
pub trait Overhearing: Send + Sync {
    /// Begins to listen, unless it does so already, and waits at most this long until that works.
    async fn begin(&self, patience: Duration);
    /// What was overheard since it began or forgot; at most so many lines.
    fn heard(&self, lines: usize) -> Overheard;
    /// Forgets what was overheard: it is of an earlier boot.
    fn forget(&self) {}
    /// Stops listening and gives the console back. What was overheard stays.
    async fn end(&self);
}

/// No ear at all, for a stated reason.
#[derive(Debug, Clone)]
pub struct Deaf {
    /// Why.
    pub why: String,
}

#[async_trait]
impl Overhearing for Deaf {
    async fn begin(&self, _patience: Duration) {}

    fn heard(&self, _lines: usize) -> Overheard {
        Overheard { trouble: Some(self.why.clone()), ..Overheard::default() }
    }

    async fn end(&self) {}
}
