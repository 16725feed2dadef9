//! An image onto a disk of simulated nodes, by the built program: what the plan says, what `apply` wants to hear again, and rules that mean no
//! one disk.

use sha2::{Digest as _, Sha256};

use super::bad_rig::Rig;

/// A site whose playbook installs, with this rule and these words after it.
fn site(rule: &str) -> Rig {
    site_with(rule, &[])
}

fn site_with(rule: &str, faults: &[&str]) -> Rig {
    let rig = Rig::up(2, faults);
    let image = rig.read("images/sim-live.yaml");
    let digest = image.lines().find_map(|l| l.split("initrd.img, sha256: \"").nth(1)).unwrap();
    let root = format!("root: {{file: sim-live/initrd.img, sha256: \"{}\"}}\n", &digest[..64]);
    std::fs::write(rig.path("images/sim-disk.yaml"), image + &root).unwrap();
    rig.edit("playbooks/sim.yaml", "  stack: none\n", &format!("  stack: none\n  install: {{image: sim-disk, disk: {rule}}}\n"));
    rig
}

#[test]
fn wiping_is_said_twice_and_the_node_then_starts_from_its_disk() {
    let rig = site("{transport: nvme, size_min: 2TB}, wipe: yes");
    let planned = rig.run(&["plan", "--out", "p.json"]).ends(0, &[]);
    // Lines are folded to the width of the terminal.
    let words = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("on disk (nvme, at least 2 TB; WHAT THE DISK HOLDS IS LOST)"), "{words}");
    rig.run(&["apply", "p.json"]).refused(9, &["2 nodes whatever it holds", "--allow wipe", "nothing was touched"]);
    rig.run(&["apply", "p.json", "--allow", "firmwear"]).ends(64, &["possible values: wipe"]);
    rig.untouched();
    rig.run(&["apply", "p.json", "--allow", "wipe"]).ends(0, &[]);
    for node in rig.farm().nodes() {
        let machine = &node.machine;
        assert_eq!((machine.boots(), machine.disk().0.begun()), (2, 1), "{:?}", machine.log());
    }
    // Who runs from its disk is left alone.
    let again = rig.run(&["plan"]).ends(0, &[]);
    assert!(again.out.contains("0 nodes to bring up") && again.out.contains("2 settled"), "{}", again.out);
    assert!(rig.run(&["exec", "a001-s01", "--", "cat", "/proc/cmdline"]).ends(0, &[]).out.contains("bringup.disk="));
}

#[test]
fn rules_that_mean_two_disks_or_a_full_one_write_nothing() {
    for (rule, words) in [
        ("{transport: nvme}", ["2 disks fit the rule (nvme) and one is wanted", "serial SYS-", "serial DATA-"]),
        ("{model: \"SIM BOOT\"}", ["is not blank and the plan does not wipe", "TYPE=ext4", "--allow wipe"]),
        ("{transport: sas}", ["no disk fits the rule (sas); the node has", "serial SYS-", "serial DATA-"]),
    ] {
        let rig = site(rule);
        let ran = rig.run(&["apply", "--yes"]);
        assert!(matches!(ran.code, Some(4 | 5)), "{ran:#?}");
        let events = format!("{:?}", rig.events(".bringup/journal.db"));
        assert!(words.iter().all(|w| events.contains(w)), "{rule}: {events}");
        assert!(rig.farm().nodes().iter().all(|n| n.machine.disk().0.begun() == 0), "{rule}");
    }
}

/// A root comes from the boot server; to a node that cannot reach it, over SSH. Either way its disk is written once.
#[test]
fn a_root_that_cannot_be_fetched_is_sent() {
    let rig = site_with("{transport: nvme, size_min: 2TB}", &["a001-s02=no-fetch"]);
    rig.run(&["apply", "--yes"]).ends(0, &[]);
    assert!(rig.farm().nodes().iter().all(|n| n.machine.boots() == 2 && n.machine.disk().0.begun() == 1));
    let events: Vec<String> = rig.events(".bringup/journal.db").iter().map(ToString::to_string).collect();
    let of =
        |node: &str, words: &[&str]| events.iter().filter(|e| e.contains(node) && words.iter().all(|w| e.contains(w))).count();
    for (node, sent, fetched) in [("a001-s01", 0, 1), ("a001-s02", 2, 0)] {
        assert_eq!(of(node, &["/run/bringup/install/root"]), sent, "{node}: {events:#?}");
        assert_eq!(of(node, &["boot-seen", "\"root\""]), fetched, "{node}: {events:#?}");
    }
    assert_eq!(of("a001-s02", &["nothing was written: at fetch: wget: can't connect to remote host"]), 1, "{events:#?}");
}

/// A site whose playbook writes an image of a whole disk, with these words about its digest.
fn site_of_disk(raw: &[u8], told: &[u8]) -> Rig {
    let rig = Rig::up(2, &[]);
    let packed = zstd::bulk::compress(raw, 1).unwrap();
    let hex = |bytes: &[u8]| bringup::model::Digest::from_bytes(&Sha256::digest(bytes).into()).to_string();
    std::fs::write(rig.path("images/site.raw.zst"), &packed).unwrap();
    let text = format!(
        "apiVersion: image/v1\narch: x86_64\ndisk: {{file: site.raw.zst, sha256: \"{}\", size: {}, compression: zstd, raw_sha256: \"{}\"}}\n",
        hex(&packed),
        raw.len(),
        hex(told)
    );
    std::fs::write(rig.path("images/site.yaml"), text).unwrap();
    let install = "  stack: none\n  install: {image: site, disk: {transport: nvme, size_min: 2TB}}\n";
    rig.edit("playbooks/sim.yaml", "  stack: none\n", install);
    rig
}

/// As much of a disk as anybody looks at before it is written.
fn disk_with_table() -> Vec<u8> {
    let mut raw = vec![0; 4 << 20];
    raw[512..520].copy_from_slice(b"EFI PART");
    raw
}

#[test]
fn a_whole_disk_is_written_and_known_again_by_its_table() {
    let raw = disk_with_table();
    let rig = site_of_disk(&raw, &raw);
    let planned = rig.run(&["plan", "--out", "p.json"]).ends(0, &[]);
    let words = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("disk image site on disk (nvme, at least 2 TB, only if it is blank)"), "{words}");
    rig.run(&["apply", "p.json"]).ends(0, &[]);
    for node in rig.farm().nodes() {
        let machine = &node.machine;
        assert_eq!((machine.boots(), machine.disk().0.begun()), (2, 1), "{:?}", machine.log());
    }
    let events: Vec<String> = rig.events(".bringup/journal.db").iter().map(ToString::to_string).collect();
    assert!(events.iter().any(|e| e.contains("partition table ")), "{events:#?}");
    assert!(!events.iter().any(|e| e.contains("/run/bringup/install/")), "it was fetched, nothing was sent: {events:#?}");
    // Nothing that runs there says where it came from; the disk below it does.
    let line = rig.run(&["exec", "a001-s01", "--", "cat", "/proc/cmdline"]).ends(0, &[]).out;
    assert!(line.contains("site-root") && !line.contains("bringup."), "{line}");
    let again = rig.run(&["plan"]).ends(0, &[]);
    assert!(again.out.contains("0 nodes to bring up") && again.out.contains("2 settled"), "{}", again.out);
}

#[test]
fn a_disk_image_that_is_another_one_unpacked_is_refused_before_anything_is_touched() {
    let raw = disk_with_table();
    let rig = site_of_disk(&raw, b"another");
    rig.run(&["plan"]).ends(3, &["is another disk than is written of it", "unpacked it has 4194304 bytes"]);
    let bare = vec![7; 4 << 20];
    let rig = site_of_disk(&bare, &bare);
    rig.run(&["plan"]).ends(3, &["has no GPT in sectors of 512 bytes"]);
    rig.untouched();
}
