//! The PCI script, really run by `sh` over a made-up sysfs.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bringup::model::{Answer, ProbeOutput, Verdict};
use bringup::verify::{PCI_SCRIPT, probes};

use super::world;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn add(sys: &Path, bdf: &str, vendor: &str, slot_speed: &str) {
    let port = sys.join("devices/pci0000:00").join(format!("port-{}", bdf.replace(':', "_")));
    let real = port.join(bdf);
    for (name, text) in [
        ("vendor", vendor),
        ("device", "0x0000"),
        ("class", "0x120000"),
        ("numa_node", "-1"),
        ("current_link_speed", "32.0 GT/s PCIe"),
        ("max_link_speed", "32.0 GT/s PCIe"),
        ("current_link_width", "16"),
        ("max_link_width", "16"),
        ("aer_dev_fatal", "Undefined 0\nDLP 0\nTOTAL_ERR_FATAL 0"),
        ("aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0"),
        ("aer_dev_correctable", "RxErr 3\nTOTAL_ERR_COR 3"),
    ] {
        write(&real.join(name), &format!("{text}\n"));
    }
    write(&port.join("max_link_speed"), &format!("{slot_speed} GT/s PCIe\n"));
    let driver = sys.join("bus/pci/drivers/mobilint");
    std::fs::create_dir_all(&driver).unwrap();
    symlink(driver, real.join("driver")).unwrap();
    let bus = sys.join("bus/pci/devices");
    std::fs::create_dir_all(&bus).unwrap();
    symlink(real, bus.join(bdf)).unwrap();
}

fn run(sys: &Path) -> Answer {
    let out = Command::new("sh").args(["-c", PCI_SCRIPT, "bringup-pci", "0x209f"]).arg(sys).output().unwrap();
    Answer::Output(ProbeOutput { exit: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr })
}

#[test]
fn reads_a_bus() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world::plain();
    // No sysfs at all is no answer, and not a count of nought.
    world.answers.insert("pci".into(), run(folder.path()));
    let (judged, _) = world.judge();
    assert_eq!(judged.verdict, Verdict::Inconclusive);

    add(folder.path(), "0000:01:00.0", "0x209f", "32.0");
    add(folder.path(), "0000:02:00.0", "0x209f", "32.0");
    add(folder.path(), "0000:03:00.0", "0x8086", "32.0");
    world.answers.insert("pci".into(), run(folder.path()));
    let (judged, key) = world.judge();
    assert_eq!(judged.verdict, Verdict::Note, "{judged:#?} {:?}", world.answers["pci"]);
    assert!(key.is_some());
    let text = format!("{:?}", judged);
    assert!(text.contains("at most 10, seen 3"), "AER was counted: {text}");

    let slow = tempfile::tempdir().unwrap();
    add(slow.path(), "0000:01:00.0", "0x209f", "8.0");
    add(slow.path(), "0000:02:00.0", "0x209f", "32.0");
    world.answers.insert("pci".into(), run(slow.path()));
    assert_eq!(world.verdict(), Verdict::Quarantine, "the slot limits the card");
}

/// The machine that runs the tests has a PCI bus or none; either way the script ends well and its answer is understood.
#[test]
fn runs_here() {
    let suite = world::plain().suite;
    let probe = probes(&suite).into_iter().find(|p| p.id == "pci").unwrap();
    assert_eq!(probe.argv[..4], ["sh", "-c", PCI_SCRIPT, "bringup-pci"]);
    let out = Command::new(&probe.argv[0]).args(&probe.argv[1..]).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    match out.status.code() {
        Some(0) => assert!(String::from_utf8_lossy(&out.stdout).starts_with("bringup-pci 1\n") && stderr.is_empty(), "{stderr}"),
        Some(3) => assert!(stderr.starts_with("no /sys"), "{stderr}"),
        other => panic!("{other:?} {stderr}"),
    }
}
