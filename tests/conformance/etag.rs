//! RC-35 … RC-37: entity tags. What a make of BMC takes is found in a bounded number of requests, proved by reading, and remembered.

use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::quirk::{Forgetful, Memory, Quirks};
use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, Written};
use bringup::model::{BmcProtocol, BootMode, BootOverride, BootTarget, PowerVerb};

use super::rig::{self, Rig, faults};
use super::row::{Row, Where};

type Own = Result<String, String>;

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row(
            "RC-35",
            "wants If-Match, or drops a change without it",
            &["etag.required", "etag.silent_drop"],
            Where::EachOn,
            |v| Box::pin(wanted(v)),
        ),
        row("RC-36", "refuses a tag on actions, or wants * there", &["etag.refuse_on_post", "etag.star"], Where::EachOn, |v| {
            Box::pin(on_actions(v))
        }),
        row("RC-37", "has weak tags, or another one at every read", &["etag.weak", "etag.drift"], Where::EachOn, |v| {
            Box::pin(unusable(v))
        }),
    ]
}

fn pxe() -> BootOverride {
    BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None }
}

/// A client with these habits laid over every profile, and this memory.
fn client(rig: &Rig, habits: &str, memory: &Arc<dyn Memory>) -> Redfish {
    let mut options = rig::redfish(&rig.farm);
    if !habits.is_empty() {
        let text = format!(
            "format_version: 1\nquirks:\n  - name: odd\n    fits: {{vendor: \"*\"}}\n    habits:\n      - {{set: {{{habits}}}, evidence: [\"[SITE] this test\"]}}\n"
        );
        let odd = Quirks::read("odd", &text).unwrap_or_else(|e| panic!("{e}"));
        options.quirks = Some(Arc::new(Quirks::built_in().unwrap().then(odd)));
    }
    options.memory = Arc::clone(memory);
    Redfish::new(options).unwrap()
}

/// What a boot override costs a new client of this BMC, in requests after the node is known; it must stand in the end.
async fn cost(rig: &Rig, habits: &str, memory: &Arc<dyn Memory>) -> Result<u32, String> {
    let bmc = client(rig, habits, memory);
    bmc.identity().await.map_err(|e| e.to_string())?;
    rig.machine().set_boot_override(BootOverride::none());
    let before = rig.machine().requests();
    let written = bmc.set_boot(&pxe()).await;
    let cost = rig.machine().requests() - before;
    bmc.close().await;
    match written {
        Written::Applied(_) if rig.machine().boot_override() == pxe() => Ok(cost),
        other => Err(format!("{other:?}; the machine holds {:?}", rig.machine().boot_override())),
    }
}

fn memory() -> Arc<dyn Memory> {
    Arc::new(Forgetful::default())
}

fn ensure(so: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise.into()) }
}

async fn wanted(vendor: &'static str) -> Own {
    let mut told = Vec::new();
    for fault in ["etag.required", "etag.silent_drop"] {
        let rig = Rig::start(BmcProtocol::Redfish, vendor, &faults(&[fault]), 7).await;
        // As it is read, and in the worst case: a profile that says that no tag is wanted.
        let usual = cost(&rig, "", &memory()).await.map_err(|e| format!("{fault}: {e}"))?;
        let kept = memory();
        let worst = cost(&rig, "patch_tag: none", &kept).await.map_err(|e| format!("{fault}, no tag first: {e}"))?;
        ensure(worst <= usual + 9, format!("{fault}: {worst} requests, usually {usual}"))?;
        told.push(format!("{fault}: {usual} requests, {worst} when the profile is wrong"));
        if fault == "etag.required" {
            let again = cost(&rig, "patch_tag: none", &kept).await?;
            ensure(again < worst, format!("{fault}: nothing was learned: {worst}, then {again} requests"))?;
        }
    }
    Ok(told.join("; "))
}

async fn on_actions(vendor: &'static str) -> Own {
    let mut told = Vec::new();
    for (fault, wrong) in [("etag.refuse_on_post", "action_tag: star"), ("etag.star", "action_tag: none, patch_tag: given")] {
        let rig = Rig::start(BmcProtocol::Redfish, vendor, &faults(&[fault]), 7).await;
        let kept = memory();
        let mut posts = Vec::new();
        for _ in 0..2 {
            let bmc = client(&rig, wrong, &kept);
            bmc.identity().await.map_err(|e| e.to_string())?;
            let (before, deeds) = (rig.machine().requests(), rig.machine().deeds());
            // An interrupt is one action and nothing else; a restart would be looked for.
            let written = bmc.set_power(PowerVerb::Cycle, Duration::from_secs(3)).await;
            ensure(matches!(written, Written::Applied(_)), format!("{fault}: {written:?}"))?;
            let after = rig.machine().deeds();
            let once = (after.powered_off - deeds.powered_off, after.powered_on - deeds.powered_on);
            ensure(once == (1, 1), format!("{fault}: not exactly once: {once:?}"))?;
            posts.push(rig.machine().requests() - before);
            bmc.close().await;
        }
        let make = client(&rig, wrong, &kept);
        make.identity().await.map_err(|e| e.to_string())?;
        make.close().await;
        let learned = kept.recall(&known_make(&rig));
        ensure(learned.action_tag.is_some(), format!("{fault}: no step was remembered"))?;
        told.push(format!("{fault}: {:?} remembered", learned.action_tag.unwrap()));
    }
    Ok(told.join("; "))
}

fn known_make(rig: &Rig) -> bringup::bmc::quirk::Make {
    let profile = rig.machine().identity().profile;
    bringup::bmc::quirk::Make::new(profile.manufacturer, profile.model, profile.bmc_version).unwrap()
}

async fn unusable(vendor: &'static str) -> Own {
    let mut told = Vec::new();
    for fault in ["etag.weak", "etag.drift"] {
        let rig = Rig::start(BmcProtocol::Redfish, vendor, &faults(&[fault]), 7).await;
        let kept = memory();
        // Even a make that is known for `*` may be asked for the tag that was read.
        let first = cost(&rig, "patch_tag: given", &kept).await.map_err(|e| format!("{fault}: {e}"))?;
        let learned = kept.recall(&known_make(&rig)).patch_tag;
        let again = cost(&rig, "patch_tag: given", &kept).await.map_err(|e| format!("{fault}: {e}"))?;
        ensure(again < first && first <= 12, format!("{fault}: {first} requests, then {again}"))?;
        told.push(format!("{fault}: {first} requests, then {again} by {learned:?}"));
    }
    Ok(told.join("; "))
}
