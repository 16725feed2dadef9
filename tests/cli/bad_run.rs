//! Runs that are interrupted, held or not listened to; and JSON from every verb.

use std::io::Read as _;
use std::process::Stdio;

use super::bad_rig::{Rig, code, signal};
use crate::support::wait_until;

#[test]
fn sigint_once_ends_the_step_and_twice_ends_now_and_both_resume() {
    for times in [1, 2] {
        let rig = Rig::at_speed(2, &[], 60);
        let run = rig.spawn("apply", &["apply", "--yes"]);
        rig.until_event("attempt-began");
        for time in 1..=times {
            signal(run.pid(), "INT");
            let word = if time == 1 { "interrupted: finishing" } else { "stopping now" };
            wait_until(word, super::bad_rig::PATIENCE, || rig.read("apply.err").contains(word));
        }
        assert_eq!(code(run), Some(130), "{}", rig.read("apply.err"));
        assert!(rig.read("apply.err").contains("go on with: bringup resume"), "{}", rig.read("apply.err"));
        rig.run(&["apply", "--yes"]).refused(6, &["has not ended", "bringup resume"]);
        rig.run(&["resume"]).ends(0, &[]);
        assert!(rig.farm().nodes().iter().all(|n| n.machine.boots() == 1), "times {times}: each machine boots once");
        rig.run(&["resume"]).refused(1, &["every run has ended"]);
    }
}

#[test]
fn a_held_run_goes_on_after_its_release() {
    let rig = Rig::up(3, &["a001-s01=boot.lost"]);
    rig.edit("playbooks/sim.yaml", "waves: [3]", "waves: [1, 2]");
    rig.edit("playbooks/sim.yaml", "attempts: 3", "attempts: 1");
    rig.run(&["apply", "--yes"]).ends(5, &["held", "bringup release"]);
    assert_eq!(rig.farm().node("a001-s02").unwrap().machine.boots(), 0, "the canary kept the others safe");
    rig.run(&["resume"]).refused(5, &["is held", "bringup release"]);
    rig.run(&["apply", "--yes"]).refused(6, &["has not ended"]);
    assert!(rig.run(&["release"]).ends(0, &[]).out.contains("bringup resume"));
    let ran = rig.run(&["resume"]);
    assert!(matches!(ran.code, Some(4 | 5)), "{ran:#?}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let rig = Rig::up(2, &[]);
    for verb in [&["show"][..], &["plan"], &["completions", "bash"], &["schema", "inventory"], &["man"], &["--help"]] {
        let mut child = rig.command(verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = child.wait().unwrap();
        assert!(status.code().is_some() && !err.contains("panicked"), "{verb:?}: {status} {err}");
    }
    // The reader of the events goes away: the run goes on.
    let mut child =
        rig.command(&["apply", "--yes", "--events", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let ended = child.wait().unwrap().code();
    assert!(ended.is_some() && !err.contains("panicked"), "{ended:?} {err}");
    let left = rig.run(&["resume"]);
    assert!(left.code == Some(0) || left.err.contains("every run has ended"), "{left:#?}");
    assert!(rig.farm().nodes().iter().all(|n| n.machine.boots() == 1));
}

#[test]
fn events_on_standard_output_are_a_document_a_line() {
    let rig = Rig::up(1, &[]);
    let ran = rig.run(&["apply", "--yes", "--events", "-", "-o", "ndjson"]).ends(0, &[]);
    let events: Vec<serde_json::Value> =
        ran.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    assert!(events.iter().any(|e| e.to_string().contains("node-admitted")), "{}", ran.out);
    let bad = rig.run(&["apply", "--yes", "--events", "/nowhere/at/all"]);
    assert!(matches!(bad.code, Some(0 | 1)), "{bad:#?}");
}

#[test]
fn every_verb_speaks_json() {
    let rig = Rig::up(2, &[]);
    let json = |args: &[&str]| rig.run(&[&["-o", "json"], args].concat()).ends(0, &[]).json();
    json(&["plan", "--out", "p.json"]);
    json(&["apply", "p.json"]);
    for verb in [
        &["init", "fresh"][..],
        &["validate"],
        &["show"],
        &["diff", "inventory", "inventory"],
        &["status"],
        &["history"],
        &["power", "status"],
        &["bmc", "info"],
        &["exec", "*", "--", "cat", "/proc/sys/kernel/random/boot_id"],
        &["push", "p.json", "*", "--to", "/run/bringup/p.json"],
        &["verify"],
        &["pool", "list"],
        &["pool", "capacity"],
        &["pool", "drain", "a001-s01", "--why", "test"],
        &["pool", "admit", "a001-s01"],
        &["report"],
        &["doctor", "--loaders", "loaders"],
        &["completions", "bash"],
        &["man", "apply"],
    ] {
        json(verb);
    }
}
