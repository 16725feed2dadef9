//! One step of one node: look, act, look, until its end is seen or it may not be tried again.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::recorder::Recorder;
use super::{EngineError, Stop};
use crate::action::{Action, ActionError, OpenTouch, Scribe, Standing};
use crate::model::{Class, Event, EvidenceNote, NodeId, NodeState, Step, Touch};

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StepEnd {
    /// Its end was seen.
    Reached,
    /// It failed; the failure is journaled.
    Failed { why: String },
    /// The person asked to leave while it had not begun to act.
    Left,
}

/// Writes touches of one step to the journal.
pub(super) struct StepScribe<'a> {
    pub(super) recorder: &'a Recorder,
    pub(super) node: &'a NodeId,
    pub(super) step: &'a Step,
    pub(super) attempt: u32,
}

fn lost_journal(error: &EngineError) -> ActionError {
    // A touch whose intent is not on the disk must not be made, and trying again will not help.
    let seen = std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    ActionError { doing: "write the intent to the journal".to_owned(), seen, class: Class::Refused, source: None }
}

#[async_trait]
impl Scribe for StepScribe<'_> {
    async fn before(&self, touch: &Touch) -> Result<(), ActionError> {
        let event = Event::AttemptBegan {
            node: self.node.clone(),
            step: self.step.id.clone(),
            attempt: self.attempt,
            touch: touch.clone(),
        };
        self.recorder.write(event).await.map_err(|e| lost_journal(&e))
    }

    async fn after(&self, touch: &Touch, seen: EvidenceNote) -> Result<(), ActionError> {
        let event = Event::AttemptEnded {
            node: self.node.clone(),
            step: self.step.id.clone(),
            attempt: self.attempt,
            touch: touch.clone(),
            seen,
        };
        self.recorder.write(event).await.map_err(|e| lost_journal(&e))
    }

    fn progress(&self, text: &str) {
        self.recorder.progress(self.node, text);
    }
}

/// Walks one step. `before` is where the journal left the node, for attempts and a touch that was never read back.
pub(super) async fn walk_step(
    recorder: &Recorder,
    node: &NodeId,
    step: &Step,
    action: &dyn Action,
    before: &NodeState,
    stop: &tokio::sync::watch::Receiver<Stop>,
) -> Result<StepEnd, EngineError> {
    let resumed = before.step.as_ref() == Some(&step.id);
    let title = step.why.clone();
    recorder.write(Event::StepBegan { node: node.clone(), step: step.id.clone(), title }).await?;
    let mut announced = before.open_touch.as_ref().filter(|open| open.0 == step.id);
    if let Some((_, touch, at_ms)) = before.last_touch.as_ref().filter(|last| last.0 == step.id) {
        action.remember(touch, *at_ms);
    }
    let mut attempt = if resumed { before.attempts } else { 0 };
    // An attempt that was cut short was no whole one: a step that is taken up again has at least one.
    let limit = recorder.run.plan.limits.rollout.attempts.max(1).max(if resumed { attempt.saturating_add(1) } else { 0 });
    let pace = recorder.run.bench.pace();
    let mut misses = 0_u32;
    let patience = Duration::from_secs(action.deadline_s()).max(pace * 10);
    let mut acted_at = Instant::now();
    loop {
        // It grows older while we wait for it.
        let open = announced.map(|(_, touch, at_ms)| {
            let age_ms = (recorder.run.clock)().saturating_sub(*at_ms);
            OpenTouch { touch: touch.clone(), age_s: u64::try_from(age_ms / 1000).unwrap_or(0) }
        });
        let standing = match action.look(open.as_ref()).await {
            Ok(standing) => {
                misses = 0;
                standing
            }
            // A look that fails is not an end that is missed. The budget of misses covers one boot of the BMC or the node.
            Err(error) if error.class == Class::Transient && acted_at.elapsed() < patience => {
                misses += 1;
                recorder.progress(node, format!("look again: {error}"));
                tokio::time::sleep(pace * misses.min(5)).await;
                continue;
            }
            Err(error) => return fail(recorder, node, step, action, error.class, chain(&error)).await,
        };
        match standing {
            Standing::Done(evidence) => {
                let event = Event::StepFinished { node: node.clone(), step: step.id.clone(), changed: attempt > 0, evidence };
                recorder.write(event).await?;
                return Ok(StepEnd::Reached);
            }
            Standing::Refused { why } => return fail(recorder, node, step, action, Class::Refused, why).await,
            Standing::Busy { with } => {
                // Twice the action's own deadline: the action itself decides first, this only stops a look that never ends.
                if acted_at.elapsed() > patience * 2 {
                    let why = format!("waited {} s: {with}", acted_at.elapsed().as_secs());
                    return fail(recorder, node, step, action, Class::Transient, why).await;
                }
                recorder.progress(node, with);
                tokio::time::sleep(pace).await;
            }
            Standing::Ready { seen } if attempt >= limit => {
                let plural = if attempt == 1 { "" } else { "s" };
                let why = format!("the end was not reached in {attempt} attempt{plural}: {seen}");
                return fail(recorder, node, step, action, Class::Transient, why).await;
            }
            Standing::Ready { .. } if *stop.borrow() != Stop::No && attempt == 0 => return Ok(StepEnd::Left),
            Standing::Ready { .. } => {
                attempt += 1;
                acted_at = Instant::now();
                announced = None;
                let scribe = StepScribe { recorder, node, step, attempt };
                match action.act(&scribe).await {
                    Ok(()) => {}
                    // Whatever came of it, the next look says.
                    Err(error) if matches!(error.class, Class::Transient | Class::Ambiguous) => {
                        recorder.progress(node, format!("attempt {attempt}: {error}"));
                        if attempt >= limit && error.class == Class::Transient {
                            return fail(recorder, node, step, action, error.class, chain(&error)).await;
                        }
                        tokio::time::sleep(pace * attempt.min(10)).await;
                    }
                    Err(error) => return fail(recorder, node, step, action, error.class, chain(&error)).await,
                }
            }
        }
    }
}

async fn fail(
    recorder: &Recorder,
    node: &NodeId,
    step: &Step,
    action: &dyn Action,
    class: Class,
    error: String,
) -> Result<StepEnd, EngineError> {
    let seen = action.witness().await;
    let event = Event::StepFailed { node: node.clone(), step: step.id.clone(), class, error: error.clone(), seen };
    recorder.write(event).await?;
    Ok(StepEnd::Failed { why: error })
}

/// The error and its causes in one line, for the journal.
fn chain(error: &ActionError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
