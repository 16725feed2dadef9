//! IP-14: firmware by HPM.1 over IPMI. Blocks that are not taken, that are too long, a BMC that restarts in the middle or goes back by itself:
//! one activation at most, and what is told is what runs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bringup::bmc::updating::{FirmwareImage, UpdateClass, UpdateProgress, UpdateTerms};
use bringup::bmc::{BmcTrouble, WholeBmc, Written};
use bringup::model::{BmcProtocol, Component, Digest, Reading, Version};
use futures_util::future::BoxFuture;
use sha2::Digest as _;

use super::rig::{Rig, faults};
use super::row::{Row, Where};
use super::story::{ATTEMPTS, End, Story, whole};
use crate::support::HpmFile;

/// No profile runs it.
const WANT: &str = "99.01";
/// For one upgrade; the sim needs a second, most of it pauses between looks.
const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of the firmware: a few blocks, so that the sweep stays short.
const SHORT: usize = 300;

type Seen = Result<String, String>;

pub fn rows() -> Vec<Row> {
    vec![Row {
        id: "IP-14",
        says: "takes firmware by HPM.1, and stumbles over its blocks",
        faults: &["hpm.busy", "hpm.block", "hpm.rollback", "bmc.reboot(100)"],
        placed: Where::EachOnce,
        own: |vendor| Box::pin(own(vendor)),
    }]
}

struct Push {
    written: Written,
    progress: Vec<UpdateProgress>,
}

/// Pushes a file; `hpm` is the leave to do so.
async fn push_file(bmc: &dyn WholeBmc, bytes: &[u8], component: &str, version: &str, hpm: bool) -> Push {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.hpm");
    std::fs::write(&file, bytes).unwrap();
    let sha256 = Digest::from_bytes(&sha2::Sha256::digest(bytes).into());
    let (component, version) = (Component::new(component).unwrap(), Version::new(version).unwrap());
    let image = FirmwareImage {
        file: &file,
        name: "image.hpm",
        sha256: &sha256,
        component: &component,
        version: &version,
        url: None,
        targets: None,
    };
    let progress = Mutex::new(Vec::new());
    let tell = |step| progress.lock().unwrap().push(step);
    let written = bmc.update(&image, &UpdateTerms { deadline: DEADLINE, again: false, hpm, tell: &tell }).await;
    Push { written, progress: progress.into_inner().unwrap() }
}

async fn push(rig: &Rig, component: &str, len: usize) -> Push {
    let vendor = rig.machine().identity().profile.name;
    push_file(rig.bmc.as_ref(), &HpmFile::of(vendor, component, WANT, len).bytes(), component, WANT, true).await
}

/// What the client shows of the BMC's firmware.
async fn shown(rig: &Rig) -> (Option<bool>, String) {
    match rig.bmc.firmware_items().await {
        Ok(Reading::Known(items)) => {
            let item = items.into_iter().find(|item| item.component.as_str() == "BMC");
            let runs = item.as_ref().and_then(|item| item.running.known()).map(|version| version.as_str() == WANT);
            (runs, format!("{item:?}"))
        }
        other => (None, format!("{other:?}")),
    }
}

/// Pushes until it is done or said why not; a flash is written to at most once, whatever was told.
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
    for _ in 0..ATTEMPTS {
        let (before, flashes) = (machine.runs("BMC"), machine.flashes());
        let pushed = push(rig, "BMC", SHORT).await;
        pushed.progress.iter().for_each(|step| story.heard(format!("{step:?}")));
        let runs = || machine.runs("BMC").as_deref() == Some(WANT);
        match &pushed.written {
            // It was tried and failed, and is told as such, not as nothing.
            Written::NotApplied(e) if UpdateClass::of(e) == Some(UpdateClass::DeviceFailed) => {
                story.heard(whole(e));
                if runs() {
                    story.wrong(format!("told as failed ({e}), but the version runs"));
                }
                return story.ends(format!("push: {e}"));
            }
            Written::Applied(text) if machine.flashes() != 1 => {
                story.wrong(format!("told Applied ({text}) after {} flashes", machine.flashes()));
            }
            _ => {}
        }
        let untouched = || machine.flashes() == flashes && machine.runs("BMC") == before;
        let look = || -> BoxFuture<'_, _> { Box::pin(shown(rig)) };
        match story.written("push", &pushed.written, runs, untouched, look).await {
            End::Done | End::No => return,
            // What is not certain is not pushed again here: somebody looks first.
            End::Again if matches!(pushed.written, Written::Ambiguous(_)) => {
                return story.ends(format!("push: {:?}", pushed.written));
            }
            End::Again => {}
        }
    }
    story.ends(format!("push: not done in {ATTEMPTS} attempts"));
}

macro_rules! hold {
    ($test:expr, $($words:tt)+) => {
        if !$test {
            return Err(format!($($words)+));
        }
    };
}

async fn rig(vendor: &str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Ipmi, vendor, &faults(texts), 7).await
}

/// An upgrade with these faults, which must come to its end.
async fn done(vendor: &str, texts: &[&str], len: usize) -> Seen {
    let rig = rig(vendor, texts).await;
    let pushed = push(&rig, "BMC", len).await;
    rig.bmc.close().await;
    let machine = rig.machine();
    let ran = (machine.runs("BMC"), machine.flashes(), machine.sessions());
    hold!(matches!(pushed.written, Written::Applied(_)), "{texts:?}: {:?}", pushed.written);
    hold!(ran == (Some(WANT.to_owned()), 1, 0), "{texts:?}: {ran:?}");
    let told = pushed.progress.iter().filter(|step| matches!(step, UpdateProgress::Uploading { .. })).count();
    let requests = machine.requests();
    rig.farm.stop().await;
    Ok(format!("{texts:?}: {told} blocks, {requests} requests"))
}

/// Refused before anything was sent that changes something.
fn refused(written: &Written, class: Option<UpdateClass>, kind: Option<&BmcTrouble>, says: &str) -> Result<(), String> {
    let Written::NotApplied(error) = written else { return Err(format!("{written:?}")) };
    hold!(UpdateClass::of(error) == class && kind.is_none_or(|kind| *kind == error.kind), "{error:?}");
    hold!(error.to_string().contains(says), "`{says}` is not told: {error}");
    Ok(())
}

async fn own(vendor: &'static str) -> Seen {
    let began = Instant::now();
    let mut seen = vec![done(vendor, &[], 20_000).await?];
    seen.push(done(vendor, &["hpm.busy@12x7"], 2_000).await?);
    let short = done(vendor, &["hpm.block"], 2_000).await?;
    hold!(short.contains("125 blocks"), "2,000 bytes in blocks of 16: {short}");
    seen.push(short);
    seen.push(done(vendor, &["udp.loss(8)", "udp.dup"], 5_000).await?);

    let well = rig(vendor, &[]).await;
    let file = HpmFile::of(vendor, "BMC", WANT, SHORT);
    let bmc = well.bmc.as_ref();
    let push = |bytes: Vec<u8>, component: &'static str, version: &'static str, hpm: bool| async move {
        push_file(bmc, &bytes, component, version, hpm).await.written
    };
    let unasked = push(file.bytes(), "BMC", WANT, false).await;
    refused(&unasked, None, Some(&BmcTrouble::Unsupported), "--hpm")?;
    hold!(well.machine().requests() == 0, "something was sent without leave");
    let mut damaged = file.bytes();
    damaged[100] ^= 1;
    refused(&push(damaged, "BMC", WANT, true).await, Some(UpdateClass::Rejected), None, "MD5")?;
    hold!(well.machine().requests() == 0, "something was sent for a damaged file");
    let precondition = Some(UpdateClass::Precondition);
    let other = HpmFile { maker: 1, ..file.clone() };
    refused(&push(other.bytes(), "BMC", WANT, true).await, precondition, None, "of maker 1,")?;
    let newer = HpmFile { earliest: [99, 0x00], ..file.clone() };
    refused(&push(newer.bytes(), "BMC", WANT, true).await, precondition, None, "needs firmware 99.00")?;
    refused(&push(file.bytes(), "BMC", "99.02", true).await, precondition, None, "the image holds BMC 99.01")?;
    refused(&push(file.bytes(), "GPU_X", WANT, true).await, precondition, None, "it has BMC, BIOS, CPLD, PSU_1")?;
    refused(&push(file.bytes(), "PSU_1", WANT, true).await, precondition, None, "holds nothing for PSU_1")?;
    // Firmware that is not what the file says: the BMC sees it when it has all of it.
    let mut wrong = file.clone();
    wrong.parts[0].2 = HpmFile::of(vendor, "BIOS", WANT, SHORT).parts[0].2.clone();
    refused(&push(wrong.bytes(), "BMC", WANT, true).await, Some(UpdateClass::Rejected), None, "not for this component")?;
    hold!(well.machine().flashes() == 0, "{} flashes", well.machine().flashes());
    let first = push(file.bytes(), "BMC", WANT, true).await;
    let again = push(file.bytes(), "BMC", WANT, true).await;
    let both = (&first, &again, well.machine().flashes());
    hold!(matches!(both, (Written::Applied(_), Written::Applied(text), 1) if text.contains("already")), "{both:?}");
    // What the node's power has to be cycled for waits, and is not sent again.
    let bios = HpmFile::of(vendor, "BIOS", WANT, SHORT).bytes();
    for _ in 0..2 {
        let waits = push(bios.clone(), "BIOS", WANT, true).await;
        let words = matches!(&waits, Written::Ambiguous(text) if text.starts_with(&UpdateClass::NotActivated.to_string()));
        hold!(words && well.machine().flashes() == 2, "{waits:?}, {} flashes", well.machine().flashes());
    }
    well.bmc.close().await;

    let back = rig(vendor, &["hpm.rollback"]).await;
    let old = back.machine().runs("BMC");
    let failed = self::push(&back, "BMC", SHORT).await.written;
    refused(&failed, Some(UpdateClass::DeviceFailed), None, "went back to the old firmware by itself")?;
    hold!(back.machine().runs("BMC") == old && back.machine().flashes() == 1, "{} flashes", back.machine().flashes());
    back.bmc.close().await;
    hold!(began.elapsed() < Duration::from_secs(300), "it took {:?}", began.elapsed());
    Ok(seen.join("; "))
}
