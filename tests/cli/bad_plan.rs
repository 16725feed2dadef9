//! Plans that no longer hold, locks, limits and verbs at the wrong moment: the contract's exit code, nothing touched.

use std::fs::File;

use super::bad_rig::{Rig, code, signal};

fn planned(nodes: u32) -> Rig {
    let rig = Rig::up(nodes, &[]);
    rig.run(&["plan", "--out", "p.json"]).ends(0, &[]);
    rig
}

#[test]
fn a_plan_that_was_changed_cut_or_written_by_another_version() {
    let rig = planned(2);
    let text = rig.read("p.json");
    let apply = |text: &str| {
        std::fs::write(rig.path("p.json"), text).unwrap();
        rig.run(&["apply", "p.json"])
    };
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["nodes"][0]["pool"] = "elsewhere".into();
    apply(&value.to_string()).refused(7, &["p.json", "changed after it was made", "hint: make the plan again"]);
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["format_version"] = 999.into();
    apply(&value.to_string()).refused(3, &["p.json", "format 999"]);
    value["format_version"] = 1.into();
    value["colour"] = "red".into();
    let ran = apply(&value.to_string());
    assert!(matches!(ran.code, Some(3 | 7)), "a word that is not read is not passed over: {ran:#?}");
    for cut in [0, 1, text.len() / 2, text.len() - 3] {
        apply(&text[..cut]).refused(3, &["p.json:", "not a plan"]);
    }
    apply("[1, 2]").refused(3, &["p.json"]);
    apply("{}").refused(3, &["p.json"]);
    apply(&"[".repeat(100_000)).refused(3, &["p.json"]);
    std::fs::remove_file(rig.path("p.json")).unwrap();
    rig.run(&["apply", "p.json"]).refused(3, &["p.json"]);
    rig.untouched();
    assert!(!rig.path(".bringup/journal.db").exists());
}

#[test]
fn an_inventory_or_a_node_that_changed_after_the_plan() {
    let rig = planned(2);
    let before = rig.read("inventory/site.yaml");
    rig.edit("inventory/site.yaml", "pool: train", "pool: other");
    rig.run(&["apply", "p.json"]).refused(7, &["inventory has changed", "nothing was touched"]);
    std::fs::write(rig.path("inventory/site.yaml"), before).unwrap();
    rig.edit("playbooks/sim.yaml", "attempts: 3", "attempts: 4");
    rig.run(&["apply", "p.json"]).refused(7, &["sim.yaml has changed"]);
    rig.edit("playbooks/sim.yaml", "attempts: 4", "attempts: 3");
    rig.untouched();
    rig.run(&["power", "on", "a001-s01"]).ends(0, &[]);
    rig.run(&["apply", "p.json"]).refused(7, &["a001-s01 power was off and is on", "hint: "]);
    assert_eq!(rig.farm().node("a001-s02").unwrap().machine.boots(), 0);
}

#[test]
fn more_nodes_than_are_allowed() {
    let rig = planned(3);
    rig.run(&["apply", "p.json", "--max-nodes", "2"]).refused(9, &["3 nodes", "allows 2"]);
    rig.run(&["apply", "--yes", "--max-nodes", "2"]).ends(9, &["3 nodes"]);
    rig.untouched();
    assert!(!rig.path(".bringup/journal.db").exists());
}

#[test]
fn nobody_to_ask_is_usage() {
    let rig = planned(1);
    rig.run(&["apply"]).refused(64, &["nothing was touched", "--yes"]);
    rig.run(&["power", "off", "*"]).refused(64, &["--yes"]);
    rig.untouched();
}

#[test]
fn a_lock_that_another_process_holds() {
    let rig = planned(1);
    std::fs::create_dir_all(rig.path(".bringup")).unwrap();
    let file = File::create(rig.path(".bringup/lock")).unwrap();
    std::fs::write(rig.path(".bringup/lock"), "kim@desk (process 4711)\n").unwrap();
    file.lock().unwrap();
    for verb in [
        &["apply", "p.json"][..],
        &["resume"],
        &["abort"],
        &["release"],
        &["pool", "admit", "a001-s01"],
        &["power", "on", "*"],
        &["exec", "*", "--", "true"],
        &["push", "p.json", "*", "--to", "/tmp/p.json"],
        &["apply", "p.json", "--lock-timeout", "300ms"],
        &["power", "on", "*", "--lock-timeout", "300ms"],
    ] {
        rig.run(verb).refused(6, &["locked by kim@desk (process 4711)", "--lock-timeout"]);
    }
    rig.untouched();
    // It waits as long as it was told to, and goes on when the lock is free.
    let waits = rig.spawn("waits", &["power", "on", "*", "--lock-timeout", "10m"]);
    drop(file);
    assert_eq!(code(waits), Some(0), "{}", rig.read("waits.err"));
}

#[test]
fn nothing_to_resume_abort_or_release() {
    let rig = Rig::up(1, &[]);
    for verb in ["resume", "abort", "release"] {
        rig.run(&[verb]).refused(1, &["there is no journal", "hint: begin a run"]);
    }
    rig.run(&["power", "status"]).ends(0, &[]);
    assert!(!rig.path(".bringup/journal.db").exists(), "a question leaves no journal");
    rig.run(&["apply", "--yes"]).ends(0, &[]);
    for verb in ["resume", "abort", "release"] {
        rig.run(&[verb]).refused(1, &["every run has ended"]);
        rig.run(&[verb, "run-nobody"]).refused(1, &["no run run-nobody"]);
        rig.run(&[verb, "../../etc"]).refused(64, &[]);
    }
}

#[test]
fn an_unfinished_run_keeps_others_out_until_it_is_resumed_or_given_up() {
    // Slow machines: the run is under way when it is killed.
    let rig = Rig::at_speed(2, &[], 60);
    let mut run = rig.spawn("apply", &["apply", "--yes"]);
    rig.until_event("attempt-ended");
    let held = rig.run(&["apply", "--yes"]).refused(6, &["locked by"]);
    assert!(held.err.contains(&format!("process {}", run.pid())), "{}", held.err);
    rig.run(&["power", "off", "*", "--yes"]).refused(6, &["locked by"]);
    assert!(run.alive());
    signal(run.pid(), "KILL");
    drop(run);
    rig.run(&["apply", "--yes"]).refused(6, &["has not ended", "bringup resume", "bringup abort"]);
    rig.run(&["release"]).refused(1, &["is not held"]);
    let before = rig.read("inventory/site.yaml");
    rig.edit("inventory/site.yaml", "pool: train", "pool: other");
    rig.run(&["resume"]).refused(7, &["inventory has changed", "bringup abort"]);
    std::fs::write(rig.path("inventory/site.yaml"), before).unwrap();
    let ran = rig.run(&["abort"]).ends(0, &[]);
    assert!(ran.out.contains("given up"), "{ran:#?}");
    let events = rig.events(".bringup/journal.db");
    let released: Vec<_> = events.iter().filter(|e| e["event"] == "released").collect();
    assert!(!released.is_empty(), "what was borrowed is given back: {events:#?}");
    assert_eq!(events.last().unwrap()["event"], "run-aborted");
    for node in rig.farm().nodes() {
        let target = node.machine.boot_override().target;
        assert_eq!(target, bringup::model::BootTarget::None, "{}: {:?}", node.machine.identity().node, node.machine.log());
    }
    let list = rig.run(&["pool", "list", "-o", "json"]).ends(0, &[]).json();
    let members = list["members"].as_array().unwrap();
    assert!(members.iter().all(|m| m["devices"].as_array().unwrap().is_empty()), "they stay out: {list:#}");
    rig.run(&["resume"]).refused(1, &["every run has ended"]);
}
