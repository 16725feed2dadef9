//! `ipmitool` and FreeIPMI as clients of a simulated BMC that misbehaves: over a lossy, doubling and reordering network with suite 17, and with faults that
//! are known to trouble them. That they fail where the field's reports say so shows that the faults are those of the reports.

use std::time::{Duration, Instant};

use bringup::sim::Fault;
use bringup::sim::rmcp::BMC_KEY;

use super::rmcp_rig::{PASSWORD, Rig, USER, bad, good};
use crate::support::{need_program, wait_until};

fn faults(texts: &[&str]) -> Vec<Fault> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn rig(texts: &[&str]) -> Rig {
    Rig::new(&faults(texts))
}

fn key() -> String {
    BMC_KEY.iter().map(|b| format!("{b:02x}")).collect()
}

/// `ipmitool` chooses the suite by itself.
fn choosing(rig: &Rig, args: &[&str]) -> std::process::Output {
    let port = rig.address.port().to_string();
    std::process::Command::new("ipmitool")
        .args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", USER, "-E", "-N", "1", "-R", "2"])
        .args(args)
        .env("IPMITOOL_PASSWORD", PASSWORD)
        .output()
        .unwrap()
}

#[test]
fn ipmitool_over_a_bad_network() {
    if need_program("rmcp_bad::ipmitool_over_a_bad_network", "ipmitool").is_none() {
        return;
    }
    for texts in [&["udp.loss(5)"][..], &["udp.dup", "udp.reorder"], &["ipmi.seq", "udp.dup"]] {
        let rig = rig(texts);
        // ipmitool gives a login up that lost too much; a person asks again, and so does this.
        wait_until(&format!("ipmitool with {texts:?}"), Duration::from_secs(60), || {
            let output = rig.ipmitool("17", &["chassis", "status"]);
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("System Power         : off")
        });
        wait_until("power on", Duration::from_secs(60), || {
            drop(rig.ipmitool("17", &["chassis", "power", "on"]));
            rig.machine.is_powered()
        });
        assert_eq!(rig.machine.deeds().powered_on, 1);
    }
}

#[test]
fn freeipmi_over_a_bad_network() {
    let name = "rmcp_bad::freeipmi_over_a_bad_network";
    let (Some(power), Some(info)) = (need_program(name, "ipmipower"), need_program(name, "bmc-info")) else { return };
    // Not `udp.dup`: FreeIPMI 1.6.10 ends at the first answer that comes twice ("unassemble_ipmi_rmcpplus_pkt: Success").
    for texts in [&["udp.loss(5)"][..], &["udp.loss(5)", "ipmi.seq"]] {
        let rig = rig(texts);
        for suite in ["17", "3"] {
            wait_until(&format!("ipmipower with {texts:?}"), Duration::from_secs(60), || {
                String::from_utf8_lossy(&rig.freeipmi(&power, suite, &["--stat"]).stdout).trim_end().ends_with(": off")
            });
            wait_until(&format!("bmc-info with {texts:?}"), Duration::from_secs(60), || {
                String::from_utf8_lossy(&rig.freeipmi(&info, suite, &[]).stdout).contains("(10876)")
            });
        }
    }
}

#[test]
fn a_key_of_the_bmc_itself() {
    let name = "rmcp_bad::a_key_of_the_bmc_itself";
    let (Some(_), Some(info)) = (need_program(name, "ipmitool"), need_program(name, "bmc-info")) else { return };
    let rig = rig(&["ipmi.kg"]);
    for suite in ["3", "17"] {
        bad(&rig.ipmitool(suite, &["mc", "info"]));
        good(&rig.ipmitool(suite, &["-y", &key(), "mc", "info"]));
        let said = good(&rig.freeipmi(&info, suite, &[&format!("--k-g=0x{}", key())]));
        assert!(said.contains("(10876)"), "{said}");
        assert!(!rig.freeipmi(&info, suite, &[]).status.success());
    }
}

/// ipmitool issues 199 (it hangs), 363 (it takes the suite that the BMC names and is refused) and 376 (it gives up when Set Session Privilege Level is
/// refused): each of these faults does that to it.
#[test]
fn faults_that_trouble_ipmitool() {
    if need_program("rmcp_bad::faults_that_trouble_ipmitool", "ipmitool").is_none() {
        return;
    }
    good(&choosing(&rig(&[]), &["mc", "info"]));
    let hangs = rig(&["ipmi.cipher_hang"]);
    let began = Instant::now();
    drop(choosing(&hangs, &["mc", "info"]));
    assert!(began.elapsed() >= Duration::from_secs(2), "the question that is never answered costs it {:?}", began.elapsed());
    let lies = bad(&choosing(&rig(&["ipmi.cipher_lie"]), &["mc", "info"]));
    assert!(lies.contains("no matching cipher suite"), "{lies}");
    let refused = bad(&rig(&["ipmi.setpriv"]).ipmitool("17", &["mc", "info"]));
    assert!(refused.contains("Set Session Privilege Level to ADMINISTRATOR failed"), "{refused}");
    let silent = bad(&rig(&["ipmi.setpriv_silent"]).ipmitool("17", &["mc", "info"]));
    assert!(silent.contains("Set Session Privilege Level to ADMINISTRATOR failed"), "{silent}");
    let inactive = bad(&rig(&["rakp.inactive"]).ipmitool("3", &["-vv", "mc", "info"]));
    assert!(inactive.contains("inactive session ID"), "{inactive}");
    let hmac = bad(&rig(&["rakp.bad_hmac"]).ipmitool("3", &["-vv", "mc", "info"]));
    assert!(hmac.contains("HMAC is invalid"), "{hmac}");
    // Privilege 0 is what it asks for by itself.
    good(&rig(&["ipmi.priv0"]).ipmitool("17", &["mc", "info"]));
    good(&rig(&["ipmi.seq"]).ipmitool("17", &["fru", "print"]));
    good(&rig(&["ipmi.slots(1)"]).ipmitool("17", &["mc", "info"]));
    bad(&rig(&["ipmi.disabled"]).ipmitool("3", &["mc", "info"]));
}
