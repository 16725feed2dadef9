//! Every accelerator that was bought: does it work, and if not, why? It counts; it never looks at hardware.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Member, Standing};
use crate::model::{Inventory, Node, NodeId};

/// Bought, working, idle. `working` and all of `idle` add up to `total`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// Accelerators that were bought, by the inventory.
    pub total: u64,
    /// Accelerators that work.
    pub working: u64,
    /// Those that do not, by reason; the largest loss first.
    pub idle: Vec<Idle>,
    /// Nodes that work although the inventory does not know them; they are in no other number.
    pub strangers: Vec<NodeId>,
}

/// Accelerators that are idle for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Why.
    pub why: String,
    /// On which nodes.
    pub nodes: Vec<NodeId>,
    /// How many.
    pub accelerators: u64,
}

/// Reasons that the pool itself does not hold, for a better answer than "never brought up".
#[derive(Debug, Clone, Default)]
pub struct Causes {
    /// Why a node that the pool does not know is out, such as the last run's block.
    pub nodes: BTreeMap<NodeId, String>,
    /// Why an accelerator of a working node is withheld, by node and device.
    pub devices: BTreeMap<(NodeId, String), String>,
}

/// Counts.
#[must_use]
pub fn capacity(inventory: &Inventory, members: &[Member], causes: &Causes) -> Capacity {
    let by_node: BTreeMap<&NodeId, &Member> = members.iter().map(|member| (&member.node, member)).collect();
    let mut tally = Tally::default();
    for node in inventory.nodes.values() {
        tally.total += u64::from(node.accelerator.count);
        count(node, by_node.get(&node.id).copied(), causes, &mut tally);
    }
    let strangers = members
        .iter()
        .filter(|member| matches!(member.standing, Standing::Working { .. }) && !inventory.nodes.contains_key(&member.node))
        .map(|member| member.node.clone())
        .collect();
    let mut idle: Vec<Idle> = tally
        .idle
        .into_iter()
        .map(|(why, (nodes, accelerators))| Idle { why, nodes: nodes.into_iter().collect(), accelerators })
        .collect();
    idle.sort_by(|a, b| b.accelerators.cmp(&a.accelerators).then_with(|| a.why.cmp(&b.why)));
    Capacity { total: tally.total, working: tally.working, idle, strangers }
}

#[derive(Default)]
struct Tally {
    total: u64,
    working: u64,
    idle: BTreeMap<String, (BTreeSet<NodeId>, u64)>,
}

impl Tally {
    fn lose(&mut self, node: &NodeId, why: String, accelerators: u64) {
        if accelerators > 0 {
            let entry = self.idle.entry(why).or_default();
            entry.0.insert(node.clone());
            entry.1 += accelerators;
        }
    }
}

fn count(node: &Node, member: Option<&Member>, causes: &Causes, tally: &mut Tally) {
    let bought = u64::from(node.accelerator.count);
    match member.map(|member| &member.standing) {
        Some(Standing::Working { devices, withheld }) => {
            let works = u64::try_from(devices.len()).unwrap_or(u64::MAX).min(bought);
            tally.working += works;
            let mut rest = bought - works;
            for device in withheld.iter().take(usize::try_from(rest).unwrap_or(usize::MAX)) {
                let known = causes.devices.get(&(node.id.clone(), device.device.clone()));
                let why = known.map_or_else(|| "its findings are not kept".to_owned(), Clone::clone);
                tally.lose(&node.id, format!("withheld by the gate ({}): {why}", device.verdict), 1);
                rest -= 1;
            }
            tally.lose(&node.id, "bought, but the gate that admitted the node did not know of it".to_owned(), rest);
        }
        Some(Standing::Drained { why }) => {
            tally.lose(&node.id, format!("drained: {why}"), bought);
        }
        None => {
            let held =
                (!node.admit).then(|| format!("held by override: {}", node.hold.as_deref().unwrap_or("no reason is written")));
            let why = held.or_else(|| causes.nodes.get(&node.id).cloned()).unwrap_or_else(|| "never brought up".to_owned());
            tally.lose(&node.id, why, bought);
        }
    }
}
