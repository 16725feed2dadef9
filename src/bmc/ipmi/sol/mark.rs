//! What happened to a console itself, for people and for its record. Where something is missing, it says so.

use std::fmt;
use std::time::Duration;

use super::exchange::Gap;

/// One mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Something that the node printed is missing here.
    Missing(Gap),
    /// The console was lost: what is printed from here on is missing.
    Lost {
        /// Why.
        why: String,
        /// Typed characters of which it is not known that the node got them.
        unconfirmed: usize,
    },
    /// It is back.
    Back {
        /// How long it was away.
        away: Duration,
    },
    /// Typed characters that the BMC did not take; they were thrown away.
    NotTaken {
        /// How many.
        characters: usize,
    },
    /// The node sent a break.
    Break,
    /// The node's serial port takes characters, or takes none (it has no power).
    Port {
        /// It takes them.
        takes: bool,
    },
}

impl Mark {
    /// True when output of the node is missing at this place.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Lost { .. } | Self::Back { .. })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Gap::Packets(1)) => write!(f, "gap: one packet of output never came"),
            Self::Missing(Gap::Packets(count)) => write!(f, "gap: at least {count} packets of output never came"),
            Self::Missing(Gap::Overrun) => write!(f, "gap: the BMC lost output because it came too fast"),
            Self::Lost { why, unconfirmed: 0 } => write!(f, "gap: the console was lost ({why}); output from here on is missing"),
            Self::Lost { why, unconfirmed } => write!(
                f,
                "gap: the console was lost ({why}); output from here on is missing, and {unconfirmed} typed characters may or may not \
                 have been taken; they are not typed again"
            ),
            Self::Back { away } => write!(f, "the console is back after {:.1} s; the gap ends here", away.as_secs_f32()),
            Self::NotTaken { characters: 0 } => write!(f, "the break was not taken"),
            Self::NotTaken { characters } => write!(f, "{characters} typed characters were not taken and thrown away"),
            Self::Break => write!(f, "the node sent a break"),
            Self::Port { takes: true } => write!(f, "the node's serial port takes characters again"),
            Self::Port { takes: false } => write!(f, "the node's serial port takes no characters now"),
        }
    }
}
