//! Starts a node from the disk that was written: no grant that would bring it over the network again, the override, the power.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::InstallImage;
use crate::action::netboot::from_bmc;
use crate::action::{ActionError, Scribe};
use crate::bmc::Written;
use crate::boot::now_ms;
use crate::model::{BootOverride, BootTarget, Class, EvidenceNote, PowerState, PowerVerb, Reading, Touch};

/// Longest wait for the power to be seen changed, as in a netboot.
const POWER: Duration = Duration::from_secs(180);

impl InstallImage {
    /// Starts the node from its disk.
    pub(super) async fn start(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        self.netboot.same_machine().await?;
        self.written.store(true, Ordering::Relaxed);
        self.close_grant(scribe).await?;
        let want = BootOverride { target: BootTarget::Disk, once: true, mode: Some(self.netboot.target.mode), http_uri: None };
        if let Err(why) = self.set_boot(want, scribe).await? {
            // Firmware goes on to its disks when nobody on the network has anything for it, and the node itself says what it runs.
            scribe.progress(&format!("the boot order of the firmware decides: {why}"));
        }
        let bmc = self.netboot.bmc.as_ref();
        let verb = match bmc.power().await.map_err(|e| from_bmc("read the power", e))? {
            Reading::Known(PowerState::Off) => PowerVerb::On,
            _ => PowerVerb::Cycle,
        };
        let touch = Touch::StartInstalled(verb);
        scribe.before(&touch).await?;
        scribe.progress(&format!("power {verb}, to start from its disk"));
        self.cycled.store(false, Ordering::Relaxed);
        *self.lock() = Some(now_ms());
        // The connection to the old system dies with it.
        self.shell().close().await;
        match bmc.set_power(verb, POWER).await {
            Written::Applied(seen) => {
                self.cycled.store(true, Ordering::Relaxed);
                scribe.after(&touch, EvidenceNote::Applied(seen)).await
            }
            Written::Ambiguous(seen) => {
                scribe.after(&touch, EvidenceNote::Ambiguous(seen.clone())).await?;
                Err(ActionError { doing: format!("power {verb}"), seen, class: Class::Ambiguous, source: None })
            }
            Written::NotApplied(error) => {
                *self.lock() = None;
                scribe.after(&touch, EvidenceNote::NotApplied(error.to_string())).await?;
                Err(from_bmc(&format!("power {verb}"), error))
            }
        }
    }

    /// The grant that brought the installer would bring it again at the next boot over the network.
    async fn close_grant(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let (target, grants) = (&self.target, &self.netboot.grants);
        let fail = |error: &dyn std::fmt::Display| ActionError {
            doing: "close the boot grant, so that the node starts from its disk".to_owned(),
            seen: error.to_string(),
            class: Class::Transient,
            source: None,
        };
        if let Some(open) = grants.find_open(&target.plan, &target.node).await.map_err(|e| fail(&e))? {
            grants.release(&open.spec.id).await.map_err(|e| fail(&e))?;
            scribe.progress(&format!("grant {} is closed", open.spec.id));
        }
        Ok(())
    }

    /// Sets the boot override and journals it; `Err` inside says why it is not as wanted.
    pub(super) async fn set_boot(&self, want: BootOverride, scribe: &dyn Scribe) -> Result<Result<(), String>, ActionError> {
        let touch = Touch::SetBoot(want.clone());
        scribe.before(&touch).await?;
        scribe.progress(&format!("boot override {}", want.target));
        Ok(match self.netboot.bmc.set_boot(&want).await {
            Written::Applied(seen) => {
                scribe.after(&touch, EvidenceNote::Applied(seen)).await?;
                Ok(())
            }
            Written::Ambiguous(seen) => {
                scribe.after(&touch, EvidenceNote::Ambiguous(seen.clone())).await?;
                Err(seen)
            }
            Written::NotApplied(error) => {
                scribe.after(&touch, EvidenceNote::NotApplied(error.to_string())).await?;
                Err(error.to_string())
            }
        })
    }
}
