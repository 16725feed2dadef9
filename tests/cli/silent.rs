//! Nodes that fall silent on their way up, each at another stage: what `apply` says of each, in the journal, in `status` and in the report.

use serde_json::Value;

use super::bad_rig::Rig;

fn entry(status: &Value, node: &str) -> Value {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().find(|n| n["node"] == node).unwrap_or_else(|| panic!("{node} is not in {status:#}")).clone()
}

/// Words for a snapshot: addresses, times and counts are another at each run.
fn still(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match (c.is_ascii_digit(), out.ends_with('N')) {
            (true, true) => {}
            (true, false) => out.push('N'),
            (false, _) => out.push(c),
        }
    }
    out
}

#[test]
fn a_silent_node_is_told_with_its_stage_its_console_and_what_the_boot_server_saw() {
    let faults = [
        "a001-s01=rom.silent(0)",
        "a001-s02=rom.silent(1)",
        "a001-s03=rom.silent(2)",
        "a001-s04=rom.silent(3)",
        "a001-s05=kernel.panic",
    ];
    let rig = Rig::up(5, &faults);
    rig.edit("playbooks/sim.yaml", "total_failures: 60%", "total_failures: 100%");
    rig.edit("playbooks/sim.yaml", "attempts: 3", "attempts: 1");
    let ran = rig.run(&["apply", "--yes", "-v"]);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    let status = rig.run(&["status", "-o", "json"]).json();
    println!("{}\n{}\n{status:#}", ran.out, ran.err);

    let stages = [
        (
            "a001-s01",
            "the boot server never heard of it: its firmware did not ask for the address in HttpBootUri, or could not reach it",
            "bringup bmc info a001-s01, its cable and VLAN",
        ),
        (
            "a001-s02",
            "the boot server saw it reach: loader; iPXE started and never asked for its script",
            "that DHCP chains iPXE to",
        ),
        ("a001-s03", "the boot server saw it reach: script; it never asked for the kernel", "bringup console a001-s03"),
        ("a001-s04", "the boot server saw it reach: kernel; it never asked for the initrd", "bringup console a001-s04"),
        (
            "a001-s05",
            "the boot server saw it reach: initrd, the last part of its image; whether its kernel came up only its console tells",
            "the lines of its console, or bringup console a001-s05",
        ),
    ];
    for (node, came, next) in stages {
        let at = entry(&status, node);
        let why = at["why"].as_str().unwrap();
        assert!(why.contains("the end was not reached in 1 attempt: no system answers"), "{why}");
        assert!(why.contains(came), "{node}: {why}");
        assert!(why.contains(&format!("; look next at: {next}")), "{node}: {why}");
    }
    let seen = |node: &str| -> Vec<String> {
        let at = entry(&status, node);
        at["seen"].as_array().unwrap_or_else(|| panic!("{at:#}")).iter().map(|l| l.as_str().unwrap().to_owned()).collect()
    };
    // In full, for one that was never heard of and one that panicked.
    let lines: Vec<String> = seen("a001-s01").iter().map(|line| still(line)).collect();
    assert!(lines[0].starts_with("boot server: nothing was seen of ") && lines[0].ends_with(" or N.N.N.N"), "{lines:#?}");
    let deaf =
        "console: not captured: its BMC is driven by Redfish, and the inventory names no `bmc.sol_port` for its IPMI service";
    assert_eq!(lines[1..], [deaf], "{lines:#?}");
    let lines: Vec<String> = seen("a001-s05").iter().map(|line| still(line)).collect();
    let served =
        ["boot server, seconds after the grant:", "     N s  http script", "     N s  http kernel", "     N s  http initrd"];
    let grant: Vec<&String> = lines.iter().filter(|line| line.contains("s  grant ")).collect();
    assert!(lines[..4].iter().zip(served).all(|(a, b)| a.split_whitespace().eq(b.split_whitespace())), "{lines:#?}");
    assert!(grant.iter().all(|line| line.ends_with("grant expired")), "{lines:#?}");
    let console: Vec<&String> =
        lines.iter().skip_while(|line| !line.starts_with("console, the last N lines of N bytes")).collect();
    let panic = "  | [    N.N] ---[ end Kernel panic - not syncing: simulated ]---";
    assert!(console.len() == 11 && console.last().is_some_and(|last| *last == panic), "{lines:#?}");
    assert!(ran.err.contains("Kernel panic - not syncing: simulated"), "told while it runs (-v): {}", ran.err);
    // How far it came is in the account, too.
    assert_eq!(entry(&status, "a001-s05")["reached"], "initrd");
    assert_eq!(entry(&status, "a001-s01")["reached"], Value::Null);

    // In the journal, in the report, and nowhere a grant's secret: the kernel printed its command line, which holds one.
    let events = rig.events(".bringup/journal.db");
    let failed =
        events.iter().find(|e| e["event"] == "step-failed" && e["node"] == "a001-s05").unwrap_or_else(|| panic!("{events:#?}"));
    assert!(failed["seen"].as_array().unwrap().iter().any(|l| l.as_str().unwrap().contains("Kernel panic")), "{failed:#}");
    let report = rig.run(&["report", "-o", "md"]).out;
    assert!(report.contains("## What was seen of a001-s05\n\n    boot server, seconds after the grant:\n"), "{report}");
    assert!(report.contains("Kernel panic - not syncing: simulated ]---\n"), "{report}");
    for text in [&report, &ran.err, &ran.out, &serde_json::to_string(&events).unwrap()] {
        let leak =
            text.match_indices("/g/").find(|(at, _)| text[at + 3..].bytes().take(32).filter(u8::is_ascii_hexdigit).count() == 32);
        assert!(leak.is_none(), "a grant's secret: {}", &text[leak.unwrap().0..][..60]);
    }
}
