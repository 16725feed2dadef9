//! Cables in the gate: what keeps a node out, what is only told, and that silence is neither.

use std::collections::BTreeMap;

use bringup::model::{Answer, Cables, CablingRule, Plug, Verdict};
use bringup::verify::probes;

use super::world::{World, exited, nvidia, said};

const MAC: &str = "52:54:00:aa:00:01";

/// A node with two cables, and what its report says: name, MAC, link and LLDP of each interface.
fn world(rule: Option<CablingRule>, nics: &[(&str, &str, &str, &str)]) -> World {
    let plug = |port: &str| Plug { switch: "leaf-a001".into(), port: port.into() };
    let plugs = BTreeMap::from([("boot".to_owned(), plug("swp1")), ("eth1".to_owned(), plug("swp9"))]);
    let nic = |(name, mac, link, lldp): &(&str, &str, &str, &str)| {
        let heard = match *lldp {
            "" => r#""absent""#.to_owned(),
            "?" => r#"{"unknown":{"why":"nothing was heard in 35 s"}}"#.to_owned(),
            port => {
                format!(r#"{{"known":[{{"chassis":"02:00:00:00:ab:cd","port":"{port}","system_name":"leaf-a001.dc.example"}}]}}"#)
            }
        };
        let mac = if mac.is_empty() { r#""absent""#.to_owned() } else { format!(r#"{{"known":"{mac}"}}"#) };
        format!(r#"{{"name":"{name}","mac":{mac},"pci":"absent","link":{{"known":"{link}"}},"lldp":{heard}}}"#)
    };
    let nics: Vec<String> = nics.iter().map(nic).collect();
    let report = format!(r#"{{"format_version":1,"system":{{"serial":"absent","uuid":"absent"}},"nics":[{}]}}"#, nics.join(","));
    let mut world = nvidia().with(|suite| {
        suite.policy.cabling = rule;
        suite.cables = rule.map(|_| Cables { boot_mac: MAC.parse().ok(), plugs });
    });
    world.answers.insert("bringup-report".into(), said(report));
    world
}

const RIGHT: [(&str, &str, &str, &str); 2] = [("eth0", MAC, "up", "swp1"), ("eth1", "52:54:00:aa:00:02", "up", "swp9")];

/// The worst of the cables' findings that says so, and whether the node is admitted.
fn told(world: &World, want: &str) -> (Verdict, String, bool) {
    let (judged, key) = world.judge();
    let cables = judged.findings.iter().filter(|f| f.check == "cabling" || f.check == "boot-mac");
    let found = cables.filter(|f| f.detail.contains(want)).max_by_key(|f| f.verdict);
    let found = found.unwrap_or_else(|| panic!("no finding: {judged:#?}"));
    (found.verdict, found.detail.clone(), key.is_some())
}

#[test]
fn cables_that_end_where_they_are_written_pass_and_a_policy_that_does_not_ask_hears_nothing() {
    let right = world(Some(CablingRule::Required), &RIGHT);
    assert_eq!(told(&right, "").0, Verdict::Pass);
    assert!(told(&right, "").2 && probes(&right.suite).iter().any(|p| p.id == "bringup-report" && p.deadline_s >= 60));
    let quiet = world(None, &RIGHT);
    assert!(quiet.judge().0.findings.iter().all(|f| f.check != "cabling" && f.check != "boot-mac"));
    assert!(probes(&quiet.suite).iter().all(|p| p.id != "bringup-report"));
}

#[test]
fn what_contradicts_the_inventory_keeps_the_node_out_with_both_words() {
    let [boot, other] = RIGHT;
    for (nics, want) in [
        (
            [(boot.0, boot.1, "up", "swp2"), other],
            "boot: wanted leaf-a001 port swp1, its cable ends at leaf-a001.dc.example port swp2",
        ),
        ([boot, (other.0, other.1, "up", "swp1")], "eth1: wanted leaf-a001 port swp9, its cable ends at"),
        (
            [("eth0", "52:54:00:aa:00:77", "up", "swp1"), other],
            "wanted 52:54:00:aa:00:01, and no interface of this machine has it",
        ),
    ] {
        let (verdict, detail, admitted) = told(&world(Some(CablingRule::Required), &nics), want);
        assert!(verdict == Verdict::Quarantine && detail.contains(want) && !admitted, "{verdict:?} {detail}");
        let (verdict, detail, admitted) = told(&world(Some(CablingRule::Reported), &nics), want);
        assert!(
            verdict == Verdict::Note && detail.contains(want) && detail.ends_with("only reports it)") && admitted,
            "{detail}"
        );
    }
}

#[test]
fn silence_is_no_proof() {
    let [boot, other] = RIGHT;
    let required = |nics: &[_]| world(Some(CablingRule::Required), nics);
    let mut no_report = required(&RIGHT);
    no_report.answers.insert("bringup-report".into(), exited(127, "", "not found"));
    let mut hung = required(&RIGHT);
    hung.answers.insert("bringup-report".into(), Answer::Unknown { why: "no end within 60 s".into() });
    let mut noise = required(&RIGHT);
    noise.answers.insert("bringup-report".into(), said("\u{1b}[2J{"));
    let unwritten =
        required(&RIGHT).with(|suite| suite.cables = Some(Cables { boot_mac: MAC.parse().ok(), plugs: BTreeMap::new() }));
    for (world, want) in [
        (required(&[boot, (other.0, other.1, "up", "?")]), "eth1: nothing was heard in 35 s"),
        (required(&[boot, (other.0, other.1, "down", "")]), "eth1: eth1 has no link"),
        (required(&[boot]), "eth1: the machine has no interface eth1"),
        (required(&[("eth0", "", "up", "swp1"), other]), "does not say its address"),
        (no_report, "no such program"),
        (hung, "no end within 60 s"),
        (noise, "its report cannot be read"),
        (unwritten, "no cable of this node is written"),
    ] {
        let (judged, key) = world.judge();
        let found = judged.findings.iter().find(|f| f.verdict == Verdict::Inconclusive && f.detail.contains(want));
        assert!(found.is_some() && key.is_none(), "{want}: {judged:#?}");
        assert!(judged.findings.iter().all(|f| !f.detail.contains('\u{1b}')));
        let reported = world.with(|suite| suite.policy.cabling = Some(CablingRule::Reported));
        assert!(reported.judge().1.is_some(), "{want}: only reported");
    }
}
