//! RC-57 … RC-60 and RC-64: power and boot. Nothing is told as done that was not seen, and nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::quirk::Quirks;
use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{BmcProtocol, BootMode, BootOverride, BootTarget, PowerState, PowerVerb};

use super::rig::{self, Rig, faults};
use super::row::{Row, Where};

type Own = Result<String, String>;

/// Long enough for whatever the simulator needs, in real time.
const SOON: Duration = Duration::from_secs(3);

/// Rows that a bring-up meets.
pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row("RC-57", "shows power late, or refuses on after off", &["power.lag(2000)", "power.409(3000)"], Where::Always, |v| {
            Box::pin(late(v))
        }),
        row(
            "RC-60",
            "forgets, changes or refuses a boot override",
            &["boot.ignore", "boot.mode_required", "boot.once_only", "boot.next_alias"],
            Where::Always,
            |v| Box::pin(stubborn(v)),
        ),
        row("RC-64", "refuses changes during self-test", &["post.window(2000)"], Where::EachOn, |v| Box::pin(window(v))),
    ]
}

/// Rows that only restarts and the mains meet.
pub fn restart_rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row("RC-58", "has few reset types, or hangs at a forced one", &["power.types", "power.hang"], Where::EachOn, |v| {
            Box::pin(restarts(v))
        }),
        row("RC-59", "accepts an AC cycle and does nothing", &["power.fake_ac"], Where::EachOn, |v| Box::pin(mains(v))),
    ]
}

async fn start(vendor: &str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Redfish, vendor, &faults(texts), 7).await
}

fn ensure(so: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise.into()) }
}

fn applied(written: Written) -> Result<String, String> {
    match written {
        Written::Applied(text) => Ok(text),
        other => Err(format!("{other:?}")),
    }
}

/// A client of the same BMC with habits of its own.
fn client(rig: &Rig, habits: &str) -> Redfish {
    let text = format!(
        "format_version: 1\nquirks:\n  - name: odd\n    fits: {{vendor: \"*\"}}\n    habits:\n      - {{set: {{{habits}}}, evidence: [\"[SITE] this test\"]}}\n"
    );
    let mut options = rig::redfish(&rig.farm);
    options.quirks = Some(Arc::new(Quirks::built_in().unwrap().then(Quirks::read("odd", &text).unwrap())));
    Redfish::new(options).unwrap()
}

async fn late(vendor: &'static str) -> Own {
    let rig = start(vendor, &["power.lag(2000)"]).await;
    let lagged = applied(rig.bmc.set_power(PowerVerb::Cycle, SOON).await)?;
    let rig = start(vendor, &["power.409(3000)"]).await;
    let refused = applied(rig.bmc.set_power(PowerVerb::Cycle, SOON).await)?;
    let deeds = rig.machine().deeds();
    ensure((deeds.off_asked, deeds.on_asked, deeds.powered_on) == (1, 1, 1), format!("{deeds:?}"))?;
    // A make that is known for it is not asked too early.
    let rig = start(vendor, &["power.409(3000)"]).await;
    let patient = client(&rig, "wait_after_off_s: 60");
    let waited = applied(patient.set_power(PowerVerb::Cycle, SOON).await)?;
    ensure(!waited.contains("refused"), format!("asked too early: {waited}"))?;
    Ok(format!("{lagged}; {refused}"))
}

async fn restarts(vendor: &'static str) -> Own {
    let mut told = Vec::new();
    // A restart that works darkens nothing and is proved.
    let rig = start(vendor, &[]).await;
    for verb in [PowerVerb::Reset, PowerVerb::Restart] {
        while rig.machine().stage() != bringup::sim::Stage::Up {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let before = rig.machine().deeds();
        told.push(applied(rig.bmc.set_power(verb, SOON).await)?);
        let after = rig.machine().deeds();
        let counts = (after.restart_asked - before.restart_asked, after.posts - before.posts, after.powered_off);
        ensure(counts == (1, 1, 0), format!("{verb}: {after:?}"))?;
    }
    // It hangs: off, a pause, on.
    let rig = start(vendor, &["power.hang"]).await;
    let hung = applied(rig.bmc.set_power(PowerVerb::Reset, SOON).await)?;
    let deeds = rig.machine().deeds();
    ensure((deeds.powered_off, deeds.powered_on, deeds.posts) == (1, 1, 1), format!("{deeds:?}"))?;
    ensure(rig.bmc.profile().unwrap().showed.contains_key("RC-58"), "the hang was not told")?;
    // A make that is known for it is not asked at all.
    let rig = start(vendor, &["power.hang"]).await;
    applied(client(&rig, "restart_hangs: true").set_power(PowerVerb::Reset, SOON).await)?;
    ensure(rig.machine().deeds().restart_asked == 0, "the restart that hangs was asked for")?;
    // No forced restart among the types, which stand in an ActionInfo.
    let rig = start(vendor, &["power.types"]).await;
    applied(rig.bmc.set_power(PowerVerb::Reset, SOON).await)?;
    let deeds = rig.machine().deeds();
    ensure((deeds.restart_asked, deeds.powered_off, deeds.powered_on) == (0, 1, 1), format!("types: {deeds:?}"))?;
    match rig.bmc.set_power(PowerVerb::Nmi, SOON).await {
        Written::NotApplied(e) if e.kind == BmcTrouble::Unsupported && e.seen.contains("GracefulRestart") => {}
        other => return Err(format!("an NMI that is not offered: {other:?}")),
    }
    // An interrupt is sent once, and told as what nobody can prove.
    let rig = start(vendor, &[]).await;
    let offered = rig.machine().identity().profile.reset_types.contains(&"Nmi");
    let written = rig.bmc.set_power(PowerVerb::Nmi, SOON).await;
    ensure(matches!(written, Written::Ambiguous(_)) == offered, format!("{written:?}"))?;
    ensure(rig.machine().deeds().nmi_asked == u32::from(offered), "the interrupt")?;
    Ok(format!("{}; hung: {hung}", told.join("; ")))
}

async fn mains(vendor: &'static str) -> Own {
    let rig = start(vendor, &[]).await;
    let offered = rig.machine().identity().profile.mains.is_some();
    let written = rig.bmc.ac_cycle(SOON).await;
    if !offered {
        ensure(rig.machine().deeds().ac_cycled == 0, "it was done")?;
        return match written {
            Written::NotApplied(e) if e.kind == BmcTrouble::Unsupported && e.seen.contains("PDU") => Ok(e.to_string()),
            other => Err(format!("{other:?}")),
        };
    }
    let done = applied(written)?;
    ensure(rig.machine().deeds().ac_cycled == 1 && rig.machine().bmc_restarts() == 1, "not exactly once")?;
    let fake = start(vendor, &["power.fake_ac"]).await;
    match fake.bmc.ac_cycle(Duration::from_secs(2)).await {
        Written::Ambiguous(text) if text.contains("a restart was not seen") => {
            ensure(fake.machine().deeds().ac_cycled == 0, "it was done")?;
            Ok(format!("{done}; the fake: {text}"))
        }
        other => Err(format!("a fake was told as {other:?}")),
    }
}

async fn stubborn(vendor: &'static str) -> Own {
    let pxe = |mode| BootOverride { target: BootTarget::Pxe, once: true, mode, http_uri: None };
    let rig = start(vendor, &["boot.ignore"]).await;
    match rig.bmc.set_boot(&pxe(Some(BootMode::Uefi))).await {
        Written::NotApplied(e) if e.seen.contains("read back: Target None") => {}
        other => return Err(format!("boot.ignore: {other:?}")),
    }
    let rig = start(vendor, &["boot.mode_required"]).await;
    let whole = applied(rig.bmc.set_boot(&pxe(None)).await)?;
    ensure(rig.machine().boot_override().target == BootTarget::Pxe, "the override without a mode is not there")?;
    let rig = start(vendor, &["boot.once_only"]).await;
    applied(rig.bmc.set_boot(&pxe(Some(BootMode::Uefi))).await)?;
    let ever = BootOverride { once: false, ..pxe(Some(BootMode::Uefi)) };
    let before = rig.machine().boot_override();
    match rig.bmc.set_boot(&ever).await {
        Written::NotApplied(e) => ensure(e.seen.contains("Continuous"), e.to_string())?,
        other => return Err(format!("boot.once_only: {other:?}")),
    }
    ensure(rig.machine().boot_override() == before, "a refusal changed the override")?;
    let rig = start(vendor, &["boot.next_alias"]).await;
    let alias = applied(rig.bmc.set_boot(&pxe(Some(BootMode::Uefi))).await)?;
    ensure(alias.contains("UefiBootNext"), alias.clone())?;
    // Where the boot is kept in the settings object, it is written and read there.
    let rig = start(vendor, &["bios.pending"]).await;
    applied(rig.bmc.set_boot(&pxe(Some(BootMode::Uefi))).await)?;
    let held = rig.bmc.boot().await.map_err(|e| e.to_string())?;
    ensure(held.known().is_some_and(|held| held.target == BootTarget::Pxe), format!("what waits is not seen: {held:?}"))?;
    ensure(rig.machine().boot_override().target == BootTarget::Pxe, "the settings object was not written")?;
    Ok(format!("{whole}; {alias}"))
}

async fn window(vendor: &'static str) -> Own {
    let rig = start(vendor, &["post.window(2000)"]).await;
    applied(rig.bmc.set_power(PowerVerb::Cycle, SOON).await)?;
    ensure(rig.bmc.power().await.is_ok_and(|p| p.known() == Some(&PowerState::On)), "not on")?;
    let want = BootOverride { target: BootTarget::Disk, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    let seen = applied(rig.bmc.set_boot(&want).await)?;
    // A window that never ends is told in the BMC's words, within bounds.
    let rig = start(vendor, &["post.window(4000000)"]).await;
    applied(rig.bmc.set_power(PowerVerb::Cycle, SOON).await)?;
    match rig.bmc.set_boot(&want).await {
        Written::NotApplied(e) if e.seen.contains("UnableToModifyDuringSystemPOST") => Ok(format!("{seen}; for ever: {e}")),
        other => Err(format!("{other:?}")),
    }
}
