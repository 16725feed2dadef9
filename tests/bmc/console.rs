//! The console client against our simulator: a boot as it is printed, a login that is typed, and consoles that are held, taken and lost.

use std::time::Duration;

use bringup::bmc::ipmi::sol::Mark;
use bringup::bmc::{Bmc as _, BmcTrouble};
use bringup::model::PowerVerb;

use super::console_rig::{Rig, Watched, quick};

#[tokio::test]
async fn a_boot_is_seen_and_a_login_is_typed() {
    let rig = Rig::start("supermicro", &[], false).await;
    let bmc = rig.bmc();
    let mut seen = Watched::new(bmc.console(quick()).await.unwrap());
    rig.power(PowerVerb::On);
    for text in ["Supermicro SYS-421GE-TNRT", "Booting from local disk", "Linux version", "booted-from=disk", "a001-s03 login: "]
    {
        seen.until(text).await;
    }
    let at = |text: &str| seen.text.find(text).unwrap();
    assert!(at("Serial") < at("Booting from") && at("Booting from") < at("Linux version") && at("init process") < at("login: "));
    assert_eq!(seen.marks.iter().filter(|m| m.is_gap()).count(), 0, "{:?}", seen.marks);
    seen.say("root", "Password: ").await;
    seen.say("sim", "root@a001-s03:~# ").await;
    seen.say("uname -r", "6.8.0-sim").await;
    seen.until("root@a001-s03:~# ").await;
    // Typed fast and long: each key once, in order.
    let words: Vec<String> = (0..180).map(|n| format!("w{n:03}")).collect();
    let line = format!("echo {}", words.join(" "));
    seen.say(&line, "w179\r\nroot@").await;
    assert_eq!(seen.text.matches(&words.join(" ")).count(), 2, "echoed once, printed once: {:?}", seen.text);
    seen.console.close().await;
    // Given back: the next one has it at once.
    let again = bmc.console(quick()).await.unwrap();
    again.close().await;
    bmc.close().await;
}

#[tokio::test]
async fn a_console_that_another_client_has_is_told_with_its_name_and_taken_only_when_asked() {
    let rig = Rig::start("dell", &[], true).await;
    let (first, second) = (rig.bmc(), rig.bmc());
    let mut held = Watched::new(first.console(quick()).await.unwrap());
    let error = second.console(quick()).await.map(drop).unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Busy);
    assert!(error.to_string().contains("`admin` from 127.0.0.1:"), "{error}");
    let options = bringup::bmc::ipmi::sol::ConsoleOptions { take_over: true, ..quick() };
    let mut taken = Watched::new(second.console(options).await.unwrap());
    // The first is told that it lost it, does not take it back, and ends with who has it.
    held.until_mark(|mark| matches!(mark, Mark::Lost { .. })).await;
    let error = loop {
        if let Some(error) = held.one().await {
            break error;
        }
    };
    assert_eq!(error.kind, BmcTrouble::Busy, "{error}");
    taken.say("", "login: ").await;
    taken.console.close().await;
}

/// A dropped console (the program is killed by a panic, a future is dropped) is given back as well.
#[tokio::test]
async fn a_dropped_console_is_free_at_once() {
    let rig = Rig::start("ami", &[], true).await;
    for round in 0..20 {
        let console = rig.bmc().console(quick()).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
        drop(console);
        // The abort takes effect when the task is next polled.
        tokio::time::timeout(Duration::from_secs(10), async {
            while rig.machine.sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn over_a_line_that_loses_a_third_nothing_is_missing() {
    let rig = Rig::start("supermicro", &["udp.loss(20)", "udp.dup"], true).await;
    let bmc = rig.bmc();
    let mut seen = Watched::new(bmc.console(quick()).await.unwrap());
    seen.say("", "login: ").await;
    seen.say("root", "Password: ").await;
    seen.say("sim", "# ").await;
    for n in 0..12 {
        let word = format!("word-{n}");
        seen.say(&format!("echo {word} end"), &format!("\n{word} end\r\n")).await;
        assert_eq!(seen.text.matches(&word).count(), 2, "{:?}", seen.text);
    }
    assert!(!seen.marks.iter().any(|m| matches!(m, Mark::Lost { .. })), "{:?}", seen.marks);
    seen.console.close().await;
}
