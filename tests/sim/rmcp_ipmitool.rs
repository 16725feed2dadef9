//! `ipmitool -I lanplus` as a client, with cipher suites 3 and 17.

use std::time::Duration;

use bringup::model::{BootMode, BootTarget};
use bringup::sim::Fault;

use super::rmcp_rig::{Rig, bad, good};
use crate::support::{need_program, wait_until};

#[test]
fn the_main_job() {
    if need_program("rmcp_ipmitool::the_main_job", "ipmitool").is_none() {
        return;
    }
    let rig = Rig::new(&[]);
    for suite in ["3", "17"] {
        let info = good(&rig.ipmitool(suite, &["mc", "info"]));
        assert!(info.contains("IPMI Version              : 2.0") && info.contains("10876"), "{info}");
        assert!(info.contains("Firmware Revision         : 1.04"), "{info}");
        let status = good(&rig.ipmitool(suite, &["chassis", "status"]));
        assert!(status.contains("System Power         : off"), "{status}");

        good(&rig.ipmitool(suite, &["chassis", "bootdev", "pxe", "options=efiboot"]));
        let boot = rig.machine.boot_override();
        assert_eq!((boot.target, boot.once, boot.mode), (BootTarget::Pxe, true, Some(BootMode::Uefi)));
        let read = good(&rig.ipmitool(suite, &["chassis", "bootparam", "get", "5"]));
        for line in ["Boot Flag Valid", "Options apply to only next boot", "BIOS EFI boot", "Force PXE"] {
            assert!(read.contains(line), "{line}: {read}");
        }
        good(&rig.ipmitool(suite, &["chassis", "bootdev", "disk", "options=persistent"]));
        let boot = rig.machine.boot_override();
        assert_eq!((boot.target, boot.once, boot.mode), (BootTarget::Disk, false, Some(BootMode::Legacy)));
        good(&rig.ipmitool(suite, &["chassis", "bootdev", "none"]));
        assert_eq!(rig.machine.boot_override().target, BootTarget::None);

        good(&rig.ipmitool(suite, &["chassis", "power", "on"]));
        let state = || good(&rig.ipmitool(suite, &["chassis", "power", "status"]));
        wait_until("power on", Duration::from_secs(20), || state().contains("is on"));
        good(&rig.ipmitool(suite, &["chassis", "power", "cycle"]));
        wait_until("on again", Duration::from_secs(20), || state().contains("is on"));
        good(&rig.ipmitool(suite, &["chassis", "power", "off"]));
        wait_until("power off", Duration::from_secs(20), || state().contains("is off"));
        let refused = bad(&rig.ipmitool(suite, &["chassis", "power", "reset"]));
        assert!(refused.contains("not supported in present state"), "{refused}");

        let fru = good(&rig.ipmitool(suite, &["fru", "print"]));
        let serial = &rig.machine.identity().serial;
        for (name, value) in
            [("Product Manufacturer", "Supermicro"), ("Product Name", "SYS-421GE-TNRT"), ("Product Serial", serial)]
        {
            assert!(fru.lines().any(|l| l.trim_start().starts_with(name) && l.trim_end().ends_with(value)), "{name}: {fru}");
        }
        let uuid = good(&rig.ipmitool(suite, &["mc", "guid", "smbios"]));
        assert!(uuid.to_lowercase().contains(&rig.machine.identity().uuid), "{uuid}");
        good(&rig.ipmitool(suite, &["chassis", "identify", "5"]));
        assert!(good(&rig.ipmitool(suite, &["mc", "selftest"])).contains("passed"));
        // The log tells of the power changes above.
        let told = good(&rig.ipmitool(suite, &["sel", "info"]));
        let entries =
            told.lines().find_map(|l| l.strip_prefix("Entries          : ")).and_then(|n| n.trim().parse::<usize>().ok());
        let listed = good(&rig.ipmitool(suite, &["sel", "list"]));
        let lines = listed.lines().filter(|l| !l.trim().is_empty()).count();
        assert!(lines > 0 && entries == Some(lines), "{told}\n{listed}");
        good(&rig.ipmitool(suite, &["sdr", "info"]));
        assert!(good(&rig.ipmitool(suite, &["session", "info", "active"])).contains("session"));
    }
    let ciphers = good(&rig.ipmitool("3", &["channel", "getciphers", "ipmi", "1"]));
    assert!(ciphers.contains("sha256") && ciphers.contains("aes_cbc_128"), "{ciphers}");
}

#[test]
fn who_may_do_what() {
    if need_program("rmcp_ipmitool::who_may_do_what", "ipmitool").is_none() {
        return;
    }
    let rig = Rig::new(&[]);
    for suite in ["3", "17"] {
        let wrong = bad(&rig.ipmitool_as("wrong", suite, &["mc", "info"]));
        assert!(wrong.contains("HMAC is invalid") || wrong.contains("Unable to establish"), "{wrong}");
        // A user may look and not touch.
        good(&rig.ipmitool(suite, &["-L", "USER", "chassis", "status"]));
        let denied = bad(&rig.ipmitool(suite, &["-L", "USER", "chassis", "power", "on"]));
        assert!(denied.contains("Insufficient privilege"), "{denied}");
        assert!(!rig.machine.is_powered());
        good(&rig.ipmitool(suite, &["-L", "OPERATOR", "chassis", "identify", "1"]));
    }
    // Cipher suite 0 needs no password on BMCs that allow it (CVE-2013-4782); this one does not.
    bad(&rig.ipmitool("0", &["mc", "info"]));
}

#[test]
fn faults() {
    if need_program("rmcp_ipmitool::faults", "ipmitool").is_none() {
        return;
    }
    let no_17 = Rig::new(&[Fault::NoSuite17]);
    bad(&no_17.ipmitool("17", &["mc", "info"]));
    good(&no_17.ipmitool("3", &["mc", "info"]));
    bad(&Rig::new(&[Fault::RakpBadHmac]).ipmitool("3", &["mc", "info"]));
    bad(&Rig::new(&[Fault::SessionFull]).ipmitool("3", &["mc", "info"]));
    let ignores = Rig::new(&[Fault::BootIgnore]);
    drop(ignores.ipmitool("3", &["chassis", "bootdev", "pxe"]));
    assert_eq!(ignores.machine.boot_override().target, BootTarget::None, "accepted, and read back as none");
    // Every answer twice: a client that takes the second for its next answer goes wrong.
    let twice = Rig::new(&[Fault::UdpDup]);
    assert!(good(&twice.ipmitool("17", &["chassis", "status"])).contains("System Power"));
    assert!(good(&twice.ipmitool("17", &["fru", "print"])).contains("Product Serial"));
}

/// A dead BMC says nothing, at all.
#[test]
fn a_dead_bmc_is_silent() {
    let rig = Rig::new(&[Fault::DeadBmc]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let ping = [0x06, 0, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x80, 0x07, 0, 0];
    socket.send_to(&ping, rig.address).unwrap();
    let mut buffer = [0; 64];
    assert!(socket.recv_from(&mut buffer).is_err());
    let well = Rig::new(&[]);
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&ping, well.address).unwrap();
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (from, &buffer[..length]),
        (
            well.address,
            &[
                0x06, 0, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x40, 0x07, 0, 0x10, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0,
                0
            ][..]
        )
    );
}
