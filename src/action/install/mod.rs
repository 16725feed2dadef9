//! The end "the node runs this image from its disk, and lets us in". It begins as a netboot does, into the image that does the writing; there it
//! chooses the disk, sends the files, has them written by a process that outlives every connection, and starts the node from the disk.
//!
//! ```text
//! anything else ──netboot──► installer's image ──write──► written ──power──► runs from its disk
//! ```
//!
//! Every look finds the place in this chain by asking the node: a life of the run that was cut goes on where the node is, not where the
//! journal ends. The journal tells one thing that the node cannot: that it was told to start from its disk, while it is silent.

mod disk;
#[cfg(test)]
mod inside_tests;
mod order;
mod remote;
mod start;
mod target;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use self::remote::{Progress, State};
use super::netboot::{Netboot, from_bmc};
use super::system::{Heard, hear, identity};
use super::{Action, ActionError, Kept, OpenTouch, Returned, Scribe, Standing};
use crate::boot::now_ms;
use crate::model::{BootMark, BootOverride, BootTarget, Class, PowerState, Reading, SystemFacts, Touch};

pub use target::{InstallTarget, Payload};

/// Installs an image on a disk of one node.
pub struct InstallImage {
    /// What is wanted.
    pub target: InstallTarget,
    /// How the node comes to run the image that does the writing; its hands are ours too.
    netboot: Netboot,
    /// Time between two looks while we wait inside an act.
    pace: Duration,
    /// How long a power touch whose result is not known may take to show.
    settle: Duration,
    /// When the node was told to start from its disk (ms since 1970), by this life or an earlier one.
    started: Mutex<Option<i64>>,
    /// The power was seen off and on again since then.
    cycled: AtomicBool,
    /// The disk was read back, by this life or an earlier one, and nothing but the start from it has come since.
    written: AtomicBool,
}

/// What a system that answers is.
enum Runs {
    /// The image, from a disk.
    Installed,
    /// The image that does the writing.
    Installer,
    /// Another one; why it is not taken for the image, when that is not plain.
    Other(Option<String>),
}

#[async_trait]
impl Action for InstallImage {
    async fn look(&self, open: Option<&OpenTouch>) -> Result<Standing, ActionError> {
        let heard = hear(self.shell()).await?;
        let mut not_it = None;
        if let Heard::System(system) = &heard {
            if let Err(why) = identity(&self.target.serial, &system.serial)? {
                return Ok(Standing::Refused { why });
            }
            match self.runs(system).await? {
                Runs::Installed => return self.installed(system).await,
                Runs::Installer => return self.installing().await,
                Runs::Other(why) => not_it = why,
            }
        }
        if !matches!(heard, Heard::System(_))
            && let Some(standing) = self.starting().await?
        {
            return Ok(standing);
        }
        Ok(match self.netboot.look(open).await? {
            Standing::Done(_) => Standing::Ready { seen: "the image that does the writing has just come up".to_owned() },
            Standing::Ready { seen } => match not_it {
                Some(why) => Standing::Ready { seen: format!("{seen}; {why}") },
                None => Standing::Ready { seen },
            },
            other => other,
        })
    }

    async fn act(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        if self.written.load(Ordering::Relaxed) && self.off().await? {
            // A boot over the network would only find out again that the disk is written.
            return self.start(scribe).await;
        }
        if !self.installer_runs().await? {
            *self.lock() = None;
            self.written.store(false, Ordering::Relaxed);
            self.netboot.act(scribe).await?;
            self.wait_for_installer(scribe).await?;
        }
        self.write(scribe).await?;
        self.start(scribe).await
    }

    async fn release(&self, scribe: &dyn Scribe) -> Result<Returned, ActionError> {
        let mut returned = self.netboot.release(scribe).await?;
        self.give_back_disk(scribe, &mut returned).await?;
        Ok(returned)
    }

    fn deadline_s(&self) -> u64 {
        self.netboot.deadline_s() + u64::from(self.target.deadline_s) + u64::from(self.target.boot_deadline_s)
    }

    fn remember(&self, last: &Touch, at_ms: i64) {
        match last {
            Touch::StartInstalled(_) => *self.lock() = Some(at_ms),
            Touch::SetBoot(held) if held.target == BootTarget::Disk => {}
            _ => return,
        }
        self.written.store(true, Ordering::Relaxed);
    }
}

impl InstallImage {
    /// An installation that has touched nothing yet. `netboot` brings up the image that does the writing; `settle` is how long a power touch
    /// may take to show.
    #[must_use]
    pub fn new(target: InstallTarget, netboot: Netboot, pace: Duration, settle: Duration) -> Self {
        Self {
            target,
            netboot,
            pace,
            settle,
            started: Mutex::new(None),
            cycled: AtomicBool::new(false),
            written: AtomicBool::new(false),
        }
    }

    fn shell(&self) -> &dyn crate::shell::Shell {
        self.netboot.shell.as_ref()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<i64>> {
        self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Seconds since the node was told to start from its disk, if it was.
    fn started_s_ago(&self) -> Option<u64> {
        let at = *self.lock();
        at.map(|at| u64::try_from(now_ms().saturating_sub(at) / 1000).unwrap_or(0))
    }

    async fn runs(&self, system: &SystemFacts) -> Result<Runs, ActionError> {
        let mark = system.cmdline.known().map(|c| BootMark::of(c));
        let (image, disk) = mark.map_or((None, None), |mark| (mark.image, mark.disk));
        Ok(match (&self.target.payload, image, disk) {
            (_, Some(image), None) if image == self.target.from => Runs::Installer,
            (Payload::System { .. }, Some(image), Some(_)) if image == self.target.image_digest => Runs::Installed,
            (Payload::Disk(_), Some(_), None) => Runs::Other(None),
            // The system of a whole disk's image says nothing of us, or what was said of the disk that the image was taken from: the table of
            // the disk below it decides.
            (Payload::Disk(_), ..) => match remote::below_any(self.shell()).await? {
                Ok(disk) if order::mark(&self.target, &disk).is_on(&disk.table) => Runs::Installed,
                Ok(disk) => Runs::Other(Some(format!(
                    "it runs from the disk {}, whose partition table ({}) is not the one that this image gets there",
                    disk.words(),
                    if disk.table.is_empty() { "not read" } else { &disk.table }
                ))),
                Err(why) => Runs::Other(Some(format!("the disk below it was not told: {why}"))),
            },
            (Payload::System { .. }, ..) => Runs::Other(None),
        })
    }

    /// How a silent node stands whose disk is written: off, or starting from it; `None` when neither, or when the time for it is over.
    async fn starting(&self) -> Result<Option<Standing>, ActionError> {
        let started = self.started_s_ago();
        if !self.written.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if self.off().await? {
            // A life that was cut within a power cycle leaves the node off; the other half of the cycle may still come.
            if let Some(age) = started.filter(|age| Duration::from_secs(*age) < self.settle) {
                let with = format!("told to start from its disk {age} s ago, which may still show");
                return Ok(Some(Standing::Busy { with }));
            }
            return Ok(Some(Standing::Ready { seen: "its disk is written, and it is off".to_owned() }));
        }
        let waits = started.filter(|age| *age < u64::from(self.target.boot_deadline_s));
        Ok(waits.map(|age| Standing::Busy { with: format!("starting from its disk for {age} s") }))
    }

    async fn off(&self) -> Result<bool, ActionError> {
        let power = self.netboot.bmc.power().await.map_err(|e| from_bmc("read the power", e))?;
        Ok(power == Reading::Known(PowerState::Off))
    }

    /// The image runs and says that a disk brought it: the disk itself is looked at.
    async fn installed(&self, system: &SystemFacts) -> Result<Standing, ActionError> {
        let disk = remote::below(self.shell()).await?;
        if !disk.fits(&self.target.disk) {
            let why =
                format!("the image runs from the disk {}, which the rule ({}) does not mean", disk.words(), self.target.disk);
            return Ok(Standing::Refused { why });
        }
        let (image, disk_is) = (self.target.image_digest.short(), disk.words());
        let table = if disk.table.is_empty() { String::new() } else { format!(", partition table {}", disk.table) };
        Ok(Standing::Done(format!("boot id {}, image {image} from the disk {disk_is}{table}", system.boot_id)))
    }

    /// The system that does the writing answers.
    async fn installing(&self) -> Result<Standing, ActionError> {
        if let Some(age) = self.started_s_ago()
            && Duration::from_secs(age) < self.settle
            && !self.cycled.load(Ordering::Relaxed)
        {
            return Ok(Standing::Busy { with: format!("told to start from its disk {age} s ago, which may still show") });
        }
        let Some(progress) = remote::progress(self.shell()).await? else {
            return Ok(Standing::Ready { seen: "the image that does the writing runs, and nothing is written yet".to_owned() });
        };
        let ours = self.is_ours(&progress);
        Ok(match progress.state {
            State::Running(step) if ours => Standing::Busy { with: format!("installing: {step}") },
            State::Running(step) => Standing::Busy { with: format!("{} is installing: {step}", progress.plan.escape_debug()) },
            State::Done if ours && self.started_s_ago().is_some() => {
                Standing::Ready { seen: "it was written, and started over the network again instead of from its disk".to_owned() }
            }
            State::Done => Standing::Ready { seen: "written, and not started from its disk yet".to_owned() },
            State::Failed(why) => Standing::Ready { seen: format!("the installer failed: {why}") },
        })
    }

    /// Whether an installation is this plan's.
    fn is_ours(&self, progress: &Progress) -> bool {
        progress.plan == self.target.plan.as_str() && progress.image == self.target.image_digest.as_str()
    }

    async fn installer_runs(&self) -> Result<bool, ActionError> {
        Ok(match hear(self.shell()).await? {
            Heard::System(system) => {
                matches!(self.runs(&system).await?, Runs::Installer) && identity(&self.target.serial, &system.serial)?.is_ok()
            }
            Heard::Stranger(_) | Heard::Nothing(_) => false,
        })
    }

    /// Waits until the image that does the writing lets us in, for as long as the netboot itself would.
    async fn wait_for_installer(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let began = std::time::Instant::now();
        let patience = Duration::from_secs(self.netboot.deadline_s());
        let fail = |seen: String, class| ActionError {
            doing: "wait for the image that writes the disk".to_owned(),
            seen,
            class,
            source: None,
        };
        loop {
            match self.netboot.look(None).await {
                Ok(Standing::Done(_)) => return Ok(()),
                Ok(Standing::Busy { with }) => scribe.progress(&with),
                Ok(Standing::Ready { seen }) => return Err(fail(seen, Class::Transient)),
                Ok(Standing::Refused { why }) => return Err(fail(why, Class::Refused)),
                Err(error) if error.class == Class::Transient && began.elapsed() < patience => {
                    scribe.progress(&format!("look again: {error}"));
                }
                Err(error) => return Err(error),
            }
            if began.elapsed() > patience * 2 {
                return Err(fail(format!("no login in {} s", began.elapsed().as_secs()), Class::Transient));
            }
            tokio::time::sleep(self.pace).await;
        }
    }

    /// A BMC that keeps `once` for ever would start from the disk at every boot, whatever was held before.
    async fn give_back_disk(&self, scribe: &dyn Scribe, returned: &mut Returned) -> Result<(), ActionError> {
        if self.started_s_ago().is_none()
            || matches!(&self.netboot.target.boot_before, Reading::Known(b) if b.target == BootTarget::Disk)
        {
            return Ok(());
        }
        match self.netboot.bmc.boot().await {
            Ok(Reading::Known(held)) if held.target == BootTarget::Disk => {}
            Ok(_) => return Ok(()),
            Err(error) => {
                let why = format!("what the BMC holds could not be read: {error}");
                returned.kept.push(Kept { what: "boot override".to_owned(), why });
                return Ok(());
            }
        }
        match self.set_boot(BootOverride::none(), scribe).await? {
            Ok(()) => returned.given.push("boot override disk: now none".to_owned()),
            Err(why) => returned.kept.push(Kept { what: "boot override disk".to_owned(), why }),
        }
        Ok(())
    }
}
