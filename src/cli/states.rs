//! Where each node stood in the newest run that touched it, for selections such as `state=quarantined`.

use std::collections::BTreeMap;

use super::global::Global;
use crate::journal::Journal;
use crate::model::NodeId;

/// The last known phase of each node; empty when there is no journal yet or it cannot be read.
#[must_use]
pub fn phases(global: &Global) -> BTreeMap<NodeId, String> {
    let mut phases = BTreeMap::new();
    let Ok(path) = global.journal_path() else { return phases };
    for run in Journal::runs(&path).unwrap_or_default() {
        for (id, node) in run.state.nodes {
            phases.insert(id, node.phase.to_string());
        }
    }
    phases
}
