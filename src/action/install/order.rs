//! What the installer on the node is told, and the names that it gives to what it makes: made from plan, node and disk, so that a later life
//! of the run knows its own work again.

use sha2::{Digest as _, Sha256};

use super::disk::Disk;
use super::target::InstallTarget;
use crate::model::{Artifact, Digest};

/// Where everything of an installation lies on the node: in memory.
pub(super) const FOLDER: &str = "/run/bringup/install";
/// What runs on the node; `disks.sh` is the first part of all that read disks.
const DISKS: &str = include_str!("../inside/disks.sh");
const INSTALL: &str = include_str!("../inside/install.sh");
const SURVEY: &str = include_str!("../inside/survey.sh");
const BELOW: &str = include_str!("../inside/below.sh");
pub(super) const PUT: &str = include_str!("../inside/put.sh");
pub(super) const BEGIN: &str = include_str!("../inside/begin.sh");
pub(super) const STATUS: &str = include_str!("../inside/status.sh");
/// Name of the root file system among the files.
pub(super) const ROOT: &str = "root";
/// Longest part of the installer that one command carries. dropbear takes no command line longer than 9,000 bytes (`MAX_CMD_LEN`), and
/// quoting makes it longer.
const PART: usize = 4000;

/// Lists the disks of a node.
pub(super) fn survey() -> String {
    format!("{DISKS}{SURVEY}")
}

/// Tells which disk the root file system lies on.
pub(super) fn below() -> String {
    format!("{DISKS}{BELOW}")
}

/// The installer in parts, and the digest of the whole.
pub(super) fn installer() -> (Vec<String>, Digest) {
    let whole = format!("{DISKS}{INSTALL}");
    let digest = Digest::from_bytes(&Sha256::digest(&whole).into());
    let (mut parts, mut part) = (Vec::new(), String::new());
    for line in whole.split_inclusive('\n') {
        if part.len() + line.len() > PART {
            parts.push(std::mem::take(&mut part));
        }
        part.push_str(line);
    }
    parts.push(part);
    (parts, digest)
}

/// The files that are sent, under the names that the installer knows.
pub(super) fn files(target: &InstallTarget) -> Vec<(String, &Artifact)> {
    let mut files = vec![("kernel".to_owned(), &target.kernel)];
    files.extend(target.initrd.iter().enumerate().map(|(n, initrd)| (format!("initrd{n}"), initrd)));
    files.push((ROOT.to_owned(), &target.root));
    files
}

/// A UUID that this plan gives to something on this disk of this node (version 8, RFC 9562 §5.8).
fn named(what: &str, target: &InstallTarget, disk: &Disk) -> String {
    let mut hash = Sha256::new();
    for part in
        ["bringup", what, target.plan.as_str(), target.node.as_str(), target.image_digest.as_str(), &disk.serial, &disk.wwn]
    {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    // Octet 6 begins with the version, octet 8 with the variant.
    let octet = |(at, byte): (usize, u8)| match at {
        6 => (byte & 0x0f) | 0x80,
        8 => (byte & 0x3f) | 0x80,
        _ => byte,
    };
    let hex: String = hash.finalize().into_iter().take(16).enumerate().map(octet).map(|b| format!("{b:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// The partition table that this plan makes on a disk.
pub(super) fn table_of(target: &InstallTarget, disk: &Disk) -> String {
    named("disk", target, disk)
}

/// The order, a `KEY VALUE` a line. No value holds a line break: they are names of the model, digests, and what was read of the disk. `fetches`: the
/// root is not sent, the installer fetches it from the boot server.
pub(super) fn order(target: &InstallTarget, disk: &Disk, fetches: bool) -> String {
    let (table, root) = (table_of(target, disk), named("root", target, disk));
    // An argument that tells a diskless system where its root is would send the installed one there too.
    let own = target.cmdline.iter().filter(|word| !word.contains("{root-url}") && !word.starts_with("root="));
    let mut options: Vec<String> = own.cloned().collect();
    options.push(format!("root=UUID={root}"));
    options.push("rw".to_owned());
    options.push(format!("bringup.plan={}", target.plan));
    options.push(format!("bringup.image={}", target.image_digest));
    options.push(format!("bringup.disk={table}"));
    let (options, mac, size) = (options.join(" "), target.mac.to_string(), disk.size.to_string());
    let seconds = target.deadline_s.to_string();
    let mut text = String::new();
    for (key, value) in [
        ("plan", target.plan.as_str()),
        ("image", target.image_digest.as_str()),
        ("node", target.node.as_str()),
        ("mac", mac.as_str()),
        ("disk", disk.name.as_str()),
        ("serial", disk.serial.as_str()),
        ("wwn", disk.wwn.as_str()),
        ("size", size.as_str()),
        ("disk-uuid", table.as_str()),
        ("root-uuid", root.as_str()),
        ("options", options.as_str()),
        ("seconds", seconds.as_str()),
    ] {
        text.push_str(&format!("{key} {value}\n"));
    }
    for (name, artifact) in files(target) {
        text.push_str(&format!("file {name} {}\n", artifact.sha256));
    }
    // Nobody has written to it meanwhile, either: an installer that waits for its files waits for minutes.
    if disk.holds.is_empty() {
        text.push_str("blank yes\n");
    }
    if fetches {
        text.push_str(&format!("fetch {ROOT}\n"));
        if let Some(cache) = &target.files_from {
            text.push_str(&format!("cache {cache}\n"));
        }
    }
    text
}
