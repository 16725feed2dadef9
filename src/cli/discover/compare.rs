//! What was found, held against what is recorded. Pure: it decides what may be written, and writes nothing.

use serde::Serialize;

use crate::bmc::meeting::{Greeting, Macs};
use crate::cli::record::CERTIFICATE;
use crate::model::{BmcFacts, BmcTrust, Node, Reading};

/// One fact of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Column of the facts.
    pub column: &'static str,
    /// What is recorded.
    pub recorded: Option<String>,
    /// What was found.
    pub found: String,
    /// How the two stand to each other.
    pub standing: Standing,
}

/// How a fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Found as recorded.
    Same,
    /// Found, and not recorded yet.
    New,
    /// Found otherwise than recorded: another machine, a replaced part or a mistake. Only a person can tell.
    Differs,
}

impl Standing {
    /// As a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::New => "new",
            Self::Differs => "differs",
        }
    }
}

fn fact(column: &'static str, recorded: Option<String>, found: String) -> Fact {
    let standing = match &recorded {
        None => Standing::New,
        Some(recorded) if recorded.trim().eq_ignore_ascii_case(found.trim()) => Standing::Same,
        Some(_) => Standing::Differs,
    };
    Fact { column, recorded, found, standing }
}

/// The certificate that a node's BMC shows, in the form in which the facts record it; `None` without TLS.
#[must_use]
pub fn certificate(node: &Node, greeting: &Greeting) -> Option<Fact> {
    let shown = greeting.certificate.as_ref()?.to_string();
    let (recorded, found) = match &node.bmc.trust {
        BmcTrust::Pinned(digest) => (Some(digest.to_string()), shown),
        BmcTrust::PinnedKey(digest) => {
            let key = greeting.certificate_key.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            (Some(format!("spki:{digest}")), format!("spki:{key}"))
        }
        // Nothing is recorded for it: its authority is asked when it is logged in to.
        BmcTrust::Authority { .. } => (Some(shown.clone()), shown),
        BmcTrust::FirstContact | BmcTrust::Plaintext => (None, shown),
    };
    Some(fact(CERTIFICATE, recorded, found))
}

/// Who the BMC of a node says that it and the node are. What it does not say is no fact.
#[must_use]
pub fn identity(node: &Node, told: &BmcFacts, macs: Option<&Macs>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Reading::Known(serial) = &told.serial {
        facts.push(fact("serial", node.serial.clone(), serial.trim().to_owned()));
    }
    if let Reading::Known(uuid) = &told.uuid {
        facts.push(fact("uuid", node.uuid.clone(), uuid.clone()));
    }
    if let Some(Reading::Known(bmc)) = macs.map(|m| &m.bmc) {
        let recorded = node.bmc.mac;
        // A BMC has several interfaces as a rule (shared, USB to the host): the recorded one need only be among them, and of several none is guessed.
        match (recorded, bmc.as_slice()) {
            (Some(mac), all) if all.contains(&mac) => facts.push(fact("bmc_mac", Some(mac.to_string()), mac.to_string())),
            (recorded, [only]) => facts.push(fact("bmc_mac", recorded.map(|m| m.to_string()), only.to_string())),
            _ => {}
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_in_more_than_case_differs() {
        let standing =
            |recorded: Option<&str>, found: &str| fact("serial", recorded.map(str::to_owned), found.to_owned()).standing;
        assert_eq!(standing(None, "S1"), Standing::New);
        assert_eq!(standing(Some("s1 "), "S1"), Standing::Same);
        assert_eq!(standing(Some("S2"), "S1"), Standing::Differs);
    }
}
