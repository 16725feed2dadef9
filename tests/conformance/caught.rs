//! The harness itself: what must not hold is caught. Each drive here does one thing that no client may do.

use bringup::bmc::{Bmc as _, BmcError, BmcTrouble, Written};
use bringup::model::{BmcProtocol, PowerVerb};
use futures_util::future::BoxFuture;

use super::rig::redfish;
use super::row::Drive;
use super::sweep::wrongs_of;

const NONE: fn() -> BoxFuture<'static, (Option<bool>, String)> = || Box::pin(async { (None, "nothing".to_owned()) });

async fn catches(drive: Drive, words: &str) {
    let wrongs = wrongs_of(BmcProtocol::Redfish, "dell", drive).await;
    assert!(wrongs.iter().any(|wrong| wrong.contains(words)), "expected `{words}`, got {wrongs:?}");
}

fn error() -> BmcError {
    BmcError { doing: "try".to_owned(), seen: "no".to_owned(), kind: BmcTrouble::Refused, source: None }
}

#[tokio::test]
async fn a_session_left_behind() {
    catches(
        |rig, story| {
            Box::pin(async move {
                let forgetful = bringup::bmc::redfish::Redfish::new(redfish(&rig.farm)).unwrap();
                story.read("power", || forgetful.power()).await;
            })
        },
        "sessions are open on the BMC after close",
    )
    .await;
}

#[tokio::test]
async fn a_credential_in_a_text() {
    catches(|rig, story| Box::pin(async move { story.heard(format!("login with {}", rig.farm.bmc_password())) }), "a credential")
        .await;
    catches(
        |rig, story| {
            Box::pin(async move {
                story.read("power", || rig.bmc.power()).await;
                story.heard(rig.secrets().remove(0));
            })
        },
        "a credential",
    )
    .await;
}

#[tokio::test]
async fn applied_that_is_not_so() {
    catches(
        |_, story| {
            Box::pin(async move {
                story.written("power off", &Written::Applied("seen off".to_owned()), || false, || true, NONE).await;
            })
        },
        "was told Applied",
    )
    .await;
}

#[tokio::test]
async fn not_applied_that_had_an_effect() {
    catches(
        |rig, story| {
            Box::pin(async move {
                let before = rig.machine().deeds();
                rig.machine().power(PowerVerb::Off);
                let untouched = || rig.machine().deeds() == before;
                story.written("power off", &Written::NotApplied(error()), || true, untouched, NONE).await;
            })
        },
        "was told NotApplied",
    )
    .await;
}

#[tokio::test]
async fn ambiguous_that_is_settled_wrongly() {
    catches(
        |_, story| {
            Box::pin(async move {
                let look = || -> BoxFuture<'_, _> { Box::pin(async { (Some(true), "it is off".to_owned()) }) };
                story.written("power off", &Written::Ambiguous("lost".to_owned()), || false, || true, look).await;
            })
        },
        "was settled as done",
    )
    .await;
}

#[tokio::test]
async fn a_second_power_cycle() {
    catches(
        |rig, story| {
            Box::pin(async move {
                let seen = rig.bmc.set_power(PowerVerb::Cycle, std::time::Duration::from_secs(3)).await;
                assert!(matches!(seen, Written::Applied(_)), "{seen:?}");
                // Its POST would take a boot override that is set meanwhile for its own.
                while rig.machine().stage() != bringup::sim::Stage::Up {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                super::bring_up::drive(rig, story).await;
            })
        },
        "one power cycle was wanted",
    )
    .await;
}
