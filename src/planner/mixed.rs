//! Findings that are one thing: a pair (or ring) of trays, BMCs, systems or cables in each other's place, what the files should say instead, and what
//! hands could do instead of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cabling::{Finding, What};
use super::exchange::Place;
use crate::model::{Cell, CellMove, NodeId};

/// What stands in each other's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whole machines, or what the facts say of them.
    Trays,
    /// The BMCs alone.
    Bmcs,
    /// The systems behind the SSH addresses alone.
    Systems,
    /// The boot MACs alone.
    BootMacs,
    /// Cables.
    Cables,
}

/// A pair, or a longer ring, of things in each other's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mixed {
    /// Of what.
    pub kind: Kind,
    /// The places, each holding what belongs at the next.
    pub places: Vec<String>,
    /// By what it was seen.
    pub by: Vec<String>,
    /// In words.
    pub says: String,
    /// What the files should say.
    pub moves: Vec<CellMove>,
    /// What hands could do instead.
    pub or: String,
}

type Spot = (NodeId, What);

/// Gathers the findings that are in each other's place.
pub(super) fn mixed(findings: &[Finding]) -> Vec<Mixed> {
    let mut machines: BTreeMap<Vec<&NodeId>, BTreeSet<&What>> = BTreeMap::new();
    let mut cables: BTreeSet<Vec<Spot>> = BTreeSet::new();
    for found in findings {
        let here = || (found.node.clone(), found.what.clone());
        let ring = match &found.place {
            Place::Swapped(with) if here() < *with => vec![here(), with.clone()],
            Place::Ring(ring) if ring.first() == Some(&here()) => ring.clone(),
            _ => continue,
        };
        if matches!(found.what, What::Cable(_)) {
            cables.insert(ring);
        } else if let Some(nodes) = ring.iter().map(|(id, _)| findings.iter().map(|f| &f.node).find(|n| *n == id)).collect() {
            machines.entry(nodes).or_default().insert(&found.what);
        }
    }
    let told: BTreeMap<(&NodeId, &What), &Finding> = findings.iter().map(|f| ((&f.node, &f.what), f)).collect();
    let mut all: Vec<Mixed> = machines.iter().filter_map(|(nodes, by)| machine(nodes, by, &told)).collect();
    all.extend(cables.iter().map(|ring| cable(ring, &cables, &told)));
    all
}

/// One ring of machines. What was seen to be right is not moved, so that the files fit what was seen once they are changed.
fn machine(nodes: &[&NodeId], by: &BTreeSet<&What>, told: &BTreeMap<(&NodeId, &What), &Finding>) -> Option<Mixed> {
    let moved = |what: &What| by.contains(what);
    let right = |what: &What| nodes.iter().all(|n| told.get(&(*n, what)).is_some_and(|f| f.place == Place::Right));
    let by_bmc = moved(&What::BmcSerial) || moved(&What::BmcUuid);
    let in_band = moved(&What::Serial) || moved(&What::Uuid);
    let names = list(nodes.iter().map(|n| n.to_string()));
    let each = if nodes.len() == 2 { "each other's" } else { "the next one's" };
    let columns =
        |pairs: &[(&'static str, bool)]| pairs.iter().filter(|(_, yes)| *yes).map(|(column, _)| *column).collect::<Vec<_>>();
    // At the BMC's or SSH address of one the next one was met, so its own is to be looked for at the address of the one before.
    let (kind, says, columns, back, or) = if by_bmc && right(&What::Serial) {
        let says = format!("the BMCs of {names} answer at {each} addresses; the systems are where they belong");
        let columns = columns(&[("bmc_address", true), ("bmc_cert_sha256", right(&What::BmcCertificate))]);
        (Kind::Bmcs, says, columns, true, "swap the cables of the BMCs, or the addresses that they hold")
    } else if in_band && !by_bmc && right(&What::BmcSerial) {
        let says = format!("the systems of {names} answer at {each} SSH addresses; the BMCs are where they belong");
        let by_mac = right(&What::BootMac);
        let columns = columns(&[("boot_mac", by_mac), ("ssh_address", !by_mac)]);
        (Kind::Systems, says, columns, true, "swap the addresses that the systems hold")
    } else if by_bmc || in_band || moved(&What::BmcCertificate) {
        let says = format!("{names} stand in {each} place");
        let columns = columns(&[
            ("serial", moved(&What::BmcSerial) || moved(&What::Serial)),
            ("uuid", moved(&What::BmcUuid) || moved(&What::Uuid)),
            ("bmc_cert_sha256", moved(&What::BmcCertificate)),
            ("boot_mac", moved(&What::BootMac)),
        ]);
        (Kind::Trays, says, columns, false, "swap the trays, or the cables of both their BMCs and systems")
    } else if moved(&What::BootMac) {
        let says = format!("{names} have {each} boot MAC");
        (Kind::BootMacs, says, vec!["boot_mac"], false, "swap the network cards")
    } else {
        return None;
    };
    let moves = columns.iter().flat_map(|column| {
        let cell = |node: &NodeId| Cell::Fact { node: node.clone(), column };
        turned(nodes).map(move |(here, next)| match back {
            true => CellMove { to: cell(next), from: cell(here) },
            false => CellMove { to: cell(here), from: cell(next) },
        })
    });
    Some(Mixed {
        kind,
        places: nodes.iter().map(|n| n.to_string()).collect(),
        by: by.iter().map(|what| what.to_string()).collect(),
        says,
        moves: moves.collect(),
        or: or.replace("swap", if nodes.len() == 2 { "swap" } else { "move" }),
    })
}

/// One ring of cables.
fn cable(ring: &[Spot], all: &BTreeSet<Vec<Spot>>, told: &BTreeMap<(&NodeId, &What), &Finding>) -> Mixed {
    let name = |(node, what): &Spot| match what {
        What::Cable(interface) => format!("{node} {interface}"),
        other => format!("{node} {other}"),
    };
    let names = list(ring.iter().map(name));
    let each = if ring.len() == 2 { "each other's" } else { "the next one's" };
    let ports: Vec<String> = ring.iter().filter_map(|(n, w)| told.get(&(n, w)).map(|f| f.wanted.clone())).collect();
    let mut says = format!("the cables of {names} end at {each} ports");
    if let [(one, _), (two, _)] = ring
        && one != two
    {
        let between = all.iter().filter(|r| matches!(r.as_slice(), [(a, _), (b, _)] if (a, b) == (one, two))).count();
        let heard = |node: &NodeId| {
            let cables = told.iter().filter(|((n, what), _)| *n == node && matches!(what, What::Cable(_)));
            cables.filter(|(_, f)| !matches!(f.place, Place::Unheard(_))).count()
        };
        if between > 1 && heard(one) == between && heard(two) == between {
            says.push_str(", as do all cables of the two that were heard: their trays may stand in each other's slot");
        }
    }
    let cell = |(node, what): &Spot| match what {
        What::Cable(interface) => Some(Cell::Cable { node: node.clone(), interface: interface.clone() }),
        _ => None,
    };
    Mixed {
        kind: Kind::Cables,
        places: ring.iter().map(name).collect(),
        by: vec!["LLDP".to_owned()],
        says,
        moves: turned(ring).filter_map(|(here, next)| Some(CellMove { to: cell(here)?, from: cell(next)? })).collect(),
        or: format!("{} the cables at {}", if ring.len() == 2 { "swap" } else { "move" }, list(ports.into_iter())),
    }
}

/// Each place with the next.
fn turned<T>(ring: &[T]) -> impl Iterator<Item = (&T, &T)> {
    ring.iter().zip(ring.iter().cycle().skip(1))
}

/// `a, b and c`.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    let last = items.pop().unwrap_or_default();
    if items.is_empty() { last } else { format!("{} and {last}", items.join(", ")) }
}
