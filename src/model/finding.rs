//! What the gate concludes: findings, and the verdict that they add up to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How good an accelerator or node is, worst last. The verdict of a whole is the worst of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every required check ran and agreed.
    Pass,
    /// Fit for work, with something worth knowing.
    Note,
    /// Could not be judged: nothing passes on silence.
    Inconclusive,
    /// Keep it out, look again (repair, reset, retest).
    Quarantine,
    /// Keep it out; it is not the part that was bought or it has failed for good.
    Reject,
}

impl Verdict {
    /// May join the pool: pass or note, nothing else.
    #[must_use]
    pub fn admissible(self) -> bool {
        matches!(self, Self::Pass | Self::Note)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Note => "note",
            Self::Inconclusive => "inconclusive",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        })
    }
}

/// One check's conclusion about one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The check, such as `remap-pending`; the names are listed by `bringup schema policy`.
    pub check: String,
    /// What it adds to the verdict.
    pub verdict: Verdict,
    /// What was wanted and what was seen, for people; escaped.
    pub detail: String,
}

/// The gate's judgement of one accelerator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Judgement {
    /// Which one: slot or index as the vendor tool counts, such as `gpu3`.
    pub device: String,
    /// Serial number, when the device said one.
    pub serial: Option<String>,
    /// PCI address, when known.
    pub pci: Option<String>,
    /// Model as the device names itself.
    pub model: Option<String>,
    /// Worst of the findings; `Inconclusive` when a required check is missing.
    pub verdict: Verdict,
    /// All conclusions, worst first.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Why it is not simply a pass: every finding that is as bad as the worst, such as `remap-pending: a row remap waits for a reset`.
    /// Empty when all passed. Two checks often see one fault, and neither is left out.
    #[must_use]
    pub fn why(&self) -> String {
        let worst = self.findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Pass);
        let bad = self.findings.iter().filter(|f| f.verdict == worst && worst > Verdict::Pass);
        bad.map(|f| format!("{}: {}", f.check, f.detail)).collect::<Vec<_>>().join("; ")
    }

    /// The same with the device in front; `missing1` needs no check to be named.
    #[must_use]
    pub fn told(&self) -> String {
        let why = self.why();
        let why =
            self.findings.first().and_then(|f| why.strip_prefix("missing: ").filter(|_| f.check == "missing")).unwrap_or(&why);
        format!("{}: {why}", self.device)
    }
}
