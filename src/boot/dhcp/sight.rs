//! What the DHCP server saw and did, packet by packet: for the log, and for the record beside the grants. Strings that a machine sent are
//! escaped and cut here.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::firmware;
use super::packet::{Ask, Malformed};
use crate::boot::store::shown;
use crate::model::{Mac, NodeId, RackId};

/// Kind of the ordinary course of things.
pub(super) const GIVEN: &str = "given";
/// Longest piece of a machine's text that is kept, in bytes.
const KEPT: usize = 64;

/// What was sent to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// An address is offered.
    Offer,
    /// An address is confirmed, or a question without one is answered.
    Ack,
    /// The address that it asked for is not its own.
    Nak,
    /// Where to boot from, without an address: beside the site's DHCP.
    BootOffer,
    /// The same, to a question on port 4011.
    BootAck,
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Offer => "offer",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::BootOffer => "boot offer",
            Self::BootAck => "boot ack",
        })
    }
}

/// A machine that the inventory does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// The MAC that it asks with.
    pub mac: Mac,
    /// Kind of firmware by option 93.
    pub firmware: Option<String>,
    /// SMBIOS UUID by option 97.
    pub uuid: Option<String>,
    /// Relay that it came through.
    pub relay: Option<Ipv4Addr>,
    /// Port at which that relay heard it (option 82, circuit), as text or hex.
    pub circuit: Option<String>,
    /// The relay's own mark (option 82, remote), as text or hex.
    pub remote: Option<String>,
    /// What it calls itself (option 60).
    pub class: Option<String>,
    /// Who it may be: its UUID, or the MAC of a BMC, is in the facts.
    pub likely: Option<String>,
}

impl Discovery {
    pub(super) fn of(ask: &Ask, likely: Option<String>) -> Self {
        Self {
            mac: ask.mac,
            firmware: firmware::shown(&ask.arch),
            uuid: ask.uuid(),
            relay: Some(ask.giaddr).filter(|relay| !relay.is_unspecified()),
            circuit: ask.relayed(1).and_then(said),
            remote: ask.relayed(2).and_then(said),
            class: said(&ask.class),
            likely,
        }
    }
}

impl Discovery {
    /// Takes over what the machine says now; what it does not repeat stays.
    pub(super) fn learn(&mut self, now: &Self) {
        fn take<T: Clone>(known: &mut Option<T>, now: &Option<T>) {
            if now.is_some() {
                known.clone_from(now);
            }
        }
        take(&mut self.firmware, &now.firmware);
        take(&mut self.uuid, &now.uuid);
        take(&mut self.relay, &now.relay);
        take(&mut self.circuit, &now.circuit);
        take(&mut self.remote, &now.remote);
        take(&mut self.class, &now.class);
        take(&mut self.likely, &now.likely);
    }
}

/// Text when it is text, hex when it is not.
fn said(bytes: &[u8]) -> Option<String> {
    let cut = bytes.get(..KEPT).unwrap_or(bytes);
    let plain = !cut.is_empty() && cut.iter().all(|b| (b' '..=b'~').contains(b));
    match (plain, cut) {
        (_, []) => None,
        (true, _) => Some(shown(&String::from_utf8_lossy(cut))),
        (false, _) => Some(cut.iter().map(|b| format!("{b:02x}")).collect()),
    }
}

/// One thing that the server saw or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "about", rename_all = "kebab-case")]
pub enum Sight {
    /// An answer to a node.
    Given {
        /// Node.
        node: NodeId,
        /// Its rack.
        rack: RackId,
        /// The MAC that it asked with.
        mac: Mac,
        /// What was sent.
        sent: Sent,
        /// Its address, when one was told.
        address: Option<Ipv4Addr>,
        /// What it was told to boot.
        boot: Option<String>,
        /// Kind of firmware, when it said.
        firmware: Option<String>,
    },
    /// The node gave its address back. Nothing follows: the address is its own for as long as the inventory says so.
    Released {
        /// Node.
        node: NodeId,
        /// MAC.
        mac: Mac,
    },
    /// A machine that the inventory knows, or should know, is not answered.
    Refused {
        /// Node, when one was meant.
        node: Option<NodeId>,
        /// MAC.
        mac: Mac,
        /// Why.
        why: String,
    },
    /// A machine that the inventory does not know. It is not answered.
    Discovered(Discovery),
    /// Another DHCP server is at work here.
    Foreign {
        /// It.
        server: Ipv4Addr,
        /// Whom it serves.
        mac: Mac,
    },
    /// A packet that could not be read.
    Malformed {
        /// Address that it came from; a machine that has none yet sends 0.0.0.0.
        from: Ipv4Addr,
        /// What is wrong with it.
        why: Malformed,
    },
    /// Something on our side does not work.
    Trouble(String),
}

impl Sight {
    /// Kind and key under which equal ones are counted together.
    #[must_use]
    pub fn key(&self) -> (&'static str, String) {
        match self {
            // The MAC comes first in the key: by it the signs of one node are found.
            Self::Given { mac, .. } | Self::Released { mac, .. } => (GIVEN, format!("{mac} {}", self.line())),
            Self::Refused { mac, why, .. } => ("refused", format!("{mac} {why}")),
            Self::Discovered(found) => ("discovered", found.mac.to_string()),
            Self::Foreign { server, .. } => ("foreign", server.to_string()),
            Self::Malformed { why, .. } => ("malformed", why.to_string()),
            Self::Trouble(what) => ("trouble", what.clone()),
        }
    }

    /// The line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Given { node, mac, sent, address, boot, .. } => {
                let address = address.map(|a| format!(" {a}")).unwrap_or_default();
                let boot = boot.as_ref().map(|b| format!(" boot {b}")).unwrap_or_default();
                format!("dhcp {mac} {node} {sent}{address}{boot}")
            }
            Self::Released { node, mac } => format!("dhcp {mac} {node} released its address"),
            Self::Refused { node, mac, why } => {
                format!("dhcp {mac} {} refused: {why}", node.as_ref().map_or("-", NodeId::as_str))
            }
            Self::Discovered(d) => {
                let relay = d.relay.map(|r| format!(" by relay {r}")).unwrap_or_default();
                let circuit = d.circuit.as_ref().map(|c| format!(" port {c}")).unwrap_or_default();
                let likely = d.likely.as_ref().map(|l| format!("; {l}")).unwrap_or_default();
                format!(
                    "dhcp {} unknown machine, uuid {}, {}{relay}{circuit}{likely}",
                    d.mac,
                    or_dash(&d.uuid),
                    or_dash(&d.firmware)
                )
            }
            Self::Foreign { server, mac } => format!("dhcp {mac} is served by another DHCP server, {server}"),
            Self::Malformed { from, why } => format!("dhcp a packet from {from} is not read: {why}"),
            Self::Trouble(what) => format!("dhcp {what}"),
        }
    }
}
