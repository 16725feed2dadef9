//! The journal as the other rooms use it: append and wait for the disk, read and fold.

use std::collections::BTreeSet;
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
    Begin(RunId, i64, Box<Plan>, oneshot::Sender<Result<(), JournalError>>),
}

/// The journal, open for writing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    orders: mpsc::Sender<Order>,
    /// Why the writer stopped, for those who come after the one whose line was lost.
    lost: Arc<OnceLock<String>>,
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

impl Journal {
    /// Opens the journal for writing and starts its writer.
    ///
    /// # Errors
    /// [`JournalError::Open`] or [`JournalError::Newer`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut db = sqlite::open(path)?;
        let (orders, mut inbox) = mpsc::channel::<Order>(BATCH);
        let lost = Arc::new(OnceLock::new());
        let told = Arc::clone(&lost);
        let writer = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while inbox.blocking_recv_many(&mut batch, BATCH) > 0 {
                if !serve(&mut db, &mut batch, &told) {
                    // A failed commit is final: nothing may be written after a line that was lost.
                    return;
                }
            }
        });
        writer.map_err(|e| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) })?;
        Ok(Self { path: path.to_path_buf(), orders, lost })
    }

    /// Keeps the plan of a new run.
    ///
    /// # Errors
    /// [`JournalError::Write`] when it is not on the disk.
    pub async fn begin(&self, run: &RunId, at_ms: i64, plan: &Plan) -> Result<(), JournalError> {
        let (done, wait) = oneshot::channel();
        let order = Order::Begin(run.clone(), at_ms, Box::new(plan.clone()), done);
        self.orders.send(order).await.map_err(|_| self.stopped())?;
        wait.await.map_err(|_| self.stopped())?
    }

    /// Writes an event; returns when it is on the disk.
    ///
    /// # Errors
    /// [`JournalError::Write`] when it is not: what the event announces must then not be done.
    pub async fn append(&self, run: &RunId, at_ms: i64, event: Event) -> Result<Recorded, JournalError> {
        let (done, wait) = oneshot::channel();
        let order = Order::Append(Entry { run: run.clone(), at_ms, event }, done);
        self.orders.send(order).await.map_err(|_| self.stopped())?;
        wait.await.map_err(|_| self.stopped())?
    }

    fn stopped(&self) -> JournalError {
        self.lost.get().map_or(JournalError::Stopped, |why| JournalError::Write(why.clone().into()))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fold of a run and its plan, from a journal file that may be a copy.
    ///
    /// # Errors
    /// The run is not there, the chain is broken or an event is not legal.
    pub fn load(path: &Path, run: &RunId) -> Result<RunSummary, JournalError> {
        let db = sqlite::open_read_only(path)?;
        summary(&db, run.clone())
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn runs(path: &Path) -> Result<Vec<RunSummary>, JournalError> {
        let db = sqlite::open_read_only(path)?;
        sqlite::runs(&db)?.into_iter().map(|(id, _)| summary(&db, id)).collect()
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

    /// Checks the whole chain; returns the number of lines and the hash of the last.
    ///
    /// # Errors
    /// [`JournalError::Broken`] names the first line that does not follow.
    pub fn verify(path: &Path) -> Result<(u64, String), JournalError> {
        let db = sqlite::open_read_only(path)?;
        let mut tip = (0, chain::GENESIS.to_owned());
        sqlite::walk(&db, None, |line, body| {
            chain::check((tip.0, &tip.1), &line, body)?;
            tip = (line.seq, line.hash);
            Ok(())
        })?;
        Ok(tip)
    }
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

/// Serves a batch; `false` after a failure of the disk. Whoever waits hears of it, or has gone away by itself.
fn serve(db: &mut rusqlite::Connection, batch: &mut Vec<Order>, lost: &OnceLock<String>) -> bool {
    let mut entries = Vec::new();
    let mut waiting = Vec::new();
    for order in batch.drain(..) {
        match order {
            Order::Append(entry, done) => {
                entries.push(entry);
                waiting.push(done);
            }
            Order::Begin(run, at_ms, plan, done) => drop(done.send(sqlite::insert_run(db, &run, at_ms, &plan))),
        }
    }
    if entries.is_empty() {
        return true;
    }
    match sqlite::append(db, &entries) {
        Ok(recorded) => {
            for (line, done) in recorded.into_iter().zip(waiting) {
                drop(done.send(Ok(line)));
            }
            true
        }
        Err(error) => {
            let text = error_chain(&error);
            // Set once: this writer ends here.
            drop(lost.set(text.clone()));
            for done in waiting {
                drop(done.send(Err(JournalError::Write(text.clone().into()))));
            }
            false
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
