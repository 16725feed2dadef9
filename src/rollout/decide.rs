//! The one place where caution lives.

use std::collections::BTreeMap;

use crate::model::{Lifecycle, NodeId, NodeState, Phase, Plan, RunState, Wave};

/// What the dispatcher is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start these nodes.
    Start(Vec<NodeId>),
    /// Nothing may start until something ends.
    Wait,
    /// Nothing may start until a person says so.
    Hold {
        /// Why.
        why: String,
    },
    /// Every node has ended.
    Finished,
}

/// Decides. `taken_up` are nodes that a task of this process walks; a node that is under way in the state but not taken up was under
/// way when an earlier process stopped, and goes first.
#[must_use]
pub fn decide(plan: &Plan, run: &RunState, taken_up: &dyn Fn(&NodeId) -> bool) -> Decision {
    let phase = |id: &NodeId| run.nodes.get(id).map_or(Phase::Pending, |n| n.phase);
    let ended = |id: &NodeId| run.nodes.get(id).is_some_and(NodeState::ended);
    if plan.nodes.iter().all(|n| ended(&n.node)) {
        return Decision::Finished;
    }
    if run.lifecycle == Lifecycle::Held {
        return Decision::Hold { why: run.held.clone().unwrap_or_else(|| "held".to_owned()) };
    }
    // What was begun is brought to an end first, whatever the budget says: a half-booted node helps nobody.
    let adrift: Vec<NodeId> = plan
        .nodes
        .iter()
        .map(|n| &n.node)
        .filter(|id| run.nodes.get(id).is_some_and(NodeState::under_way) && !taken_up(id))
        .cloned()
        .collect();
    if !adrift.is_empty() {
        return Decision::Start(adrift);
    }
    if let Some(why) = breach(plan, run) {
        return Decision::Hold { why };
    }
    let Some(wave) = plan.waves.iter().find(|w| w.nodes.iter().any(|id| !ended(id))) else {
        return Decision::Hold { why: "the plan has nodes that are in no wave".to_owned() };
    };
    let mut load = Load::default();
    for line in &plan.nodes {
        if taken_up(&line.node) && !ended(&line.node) {
            load.add(plan, &line.node);
        }
    }
    let busy = load.nodes > 0;
    let start = pick(plan, wave, &phase, taken_up, &mut load);
    match (start.is_empty(), busy) {
        (false, _) => Decision::Start(start),
        (true, true) => Decision::Wait,
        (true, false) => Decision::Hold {
            why: "no node fits the limits: one node alone is over max_nodes, max_per_rack or max_per_feed_w".to_owned(),
        },
    }
}

fn pick<'a>(
    plan: &'a Plan,
    wave: &Wave,
    phase: &dyn Fn(&NodeId) -> Phase,
    taken_up: &dyn Fn(&NodeId) -> bool,
    load: &mut Load<'a>,
) -> Vec<NodeId> {
    let mut start = Vec::new();
    for id in &wave.nodes {
        if phase(id) == Phase::Pending && !taken_up(id) && load.fits(plan, id) {
            load.add(plan, id);
            start.push(id.clone());
        }
    }
    start
}

/// Says which budget is breached, if one is.
fn breach(plan: &Plan, run: &RunState) -> Option<String> {
    let policy = &plan.limits.rollout;
    // What a person has seen and released the run in spite of is not held against it again.
    let counts = |id: &&NodeId| run.nodes.get(id).is_some_and(|n| n.phase.failed()) && !run.excused.contains(id);
    let failed = |ids: &mut dyn Iterator<Item = &NodeId>| ids.filter(counts).count();
    for wave in plan.waves.iter().filter(|w| w.canary) {
        let count = failed(&mut wave.nodes.iter());
        if count > usize::try_from(policy.canary_failures).unwrap_or(usize::MAX) {
            return Some(format!(
                "{count} of {} canary nodes failed; the policy allows {}",
                wave.nodes.len(),
                policy.canary_failures
            ));
        }
    }
    let count = failed(&mut plan.nodes.iter().map(|n| &n.node));
    // Both counts are far below 2^53, so the conversion is exact.
    #[allow(clippy::cast_precision_loss)]
    let (failures, allowed) = (count as f64 * 100.0, policy.total_failures_pct * plan.nodes.len() as f64);
    (failures > allowed)
        .then(|| format!("{count} of {} nodes failed; the policy allows {} %", plan.nodes.len(), policy.total_failures_pct))
}

/// What is under way, by fault domain.
#[derive(Debug, Default)]
struct Load<'a> {
    nodes: u32,
    racks: BTreeMap<&'a str, u32>,
    feeds: BTreeMap<&'a str, u64>,
}

impl<'a> Load<'a> {
    fn fits(&self, plan: &Plan, id: &NodeId) -> bool {
        let policy = &plan.limits.rollout;
        if self.nodes >= policy.max_nodes {
            return false;
        }
        let Some((rack, feed, watts)) = plan.limits.domains.get(id) else { return true };
        if self.racks.get(rack.as_str()).copied().unwrap_or(0) >= policy.max_per_rack {
            return false;
        }
        match (feed, policy.max_per_feed_w) {
            (Some(feed), Some(limit)) => {
                self.feeds.get(feed.as_str()).copied().unwrap_or(0).saturating_add(u64::from(*watts)) <= u64::from(limit)
            }
            _ => true,
        }
    }

    fn add(&mut self, plan: &'a Plan, id: &NodeId) {
        self.nodes += 1;
        if let Some((rack, feed, watts)) = plan.limits.domains.get(id) {
            *self.racks.entry(rack.as_str()).or_default() += 1;
            if let Some(feed) = feed {
                *self.feeds.entry(feed.as_str()).or_default() += u64::from(*watts);
            }
        }
    }
}
