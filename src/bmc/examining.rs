//! The harmless part of the conformance suite, against a real BMC: looks that change nothing, each for a row of `reference/firmware.md` §5. A row
//! that cannot be looked at without a write, or without harm, is not here.

use async_trait::async_trait;
use serde::Serialize;

use super::Bmc;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Look {
    /// The row that it is for, such as `RC-37`.
    pub row: &'static str,
    /// What was looked at, in a few words.
    pub at: &'static str,
    /// What was seen.
    pub seen: Sight,
}

/// What a look showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// As the specification has it, or the liberty that the row is about is not taken; with what was seen.
    Plain(String),
    /// It does what the row says; with an example.
    Quirk(String),
    /// It was looked at and could not be seen; with the reason.
    Unseen(String),
    /// It is not looked at, since that would change something or do harm; with what would be needed.
    Untried(String),
}

/// What all the looks showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// The looks, by row.
    pub looks: Vec<Look>,
    /// How long each of some equal questions took on a warm connection, in milliseconds, in order.
    pub latencies_ms: Vec<u64>,
}

impl Examination {
    /// Notes a look.
    pub fn note(&mut self, row: &'static str, at: &'static str, seen: Sight) {
        self.looks.push(Look { row, at, seen });
    }

    /// Notes a quirk, or that there is none.
    pub fn judge(&mut self, row: &'static str, at: &'static str, quirk: Option<String>, plain: impl Into<String>) {
        self.note(row, at, quirk.map_or_else(|| Sight::Plain(plain.into()), Sight::Quirk));
    }

    /// True when something was said of a row.
    #[must_use]
    pub fn knows(&self, row: &str) -> bool {
        self.looks.iter().any(|look| look.row == row)
    }

    /// True when a row showed its quirk.
    #[must_use]
    pub fn shows(&self, row: &str) -> bool {
        self.looks.iter().any(|look| look.row == row && matches!(look.seen, Sight::Quirk(_)))
    }

    /// Says of every row that nothing was said of yet what a look would take, and puts all of them in order.
    pub fn leave(&mut self, rows: &[(&'static str, &str)]) {
        for (row, needs) in rows {
            if !self.knows(row) {
                self.note(row, "not looked at", Sight::Untried((*needs).to_owned()));
            }
        }
        self.looks.sort_by(|a, b| (a.row, a.at).cmp(&(b.row, b.at)));
    }
}

/// The examined half of a BMC.
#[async_trait]
pub trait Examining: Bmc {
    /// Takes every look. It logs in when nobody is, reads, and never fails: what could not be seen is said.
    async fn examine(&self) -> Examination {
        Examination::default()
    }
}
