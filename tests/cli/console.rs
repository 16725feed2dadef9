//! `console`, `bmc raw` and `bmc chassis` as a person uses them: on a terminal, without one, held by another client, and in the journal.

use std::time::Duration;

use bringup::journal::Journal;

use super::bad_rig::Rig;
use crate::support::need_program;
use crate::support::terminal::Terminal;

/// The node whose BMC speaks IPMI: the last of the rack.
const NODE: &str = "a001-s02";

fn console(rig: &Rig, more: &str) -> Terminal {
    let line = format!("{} -i inventory console {NODE} {more}; echo ended=$?; stty -a", env!("CARGO_BIN_EXE_bringup"));
    Terminal::start(&line, |command| {
        command.current_dir(rig.dir.path()).env("NO_COLOR", "1").env_remove("CI").env_remove("BRINGUP_STATE");
    })
}

#[test]
fn a_person_sees_a_boot_logs_in_and_leaves() {
    if need_program("a_person_sees_a_boot_logs_in_and_leaves", "script").is_none() {
        return;
    }
    let rig = Rig::at_speed(2, &[], 600);
    let mut screen = console(&rig, "--record boot.log");
    screen.until("recorded in boot.log; keys go to the node; ~. leave");
    rig.run(&["power", "on", NODE]).ends(0, &[]);
    screen.until("System ROM").until("Linux version").until(&format!("{NODE} login: "));
    screen.type_in("root\r").until("Password: ").type_in("sim\r").until("# ");
    screen.type_in("hostname\r").until(&format!("\r\n{NODE}\r\n")).until("# ");
    // The escape counts at the beginning of a line only.
    screen.type_in("echo ~.\r").until("\r\n~.\r\n").until("# ");
    screen.type_in("\r~?").until("each at the beginning of a line").type_in("\r").until("# ");
    screen.type_in("~.").until("closed").until("ended=0");
    let (_, text) = screen.end();
    // The terminal is as it was.
    let settings: Vec<&str> = text.rsplit("ended=0").next().unwrap().split_whitespace().collect();
    assert!(["icanon", "echo", "isig", "icrnl", "opost"].iter().all(|name| settings.contains(name)), "{text}");
    let record = rig.read("boot.log");
    assert!(record.lines().all(|line| line.as_bytes()[24..27] == *b" < " || line.as_bytes()[24..27] == *b" ! "), "{record}");
    assert!(record.lines().all(|line| line[..24].parse::<jiff::Timestamp>().is_ok()), "{record}");
    assert!(record.contains("Linux version 6.8.0-sim\\r\\n") && record.contains("login: root"), "{record}");
    assert!(
        !record.contains("sim\\r\\n\n") || !record.contains("Password: sim"),
        "a password that is typed is not recorded: {record}"
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(rig.path("boot.log")).unwrap().permissions().mode() & 0o777, 0o600);
    let hands = Journal::hands(&rig.path(".bringup/journal.db")).unwrap();
    assert_eq!(hands.len(), 2, "the console and the power: {hands:?}");
    let told = rig.run(&["history"]).ends(0, &[]).out;
    assert!(told.contains("console") && !told.contains("sim"), "{told}");
    assert_eq!(rig.farm().node(NODE).unwrap().machine.sessions(), 0, "no session is left");
}

#[test]
fn without_a_terminal_it_only_looks_and_the_record_is_told() {
    let rig = Rig::at_speed(2, &[], 600);
    rig.run(&["power", "on", NODE]).ends(0, &[]);
    rig.run(&["power", "off", NODE, "--yes"]).ends(0, &[]);
    let looking = rig.spawn("look", &["console", NODE, "--for", "6s"]);
    crate::support::wait_until("it listens", Duration::from_secs(30), || rig.read("look.err").contains("recorded in"));
    rig.run(&["power", "on", NODE]).ends(0, &[]);
    assert!(looking.wait(Duration::from_secs(60)).success());
    let (out, err) = (rig.read("look.out"), rig.read("look.err"));
    assert!(out.contains("System ROM") && out.contains("Linux version"), "{out}");
    assert!(err.contains("standard input is no terminal") && err.contains(".bringup/console/a001-s02-"), "{err}");
    let folder = std::fs::read_dir(rig.path(".bringup/console")).unwrap();
    assert_eq!(folder.count(), 1, "one record");
    // The same as data.
    let json = rig.run(&["console", NODE, "--for", "1s", "-o", "ndjson"]).ends(0, &[]);
    assert!(
        json.out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["format_version"] == 1),
        "{json:?}"
    );
    rig.run(&["console", "*"]).refused(64, &["is 2 nodes; a console is one"]);
}

#[test]
fn a_console_that_is_held_is_refused_with_its_holders_name() {
    let rig = Rig::at_speed(2, &["a001-s02=sol.busy"], 600);
    let refused = rig.run(&["console", NODE, "--for", "1s"]);
    refused.ends(1, &["another client has it: `admin` from 192.0.2.77:40077", "--take-over"]);
    rig.run(&["console", NODE, "--for", "1s", "--take-over"]).ends(0, &["closed"]);
    let hands = Journal::hands(&rig.path(".bringup/journal.db")).unwrap();
    assert_eq!((hands.len(), hands[0].applied.len(), hands[1].applied.len()), (2, 0, 1), "{hands:?}");
}

#[test]
fn a_dead_bmc_is_unreachable() {
    let rig = Rig::up(2, &["a001-s02=dead-bmc"]);
    rig.run(&["console", NODE, "--for", "1s"]).refused(10, &["activate the console"]);
}

#[test]
fn raw_commands_are_agreed_to_journaled_and_carry_no_secret() {
    let rig = Rig::up(2, &[]);
    rig.run(&["bmc", "raw", NODE, "0x06", "0x01"]).refused(64, &["was not agreed to", "--yes"]);
    rig.run(&["bmc", "raw", NODE, "0x06", "0x47", "2", "2", "65", "--yes"]).refused(64, &["carries a password or key"]);
    rig.run(&["bmc", "raw", NODE, "0x07", "0x01", "--yes"]).refused(64, &["0x07 is no network function"]);
    assert!(!rig.path(".bringup/journal.db").exists(), "nothing was touched");
    let ran = rig.run(&["bmc", "raw", NODE, "0x06", "0x01", "--yes"]).ends(0, &[]);
    assert!(ran.out.contains("success") && ran.out.contains("20 01"), "{ran:?}");
    let ran = rig.run(&["bmc", "raw", NODE, "6", "238", "--yes"]).ends(4, &[]);
    assert!(ran.out.contains("0xc1: it does not know this command"), "{ran:?}");
    let hands = Journal::hands(&rig.path(".bringup/journal.db")).unwrap();
    // What a command did was not looked at: nothing is told as applied, whatever was answered.
    assert_eq!((hands.len(), hands[0].applied.len(), hands[1].applied.len()), (2, 0, 0), "{hands:?}");
}

#[test]
fn the_chassis_is_shown_and_set() {
    let rig = Rig::up(2, &[]);
    let shown = rig.run(&["bmc", "chassis", NODE, "-o", "json"]).ends(0, &[]).json();
    assert_eq!(shown["nodes"][0]["chassis"]["policy"]["known"], "off", "{shown:#}");
    rig.run(&["bmc", "chassis", "--lamp", "on"]).refused(64, &["needs to be told which nodes"]);
    rig.run(&["bmc", "chassis", NODE, "--restore", "on"]).refused(64, &["--yes"]);
    let lit = rig.run(&["bmc", "chassis", NODE, "--lamp", "20s"]).ends(0, &[]);
    assert!(lit.out.contains("the lamp is for a time"), "{lit:?}");
    rig.run(&["bmc", "chassis", NODE, "--restore", "previous", "--yes"]).ends(0, &[]);
    let shown = rig.run(&["bmc", "chassis", NODE]).ends(0, &[]).out;
    assert!(shown.contains("previous") && shown.contains("for a time"), "{shown}");
    // A BMC that the inventory reaches by Redfish, and that has no IPMI.
    rig.run(&["bmc", "chassis", "a001-s01"]).ends(10, &[]);
}
