//! What one BMC supports, which quirks it showed and how fast it answers: asked for without changing anything, kept as data. It holds no secret: what
//! is asked never carries one in its answer, and the login is not part of it.

use std::future::Future;
use std::time::Instant;

use serde::Serialize;

use crate::bmc::examining::{Examination, Look};
use crate::bmc::quirk::Profile;
use crate::bmc::{BmcError, BmcTrouble, WholeBmc};
use crate::cli::global::now_ms;
use crate::model::{BmcFacts, Digest, Node, NodeId, Reading};

/// Entries of the event log that are asked for: enough to see that it can be read.
const LOG_ENTRIES: usize = 16;

/// One BMC's dossier.
#[derive(Debug, Serialize)]
pub struct Dossier {
    /// Version of this format.
    pub format_version: u32,
    /// Node.
    pub node: NodeId,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: i64,
    /// What took it.
    pub program: &'static str,
    /// Protocol that was spoken.
    pub protocol: String,
    /// Who it says it is.
    pub identity: BmcFacts,
    /// SHA-256 of the certificate that was accepted.
    pub certificate: Option<Digest>,
    /// What it can be asked for.
    pub supports: Vec<Support>,
    /// The looks for rows of the conformance suite.
    pub looks: Vec<Look>,
    /// Equal questions on a warm connection.
    pub latencies: Option<Latencies>,
    /// The quirks that are known of its make, and those that it showed; absent for IPMI.
    pub profile: Option<Profile>,
}

/// One thing that a BMC can be asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Support {
    /// What.
    pub what: &'static str,
    /// Whether it answers.
    pub answer: Answers,
    /// What was seen, in a few words.
    pub seen: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// Whether a BMC answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// It does.
    Yes,
    /// It says that it has none.
    None,
    /// It answers, and what it says is not clear.
    Unclear,
    /// It has no such function.
    Unsupported,
    /// It has, and the question failed.
    Fails,
}

impl Answers {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::None => "none",
            Self::Unclear => "unclear",
            Self::Unsupported => "not supported",
            Self::Fails => "fails",
        }
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// How many were taken.
    pub count: usize,
    /// The fastest.
    pub least_ms: u64,
    /// The middle one.
    pub median_ms: u64,
    /// The slowest.
    pub most_ms: u64,
}

impl Latencies {
    fn of(mut all: Vec<u64>) -> Option<Self> {
        all.sort_unstable();
        let (least_ms, most_ms) = (*all.first()?, *all.last()?);
        Some(Self { count: all.len(), least_ms, median_ms: *all.get(all.len() / 2)?, most_ms })
    }
}

impl Dossier {
    /// Asks everything, one question after the other.
    ///
    /// # Errors
    /// The BMC cannot be spoken with: it did not even say who it is.
    pub async fn take(node: &Node, bmc: &dyn WholeBmc) -> Result<Self, BmcError> {
        let begun = Instant::now();
        let identity = bmc.identity().await?;
        let mut asked = Vec::new();
        asked.push(Support { what: "identity", answer: Answers::Yes, seen: who(&identity), ms: millis(begun) });
        let many = |count: usize, what: &str| match count {
            1 => format!("1 {}", what.trim_end_matches('s')),
            _ => format!("{count} {what}"),
        };
        asked.push(ask("power", bmc.power(), ToString::to_string).await);
        asked.push(ask("boot override", bmc.boot(), |held| held.target.to_string()).await);
        asked.push(ask("firmware", bmc.firmware(), |list| many(list.len(), "components")).await);
        asked.push(ask("tasks", bmc.tasks(), |list| many(list.len(), "tasks")).await);
        let macs = async { Ok(bmc.macs().await?.bmc) };
        asked.push(ask("hardware addresses", macs, |list| many(list.len(), "of the BMC")).await);
        asked.push(ask("sensors", bmc.sensors(), |list| many(list.items.len(), "sensors")).await);
        asked.push(ask("power drawn", bmc.drawn(), |drawn| drawn.from.clone()).await);
        asked.push(ask("logs", bmc.logs(), |list| many(list.items.len(), "logs")).await);
        asked.push(ask("event log", bmc.log(None, LOG_ENTRIES), |log| log.log.name.clone()).await);
        asked.push(ask("replaceable units", bmc.frus(), |list| many(list.items.len(), "units")).await);
        asked.push(ask("accelerators", bmc.accelerators(), |list| many(list.items.len(), "accelerators")).await);
        asked.push(ask("BIOS attributes", bmc.bios(), |bios| many(bios.current.len(), "attributes")).await);
        asked.push(ask("virtual media", bmc.media(), |list| many(list.len(), "drives")).await);
        asked.push(ask("accounts", bmc.accounts(), |list| many(list.len(), "accounts")).await);
        let Examination { looks, latencies_ms } = bmc.examine().await;
        Ok(Self {
            format_version: 1,
            node: node.id.clone(),
            taken_at_ms: now_ms(),
            program: concat!("bringup ", env!("CARGO_PKG_VERSION")),
            protocol: format!("{:?}", node.bmc.protocol).to_lowercase(),
            identity,
            certificate: bmc.certificate(),
            supports: asked,
            looks,
            latencies: Latencies::of(latencies_ms),
            profile: bmc.profile(),
        })
    }
}

/// Maker, model and firmware, as far as they are known.
fn who(identity: &BmcFacts) -> String {
    let mut parts: Vec<String> =
        [&identity.vendor, &identity.model].into_iter().filter_map(|part| part.known().cloned()).collect();
    parts.extend(identity.bmc_version.known().map(|version| format!("BMC {version}")));
    parts.join(", ")
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn ask<T>(
    what: &'static str,
    question: impl Future<Output = Result<Reading<T>, BmcError>>,
    words: impl Fn(&T) -> String,
) -> Support {
    let begun = Instant::now();
    let (answer, seen) = match question.await {
        Ok(Reading::Known(value)) => (Answers::Yes, words(&value)),
        Ok(Reading::Absent) => (Answers::None, String::new()),
        Ok(Reading::Unknown { why }) => (Answers::Unclear, why),
        Err(error) if error.kind == BmcTrouble::Unsupported => (Answers::Unsupported, error.seen),
        Err(error) => (Answers::Fails, error.to_string()),
    };
    Support { what, answer, seen, ms: millis(begun) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_put_in_order() {
        assert_eq!(Latencies::of(Vec::new()), None);
        let some = Latencies::of(vec![9, 1, 5]).unwrap();
        assert_eq!((some.count, some.least_ms, some.median_ms, some.most_ms), (3, 1, 5, 9));
    }
}
