//! A whole firmware update of a BMC, as the rows of tasks and uploads need it: look, push, follow, prove, and a restart where one is needed.
//! However it is told to end, a flash is written to at most once, and what was told is true.

use std::sync::Mutex;
use std::time::Duration;

use bringup::bmc::updating::{FirmwareImage, FirmwareItem, UpdateClass, UpdateProgress, UpdateTerms};
use bringup::bmc::{WholeBmc, Written};
use bringup::model::{BmcProtocol, Component, Digest, Reading, Version};
use bringup::sim::Image;
use futures_util::future::BoxFuture;
use sha2::Digest as _;

use super::rig::{Rig, faults};
use super::story::{ATTEMPTS, End, Story};

/// The version that is pushed; no profile runs it.
pub const WANT: &str = "99.01.02";
/// For all of one update; the sim needs 50 ms.
pub const DEADLINE: Duration = Duration::from_secs(12);

/// What one push came to.
pub struct Push {
    pub written: Written,
    pub progress: Vec<UpdateProgress>,
}

/// How a push is made.
#[derive(Clone)]
pub struct How {
    pub component: &'static str,
    pub version: &'static str,
    /// Bytes of the image.
    pub len: usize,
    pub again: bool,
    pub targets: Option<Vec<String>>,
    pub deadline: Duration,
}

impl Default for How {
    fn default() -> Self {
        Self { component: "BMC", version: WANT, len: 150_000, again: false, targets: None, deadline: DEADLINE }
    }
}

/// Pushes an image once.
pub async fn push(rig: &Rig, how: How) -> Push {
    push_by(rig.bmc.as_ref(), how).await
}

/// The same through another client.
pub async fn push_by(bmc: &dyn WholeBmc, how: How) -> Push {
    let bytes = Image { component: how.component.to_owned(), version: how.version.to_owned() }.bytes(how.len);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.bin");
    std::fs::write(&file, &bytes).unwrap();
    let sha256 = Digest::from_bytes(&sha2::Sha256::digest(&bytes).into());
    let (component, version) = (Component::new(how.component).unwrap(), Version::new(how.version).unwrap());
    let image = FirmwareImage {
        file: &file,
        name: "image.bin",
        sha256: &sha256,
        component: &component,
        version: &version,
        url: None,
        targets: how.targets.as_deref(),
    };
    let progress = Mutex::new(Vec::new());
    let tell = |step| progress.lock().unwrap().push(step);
    let terms = UpdateTerms { deadline: how.deadline, again: how.again, hpm: false, tell: &tell };
    let written = bmc.update(&image, &terms).await;
    Push { written, progress: progress.into_inner().unwrap() }
}

/// A rig with these faults.
pub async fn rig(vendor: &str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Redfish, vendor, &faults(texts), 7).await
}

/// What the client shows of the BMC's firmware.
pub async fn shown(rig: &Rig) -> Result<FirmwareItem, String> {
    match rig.bmc.firmware_items().await {
        Ok(Reading::Known(items)) => {
            items.into_iter().find(|item| item.component.as_str() == "BMC").ok_or_else(|| "no BMC is listed".to_owned())
        }
        other => Err(format!("{other:?}")),
    }
}

/// See the head of this file.
pub fn drive<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        steps(rig, story).await;
        let (flashes, uploads) = (rig.machine().flashes(), rig.machine().uploads());
        if flashes > 1 {
            story.wrong(format!("the flash was written to {flashes} times, by {uploads} uploads"));
        }
    })
}

async fn steps(rig: &Rig, story: &mut Story) {
    let machine = rig.machine();
    let mut restarted = false;
    // One more for the look after the restart.
    for _ in 0..=ATTEMPTS {
        let (before, flashes) = (machine.runs("BMC"), machine.flashes());
        let pushed = push(rig, How::default()).await;
        for step in &pushed.progress {
            story.heard(format!("{step:?}"));
        }
        let look = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match shown(rig).await {
                    Ok(item) => match item.running.known() {
                        Some(version) => (Some(version.as_str() == WANT), format!("{item:?}")),
                        None => (None, format!("{item:?}")),
                    },
                    Err(error) => (None, error),
                }
            })
        };
        let runs = || machine.runs("BMC").as_deref() == Some(WANT);
        match &pushed.written {
            // A flash that was tried and failed is told as such, not as nothing.
            Written::NotApplied(e) if UpdateClass::of(e) == Some(UpdateClass::DeviceFailed) => {
                story.heard(super::story::whole(e));
                if runs() {
                    story.wrong(format!("told as failed ({e}), but the version runs"));
                }
                return story.ends(format!("push: {e}"));
            }
            // It waits for a restart of the BMC: somebody restarts it, and pushing again must see that without another flash.
            Written::Ambiguous(text) if text.starts_with(&UpdateClass::NotActivated.to_string()) && !restarted => {
                story.heard(text.clone());
                if runs() {
                    story.wrong(format!("told as not activated ({text}), but it runs"));
                }
                if machine.flashes() != flashes + u32::from(flashes == 0) {
                    story.wrong(format!("told as written and waiting ({text}), but there were {} flashes", machine.flashes()));
                }
                restarted = true;
                machine.restart_bmc(100);
                while machine.bmc_away() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                continue;
            }
            Written::Applied(text) if machine.flashes() != 1 => {
                story.wrong(format!("told Applied ({text}) after {} flashes", machine.flashes()));
            }
            _ => {}
        }
        let untouched = || machine.flashes() == flashes && machine.runs("BMC") == before;
        match story.written("push", &pushed.written, runs, untouched, look).await {
            End::Done => return,
            // What is not certain is not pushed again here: a person or a run looks first.
            End::Again if matches!(pushed.written, Written::Ambiguous(_)) => {
                return story.ends(format!("push: {:?}", pushed.written));
            }
            End::Again => {}
            End::No => return,
        }
    }
    story.ends(format!("push: not done in {ATTEMPTS} attempts"));
}
