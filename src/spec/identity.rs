//! No two nodes share what makes a node itself: MAC, serial number, UUID, address, accelerator serial. Both places are told.

use std::collections::{BTreeMap, HashMap};

use super::code;
use super::diagnostic::{Diagnostics, quote};
use super::expand::{Slot, stack};
use super::facts::Facts;
use super::grouped::Grouped;
use super::site::Site;
use super::source::Span;
use crate::model::{Node, NodeId};

/// What was read and expanded so far.
#[derive(Debug, Clone, Copy)]
pub struct Expanded<'a> {
    /// The intent.
    pub site: &'a Site,
    /// Its slots.
    pub slots: &'a BTreeMap<NodeId, Slot>,
    /// Their facts.
    pub facts: &'a Facts,
}

impl Expanded<'_> {
    /// Where a claim is written: the cell of the facts, else the rule that computes it, else the block.
    fn place(&self, id: &NodeId, column: &str) -> Option<Span> {
        if let Some(row) = self.facts.rows.get(id.as_str()).filter(|r| r.get(column).is_some()) {
            return Some(row.span(column));
        }
        let slot = self.slots.get(id)?;
        let (path, naming) = match column {
            "bmc_address" => ("bmc.address", self.site.bmc_ip.as_ref()),
            _ => ("ssh.address", self.site.ip.as_ref()),
        };
        let layers = stack(self.site, slot, &mut Diagnostics::new());
        let set = layers.and_then(|s| s.find(path).map(|(setting, _)| setting.span));
        let block = self.site.blocks.get(slot.block).map(|b| b.range.span);
        set.or(naming.map(|n| n.span)).or(block)
    }
}

/// Checks every node against every other, in one pass.
pub fn check(given: Expanded<'_>, nodes: &BTreeMap<NodeId, Node>, out: &mut Diagnostics) {
    let mut seen: HashMap<(&str, String), (&NodeId, &str)> = HashMap::new();
    let mut grouped = Grouped::default();
    let asked = |word: &str| given.site.unique.iter().any(|u| u.value == word);
    let (bmc_ip, ip) = (asked("bmc_ip"), asked("ip"));
    // BMCs may share an address when one service drives several systems, each of them named.
    let mut named: HashMap<std::net::SocketAddr, bool> = HashMap::new();
    for node in nodes.values() {
        let all = named.entry(node.bmc.address).or_insert(true);
        *all = *all && node.bmc.system.is_some();
    }
    for (id, node) in nodes {
        let system = node.bmc.system.as_deref().filter(|_| named.get(&node.bmc.address) == Some(&true));
        let bmc = system.map_or_else(|| node.bmc.address.to_string(), |s| format!("{} system {s}", node.bmc.address));
        let mut claims: Vec<(&'static str, String, &'static str)> =
            vec![("address", bmc, "bmc_address"), ("address", node.ssh.address.to_string(), "ssh_address")];
        claims.extend(node.serial.iter().map(|s| ("serial number", s.clone(), "serial")));
        claims.extend(node.uuid.iter().map(|u| ("UUID", u.clone(), "uuid")));
        claims.extend(node.bmc.mac.iter().map(|m| ("MAC address", m.to_string(), "bmc_mac")));
        claims.extend(node.boot.mac.iter().map(|m| ("MAC address", m.to_string(), "boot_mac")));
        claims.extend(node.accelerator_serials.iter().map(|s| ("accelerator serial number", s.clone(), "accelerator_serials")));
        claims.extend(bmc_ip.then(|| ("BMC IP", node.bmc.address.ip().to_string(), "bmc_address")));
        claims.extend(ip.then(|| ("IP", node.boot.ip.to_string(), "ssh_address")));
        for (kind, value, column) in claims {
            let Some((other, first)) = seen.get(&(kind, value.clone())).copied() else {
                seen.insert((kind, value), (id, column));
                continue;
            };
            let Some(span) = given.place(id, column) else { continue };
            let also = given.place(other, first).map(|s| (s, format!("first, for {other}")));
            grouped.pair(code::DUPLICATE_IDENTITY, span, also, id.as_str(), || match other == id {
                true => format!("{id} has the {kind} {} twice", quote(&value)),
                false => format!("{other} and {id} have the same {kind} {}", quote(&value)),
            });
        }
    }
    grouped.tell(out);
}
