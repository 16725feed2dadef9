//! Asks nodes the gate's questions and lets the gate judge, many at once: shared by `verify` and `pool admit`. It changes nothing on a node.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::failure::{Exit, Failure, Result};
use super::global::{Global, today};
use super::hands::Hands;
use super::site::Site;
use crate::model::{Answer, Node, NodeId, Probe, Verdict};
use crate::planner;
use crate::shell::Shell;
use crate::verify::{self, Admission, Answers, Judged};

/// Most nodes that are asked at once: each holds one SSH connection (65 KiB measured, crates.md §3).
const AT_ONCE: usize = 256;

/// One node's judgement.
pub struct Gated {
    /// Node.
    pub node: NodeId,
    /// Accelerators that were bought.
    pub bought: u32,
    /// What the gate concluded.
    pub judged: Judged,
    /// The key to the pool, when the node may work.
    pub admission: Option<Admission>,
    /// Why no question was answered, when none was.
    pub unreached: Option<String>,
}

impl Gated {
    /// True when every accelerator may work.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.admission.as_ref().is_some_and(|key| !key.degraded())
    }

    /// What keeps it out or is worth knowing: the worst finding that is not a pass.
    #[must_use]
    pub fn worst(&self) -> Option<String> {
        let found = |f: &crate::model::Finding| (f.verdict > Verdict::Pass).then(|| format!("{}: {}", f.check, f.detail));
        self.judged
            .findings
            .iter()
            .chain(self.judged.devices.iter().flat_map(|d| &d.findings))
            .max_by_key(|f| f.verdict)
            .and_then(found)
    }
}

/// Asks and judges, in node order.
///
/// # Errors
/// A node's policy is not in the playbook, or its private key cannot be had.
pub async fn examine_all(global: &Global, site: &Site, hands: &Hands, nodes: &BTreeSet<NodeId>) -> Result<Vec<Gated>> {
    hands.prepare_shells(nodes.iter().filter_map(|id| site.inventory.nodes.get(id))).await;
    let mut work = Vec::new();
    for node in nodes.iter().filter_map(|id| site.inventory.nodes.get(id)) {
        let policy = site.playbook.policies.get(&node.verify).ok_or_else(|| {
            Failure::new(Exit::INVALID, format!("{}: the playbook has no policy `{}`", node.id, node.verify))
                .hint("bringup validate")
        })?;
        work.push((node, planner::suite(node, policy), hands.shell(node)?));
    }
    let (bar, today) = (bar(global, work.len()), today());
    let mut gated: Vec<Gated> = futures_util::stream::iter(work)
        .map(|(node, suite, shell)| {
            let (bar, today) = (bar.clone(), &today);
            async move {
                let (answers, unreached) = ask(shell.as_ref(), &verify::probes(&suite)).await;
                hands.leave(&node.id).await;
                bar.inc(1);
                let (judged, admission) = verify::judge(&node.id, &node.pool, &suite, &answers, today);
                Gated { node: node.id.clone(), bought: suite.accelerator.count, judged, admission, unreached }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    bar.finish_and_clear();
    gated.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(gated)
}

/// All answers. A node on which nothing could be run at all is not asked again for each question.
async fn ask(shell: &dyn Shell, probes: &[Probe]) -> (Answers, Option<String>) {
    let mut answers: Answers = BTreeMap::new();
    let mut refused: Option<String> = None;
    for probe in probes {
        let answer = match &refused {
            Some(why) => Answer::Unknown { why: why.clone() },
            None => match shell.run(probe).await {
                Ok(answer) => answer,
                Err(error) => {
                    let why = error.to_string();
                    refused = Some(why.clone());
                    Answer::Unknown { why }
                }
            },
        };
        answers.insert(probe.id.clone(), answer);
    }
    let heard = answers.values().any(|answer| matches!(answer, Answer::Output(_)));
    let why = || match answers.values().next() {
        Some(Answer::Unknown { why }) => why.clone(),
        _ => "nothing was asked".to_owned(),
    };
    let unreached = if heard { None } else { Some(refused.unwrap_or_else(why)) };
    (answers, unreached)
}

/// A node that an override keeps out.
///
/// # Errors
/// The first such node, as refused by policy.
pub fn held<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Result<()> {
    for node in nodes {
        if !node.admit {
            let why = node.hold.as_deref().unwrap_or("no reason is written");
            return Err(Failure::new(Exit::POLICY, format!("{} is held by an override: {why}", node.id))
                .hint(format!("bringup show {} --why admit", node.id)));
        }
    }
    Ok(())
}

/// The exit code of a judgement: 10 when no node was reached, 8 when any accelerator was refused.
#[must_use]
pub fn exit_of(gated: &[Gated]) -> Exit {
    if !gated.is_empty() && gated.iter().all(|g| g.unreached.is_some()) {
        Exit::UNREACHABLE
    } else if gated.iter().all(Gated::whole) {
        Exit::DONE
    } else {
        Exit::GATE
    }
}

fn bar(global: &Global, total: usize) -> ProgressBar {
    if !global.out.bars {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{prefix:>8} {bar:24} {pos}/{len} nodes {elapsed}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.with_prefix("gate")
}
