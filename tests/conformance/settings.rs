//! RC-61 to RC-63: BIOS settings through their own object, attributes by their registry, and virtual media. Driven by a change of BIOS attributes
//! with the boot that takes it, and by an image that is put in and taken out.

use std::time::{Duration, Instant};

use bringup::bmc::settings::{BiosOrder, BiosValue, MediaOrder};
use bringup::bmc::{BmcTrouble, Password, WholeBmc, Written};
use bringup::model::{BmcProtocol, PowerVerb, Reading};
use bringup::sim::{MachineHandle, Stage};
use futures_util::future::BoxFuture;

use super::rig::{Rig, faults};
use super::row::{Row, Where};
use super::story::{ATTEMPTS, End, Story, whole};

/// Swept by [`drive_bios`].
pub fn bios_rows() -> Vec<Row> {
    vec![
        Row {
            id: "RC-61",
            says: "takes BIOS settings by another object, with a job; pending blocks",
            // The job is a habit: it is there from the start.
            faults: &["bios.pending", "bios.job@0"],
            placed: Where::EachOn,
            own: |vendor| Box::pin(pending_and_jobs(vendor)),
        },
        Row {
            id: "RC-62",
            says: "has other attribute names after a BIOS update, bounds, displays",
            faults: &["bios.registry@0"],
            placed: Where::Always,
            own: |vendor| Box::pin(by_the_registry(vendor)),
        },
    ]
}

/// Swept by [`drive_media`].
pub fn media_rows() -> Vec<Row> {
    vec![Row {
        id: "RC-63",
        says: "has virtual media with habits: forms, places, lag, credentials",
        faults: &[
            "vm.stale",
            "vm.creds",
            "vm.payload",
            "vm.eject_5xx",
            "vm.patch_only@0",
            "vm.no_cd@0",
            "vm.usbcd@0",
            "vm.system@0",
            "vm.stale+vm.eject_5xx",
        ],
        placed: Where::EachOn,
        own: |vendor| Box::pin(every_drive(vendor)),
    }]
}

const URL: &str = "http://10.77.0.1/images/rescue.iso";
const OTHER: &str = "http://10.77.0.1/images/other.iso";

fn order(pairs: &[(&str, &str)]) -> BiosOrder {
    let set = pairs.iter().map(|(n, v)| ((*n).to_owned(), BiosValue::Text((*v).to_owned()))).collect();
    BiosOrder { set, ..BiosOrder::default() }
}

fn image(url: &str) -> MediaOrder {
    MediaOrder { slot: None, url: url.to_owned(), share: None }
}

/// What the machine will have in force after its next boot.
fn planned(machine: &MachineHandle, name: &str) -> String {
    machine.bios(|b| b.pending().get(name).or(b.current().get(name)).map(ToString::to_string)).unwrap_or_default()
}

fn in_drive(machine: &MachineHandle) -> Option<String> {
    machine.media(|media| media.drives.iter().find_map(|d| d.image.clone()))
}

pub fn drive_bios<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let (bmc, machine) = (rig.bmc.as_ref(), rig.machine());
        if story.read("BIOS", || bmc.bios()).await.is_none() {
            return;
        }
        let want = order(&[("SriovGlobalEnable", "Enabled"), ("AcPwrRcvry", "On")]);
        let so = || planned(machine, "SriovGlobalEnable") == "\"Enabled\"" && planned(machine, "AcPwrRcvry") == "\"On\"";
        let held = || machine.bios(|b| (b.pending().clone(), b.current().clone(), b.jobs().len()));
        for attempt in 1..=ATTEMPTS {
            let before = held();
            let written = bmc.set_bios(&want).await;
            let look = || -> BoxFuture<'_, _> { Box::pin(looks_set(bmc)) };
            match story.written("set BIOS attributes", &written, so, || held() == before, look).await {
                End::Done => break,
                End::Again if attempt < ATTEMPTS => {}
                End::Again | End::No => {
                    story.ends("set BIOS attributes: not done");
                    return;
                }
            }
        }
        // What is pending is in force after the boot.
        let written = bmc.set_power(PowerVerb::Cycle, Duration::from_secs(3)).await;
        if !matches!(written, Written::Applied(_)) {
            story.ends(format!("power cycle: {written:?}"));
            return;
        }
        let start = Instant::now();
        while machine.stage() != Stage::Up && start.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let after = machine.bios(|b| b.current().get("SriovGlobalEnable").map(ToString::to_string));
        if after.as_deref() != Some("\"Enabled\"") {
            story.wrong(format!("it was told that the next boot takes it, and after the boot it is {after:?}"));
        }
        story.read("BIOS after the boot", || bmc.bios()).await;
    })
}

async fn looks_set(bmc: &dyn WholeBmc) -> (Option<bool>, String) {
    match bmc.bios().await {
        Ok(Reading::Known(bios)) => {
            let of = |stem: &str| {
                let mut all = bios.current.clone();
                all.extend(bios.pending.clone());
                all.into_iter().find(|(name, _)| name.starts_with(stem)).map(|(_, value)| value.to_string())
            };
            let set = of("SriovGlobalEnable").as_deref() == Some("Enabled") && of("AcPwrRcvry").as_deref() == Some("On");
            (Some(set), format!("pending {:?}", bios.pending))
        }
        Ok(other) => (None, format!("{other:?}")),
        Err(error) => (None, whole(&error)),
    }
}

pub fn drive_media<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let (bmc, machine) = (rig.bmc.as_ref(), rig.machine());
        if story.read("drives", || bmc.media()).await.is_none() {
            return;
        }
        let touched = || machine.media(|media| (media.insertions, media.ejected));
        for (doing, want) in [("insert", Some(URL)), ("insert another", Some(OTHER)), ("eject", None)] {
            let so = || in_drive(machine).as_deref() == want;
            let mut done = false;
            for _ in 0..ATTEMPTS {
                let before = touched();
                let written = match want {
                    Some(url) => bmc.insert_media(&image(url)).await,
                    None => bmc.eject_media(None).await,
                };
                let look = || -> BoxFuture<'_, _> { Box::pin(looks_in(bmc, want)) };
                match story.written(doing, &written, so, || touched() == before, look).await {
                    End::Done => done = true,
                    End::Again => continue,
                    End::No => return,
                }
                break;
            }
            if !done {
                story.ends(format!("{doing}: not done in {ATTEMPTS} attempts"));
                return;
            }
        }
        // A restart of the BMC takes out what was in: then it is put in once more.
        let (insertions, restarts) = (machine.media(|media| media.insertions), machine.bmc_restarts());
        if !(2..=2 + restarts).contains(&insertions) {
            story.wrong(format!("two images were inserted, and the BMC took {insertions} and restarted {restarts} times"));
        }
    })
}

async fn looks_in(bmc: &dyn WholeBmc, want: Option<&str>) -> (Option<bool>, String) {
    match bmc.media().await {
        Ok(Reading::Known(drives)) => {
            let words = format!("{drives:?}");
            if drives.iter().any(|d| d.inserted.known().is_none()) {
                return (None, words);
            }
            let holds = drives.iter().find(|d| d.inserted == Reading::Known(true)).and_then(|d| d.image.known().cloned());
            (Some(holds.as_deref() == want), words)
        }
        Ok(other) => (None, format!("{other:?}")),
        Err(error) => (None, whole(&error)),
    }
}

pub async fn rig(vendor: &'static str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Redfish, vendor, &faults(texts), 7).await
}

pub async fn end(rig: Rig) {
    rig.bmc.close().await;
    assert_eq!(rig.machine().sessions(), 0);
    rig.farm.stop().await;
}

fn applied(written: Written) -> Result<String, String> {
    match written {
        Written::Applied(seen) => Ok(seen),
        other => Err(format!("not applied: {other:?}")),
    }
}

fn refused(written: Written, kind: &BmcTrouble, words: &[&str]) -> Result<String, String> {
    match written {
        Written::NotApplied(e) if e.kind == *kind && words.iter().all(|word| e.to_string().contains(word)) => Ok(e.to_string()),
        other => Err(format!("{words:?} was expected as {kind:?}, not {other:?}")),
    }
}

async fn boots(machine: &MachineHandle) {
    let boots = machine.boots();
    machine.power(PowerVerb::Cycle);
    while machine.boots() == boots {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn pending_and_jobs(vendor: &'static str) -> Result<String, String> {
    // What somebody else left pending stands in the way, by name, unless it is allowed or was ours.
    let one = rig(vendor, &[]).await;
    let theirs = [("NumaNodesPerSocket".to_owned(), serde_json::json!("NPS4"))].into();
    one.machine().bios(|b| b.write(&theirs, false)).unwrap();
    let mut want = order(&[("SriovGlobalEnable", "Enabled")]);
    refused(one.bmc.set_bios(&want).await, &BmcTrouble::Refused, &["NumaNodesPerSocket=NPS4", "was not written by bringup"])?;
    assert_eq!(one.machine().bios(|b| b.pending().len()), 1, "nothing was sent");
    want.ours = order(&[("NumaNodesPerSocket", "NPS4")]).set;
    let seen = applied(one.bmc.set_bios(&want).await)?;
    if vendor == "dell" {
        assert_eq!(one.machine().bios(|b| b.jobs().to_vec()), [false], "a job came with the write: {seen}");
    }
    if !seen.contains("SriovGlobalEnable=Enabled") || !seen.contains("also pending: NumaNodesPerSocket=NPS4") {
        return Err(format!("the next boot takes both, and this was told: {seen}"));
    }
    want.ours.clear();
    want.beside_others = true;
    let seen = applied(one.bmc.set_bios(&want).await)?;
    assert!(seen.contains("was so already") && seen.contains("as pending until"), "{seen}");
    end(one).await;

    // Pending blocks the next, in the BMC's words; what was pending stays.
    let one = rig(vendor, &["bios.pending"]).await;
    applied(one.bmc.set_bios(&order(&[("SriovGlobalEnable", "Enabled")])).await)?;
    let mut second = order(&[("AssetTag", "r1")]);
    second.ours = order(&[("SriovGlobalEnable", "Enabled")]).set;
    refused(one.bmc.set_bios(&second).await, &BmcTrouble::Refused, &["409", "ResourceInUse"])?;
    boots(one.machine()).await;
    applied(one.bmc.set_bios(&second).await)?;
    end(one).await;

    // A job is made where one is needed, exactly one, and the boot takes what it holds.
    let one = rig(vendor, &["bios.job"]).await;
    let seen = applied(one.bmc.set_bios(&order(&[("SriovGlobalEnable", "Enabled"), ("Above4GDecoding", "false")])).await)?;
    assert_eq!(one.machine().bios(|b| b.jobs().to_vec()), [false], "{seen}");
    boots(one.machine()).await;
    let (held, left) = one.machine().bios(|b| (b.current()["Above4GDecoding"].clone(), b.pending().len()));
    assert_eq!((held, left), (serde_json::json!(false), 0));
    end(one).await;
    Ok(seen)
}

async fn by_the_registry(vendor: &'static str) -> Result<String, String> {
    let one = rig(vendor, &["bios.registry"]).await;
    // Every mistake at once, each with its reason, and nothing sent.
    let wrong = order(&[
        ("SriovGlobalEnable", "Maybe"),
        ("AcPwrRcvryUserDelay", "65"),
        ("SystemModelName", "other"),
        ("Above4GDecoding", "yes"),
        ("SetupPassword", "hunter2"),
        ("NoSuchThing", "1"),
    ]);
    let told = refused(
        one.bmc.set_bios(&wrong).await,
        &BmcTrouble::Refused,
        &[
            "`Maybe` is not one of Enabled, Disabled",
            "65 is not a step of 10 within 60 to 600",
            "SystemModelName: it is read-only",
            "`yes` is neither true nor false",
            "SetupPassword: it is a password",
            "NoSuchThing: this BIOS has no such attribute",
        ],
    )?;
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(one.machine().bios(|b| b.pending().len()), 0);
    // The name without the digits of this BIOS, and what people are shown instead of the value.
    let seen = applied(one.bmc.set_bios(&order(&[("NumaNodesPerSocket", "four nodes per socket")])).await)?;
    assert_eq!(planned(one.machine(), "NumaNodesPerSocket"), "\"NPS4\"");
    for words in ["NumaNodesPerSocket is called NumaNodesPerSocket_", "`four nodes per socket` is written NPS4"] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    boots(one.machine()).await;
    // What the registry says stands in the way is told, and the BMC's refusal with it.
    let late = one.bmc.set_bios(&BiosOrder { beside_others: true, ..order(&[("AcPwrRcvryUserDelay", "70")]) }).await;
    refused(late, &BmcTrouble::Refused, &["PropertyNotWritable"])?;
    let both = BiosOrder { beside_others: true, ..order(&[("AcPwrRcvryUserDelay", "70"), ("AcPwrRcvryDelay", "User")]) };
    applied(one.bmc.set_bios(&both).await)?;
    end(one).await;
    Ok(seen)
}

async fn every_drive(vendor: &'static str) -> Result<String, String> {
    let mut told = Vec::new();
    for fault in ["vm.stale", "vm.patch_only", "vm.usbcd", "vm.creds", "vm.payload", "vm.system", "vm.eject_5xx"] {
        let one = rig(vendor, &[fault]).await;
        let seen = applied(one.bmc.insert_media(&image(URL)).await).map_err(|e| format!("{fault}: {e}"))?;
        assert_eq!(in_drive(one.machine()).as_deref(), Some(URL), "{fault}");
        let again = applied(one.bmc.insert_media(&image(URL)).await)?;
        assert!(again.contains("nothing was sent"), "{fault}: {again}");
        // Another image: what is in it is ejected first.
        applied(one.bmc.insert_media(&image(OTHER)).await).map_err(|e| format!("{fault}: {e}"))?;
        assert_eq!(in_drive(one.machine()).as_deref(), Some(OTHER), "{fault}");
        assert_eq!(one.machine().media(|media| media.insertions), 2, "{fault}");
        let drives = one.bmc.media().await.map_err(|e| e.to_string())?;
        let holding = drives.known().into_iter().flatten().filter(|d| d.inserted == Reading::Known(true)).count();
        assert_eq!(holding, 1, "{fault}: {drives:?}");
        applied(one.bmc.eject_media(None).await).map_err(|e| format!("{fault}: {e}"))?;
        assert_eq!(in_drive(one.machine()), None, "{fault}");
        let nothing = applied(one.bmc.eject_media(None).await)?;
        assert!(nothing.contains("nothing was in"), "{fault}: {nothing}");
        // What somebody else put in just now is taken out too, though `Inserted` lags behind.
        let (machine, now) = (one.machine(), one.machine().clock().now());
        assert!(machine.media(|media| {
            let drive = media.drives.iter().find(|drive| drive.types.contains(&"CD")).map(|drive| drive.id);
            drive.is_some_and(|drive| media.insert(now, drive, OTHER, true))
        }));
        applied(one.bmc.eject_media(None).await).map_err(|e| format!("{fault}: {e}"))?;
        assert_eq!(in_drive(one.machine()), None, "{fault}");
        end(one).await;
        told.push(format!("{fault}: {seen}"));
    }
    let one = rig(vendor, &["vm.no_cd"]).await;
    told.push(refused(one.bmc.insert_media(&image(URL)).await, &BmcTrouble::Unsupported, &["RemovableDisk (Floppy, USBStick)"])?);
    // A drive that is named is taken as it is.
    let named = MediaOrder { slot: Some("RemovableDisk".to_owned()), ..image(URL) };
    applied(one.bmc.insert_media(&named).await)?;
    end(one).await;

    // The share's password goes on the wire and nowhere else.
    let one = rig(vendor, &["vm.creds"]).await;
    let share = Some(("bob".to_owned(), Password::new("s3cret-of-the-share")));
    let seen = applied(one.bmc.insert_media(&MediaOrder { share, ..image(URL) }).await)?;
    assert!(!seen.contains("s3cret"), "{seen}");
    refused(one.bmc.insert_media(&image("http://bob:pw@10.77.0.1/x.iso")).await, &BmcTrouble::Refused, &["holds credentials"])?;
    end(one).await;
    Ok(told.swap_remove(0))
}
