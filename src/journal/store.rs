//! The journal as the other rooms use it: append and wait for the disk, read and fold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot};

use super::sqlite::{self, Entry};
use super::{JournalError, chain};
use crate::model::{Event, EvidenceNote, Lifecycle, NodeId, Plan, Recorded, RunId, RunState, Touch};

/// Most events of one commit. More nodes than this never write at once (1,250 in the reference fleet).
const BATCH: usize = 1024;

enum Order {
    Append(Entry, oneshot::Sender<Result<Recorded, JournalError>>),
    Begin(Box<Beginning>, oneshot::Sender<Result<Recorded, JournalError>>),
    Settle(oneshot::Sender<Result<(), JournalError>>),
}

struct Beginning {
    run: RunId,
    at_ms: i64,
    plan: Plan,
    by: String,
    version: String,
}

/// The journal, open for writing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    orders: mpsc::Sender<Order>,
    /// Why the writer has stopped, once it has.
    fault: Arc<OnceLock<String>>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Run.
    pub id: RunId,
    /// When it began, in ms since 1970.
    pub at_ms: i64,
    /// Where it stands.
    pub state: RunState,
    /// Its plan.
    pub plan: Plan,
}

/// One use of a hand by itself, in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandSummary {
    /// Name under which its lines stand, `hand-…`.
    pub id: RunId,
    /// When it began, in ms since 1970.
    pub at_ms: i64,
    /// Who.
    pub by: String,
    /// The first touch that was announced.
    pub touch: Touch,
    /// Nodes of which a touch was announced.
    pub nodes: BTreeSet<NodeId>,
    /// Nodes whose touch was read back as applied.
    pub applied: BTreeSet<NodeId>,
}

/// One touch of a hand, and what was seen after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// When it was announced, in ms since 1970.
    pub at_ms: i64,
    /// Under which name its lines stand.
    pub run: RunId,
    /// What was announced.
    pub touch: Touch,
    /// What was read back; `None`: nobody lived to write it down.
    pub seen: Option<EvidenceNote>,
}

impl Journal {
    /// Opens the journal for writing and starts its writer.
    ///
    /// # Errors
    /// [`JournalError::Open`] or [`JournalError::Newer`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut db = sqlite::open(path)?;
        let (orders, mut inbox) = mpsc::channel::<Order>(BATCH);
        let fault = Arc::new(OnceLock::new());
        let (failed, place) = (Arc::clone(&fault), path.display().to_string());
        let writer = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while inbox.blocking_recv_many(&mut batch, BATCH) > 0 {
                if let Err(why) = serve(&mut db, &mut batch, &place, &failed) {
                    // A failed commit is final: nothing may be written after a line that was lost.
                    drop(failed.set(why));
                    return;
                }
            }
        });
        writer.map_err(|e| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) })?;
        Ok(Self { path: path.to_path_buf(), orders, fault })
    }

    /// Begins a run: keeps its plan and writes [`Event::RunStarted`] with the plan's digest, both or neither. `by` is who started it,
    /// `version` is that of `bringup`.
    ///
    /// # Errors
    /// [`JournalError::Write`] when it is not on the disk.
    pub async fn begin(&self, run: &RunId, at_ms: i64, plan: &Plan, by: &str, version: &str) -> Result<Recorded, JournalError> {
        let (by, version) = (by.to_owned(), version.to_owned());
        let beginning = Box::new(Beginning { run: run.clone(), at_ms, plan: plan.clone(), by, version });
        self.ask(|done| Order::Begin(beginning, done)).await
    }

    /// Writes an event; returns when it is on the disk.
    ///
    /// # Errors
    /// [`JournalError::Write`] when it is not: what the event announces must then not be done.
    pub async fn append(&self, run: &RunId, at_ms: i64, event: Event) -> Result<Recorded, JournalError> {
        let entry = Entry { run: run.clone(), at_ms, event };
        self.ask(|done| Order::Append(entry, done)).await
    }

    /// Makes the one file whole, so that a copy of it alone is the whole journal. Call it when a run is left.
    ///
    /// # Errors
    /// [`JournalError::Write`]; nothing is lost then, the newest lines are in the `-wal` file.
    pub async fn settle(&self) -> Result<(), JournalError> {
        self.ask(Order::Settle).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Order) -> Result<T, JournalError> {
        let (done, wait) = oneshot::channel();
        // Whoever comes after the failure hears its cause too, not only that there was one.
        let stopped = || self.fault.get().map_or(JournalError::Stopped, |why| JournalError::Write(why.clone().into()));
        self.orders.send(order(done)).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fold of a run and its plan, from a journal file that may be a copy. The whole chain and the plan are proved on the way.
    ///
    /// # Errors
    /// The run is not there, the chain is broken, the plan was changed or an event is not legal.
    pub fn load(path: &Path, run: &RunId) -> Result<RunSummary, JournalError> {
        let db = sqlite::open_read_only(path)?;
        let snapshot = db.unchecked_transaction().map_err(|e| JournalError::Read(Box::new(e)))?;
        prove(&snapshot)?;
        summary(&snapshot, run.clone())
    }

    /// All runs, oldest first; the whole chain and every plan are proved on the way.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn runs(path: &Path) -> Result<Vec<RunSummary>, JournalError> {
        let db = sqlite::open_read_only(path)?;
        let snapshot = db.unchecked_transaction().map_err(|e| JournalError::Read(Box::new(e)))?;
        prove(&snapshot)?;
        sqlite::runs(&snapshot)?.into_iter().map(|(id, _)| summary(&snapshot, id)).collect()
    }

    /// The newest run.
    ///
    /// # Errors
    /// [`JournalError::Empty`] when there is none.
    pub fn newest(path: &Path) -> Result<RunId, JournalError> {
        let db = sqlite::open_read_only(path)?;
        sqlite::runs(&db)?.pop().map(|(id, _)| id).ok_or(JournalError::Empty)
    }

    /// The newest run that has neither finished nor been aborted.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn unfinished(path: &Path) -> Result<Option<RunId>, JournalError> {
        let runs = Self::runs(path)?;
        let open = |r: &RunSummary| matches!(r.state.lifecycle, Lifecycle::Planned | Lifecycle::Running | Lifecycle::Held);
        Ok(runs.into_iter().rev().find(open).map(|r| r.id))
    }

    /// All events of a run, in order.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn events(path: &Path, run: &RunId) -> Result<Vec<Recorded>, JournalError> {
        let db = sqlite::open_read_only(path)?;
        let mut events = Vec::new();
        sqlite::walk(&db, Some(run), |line, _| {
            events.push(line);
            Ok(())
        })?;
        Ok(events)
    }

    /// All uses of hands outside runs, oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn hands(path: &Path) -> Result<Vec<HandSummary>, JournalError> {
        let db = sqlite::open_read_only(path)?;
        let mut hands: Vec<HandSummary> = Vec::new();
        sqlite::walk(&db, None, |line, _| {
            let at = hands.iter().rposition(|h| h.id == line.run);
            match (line.event, at.and_then(|at| hands.get_mut(at))) {
                (Event::HandTouched { node, .. }, Some(hand)) => {
                    hand.nodes.insert(node);
                }
                (Event::HandTouched { node, by, touch }, None) => {
                    let (nodes, applied) = (BTreeSet::from([node]), BTreeSet::new());
                    hands.push(HandSummary { id: line.run, at_ms: line.at_ms, by, touch, nodes, applied });
                }
                (Event::HandSeen { node, seen: EvidenceNote::Applied(_), .. }, Some(hand)) => {
                    hand.applied.insert(node);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(hands)
    }

    /// What hands touched outside runs, by node and in order, as far as `wanted` says: with what was seen after it, if that was written. The last of a
    /// node without it was announced by a process that ended before it looked.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn touched(path: &Path, wanted: impl Fn(&Touch) -> bool) -> Result<BTreeMap<NodeId, Vec<Touched>>, JournalError> {
        let db = sqlite::open_read_only(path)?;
        let mut nodes: BTreeMap<NodeId, Vec<Touched>> = BTreeMap::new();
        sqlite::walk(&db, None, |line, _| {
            match line.event {
                Event::HandTouched { node, touch, .. } if wanted(&touch) => {
                    nodes.entry(node).or_default().push(Touched { at_ms: line.at_ms, run: line.run, touch, seen: None });
                }
                Event::HandSeen { node, touch, seen } if wanted(&touch) => {
                    let same = |t: &&mut Touched| t.run == line.run && t.touch == touch && t.seen.is_none();
                    if let Some(touched) = nodes.get_mut(&node).and_then(|all| all.iter_mut().rev().find(same)) {
                        touched.seen = Some(seen);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(nodes)
    }

    /// Checks the whole chain and the plan of every run; returns the number of lines and the hash of the last.
    ///
    /// # Errors
    /// [`JournalError::Broken`] names the first line that does not follow, [`JournalError::Plan`] a run whose plan was changed.
    pub fn verify(path: &Path) -> Result<(u64, String), JournalError> {
        let db = sqlite::open_read_only(path)?;
        // One moment of the file: a run may begin while we read.
        let snapshot = db.unchecked_transaction().map_err(|e| JournalError::Read(Box::new(e)))?;
        prove(&snapshot)
    }
}

fn prove(db: &rusqlite::Connection) -> Result<(u64, String), JournalError> {
    let mut tip = (0, chain::GENESIS.to_owned());
    let mut first: BTreeMap<RunId, Event> = BTreeMap::new();
    sqlite::walk(db, None, |line, body| {
        chain::check((tip.0, &tip.1), &line, body)?;
        tip = (line.seq, line.hash);
        first.entry(line.run).or_insert(line.event);
        Ok(())
    })?;
    for (run, _) in sqlite::runs(db)? {
        sqlite::prove_plan(db, &run, first.get(&run))?;
    }
    Ok(tip)
}

fn summary(db: &rusqlite::Connection, id: RunId) -> Result<RunSummary, JournalError> {
    let plan = sqlite::plan(db, &id)?;
    let mut state = RunState::of_plan(&plan);
    let mut at_ms = 0;
    sqlite::walk(db, Some(&id), |line, _| {
        if at_ms == 0 {
            at_ms = line.at_ms;
        }
        state.apply(&line.event, line.at_ms).map_err(|source| JournalError::Fold { seq: line.seq, source })
    })?;
    Ok(RunSummary { id, at_ms, state, plan })
}

/// Serves a batch: what begins, then what happened, then whoever wants the file settled. Fails with the text of the error after a failure
/// of the disk, which `failed` then holds before anybody hears of it. Whoever waits hears it too, or has gone away by itself.
fn serve(db: &mut rusqlite::Connection, batch: &mut Vec<Order>, place: &str, failed: &OnceLock<String>) -> Result<(), String> {
    let mut entries = Vec::new();
    let mut waiting = Vec::new();
    let mut settling = Vec::new();
    for order in batch.drain(..) {
        match order {
            Order::Append(entry, done) => {
                entries.push(entry);
                waiting.push(done);
            }
            Order::Begin(b, done) => drop(done.send(sqlite::begin(db, &b.run, b.at_ms, &b.plan, (&b.by, &b.version)))),
            Order::Settle(done) => settling.push(done),
        }
    }
    append(db, &entries, waiting, place, failed)?;
    for done in settling {
        drop(done.send(sqlite::settle(db)));
    }
    Ok(())
}

type Waiting = Vec<oneshot::Sender<Result<Recorded, JournalError>>>;

fn append(
    db: &mut rusqlite::Connection,
    entries: &[Entry],
    waiting: Waiting,
    place: &str,
    failed: &OnceLock<String>,
) -> Result<(), String> {
    if entries.is_empty() {
        return Ok(());
    }
    match sqlite::append(db, entries) {
        Ok(recorded) => {
            for (line, done) in recorded.into_iter().zip(waiting) {
                drop(done.send(Ok(line)));
            }
            Ok(())
        }
        Err(error) => {
            let why = format!("{place}: {}", error_chain(&error));
            drop(failed.set(why.clone()));
            for done in waiting {
                drop(done.send(Err(JournalError::Write(why.clone().into()))));
            }
            Err(why)
        }
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
