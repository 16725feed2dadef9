//! Whether each node is the machine that the facts say, and each cable where it is written: serial numbers, UUIDs, certificates, MAC addresses and
//! LLDP neighbours of many nodes held against each other, so that what stands in each other's place is told as one thing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::exchange::{Place, sort_out};
use super::mixed::{Mixed, mixed};
use crate::model::{BOOT_INTERFACE, BmcTrust, Mac, Nic, Node, NodeId, Observed, Plug, Reading, find_nic};

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Serial number behind the BMC's address.
    BmcSerial,
    /// UUID behind the BMC's address.
    BmcUuid,
    /// Certificate at the BMC's address.
    BmcCertificate,
    /// Serial number behind the SSH address.
    Serial,
    /// UUID behind the SSH address.
    Uuid,
    /// MAC address of the interface that boots, behind the SSH address.
    BootMac,
    /// The far end of the cable in this interface.
    Cable(String),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::BmcSerial => "serial by its BMC",
            Self::BmcUuid => "UUID by its BMC",
            Self::BmcCertificate => "certificate of its BMC",
            Self::Serial => "serial by SSH",
            Self::Uuid => "UUID by SSH",
            Self::BootMac => "boot MAC",
            Self::Cable(interface) => return f.pad(&format!("cable {interface}")),
        })
    }
}

/// What was seen of one node.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Serial number, by the BMC.
    pub bmc_serial: Reading<String>,
    /// UUID, by the BMC.
    pub bmc_uuid: Reading<String>,
    /// SHA-256 of the certificate that its BMC shows, as hex.
    pub bmc_certificate: Reading<String>,
    /// Serial number, by the system behind the SSH address.
    pub serial: Reading<String>,
    /// UUID, by the same.
    pub uuid: Reading<String>,
    /// Its interfaces, by the same.
    pub nics: Reading<Vec<Nic>>,
}

impl Witness {
    /// What a survey saw, which asks for neither certificate nor interfaces.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let bmc = &observed.bmc;
        let system = &observed.system;
        let unasked = "a survey does not ask for it";
        Self {
            bmc_serial: flat(bmc.clone().map(|facts| facts.serial)),
            bmc_uuid: flat(bmc.clone().map(|facts| facts.uuid)),
            bmc_certificate: Reading::unknown(unasked),
            serial: flat(system.clone().map(|facts| facts.serial)),
            uuid: flat(system.clone().map(|facts| facts.uuid)),
            nics: Reading::unknown(unasked),
        }
    }
}

fn flat<T>(reading: Reading<Reading<T>>) -> Reading<T> {
    match reading {
        Reading::Known(inner) => inner,
        Reading::Absent => Reading::Absent,
        Reading::Unknown { why } => Reading::Unknown { why },
    }
}

/// One thing of one node that is written, and what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Node.
    pub node: NodeId,
    /// What.
    pub what: What,
    /// As written.
    pub wanted: String,
    /// As seen; `None` when it was not heard.
    pub seen: Option<String>,
    /// How the two stand; places are nodes and what of them.
    pub place: Place<(NodeId, What)>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// By node, everything that is written and was asked for.
    pub findings: Vec<Finding>,
    /// Things in each other's place, each pair or ring once.
    pub mixed: Vec<Mixed>,
}

impl Proof {
    /// True when everything that is written was seen, and as it is written.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.findings.iter().all(|f| f.place == Place::Right)
    }
}

type Spot = (NodeId, What);
type Seen = BTreeMap<Spot, Reading<String>>;
/// What is written of a node.
type Written<'f> = &'f dyn Fn(&Node) -> Option<String>;
/// What was seen of it.
type Look<'f> = &'f dyn Fn(&Node, &Witness) -> Reading<String>;

/// Holds what was seen of some nodes against what is written of all.
#[must_use]
pub fn prove(nodes: &BTreeMap<NodeId, Node>, witnesses: &BTreeMap<NodeId, Witness>) -> Proof {
    let mut proof = Proof::default();
    let own: [(What, Written<'_>, Look<'_>); 6] = [
        (What::BmcSerial, &|n| n.serial.clone(), &|_, w| w.bmc_serial.clone()),
        (What::BmcUuid, &|n| n.uuid.clone(), &|_, w| w.bmc_uuid.clone()),
        (What::BmcCertificate, &pinned, &|_, w| w.bmc_certificate.clone()),
        (What::Serial, &|n| n.serial.clone(), &|_, w| w.serial.clone()),
        (What::Uuid, &|n| n.uuid.clone(), &|_, w| w.uuid.clone()),
        (What::BootMac, &|n| n.boot.mac.map(|m| m.to_string()), &|n, w| boot_mac(n, w, nodes)),
    ];
    for (what, written, seen) in own {
        let wanted: BTreeMap<Spot, String> =
            nodes.values().filter_map(|n| Some(((n.id.clone(), what.clone()), written(n)?))).collect();
        let asked = witnesses.iter().filter_map(|(id, w)| Some(((id.clone(), what.clone()), seen(nodes.get(id)?, w))));
        compare(&wanted, asked.collect(), &|text: &str| key(&what, text), &mut proof.findings);
    }
    let crossed = crossed(&proof.findings);
    let plugs: BTreeMap<Spot, &Plug> =
        nodes.values().flat_map(|n| n.cabling.iter().map(|(i, plug)| ((n.id.clone(), What::Cable(i.clone())), plug))).collect();
    let written: BTreeMap<Spot, String> = plugs.iter().map(|(spot, plug)| (spot.clone(), plug.to_string())).collect();
    let mut asked = Seen::new();
    for (id, node) in witnesses.keys().filter_map(|id| Some((id, nodes.get(id)?))) {
        // Two SSH addresses that are known to be crossed tell of each other's machine; the cables are the machines'.
        let teller = witnesses.get(crossed.get(id).unwrap_or(id));
        for interface in node.cabling.keys() {
            let seen =
                teller.map_or_else(|| Reading::unknown("it was not asked"), |w| far_end(node, interface, w, nodes, &plugs));
            asked.insert((id.clone(), What::Cable(interface.clone())), seen);
        }
    }
    compare(&written, asked, &str::to_ascii_lowercase, &mut proof.findings);
    proof.findings.sort_by(|a, b| (&a.node, &a.what).cmp(&(&b.node, &b.what)));
    proof.mixed = mixed(&proof.findings);
    proof
}

fn pinned(node: &Node) -> Option<String> {
    match &node.bmc.trust {
        BmcTrust::Pinned(digest) => Some(digest.to_string()),
        BmcTrust::PinnedKey(_) | BmcTrust::Authority { .. } | BmcTrust::FirstContact | BmcTrust::Plaintext => None,
    }
}

/// The form in which two texts are compared.
fn key(what: &What, text: &str) -> String {
    let plain = text.trim().to_ascii_lowercase();
    match what {
        What::BmcUuid | What::Uuid => crate::model::uuid_key(&plain),
        _ => plain,
    }
}

/// Sorts out one sort of thing. What is written for several places is no proof of any of them and is left out.
fn compare(wanted: &BTreeMap<Spot, String>, seen: Seen, key: &dyn Fn(&str) -> String, out: &mut Vec<Finding>) {
    let mut belongs: BTreeMap<String, Spot> = BTreeMap::new();
    let mut several = BTreeSet::new();
    for (spot, text) in wanted {
        if belongs.insert(key(text), spot.clone()).is_some() {
            several.insert(key(text));
        }
    }
    belongs.retain(|text, _| !several.contains(text));
    let written = |spot: &Spot| wanted.get(spot).filter(|text| !several.contains(&key(text)));
    let seen: Seen = seen.into_iter().filter(|(spot, _)| written(spot).is_some()).collect();
    let keyed = seen.iter().map(|(spot, reading)| (spot.clone(), reading.clone().map(|text| key(&text)))).collect();
    for (spot, place) in sort_out(&belongs, &keyed) {
        let seen = seen.get(&spot).and_then(Reading::known).map(|text| text.trim().to_owned());
        let wanted = written(&spot).cloned().unwrap_or_default();
        out.push(Finding { node: spot.0, what: spot.1, wanted, seen, place });
    }
}

/// The boot MAC among the interfaces behind a node's SSH address: its own, or else the one of another node.
fn boot_mac(node: &Node, witness: &Witness, nodes: &BTreeMap<NodeId, Node>) -> Reading<String> {
    let nics = match &witness.nics {
        Reading::Known(nics) => nics,
        other => return other.clone().map(|_| String::new()),
    };
    let has = |mac: Mac| nics.iter().any(|nic| nic.has(mac));
    let others = || nodes.values().filter_map(|n| n.boot.mac).filter(|mac| has(*mac)).collect::<Vec<_>>();
    match (node.boot.mac.filter(|mac| has(*mac)), nics.iter().filter_map(|nic| nic.mac.known()).min()) {
        (Some(own), _) => Reading::Known(own.to_string()),
        (None, None) => Reading::unknown("its system names no MAC address"),
        (None, Some(any)) => match others().as_slice() {
            [one] => Reading::Known(one.to_string()),
            // It belongs to nobody, and which of its interfaces booted is not known.
            [] => Reading::Known(any.clone()),
            several => Reading::unknown(format!("its system has the boot MACs of {} other nodes", several.len())),
        },
    }
}

/// What is at the far end of a node's cable: a written plug where the neighbour is one, else the neighbour's own words.
fn far_end(
    node: &Node,
    interface: &str,
    witness: &Witness,
    nodes: &BTreeMap<NodeId, Node>,
    plugs: &BTreeMap<Spot, &Plug>,
) -> Reading<String> {
    let nics = match &witness.nics {
        Reading::Known(nics) => nics,
        other => return other.clone().map(|_| String::new()),
    };
    // When another tray stands there, its boot interface is the one with that tray's boot MAC.
    let of_a_node = |mac: &Mac| nodes.values().any(|n| n.boot.mac == Some(*mac));
    let there = boot_mac(node, witness, nodes).known().and_then(|mac| mac.parse().ok()).filter(of_a_node);
    let boots = there.or(node.boot.mac);
    let heard = match find_nic(nics, interface, boots).and_then(Nic::neighbour) {
        Ok(heard) => heard,
        Err(why) => return Reading::unknown(why),
    };
    // Its own first: two ways to write a switch may fit one neighbour.
    let own = node.cabling.get(interface).filter(|plug| plug.fits(heard));
    let fitting: BTreeSet<&Plug> = match own {
        Some(own) => BTreeSet::from([own]),
        None => plugs.values().copied().filter(|plug| plug.fits(heard)).collect(),
    };
    match fitting.iter().collect::<Vec<_>>().as_slice() {
        [only] => Reading::Known(only.to_string()),
        [] => Reading::Known(heard.to_string()),
        [one, two, ..] => Reading::unknown(format!("its neighbour {heard} may be {one} or {two} of the inventory")),
    }
}

/// Nodes whose SSH addresses are crossed while their BMCs' are not, by node.
fn crossed(findings: &[Finding]) -> BTreeMap<NodeId, NodeId> {
    let of = |node: &NodeId, what: What| findings.iter().find(|f| f.node == *node && f.what == what).map(|f| &f.place);
    let right = |node: &NodeId| of(node, What::BmcSerial) == Some(&Place::Right);
    let swapped = findings.iter().filter(|f| f.what == What::Serial).filter_map(|f| match &f.place {
        Place::Swapped((with, _)) if right(&f.node) && right(with) => Some((f.node.clone(), with.clone())),
        _ => None,
    });
    swapped.collect()
}

/// The name of an interface as people read it.
#[must_use]
pub fn interface_words(interface: &str) -> String {
    if interface == BOOT_INTERFACE { "its boot interface".to_owned() } else { format!("its interface {interface}") }
}
