//! RC-24 … RC-34: resources that are not what the specification says. Each is read all the same, or told as not known; never as something else.

use std::sync::Arc;

use bringup::bmc::quirk::{Forgetful, Memory};
use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{BmcProtocol, BootMode, BootOverride, BootTarget, PowerState, PowerVerb, Reading};

use super::rig::{self, Rig, faults};
use super::row::{Row, Where};

type Own = Result<String, String>;

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row(
            "RC-24",
            "has collections without Members, as an object, or with a wrong count",
            &["coll.no_members", "coll.object", "coll.count"],
            Where::EachOn,
            |vendor| Box::pin(members(vendor)),
        ),
        row("RC-25", "pages its collections, or leads in a circle", &["coll.paged", "coll.loop"], Where::EachOn, |vendor| {
            Box::pin(pages(vendor))
        }),
        row("RC-26", "offers $expand and refuses it", &["query.501"], Where::EachOn, |vendor| Box::pin(expands(vendor))),
        row("RC-27", "has several systems, managers and chassis", &["topo.multi"], Where::Always, |vendor| {
            Box::pin(several(vendor))
        }),
        row("RC-28", "says null, \"\" or N/A for a version", &["json.null_version"], Where::EachOn, |vendor| {
            Box::pin(silent(vendor))
        }),
        row("RC-29", "sends ExtendedInfo as an object", &["err.object+boot.once_only"], Where::EachOn, |vendor| {
            Box::pin(single_info(vendor))
        }),
        row("RC-30", "answers 200 with an error, or with nothing", &["ok.with_error", "ok.empty"], Where::EachOnce, |vendor| {
            Box::pin(hollow(vendor))
        }),
        row(
            "RC-31",
            "answers actions with any 2xx",
            &["act.code(200)", "act.code(201)", "act.code(202)", "act.code(204)"],
            Where::EachOn,
            |vendor| Box::pin(any_code(vendor)),
        ),
        row("RC-32", "answers 409 to what it has done", &["act.409"], Where::EachOn, |vendor| Box::pin(conflict(vendor))),
        row(
            "RC-33",
            "writes paths otherwise, or leaves @odata.id out",
            &["path.case", "json.no_odata_id"],
            Where::Always,
            |vendor| Box::pin(paths(vendor)),
        ),
        row("RC-34", "has a clock that is an hour ahead", &["clock.skew(3600)"], Where::EachOn, |vendor| Box::pin(clock(vendor))),
    ]
}

async fn start(vendor: &str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Redfish, vendor, &faults(texts), 7).await
}

/// How many components the firmware inventory tells, or why it is not known.
async fn components(bmc: &dyn Bmc) -> Result<usize, String> {
    match bmc.firmware().await.map_err(|e| e.to_string())? {
        Reading::Known(all) => Ok(all.len()),
        Reading::Absent => Err("absent".to_owned()),
        Reading::Unknown { why } => Err(why),
    }
}

fn ensure(so: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise.into()) }
}

async fn members(vendor: &'static str) -> Own {
    let clean = components(start(vendor, &[]).await.bmc.as_ref()).await?;
    for fault in ["coll.object", "coll.count"] {
        let rig = start(vendor, &[fault]).await;
        let seen = components(rig.bmc.as_ref()).await;
        ensure(seen == Ok(clean), format!("{fault}: {seen:?}, and there are {clean}"))?;
        let showed = rig.bmc.profile().unwrap().showed;
        ensure(showed.contains_key("RC-24"), format!("{fault} was not told: {showed:?}"))?;
    }
    // The system is found by then; what is not listed is not known, and not none.
    let rig = start(vendor, &[]).await;
    rig.bmc.power().await.map_err(|e| e.to_string())?;
    let late = format!("coll.no_members@{}", 4);
    let rig = start(vendor, &[late.as_str()]).await;
    rig.bmc.power().await.map_err(|e| e.to_string())?;
    let why = components(rig.bmc.as_ref()).await.err().unwrap_or_default();
    ensure(why.contains("has no `Members`"), format!("no members: {why}"))?;
    Ok(format!("{clean} components in each shape; without Members: {why}"))
}

async fn pages(vendor: &'static str) -> Own {
    let clean = components(start(vendor, &[]).await.bmc.as_ref()).await?;
    let seen = components(start(vendor, &["coll.paged"]).await.bmc.as_ref()).await;
    ensure(seen == Ok(clean), format!("paged: {seen:?}, and there are {clean}"))?;
    // A circle of one page whose count agrees is whole; one that leaves members out is not.
    let rig = start(vendor, &["coll.loop"]).await;
    ensure(rig.bmc.power().await.is_ok_and(|power| power == Reading::Known(PowerState::On)), "the only system was not found")?;
    let why = components(rig.bmc.as_ref()).await.err().unwrap_or_default();
    ensure(why.contains("leads back"), format!("loop: {why}"))?;
    Ok(format!("{clean} components page by page; in a circle: {why}"))
}

async fn expands(vendor: &'static str) -> Own {
    let memory: Arc<dyn Memory> = Arc::new(Forgetful::default());
    let rig = start(vendor, &["query.501"]).await;
    let mut costs = Vec::new();
    for _ in 0..2 {
        let mut options = rig::redfish(&rig.farm);
        options.memory = Arc::clone(&memory);
        let bmc = Redfish::new(options).unwrap();
        bmc.identity().await.map_err(|e| e.to_string())?;
        let before = rig.machine().requests();
        components(&bmc).await?;
        costs.push(rig.machine().requests() - before);
        bmc.close().await;
    }
    ensure(costs[1] == costs[0] - 1, format!("the refusal was not remembered for the make: {costs:?} requests"))?;
    // A service that can expand tells all of it at once.
    let rig = start(vendor, &[]).await;
    rig.bmc.identity().await.map_err(|e| e.to_string())?;
    let before = rig.machine().requests();
    let all = components(rig.bmc.as_ref()).await?;
    let cost = rig.machine().requests() - before;
    let can = rig.machine().identity().profile.expand;
    ensure(can == (cost < u32::try_from(all).unwrap()), format!("{all} components took {cost} requests, expand: {can}"))?;
    Ok(format!("refused once, then {} requests; clean: {all} components in {cost} requests", costs[1]))
}

async fn several(vendor: &'static str) -> Own {
    let rig = start(vendor, &["topo.multi"]).await;
    let own = rig.machine().identity().serial.clone();
    // With the facts, and with nothing to go by but the role.
    for expect in [Some(own.clone()), None] {
        let mut options = rig::redfish(&rig.farm);
        options.expect_serial = expect;
        let bmc = Redfish::new(options).unwrap();
        let facts = bmc.identity().await.map_err(|e| e.to_string())?;
        ensure(facts.serial.known() == Some(&own), format!("another system was taken: {:?}", facts.serial))?;
        let version = facts.bmc_version.known().map(ToString::to_string);
        ensure(version.as_deref() == Some(rig.machine().identity().profile.bmc_version), format!("manager: {version:?}"))?;
        bmc.close().await;
    }
    Ok(format!("serial {own} among two systems"))
}

async fn silent(vendor: &'static str) -> Own {
    let rig = start(vendor, &["json.null_version"]).await;
    let facts = rig.bmc.identity().await.map_err(|e| e.to_string())?;
    let why = facts.bmc_version.why_unknown().unwrap_or_default().to_owned();
    ensure(why.contains("FirmwareVersion"), format!("the BMC's version: {:?}", facts.bmc_version))?;
    let known = components(rig.bmc.as_ref()).await?;
    ensure(known == 0, format!("{known} components have a version that nobody told"))?;
    let showed = rig.bmc.profile().unwrap().showed;
    let told = showed.get("RC-28").ok_or("nothing was told")?;
    Ok(format!("unknown: {why}; {told}"))
}

/// A change that the BMC refuses in words of its own.
async fn single_info(vendor: &'static str) -> Own {
    let rig = start(vendor, &["err.object", "boot.once_only"]).await;
    let want = BootOverride { target: BootTarget::Pxe, once: false, mode: Some(BootMode::Uefi), http_uri: None };
    match rig.bmc.set_boot(&want).await {
        Written::NotApplied(e) => {
            ensure(e.seen.contains("PropertyValueNotInList") && e.seen.contains("BootSourceOverrideEnabled"), e.to_string())?;
            ensure(e.seen.contains("choose a value"), format!("the resolution is missing: {e}"))?;
            Ok(e.to_string())
        }
        other => Err(format!("{other:?}")),
    }
}

async fn hollow(vendor: &'static str) -> Own {
    // A read of it is an error with the BMC's words, never a value.
    let rig = start(vendor, &["ok.with_error@4"]).await;
    let mut error = None;
    for _ in 0..3 {
        error = rig.bmc.power().await.err().or(error);
    }
    let error = error.ok_or("an error in a 200 was taken for a system")?;
    ensure(error.kind == BmcTrouble::Refused && error.seen.contains("InternalError"), error.to_string())?;
    // An empty answer that passes is asked for again; the read is whole.
    let rig = start(vendor, &["ok.empty@4x1"]).await;
    let power = rig.bmc.power().await.map_err(|e| e.to_string())?;
    ensure(power == Reading::Known(PowerState::On), format!("{power:?}"))?;
    // An action answered so was not done, and is not told as done.
    let rig = start(vendor, &[]).await;
    rig.bmc.identity().await.map_err(|e| e.to_string())?;
    let rig = start(vendor, &["ok.with_error"]).await;
    let written = rig.bmc.set_power(PowerVerb::Off, std::time::Duration::from_millis(500)).await;
    ensure(!matches!(written, Written::Applied(_)), format!("told as done: {written:?}"))?;
    ensure(rig.machine().deeds().off_asked == 0, "it was done")?;
    Ok(error.to_string())
}

async fn any_code(vendor: &'static str) -> Own {
    let mut seen = Vec::new();
    for code in [200, 201, 202, 204] {
        let fault = format!("act.code({code})");
        let rig = start(vendor, &[fault.as_str()]).await;
        match rig.bmc.set_power(PowerVerb::Cycle, std::time::Duration::from_secs(3)).await {
            Written::Applied(text) => {
                ensure(text.contains(&code.to_string()), format!("{code} is not in: {text}"))?;
                seen.push(code.to_string());
            }
            other => return Err(format!("{code}: {other:?}")),
        }
        let deeds = rig.machine().deeds();
        ensure((deeds.powered_off, deeds.powered_on) == (1, 1), format!("{code}: {deeds:?}"))?;
    }
    Ok(format!("applied after {}", seen.join(", ")))
}

async fn conflict(vendor: &'static str) -> Own {
    let rig = start(vendor, &["act.409"]).await;
    let written = rig.bmc.set_power(PowerVerb::Cycle, std::time::Duration::from_secs(3)).await;
    let Written::Applied(text) = written else { return Err(format!("{written:?}")) };
    let deeds = rig.machine().deeds();
    let once = (deeds.off_asked, deeds.on_asked, deeds.powered_off, deeds.powered_on);
    ensure(once == (1, 1, 1, 1), format!("not exactly once: {deeds:?}"))?;
    // A conflict that is one: nothing changes, and it is told as not done.
    let rig = start(vendor, &["power.409(4000000)"]).await;
    let off = rig.bmc.set_power(PowerVerb::Off, std::time::Duration::from_secs(3)).await;
    ensure(matches!(off, Written::Applied(_)), format!("{off:?}"))?;
    match rig.bmc.set_power(PowerVerb::On, std::time::Duration::from_secs(3)).await {
        Written::NotApplied(e) if e.seen.contains("409") => Ok(format!("{text}; and a real one: {e}")),
        other => Err(format!("{other:?}")),
    }
}

async fn paths(vendor: &'static str) -> Own {
    for fault in ["path.case", "json.no_odata_id"] {
        let rig = start(vendor, &[fault]).await;
        rig.bmc.identity().await.map_err(|e| format!("{fault}: {e}"))?;
        components(rig.bmc.as_ref()).await.map_err(|e| format!("{fault}: {e}"))?;
        let boot = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
        let written = rig.bmc.set_boot(&boot).await;
        ensure(matches!(written, Written::Applied(_)), format!("{fault}: {written:?}"))?;
        let off = rig.bmc.set_power(PowerVerb::Off, std::time::Duration::from_secs(3)).await;
        ensure(matches!(off, Written::Applied(_)), format!("{fault}: {off:?}"))?;
        rig.bmc.close().await;
    }
    Ok("read and written by links alone".to_owned())
}

async fn clock(vendor: &'static str) -> Own {
    let rig = start(vendor, &["clock.skew(3600)"]).await;
    rig.bmc.identity().await.map_err(|e| e.to_string())?;
    let showed = rig.bmc.profile().unwrap().showed;
    let told = showed.get("RC-34").ok_or("the clock was not told")?.clone();
    // To the second, and a second may pass between two clocks.
    ensure([3_599, 3_600, 3_601].iter().any(|s| told.contains(&format!("{s} s ahead"))), told.clone())?;
    let right = start(vendor, &[]).await;
    right.bmc.identity().await.map_err(|e| e.to_string())?;
    ensure(!right.bmc.profile().unwrap().showed.contains_key("RC-34"), "a right clock was told as wrong")?;
    Ok(told)
}
