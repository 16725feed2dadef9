//! The IPMI client against OpenIPMI's `ipmi_sim`.

use std::time::{Duration, Instant};

use bringup::bmc::ipmi::Account;
use bringup::bmc::{Bmc, BmcTrouble, Password, Written};
use bringup::model::{BootMode, BootOverride, BootTarget, PowerState, PowerVerb, Reading};

use super::ipmi_rig::{Sim, admin, client, free_ip};

const LONG: Duration = Duration::from_secs(30);

fn applied(written: Written) -> String {
    match written {
        Written::Applied(seen) => seen,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn identity_and_firmware() {
    let Some(sim) = Sim::start("identity_and_firmware") else { return };
    let (_, bmc) = client(sim.addr, admin(None));
    let facts = bmc.identity().await.unwrap();
    assert_eq!(facts.vendor, Reading::Known("Racks Ltd".to_owned()));
    assert_eq!(facts.model, Reading::Known("GPU-8".to_owned()));
    assert_eq!(facts.serial, Reading::Known("SN-0042".to_owned()));
    assert_eq!(facts.bmc_version.known().map(|v| v.as_str()), Some("9.08"));
    assert_eq!(facts.uuid.known().map(String::as_str), Some("336a1b2c-5d0e-4f90-91a2-b3c4d5e6f708"), "{:?}", facts.uuid);
    let firmware = bmc.firmware().await.unwrap();
    assert_eq!(firmware.known().unwrap().iter().map(|(c, v)| format!("{c} {v}")).collect::<Vec<_>>(), ["BMC 9.08"]);
    assert_eq!(bmc.tasks().await.unwrap(), Reading::Absent);
    assert_eq!(bmc.cipher_suite(), Some(3), "17 is refused by ipmi_sim, 3 was agreed");
    bmc.close().await;
}

#[tokio::test]
async fn power_is_proven_and_told_once() {
    let Some(sim) = Sim::start("power_is_proven_and_told_once") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    applied(bmc.set_power(PowerVerb::On, LONG).await);
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::On));
    assert!(applied(bmc.set_power(PowerVerb::On, LONG).await).contains("nothing was sent"));
    assert_eq!(sim.times("set power 1"), 1, "{:?}", sim.told());
    applied(bmc.set_power(PowerVerb::Cycle, LONG).await);
    assert_eq!((sim.times("set power 0"), sim.times("set power 1")), (1, 2), "{:?}", sim.told());
    applied(bmc.set_power(PowerVerb::Graceful, LONG).await);
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    applied(bmc.set_power(PowerVerb::Cycle, LONG).await);
    assert_eq!(
        (sim.times("set power 0"), sim.times("set power 1")),
        (1, 3),
        "a node that is off is powered up: {:?}",
        sim.told()
    );
    bmc.close().await;
}

/// A machine that does not obey: accepted is not done.
#[tokio::test]
async fn a_power_command_that_shows_no_effect_is_ambiguous() {
    let Some(sim) = Sim::start("a_power_command_that_shows_no_effect_is_ambiguous") else { return };
    std::fs::write(sim.path().join("hook.sh"), "#!/bin/sh\n[ $2 = get ] && echo power:0\nexit 0\n").unwrap();
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    match bmc.set_power(PowerVerb::On, Duration::from_secs(2)).await {
        Written::Ambiguous(seen) => assert!(seen.contains("accepted") && seen.contains("still off"), "{seen}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_boot_override_is_told_as_it_reads_back() {
    let Some(sim) = Sim::start("the_boot_override_is_told_as_it_reads_back") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    let want = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    // ipmi_sim drops the valid and EFI bits: that is what must be said.
    match bmc.set_boot(&want).await {
        Written::Ambiguous(seen) => assert!(seen.contains("read back boot flags marked invalid: pxe, once, legacy"), "{seen}"),
        other => panic!("{other:?}"),
    }
    assert!(sim.told().iter().any(|line| line.starts_with("set boot pxe")), "{:?}", sim.told());
    assert_eq!(bmc.boot().await.unwrap(), Reading::Known(BootOverride::none()), "flags marked invalid are no override");
    let http = BootOverride { target: BootTarget::UefiHttp, ..want };
    match bmc.set_boot(&http).await {
        Written::NotApplied(error) => assert_eq!(error.kind, BmcTrouble::Unsupported),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let Some(sim) = Sim::start("a_wrong_password_is_tried_once") else { return };
    for (user, password) in [("admin", "n0t-it"), ("nobody", "s3cret")] {
        let (_, bmc) = client(sim.addr, Account::new(user, Password::new(password), None).unwrap());
        let began = Instant::now();
        let error = bmc.power().await.unwrap_err();
        assert_eq!(error.kind, BmcTrouble::Credentials, "{error}");
        assert!(!error.to_string().contains(password), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5), "one try, no retries: {:?}", began.elapsed());
    }
    let said = std::fs::read_to_string(sim.log()).unwrap_or_default();
    assert!(!said.contains("s3cret"));
}

#[tokio::test]
async fn a_pinned_suite_is_never_lowered() {
    let Some(sim) = Sim::start("a_pinned_suite_is_never_lowered") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(17)));
    let error = bmc.power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Unsupported, "{error}");
    assert!(error.to_string().contains("cipher suite 17"), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable_within_the_deadline() {
    let to = format!("{}:6239", free_ip()).parse().unwrap();
    let (_, bmc) = client(to, admin(None));
    let bmc = bmc.with_patience(Duration::from_secs(1));
    let began = Instant::now();
    let error = bmc.power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Unreachable, "{error}");
    assert!(began.elapsed() >= Duration::from_millis(900) && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// ipmi_sim has few session slots: a client that leaks them is locked out soon.
#[tokio::test]
async fn no_session_is_left_behind() {
    let Some(sim) = Sim::start("no_session_is_left_behind") else { return };
    for round in 0..80 {
        let (_, bmc) = client(sim.addr, admin(Some(3)));
        bmc.power().await.unwrap_or_else(|e| panic!("login {round}: {e}"));
        if round % 2 == 0 {
            bmc.close().await;
        }
    }
}
