//! The in-band hand: SSH. It runs argument vectors and pushes files by digest; it never decides and never trusts an unknown host key.

mod connect;
mod escape;
mod key;
mod local;
mod push;
mod quote;
mod run;
mod ssh;
mod stop;
mod trust;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{Answer, Artifact, Class, NodeId, Probe};

pub use key::{KeyError, PrivateKeyText};
pub use quote::{QuoteError, quote};
pub use ssh::{SshOptions, SshShell};
pub use trust::{FirstContact, HostKeys};

/// Why a node's system was not reached or did not obey.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {seen}")]
pub struct ShellError {
    /// What was tried, as a lower-case fragment, such as `ssh root@10.1.0.3:22`.
    pub doing: String,
    /// What was seen, escaped.
    pub seen: String,
    /// What sort of trouble it is.
    pub kind: ShellTrouble,
    /// The error beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Sorts of trouble with SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellTrouble {
    /// No answer at the address, or the connection broke.
    Unreachable,
    /// The key was refused.
    Credentials,
    /// The host key is not one of the recorded ones, or none is recorded and first contact was not allowed. No credential was sent.
    HostKey {
        /// `SHA256:…` of the key that was shown.
        seen: String,
    },
    /// A deadline passed.
    TimedOut,
    /// The far end said no: no space, no such directory, digest mismatch after the push.
    Refused,
    /// The local artifact cannot be read or is not what its digest says.
    Artifact,
}

impl ShellError {
    /// Trouble without an error beneath.
    pub(crate) fn new(doing: impl Into<String>, kind: ShellTrouble, seen: impl Into<String>) -> Self {
        Self { doing: doing.into(), seen: seen.into(), kind, source: None }
    }

    /// No connection, or none any more.
    pub(crate) fn lost(doing: impl Into<String>, seen: &str, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let kind = ShellTrouble::Unreachable;
        Self { doing: doing.into(), seen: seen.into(), kind, source: Some(Box::new(error)) }
    }

    /// What may be tried next.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind {
            ShellTrouble::Unreachable | ShellTrouble::TimedOut => Class::Transient,
            ShellTrouble::Credentials | ShellTrouble::HostKey { .. } | ShellTrouble::Refused | ShellTrouble::Artifact => {
                Class::Refused
            }
        }
    }
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The file was there with this digest and mode; nothing was sent.
    AlreadyThere,
    /// The file was sent, read back by digest and moved into place.
    Sent {
        /// Bytes sent.
        bytes: u64,
    },
}

/// One node's system.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Linux boot id, from `/proc/sys/kernel/random/boot_id`.
    async fn boot_id(&self) -> Result<String, ShellError>;
    /// Asks. A non-zero exit is an answer; a lost connection is `Answer::Unknown`, or an error when nothing was run at all.
    async fn run(&self, probe: &Probe) -> Result<Answer, ShellError>;
    /// Puts a file at an absolute path, streamed, verified by SHA-256 on the node, atomically renamed into place, skipped when already there.
    async fn push(&self, artifact: &Artifact, to: &str, mode: u32) -> Result<Pushed, ShellError>;
    /// `SHA256:…` of the host key that was accepted, when a connection has been made.
    fn host_key(&self) -> Option<String>;
    /// Ends the connection.
    async fn close(&self);
}

/// Opens shells; the engine's actions ask for one per node. A shell connects lazily and reconnects after a reboot.
pub trait Shells: Send + Sync {
    /// The shell of a node.
    fn shell(&self, node: &NodeId) -> Option<Arc<dyn Shell>>;
}
