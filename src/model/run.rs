//! Where a run stands: a fold of its events by one table of legal transitions, the same live and resumed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Class, DeviceVerdict, Event, Judgement, NodeId, Plan, StepId, Touch, Verdict};

/// Where one node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Not started.
    Pending,
    /// Out of the pool, on its way through its steps.
    Working,
    /// Judged by the gate, not yet in the pool.
    Judged,
    /// Works, all accelerators.
    Admitted,
    /// Works with fewer accelerators than bought.
    Degraded,
    /// A step failed; the node stays out.
    Failed,
    /// The gate refused it; the node stays out.
    Quarantined,
    /// The plan could not include it.
    Blocked,
}

impl Phase {
    /// Nothing more happens to the node in this run.
    #[must_use]
    pub fn ended(self) -> bool {
        matches!(self, Self::Admitted | Self::Degraded | Self::Failed | Self::Quarantined | Self::Blocked)
    }

    /// Failed or refused by the gate; counts against the failure budget until a person releases the run.
    #[must_use]
    pub fn failed(self) -> bool {
        matches!(self, Self::Failed | Self::Quarantined)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Working => "working",
            Self::Judged => "judged",
            Self::Admitted => "admitted",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Blocked => "blocked",
        })
    }
}

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Known by its plan only.
    Planned,
    /// Under way, or stopped without having ended.
    Running,
    /// Nothing new starts.
    Held,
    /// Every node has ended.
    Finished,
    /// Given up.
    Aborted,
}

impl std::fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Held => "held",
            Self::Finished => "finished",
            Self::Aborted => "aborted",
        })
    }
}

/// One node in the fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// Where it stands.
    pub phase: Phase,
    /// Step under way.
    pub step: Option<StepId>,
    /// Steps whose end was seen.
    pub done: Vec<StepId>,
    /// Attempts begun in the step under way.
    pub attempts: u32,
    /// A touch that was announced and not yet read back: its step, itself, and when it was announced (ms since 1970). Later lives of
    /// the run look at earlier steps again first, so another step's beginning does not close it.
    pub open_touch: Option<(StepId, Touch, i64)>,
    /// The newest touch that was announced, read back or not: its step, itself, and when (ms since 1970).
    pub last_touch: Option<(StepId, Touch, i64)>,
    /// Verdict of the gate.
    pub verdict: Option<Verdict>,
    /// Judgement of each accelerator.
    pub devices: Vec<Judgement>,
    /// Accelerators that work.
    pub admitted: Vec<DeviceVerdict>,
    /// Accelerators that are idle because the node is out, when no device list says so.
    pub idle: u32,
    /// Why it is where it is, for people.
    pub why: Option<String>,
    /// What was seen of the node while a step failed: by the boot server, on its console.
    #[serde(default)]
    pub seen: Vec<String>,
    /// How far its boot has come, by the boot server's word or its own.
    #[serde(default)]
    pub reached: Option<String>,
    /// Kind of the failure, when a step failed.
    pub class: Option<Class>,
    /// What was borrowed and could not be given back, each with its reason.
    #[serde(default)]
    pub kept: Vec<String>,
    /// Newest line of the boot server's record that is in the journal; 0 before the first.
    #[serde(default)]
    pub boot_line: i64,
    /// A step failed, and what the node had borrowed was seen to afterwards; false in between.
    #[serde(default)]
    pub closed: bool,
    /// Wall-clock time of the first and of the last event, in ms since 1970.
    pub span_ms: Option<(i64, i64)>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            phase: Phase::Pending,
            step: None,
            done: Vec::new(),
            attempts: 0,
            open_touch: None,
            last_touch: None,
            verdict: None,
            devices: Vec::new(),
            admitted: Vec::new(),
            idle: 0,
            why: None,
            seen: Vec::new(),
            reached: None,
            class: None,
            kept: Vec::new(),
            boot_line: 0,
            closed: false,
            span_ms: None,
        }
    }
}

impl NodeState {
    /// Nothing more happens to the node in this run. A failed node has first to give back what it borrowed.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.phase.ended() && (self.phase != Phase::Failed || self.closed)
    }

    /// An earlier life of the run began with the node and did not end with it.
    #[must_use]
    pub fn under_way(&self) -> bool {
        !self.ended() && self.phase != Phase::Pending
    }
}

/// The fold of a run's events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Where the run stands.
    pub lifecycle: Lifecycle,
    /// Why it is held.
    pub held: Option<String>,
    /// Nodes that had failed when a person released the run: they count against the budget no more.
    #[serde(default)]
    pub excused: BTreeSet<NodeId>,
    /// Every node of the plan, and every blocked one.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// Wall-clock time of the first and of the last event, in ms since 1970.
    pub span_ms: Option<(i64, i64)>,
}

/// An event that the table does not allow. A journal that holds one was not written by this program or was damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` is not legal for {subject}, which is {phase}")]
pub struct TransitionError {
    /// The event.
    pub event: &'static str,
    /// The node, or the run.
    pub subject: String,
    /// Where it stands.
    pub phase: String,
}

impl RunState {
    /// The state before the first event.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let pending = plan.nodes.iter().map(|n| (n.node.clone(), NodeState::default()));
        // From the plan, not from its events alone: a run that is cut before it told them all has not lost a blocked node.
        let blocked = plan.blocked.iter().map(|b| {
            let why = Some(b.why.clone());
            (b.node.clone(), NodeState { phase: Phase::Blocked, idle: b.accelerators, why, ..NodeState::default() })
        });
        let nodes = pending.chain(blocked).collect();
        Self { lifecycle: Lifecycle::Planned, held: None, excused: BTreeSet::new(), nodes, span_ms: None }
    }

    /// Nodes in one of these phases.
    pub fn count(&self, test: impl Fn(Phase) -> bool) -> usize {
        self.nodes.values().filter(|n| test(n.phase)).count()
    }

    /// Takes one event.
    ///
    /// # Errors
    /// [`TransitionError`] when the table does not allow the event here; the state is then unchanged.
    pub fn apply(&mut self, event: &Event, at_ms: i64) -> Result<(), TransitionError> {
        // A hand used by itself belongs to no run and moves none.
        if matches!(event, Event::HandTouched { .. } | Event::HandSeen { .. }) {
            return Ok(());
        }
        if let Some(node) = event.node() {
            let mut next = self.nodes.get(node).cloned().unwrap_or_default();
            next.take(node, event, at_ms)?;
            // Somebody may try a grant long after its node has ended; that is no work on the node.
            let overheard = matches!(event, Event::BootSeen { .. } | Event::GrantRefused { .. }) && next.phase.ended();
            let at_ms = if overheard { next.span_ms.map_or(at_ms, |s| s.1) } else { at_ms };
            next.span_ms = Some((next.span_ms.map_or(at_ms, |s| s.0), at_ms));
            self.nodes.insert(node.clone(), next);
        } else {
            self.take(event)?;
        }
        self.span_ms = Some((self.span_ms.map_or(at_ms, |s| s.0), at_ms));
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<(), TransitionError> {
        use Lifecycle::{Aborted, Finished, Held, Planned, Running};
        let refuse = |name: &'static str, at: Lifecycle| {
            Err(TransitionError { event: name, subject: "the run".to_owned(), phase: at.to_string() })
        };
        match (event, self.lifecycle) {
            (Event::RunStarted { .. }, Planned) => self.lifecycle = Running,
            (Event::RunStarted { .. }, at) => return refuse("run-started", at),
            (Event::RunResumed { .. }, Running | Held) | (Event::Unknown, _) => {}
            (Event::RunResumed { .. }, at) => return refuse("run-resumed", at),
            (Event::RunHeld { why }, Running | Held) => {
                self.lifecycle = Held;
                self.held = Some(why.clone());
            }
            (Event::RunHeld { .. }, at) => return refuse("run-held", at),
            (Event::RunReleased { .. }, Held | Running) => {
                self.lifecycle = Running;
                self.held = None;
                self.excused = self.nodes.iter().filter(|(_, n)| n.phase.failed()).map(|(id, _)| id.clone()).collect();
            }
            (Event::RunReleased { .. }, at) => return refuse("run-released", at),
            (Event::RunAborted { .. }, Running | Held) => self.lifecycle = Aborted,
            (Event::RunAborted { .. }, at) => return refuse("run-aborted", at),
            (Event::RunFinished, Running) if self.nodes.values().all(NodeState::ended) => self.lifecycle = Finished,
            (Event::RunFinished, at) => return refuse("run-finished", at),
            // Events about a node never come here.
            _ => {}
        }
        Ok(())
    }
}

impl NodeState {
    fn take(&mut self, node: &NodeId, event: &Event, at_ms: i64) -> Result<(), TransitionError> {
        use Phase::{Admitted, Blocked, Degraded, Failed, Judged, Pending, Quarantined, Working};
        let phase = self.phase;
        let refuse =
            |name: &'static str| Err(TransitionError { event: name, subject: node.to_string(), phase: phase.to_string() });
        match (event, phase) {
            (Event::NodeBlocked { why, accelerators, .. }, Pending | Blocked) => {
                self.phase = Blocked;
                self.idle = *accelerators;
                self.why = Some(why.clone());
            }
            (Event::NodeBlocked { .. }, _) => return refuse("node-blocked"),
            // A resumed run drains again: draining is idempotent and the pool may have moved on.
            (Event::DrainBegan { .. }, Pending | Working | Judged) => {
                self.phase = Working;
                self.kept.clear();
            }
            (Event::DrainBegan { .. }, _) => return refuse("drain-began"),
            (Event::NodeDrained { .. }, Working) => {}
            (Event::NodeDrained { .. }, _) => return refuse("node-drained"),
            (Event::StepBegan { step, .. }, Working) => {
                if self.step.as_ref() != Some(step) {
                    self.attempts = 0;
                }
                self.step = Some(step.clone());
            }
            (Event::StepBegan { .. }, _) => return refuse("step-began"),
            // A failed node still gives back what it borrowed, and that is a touch too.
            (Event::AttemptBegan { attempt, touch, step, .. }, Working | Judged | Failed) => {
                self.attempts = self.attempts.max(*attempt);
                self.open_touch = Some((step.clone(), touch.clone(), at_ms));
                self.last_touch = self.open_touch.clone();
                if matches!(touch, Touch::IssueGrant { .. }) {
                    // Another boot begins.
                    self.reached = None;
                }
            }
            (Event::AttemptBegan { .. }, _) => return refuse("attempt-began"),
            (Event::AttemptEnded { .. }, Working | Judged | Failed) => self.open_touch = None,
            (Event::AttemptEnded { .. }, _) => return refuse("attempt-ended"),
            (Event::StepFinished { step, .. }, Working) => {
                if self.open_touch.as_ref().is_some_and(|open| open.0 == *step) {
                    self.open_touch = None;
                }
                self.step = None;
                if !self.done.contains(step) {
                    self.done.push(step.clone());
                }
            }
            (Event::StepFinished { .. }, _) => return refuse("step-finished"),
            (Event::StepFailed { class, error, seen, .. }, Working) => {
                self.seen.clone_from(seen);
                self.phase = Failed;
                self.class = Some(*class);
                self.why = Some(error.clone());
            }
            (Event::StepFailed { .. }, _) => return refuse("step-failed"),
            (Event::Checked { verdict, devices, .. }, Working | Judged) => {
                self.phase = Judged;
                self.verdict = Some(*verdict);
                self.devices.clone_from(devices);
            }
            (Event::Checked { .. }, _) => return refuse("checked"),
            // Only the gate opens this door: admission is legal from Judged alone.
            (Event::NodeAdmitted { devices, withheld, degraded, .. }, Judged) => {
                self.phase = if *degraded { Degraded } else { Admitted };
                self.admitted.clone_from(devices);
                self.idle = u32::try_from(withheld.len()).unwrap_or(u32::MAX);
                self.open_touch = None;
            }
            (Event::NodeAdmitted { .. }, _) => return refuse("node-admitted"),
            (Event::NodeQuarantined { why, accelerators, .. }, Judged | Working | Failed) => {
                if phase != Failed {
                    self.phase = Quarantined;
                    self.why = Some(why.clone());
                }
                self.closed = true;
                self.idle = *accelerators;
            }
            (Event::NodeQuarantined { .. }, Pending | Quarantined | Blocked | Admitted | Degraded) => {
                return refuse("node-quarantined");
            }
            // What is given back later (by `abort`, by the next life) is kept no more.
            (Event::Released { what, .. }, _) => self.kept.retain(|kept| !same_thing(kept, what)),
            (Event::NotReleased { what, why, .. }, _) => {
                self.kept.retain(|kept| !same_thing(kept, what));
                self.kept.push(format!("{what}: {why}"));
            }
            (Event::BootSeen { line, stage, .. }, _) => {
                self.boot_line = self.boot_line.max(*line);
                if !phase.ended() {
                    self.reached = Some(stage.clone());
                }
            }
            (Event::GrantRefused { line, .. }, _) => self.boot_line = self.boot_line.max(*line),
            // Events about the run never come here.
            _ => {}
        }
        Ok(())
    }
}

/// Whether two lines are about the same thing: what stands before the first colon followed by a space.
fn same_thing(one: &str, other: &str) -> bool {
    let thing = |text: &str| text.split_once(": ").map_or(text, |(thing, _)| thing).to_owned();
    thing(one) == thing(other)
}
