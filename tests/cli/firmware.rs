//! `firmware show` and `firmware push` as a user runs them: one flash whatever happens, journaled before and after, and what is told is what runs.

use bringup::journal::Journal;
use bringup::model::{EvidenceNote, Touch};
use bringup::sim::Image;
use bringup::sim::firmware::Wrong;

use super::bad_rig::{PATIENCE, Ran, Rig, signal};
use crate::support::{HpmFile, wait_until};

const NODE: &str = "a001-s01";

/// What was printed, on one line: tables wrap.
fn flat(ran: &Ran) -> String {
    ran.out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn image(rig: &Rig, component: &str, version: &str, len: usize) -> String {
    let name = format!("{component}.bin");
    let image = Image { component: component.to_owned(), version: version.to_owned() };
    std::fs::write(rig.path(&name), image.bytes(len)).unwrap();
    name
}

/// Arguments of a push to the one node, agreed to.
fn push<'a>(file: &'a str, component: &'a str, version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["firmware", "push", NODE, "--file", file, "--component", component, "--version", version, "--yes"];
    args.into_iter().chain(more.iter().copied()).collect()
}

fn touched(rig: &Rig) -> Vec<(Touch, Option<EvidenceNote>)> {
    let path = rig.path(".bringup/journal.db");
    let all = Journal::touched(&path, |_| true).unwrap();
    Journal::verify(&path).unwrap();
    all.into_values().flatten().map(|t| (t.touch, t.seen)).collect()
}

#[test]
fn one_image_is_pushed_once_and_what_runs_is_told() {
    let rig = Rig::up(2, &[]);
    let machine = &rig.farm().nodes()[0].machine;
    let ran = rig.run(&["firmware", "show", NODE, "--component", "BMC|PSU*"]).ends(0, &[]);
    assert!(flat(&ran).contains("BMC") && flat(&ran).contains("24.09.17") && !flat(&ran).contains("BIOS"), "{}", ran.out);
    let json = rig.run(&["firmware", "show", NODE, "-o", "json"]).ends(0, &[]).json();
    let items = json["nodes"][0]["firmware"]["known"].as_array().unwrap();
    assert!(
        items.iter().any(|i| i["component"] == "BIOS" && i["running"]["known"] == "1.06.07" && i["staged"] == "absent"),
        "{json:#}"
    );

    let file = image(&rig, "PSU_1", "99.1", 300_000);
    let named = ["firmware", "push", "--file", &file, "--component", "PSU_1", "--version", "99.1"];
    rig.run(&named).refused(64, &["needs to be told which nodes"]);
    let agreed: Vec<&str> = named.iter().copied().chain([NODE]).collect();
    rig.run(&agreed).refused(64, &["was not agreed to", "--yes"]);
    rig.run(&push("none.bin", "PSU_1", "99.1", &[])).refused(3, &["none.bin"]);
    rig.run(&push(&file, "PSU_1", "99.1", &["--target", "HGX_0"])).refused(64, &["no Redfish path"]);
    assert_eq!((machine.uploads(), machine.flashes()), (0, 0));
    assert!(!rig.path(".bringup/journal.db").exists(), "nothing was touched");

    let ran = rig.run(&push(&file, "PSU_1", "99.1", &[])).ends(0, &["uploading", "the BMC works"]);
    assert!(flat(&ran).contains("PSU_1 99.1 runs") && flat(&ran).contains("done"), "{}", ran.out);
    assert_eq!((machine.runs("PSU_1").as_deref(), machine.flashes()), (Some("99.1"), 1));
    let json = rig.run(&push(&file, "PSU_1", "99.1", &["-o", "json"])).ends(0, &[]).json();
    assert!(json["nodes"][0]["detail"].as_str().unwrap().contains("nothing was sent"), "{json:#}");
    assert_eq!((machine.uploads(), machine.flashes()), (1, 1));
    let touches = touched(&rig);
    assert_eq!(touches.len(), 2, "{touches:?}");
    for (touch, seen) in &touches {
        assert!(matches!(touch, Touch::Flash { component, .. } if component.as_str() == "PSU_1"), "{touch:?}");
        assert!(matches!(seen, Some(EvidenceNote::Applied(_))), "{seen:?}");
    }
    let history = rig.run(&["history"]).ends(0, &["chain whole"]);
    assert!(flat(&history).contains("firmware push PSU_1 99.1"), "{}", history.out);

    let ran = rig.run(&push(&file, "GPU_X", "1", &[])).ends(4, &[]);
    assert!(flat(&ran).contains("precondition") && flat(&ran).contains("is not listed"), "{}", ran.out);
    // The second node's BMC speaks IPMI only.
    let ipmi = ["firmware", "push", "a001-s02", "--file", &file, "--component", "PSU_1", "--version", "99.1", "--yes"];
    let ran = rig.run(&ipmi).ends(4, &[]);
    assert!(flat(&ran).contains("not supported"), "{}", ran.out);
}

#[test]
fn what_waits_is_not_sent_again_and_is_shown() {
    // A restart takes 2 s: this BMC tells no start time, so it has to be seen to be away.
    let rig = Rig::at_speed(1, &[], 100);
    let machine = &rig.farm().nodes()[0].machine;
    // Somebody else has pushed it before: this BMC takes its own firmware at its next restart.
    let staged = Image { component: "BMC".into(), version: "99.1".into() };
    machine.firmware(|firmware, now| firmware.begin(now, staged, false, Wrong::default())).unwrap();
    wait_until("it is written", PATIENCE, || !machine.firmware(|firmware, _| firmware.busy()));
    let ran = rig.run(&["firmware", "show", "--waits"]).ends(0, &[]);
    assert!(flat(&ran).contains("24.09.17") && flat(&ran).contains("99.1"), "{}", ran.out);
    let file = image(&rig, "BMC", "99.1", 1_000);
    let ran = rig.run(&push(&file, "BMC", "99.1", &[])).ends(4, &[]);
    assert!(flat(&ran).contains("not activated") && flat(&ran).contains("restarting the BMC may activate it"), "{}", ran.out);
    rig.run(&["bmc", "reset", NODE, "--yes"]).ends(0, &[]);
    let ran = rig.run(&push(&file, "BMC", "99.1", &[])).ends(0, &[]);
    assert!(flat(&ran).contains("BMC 99.1 runs already; nothing was sent"), "{}", ran.out);
    assert_eq!((machine.uploads(), machine.flashes()), (0, 1));
}

#[test]
fn a_stuck_bmc_is_restarted_only_when_asked_for() {
    let rig = Rig::at_speed(1, &["a001-s01=fw.update_mode"], 100);
    let machine = &rig.farm().nodes()[0].machine;
    let file = image(&rig, "PSU_1", "99.1", 1_000);
    let ran = rig.run(&push(&file, "PSU_1", "99.1", &[])).ends(4, &[]);
    assert!(flat(&ran).contains("stuck in update mode"), "{}", ran.out);
    assert_eq!(machine.bmc_restarts(), 0);
    let ran = rig.run(&push(&file, "PSU_1", "99.1", &["--restart-stuck-bmc"])).ends(0, &["restarting its BMC"]);
    assert!(flat(&ran).contains("PSU_1 99.1 runs"), "{}", ran.out);
    assert_eq!((machine.bmc_restarts(), machine.flashes()), (1, 1));
    let kinds: Vec<bool> = touched(&rig).iter().map(|(touch, _)| matches!(touch, Touch::ResetBmc)).collect();
    assert_eq!(kinds.iter().filter(|reset| **reset).count(), 1);
    assert_eq!(kinds.len(), 4);
}

#[test]
fn a_push_that_was_killed_is_taken_up_by_pushing_again() {
    // Looking at the image and writing it take 260 virtual seconds: 2.6 s.
    let rig = Rig::at_speed(1, &[], 100);
    let machine = &rig.farm().nodes()[0].machine;
    let file = image(&rig, "PSU_1", "99.1", 500_000);
    let first = rig.spawn("first", &push(&file, "PSU_1", "99.1", &[]));
    wait_until("the image is there", PATIENCE, || machine.uploads() == 1);
    signal(first.pid(), "KILL");
    drop(first);
    let ran = rig.run(&push(&file, "PSU_1", "99.1", &[])).ends(0, &["waiting: the BMC is at something else"]);
    assert!(flat(&ran).contains("PSU_1 99.1 runs already; nothing was sent"), "{}", ran.out);
    assert_eq!((machine.uploads(), machine.flashes()), (1, 1));
    let touches = touched(&rig);
    assert_eq!(touches.iter().filter(|(_, seen)| seen.is_none()).count(), 1, "the killed one has no end: {touches:?}");
}

#[test]
fn an_ipmi_bmc_is_upgraded_by_hpm_and_only_when_that_is_asked_for() {
    let rig = Rig::at_speed(2, &[], 1_000);
    let machine = &rig.farm().nodes()[1].machine;
    let vendor = machine.identity().profile.name;
    std::fs::write(rig.path("bmc.hpm"), HpmFile::of(vendor, "BMC", "99.01", 3_000).bytes()).unwrap();
    let shown = rig.run(&["firmware", "show", "a001-s02"]).ends(0, &[]);
    assert!(["BMC", "BIOS", "PSU_1"].iter().all(|name| flat(&shown).contains(name)), "{}", shown.out);
    let args = ["firmware", "push", "a001-s02", "--file", "bmc.hpm", "--component", "BMC", "--version", "99.01", "--yes"];
    let ran = rig.run(&args).ends(4, &[]);
    assert!(flat(&ran).contains("not supported") && flat(&ran).contains("--hpm"), "{}", ran.out);
    assert_eq!((machine.uploads(), machine.flashes()), (0, 0));
    let asked: Vec<&str> = args.into_iter().chain(["--hpm"]).collect();
    let ran = rig.run(&asked).ends(0, &["uploading", "activating"]);
    assert!(flat(&ran).contains("BMC 99.01 runs"), "{}", ran.out);
    let ran = rig.run(&asked).ends(0, &[]);
    assert!(flat(&ran).contains("nothing was sent"), "{}", ran.out);
    assert_eq!((machine.runs("BMC").as_deref(), machine.uploads(), machine.flashes()), (Some("99.01"), 1, 1));
    let ends: Vec<bool> = touched(&rig).iter().map(|(_, seen)| matches!(seen, Some(EvidenceNote::Applied(_)))).collect();
    assert_eq!(ends, [false, true, true], "each is journaled, the refused one too");
}
