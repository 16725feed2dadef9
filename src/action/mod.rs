//! The verbs. Each names an end that one can look at; each looks, acts once, looks again, and gives back what it borrowed.

mod giveback;
mod install;
mod medium;
mod netboot;
mod stack;
mod system;
mod target;
mod trail;

pub use install::{InstallImage, InstallTarget, Payload};
pub use netboot::Netboot;
pub use stack::InstallStack;
pub use target::NetbootTarget;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::model::{Answer, Class, Event, EvidenceNote, NodeId, NodePlan, PlanId, Probe, RunId, Step, Touch};

/// Where an end stands, by looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is so; the text says what was seen.
    Done(String),
    /// It is not so and may be acted upon.
    Ready {
        /// What is seen instead.
        seen: String,
    },
    /// It is on its way, by us or by somebody else: look again later.
    Busy {
        /// What is under way.
        with: String,
    },
    /// It must not be acted upon.
    Refused {
        /// Why.
        why: String,
    },
}

/// Why an action did not look or act.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {seen}")]
pub struct ActionError {
    /// What was tried.
    pub doing: String,
    /// What was seen.
    pub seen: String,
    /// What may be tried next.
    pub class: Class,
    /// The error beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where touches are written before and after they are made. The engine gives it; it writes to the journal.
#[async_trait]
pub trait Scribe: Send + Sync {
    /// Writes the intent. The touch must not be made when this fails.
    async fn before(&self, touch: &Touch) -> Result<(), ActionError>;
    /// Writes what was read back.
    async fn after(&self, touch: &Touch, seen: EvidenceNote) -> Result<(), ActionError>;
    /// Tells the watching person what is going on; not journaled.
    fn progress(&self, text: &str);
}

/// A touch that was announced in an earlier life of the run and whose result was never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTouch {
    /// The touch.
    pub touch: Touch,
    /// Seconds since it was announced.
    pub age_s: u64,
}

/// What became of the things that an action had borrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// What was given back.
    pub given: Vec<String>,
    /// What could not be: a person has to know.
    pub kept: Vec<Kept>,
}

/// Something borrowed that stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What, without `: ` in it.
    pub what: String,
    /// What was tried and seen.
    pub why: String,
}

/// One step of one node, ready to be walked.
#[async_trait]
pub trait Action: Send + Sync {
    /// Asks; changes nothing. `open` is a touch of an earlier life whose result is not known.
    async fn look(&self, open: Option<&OpenTouch>) -> Result<Standing, ActionError>;
    /// Told once, before the first look of a later life of the run: the newest touch of this step in the journal, and when it was announced
    /// (ms since 1970). Its result may be known.
    fn remember(&self, _last: &Touch, _at_ms: i64) {}
    /// Changes the world, only after `Ready`; every touch is announced to the scribe first and read back after.
    async fn act(&self, scribe: &dyn Scribe) -> Result<(), ActionError>;
    /// Gives back what was borrowed (boot override, grant); says what it gave back and what it could not. Idempotent.
    async fn release(&self, scribe: &dyn Scribe) -> Result<Returned, ActionError>;
    /// What was seen of the node meanwhile, line by line, for whoever reads why the step failed: bounded, printable, without secrets.
    async fn witness(&self) -> Vec<String> {
        Vec::new()
    }
    /// Longest wait from an act to its end, in seconds.
    fn deadline_s(&self) -> u64;
}

/// Where the walk gets its actions and its answers. `cli` builds it from the hands; the engine never sees a hand.
#[async_trait]
pub trait Workbench: Send + Sync {
    /// The action for a step of a node's line.
    ///
    /// # Errors
    /// The step cannot be carried out at all: no such node, a secret that cannot be resolved.
    fn action(&self, run: &RunId, plan: &PlanId, line: &NodePlan, step: &Step) -> Result<Box<dyn Action>, ActionError>;
    /// Asks a node all probes; what could not be asked is `Unknown`, never missing.
    async fn examine(&self, node: &NodeId, probes: &[Probe]) -> BTreeMap<String, Answer>;
    /// What the boot server gave and refused under the grants of a run after this line of its record, as events, and the last line that
    /// was read. At most 1,000 lines at a time; nothing when the record cannot be read now.
    async fn boots_since(&self, run: &RunId, line: i64) -> (Vec<Event>, i64);
    /// Ends the connections to a node.
    async fn leave(&self, node: &NodeId);
    /// Time between two looks.
    fn pace(&self) -> std::time::Duration;
}
