//! `bringup apply`: does exactly what a plan says, or plans and asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::hands::{Hands, Trust};
use super::look::{Looked, look, plan};
use super::plan::describe;
use super::runner::{self, RunFlags, Start};
use super::site::{Site, site_with_artifacts};
use crate::journal::Journal;
use crate::model::{ActionSpec, PLAN_FORMAT, Plan, Wipe};
use crate::planner::stale;
use crate::pool::{Ledger, Pool as _};

/// Does exactly what a plan says; without a file it plans and asks
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup apply rack-a001.plan.json --max-nodes 64\n  bringup apply rack-a001.plan.json --allow wipe   # the plan may write disks that hold something"
)]
pub struct Args {
    /// Plan that `bringup plan --out FILE` wrote
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Refuse a plan for more nodes than this
    #[arg(long, value_name = "NUMBER")]
    pub max_nodes: Option<usize>,
    /// Allow what destroys: `wipe` for plans that write disks which hold something
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub allow: Vec<Allowed>,
    /// Flags of the run.
    #[command(flatten)]
    pub run: RunFlags,
}

/// What a plan may do only when a person says so again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Allowed {
    /// Write disks that hold something.
    Wipe,
}

/// Runs the verb.
///
/// # Errors
/// Input, lock, staleness, or the run's own.
pub async fn run(args: Args, global: &Global) -> Result {
    let lock = runner::lock(global).await?;
    unfinished(global)?;
    let site = site_with_artifacts(global)?;
    let hands = Arc::new(Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global));
    let plan = match &args.file {
        Some(file) => {
            let plan = read(file)?;
            fresh(global, &site, &hands, &plan).await?;
            plan
        }
        None => {
            let ledger = Ledger::open(&global.state_dir()?.join("pool.db"))?;
            let looked = plan(global, &site, &hands, &ledger.list().await?).await?;
            ask(global, &args, &looked)?;
            looked.plan
        }
    };
    if plan.nodes.is_empty() {
        return nothing(global, &plan);
    }
    wipes(&plan, &args.allow)?;
    if let Some(most) = args.max_nodes.filter(|&most| plan.nodes.len() > most) {
        let text = format!("the plan touches {} nodes and --max-nodes allows {most}", plan.nodes.len());
        return Err(Failure::new(Exit::POLICY, text).hint("narrow the plan with --select, or raise --max-nodes"));
    }
    let id = runner::new_run_id()?;
    let start = Start { id, plan, state: None, inventory: site.inventory, hands, lock };
    Box::pin(runner::run(global, &args.run, start)).await
}

/// Refuses a plan that may destroy what disks hold, unless that was allowed here too.
fn wipes(plan: &Plan, allowed: &[Allowed]) -> Result<()> {
    let lost = |action: &ActionSpec| {
        matches!(action, ActionSpec::InstallImage { wipe: Wipe::Yes, .. } | ActionSpec::WriteDisk { wipe: Wipe::Yes, .. })
    };
    let nodes = plan.nodes.iter().filter(|n| n.steps.iter().any(|s| lost(&s.action))).count();
    if nodes == 0 || allowed.contains(&Allowed::Wipe) {
        return Ok(());
    }
    let text =
        format!("the plan writes a disk of {nodes} nodes whatever it holds, and --allow wipe is not given; nothing was touched");
    Err(Failure::new(Exit::POLICY, text)
        .hint("read the plan once more, then add --allow wipe; or write `wipe: blank-only` in the playbook"))
}

fn nothing(global: &Global, plan: &Plan) -> Result {
    if plan.blocked.is_empty() {
        global.talk("nothing to do: every node is as written and works in its pool");
        return Ok(Exit::DONE);
    }
    let number = plan.blocked.len();
    Err(Failure::new(Exit::UNREACHABLE, format!("nothing can be done: {number} nodes are blocked"))
        .hint("see why with `bringup plan`"))
}

fn unfinished(global: &Global) -> Result<()> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Ok(());
    }
    match Journal::unfinished(&path)? {
        None => Ok(()),
        Some(run) => Err(Failure::new(Exit::LOCKED, format!("{run} has not ended"))
            .hint(format!("go on with `bringup resume {run}`, or give it up with `bringup abort {run}`"))),
    }
}

/// Reads a plan file and proves that it is whole.
fn read(file: &Path) -> Result<Plan> {
    let shown = file.display();
    let text = std::fs::read(file).map_err(|e| Failure::new(Exit::INVALID, format!("read the plan {shown}: {e}")))?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|e| Failure::new(Exit::INVALID, format!("{shown}:{}:{}: this is not a plan: {e}", e.line(), e.column())))?;
    let format = value.get("format_version").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(PLAN_FORMAT)) {
        let found = format.map_or_else(|| "none".to_owned(), |f| f.to_string());
        return Err(Failure::new(Exit::INVALID, format!("{shown}: plan format {found}, and this version does {PLAN_FORMAT}"))
            .hint("make the plan again with `bringup plan --out FILE`"));
    }
    let plan: Plan = serde_json::from_value(value.clone())
        .map_err(|e| Failure::new(Exit::INVALID, format!("{shown}: this is not a plan: {e}")))?;
    // A word that this version would pass over may be one that matters.
    if serde_json::to_value(&plan)? != value && crate::rollout::name(&plan)? == plan.id {
        return Err(Failure::new(Exit::INVALID, format!("{shown}: the plan holds words that this version does not know"))
            .hint("make the plan again with `bringup plan --out FILE`"));
    }
    if crate::rollout::name(&plan)? != plan.id {
        return Err(Failure::new(Exit::STALE, format!("{shown}: the plan was changed after it was made"))
            .hint("make the plan again with `bringup plan --out FILE`"));
    }
    Ok(plan)
}

/// Refuses a plan whose words or observations no longer hold.
async fn fresh(global: &Global, site: &Site, hands: &Arc<Hands>, plan: &Plan) -> Result<()> {
    let stale_plan = |what: String| {
        Failure::new(Exit::STALE, format!("the plan is stale: {what}; nothing was touched"))
            .hint("make it again with `bringup plan --out FILE` and read what changed")
    };
    if site.inventory.digest != plan.inventory {
        return Err(stale_plan("the inventory has changed since it was made".to_owned()));
    }
    for (file, digest) in &plan.inputs {
        if site.inputs.get(file) != Some(digest) {
            return Err(stale_plan(format!("{file} has changed since it was made")));
        }
    }
    let seen = look(global, site, hands, plan.nodes.iter().map(|n| n.node.clone()).collect()).await?;
    let mut reasons = Vec::new();
    for line in &plan.nodes {
        match seen.get(&line.node) {
            None => reasons.push(format!("{} is not in the inventory", line.node)),
            Some(now) => reasons.extend(stale(line, now).map(|why| format!("{} {why}", line.node))),
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let more = reasons.len().saturating_sub(3);
    reasons.truncate(3);
    let more = if more > 0 { format!(", and {more} more nodes") } else { String::new() };
    Err(stale_plan(format!("{}{more}", reasons.join(", "))))
}

/// Shows the plan and asks, unless `--yes` was given.
fn ask(global: &Global, args: &Args, looked: &Looked) -> Result<()> {
    global.talk(describe(looked, global.out.width.into()));
    if args.yes || looked.plan.nodes.is_empty() {
        return Ok(());
    }
    if !global.interactive() {
        return Err(Failure::new(Exit::USAGE, "nobody is there to be asked; nothing was touched")
            .hint("give --yes, or keep the plan with `bringup plan --out FILE` and apply it"));
    }
    global.talk("\nDo this? Only `yes` goes on:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::ERROR, "not confirmed; nothing was touched")) }
}
