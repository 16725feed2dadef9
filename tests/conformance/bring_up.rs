//! A full bring-up of the BMC's side, as a run of the product does it: who is it, is it on, set the boot, assert it again just before the power
//! is touched, cycle with proof, wait for the boot, give the override back, read firmware and tasks. Exactly one boot may come of it.

use std::time::{Duration, Instant};

use bringup::bmc::Written;
use bringup::model::{BootMode, BootOverride, BootTarget, PowerState, PowerVerb, Reading};
use bringup::sim::Stage;
use futures_util::future::BoxFuture;

use super::rig::Rig;
use super::story::{ATTEMPTS, End, Story};

/// For one change of power with its proof; 60 virtual seconds are 6 ms.
const POWER: Duration = Duration::from_secs(3);

/// See the head of this file.
pub fn drive<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let whole = steps(rig, story).await;
        let deeds = rig.machine().deeds();
        let done = [deeds.powered_on, deeds.powered_off, deeds.on_asked + deeds.cycle_asked, deeds.off_asked + deeds.cycle_asked];
        if done.iter().any(|times| *times > 1) || (whole && done.contains(&0)) {
            story.wrong(format!("one power cycle was wanted, and this was done: {deeds:?}"));
        }
    })
}

/// True when all steps were done.
async fn steps(rig: &Rig, story: &mut Story) -> bool {
    let bmc = rig.bmc.as_ref();
    let Some(facts) = story.read("identity", || bmc.identity()).await else { return false };
    if let Reading::Known(serial) = &facts.serial
        && *serial != rig.machine().identity().serial
    {
        story.wrong(format!("identity says serial {serial}, the machine has {}", rig.machine().identity().serial));
    }
    let netboot = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    power_is_true(rig, story).await
        && story.read("boot override", || bmc.boot()).await.is_some()
        && boot(rig, story, "set the boot override", &netboot).await
        // Asserted again just before the power is touched (RC-60).
        && boot(rig, story, "assert the boot override again", &netboot).await
        && power(rig, story).await
        && booted(rig, story).await
        && power_is_true(rig, story).await
        && boot(rig, story, "give the boot override back", &BootOverride::none()).await
        && story.read("firmware", || bmc.firmware()).await.is_some()
        && story.read("tasks", || bmc.tasks()).await.is_some()
}

/// Reads the power; what is known must have been so a moment before or be so now. False when it could not be read at all.
async fn power_is_true(rig: &Rig, story: &mut Story) -> bool {
    let before = rig.power();
    let Some(reading) = story.read("power", || rig.bmc.power()).await else { return false };
    if let Reading::Known(state) = reading
        && state != before
        && state != rig.power()
    {
        story.wrong(format!("the power was read as {state}, and is {}", rig.power()));
    }
    true
}

/// Sets the override, as often as a run would try. True when it stands, or when the client said truly that it does not and why.
async fn boot(rig: &Rig, story: &mut Story, doing: &str, want: &BootOverride) -> bool {
    let stands = |held: &BootOverride| held.target == want.target && (held.once == want.once || held.target == BootTarget::None);
    for _ in 0..ATTEMPTS {
        let before = rig.machine().boot_override();
        let written = rig.bmc.set_boot(want).await;
        let look = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match rig.bmc.boot().await {
                    Ok(Reading::Known(held)) => (Some(stands(&held)), format!("{held:?}")),
                    Ok(other) => (None, format!("{other:?}")),
                    Err(error) => (None, super::story::whole(&error)),
                }
            })
        };
        let (so, untouched) = (|| stands(&rig.machine().boot_override()), || rig.machine().boot_override() == before);
        match story.written(doing, &written, so, untouched, look).await {
            End::Done => return true,
            End::Again => {}
            End::No => return false,
        }
    }
    story.ends(format!("{doing}: not done in {ATTEMPTS} attempts"));
    false
}

/// Cycles the power, or powers on what a half-done cycle left off.
async fn power(rig: &Rig, story: &mut Story) -> bool {
    let machine = rig.machine();
    let began = machine.deeds();
    let on_again = || machine.deeds().powered_on > began.powered_on && rig.power() == PowerState::On;
    let mut verb = PowerVerb::Cycle;
    for _ in 0..ATTEMPTS {
        let before = machine.deeds();
        let asked = |deeds: bringup::sim::Deeds| (deeds.on_asked, deeds.off_asked, deeds.cycle_asked, deeds.graceful_asked);
        let written: Written = rig.bmc.set_power(verb, POWER).await;
        // A BMC that says "on" after a cycle whose answers were lost does not say whether it was off meanwhile: the boot tells, as in a run.
        let look = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match rig.bmc.power().await {
                    Ok(Reading::Known(PowerState::On)) => (Some(on_again()), "on".to_owned()),
                    Ok(Reading::Known(PowerState::Off)) => (Some(false), "off".to_owned()),
                    Ok(other) => (None, format!("{other:?}")),
                    Err(error) => (None, super::story::whole(&error)),
                }
            })
        };
        let doing = format!("power {verb}");
        match story.written(&doing, &written, on_again, || asked(machine.deeds()) == asked(before), look).await {
            End::Done => return true,
            End::Again => {}
            End::No => return false,
        }
        // Look before the next touch: what is off is only to be powered on.
        match story.read("power before the next attempt", || rig.bmc.power()).await {
            Some(Reading::Known(PowerState::Off)) => verb = PowerVerb::On,
            Some(Reading::Known(PowerState::On)) if on_again() => return true,
            Some(_) => {}
            None => return false,
        }
    }
    story.ends(format!("power: not cycled in {ATTEMPTS} attempts"));
    false
}

/// Waits for the boot that must follow. Nothing is asked of the BMC meanwhile.
async fn booted(rig: &Rig, story: &mut Story) -> bool {
    let start = Instant::now();
    while rig.machine().stage() != Stage::Up {
        if start.elapsed() > Duration::from_secs(20) {
            story.wrong(format!("the machine never came up again: {:?}", rig.machine().log()));
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}
