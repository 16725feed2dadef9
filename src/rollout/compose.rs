//! From lines to a plan: waves in order, and the plan's own name.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::model::{Blocked, Digest, Inventory, Limits, NodeId, NodePlan, PLAN_FORMAT, Plan, PlanId, Playbook, RackId, Wave};

/// What a plan is composed of.
#[derive(Debug)]
pub struct Composition<'a> {
    /// The site as written.
    pub inventory: &'a Inventory,
    /// The playbook as written.
    pub playbook: &'a Playbook,
    /// SHA-256 of every input file.
    pub inputs: BTreeMap<String, Digest>,
    /// Lines of the nodes that are to be walked.
    pub lines: Vec<NodePlan>,
    /// Nodes that cannot be.
    pub blocked: Vec<Blocked>,
}

/// Composes a plan. Same composition, same bytes.
///
/// # Errors
/// The plan could not be written as JSON to take its digest; this happens only for a non-finite number in a policy.
pub fn compose(mut parts: Composition<'_>) -> Result<Plan, serde_json::Error> {
    parts.lines.sort_by(|a, b| a.node.cmp(&b.node));
    parts.blocked.sort_by(|a, b| a.node.cmp(&b.node));
    let mut domains = BTreeMap::new();
    for line in &parts.lines {
        if let Some(node) = parts.inventory.nodes.get(&line.node) {
            let feed = parts.inventory.racks.get(&node.rack).and_then(|r| r.feed.clone());
            domains.insert(line.node.clone(), (node.rack.clone(), feed, node.power.boot_w));
        }
    }
    let waves = waves(&parts);
    let mut plan = Plan {
        format_version: PLAN_FORMAT,
        id: PlanId::new("plan-0000000000000000").map_err(serde::ser::Error::custom)?,
        site: parts.inventory.site.clone(),
        playbook: parts.playbook.name.clone(),
        inventory: parts.inventory.digest.clone(),
        inputs: parts.inputs,
        limits: Limits { rollout: parts.playbook.rollout.clone(), domains },
        waves,
        nodes: parts.lines,
        blocked: parts.blocked,
    };
    plan.id = name(&plan)?;
    Ok(plan)
}

/// The name that a plan's content gives it; a plan whose `id` is another one was changed after it was made.
///
/// # Errors
/// As [`compose`].
pub fn name(plan: &Plan) -> Result<PlanId, serde_json::Error> {
    let mut plan = plan.clone();
    plan.id = PlanId::new("plan-0000000000000000").map_err(serde::ser::Error::custom)?;
    let digest = Digest::from_bytes(&Sha256::digest(serde_json::to_vec(&plan)?).into());
    PlanId::new(format!("plan-{}", digest.short())).map_err(serde::ser::Error::custom)
}

fn waves(parts: &Composition<'_>) -> Vec<Wave> {
    let rollout = &parts.playbook.rollout;
    let label = |id: &NodeId, (key, value): &(String, String)| {
        parts.inventory.nodes.get(id).is_some_and(|n| n.labels.get(key) == Some(value))
    };
    let (first, rest): (Vec<&NodeId>, Vec<&NodeId>) =
        parts.lines.iter().map(|l| &l.node).partition(|id| rollout.canary.as_ref().is_some_and(|c| label(id, c)));
    let mut waves = Vec::new();
    if !first.is_empty() {
        waves.push(Wave { canary: true, nodes: first.into_iter().cloned().collect() });
    }
    let mut queue: VecDeque<NodeId> = spread(parts.inventory, rest).into();
    let mut sizes = rollout.waves.iter().copied().filter(|&s| s > 0);
    let mut size = u32::MAX;
    while !queue.is_empty() {
        size = sizes.next().unwrap_or(size);
        let take = usize::try_from(size).unwrap_or(usize::MAX).min(queue.len());
        // Without labelled canaries the first of several waves is the canary.
        let canary = waves.is_empty() && rollout.waves.len() > 1;
        waves.push(Wave { canary, nodes: queue.drain(..take).collect() });
    }
    waves
}

/// Takes one node of each rack in turn, so that a wave meets every rack before it meets one twice.
fn spread(inventory: &Inventory, nodes: Vec<&NodeId>) -> Vec<NodeId> {
    let mut by_rack: BTreeMap<Option<&RackId>, VecDeque<&NodeId>> = BTreeMap::new();
    for id in nodes {
        by_rack.entry(inventory.nodes.get(id).map(|n| &n.rack)).or_default().push_back(id);
    }
    let mut order = Vec::new();
    while !by_rack.is_empty() {
        by_rack.retain(|_, queue| {
            order.extend(queue.pop_front().cloned());
            !queue.is_empty()
        });
    }
    order
}
