//! How a verb ends: an exit code of the contract, or an error with the next command.

use std::error::Error;

use super::output::escape;

/// An exit code. One table for all verbs; see the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Done, or nothing to change.
    pub const DONE: Self = Self(0);
    /// Error.
    pub const ERROR: Self = Self(1);
    /// Changes are pending.
    pub const CHANGES: Self = Self(2);
    /// Input invalid.
    pub const INVALID: Self = Self(3);
    /// Some nodes failed; the budget was kept.
    pub const SOME_FAILED: Self = Self(4);
    /// Held: the budget was breached.
    pub const HELD: Self = Self(5);
    /// Locked by another run.
    pub const LOCKED: Self = Self(6);
    /// The plan is stale.
    pub const STALE: Self = Self(7);
    /// Accelerators were refused by the gate.
    pub const GATE: Self = Self(8);
    /// Refused by policy.
    pub const POLICY: Self = Self(9);
    /// Unreachable, or wrong credentials, before any change.
    pub const UNREACHABLE: Self = Self(10);
    /// Usage.
    pub const USAGE: Self = Self(64);
    /// Interrupted; can be resumed.
    pub const INTERRUPTED: Self = Self(130);
}

/// Why a verb did not end well.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// The error; its chain of causes is printed.
    pub error: Box<dyn Error + Send + Sync>,
    /// The next command, or what to look at.
    pub hint: Option<String>,
}

/// What a verb returns.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with an exit code.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    /// The same failure with the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The chain as people read it: what was tried, then each cause, then the hint.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let (red, cyan, off) = if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
        // Errors are escaped where they arise; this is the second lock on the same door.
        let mut text = format!("{red}error{off}: {}", escape(&self.error.to_string()));
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text.push_str(&format!("\n  caused by: {}", escape(&error.to_string())));
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n{cyan}hint{off}: {}", escape(hint)));
        }
        text
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::ERROR, error)
    }
}
