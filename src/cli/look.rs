//! Surveys many nodes at once and plans them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Result;
use super::global::Global;
use super::hands::Hands;
use super::lanes::lanes;
use super::site::Site;
use crate::model::{Installable, NodeId, Observed, Plan, Playbook, Reading};
use crate::planner::{Ask, Line, Mixed, Witness, line, prove};
use crate::pool::{Member, Standing};
use crate::rollout::{Composition, compose};
use crate::spec::fold;
use crate::survey::{Asked, survey};

/// Most nodes that are surveyed at once, those that do not answer apart. A survey holds one TLS and one SSH connection (65 KiB measured, crates.md §3).
const AT_ONCE: usize = 256;

/// What a look at the fleet found.
pub struct Looked {
    /// The plan.
    pub plan: Plan,
    /// Nodes that need nothing.
    pub settled: Vec<NodeId>,
    /// Nodes that stand in each other's place.
    pub mixed: Vec<Mixed>,
    /// What was found on every node.
    pub observed: BTreeMap<NodeId, Observed>,
}

/// What the playbook needs to know of a node: its stack, and the disk below it when the image on it has no other way to be known again.
fn asked<'a>(playbook: &'a Playbook, own: Option<&String>) -> Asked<'a> {
    let stack = own.or(playbook.baseline.stack.as_ref()).and_then(|name| playbook.stacks.get(name));
    let root_disk = matches!(&playbook.baseline.install, Some(install) if matches!(install.image, Installable::Disk(_)));
    Asked { stack, root_disk }
}

/// Resolves the secrets of these nodes before the first packet: one that is not to be had is a mistake of the input, not a silent node.
///
/// # Errors
/// Exit code 3, naming the reference and the node.
fn resolve(site: &Site, hands: &Hands, nodes: &[NodeId]) -> Result<()> {
    for node in nodes.iter().filter_map(|id| site.inventory.nodes.get(id)) {
        hands.bmc(node)?;
        hands.shell(node)?;
    }
    Ok(())
}

/// Surveys these nodes.
///
/// # Errors
/// A secret is not to be had; nobody was asked anything.
pub async fn look(global: &Global, site: &Site, hands: &Arc<Hands>, nodes: Vec<NodeId>) -> Result<BTreeMap<NodeId, Observed>> {
    let written = || nodes.iter().filter_map(|id| site.inventory.nodes.get(id));
    hands.prepare_bmcs(written()).await;
    hands.prepare_shells(written()).await;
    resolve(site, hands, &nodes)?;
    let bar = bar(global, nodes.len());
    let written = nodes.into_iter().filter_map(|id| site.inventory.nodes.get(&id));
    let found = lanes(written, AT_ONCE, |node| {
        let bar = bar.clone();
        async move {
            let observed = match (hands.bmc(node), hands.shell(node)) {
                (Ok(bmc), Ok(shell)) => survey(bmc.as_ref(), shell.as_ref(), asked(&site.playbook, node.stack.as_ref())).await,
                (Err(failure), _) | (_, Err(failure)) => nothing_known(&failure.error.to_string()),
            };
            hands.leave(&node.id).await;
            bar.inc(1);
            (node.id.clone(), observed)
        }
    })
    .collect()
    .await;
    bar.finish_and_clear();
    Ok(found)
}

fn nothing_known(why: &str) -> Observed {
    Observed {
        bmc: Reading::unknown(why),
        power: Reading::unknown(why),
        boot: Reading::unknown(why),
        firmware: Reading::unknown(why),
        system: Reading::unknown(why),
        stack: BTreeMap::new(),
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
    bar.with_prefix("look")
}

/// Looks at every selected node and composes the plan.
///
/// # Errors
/// A secret is not to be had, or the plan could not be written as JSON.
pub async fn plan(global: &Global, site: &Site, hands: &Arc<Hands>, members: &[Member]) -> Result<Looked> {
    let observed = look(global, site, hands, site.selected.iter().cloned().collect()).await?;
    let works: std::collections::BTreeSet<&NodeId> =
        members.iter().filter(|m| matches!(m.standing, Standing::Working { .. })).map(|m| &m.node).collect();
    let (mut lines, mut blocked, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    for (id, seen) in &observed {
        let Some(node) = site.inventory.nodes.get(id) else { continue };
        match line(&Ask { node, playbook: &site.playbook, observed: seen, in_pool: works.contains(id) }) {
            Line::Settled => settled.push(id.clone()),
            Line::Walk(plan) => lines.push(*plan),
            Line::Blocked(why) => blocked.push(why),
        }
    }
    let witnesses = observed.iter().map(|(id, seen)| (id.clone(), Witness::of(seen))).collect();
    let mixed = prove(&site.inventory.nodes, &witnesses).mixed;
    for node in &mut blocked {
        if let Some(pair) = mixed.iter().find(|m| m.places.iter().any(|place| place == node.node.as_str())) {
            node.why.push_str(&format!("; {}", pair.says));
            node.hint = format!("bringup verify '{}' --cabling", fold(pair.places.iter().map(String::as_str)));
        }
    }
    let parts = Composition { inventory: &site.inventory, playbook: &site.playbook, inputs: site.inputs.clone(), lines, blocked };
    Ok(Looked { plan: compose(parts)?, settled, mixed, observed })
}
