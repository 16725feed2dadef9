//! `bmc sel --follow`: streamed, pushed and polled; ended by signals and by the clock; killed, and what that left behind ended by the next.

use std::process::{Command, Stdio};
use std::time::Duration;

use bringup::model::{EvidenceNote, Touch};
use serde_json::Value;

use super::bad_rig::{Rig, code, signal};
use super::sel::{on, touched};
use crate::support::{Service, need_program, wait_until};

const SOON: Duration = Duration::from_secs(60);
const NODE: &str = "a001-s01";

/// Starts to follow and waits until it says that it does, in these words.
fn follow(rig: &Rig, name: &str, more: &[&str], words: &str) -> Service {
    let service = rig.spawn(name, &[&["bmc", "sel", "--follow", "-o", "ndjson"], more].concat());
    wait_until(words, SOON, || rig.read(&format!("{name}.out")).contains(words));
    service
}

fn lines(rig: &Rig, name: &str) -> Vec<Value> {
    rig.read(&format!("{name}.out")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn entries(rig: &Rig, name: &str) -> usize {
    // The last line may be in the writing.
    rig.read(&format!("{name}.out")).matches(r#""told":"entry""#).count()
}

/// Subscriptions that stand on the first node's BMC, as `curl` sees them.
fn standing(rig: &Rig) -> usize {
    let config = rig.path("curl.conf");
    std::fs::write(&config, format!("user = \"admin:{}\"\n", rig.farm().bmc_password())).unwrap();
    let url = format!("https://{}/redfish/v1/EventService/Subscriptions", rig.farm().nodes()[0].bmc);
    let out = Command::new("curl").args(["-ksS", "--max-time", "20", "-K"]).arg(&config).arg(url).stdin(Stdio::null()).output();
    let seen: Value = serde_json::from_slice(&out.unwrap().stdout).unwrap();
    seen["Members"].as_array().unwrap().len()
}

#[test]
fn a_stream_and_a_poll_side_by_side_end_by_a_signal_and_leave_nothing() {
    for name in ["INT", "TERM"] {
        let rig = Rig::up(2, &[]);
        let service = follow(&rig, "both", &["--every", "100ms"], "is read every 0.1 s");
        wait_until("it is streamed", SOON, || rig.read("both.out").contains("events are streamed by"));
        on(&rig);
        wait_until("both tell three entries", SOON, || entries(&rig, "both") == 6);
        signal(service.pid(), name);
        assert_eq!(code(service), Some(130), "SIG{name}: {}", rig.read("both.err"));
        for line in lines(&rig, "both") {
            assert_eq!(line["format_version"], 1, "{line}");
            let node = line["node"].as_str().unwrap();
            assert!(["a001-s01", "a001-s02"].contains(&node) && line["told"] != "gap", "{line}");
        }
        let of = |node: &str| {
            let of = lines(&rig, "both").into_iter().filter(|l| l["node"] == node && l["told"] == "entry");
            of.map(|line| line["entry"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((of("a001-s01").len(), of("a001-s02").len()), (3, 3), "{}", rig.read("both.out"));
        for node in rig.farm().nodes() {
            assert_eq!(node.machine.sessions(), 0, "SIG{name}: no session is left");
        }
        assert!(!rig.path(".bringup/journal.db").exists(), "a stream and a poll make nothing on a BMC");
    }
}

#[test]
fn a_subscription_is_journaled_and_gone_in_the_end() {
    if need_program("a_subscription_is_journaled_and_gone_in_the_end", "curl").is_none() {
        return;
    }
    let rig = Rig::up(1, &["a001-s01=event.no_sse"]);
    let service =
        follow(&rig, "pushed", &["--every", "10m", "--listen", "127.0.0.1:0"], "events are pushed to https://127.0.0.1:");
    assert_eq!(standing(&rig), 1);
    on(&rig);
    wait_until("three entries are told", SOON, || entries(&rig, "pushed") == 3);
    // A run is not kept out, and a look beside it works.
    rig.run(&["power", "off", NODE, "--yes"]).ends(0, &[]);
    signal(service.pid(), "INT");
    assert_eq!(code(service), Some(130), "{}", rig.read("pushed.err"));
    assert_eq!((standing(&rig), rig.farm().nodes()[0].machine.sessions()), (0, 0), "nothing is left");
    let seen: Vec<_> = touched(&rig, NODE).into_iter().filter(|(touch, _)| !matches!(touch, Touch::Power(_))).collect();
    match &seen[..] {
        [
            (Touch::Subscribe { mark, to }, Some(EvidenceNote::Applied(made))),
            (Touch::Unsubscribe { mark: same }, Some(EvidenceNote::Applied(gone))),
        ] => {
            assert!(mark == same && to.starts_with("https://127.0.0.1:") && mark.starts_with("hand-"), "{seen:?}");
            assert!(made.contains("Subscriptions/1") && gone.contains("is gone"), "{seen:?}");
        }
        other => panic!("{other:?}"),
    }
    let told = rig.run(&["history"]).ends(0, &[]).out;
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("bmc sel follow, pushed to https://127.0.0.1"), "{told}");
    assert_eq!(std::fs::read_dir(rig.path(".bringup/following")).unwrap().count(), 0, "and no file says that somebody follows");
}

#[test]
fn what_a_killed_one_left_behind_is_ended_by_the_next_and_a_living_ones_is_not() {
    if need_program("what_a_killed_one_left_behind_is_ended_by_the_next_and_a_living_ones_is_not", "curl").is_none() {
        return;
    }
    let rig = Rig::up(1, &["a001-s01=event.no_sse"]);
    let push: &[&str] = &["--every", "10m", "--listen", "127.0.0.1:0"];
    let killed = follow(&rig, "killed", push, "events are pushed");
    let living = follow(&rig, "living", push, "events are pushed");
    assert_eq!(standing(&rig), 2);
    signal(killed.pid(), "KILL");
    assert_eq!(code(killed), None, "killed");
    assert_eq!(standing(&rig), 2, "it could take nothing away");
    // The next listens to nobody, and ends all the same what it finds in the journal.
    let next = follow(&rig, "next", &["--every", "10m"], "it streams no events");
    assert!(rig.read("next.out").contains("which was killed"), "{}", rig.read("next.out"));
    assert_eq!(standing(&rig), 1, "the living one's stands");
    on(&rig);
    wait_until("the living one is told", SOON, || entries(&rig, "living") == 3);
    for (service, name) in [(next, "next"), (living, "living")] {
        signal(service.pid(), "TERM");
        assert_eq!(code(service), Some(130), "{name}: {}", rig.read(&format!("{name}.err")));
    }
    assert_eq!(standing(&rig), 0);
    // Everything is settled: the one after that touches nothing.
    let before = touched(&rig, NODE).len();
    let last = follow(&rig, "last", &["--every", "10m"], "it streams no events");
    signal(last.pid(), "INT");
    assert_eq!(code(last), Some(130), "{}", rig.read("last.err"));
    assert_eq!((before, touched(&rig, NODE).len()), (4, 4), "{:?}", touched(&rig, NODE));
    assert_eq!(rig.farm().nodes()[0].machine.sessions(), 0, "no session is left");
}

#[test]
fn it_ends_after_a_time_and_says_what_it_cannot_follow() {
    let rig = Rig::up(2, &["a001-s02=dead-bmc", "a001-s01=clock.skew(7200)"]);
    // Long enough for a loaded machine to log in.
    let ran = rig.run(&["bmc", "sel", "--follow", "--for", "20s", "a001-s01"]).ends(0, &["a001-s01: events are streamed by"]);
    assert!(ran.err.contains("its clock is 2 h 0 min ahead") || ran.err.contains("its clock is 1 h 59 min ahead"), "{ran:?}");
    assert_eq!(ran.out, "", "nothing happened: {ran:?}");
    // 15 s are what one IPMI call may take.
    rig.run(&["bmc", "sel", "--follow", "--for", "10m", "a001-s02"]).ends(10, &["a001-s02: not followed any more: "]);
    rig.run(&["bmc", "sel", "--follow", "--for", "1s", "a001-s02"]).ends(4, &["had not answered when it was time to stop"]);
    rig.run(&["bmc", "sel", "--follow", "-o", "json"]).refused(64, &["-o ndjson"]);
    rig.run(&["bmc", "sel", "--follow", "--listen", "0.0.0.0:0"]).refused(64, &["--listen-as"]);
    rig.run(&["bmc", "sel", "--follow", "--listen", "192.0.2.1:1"]).refused(1, &["listening for events on 192.0.2.1:1"]);
    rig.run(&["bmc", "sel", "--follow", "--clear"]).ends(64, &["cannot be used with"]);
    assert!(!rig.path(".bringup/journal.db").exists(), "nothing was touched");
}

#[test]
fn another_machine_behind_the_address_is_not_subscribed_to() {
    let rig = Rig::up(1, &["a001-s01=event.no_sse"]);
    let serial = rig.farm().nodes()[0].machine.identity().serial.clone();
    let facts = std::fs::read_dir(rig.path("inventory/facts")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&facts, std::fs::read_to_string(&facts).unwrap().replace(&serial, "SOMEBODY-ELSE")).unwrap();
    rig.run(&["bmc", "sel", "--follow", "--listen", "127.0.0.1:0", "--for", "60s"]).ends(4, &["the facts record SOMEBODY-ELSE"]);
    assert!(touched(&rig, NODE).is_empty());
}
