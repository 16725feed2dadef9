//! Runs a plan: lock, journal, boot server, engine, progress, signals, and the table at the end. Shared by `apply` and `resume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::bench::Bench;
use super::bootserver;
use super::descriptors;
use super::events::EventFile;
use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms, today};
use super::hands::Hands;
use super::loaders::LoaderFlags;
use super::progress::Progress;
use super::summary;
use crate::boot::Grants;
use crate::engine::{self, Ending, EngineError, Stop, Told};
use crate::journal::{Journal, RunLock};
use crate::model::{Event, Inventory, Plan, RunId, RunState};
use crate::pool::Ledger;
use crate::report::{Outcome, outcome};

/// Flags of a run.
#[derive(Debug, Clone, clap::Args)]
pub struct RunFlags {
    /// Write every event as a line of JSON to this file, or `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Time between two looks at a node
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::global::parse_duration)]
    pub pace: Duration,
    /// What nodes start with, when the run starts its own boot server.
    #[command(flatten)]
    pub loaders: LoaderFlags,
    /// Leave the consoles of booting nodes (IPMI SOL) to others; an error then shows none of their lines
    #[arg(long)]
    pub no_console: bool,
}

/// A run that is about to begin or to go on.
pub struct Start {
    /// Name.
    pub id: RunId,
    /// Plan.
    pub plan: Plan,
    /// Where it stands; `None` for a new run.
    pub state: Option<RunState>,
    /// The site as written.
    pub inventory: Inventory,
    /// The hands.
    pub hands: Arc<Hands>,
    /// The lock, taken before the first look.
    pub lock: RunLock,
}

/// Takes the lock of the state directory.
///
/// # Errors
/// Exit code 6 with the holder's name.
pub async fn lock(global: &Global) -> Result<RunLock> {
    let holder = format!("{} (process {})", super::global::whoami(), std::process::id());
    RunLock::take(&global.state_dir()?, &holder, global.flags.lock_timeout).await.map_err(|error| match error {
        crate::journal::JournalError::Locked { .. } => {
            Failure::new(Exit::LOCKED, error).hint("wait for it with --lock-timeout 10m, or look with `bringup status`")
        }
        other => Failure::new(Exit::ERROR, other),
    })
}

/// Runs to its end, its hold or its interruption.
///
/// # Errors
/// The journal cannot be written, or the boot server is not to be had.
pub async fn run(global: &Global, flags: &RunFlags, start: Start) -> Result {
    let at_once = usize::try_from(start.plan.limits.rollout.max_nodes).unwrap_or(usize::MAX);
    descriptors::enough(start.plan.nodes.len().min(at_once))?;
    let journal = Journal::open(&global.journal_path()?)?;
    let grants = Grants::open(&global.state_dir()?.join("grants.db"))?;
    // Everything that may be refused is asked for before the journal says that the run began.
    let pool = Arc::new(Ledger::open(&global.state_dir()?.join("pool.db"))?);
    let mut events = flags.events.as_deref().map(EventFile::open).transpose()?;
    let server = bootserver::ensure(global, &start.plan, &start.inventory, &grants, &flags.loaders).await?;
    let (state, began) = begin(&journal, &start).await?;
    let Start { id, plan, inventory, hands, lock, .. } = start;
    // A resumed run has not looked at its nodes yet, so nothing is resolved.
    let walked = || plan.nodes.iter().filter_map(|line| inventory.nodes.get(&line.node));
    hands.prepare_bmcs(walked()).await;
    hands.prepare_shells(walked()).await;
    let run = engine::Run {
        id: id.clone(),
        plan: Arc::new(plan),
        journal: journal.clone(),
        bench: Arc::new(Bench::new(Arc::new(inventory), hands, grants, flags.pace).with_consoles(!flags.no_console)),
        pool,
        clock: now_ms,
        today: today(),
    };
    let mut progress = Progress::new(&global.out, global.flags.verbose, &run.plan, &state);
    let (told, mut listen) = mpsc::unbounded_channel::<Told>();
    for line in began {
        drop(told.send(Told::Event(Box::new(line))));
    }
    let (stop, stopped) = watch::channel(Stop::No);
    let signals = tokio::spawn(signals(stop, global.clone()));
    let plan = Arc::clone(&run.plan);
    let mut engine = Box::pin(engine::run(run, state, told, stopped));
    let left = loop {
        tokio::select! {
            biased;
            Some(told) = listen.recv() => hear(global, &mut progress, &mut events, &told),
            left = &mut engine => break left,
        }
    };
    while let Ok(told) = listen.try_recv() {
        hear(global, &mut progress, &mut events, &told);
    }
    progress.finish();
    drop(engine);
    if let Err(error) = journal.settle().await {
        let file = journal.path().display();
        global.talk(format!("the newest events are in {file}-wal beside {file}; copy both: {error}"));
    }
    signals.abort();
    server.stop().await;
    drop(lock);
    let left = left.map_err(|error| failed(error, &id))?;
    // With the events on standard output, a table would be no line of JSON.
    if flags.events.as_deref() != Some(std::path::Path::new("-")) {
        summary::print(global, &id, &plan, &left.state);
    }
    Ok(match left.ending {
        Ending::Interrupted => {
            global.talk(format!("interrupted; go on with: bringup resume {id}"));
            Exit::INTERRUPTED
        }
        Ending::Held { why } => {
            global.talk(format!("held: {why}\ngo on with: bringup release {id} && bringup resume {id}"));
            Exit::HELD
        }
        Ending::Finished => exit_of(&left.state),
    })
}

/// The exit code of a run that has ended.
#[must_use]
pub fn exit_of(state: &RunState) -> Exit {
    match outcome(state) {
        Outcome::AllWork => Exit::DONE,
        Outcome::GateRefused => Exit::GATE,
        Outcome::SomeFailed => Exit::SOME_FAILED,
        Outcome::Held => Exit::HELD,
        Outcome::Unfinished => Exit::INTERRUPTED,
        Outcome::Aborted => Exit::ERROR,
    }
}

/// Passes on what the run tells. Reporters only listen: one that fails is told of once and left out, the run goes on.
fn hear(global: &Global, progress: &mut Progress, events: &mut Option<EventFile>, told: &Told) {
    progress.take(told);
    if let (Some(file), Told::Event(line)) = (events.as_mut(), told)
        && let Err(failure) = file.write(line)
    {
        *events = None;
        global.out.complain(format!("warning: --events ends here, the run goes on: {}", failure.error));
    }
}

async fn begin(journal: &Journal, start: &Start) -> Result<(RunState, Vec<crate::model::Recorded>)> {
    let by = super::global::whoami();
    let mut lines = Vec::new();
    let mut state = match &start.state {
        Some(state) => {
            let mut state = state.clone();
            let line = journal.append(&start.id, now_ms(), Event::RunResumed { by }).await?;
            state.apply(&line.event, line.at_ms)?;
            return Ok((state, vec![line]));
        }
        None => RunState::of_plan(&start.plan),
    };
    lines.push(journal.begin(&start.id, now_ms(), &start.plan, &by, env!("CARGO_PKG_VERSION")).await?);
    for blocked in &start.plan.blocked {
        let (node, why) = (blocked.node.clone(), blocked.why.clone());
        let event = Event::NodeBlocked { node, accelerators: blocked.accelerators, why };
        lines.push(journal.append(&start.id, now_ms(), event).await?);
    }
    for line in &lines {
        state.apply(&line.event, line.at_ms)?;
    }
    Ok((state, lines))
}

fn failed(error: EngineError, id: &RunId) -> Failure {
    Failure::new(Exit::ERROR, error).hint(format!("nothing that is not in the journal was done; go on with: bringup resume {id}"))
}

/// The first Ctrl-C finishes the step of each node, the second stops now.
async fn signals(stop: watch::Sender<Stop>, global: Global) {
    for (level, text) in [
        (Stop::AfterStep, "\ninterrupted: finishing the step of each node; once more to stop now"),
        (Stop::Now, "\nstopping now; `bringup resume` takes it up"),
    ] {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        global.talk(text);
        if stop.send(level).is_err() {
            return;
        }
    }
    // The sender stays alive until the run is left.
    std::future::pending::<()>().await;
}

/// A new run's name: the time it began, and four hex digits so that two starts in one second differ.
///
/// # Errors
/// Never in practice: the name is well-formed by construction.
pub fn new_run_id() -> Result<RunId> {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Ok(RunId::new(format!("run-{time}-{:04x}", rand::random::<u16>()))?)
}
