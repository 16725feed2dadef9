//! Does each cable end where it is written, and is this the machine whose boot interface the facts name? The node's own report (`bringup-report`:
//! interfaces and their LLDP neighbours) against the inventory. It asks no other node: that two cables or trays stand in each other's place is what
//! `verify --cabling` finds.

use super::Answers;
use super::check::{finding, unheard};
use super::read::{self, shown};
use crate::model::{Cables, CablingRule, Finding, MachineReport, Nic, Plug, Probe, Suite, Verdict, find_nic};

const REPORT: &str = "bringup-report";
const CABLING: &str = "cabling";
const BOOT_MAC: &str = "boot-mac";
/// A switch speaks LLDP every 30 s (802.1AB, msgTxInterval): so long the report waits for each interface that has a link, once after a boot.
const WAIT_S: &str = "35";

pub(super) fn probes(suite: &Suite) -> Option<Probe> {
    suite.policy.cabling.map(|_| Probe::new(REPORT, [REPORT, "--wait", WAIT_S]).within(60))
}

/// A finding for the boot interface and one for each cable that is written. Where the policy only reports, none of them keeps the node out.
pub(super) fn judge(suite: &Suite, answers: &Answers) -> Vec<Finding> {
    let Some(rule) = suite.policy.cabling else { return Vec::new() };
    let written = suite.cables.clone().unwrap_or_default();
    let report = read::output("bringup-report", answers.get(REPORT)).and_then(|text| MachineReport::read(text.as_bytes()));
    let mut findings = match &report {
        Ok(report) => heard(&written, &report.nics),
        Err(why) => vec![unheard(CABLING, &shown(why))],
    };
    if written.plugs.is_empty() {
        findings.push(unheard(CABLING, "no cable of this node is written in cabling/*.csv"));
    }
    if rule == CablingRule::Reported {
        for found in findings.iter_mut().filter(|found| found.verdict > Verdict::Note) {
            found.verdict = Verdict::Note;
            found.detail.push_str(" (the policy only reports it)");
        }
    }
    findings
}

fn heard(written: &Cables, nics: &[Nic]) -> Vec<Finding> {
    let mut findings = vec![match written.boot_mac {
        None => unheard(BOOT_MAC, "the facts hold no boot MAC for this node"),
        Some(mac) if nics.iter().any(|nic| nic.has(mac)) => finding(BOOT_MAC, Verdict::Pass, mac.to_string()),
        // An interface that does not say its address may be the one.
        Some(mac) => match nics.iter().find(|nic| nic.mac.known().is_none()) {
            Some(nic) => unheard(BOOT_MAC, &format!("wanted {mac}, and {} does not say its address", shown(&nic.name))),
            None => finding(BOOT_MAC, Verdict::Quarantine, format!("wanted {mac}, and no interface of this machine has it")),
        },
    }];
    findings.extend(written.plugs.iter().map(|(interface, plug)| cable(interface, plug, written, nics)));
    findings
}

fn cable(interface: &str, plug: &Plug, written: &Cables, nics: &[Nic]) -> Finding {
    match find_nic(nics, interface, written.boot_mac).and_then(Nic::neighbour) {
        Err(why) => unheard(CABLING, &format!("{interface}: {}", shown(&why))),
        Ok(heard) if plug.fits(heard) => finding(CABLING, Verdict::Pass, format!("{interface}: {plug}")),
        Ok(heard) => {
            let heard = shown(&heard.to_string());
            finding(CABLING, Verdict::Quarantine, format!("{interface}: wanted {plug}, its cable ends at {heard}"))
        }
    }
}
