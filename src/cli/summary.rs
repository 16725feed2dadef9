//! The table at the end of a run: what joined, what was refused and why.

use super::global::Global;
use super::output::Format;
use crate::journal::RunSummary;
use crate::model::{Phase, Plan, RunId, RunState};
use crate::report::{Account, account};
use crate::spec::fold;

/// Most things that were not given back which the summary names; the report names all.
const MOST_KEPT: usize = 20;

/// Most nodes of which is told what was seen while they failed; the report tells it of all.
const MOST_SEEN: usize = 3;

/// Prints how a run stands.
pub fn print(global: &Global, id: &RunId, plan: &Plan, state: &RunState) {
    let at_ms = state.span_ms.map_or(0, |s| s.0);
    let account = account(&RunSummary { id: id.clone(), at_ms, state: state.clone(), plan: plan.clone() });
    match global.out.format {
        Format::Json => global.out.json(&account),
        Format::Md => global.out.line(crate::report::markdown(&account)),
        _ => global.out.line(text(global, &account)),
    }
}

/// The account for people.
#[must_use]
pub fn text(global: &Global, account: &Account) -> String {
    let mut rows = Vec::new();
    for phase in [Phase::Admitted, Phase::Pending, Phase::Judged] {
        let nodes: Vec<_> = account.nodes.iter().filter(|n| n.phase == phase).collect();
        if let Some(first) = nodes.first() {
            let (works, bought) = nodes.iter().fold((0, 0), |(w, b), n| (w + n.working, b + n.bought));
            let why = if nodes.len() == 1 { first.why.clone().unwrap_or_default() } else { String::new() };
            rows.push(vec![fold(nodes.iter().map(|n| n.node.as_str())), phase.to_string(), format!("{works}/{bought}"), why]);
        }
    }
    rows.extend(boots(account));
    for node in account.nodes.iter().filter(|n| n.phase.failed() || matches!(n.phase, Phase::Degraded | Phase::Blocked)) {
        let why = if node.phase == Phase::Degraded { idle_devices(node) } else { node.why.clone().unwrap_or_default() };
        rows.push(vec![node.node.to_string(), node.phase.to_string(), format!("{}/{}", node.working, node.bought), why]);
    }
    let mut text = global.out.render_table(&["nodes", "state", "working", "why"], rows);
    text.push_str(&format!(
        "\n\n{} of {} accelerators work; {} idle, each with its reason\nrun {}  {}  {:.1} s",
        account.working,
        account.accelerators,
        account.accelerators.saturating_sub(account.working),
        account.run,
        account.lifecycle,
        account.seconds
    ));
    let seen: Vec<_> = account.nodes.iter().filter(|node| !node.seen.is_empty()).collect();
    for node in seen.iter().take(MOST_SEEN) {
        text.push_str(&format!("\n\nwhat was seen of {}:", node.node));
        for line in &node.seen {
            text.push_str(&format!("\n  {}", super::output::escape(line).replace('\n', " ")));
        }
    }
    if let Some(more @ 1..) = seen.len().checked_sub(MOST_SEEN) {
        text.push_str(&format!("\n\nand of {more} more; all are in `bringup report {} -o md`", account.run));
    }
    for kept in account.not_given_back.iter().take(MOST_KEPT) {
        text.push_str(&format!("\nnot given back: {}", super::output::escape(kept)));
    }
    if let Some(more @ 1..) = account.not_given_back.len().checked_sub(MOST_KEPT) {
        text.push_str(&format!("\nnot given back: {more} more; all are in `bringup report {} -o md`", account.run));
    }
    text
}

/// Nodes on their way, those together that have come equally far.
fn boots(account: &Account) -> Vec<Vec<String>> {
    let mut groups: std::collections::BTreeMap<Option<&str>, Vec<&crate::report::NodeAccount>> =
        std::collections::BTreeMap::new();
    for node in account.nodes.iter().filter(|n| n.phase == Phase::Working) {
        groups.entry(node.reached.as_deref()).or_default().push(node);
    }
    let row = |(reached, nodes): (Option<&str>, Vec<&crate::report::NodeAccount>)| {
        let (works, bought) = nodes.iter().fold((0, 0), |(w, b), n| (w + n.working, b + n.bought));
        let names = fold(nodes.iter().map(|n| n.node.as_str()));
        vec![
            names,
            Phase::Working.to_string(),
            format!("{works}/{bought}"),
            reached.map(|r| format!("reached: {r}")).unwrap_or_default(),
        ]
    };
    groups.into_iter().map(row).collect()
}

fn idle_devices(node: &crate::report::NodeAccount) -> String {
    let bad = node.devices.iter().filter(|d| !d.verdict.admissible());
    bad.map(crate::model::Judgement::told).collect::<Vec<_>>().join("; ")
}
