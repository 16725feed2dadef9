//! `bmc sel` as a person uses it: entries of Redfish and IPMI logs, logs by name, clocks that are off, and emptying, journaled and read back.

use std::time::Duration;

use bringup::journal::Journal;
use bringup::model::{EvidenceNote, NodeId, PowerVerb, Touch};

use super::bad_rig::Rig;
use crate::bmc::ipmi_rig::Sim;
use crate::support::{need_program, wait_until};

const SOON: Duration = Duration::from_secs(60);
/// By Redfish and by IPMI.
const NODES: [&str; 2] = ["a001-s01", "a001-s02"];

/// All machines on, and their systems up: what happens on the way stands in the logs.
pub fn on(rig: &Rig) {
    for node in rig.farm().nodes() {
        node.machine.power(PowerVerb::On);
    }
    wait_until("the systems are up", SOON, || rig.farm().nodes().iter().all(|node| node.machine.system().is_some()));
}

/// Touches of a node outside runs, with what was seen.
pub fn touched(rig: &Rig, node: &str) -> Vec<(Touch, Option<EvidenceNote>)> {
    let path = rig.path(".bringup/journal.db");
    let mut all = if path.exists() { Journal::touched(&path, |_| true).unwrap() } else { Default::default() };
    all.remove(&NodeId::new(node).unwrap()).unwrap_or_default().into_iter().map(|t| (t.touch, t.seen)).collect()
}

#[test]
fn entries_of_both_protocols_are_shown_alike() {
    let rig = Rig::up(2, &["a001-s01=accelerator.hot(1,97)", "a001-s02=accelerator.hot(1,97)"]);
    let empty = rig.run(&["bmc", "sel"]).ends(0, &[]);
    on(&rig);
    let ran = rig.run(&["bmc", "sel"]).ends(0, &[]);
    assert_ne!(empty.out, ran.out);
    assert!(
        ran.out.lines().next().unwrap().starts_with("NODE") && ran.out.lines().all(|line| line.chars().count() <= 100),
        "{ran:?}"
    );
    for node in NODES {
        let lines: Vec<&str> = ran.out.lines().filter(|line| line.starts_with(node)).collect();
        assert!(lines.iter().any(|line| line.contains(" critical ")), "{node}: {}", ran.out);
        assert!(
            lines.len() > 2 && lines.iter().all(|line| line.split_whitespace().nth(1).unwrap().ends_with('Z')),
            "{}",
            ran.out
        );
    }
    let bad = rig.run(&["bmc", "sel", "--bad"]).ends(0, &["neither warnings nor worse"]);
    assert!(bad.out.lines().skip(1).count() >= 2 && !bad.out.contains(" ok "), "{bad:?}");
    // The newest alone; the rest is told to be there.
    let one = rig.run(&["bmc", "sel", NODES[1], "-n", "1"]).ends(0, &["entries; the newest 1 were read, -n reads more"]);
    assert_eq!(one.out.lines().filter(|line| line.starts_with(NODES[1])).count(), 1, "{one:?}");
    let json = rig.run(&["bmc", "sel", "-n", "2", "-o", "json"]).ends(0, &[]).json();
    for (node, log) in json["nodes"].as_array().unwrap().iter().zip(["Managers/", "SEL"]) {
        let sel = &node["sel"];
        assert_eq!(sel["log"]["known"]["entries"].as_array().unwrap().len(), 2, "{json:#}");
        assert!(sel["log"]["known"]["log"]["id"].as_str().unwrap().starts_with(log), "{json:#}");
        assert!(sel["clock_ahead_s"]["known"].as_i64().unwrap().abs() < 10, "{json:#}");
    }
    let lines = rig.run(&["bmc", "sel", "-o", "ndjson"]).ends(0, &[]).out;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(!rig.path(".bringup/journal.db").exists(), "reading is no touch");
}

#[test]
fn logs_have_names_and_a_wrong_one_is_told() {
    let rig = Rig::up(2, &[]);
    let logs = rig.run(&["bmc", "sel", "--logs"]).ends(0, &[]).out;
    assert!(logs.lines().filter(|line| line.starts_with(NODES[0])).count() > 1, "{logs}");
    assert!(logs.lines().any(|line| line.starts_with(NODES[1]) && line.contains(" SEL ") && line.contains(" yes ")), "{logs}");
    let json = rig.run(&["bmc", "sel", "--logs", "-o", "json"]).ends(0, &[]).json();
    let all = json["nodes"][0]["logs"]["known"]["items"].as_array().unwrap();
    // Every one of them can be read by the name that it is listed under.
    for log in all {
        let name = log["id"].as_str().unwrap();
        let read = rig.run(&["bmc", "sel", NODES[0], "--log", name, "-o", "json"]).ends(0, &[]).json();
        assert_eq!(read["nodes"][0]["sel"]["log"]["known"]["log"]["id"], name, "{read:#}");
    }
    for (node, words) in [(NODES[0], "there is none; there are:"), (NODES[1], "IPMI has one log, SEL")] {
        let wrong = rig.run(&["bmc", "sel", node, "--log", "Nonsuch"]).ends(4, &[]);
        let told = wrong.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("not supported") && told.contains(words), "{wrong:?}");
    }
}

#[test]
fn a_clock_that_is_off_is_told() {
    let rig = Rig::up(2, &["a001-s01=clock.skew(3600)"]);
    on(&rig);
    let words = "a001-s01: its clock is 1 h 0 min ahead of this machine's; times are told as it wrote them";
    // Less a second or two that the answer took.
    let ran = rig.run(&["bmc", "sel"]).ends(0, &[]);
    assert!(ran.err.contains(words) || ran.err.contains("its clock is 59 min 5"), "{ran:?}");
    assert!(!ran.err.contains("a001-s02"), "{ran:?}");
    let json = rig.run(&["bmc", "sel", "a001-s01", "-o", "json"]).ends(0, &[]).json();
    let ahead = json["nodes"][0]["sel"]["clock_ahead_s"]["known"].as_i64().unwrap();
    assert!((3_590..=3_602).contains(&ahead), "{json:#}");
}

#[test]
fn emptying_is_agreed_to_journaled_and_read_back() {
    let rig = Rig::up(2, &[]);
    on(&rig);
    rig.run(&["bmc", "sel", "--clear", "--yes"]).refused(64, &["needs to be told which nodes"]);
    rig.run(&["bmc", "sel", "*", "--clear"]).refused(64, &["was not agreed to", "--yes"]);
    rig.run(&["bmc", "sel", "*", "--yes"]).ends(64, &["--clear"]);
    assert!(!rig.path(".bringup/journal.db").exists(), "nothing was touched");
    let ran = rig.run(&["bmc", "sel", "*", "--clear", "--yes"]).ends(0, &[]);
    assert!(ran.out.contains("a001-s[01-02]") && ran.out.contains("done"), "{ran:?}");
    for node in NODES {
        let seen = touched(&rig, node);
        assert!(matches!(&seen[..], [(Touch::ClearLog { log: None }, Some(EvidenceNote::Applied(_)))]), "{seen:?}");
        let json = rig.run(&["bmc", "sel", node, "-o", "json"]).ends(0, &[]).json();
        let left = json["nodes"][0]["sel"]["log"]["known"]["entries"].as_array().unwrap().len();
        assert!(left <= 1, "{json:#}");
    }
    assert!(rig.run(&["history"]).ends(0, &[]).out.contains("bmc sel clear"));
    // By name, and one that is not there.
    rig.run(&["bmc", "sel", NODES[1], "--clear", "--yes", "--log", "SEL"]).ends(0, &[]);
    let wrong = rig.run(&["bmc", "sel", NODES[1], "--clear", "--yes", "--log", "IML"]).ends(4, &[]);
    assert!(wrong.out.contains("IPMI has one log"), "{wrong:?}");
    let seen = touched(&rig, NODES[1]);
    assert!(
        matches!(&seen[1], (Touch::ClearLog { log: Some(name) }, Some(EvidenceNote::Applied(_))) if name == "SEL"),
        "{seen:?}"
    );
    assert!(matches!(&seen[2], (_, Some(EvidenceNote::NotApplied(_)))), "{seen:?}");
    for node in rig.farm().nodes() {
        assert_eq!(node.machine.sessions(), 0, "no session is left");
    }
}

#[test]
fn a_dead_bmc_is_told_beside_the_others() {
    let rig = Rig::up(2, &["a001-s02=dead-bmc"]);
    on_first(&rig);
    let ran = rig.run(&["bmc", "sel"]).ends(4, &[]);
    assert!(ran.out.contains("TROUBLE") && ran.out.lines().any(|line| line.starts_with("a001-s01 ")), "{ran:?}");
    rig.run(&["bmc", "sel", "a001-s02"]).ends(10, &[]);
}

fn on_first(rig: &Rig) {
    let machine = &rig.farm().nodes()[0].machine;
    machine.power(PowerVerb::On);
    wait_until("the system is up", SOON, || machine.system().is_some());
}

/// A BMC that somebody else wrote: OpenIPMI's `ipmi_sim`, shown, emptied and followed.
#[test]
fn the_log_of_ipmi_sim_is_shown_emptied_and_followed() {
    let test = "the_log_of_ipmi_sim_is_shown_emptied_and_followed";
    let Some(sim) = Sim::start_with(test, "", "sel_enable 0x20 1000 0x0a\n") else { return };
    if need_program(test, "ipmitool").is_none() {
        return;
    }
    let rig = Rig::up(2, &[]);
    let machine = &rig.farm().node("a001-s02").unwrap();
    let facts = std::fs::read_dir(rig.path("inventory/facts")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&facts).unwrap();
    let text =
        text.replace(&machine.bmc.to_string(), &sim.addr.to_string()).replace(&machine.machine.identity().serial, "SN-0042");
    std::fs::write(&facts, text).unwrap();
    std::fs::write(rig.path("secrets/bmc_password"), "s3cret\n").unwrap();
    let add = |number: u8| {
        // A temperature's upper critical threshold was passed: reading 95, threshold 90.
        let event = format!("0x04 0x01 0x{number:02x} 0x01 0x59 0x5f 0x5a");
        let file = sim.path().join("event");
        std::fs::write(&file, event + "\n").unwrap();
        sim.ipmitool(&["sel", "add", file.to_str().unwrap()]);
    };
    let shown = rig.run(&["bmc", "sel", "a001-s02"]).ends(0, &["SEL is empty"]);
    assert_eq!(shown.out, "", "{shown:?}");
    add(1);
    let shown = rig.run(&["bmc", "sel", "a001-s02"]).ends(0, &[]);
    assert!(shown.out.contains("critical") && shown.out.contains("Temperature 1"), "{shown:?}");
    let following = rig.spawn("follow", &["bmc", "sel", "a001-s02", "--follow", "--every", "200ms", "--for", "5m"]);
    wait_until("it follows", SOON, || rig.read("follow.err").contains("is read every 0.2 s"));
    add(2);
    wait_until("the new entry is told", SOON, || rig.read("follow.out").contains("Temperature 2"));
    let cleared = rig.run(&["bmc", "sel", "a001-s02", "--clear", "--yes"]).ends(0, &[]);
    assert!(cleared.out.contains("2 entries cleared"), "{cleared:?}");
    assert_eq!(sim.ipmitool(&["sel", "list"]), "", "ipmitool finds none either");
    wait_until("the emptying is told", SOON, || rig.read("follow.err").contains("a001-s02: gap: the log was cleared"));
    super::bad_rig::signal(following.pid(), "INT");
    assert_eq!(super::bad_rig::code(following), Some(130), "{}", rig.read("follow.err"));
    let (out, err) = (rig.read("follow.out"), rig.read("follow.err"));
    assert!(out.lines().count() == 1 && err.contains("interrupted"), "{out}{err}");
}
