//! The account of a run: numbers, nodes, and every idle accelerator with its reason.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::journal::RunSummary;
use crate::model::{Judgement, Lifecycle, NodeId, Phase, RunId, Verdict};

/// The account of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Version of this shape.
    pub format_version: u32,
    /// Run.
    pub run: RunId,
    /// Plan.
    pub plan: String,
    /// Site.
    pub site: String,
    /// Playbook.
    pub playbook: String,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Why it is held.
    pub held: Option<String>,
    /// First event, RFC 3339 in UTC.
    pub started: String,
    /// Seconds from the first event to the last.
    pub seconds: f64,
    /// Nodes in each phase.
    pub phases: BTreeMap<String, usize>,
    /// Accelerators that were bought for the nodes of this run.
    pub accelerators: u64,
    /// Accelerators that work.
    pub working: u64,
    /// Every accelerator that does not, by reason.
    pub idle: Vec<IdleGroup>,
    /// Everything borrowed that could not be given back, as `node what: why`.
    pub not_given_back: Vec<String>,
    /// Every node.
    pub nodes: Vec<NodeAccount>,
    /// SHA-256 of every input file.
    pub inputs: BTreeMap<String, String>,
}

/// Idle accelerators with one reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdleGroup {
    /// Why.
    pub why: String,
    /// How many.
    pub accelerators: u64,
    /// On which nodes.
    pub nodes: Vec<NodeId>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeAccount {
    /// Node.
    pub node: NodeId,
    /// Where it stands.
    pub phase: Phase,
    /// The gate's verdict.
    pub verdict: Option<Verdict>,
    /// Accelerators that were bought.
    pub bought: u32,
    /// Accelerators that work.
    pub working: u32,
    /// Steps whose end was seen.
    pub steps: Vec<String>,
    /// Why it is where it is.
    pub why: Option<String>,
    /// How far its boot has come, while it is on its way or when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<String>,
    /// What was seen of it while its step failed: by the boot server, on its console.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// What was borrowed and could not be given back.
    pub kept: Vec<String>,
    /// Seconds from its first event to its last.
    pub seconds: Option<f64>,
    /// Accelerators with something to say.
    pub devices: Vec<Judgement>,
}

/// Makes the account of a run.
#[must_use]
pub fn account(run: &RunSummary) -> Account {
    let mut nodes = Vec::new();
    let mut idle: BTreeMap<String, (u64, Vec<NodeId>)> = BTreeMap::new();
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    let (mut accelerators, mut working) = (0_u64, 0_u64);
    let blocked: BTreeMap<&NodeId, u32> = run.plan.blocked.iter().map(|b| (&b.node, b.accelerators)).collect();
    let bought: BTreeMap<&NodeId, u32> =
        run.plan.nodes.iter().map(|n| (&n.node, n.suite.accelerator.count)).chain(blocked).collect();
    for (id, state) in &run.state.nodes {
        let count = bought.get(id).copied().unwrap_or(state.idle);
        let works = match state.phase {
            Phase::Admitted | Phase::Degraded => u32::try_from(state.admitted.len()).unwrap_or(u32::MAX).min(count),
            _ => 0,
        };
        accelerators += u64::from(count);
        working += u64::from(works);
        *phases.entry(state.phase.to_string()).or_default() += 1;
        for (why, number) in idle_of(state, count.saturating_sub(works)) {
            let group = idle.entry(why).or_default();
            group.0 += u64::from(number);
            if group.1.last() != Some(id) {
                group.1.push(id.clone());
            }
        }
        nodes.push(NodeAccount {
            node: id.clone(),
            phase: state.phase,
            verdict: state.verdict,
            bought: count,
            working: works,
            steps: state.done.iter().map(ToString::to_string).collect(),
            why: state.why.clone(),
            reached: state.reached.clone().filter(|_| matches!(state.phase, Phase::Working | Phase::Failed)),
            seen: state.seen.clone(),
            kept: state.kept.clone(),
            seconds: state.span_ms.map(seconds),
            devices: state.devices.iter().filter(|d| d.verdict != Verdict::Pass).cloned().collect(),
        });
    }
    let mut idle: Vec<IdleGroup> =
        idle.into_iter().map(|(why, (accelerators, nodes))| IdleGroup { why, accelerators, nodes }).collect();
    idle.sort_by(|a, b| b.accelerators.cmp(&a.accelerators).then_with(|| a.why.cmp(&b.why)));
    Account {
        format_version: 1,
        run: run.id.clone(),
        plan: run.plan.id.to_string(),
        site: run.plan.site.clone(),
        playbook: run.plan.playbook.clone(),
        lifecycle: run.state.lifecycle,
        held: run.state.held.clone(),
        started: run.state.span_ms.map_or_else(String::new, |(first, _)| timestamp(first)),
        seconds: run.state.span_ms.map_or(0.0, seconds),
        not_given_back: nodes.iter().flat_map(|n| n.kept.iter().map(move |kept| format!("{} {kept}", n.node))).collect(),
        phases,
        accelerators,
        working,
        idle,
        nodes,
        inputs: run.plan.inputs.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
    }
}

/// Why so many of a node's accelerators are idle.
fn idle_of(state: &crate::model::NodeState, idle: u32) -> Vec<(String, u32)> {
    if idle == 0 {
        return Vec::new();
    }
    if state.phase == Phase::Degraded {
        let bad: Vec<&Judgement> = state.devices.iter().filter(|d| !d.verdict.admissible()).collect();
        // One that nobody bought may be among them: no more are idle than were bought and do not work.
        let most = usize::try_from(idle).unwrap_or(usize::MAX);
        let mut reasons: Vec<(String, u32)> = bad.iter().take(most).map(|d| (device_reason(d), 1)).collect();
        let named = u32::try_from(reasons.len()).unwrap_or(u32::MAX);
        if named < idle {
            reasons.push(("withheld by the gate without a device to name".to_owned(), idle - named));
        }
        return reasons;
    }
    let why = state.why.clone().unwrap_or_else(|| format!("the node is {}", state.phase));
    vec![(why, idle)]
}

fn device_reason(device: &Judgement) -> String {
    let why = device.why();
    if why.is_empty() { device.verdict.to_string() } else { why }
}

// Milliseconds of a run fit a double exactly up to 2^53 (285,000 years).
#[allow(clippy::cast_precision_loss)]
fn seconds(span: (i64, i64)) -> f64 {
    span.1.saturating_sub(span.0) as f64 / 1000.0
}

/// RFC 3339 in UTC; empty when the number is no time.
pub(super) fn timestamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
