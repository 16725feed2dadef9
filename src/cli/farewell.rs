//! Ends what a verb has opened on BMCs when it is interrupted: their session slots are few. A verb that takes signals itself does not come here.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Exit, Failure, Result};
use crate::bmc::WholeBmc;
use crate::model::NodeId;

/// The BMCs that some hands have opened.
pub type Opened = Arc<Mutex<BTreeMap<NodeId, Arc<dyn WholeBmc>>>>;

/// How many are ended at once.
const AT_ONCE: usize = 256;
/// Longest time for all of them; whoever does not answer keeps its session until its own timeout, or until the next run ends it.
const PATIENCE: Duration = Duration::from_secs(10);

/// All hands of this process.
#[derive(Clone, Default)]
pub struct Farewells(Arc<Mutex<Vec<Opened>>>);

impl std::fmt::Debug for Farewells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Farewells")
    }
}

impl Farewells {
    /// Whatever is opened there is to be ended when the verb is interrupted.
    pub fn look_after(&self, opened: &Opened) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(opened));
    }

    fn all(&self) -> Vec<Arc<dyn WholeBmc>> {
        let hands = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of = |opened: &Opened| opened.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect::<Vec<_>>();
        hands.iter().flat_map(of).collect()
    }

    /// Runs a verb to its end, or to SIGINT or SIGTERM: then every session that it opened is ended.
    ///
    /// # Errors
    /// The verb's own, or that it was interrupted.
    pub async fn guard(&self, verb: impl Future<Output = Result>) -> Result {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            ended = verb => return ended,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let farewell =
            futures_util::stream::iter(self.all()).for_each_concurrent(AT_ONCE, |bmc| async move { bmc.close().await });
        // A second signal does not wait for those that are slow.
        tokio::select! {
            _ = tokio::time::timeout(PATIENCE, farewell) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Err(Failure::new(Exit::INTERRUPTED, "interrupted"))
    }
}
