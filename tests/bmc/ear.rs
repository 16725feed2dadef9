//! The ear at a node's console: it keeps the last lines, gives the console back, takes it from nobody, and keeps nobody waiting.

use std::time::{Duration, Instant};

use bringup::bmc::Password;
use bringup::bmc::ipmi::sol::{Mark, SolEar};
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::overhearing::{Overheard, Overhearing as _};
use bringup::model::PowerVerb;

use super::console_rig::{PASSWORD, Rig, SOON, Watched, quick};
use crate::support::need_program;

fn bmc(address: std::net::SocketAddr) -> IpmiBmc {
    IpmiBmc::new(Lan::new(), address, Account::new("admin", Password::new(PASSWORD), None).unwrap())
}

async fn until(ear: &SolEar, what: &str, so: impl Fn(&Overheard) -> bool) -> Overheard {
    let began = Instant::now();
    loop {
        let heard = ear.heard(10);
        if so(&heard) {
            return heard;
        }
        assert!(began.elapsed() < SOON, "{what} was not heard: {heard:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn it_keeps_the_last_lines_and_gives_the_console_back() {
    let rig = Rig::start("dell", &[], false).await;
    let ear = SolEar::new(bmc(rig.address));
    assert_eq!(ear.heard(10).trouble.as_deref(), Some("it was not listened to yet"));
    ear.begin(SOON).await;
    assert_eq!(ear.heard(10).trouble, None, "it listens before anything happens");
    // Asking again is no second ear.
    ear.begin(SOON).await;
    rig.power(PowerVerb::On);
    let heard = until(&ear, "a login", |heard| heard.lines.iter().any(|line| line.contains("login:"))).await;
    assert!(heard.lines.len() <= 10 && heard.printed > 500, "{heard:?}");
    assert!(heard.lines.iter().all(|line| !line.contains('\u{1b}') && !line.contains('\r')), "{heard:?}");
    ear.end().await;
    // At once free for the next one, and what was heard stays.
    let next = rig.bmc().console(quick()).await.unwrap();
    let after = ear.heard(10);
    assert_eq!((after.lines, after.trouble.as_deref()), (heard.lines, Some("it is not listened to any more")));
    ear.forget();
    assert_eq!((ear.heard(10).lines.len(), ear.heard(10).printed), (0, 0), "of an earlier boot");
    next.close().await;
}

#[tokio::test]
async fn it_takes_a_console_from_nobody() {
    let rig = Rig::start("dell", &[], false).await;
    let mut first = Watched::new(rig.bmc().console(quick()).await.unwrap());
    let ear = SolEar::new(bmc(rig.address));
    ear.begin(SOON).await;
    let heard = ear.heard(10);
    assert!(heard.trouble.as_deref().is_some_and(|why| why.contains("another client has it")), "{heard:?}");
    // Whoever has it reads on, and types.
    rig.power(PowerVerb::On);
    first.until("login: ").await;
    first.say("root", "Password: ").await;
    assert_eq!(ear.heard(10).lines, Vec::<String>::new());
    ear.end().await;
    first.console.close().await;
}

/// `ipmitool sol deactivate`, as people take a console: whoever they end leaves it to them.
#[tokio::test]
async fn whoever_ends_it_from_outside_may_have_it() {
    if need_program("whoever_ends_it_from_outside_may_have_it", "ipmitool").is_none() {
        return;
    }
    let rig = Rig::start("dell", &[], true).await;
    let ear = SolEar::new(bmc(rig.address));
    ear.begin(SOON).await;
    assert_eq!(ear.heard(10).trouble, None);
    let (ip, port) = (rig.address.ip().to_string(), rig.address.port().to_string());
    let words = ["-I", "lanplus", "-C", "17", "-H", &ip, "-p", &port, "-U", "admin", "-E", "sol", "deactivate"];
    let out = tokio::process::Command::new("ipmitool").args(words).env("IPMI_PASSWORD", PASSWORD).output().await.unwrap();
    assert!(out.status.success(), "{out:?}");
    until(&ear, "the end of its console", |heard| heard.trouble.is_some()).await;
    let mut second = Watched::new(rig.bmc().console(quick()).await.unwrap());
    second.say("", "login: ").await;
    // It does not get it back while somebody has it, and says who.
    until(&ear, "who has it", |heard| heard.trouble.as_deref().is_some_and(|why| why.contains("another client has it"))).await;
    second.say("root", "Password: ").await;
    assert!(!second.marks.iter().any(|mark| matches!(mark, Mark::Lost { .. })), "{:?}", second.marks);
    second.console.close().await;
    ear.end().await;
}

#[tokio::test]
async fn a_bmc_that_does_not_answer_keeps_nobody_waiting() {
    // A port that is held and never answered.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ear = SolEar::new(bmc(silent.local_addr().unwrap()));
    let began = Instant::now();
    ear.begin(Duration::from_millis(200)).await;
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    until(&ear, "its trouble", |heard| heard.trouble.as_deref().is_some_and(|why| why.contains("IPMI"))).await;
    ear.end().await;
    assert!(ear.heard(10).lines.is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let rig = Rig::start("dell", &[], false).await;
    let account = Account::new("admin", Password::new("wrong-pass-1"), None).unwrap();
    let ear = SolEar::new(IpmiBmc::new(Lan::new(), rig.address, account));
    ear.begin(SOON).await;
    let refused = rig.machine.refused();
    assert!(ear.heard(1).trouble.is_some(), "{:?}", ear.heard(1));
    ear.end().await;
    assert!(refused <= 1, "{refused} wrong passwords: BMCs lock accounts");
}
