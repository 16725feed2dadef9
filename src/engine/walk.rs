//! One node's line from the pool, through its steps and the gate, back to the pool or into quarantine.

use tokio::sync::watch;

use super::recorder::Recorder;
use super::steps::{StepEnd, StepScribe, walk_step};
use super::{EngineError, Stop};
use crate::action::{Action, Kept, Returned};
use crate::model::{
    Answer, DeviceVerdict, Event, EvidenceNote, Judgement, NodePlan, NodeState, Phase, Step, StepId, Touch, Verdict,
};
use crate::verify;

/// How a node's walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// The node has ended; the journal says how.
    Ended,
    /// The person asked to leave; the node goes on in the next life.
    Left,
}

/// Walks one node. `before` is where the journal left it.
pub(super) async fn walk(
    recorder: &Recorder,
    line: &NodePlan,
    before: &NodeState,
    stop: &watch::Receiver<Stop>,
) -> Result<Walked, EngineError> {
    let walked = match before.phase {
        Phase::Failed => close(recorder, line, before).await,
        _ => steps_and_gate(recorder, line, before, stop).await,
    };
    recorder.run.bench.leave(&line.node).await;
    walked
}

/// A step failed in an earlier life of the run, which ended before it had given back what the steps borrowed.
async fn close(recorder: &Recorder, line: &NodePlan, before: &NodeState) -> Result<Walked, EngineError> {
    let run = &recorder.run;
    let mut borrowed: Vec<(&Step, Box<dyn Action>)> = Vec::new();
    for step in &line.steps {
        match run.bench.action(&run.id, &run.plan.id, line, step) {
            Ok(action) => borrowed.push((step, action)),
            Err(error) => {
                let (what, why) = (format!("step {}", step.id), with_causes(&error));
                recorder.write(Event::NotReleased { node: line.node.clone(), what, why }).await?;
            }
        }
    }
    give_back(recorder, line, &borrowed).await?;
    let why = before.why.clone().unwrap_or_else(|| "a step failed".to_owned());
    quarantine(recorder, line, line.suite.accelerator.count, why, true).await
}

async fn steps_and_gate(
    recorder: &Recorder,
    line: &NodePlan,
    before: &NodeState,
    stop: &watch::Receiver<Stop>,
) -> Result<Walked, EngineError> {
    let node = &line.node;
    let run = &recorder.run;
    recorder.write(Event::DrainBegan { node: node.clone() }).await?;
    match run.pool.drain(node, &format!("being brought up by {}", run.id)).await {
        Ok(was_member) => recorder.write(Event::NodeDrained { node: node.clone(), was_member }).await?,
        Err(error) => {
            // A node that could not be drained may be at work: it is not touched.
            let why = format!("not drained, so not touched: {}", with_causes(&error));
            return quarantine(recorder, line, line.suite.accelerator.count, why, false).await;
        }
    }
    let mut borrowed: Vec<(&Step, Box<dyn Action>)> = Vec::new();
    for step in &line.steps {
        let action = match run.bench.action(&run.id, &run.plan.id, line, step) {
            Ok(action) => action,
            Err(error) => {
                let why = error.to_string();
                let event = Event::StepFailed {
                    node: node.clone(),
                    step: step.id.clone(),
                    class: error.class,
                    error: why.clone(),
                    seen: vec![],
                };
                recorder.write(Event::StepBegan { node: node.clone(), step: step.id.clone(), title: step.why.clone() }).await?;
                recorder.write(event).await?;
                give_back(recorder, line, &borrowed).await?;
                return quarantine(recorder, line, line.suite.accelerator.count, why, true).await;
            }
        };
        let end = walk_step(recorder, node, step, action.as_ref(), before, stop).await?;
        match end {
            StepEnd::Reached => borrowed.push((step, action)),
            StepEnd::Left => {
                give_back(recorder, line, &borrowed).await?;
                return Ok(Walked::Left);
            }
            StepEnd::Failed { why } => {
                borrowed.push((step, action));
                give_back(recorder, line, &borrowed).await?;
                return quarantine(recorder, line, line.suite.accelerator.count, why, true).await;
            }
        }
        if *stop.borrow() != Stop::No {
            // Giving back is a part of the step: nobody may resume for days, and an override that stays netboots the node at its next boot.
            give_back(recorder, line, &borrowed).await?;
            return Ok(Walked::Left);
        }
    }
    give_back(recorder, line, &borrowed).await?;
    gate(recorder, line).await
}

/// Gives back what the steps borrowed. A thing that cannot be given back is journaled and does not fail the node.
async fn give_back(recorder: &Recorder, line: &NodePlan, borrowed: &[(&Step, Box<dyn Action>)]) -> Result<(), EngineError> {
    for (step, action) in borrowed.iter().rev() {
        let _kept = release(recorder, line, step, action.as_ref()).await?;
    }
    Ok(())
}

/// Gives back what one step borrowed and journals what came of it. Returns what could not be given back.
pub(super) async fn release(
    recorder: &Recorder,
    line: &NodePlan,
    step: &Step,
    action: &dyn Action,
) -> Result<Vec<String>, EngineError> {
    let scribe = StepScribe { recorder, node: &line.node, step, attempt: 0 };
    let returned = action.release(&scribe).await.unwrap_or_else(|error| Returned {
        given: Vec::new(),
        kept: vec![Kept { what: format!("step {}", step.id), why: error.to_string() }],
    });
    for what in returned.given {
        recorder.write(Event::Released { node: line.node.clone(), what }).await?;
    }
    let mut kept = Vec::new();
    for Kept { what, why } in returned.kept {
        kept.push(format!("{what}: {why}"));
        recorder.write(Event::NotReleased { node: line.node.clone(), what, why }).await?;
    }
    Ok(kept)
}

async fn gate(recorder: &Recorder, line: &NodePlan) -> Result<Walked, EngineError> {
    let run = &recorder.run;
    let node = &line.node;
    recorder.progress(node, "gate: asking its accelerators");
    let probes = verify::probes(&line.suite);
    let tries = run.plan.limits.rollout.attempts.max(1);
    let mut answers = run.bench.examine(node, &probes).await;
    for _ in 1..tries {
        // Nothing at all was heard: the connection, not the accelerators.
        if !probes.is_empty() && answers.values().all(|a| matches!(a, Answer::Unknown { .. })) {
            tokio::time::sleep(run.bench.pace()).await;
            answers = run.bench.examine(node, &probes).await;
        }
    }
    let (judged, admission) = verify::judge(node, &line.pool, &line.suite, &answers, &run.today);
    let event = Event::Checked {
        node: node.clone(),
        verdict: judged.verdict,
        findings: judged.findings.clone(),
        devices: judged.devices.clone(),
    };
    recorder.write(event).await?;
    let Some(admission) = admission else {
        return quarantine(recorder, line, line.suite.accelerator.count, why_refused(&judged), true).await;
    };
    let list = |devices: &[Judgement]| {
        let one = |d: &Judgement| DeviceVerdict { device: d.device.clone(), serial: d.serial.clone(), verdict: d.verdict };
        devices.iter().map(one).collect::<Vec<_>>()
    };
    let (devices, withheld) = (list(admission.devices()), list(admission.withheld()));
    let degraded = admission.degraded();
    let step = gate_step();
    let Ok(step) = step else { return Err(EngineError::Lost(node.clone())) };
    let began = Event::AttemptBegan { node: node.clone(), step: step.clone(), attempt: 1, touch: Touch::Admit };
    recorder.write(began).await?;
    match run.pool.admit(admission).await {
        Ok(()) => {
            let pool = line.pool.clone();
            recorder.write(Event::NodeAdmitted { node: node.clone(), pool, devices, withheld, degraded }).await?;
            Ok(Walked::Ended)
        }
        Err(error) => {
            let why = format!("the pool did not take it: {}", with_causes(&error));
            let seen = EvidenceNote::NotApplied(why.clone());
            recorder.write(Event::AttemptEnded { node: node.clone(), step, attempt: 1, touch: Touch::Admit, seen }).await?;
            quarantine(recorder, line, line.suite.accelerator.count, why, false).await
        }
    }
}

/// The name under which the gate's one touch is journaled.
fn gate_step() -> Result<StepId, crate::model::IdError> {
    StepId::new("gate")
}

/// Tells the pool why, so that `pool capacity` can name the reason, and journals the quarantine. In this order: a run that is cut between
/// the two does both again, since to the journal the node has not ended.
async fn quarantine(
    recorder: &Recorder,
    line: &NodePlan,
    accelerators: u32,
    why: String,
    tell_pool: bool,
) -> Result<Walked, EngineError> {
    if tell_pool && let Err(error) = recorder.run.pool.drain(&line.node, &why).await {
        recorder.progress(&line.node, format!("the pool was not told why: {error}"));
    }
    recorder.write(Event::NodeQuarantined { node: line.node.clone(), accelerators, why }).await?;
    Ok(Walked::Ended)
}

/// The worst findings in one line.
fn why_refused(judged: &verify::Judged) -> String {
    let mut reasons: Vec<(Verdict, String)> = Vec::new();
    for finding in judged.findings.iter().filter(|f| !f.verdict.admissible()) {
        reasons.push((finding.verdict, format!("{}: {}", finding.check, finding.detail)));
    }
    for device in judged.devices.iter().filter(|d| !d.verdict.admissible()) {
        reasons.push((device.verdict, device.told()));
    }
    reasons.sort_by_key(|r| std::cmp::Reverse(r.0));
    let more = reasons.len().saturating_sub(2);
    let mut text = reasons.into_iter().take(2).map(|(_, reason)| reason).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    if text.is_empty() { format!("the gate's verdict is {}", judged.verdict) } else { text }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
