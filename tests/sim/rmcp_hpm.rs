//! `ipmitool hpm` against the simulator: the client that everybody has, with an image file that only the format's description made.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bringup::sim::Fault;

use super::rmcp_rig::{PASSWORD, Rig, USER, good};
use crate::support::{HpmFile, need_program};

/// `ipmitool hpm …`, every question of it answered with yes.
fn hpm(rig: &Rig, args: &[&str]) -> std::process::Output {
    let port = rig.address.port().to_string();
    let mut child = Command::new("ipmitool")
        .args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", USER, "-E", "-C", "17", "-N", "1", "-R", "4", "hpm"])
        .args(args)
        .env("IPMITOOL_PASSWORD", PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without having asked.
    drop(child.stdin.take().unwrap().write_all(b"y\ny\ny\n"));
    child.wait_with_output().unwrap()
}

#[test]
fn ipmitool_sees_the_components_and_upgrades_one() {
    if need_program("rmcp_hpm::ipmitool_sees_the_components_and_upgrades_one", "ipmitool").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("psu.hpm");
    std::fs::write(&file, HpmFile::of("supermicro", "PSU_1", "99.01", 700).bytes()).unwrap();
    let file = file.to_str().unwrap();
    for faults in [&[][..], &["hpm.busy@30x2"], &["hpm.block"]] {
        let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let rig = Rig::new(&faults);
        let components = good(&hpm(&rig, &["check"]));
        for name in ["BMC", "BIOS", "CPLD", "PSU_1"] {
            assert!(components.lines().any(|line| line.contains(name)), "{name}: {components}");
        }
        let both = good(&hpm(&rig, &["check", file]));
        assert!(both.contains("99.01"), "{both}");
        assert_eq!(rig.machine.flashes(), 0);
        let output = hpm(&rig, &["upgrade", file, "activate"]);
        let upgraded = good(&output) + &String::from_utf8_lossy(&output.stderr);
        assert!(upgraded.contains("procedure successful"), "{upgraded}");
        assert_eq!((rig.machine.runs("PSU_1").as_deref(), rig.machine.flashes()), (Some("99.01"), 1), "{faults:?}: {upgraded}");
    }
}

#[test]
fn ipmitool_refuses_what_the_product_refuses() {
    if need_program("rmcp_hpm::ipmitool_refuses_what_the_product_refuses", "ipmitool").is_none() {
        return;
    }
    let rig = Rig::new(&[]);
    let dir = tempfile::tempdir().unwrap();
    let good_file = HpmFile::of("supermicro", "PSU_1", "99.01", 700);
    let mut damaged = good_file.bytes();
    damaged[90] ^= 1;
    for (name, bytes, says) in [
        ("damaged", damaged, "MD5"),
        ("stranger", HpmFile { maker: 1, ..good_file }.bytes(), "Invalid image file for manufacturer"),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let output = hpm(&rig, &["upgrade", file.to_str().unwrap(), "activate"]);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(says), "{name}: `{says}` is not told: {text}");
    }
    assert_eq!((rig.machine.flashes(), rig.machine.uploads()), (0, 0));
}
