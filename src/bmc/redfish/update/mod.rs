//! Firmware updates: look, push once, follow, prove.
//!
//! | file | one idea |
//! |---|---|
//! | `service` | what is offered, and which form of push follows (RC-52) |
//! | `multipart` `load` | the frame around an image, and the image streamed through it |
//! | `upload` | one POST, sent once, and whether the BMC may have all of it (RC-49) |
//! | `refusal` | what a refusal means |
//! | `find` | which task is this update's (RC-38, RC-42) |
//! | `judge` `follow` | what a task says, and following it to an end (RC-39 to RC-46) |
//! | `standing` `ask` `prove` | which version runs, and who knows (RC-53, RC-54) |
//! | `walk` | all of it in order, and what is said in the end |

mod ask;
mod find;
mod follow;
mod judge;
mod load;
mod multipart;
mod prove;
mod refusal;
mod send;
mod service;
mod standing;
mod upload;
mod walk;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::service::Service;
use super::Redfish;
use super::limits::UpdateLimits;
use crate::bmc::quirk::Habits;
use crate::bmc::updating::{FirmwareImage, FirmwareItem, UpdateTerms, Updating};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// Whose turn it is to update one BMC: one update at a time (RC-50).
pub(super) struct Turn {
    one: Semaphore,
    /// When the last upload ended.
    last: Mutex<Option<Instant>>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { one: Semaphore::new(1), last: Mutex::default() }
    }
}

/// How long things may take: the habit's time, capped by the limit.
struct Times {
    grace: Duration,
    stall: Duration,
    lag: Duration,
    gap: Duration,
}

impl Times {
    fn new(habits: &Habits, limits: &UpdateLimits) -> Self {
        let least = |seconds: u32, most: Duration| Duration::from_secs(seconds.into()).min(most);
        Self {
            grace: least(habits.task_grace_s, limits.grace),
            stall: least(habits.task_stall_s, limits.stall),
            lag: least(habits.version_lag_s, limits.lag),
            gap: least(habits.upload_gap_s, limits.gap),
        }
    }
}

#[async_trait]
impl Updating for Redfish {
    async fn firmware_items(&self) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        let system = self.system().await?;
        let manager = self.client.manager(&system).await.ok().flatten().map(|manager| manager.path);
        let inventory = match self.client.root().await?.update {
            Some(at) => Service::view(&self.client.get(&at).await?).inventory,
            None => None,
        };
        let Some(inventory) = inventory else { return self.client.own_items(&system.path, manager.as_deref()).await };
        let places: Vec<&str> = [Some(system.path.as_str()), manager.as_deref()].into_iter().flatten().collect();
        match self.client.items(&inventory, &places).await {
            // The service names an inventory that is not there.
            Err(e) if e.kind == BmcTrouble::Unsupported => self.client.own_items(&system.path, manager.as_deref()).await,
            items => items,
        }
    }

    async fn update(&self, image: &FirmwareImage<'_>, terms: &UpdateTerms<'_>) -> Written {
        Box::pin(self.walk(image, terms)).await
    }
}
