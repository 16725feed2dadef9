//! What the simulated BMC measures and remembers, as `ipmitool` and FreeIPMI read it: their values are the machine's.

use std::time::Duration;

use bringup::sim::Fault;

use super::rmcp_rig::{Rig, good};
use crate::support::{need_program, wait_until};

fn on(rig: &Rig) {
    rig.machine.power(bringup::model::PowerVerb::On);
    wait_until("the system is up", Duration::from_secs(30), || rig.machine.system().is_some());
}

#[test]
fn ipmitool_reads_it() {
    if need_program("rmcp_sensing::ipmitool_reads_it", "ipmitool").is_none() {
        return;
    }
    let rig = Rig::new(&[Fault::Hot(1, 97), Fault::GpuEcc(4)]);
    on(&rig);
    let line = |text: &str, name: &str| {
        text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    for suite in ["3", "17"] {
        let sdr = good(&rig.ipmitool(suite, &["sdr", "elist", "all"]));
        assert!(line(&sdr, "H100 1 Temp").contains("ucr") && line(&sdr, "H100 1 Temp").contains("97 degrees C"), "{sdr}");
        assert!(line(&sdr, "H100 0 Temp").contains("ok"), "{sdr}");
        assert!(line(&sdr, "PSU4").contains("Logical FRU @04h"), "{sdr}");
        assert!(line(&sdr, "POST").contains("Event-Only"), "{sdr}");
        let table = good(&rig.ipmitool(suite, &["sensor", "get", "12V"]));
        assert!(table.contains("Upper Critical        : 13.230") && table.contains("Lower Critical        : 10.710"), "{table}");
        let sel = good(&rig.ipmitool(suite, &["sel", "elist"]));
        let hot = line(&sel[sel.find("H100 1 Temp").map_or(0, |at| sel[..at].rfind('\n').map_or(0, |n| n + 1))..], "");
        assert!(hot.contains("Upper Critical going high") && hot.contains("Reading 97 > Threshold 92 degrees C"), "{sel}");
        assert!(sel.contains("Uncorrectable ECC"), "{sel}");
        assert!(sel.contains("Initiated by power up"), "{sel}");
        let power = good(&rig.ipmitool(suite, &["dcmi", "power", "reading"]));
        let watts = line(&power, "Instantaneous power reading");
        let watts: u32 = watts.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
        assert!((4400..4700).contains(&watts), "{power}");
        let fru = good(&rig.ipmitool(suite, &["fru", "print", "2"]));
        assert!(line(&fru, "Product Name").ends_with("PSU 3000 W"), "{fru}");
        let users = good(&rig.ipmitool(suite, &["user", "list", "1"]));
        assert!(line(&users, "2 ").contains("admin") && line(&users, "2 ").contains("ADMINISTRATOR"), "{users}");
    }
    good(&rig.ipmitool("17", &["sel", "clear"]));
    wait_until("the log is empty", Duration::from_secs(20), || {
        good(&rig.ipmitool("17", &["sel", "info"])).contains("Entries          : 0")
    });
    // Users that really decide: a changed password is the next login's.
    good(&rig.ipmitool("17", &["user", "set", "password", "2", "other-pass-9", "20"]));
    super::rmcp_rig::bad(&rig.ipmitool("17", &["mc", "info"]));
    good(&rig.ipmitool_as("other-pass-9", "17", &["mc", "info"]));
    good(&rig.ipmitool_as("other-pass-9", "17", &["mc", "reset", "cold"]));
    assert_eq!(rig.machine.bmc_restarts(), 1);
}

#[test]
fn freeipmi_reads_it() {
    let name = "rmcp_sensing::freeipmi_reads_it";
    let tools = ["ipmi-sensors", "ipmi-sel", "ipmi-fru", "ipmi-dcmi"].map(|tool| need_program(name, tool));
    let [Some(sensors), Some(sel), Some(fru), Some(dcmi)] = tools else { return };
    let rig = Rig::new(&[Fault::Hot(1, 97)]);
    on(&rig);
    let cache = tempfile::tempdir().unwrap();
    let cache = format!("--sdr-cache-directory={}", cache.path().display());
    for suite in ["3", "17"] {
        let said = good(&rig.freeipmi(&sensors, suite, &[&cache, "--quiet-cache", "--output-sensor-state"]));
        let hot = said.lines().find(|line| line.contains("H100 1 Temp")).unwrap_or_else(|| panic!("{said}"));
        assert!(hot.contains("Critical") && hot.contains("97.00") && hot.contains("Upper Critical Threshold"), "{hot}");
        let inlet = said.lines().find(|line| line.contains("Inlet Temp")).unwrap();
        assert!(inlet.contains("Nominal"), "{inlet}");
        assert!(
            said.lines().filter(|line| line.contains("FAN")).all(|line| line.contains("Nominal") && line.contains("RPM")),
            "{said}"
        );
        let said = good(&rig.freeipmi(&sel, suite, &[&cache, "--quiet-cache"]));
        assert!(said.contains("Upper Critical - going high ; Sensor Reading = 97.00 C ; Threshold = 92.00 C"), "{said}");
        let said = good(&rig.freeipmi(&fru, suite, &[&cache, "--quiet-cache"]));
        assert!(said.contains("FRU Power Supply Overall Capacity: 3000 Watts"), "{said}");
        assert!(said.contains(&format!("FRU Product Serial Number: {}", rig.machine.identity().serial)), "{said}");
        let said = good(&rig.freeipmi(&dcmi, suite, &["--get-system-power-statistics"]));
        assert!(said.contains("Power Measurement                    : Active"), "{said}");
    }
}
