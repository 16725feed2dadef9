//! A question to a node's operating system and its answer. A probe changes nothing.

use serde::{Deserialize, Serialize};

/// A command to run on the node. It is an argument vector: nothing is ever spliced into a shell line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Probe {
    /// A stable name for the answer, such as `nvidia-smi`.
    pub id: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Longest wait, in seconds; a vendor tool can hang in D state for ever (NVIDIA/gpu-monitoring-tools #46).
    pub deadline_s: u32,
    /// Most bytes of standard output that are kept; more makes the answer [`Answer::Unknown`].
    pub limit_bytes: u32,
}

impl Probe {
    /// A probe with the usual limits: 60 s and 4 MiB.
    pub fn new<S: Into<String>>(id: impl Into<String>, argv: impl IntoIterator<Item = S>) -> Self {
        Self { id: id.into(), argv: argv.into_iter().map(Into::into).collect(), deadline_s: 60, limit_bytes: 4 << 20 }
    }

    /// The same probe with another deadline in seconds.
    #[must_use]
    pub fn within(mut self, deadline_s: u32) -> Self {
        self.deadline_s = deadline_s;
        self
    }
}

/// What a finished command printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutput {
    /// Exit status; 127 is "no such program" by shell convention.
    pub exit: i32,
    /// Standard output, complete.
    pub stdout: Vec<u8>,
    /// The first 64 KiB of standard error.
    pub stderr: Vec<u8>,
}

/// The answer to a probe. A non-zero exit is an answer; a lost connection is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The command ran to its end.
    Output(ProbeOutput),
    /// It could not be run to its end: no connection, deadline, output over the limit, killed by a signal.
    Unknown {
        /// What was seen.
        why: String,
    },
}
