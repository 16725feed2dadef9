//! `bringup status`, `history` and `report`: what is and what was, from a journal alone.

use std::path::PathBuf;

use serde::Serialize;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::output::Format;
use super::{handbook, runner, summary};
use crate::journal::{HandSummary, Journal, RunSummary};
use crate::model::{Lifecycle, RunId};
use crate::report::{account, markdown};

/// Shows where the newest run stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup status -o json")]
pub struct StatusArgs {
    /// Run; the newest when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// Lists all runs and what was done by hand, newest last
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup history")]
pub struct HistoryArgs {}

/// Reports on a run from its journal alone
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup report run-20261122-161500-04d2 -o md > run.md\n  bringup report --state copied-journal.db -o json"
)]
pub struct ReportArgs {
    /// Run; the newest when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

fn path(global: &Global) -> Result<PathBuf> {
    let path = global.journal_path()?;
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::new(Exit::ERROR, format!("there is no journal at {}", path.display()))
        .hint("begin a run with `bringup apply`, or name the journal with --state"))
}

fn load(global: &Global, named: Option<&str>) -> Result<RunSummary> {
    let path = path(global)?;
    let id = match named {
        Some(name) => RunId::new(name).map_err(|e| Failure::new(Exit::USAGE, e))?,
        None => Journal::newest(&path)?,
    };
    Ok(Journal::load(&path, &id)?)
}

/// Runs `status`; 0 whenever it can tell. How the run ended is in the answer, and as a code in `history -o json`.
///
/// # Errors
/// There is no such run, or the journal is damaged.
pub fn status(args: &StatusArgs, global: &Global) -> Result {
    let run = load(global, args.run.as_deref())?;
    summary::print(global, &run.id, &run.plan, &run.state);
    Ok(Exit::DONE)
}

/// Runs `report`.
///
/// # Errors
/// There is no such run, the journal is damaged, or the form is not one of text, json and md.
pub fn report(args: &ReportArgs, global: &Global) -> Result {
    let run = load(global, args.run.as_deref())?;
    let account = account(&run);
    match global.out.format {
        Format::Text => global.out.line(summary::text(global, &account)),
        Format::Json => global.out.json(&account),
        Format::Md => global.out.line(markdown(&account)),
        other => {
            return Err(Failure::new(Exit::USAGE, format!("a report as {other:?} is not supported by this version"))
                .hint("use -o text, json or md"));
        }
    }
    Ok(Exit::DONE)
}

#[derive(Serialize)]
struct HistoryLine {
    run: RunId,
    started: String,
    lifecycle: crate::model::Lifecycle,
    /// `None` while it has not ended: nobody knows yet.
    exit: Option<u8>,
    nodes: usize,
    working: u64,
    accelerators: u64,
    plan: String,
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn hand(h: &HandSummary) -> serde_json::Value {
    serde_json::json!({ "hand": h.id, "at": time(h.at_ms), "by": h.by, "touch": h.touch, "nodes": h.nodes, "applied": h.applied })
}

/// Runs `history`; proves the chain of the whole journal on the way.
///
/// # Errors
/// The journal is damaged.
pub fn history(_args: &HistoryArgs, global: &Global) -> Result {
    let path = path(global)?;
    let (lines, tip) = Journal::verify(&path)?;
    let runs: Vec<HistoryLine> = Journal::runs(&path)?
        .iter()
        .map(|run| {
            let account = account(run);
            HistoryLine {
                run: run.id.clone(),
                started: account.started,
                lifecycle: account.lifecycle,
                exit: matches!(run.state.lifecycle, Lifecycle::Finished | Lifecycle::Aborted | Lifecycle::Held)
                    .then(|| runner::exit_of(&run.state).0),
                nodes: account.nodes.len(),
                working: account.working,
                accelerators: account.accelerators,
                plan: account.plan,
            }
        })
        .collect();
    let hands = Journal::hands(&path)?;
    if global.out.is_json() {
        let hands: Vec<_> = hands.iter().map(hand).collect();
        global.out.json(&serde_json::json!({ "format_version": 1, "events": lines, "tip": tip, "runs": runs, "hands": hands }));
        return Ok(Exit::DONE);
    }
    let rows = runs
        .iter()
        .map(|r| {
            let work = format!("{}/{}", r.working, r.accelerators);
            vec![r.run.to_string(), r.started.clone(), r.lifecycle.to_string(), r.nodes.to_string(), work, r.plan.clone()]
        })
        .collect();
    global.out.table(&["run", "started", "state", "nodes", "working", "plan"], rows);
    if !hands.is_empty() {
        let row = |h: &HandSummary| {
            let done = format!("{}/{}", h.applied.len(), h.nodes.len());
            vec![h.id.to_string(), time(h.at_ms), h.by.clone(), done, handbook::words(&h.touch)]
        };
        global.out.line("");
        global.out.table(&["hand", "at", "by", "done", "touch"], hands.iter().map(row).collect());
    }
    global.talk(format!("{lines} events, chain whole, tip {}", tip.get(..12).unwrap_or(&tip)));
    Ok(Exit::DONE)
}
