//! The walk: drain, look, act, look, release, gate, pool. One task a node, one dispatcher that keeps the order of events.
//!
//! The engine holds no hand: it asks a [`crate::action::Workbench`] for actions and answers. Resume, retry, "already done" and "somebody
//! else is at it" are the same code: look again.

mod dispatch;
mod overhear;
mod recorder;
mod steps;
mod walk;

use std::sync::Arc;

use crate::action::Workbench;
use crate::journal::{Journal, JournalError};
use crate::model::{Plan, Recorded, RunId, RunState, TransitionError};
use crate::pool::Pool;

pub use dispatch::{Ending, abort, run};

/// Everything that a run needs.
#[derive(Clone)]
pub struct Run {
    /// Name.
    pub id: RunId,
    /// What to do.
    pub plan: Arc<Plan>,
    /// Where events go.
    pub journal: Journal,
    /// Where actions come from.
    pub bench: Arc<dyn Workbench>,
    /// Where admitted nodes work.
    pub pool: Arc<dyn Pool>,
    /// Wall clock in ms since 1970, for the journal only.
    pub clock: fn() -> i64,
    /// Today as `YYYY-MM-DD`, for tolerances that expire.
    pub today: String,
}

/// What the watching person is told. Only listening: nothing waits for a reporter.
#[derive(Debug, Clone)]
pub enum Told {
    /// An event, after it is on the disk.
    Event(Box<Recorded>),
    /// What a node is at; not journaled.
    Progress {
        /// Node.
        node: crate::model::NodeId,
        /// What.
        text: String,
    },
}

/// How a person stops a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// Finish the step of each node that is under way, then leave.
    AfterStep,
    /// Leave now.
    Now,
}

/// Why a run could not go on. Every one of these leaves a journal that `resume` can take up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be written: nothing new may be started.
    #[error("keep the journal")]
    Journal(#[from] JournalError),
    /// The engine asked for a transition that the table does not allow: a fault of this program.
    #[error("fold an event of this run")]
    Transition(#[from] TransitionError),
    /// A node's task ended without a word: a fault of this program.
    #[error("walk node {0}: its task ended without an event")]
    Lost(crate::model::NodeId),
}

/// Where the run stood when it was left.
#[derive(Debug, Clone)]
pub struct Left {
    /// How.
    pub ending: Ending,
    /// The fold of all events.
    pub state: RunState,
}
