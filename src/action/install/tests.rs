//! Disks read, chosen and refused; the order; and that every command fits through the SSH server of the ramdisk.

use proptest::prelude::*;

use super::disk::{Disk, Verdict, choose, may_write, read};
use super::order;
use super::target::{InstallTarget, Payload};
use crate::model::{Artifact, Digest, DiskContent, DiskRule, NodeId, Packed, Pick, PlanId, Transport, Wipe};

const TOLD: &str = "disk nvme0n1\nsize 2147483648\nserial A\nwwn nvme.1\nmodel QEMU NVMe Ctrl\ntransport nvme\nrotational 0\nend\n\
    disk sda\nsize 1073741824\nserial B\nwwn \nmodel \ntransport virtio\nrotational 1\nused sda1 is mounted at /mnt\n\
    holds partition 1 of 5 bytes\nend\nlacks sfdisk\nwhole\n";

fn disk(serial: &str, size: u64) -> Disk {
    Disk {
        name: "nvme0n1".into(),
        size,
        serial: serial.into(),
        transport: "nvme".into(),
        rotational: Some(false),
        ..Disk::default()
    }
}

fn target() -> InstallTarget {
    let file = |n: u8| Artifact { path: "/a".into(), sha256: Digest::from_bytes(&[n; 32]) };
    InstallTarget {
        node: NodeId::new("a001-s01").unwrap(),
        plan: PlanId::new("plan-1").unwrap(),
        serial: "S1".into(),
        mac: "52:54:00:aa:00:01".parse().unwrap(),
        image_digest: Digest::from_bytes(&[9; 32]),
        payload: Payload::System {
            kernel: file(1),
            initrd: vec![file(2), file(3)],
            root: file(4),
            cmdline: vec!["console=ttyS0".into(), "root=live:{root-url}".into(), "root=/dev/nfs".into()],
        },
        disk: DiskRule::default(),
        wipe: Wipe::BlankOnly,
        files_from: None,
        from: Digest::from_bytes(&[8; 32]),
        deadline_s: 60,
        boot_deadline_s: 60,
    }
}

#[test]
fn a_list_of_disks_is_read() {
    let survey = read(TOLD).unwrap();
    assert_eq!((survey.disks.len(), survey.lacks), (2, vec!["sfdisk".to_owned()]));
    assert_eq!((survey.disks[0].size, survey.disks[0].rotational), (2 << 30, Some(false)));
    assert_eq!(survey.disks[1].used, ["sda1 is mounted at /mnt"]);
    let cut = TOLD.strip_suffix("whole\n").unwrap();
    assert_eq!(read(cut), Err("the list of disks was cut".to_owned()));
    assert!(read(&format!("restless\n{TOLD}")).unwrap_err().contains("came and went"));
    let many = |n: usize| "disk a\nsize 1\nend\n".repeat(n) + "whole\n";
    assert_eq!(read(&many(256)).unwrap().disks.len(), 256);
    assert_eq!(read(&many(257)), Err("it lists more than 256 disks".to_owned()));
    assert!(read("disk a\nsize many\nend\nwhole\n").is_err() && read("who are you\nwhole\n").is_err());
}

#[test]
fn a_rule_means_one_disk_or_none() {
    let disks = [disk("A", 2 << 30), disk("B", 4 << 30), disk("C", 4 << 30)];
    let rule = |pick| DiskRule { transport: Some(Transport::Nvme), pick, ..DiskRule::default() };
    assert_eq!(choose(&rule(Some(Pick::Smallest)), &disks).unwrap().serial, "A");
    let two = choose(&rule(Some(Pick::Largest)), &disks).unwrap_err();
    assert!(
        two.starts_with("2 disks fit the rule (nvme, the largest) and one is wanted: nvme0n1 (4.2 GB nvme disk, serial B)"),
        "{two}"
    );
    assert!(choose(&rule(None), &disks).unwrap_err().starts_with("3 disks fit"));
    let none = DiskRule { model: Some("SAMSUNG*".into()), ..DiskRule::default() };
    let none = choose(&none, &disks).unwrap_err();
    assert!(none.starts_with("no disk fits the rule (model SAMSUNG*); the node has nvme0n1 (2.1 GB"), "{none}");
    assert!(choose(&rule(None), &[]).unwrap_err().ends_with("no disk at all"));
    let nameless = [disk("", 2 << 30)];
    assert!(choose(&rule(None), &nameless).unwrap_err().contains("neither serial number nor WWN"));
    let many: Vec<Disk> = (0..40).map(|n| disk(&format!("S{n}"), 1 << 30)).collect();
    assert!(choose(&rule(None), &many).unwrap_err().ends_with("and 28 more"));
}

#[test]
fn models_are_compared_by_patterns() {
    for (glob, text, fits) in [
        ("SAMSUNG MZ*", "SAMSUNG MZQL2", true),
        ("*QL2", "SAMSUNG MZQL2", true),
        ("SAM*MZ*2", "SAMSUNG MZQL2", true),
        ("SAMSUNG", "SAMSUNG MZ", false),
        ("*", "", true),
        ("a*a", "a", false),
    ] {
        let disk = Disk { model: text.into(), ..Disk::default() };
        assert_eq!(disk.fits(&DiskRule { model: Some(glob.into()), ..DiskRule::default() }), fits, "{glob} {text}");
    }
}

#[test]
fn a_disk_that_holds_something_is_not_written_by_itself() {
    let blank = disk("A", 2 << 30);
    let table = order::table_of(&target(), &blank);
    assert_eq!(may_write(&blank, Wipe::BlankOnly, &table), Ok(Verdict::Write));
    let held = Disk { holds: vec!["nvme0n1: PTUUID=1 PTTYPE=gpt".into()], ..blank.clone() };
    let why = may_write(&held, Wipe::BlankOnly, &table).unwrap_err();
    assert!(why.contains("not blank") && why.contains("PTTYPE=gpt") && why.contains("--allow wipe"), "{why}");
    assert_eq!(may_write(&held, Wipe::Yes, &table), Ok(Verdict::Write));
    let used = Disk { used: vec!["nvme0n1p1 is held by md0".into()], ..held.clone() };
    assert!(may_write(&used, Wipe::Yes, &table).unwrap_err().contains("held by md0"), "in use is never written");
    assert!(may_write(&Disk { readonly: true, ..blank.clone() }, Wipe::Yes, &table).is_err());
    assert!(may_write(&disk("A", 1 << 29), Wipe::Yes, &table).is_err());
    // What this plan left behind: unfinished is written anew, finished is left alone; another plan's is somebody's.
    let mark =
        |name: &str| vec![format!("nvme0n1: PTUUID={table} PTTYPE=gpt"), format!("nvme0n1p2: TYPE=ext4 PART_ENTRY_NAME={name}")];
    let torn = Disk { holds: mark("bringup-unfinished"), ..blank.clone() };
    assert_eq!(may_write(&torn, Wipe::BlankOnly, &table), Ok(Verdict::Write));
    assert_eq!(may_write(&Disk { holds: mark("bringup-root"), ..blank.clone() }, Wipe::BlankOnly, &table), Ok(Verdict::Written));
    let other = order::table_of(&InstallTarget { plan: PlanId::new("plan-2").unwrap(), ..target() }, &blank);
    assert!(may_write(&torn, Wipe::BlankOnly, &other).is_err() && other != table);
}

/// A whole disk instead.
fn of_disk() -> InstallTarget {
    let file = Artifact { path: "/a".into(), sha256: Digest::from_bytes(&[5; 32]) };
    let content = DiskContent { file, packed: Packed::Zstd, sha256: Digest::from_bytes(&[6; 32]), bytes: 1 << 30 };
    InstallTarget { payload: Payload::Disk(content), ..target() }
}

#[test]
fn an_order_for_a_whole_disk() {
    let (target, chosen) = (of_disk(), disk("A", 2 << 30));
    let text = order::order(&target, &chosen, true);
    let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(&format!("{key} "))).unwrap().to_owned();
    let made = order::made(&target, &chosen).unwrap();
    assert_eq!(
        (line("packed"), line("sha256"), line("bytes"), line("made")),
        ("zstd".to_owned(), "06".repeat(32), (1_u64 << 30).to_string(), made.clone())
    );
    assert!(text.ends_with(&format!("file root {}\nblank yes\nfetch root\n", "05".repeat(32))), "{text}");
    assert!(!text.contains("options") && !text.contains("kernel") && line("disk-uuid") != made, "{text}");
    // Found again on the disk by whoever asks, for this image and this disk only.
    assert!(order::mark(&target, &chosen).is_on(&made) && !order::mark(&target, &disk("B", 2 << 30)).is_on(&made));
    assert_eq!(order::made(&self::target(), &chosen), None);
}

#[test]
fn an_order_in_full() {
    let text = order::order(&target(), &disk("A", 2 << 30), false);
    let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(&format!("{key} "))).unwrap().to_owned();
    let (table, root) = (line("disk-uuid"), line("root-uuid"));
    assert_eq!((table.len(), &table[14..15], root == table), (36, "8", false), "{table}");
    let image = "09".repeat(32);
    let options = format!("console=ttyS0 root=UUID={root} rw bringup.plan=plan-1 bringup.image={image} bringup.disk={table}");
    assert_eq!(line("options"), options);
    assert_eq!(text.lines().filter(|l| l.starts_with("file ")).count(), 4);
    assert!(text.ends_with(&format!("file initrd1 {}\nfile root {}\nblank yes\n", "03".repeat(32), "04".repeat(32))));
    assert_eq!(order::order(&target(), &disk("A", 2 << 30), true), format!("{text}fetch root\n"));
    let cached = InstallTarget { files_from: Some("http://10.77.1.2:8088".into()), ..target() };
    let fetched = format!("{text}fetch root\ncache http://10.77.1.2:8088\n");
    assert_eq!(order::order(&cached, &disk("A", 2 << 30), true), fetched);
    let held = Disk { holds: vec!["nvme0n1: PTUUID=1 PTTYPE=gpt".into()], ..disk("A", 2 << 30) };
    assert!(!order::order(&target(), &held, true).contains("blank"));
}

/// dropbear ends a connection whose command is longer than 9,000 bytes; the shell quotes every operand.
#[test]
fn every_command_fits_through_dropbear() {
    let mut commands = vec![vec![order::STATUS.to_owned()], vec![order::survey()], vec![order::below()]];
    for target in [target(), of_disk()] {
        let order = order::order(&target, &disk(&"x".repeat(128), 1 << 40), true);
        let (parts, digest) = order::installer(&target.payload);
        commands.push(vec![order::BEGIN.to_owned(), digest.to_string(), order]);
        commands.extend(parts.iter().map(|part| vec![order::PUT.to_owned(), "part.00".to_owned(), part.clone()]));
        assert!(parts.len() < 10 && parts.concat().ends_with("\nfinish\n"));
    }
    for operands in commands {
        let argv: Vec<String> = ["sh", "-c"].map(str::to_owned).into_iter().chain(operands).collect();
        let line = crate::shell::quote(&argv).unwrap().len();
        assert!(line < 8_900, "{line} bytes");
    }
}

proptest! {
    #[test]
    fn any_list_is_read_or_refused(text in "(disk|size|serial|holds|used|end|whole|lacks|[a-z]{0,4}) ?\\PC{0,30}(\n(disk|size|end|whole) ?[0-9]{0,22})*") {
        if let Ok(survey) = read(&text) {
            for disk in &survey.disks {
                prop_assert!(disk.words().is_ascii());
            }
        }
    }
}
