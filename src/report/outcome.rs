//! How a run ended, as one word for an exit code.

use crate::model::{Lifecycle, Phase, RunState};

/// How a run stands, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Held: a budget was breached, or somebody held it.
    Held,
    /// Stopped without having ended.
    Unfinished,
    /// Given up.
    Aborted,
    /// Ended; at least one step failed or a node could not be planned.
    SomeFailed,
    /// Ended; every step went well, and the gate refused accelerators.
    GateRefused,
    /// Ended, every accelerator works.
    AllWork,
}

/// Reads the outcome from the fold.
#[must_use]
pub fn outcome(state: &RunState) -> Outcome {
    match state.lifecycle {
        Lifecycle::Held => Outcome::Held,
        Lifecycle::Planned | Lifecycle::Running => Outcome::Unfinished,
        Lifecycle::Aborted => Outcome::Aborted,
        Lifecycle::Finished => {
            let any = |phase: Phase| state.nodes.values().any(|n| n.phase == phase);
            if any(Phase::Failed) || any(Phase::Blocked) {
                Outcome::SomeFailed
            } else if any(Phase::Quarantined) || any(Phase::Degraded) {
                Outcome::GateRefused
            } else {
                Outcome::AllWork
            }
        }
    }
}
