//! Events on their way: to the disk first, then to the fold, then to whoever watches.

use tokio::sync::mpsc;

use super::{EngineError, Run, Told};
use crate::model::{Event, NodeId, Recorded};

/// Writes events of one run.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) run: Run,
    pub(super) fold: mpsc::UnboundedSender<Recorded>,
    pub(super) told: mpsc::UnboundedSender<Told>,
}

impl Recorder {
    /// Returns when the event is on the disk.
    pub(super) async fn write(&self, event: Event) -> Result<(), EngineError> {
        let line = self.run.journal.append(&self.run.id, (self.run.clock)(), event).await?;
        // The dispatcher is gone only when the run is being left; the line is on the disk and the next life folds it.
        drop(self.fold.send(line));
        Ok(())
    }

    /// Tells the watching person; lost when nobody watches.
    pub(super) fn progress(&self, node: &NodeId, text: impl Into<String>) {
        drop(self.told.send(Told::Progress { node: node.clone(), text: text.into() }));
    }
}
