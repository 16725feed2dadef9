//! Asks one address. First without a login; with one only where the certificate is the recorded one, or a first contact was allowed.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::compare::{self, Fact, Standing};
use crate::bmc::meeting::{Greeting, Macs};
use crate::bmc::redfish::{FirstContact, Limits, Redfish, RedfishOptions};
use crate::bmc::{Bmc as _, BmcError, BmcTrouble, Password, WholeBmc};
use crate::cli::folded::Told;
use crate::cli::hands::Hands;
use crate::model::{BmcFacts, BmcProtocol, BmcTrust, Node, NodeId};

/// What was learned of one address where a node of the inventory is expected.
#[derive(Debug, Serialize)]
pub struct Met {
    /// The node that the inventory expects there.
    pub node: NodeId,
    /// Where.
    pub address: SocketAddr,
    /// Facts found, recorded or not.
    pub facts: Vec<Fact>,
    /// Why no more was learned, when that is so.
    pub stopped: Option<Told>,
}

/// A BMC where the inventory expects none.
#[derive(Debug, Clone, Serialize)]
pub struct Stranger {
    /// Where.
    pub address: SocketAddr,
    /// How it answered.
    pub protocol: String,
    /// What it says to everybody; not for IPMI.
    pub greeting: Option<Greeting>,
    /// Who it says it is, when it was logged in to.
    pub identity: Option<BmcFacts>,
    /// Why it could not be logged in to, when that was tried.
    pub trouble: Option<String>,
    /// The node that has its serial number in the facts, though at another address.
    pub known_as: Option<NodeId>,
}

/// Longest that one address may keep the search waiting for the first word. A BMC's RSA handshake takes 1 to 5 s.
#[must_use]
pub fn limits(wait: Duration) -> Limits {
    let usual = Limits::default();
    Limits { connect: wait, request: wait * 3, ..usual }
}

/// A client that will never log in: its account is empty, and only [`Redfish::greet`] is called on it.
fn greeter(address: SocketAddr, plain: bool, wait: Duration) -> Result<Redfish, BmcError> {
    let trust = if plain { BmcTrust::Plaintext } else { BmcTrust::FirstContact };
    let mut options = RedfishOptions::new(address, "", Password::new(""), trust);
    options.first_contact = FirstContact::Accept;
    options.limits = limits(wait);
    Redfish::new(options)
}

async fn greet(address: SocketAddr, plain: bool, wait: Duration) -> Result<Greeting, BmcError> {
    let client = greeter(address, plain, wait)?;
    let greeting = client.greet().await;
    client.close().await;
    greeting
}

/// Asks the BMC of a node that the inventory knows.
pub async fn known(hands: &Hands, node: &Node, first_contact: bool, wait: Duration) -> Met {
    let mut met = Met { node: node.id.clone(), address: node.bmc.address, facts: Vec::new(), stopped: None };
    let mut greeted = None;
    if node.bmc.protocol == BmcProtocol::Redfish {
        let greeting = match greet(node.bmc.address, node.bmc.trust == BmcTrust::Plaintext, wait).await {
            Ok(greeting) => greeting,
            Err(error) => return Met { stopped: Some(Told::error(&error)), ..met },
        };
        greeted.clone_from(&greeting.certificate);
        if let Some(fact) = compare::certificate(node, &greeting) {
            let standing = fact.standing;
            met.facts.push(fact);
            let why = match standing {
                Standing::Differs => "its certificate is not the recorded one; it was not logged in to",
                Standing::New if !first_contact => "no certificate is recorded, and first contact was not allowed (--accept-new)",
                Standing::New | Standing::Same => "",
            };
            if !why.is_empty() {
                met.stopped = Some(Told::unclear("not logged in", why));
                return met;
            }
        }
    }
    let hand = match hands.whole(node) {
        Ok(hand) => hand,
        Err(failure) => return Met { stopped: Some(Told::unclear("no hand", failure.error.to_string())), ..met },
    };
    let answer = ask(hand.as_ref()).await;
    match answer {
        // Two connections, two certificates: whoever was logged in to is not the one that is shown above.
        Ok(_) if greeted.is_some() && hand.certificate() != greeted => {
            met.stopped = Some(Told::unclear(
                "two certificates",
                "its certificate changed between two connections; nothing of it is taken",
            ));
        }
        Ok((told, macs)) => met.facts.extend(compare::identity(node, &told, macs.as_ref())),
        Err(error) => met.stopped = Some(Told::error(&error)),
    }
    hand.close().await;
    met
}

async fn ask(hand: &dyn WholeBmc) -> Result<(BmcFacts, Option<Macs>), BmcError> {
    let told = hand.identity().await?;
    // Without addresses a BMC is known all the same.
    Ok((told, hand.macs().await.ok()))
}

/// Asks an address where no node is expected; `None` when nothing there speaks Redfish.
pub async fn stranger(address: SocketAddr, wait: Duration) -> Option<Stranger> {
    match greet(address, false, wait).await {
        Ok(greeting) => Some(Stranger {
            address,
            protocol: "redfish".to_owned(),
            greeting: Some(greeting),
            identity: None,
            trouble: None,
            known_as: None,
        }),
        // It showed a certificate and then would not speak Redfish without a login, or not in time: worth telling, not worth guessing.
        Err(error) if matches!(error.kind, BmcTrouble::Busy | BmcTrouble::Credentials) => Some(Stranger {
            address,
            protocol: "redfish".to_owned(),
            greeting: None,
            identity: None,
            trouble: Some(error.to_string()),
            known_as: None,
        }),
        Err(_) => None,
    }
}

/// Logs in to a stranger that shows the certificate of its greeting, to learn who it is.
pub async fn introduce(hand: &dyn WholeBmc, stranger: &mut Stranger) {
    match hand.identity().await {
        Ok(told) => stranger.identity = Some(told),
        Err(error) => stranger.trouble = Some(error.to_string()),
    }
    hand.close().await;
}
