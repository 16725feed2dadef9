//! The dispatcher: asks `rollout::decide`, starts one task a node, folds what they wrote, and leaves in order.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::overhear::{catch_up, overhear};
use super::recorder::Recorder;
use super::walk::{Walked, release, walk};
use super::{EngineError, Left, Run, Stop, Told};
use crate::model::{Event, Lifecycle, NodeId, Phase, Recorded, RunState};
use crate::rollout::{Decision, decide};

/// How a run was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every node has ended.
    Finished,
    /// A budget is breached, or somebody held the run.
    Held {
        /// Why.
        why: String,
    },
    /// A person asked to leave; the run can be resumed.
    Interrupted,
}

/// Walks a plan from wherever `state` stands: from its start, or from where an earlier life of the run was left.
///
/// # Errors
/// [`EngineError`]; the journal then holds everything that was done, and `resume` takes it up.
pub async fn run(
    run: Run,
    mut state: RunState,
    told: mpsc::UnboundedSender<Told>,
    mut stop: watch::Receiver<Stop>,
) -> Result<Left, EngineError> {
    let (fold, mut folded) = mpsc::unbounded_channel::<Recorded>();
    let recorder = Recorder { run: run.clone(), fold, told };
    // Dropping the set ends it with the run; what it had not read yet is read by the next life.
    let (hush, hushed) = watch::channel(false);
    let mut ears = JoinSet::new();
    ears.spawn(overhear(recorder.clone(), heard_to(&state), hushed));
    let mut taken_up: BTreeMap<NodeId, ()> = BTreeMap::new();
    let mut tasks: JoinSet<(NodeId, Result<Walked, EngineError>)> = JoinSet::new();
    let mut held: Option<String> = None;
    let mut stoppable = true;
    // A decision rests on phases and on who is taken up. It looks at every node, so it is not taken again for an event that changes neither:
    // most of a run's events do not, and their number grows with the nodes too.
    let mut due = true;
    loop {
        // Every event that is on the disk is in the fold before a decision is taken.
        while let Ok(line) = folded.try_recv() {
            due |= take(&recorder, &mut state, line)?;
        }
        let stopping = *stop.borrow() != Stop::No;
        if *stop.borrow() == Stop::Now {
            // Waits until every task is gone: none may touch anything after the lock of the run is let go.
            tasks.shutdown().await;
            while let Ok(line) = folded.try_recv() {
                take(&recorder, &mut state, line)?;
            }
            return Ok(Left { ending: Ending::Interrupted, state });
        }
        if !stopping && held.is_none() && due {
            due = false;
            match decide(&run.plan, &state, &|id| taken_up.contains_key(id)) {
                Decision::Start(nodes) => {
                    for id in nodes {
                        start(&mut tasks, &recorder, &state, &stop, &id);
                        taken_up.insert(id, ());
                    }
                    due = true;
                }
                Decision::Wait => {}
                Decision::Hold { why } => {
                    if state.lifecycle != Lifecycle::Held {
                        recorder.write(Event::RunHeld { why: why.clone() }).await?;
                    }
                    held = Some(why);
                }
                Decision::Finished if tasks.is_empty() => {
                    hush.send_replace(true);
                    if let Some(Ok(heard)) = ears.join_next().await {
                        heard?;
                    }
                    recorder.write(Event::RunFinished).await?;
                    while let Ok(line) = folded.try_recv() {
                        take(&recorder, &mut state, line)?;
                    }
                    return Ok(Left { ending: Ending::Finished, state });
                }
                Decision::Finished => {}
            }
        }
        if tasks.is_empty() {
            while let Ok(line) = folded.try_recv() {
                take(&recorder, &mut state, line)?;
            }
            match held {
                Some(why) => return Ok(Left { ending: Ending::Held { why }, state }),
                None if stopping => return Ok(Left { ending: Ending::Interrupted, state }),
                None => {}
            }
        }
        tokio::select! {
            Some(line) = folded.recv() => due |= take(&recorder, &mut state, line)?,
            Some(joined) = tasks.join_next(), if !tasks.is_empty() => match joined {
                Ok((_, Ok(Walked::Ended | Walked::Left))) => due = true,
                Ok((_, Err(error))) => return Err(error),
                Err(join) if join.is_cancelled() => due = true,
                Err(_) => {
                    let id = taken_up.keys().find(|id| state.nodes.get(*id).is_some_and(|n| !n.ended()));
                    return Err(id.map_or_else(|| crate::journal::JournalError::Stopped.into(), |id| EngineError::Lost(id.clone())));
                }
            },
            // When the sender is gone nobody can stop the run any more, and the channel would spin.
            changed = stop.changed(), if stoppable => stoppable = changed.is_ok(),
        }
    }
}

fn start(
    tasks: &mut JoinSet<(NodeId, Result<Walked, EngineError>)>,
    recorder: &Recorder,
    state: &RunState,
    stop: &watch::Receiver<Stop>,
    id: &NodeId,
) {
    let Some(line) = recorder.run.plan.nodes.iter().find(|n| n.node == *id).cloned() else { return };
    let before = state.nodes.get(id).cloned().unwrap_or_default();
    let (recorder, stop, id) = (recorder.clone(), stop.clone(), id.clone());
    tasks.spawn(async move { (id, Box::pin(walk(&recorder, &line, &before, &stop)).await) });
}

/// Newest line of the boot server's record that is in the journal.
fn heard_to(state: &RunState) -> i64 {
    state.nodes.values().map(|n| n.boot_line).max().unwrap_or(0)
}

/// Folds a line and tells it; true when a decision may come out otherwise now.
fn take(recorder: &Recorder, state: &mut RunState, line: Recorded) -> Result<bool, EngineError> {
    let rests_on = |state: &RunState| {
        let phase = line.event.node().and_then(|id| state.nodes.get(id)).map(|n| (n.phase, n.ended()));
        (state.lifecycle, phase)
    };
    let before = rests_on(state);
    state.apply(&line.event, line.at_ms)?;
    let changed = rests_on(state) != before;
    drop(recorder.told.send(Told::Event(Box::new(line))));
    Ok(changed)
}

/// Gives a run up: takes every node that was under way out of the pool, gives back what its steps borrowed, and journals the end.
///
/// # Errors
/// The journal could not be written.
pub async fn abort(run: Run, state: &RunState, by: &str, told: mpsc::UnboundedSender<Told>) -> Result<Vec<String>, EngineError> {
    let (fold, _folded) = mpsc::unbounded_channel();
    let recorder = Recorder { run: run.clone(), fold, told };
    let mut left = Vec::new();
    for line in &run.plan.nodes {
        let Some(before) = state.nodes.get(&line.node).filter(|n| n.under_way()) else { continue };
        if before.phase != Phase::Failed {
            // The run may have been cut while it put the node to work: the pool then has a node that the journal has not.
            recorder.write(Event::DrainBegan { node: line.node.clone() }).await?;
            match run.pool.drain(&line.node, &format!("{} was given up", run.id)).await {
                Ok(was_member) => recorder.write(Event::NodeDrained { node: line.node.clone(), was_member }).await?,
                Err(error) => left.push(format!("{} may be in the pool: {error}", line.node)),
            }
        }
        for step in &line.steps {
            match run.bench.action(&run.id, &run.plan.id, line, step) {
                Ok(action) => {
                    let kept = release(&recorder, line, step, action.as_ref()).await?;
                    left.extend(kept.into_iter().map(|what| format!("{} {what}", line.node)));
                }
                Err(error) => {
                    let (what, why) = (format!("step {}", step.id), error.to_string());
                    left.push(format!("{} {what}: {why}", line.node));
                    recorder.write(Event::NotReleased { node: line.node.clone(), what, why }).await?;
                }
            }
        }
        run.bench.leave(&line.node).await;
    }
    catch_up(&recorder, heard_to(state)).await?;
    recorder.write(Event::RunAborted { by: by.to_owned() }).await?;
    Ok(left)
}
