//! `bringup resume`, `abort` and `release`: go on after a stop, give a run up, let a held run go on.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::bench::Bench;
use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms, today, whoami};
use super::hands::{Hands, Trust};
use super::runner::{self, RunFlags, Start};
use super::site::site;
use crate::boot::Grants;
use crate::engine;
use crate::journal::{Journal, RunSummary};
use crate::model::{Event, Lifecycle, RunId};
use crate::pool::Ledger;

/// Goes on with a run that was stopped: looks again and does what is left
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup resume")]
pub struct ResumeArgs {
    /// Run; the newest that has not ended when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Flags of the run.
    #[command(flatten)]
    pub flags: RunFlags,
}

/// Gives a run up and gives back what it borrowed: boot overrides and grants
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup abort run-20261122-161500-04d2")]
pub struct AbortArgs {
    /// Run; the newest that has not ended when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// Lets a held run go on with `resume`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup release run-20261122-161500-04d2 && bringup resume")]
pub struct ReleaseArgs {
    /// Run; the newest that has not ended when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// Finds the run that is meant: the one named, or the newest that has not ended.
///
/// # Errors
/// There is none, or it has ended.
fn open_run(global: &Global, named: Option<&str>) -> Result<RunSummary> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Err(Failure::new(Exit::ERROR, format!("there is no journal at {}", path.display()))
            .hint("begin a run with `bringup apply`, or name the journal with --state"));
    }
    let id = match named {
        Some(name) => RunId::new(name).map_err(|e| Failure::new(Exit::USAGE, e))?,
        None => Journal::unfinished(&path)?
            .ok_or_else(|| Failure::new(Exit::ERROR, "every run has ended").hint("see them with `bringup history`"))?,
    };
    let run = Journal::load(&path, &id)?;
    match run.state.lifecycle {
        Lifecycle::Planned | Lifecycle::Running | Lifecycle::Held => Ok(run),
        ended @ (Lifecycle::Finished | Lifecycle::Aborted) => {
            Err(Failure::new(Exit::ERROR, format!("{id} has {ended}")).hint(format!("read about it with `bringup report {id}`")))
        }
    }
}

/// Runs `resume`.
///
/// # Errors
/// As `apply`.
pub async fn resume(args: ResumeArgs, global: &Global) -> Result {
    let lock = runner::lock(global).await?;
    let run = open_run(global, args.run.as_deref())?;
    if run.state.lifecycle == Lifecycle::Held {
        let why = run.state.held.unwrap_or_default();
        return Err(Failure::new(Exit::HELD, format!("{} is held: {why}", run.id)).hint(format!("bringup release {}", run.id)));
    }
    let site = site(global)?;
    if site.inventory.digest != run.plan.inventory {
        return Err(Failure::new(Exit::STALE, format!("the inventory has changed since {} began", run.id))
            .hint("put the inventory back, or give the run up with `bringup abort` and plan again"));
    }
    let hands = Arc::new(Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global));
    global.talk(format!("{}: {} of {} nodes had ended", run.id, ended(&run.state), run.plan.nodes.len()));
    let start = Start { id: run.id, plan: run.plan, state: Some(run.state), inventory: site.inventory, hands, lock };
    Box::pin(runner::run(global, &args.flags, start)).await
}

fn ended(state: &crate::model::RunState) -> usize {
    state.nodes.values().filter(|n| n.ended() && n.phase != crate::model::Phase::Blocked).count()
}

/// Runs `abort`.
///
/// # Errors
/// The journal cannot be written.
pub async fn abort(args: AbortArgs, global: &Global) -> Result {
    let _lock = runner::lock(global).await?;
    let run = open_run(global, args.run.as_deref())?;
    let journal = Journal::open(&global.journal_path()?)?;
    let site = site(global)?;
    let hands = Arc::new(Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global));
    let walked = || run.plan.nodes.iter().filter_map(|line| site.inventory.nodes.get(&line.node));
    hands.prepare_bmcs(walked()).await;
    hands.prepare_shells(walked()).await;
    let grants = Grants::open(&global.state_dir()?.join("grants.db"))?;
    let bench = Bench::new(Arc::new(site.inventory), hands, grants, std::time::Duration::from_secs(2));
    let engine_run = engine::Run {
        id: run.id.clone(),
        plan: Arc::new(run.plan),
        journal: journal.clone(),
        bench: Arc::new(bench),
        pool: Arc::new(Ledger::open(&global.state_dir()?.join("pool.db"))?),
        clock: now_ms,
        today: today(),
    };
    let (told, _listen) = mpsc::unbounded_channel();
    let left = engine::abort(engine_run, &run.state, &whoami(), told).await?;
    for what in &left {
        global.out.complain(super::output::escape(&format!("not given back: {what}")));
    }
    global.out.line(format!("{} is given up; nodes that were under way are out of the pool", run.id));
    journal.settle().await?;
    Ok(if left.is_empty() { Exit::DONE } else { Exit::SOME_FAILED })
}

/// Runs `release`.
///
/// # Errors
/// The run is not held.
pub async fn release(args: ReleaseArgs, global: &Global) -> Result {
    let _lock = runner::lock(global).await?;
    let run = open_run(global, args.run.as_deref())?;
    if run.state.lifecycle != Lifecycle::Held {
        return Err(
            Failure::new(Exit::ERROR, format!("{} is not held", run.id)).hint("see where it stands with `bringup status`")
        );
    }
    let journal = Journal::open(&global.journal_path()?)?;
    journal.append(&run.id, now_ms(), Event::RunReleased { by: whoami() }).await?;
    journal.settle().await?;
    global.out.line(format!("{} is released; go on with: bringup resume {}", run.id, run.id));
    Ok(Exit::DONE)
}
