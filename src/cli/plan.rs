//! `bringup plan`: looks at the hardware, prints what would change and why, saves the plan.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::boots::boots;
use super::cabling::{Patched, pairs};
use super::failure::{Exit, Failure, Result};
use super::fit;
use super::global::{Global, today};
use super::hands::{Hands, Trust};
use super::look::{Looked, plan};
use super::output::escape;
use super::site::site_with_artifacts;
use crate::model::{ActionSpec, BootTarget, NodeId, NodePlan, Plan, Wipe};
use crate::pool::{Ledger, Pool as _};
use crate::spec::{LoadedInventory, fold, load_inventory};

/// Looks at the hardware, prints what would change and why, and saves the plan
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup plan -p playbooks/gpu-bringup.yaml -s 'rack=a001' --out rack-a001.plan.json")]
pub struct Args {
    /// File for the plan; `apply FILE` then does exactly this
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Runs the verb.
///
/// # Errors
/// Every mistake of the input, or a plan that cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let site = site_with_artifacts(global)?;
    let hands = Arc::new(Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global));
    let ledger = Ledger::open(&global.state_dir()?.join("pool.db"))?;
    let looked = plan(global, &site, &hands, &ledger.list().await?).await?;
    if let Some(file) = &args.out {
        save(&looked.plan, file)?;
    }
    if global.out.is_json() {
        global.out.json(&looked.plan);
    } else {
        global.out.line(describe(&looked, global.out.width.into()));
        if let Some(boots) = boots(&looked.plan, &site.inventory) {
            global.out.line(fit::words(&format!("boots     {boots}"), global.out.width.into(), 10));
        }
        mixed(global, &site, &looked);
        match &args.out {
            Some(file) => global.talk(format!("\nsaved: {}\nnext:  bringup apply {}", file.display(), file.display())),
            None if !looked.plan.nodes.is_empty() => {
                global.talk("\nnext:  bringup apply, or bringup plan --out FILE to keep this plan")
            }
            None => {}
        }
    }
    if looked.plan.nodes.is_empty() && !looked.plan.blocked.is_empty() && looked.settled.is_empty() {
        let number = looked.plan.blocked.len();
        return Err(Failure::new(Exit::UNREACHABLE, format!("none of {number} nodes can be planned"))
            .hint("the reasons are in the list above"));
    }
    Ok(if args.detailed_exitcode && !looked.plan.nodes.is_empty() { Exit::CHANGES } else { Exit::DONE })
}

/// Nodes in each other's place, with the change of the facts that would make them right.
fn mixed(global: &Global, site: &super::site::Site, looked: &Looked) {
    if looked.mixed.is_empty() {
        return;
    }
    // Read once more, and taken only if nobody changed it since it was planned from.
    let same = |loaded: &LoadedInventory| loaded.inputs.iter().all(|(file, digest)| site.inputs.get(file) == Some(digest));
    let loaded = load_inventory(&global.flags.inventory, &today()).ok().filter(same);
    let Some(loaded) = loaded else {
        global.talk("the inventory was changed while it was planned from; bringup verify SELECT --cabling has the patch");
        return;
    };
    let patched = Patched::of(&loaded, &looked.mixed);
    global.out.line(format!("\nin each other's place\n{}", pairs(&looked.mixed, &patched).trim_end()));
    if !patched.whole.is_empty() {
        global.out.line(format!("\n{}", escape(patched.whole.trim_end())));
    }
}

/// Writes a plan beside its place and moves it there, so that no half plan is ever read.
fn save(plan: &Plan, file: &std::path::Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(plan)?;
    text.push('\n');
    let part = file.with_extension("part");
    let fail = |e: std::io::Error| {
        Failure::new(Exit::ERROR, format!("write the plan {}: {e}", file.display())).hint("give a writable place with --out")
    };
    std::fs::write(&part, text).map_err(fail)?;
    std::fs::rename(&part, file).map_err(fail)
}

/// The plan for people: one block per group of equal nodes.
#[must_use]
pub fn describe(looked: &Looked, width: usize) -> String {
    let plan = &looked.plan;
    let accelerators: u64 = plan.nodes.iter().map(|n| u64::from(n.suite.accelerator.count)).sum();
    let mut text = format!(
        "{}  site {}  playbook {}\n{} to bring up with {accelerators} accelerators, {} blocked, {} settled\n",
        plan.id,
        plan.site,
        plan.playbook,
        nodes(plan.nodes.len()),
        plan.blocked.len(),
        looked.settled.len()
    );
    for (lines, members) in groups(plan) {
        let count = if members.len() == 1 { String::new() } else { format!("  ({} nodes)", members.len()) };
        let names = fit::names(&fold(members.iter().map(|id| id.as_str())), width.saturating_sub(16));
        text.push_str(&format!("\n  {}{count}\n", names.replace('\n', "\n  ")));
        for line in lines {
            text.push_str(&format!("{}\n", fit::words(&format!("    {}", escape(&line)), width, 15)));
        }
    }
    if !plan.blocked.is_empty() {
        text.push_str("\nblocked\n");
        for blocked in &plan.blocked {
            let why: String = escape(&blocked.why).chars().take(width.max(60) * 2).collect();
            let why = fit::words(&format!("  {}  {why}", blocked.node), width, 6);
            text.push_str(&format!("{why}\n      next: {}\n", blocked.hint));
        }
    }
    if !plan.nodes.is_empty() {
        text.push_str(&format!("\n{}", forecast(plan)));
    }
    text.trim_end().to_owned()
}

fn nodes(number: usize) -> String {
    format!("{number} node{}", if number == 1 { "" } else { "s" })
}

/// Nodes with the same lines, in the order of their first node.
fn groups(plan: &Plan) -> Vec<(Vec<String>, Vec<&NodeId>)> {
    let mut by_lines: BTreeMap<Vec<String>, Vec<&NodeId>> = BTreeMap::new();
    for node in &plan.nodes {
        by_lines.entry(lines(node)).or_default().push(&node.node);
    }
    let mut groups: Vec<_> = by_lines.into_iter().collect();
    groups.sort_by(|a, b| a.1.first().cmp(&b.1.first()));
    groups
}

fn lines(node: &NodePlan) -> Vec<String> {
    let mut lines: Vec<String> = node
        .steps
        .iter()
        .map(|step| {
            let end = match &step.action {
                ActionSpec::Netboot { image, method, .. } => {
                    let by = if *method == BootTarget::Cd { "virtual media".to_owned() } else { method.to_string() };
                    format!("image {image} by {by}{}", from_cache(&step.action))
                }
                ActionSpec::InstallStack { stack, .. } => format!("stack {stack}"),
                ActionSpec::InstallImage { image, disk, wipe, .. } => {
                    format!("image {image} on disk ({disk}{}){}", lost(*wipe), from_cache(&step.action))
                }
                ActionSpec::WriteDisk { image, disk, wipe, .. } => {
                    format!("disk image {image} on disk ({disk}{}){}", lost(*wipe), from_cache(&step.action))
                }
            };
            format!("{:<10} {end}: {}", step.id, step.why)
        })
        .collect();
    let accelerator = &node.suite.accelerator;
    lines.push(format!(
        "{:<10} policy {} v{}: {} × {} {} into pool {}",
        "gate",
        node.suite.policy.name,
        node.suite.policy.version,
        accelerator.count,
        accelerator.kind,
        accelerator.model,
        node.pool
    ));
    lines
}

fn lost(wipe: Wipe) -> &'static str {
    if wipe == Wipe::Yes { "; WHAT THE DISK HOLDS IS LOST" } else { ", only if it is blank" }
}

fn from_cache(action: &ActionSpec) -> String {
    action.files_from().map(|cache| format!(", from the cache {cache}")).unwrap_or_default()
}

/// Longest time that a step takes by its own deadlines, in seconds.
fn longest(action: &ActionSpec) -> u64 {
    match action {
        ActionSpec::Netboot { deadline_s, .. } => u64::from(*deadline_s),
        ActionSpec::InstallStack { install, .. } => install.iter().map(|i| u64::from(i.deadline_s)).sum(),
        // Two boots: over the network, and from the disk.
        ActionSpec::InstallImage { deadline_s, netboot, .. } | ActionSpec::WriteDisk { deadline_s, netboot, .. } => {
            u64::from(*deadline_s) + 2 * longest(netboot)
        }
    }
}

/// An upper bound from the plan's own deadlines and limits; measured times are not known before the first run.
fn forecast(plan: &Plan) -> String {
    let lines: BTreeMap<&NodeId, &NodePlan> = plan.nodes.iter().map(|line| (&line.node, line)).collect();
    let deadline = |id: &NodeId| -> u64 { lines.get(id).map_or(0, |l| l.steps.iter().map(|s| longest(&s.action)).sum()) };
    let limits = &plan.limits.rollout;
    let mut seconds = 0_u64;
    let mut sizes = Vec::new();
    for wave in &plan.waves {
        let slowest = wave.nodes.iter().map(&deadline).max().unwrap_or(0);
        let rounds = wave.nodes.len().div_ceil(usize::try_from(limits.max_nodes.max(1)).unwrap_or(usize::MAX));
        seconds = seconds.saturating_add(slowest.saturating_mul(u64::try_from(rounds).unwrap_or(u64::MAX)));
        sizes.push(format!("{}{}", wave.nodes.len(), if wave.canary { " (canary)" } else { "" }));
    }
    format!(
        "waves     {}\nlimits    {} nodes at once, {} a rack; holds after {} canary failures or {} % of all\nforecast  at most {} by the deadlines of one attempt each",
        sizes.join(", "),
        limits.max_nodes,
        limits.max_per_rack,
        limits.canary_failures,
        limits.total_failures_pct,
        human(seconds)
    )
}

/// Never less than it is: what is told as the most must be.
fn human(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds.div_ceil(60) / 60, seconds.div_ceil(60) % 60),
    }
}
