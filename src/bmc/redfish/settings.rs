//! The settings half of the hand: BIOS attributes and virtual media. It finds the node's system and passes on.

use async_trait::async_trait;

use super::Redfish;
use crate::bmc::settings::{Bios, BiosOrder, MediaOrder, MediaSlot, Settings};
use crate::bmc::{BmcError, Written};
use crate::model::Reading;

#[async_trait]
impl Settings for Redfish {
    async fn bios(&self) -> Result<Reading<Bios>, BmcError> {
        let system = self.system().await?;
        self.client.acquaint(&system).await?;
        self.client.bios_view(&system).await
    }

    async fn set_bios(&self, order: &BiosOrder) -> Written {
        match self.writable().await {
            Ok(system) => self.client.write_bios(&system, order).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn media(&self) -> Result<Reading<Vec<MediaSlot>>, BmcError> {
        let system = self.system().await?;
        self.client.acquaint(&system).await?;
        Ok(match self.client.drives(&system).await? {
            Some(drives) => Reading::Known(drives.views()),
            None => Reading::Absent,
        })
    }

    async fn insert_media(&self, order: &MediaOrder) -> Written {
        match self.writable().await {
            Ok(system) => self.client.insert(&system, order).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn eject_media(&self, slot: Option<&str>) -> Written {
        match self.writable().await {
            Ok(system) => self.client.eject(&system, slot).await,
            Err(e) => Written::NotApplied(e),
        }
    }
}
