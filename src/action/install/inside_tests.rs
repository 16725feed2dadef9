//! The installer itself, run here by `sh` on a file that stands for the disk. What would need root or a real disk (file systems, mounts) is told by
//! programs of the test; the real ones are run by the machines of `tests/peers`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::order::installer;
use super::target::Payload;
use crate::model::{Artifact, Digest, DiskContent, Packed};

/// Bytes of the disk.
const DISK: usize = 32 << 20;
const ORDER: &str = "disk sdx\nserial S1\nwwn W1\nsize 33554432\ndisk-uuid 11111111-1111-8111-8111-111111111111\n\
    root-uuid 33333333-3333-8333-8333-333333333333\nnode a001-s01\npacked none\nbytes 16777216\nseconds 60\n";
/// Where the installer looks for what this test has elsewhere.
const PLACES: [(&str, &str); 7] = [
    ("export PATH=", "export PATH=HERE/bin:"),
    ("for folder in ", "for folder in HERE/bin "),
    ("/run/bringup/install", "HERE/run"),
    ("/sys/block/", "HERE/sys/"),
    ("/dev/$(echo", "HERE/dev/$(echo"),
    ("/dev/kmsg", "HERE/kmsg"),
    ("/proc/sys/vm/drop_caches", "HERE/dropped"),
];
/// The same in what only the installer of a system does. It has no boot loader here.
const OF_SYSTEM: [(&str, &str); 3] =
    [("echo \"/dev/${part", "echo \"HERE/dev/${part"), ("[ -b \"", "[ -e \""), ("/usr/lib/systemd/boot/", "HERE/none/")];

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in ["run", "dev", "bin", "sys/sdx/queue"] {
            std::fs::create_dir_all(world.at(folder)).unwrap();
        }
        for (file, text) in [
            ("sys/sdx/size", "65536"),
            ("sys/sdx/serial", "S1"),
            ("sys/sdx/wwid", "W1"),
            ("sys/sdx/dev", "999:0"),
            ("sys/sdx/queue/logical_block_size", "512"),
            ("run/root", "neither a squashfs nor a disk"),
            ("run/log", ""),
        ] {
            std::fs::write(world.at(file), text).unwrap();
        }
        std::fs::write(world.at("dev/sdx"), vec![0; DISK]).unwrap();
        world.program("sync", "");
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn program(&self, name: &str, does: &str) {
        let path = self.at("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs the installer with this order, and gives the state that it ends in.
    fn run(&self, payload: &Payload, order: &str, places: &[(&str, &str)]) -> String {
        let mut script = installer(payload).0.concat();
        for (find, by) in PLACES.iter().chain(places) {
            assert!(script.contains(find), "{find}");
            script = script.replace(find, &by.replace("HERE", self.0.path().to_str().unwrap()));
        }
        std::fs::write(self.at("run/order"), order).unwrap();
        std::fs::write(self.at("run/installer"), script).unwrap();
        let ran = Command::new("sh").arg(self.at("run/installer")).output().unwrap();
        let state = std::fs::read_to_string(self.at("run/state")).unwrap_or_default();
        assert!(!ran.status.success() && state.starts_with("failed "), "{state}: {}", String::from_utf8_lossy(&ran.stderr));
        state.trim_end().to_owned()
    }
}

fn file() -> Artifact {
    Artifact { path: "/a".into(), sha256: Digest::from_bytes(&[4; 32]) }
}

fn whole_disk() -> Payload {
    Payload::Disk(DiskContent { file: file(), packed: Packed::None, sha256: Digest::from_bytes(&[6; 32]), bytes: 16 << 20 })
}

fn system() -> Payload {
    Payload::System { kernel: file(), initrd: vec![], root: file(), cmdline: vec![] }
}

/// Files are sent for minutes after the disks were listed; whatever came onto the disk meanwhile is not lost.
#[test]
fn a_disk_that_was_blank_and_is_not_any_more_is_not_written() {
    let blank = format!("{ORDER}blank yes\n");
    let (in_front, at_end) = (3 << 20, DISK - 512);
    for payload in [whole_disk(), system()] {
        for byte in [in_front, at_end] {
            let world = World::new();
            let mut held = vec![0; DISK];
            held[byte] = 7;
            std::fs::write(world.at("dev/sdx"), &held).unwrap();
            let state = world.run(&payload, &blank, &[]);
            assert!(
                state.starts_with("failed the disk was blank when it was chosen, and is not any more: holds bytes"),
                "{state}"
            );
            assert!(std::fs::read(world.at("dev/sdx")).unwrap() == held, "somebody's byte {byte} is still there");
        }
    }
    // Blank, or meant to be wiped, it comes as far as the image, which is none.
    for order in [&*blank, ORDER] {
        let world = World::new();
        if order == ORDER {
            std::fs::write(world.at("dev/sdx"), vec![7; DISK]).unwrap();
        }
        let state = world.run(&whole_disk(), order, &[]);
        assert!(state.contains("the image has no GPT in sectors of 512 bytes"), "{state}");
    }
}

/// The installer of a system as far as it reads back what it wrote: `in_image` and `on_disk` are shell commands that make the files of each.
fn read_back(in_image: &str, on_disk: &str) -> String {
    let world = World::new();
    for (number, part) in [("1", "sdx1"), ("2", "sdx2")] {
        std::fs::create_dir_all(world.at("sys/sdx").join(part)).unwrap();
        for (file, text) in [("partition", number), ("size", "2048"), ("dev", "999:1")] {
            std::fs::write(world.at("sys/sdx").join(part).join(file), text).unwrap();
        }
        std::fs::write(world.at("dev").join(part), "").unwrap();
    }
    for name in ["sfdisk", "mkfs.fat", "mke2fs", "umount"] {
        world.program(name, "cat >/dev/null");
    }
    world.program("mount", &format!("case $2 in squashfs) cd \"$6\" && {in_image} ;; esac"));
    world.program("unsquashfs", &format!("for to; do [ \"$last\" = -d ] && break; last=$to; done; cd \"$to\" && {on_disk}"));
    world.run(&system(), ORDER, &OF_SYSTEM)
}

/// Two empty lists are equal: of an image that could not be read, nothing was compared.
#[test]
fn a_read_back_that_read_nothing_is_a_failure() {
    let state = read_back("true", "true");
    assert_eq!(state, "failed at read back: no file of the image could be read");
    let state = read_back("echo one >a", "echo two >a");
    assert!(state.starts_with("failed what was read back differs: "), "{state}");
    let state = read_back("echo one >a", "true");
    assert!(state.starts_with("failed what was read back differs: "), "{state}");
    // What is the same goes on, to the boot loader.
    let state = read_back("echo one >a", "echo one >a");
    assert!(state.starts_with("failed at loader: "), "{state}");
}

/// What `wget` does for `URL` (`$url`) to `FILE` (`$4`), and the addresses that were asked.
fn fetched(wget: &str) -> (String, Vec<String>) {
    let world = World::new();
    std::fs::remove_file(world.at("run/root")).unwrap();
    std::fs::write(world.at("cmdline"), "quiet bringup.at=http://10.0.0.1:8088/g/T/at\n").unwrap();
    world.program("sleep", "");
    let asked = world.at("asked");
    world.program("wget", &format!("url=$5; echo $url >>{}; {wget}", asked.display()));
    let digest = Digest::from_bytes(&Sha256::digest(b"good\n").into());
    let order = format!("{ORDER}file root {digest}\nfetch root\ncache http://10.0.0.9:80\n");
    let state = world.run(&whole_disk(), &order, &[("/proc/cmdline", "HERE/cmdline")]);
    (state, std::fs::read_to_string(asked).unwrap().lines().map(str::to_owned).collect())
}

/// The boot server has what a cache does not give; it alone has the last word.
#[test]
fn what_a_cache_does_not_give_comes_from_the_boot_server() {
    const CACHE: &str = "http://10.0.0.9:80/g/T/root";
    const OWN: &str = "http://10.0.0.1:8088/g/T/root";
    let by_cache = |does: &str| format!("case $url in {CACHE}) {does} ;; *) echo good >$4 ;; esac");
    let whole = "failed the image has no GPT in sectors of 512 bytes, so no UEFI starts it";
    for (wget, asked) in [
        ("echo good >$4".to_owned(), vec![CACHE]),
        (by_cache("echo 'wget: server returned error: HTTP/1.1 404 Not Found' >&2; exit 1"), vec![CACHE, OWN]),
        (by_cache("echo bad >$4"), vec![CACHE, OWN]),
        (by_cache("echo 'wget: cannot connect: Connection refused' >&2; exit 1"), vec![CACHE, CACHE, CACHE, OWN]),
    ] {
        assert_eq!(fetched(&wget), (whole.to_owned(), asked.into_iter().map(str::to_owned).collect()), "{wget}");
    }
    let (state, asked) = fetched("echo bad >$4");
    assert_eq!((state.as_str(), asked.len()), ("failed at fetch: what came is not what the plan names", 2));
    let (state, asked) = fetched("echo 'wget: server returned error: HTTP/1.1 410 Gone' >&2; exit 1");
    assert_eq!((state.as_str(), asked.len()), ("failed at fetch: wget: server returned error: HTTP/1.1 410 Gone", 2));
}
