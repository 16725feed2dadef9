//! Mistakes in files: exit code 3, standard output empty, one clear error with file, line and column, and no machine asked anything.

use super::bad_rig::Rig;

/// Makes a mistake, runs every verb that reads the words, and sees it refused at its place.
#[track_caller]
fn refused(file: &str, part: &str, by: &str, words: &[&str]) {
    let rig = Rig::up(2, &[]);
    rig.edit(file, part, by);
    for verb in [&["plan"][..], &["apply", "--yes"], &["power", "off", "*", "--yes"], &["verify"], &["show"]] {
        if file.starts_with("playbooks") && matches!(verb[0], "power" | "show") {
            continue;
        }
        let ran = rig.run(verb).refused(3, words);
        let place = format!("{}:", file.rsplit('/').next().unwrap());
        let told = ran.err.lines().find(|l| l.contains(&place)).unwrap_or_else(|| panic!("{place} is not named: {}", ran.err));
        let mut numbers = told.split(&place).nth(1).unwrap().split(':').map(|n| n.trim().parse::<u32>());
        assert!(matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..)))), "no line and column: {told}");
    }
    rig.untouched();
    assert_eq!(rig.logins(), [0, 0]);
    assert!(!rig.path(".bringup/journal.db").exists(), "nothing was begun");
}

#[test]
fn malformed_yaml() {
    refused("inventory/site.yaml", "site: sim", "site: [sim", &[]);
}

#[test]
fn an_unknown_key_with_a_suggestion() {
    refused("inventory/site.yaml", "    stack: cuda-sim", "    stak: cuda-sim", &["stak", "stack"]);
}

#[test]
fn a_duplicate_serial_mac_or_address() {
    let rig = Rig::up(2, &[]);
    let facts = rig.read("inventory/facts/nodes.csv");
    drop(rig);
    let rows: Vec<Vec<&str>> = facts.lines().skip(1).map(|l| l.split(',').collect()).collect();
    // serial, boot_mac and bmc_address of the second node become those of the first.
    for (column, word) in [(1, "serial"), (4, "MAC address"), (8, "address")] {
        // Each farm has a port of its own; the addresses are the same in all.
        let cell = |row: usize| if column == 8 { rows[row][column].split(':').next().unwrap() } else { rows[row][column] };
        refused("inventory/facts/nodes.csv", cell(1), cell(0), &[word]);
    }
}

#[test]
fn overlapping_ranges() {
    let rack = "racks:\n  - {range: a001, profile: h100-node, slots: 2, feed: f1}";
    refused("inventory/site.yaml", "racks:", rack, &["a001"]);
}

#[test]
fn a_plaintext_secret_is_refused_and_not_repeated() {
    let rig = Rig::up(1, &[]);
    let text = rig.read("inventory/site.yaml");
    let reference = text.split("password: ").nth(1).unwrap().split(',').next().unwrap();
    rig.edit("inventory/site.yaml", reference, "\"hunter2-plain\"");
    let ran = rig.run(&["plan"]).refused(3, &["site.yaml:"]);
    assert!(!ran.err.contains("hunter2-plain"), "{}", ran.err);
    rig.untouched();
}

#[test]
fn an_empty_selector_and_one_that_cannot_be_read() {
    let rig = Rig::up(1, &[]);
    for expr in ["rack=a009", "a001-s[", "rack=a001 &", ""] {
        for verb in [&["plan"][..], &["apply", "--yes"], &["power", "off", "--yes"], &["verify"]] {
            rig.run(&[verb, &["-s", expr]].concat()).refused(64, &[]);
        }
    }
    rig.untouched();
    refused(
        "inventory/site.yaml",
        "\nfacts: facts",
        "\noverrides:\n  a009-s*: {pool: infer, why: \"x\"}\nfacts: facts",
        &["a009"],
    );
}

#[test]
fn an_expired_override() {
    let expired = "\noverrides:\n  a001-s01: {pool: infer, why: \"work order 4471\", until: 2020-01-31}\nfacts: facts";
    let rig = Rig::up(1, &[]);
    rig.edit("inventory/site.yaml", "\nfacts: facts", expired);
    rig.run(&["plan"]).refused(3, &["site.yaml:", "2020-01-31"]);
    rig.untouched();
}

#[test]
fn a_playbook_that_does_not_fit_the_nodes_or_the_gate() {
    refused("playbooks/sim.yaml", "policies: [h100-sim]", "policies: []", &["a playbook without a policy admits nothing"]);
    let rig = Rig::up(1, &[]);
    rig.edit("inventory/site.yaml", "verify: h100-sim", "verify: h200-sim");
    rig.run(&["plan"]).refused(3, &["h200-sim"]);
    rig.untouched();
    refused("playbooks/policies/h100-sim.yaml", "  aer: {max: 0}", "  no_such_counter: {max: 0}", &["no_such_counter"]);
}

#[test]
fn an_artifact_that_differs_or_is_missing_stops_plan_and_apply() {
    let rig = Rig::up(1, &[]);
    std::fs::write(rig.path("images/sim-live/vmlinuz"), "another kernel").unwrap();
    rig.run(&["plan"]).refused(3, &["vmlinuz", "sim-live.yaml:"]);
    std::fs::remove_file(rig.path("images/sim-live/vmlinuz")).unwrap();
    rig.run(&["apply", "--yes"]).refused(3, &["vmlinuz", "sim-live.yaml:"]);
    rig.untouched();
    assert_eq!(rig.logins(), [0]);
}

#[test]
fn mistakes_are_json_when_json_is_asked_for() {
    let rig = Rig::up(1, &[]);
    rig.edit("inventory/site.yaml", "site: sim", "site: sim\ncolour: red");
    for verb in [&["plan"][..], &["show"], &["validate"], &["power", "status"]] {
        let ran = rig.run(&[verb, &["-o", "json"]].concat()).ends(3, &[]);
        ran.json();
        assert!(ran.out.contains("colour") && ran.out.contains("\"line\""), "{}", ran.out);
    }
}
