//! Accounts, restart, lamp and raw commands over IPMI, against three makers' simulated BMCs. What is told is compared with what the machine holds.

use std::time::Duration;

use bringup::bmc::ipmi::chassis::{Lamp, RawEnd, RestorePolicy};
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::keeping::Keeping;
use bringup::bmc::{Bmc, BmcTrouble, Password, Written};
use bringup::model::Reading;

use super::console_rig::{PASSWORD, Rig};

const MAKERS: [&str; 3] = ["dell", "supermicro", "ami"];
const LONG: Duration = Duration::from_secs(60);

fn applied(written: Written) -> String {
    match written {
        Written::Applied(seen) => seen,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn accounts_are_told_as_they_are() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &[], true).await;
        let bmc = rig.bmc();
        let accounts = bmc.accounts().await.unwrap().known().cloned().unwrap();
        let told: Vec<_> = accounts
            .iter()
            .map(|a| (a.slot.as_str(), a.user.as_str(), a.role.known().unwrap().as_str(), a.enabled.known().copied()))
            .collect();
        assert_eq!(told, [("2", "admin", "administrator", Some(true)), ("3", "operator", "operator", Some(false))], "{maker}");
        assert!(bmc.proves("admin", &Password::new(PASSWORD)).await.unwrap());
        assert!(!bmc.proves("admin", &Password::new("n0t-it-at-all")).await.unwrap());
        assert!(!bmc.proves("operator", &Password::new("0perat0r-0ff")).await.unwrap(), "switched off");
        bmc.close().await;
        assert_eq!(rig.machine.sessions(), 0);
    }
}

#[tokio::test]
async fn a_password_is_changed_only_when_it_is_proven() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &[], true).await;
        let bmc = rig.bmc();
        // Twenty bytes are what IPMI 2.0 has room for.
        let new = "exactly-20-bytes-lng";
        let seen = applied(bmc.set_password("admin", &Password::new(new)).await);
        assert!(seen.contains("a login with the new password succeeded") && !seen.contains(new), "{maker}: {seen}");
        assert_eq!(rig.machine.password("admin").as_deref(), Some(new), "{maker}");
        for (user, password, words) in [
            ("admin", "one-byte-more-than-20", "20"),
            ("nobody-here", "long-enough-1", "no account `nobody-here`"),
            // The simulated BMC wants eight characters at least.
            ("admin", "short", "completion code 0xcc"),
        ] {
            // This hand still logs in with the password that it was made with: a new one is needed.
            let account = Account::new("admin", Password::new(new), None).unwrap();
            let hand = IpmiBmc::new(Lan::new(), rig.address, account);
            match hand.set_password(user, &Password::new(password)).await {
                Written::NotApplied(error) => {
                    assert!(error.to_string().contains(words) && !error.to_string().contains(password), "{maker}: {error}");
                }
                other => panic!("{maker}, {user}: {other:?}"),
            }
            hand.close().await;
        }
        assert_eq!(rig.machine.password("admin").as_deref(), Some(new), "{maker}");
        bmc.close().await;
    }
}

/// The BMC says that it took the password and did not: the old one still opens, and that is told.
#[tokio::test]
async fn a_password_that_was_dropped_is_not_applied() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &["account.drop"], true).await;
        let bmc = rig.bmc();
        match bmc.set_password("admin", &Password::new("another-one-12")).await {
            Written::NotApplied(error) => {
                assert_eq!(error.kind, BmcTrouble::Refused, "{maker}");
                assert!(error.to_string().contains("the old one still opens"), "{maker}: {error}");
            }
            other => panic!("{maker}: {other:?}"),
        }
        assert_eq!(rig.machine.password("admin").as_deref(), Some(PASSWORD));
        bmc.close().await;
    }
}

#[tokio::test]
async fn a_restart_of_the_bmc_is_proven() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &[], true).await;
        let bmc = rig.bmc();
        let boots = rig.machine.boots();
        let seen = applied(bmc.reset_bmc(LONG).await);
        assert!(seen.contains("cold reset") && seen.contains("the old session gone"), "{maker}: {seen}");
        assert_eq!((rig.machine.bmc_restarts(), rig.machine.boots()), (1, boots), "{maker}: once, and the node runs on");
        bmc.power().await.unwrap_or_else(|e| panic!("{maker}: it works as before: {e}"));
        bmc.close().await;
        assert_eq!(rig.machine.sessions(), 0, "{maker}");
    }
}

#[tokio::test]
async fn lamp_and_policy_read_back() {
    let rig = Rig::start("supermicro", &[], true).await;
    let bmc = rig.bmc();
    let before = bmc.chassis().await.unwrap();
    assert_eq!((before.policy, before.lamp.known().map(String::as_str)), (Reading::Known(RestorePolicy::Off), Some("off")));
    assert_eq!(applied(bmc.set_lamp(Lamp::For(30)).await), "the lamp is for a time");
    assert_eq!(applied(bmc.set_lamp(Lamp::On).await), "the lamp is on");
    assert_eq!(applied(bmc.set_restore_policy(RestorePolicy::Previous).await), "the policy is previous");
    assert!(applied(bmc.set_restore_policy(RestorePolicy::Previous).await).contains("nothing was sent"));
    let after = bmc.chassis().await.unwrap();
    assert_eq!((after.policy, after.lamp.known().map(String::as_str)), (Reading::Known(RestorePolicy::Previous), Some("on")));
    assert_eq!(applied(bmc.set_lamp(Lamp::Off).await), "the lamp is off");
    bmc.close().await;
}

#[tokio::test]
async fn a_raw_command_is_sent_once_and_its_answer_told() {
    let rig = Rig::start("dell", &[], true).await;
    let bmc = rig.bmc();
    match bmc.raw(0x06, 0x01, &[]).await.unwrap() {
        RawEnd::Answered { code: 0, data, .. } => assert_eq!(data[..2], [0x20, 0x01], "Get Device ID"),
        other => panic!("{other:?}"),
    }
    match bmc.raw(0x06, 0xee, &[1, 2]).await.unwrap() {
        RawEnd::Answered { code: 0xc1, words, .. } => assert!(words.contains("does not know"), "{words}"),
        other => panic!("{other:?}"),
    }
    // An operator may not; an administrator may, and the command has not been executed twice.
    let before = rig.machine.bmc_restarts();
    match bmc.raw(0x06, 0x02, &[]).await.unwrap() {
        RawEnd::Answered { code: 0, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.machine.bmc_restarts(), before + 1);
}

/// The answer is lost: it is told as lost, and the command is not sent again.
#[tokio::test]
async fn a_raw_command_whose_answer_is_lost_is_not_repeated() {
    let rig = Rig::start("dell", &["bmc-dead-after(7)"], true).await;
    let bmc = rig.bmc();
    let mut lost = false;
    for _ in 0..10 {
        match bmc.raw(0x00, 0x04, &[1]).await {
            Ok(RawEnd::Answered { code: 0, .. }) => {}
            Ok(RawEnd::Lost) => {
                lost = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(lost, "the BMC died and nobody noticed");
    let asked = rig.machine.requests();
    assert!(asked <= 9, "{asked} requests: it was sent again and again");
}
