//! FreeIPMI as a client, with cipher suites 3 and 17.

use std::time::Duration;

use bringup::model::BootTarget;

use super::rmcp_rig::{Rig, good};
use crate::support::{need_program, wait_until};

#[test]
fn info_power_and_boot() {
    let name = "rmcp_freeipmi::info_power_and_boot";
    let (Some(info), Some(power), Some(chassis)) =
        (need_program(name, "bmc-info"), need_program(name, "ipmipower"), need_program(name, "ipmi-chassis"))
    else {
        return;
    };
    let rig = Rig::new(&[]);
    for suite in ["3", "17"] {
        let said = good(&rig.freeipmi(&info, suite, &[]));
        assert!(said.contains("2.0") && said.contains("(10876)"), "{said}");
        assert!(said.contains("GUID"), "{said}");

        let state = |wanted: &str| {
            let said = good(&rig.freeipmi(&power, suite, &["--stat"]));
            said.trim_end().ends_with(&format!(": {wanted}"))
        };
        assert!(state("off"));
        good(&rig.freeipmi(&power, suite, &["--on"]));
        wait_until("power on", Duration::from_secs(20), || state("on"));
        good(&rig.freeipmi(&power, suite, &["--off"]));
        wait_until("power off", Duration::from_secs(20), || state("off"));

        let said = good(&rig.freeipmi(&chassis, suite, &["--get-chassis-status"]));
        assert!(said.contains("System Power") && said.contains("off"), "{said}");
        good(&rig.freeipmi(&chassis, suite, &["--chassis-identify=5"]));
    }
    assert_eq!(rig.machine.boot_override().target, BootTarget::None);
}
