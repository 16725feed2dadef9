//! What the installer on the node is told, and the names that it gives to what it makes: made from plan, node and disk, so that a later life
//! of the run knows its own work again.

use sha2::{Digest as _, Sha256};

use super::disk::Disk;
use super::target::{InstallTarget, Payload};
use crate::model::{Artifact, Digest, DiskMark};

/// Where everything of an installation lies on the node: in memory.
pub(super) const FOLDER: &str = "/run/bringup/install";
/// What runs on the node; `disks.sh` is the first part of all that read disks.
const DISKS: &str = include_str!("../inside/disks.sh");
const FETCH: &str = include_str!("../inside/fetch.sh");
const INSTALL: &str = include_str!("../inside/install.sh");
const IMAGE: &str = include_str!("../inside/image.sh");
const SURVEY: &str = include_str!("../inside/survey.sh");
const BELOW: &str = include_str!("../inside/below.sh");
pub(super) const PUT: &str = include_str!("../inside/put.sh");
pub(super) const BEGIN: &str = include_str!("../inside/begin.sh");
pub(super) const STATUS: &str = include_str!("../inside/status.sh");
/// Name of the root file system, or of the image of a whole disk, among the files.
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
pub(super) fn installer(payload: &Payload) -> (Vec<String>, Digest) {
    let second = match payload {
        Payload::System { .. } => INSTALL,
        Payload::Disk(_) => IMAGE,
    };
    let whole = format!("{DISKS}{FETCH}{second}");
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
    let mut files = Vec::new();
    if let Payload::System { kernel, initrd, .. } = &target.payload {
        files.push(("kernel".to_owned(), kernel));
        files.extend(initrd.iter().enumerate().map(|(n, initrd)| (format!("initrd{n}"), initrd)));
    }
    files.push((ROOT.to_owned(), target.payload.large()));
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

/// The partition table that this plan makes on a disk; for an image of a whole disk, as long as it is not all there.
pub(super) fn table_of(target: &InstallTarget, disk: &Disk) -> String {
    named("disk", target, disk)
}

/// The GUID that the table of a disk gets when an image of a whole disk was read back from it; `None` for the parts of a system.
pub(super) fn made(target: &InstallTarget, disk: &Disk) -> Option<String> {
    matches!(target.payload, Payload::Disk(_)).then(|| mark(target, disk).by(&target.plan))
}

/// What the partition table of a disk says when an image of a whole disk lies on it.
pub(super) fn mark<'a>(target: &'a InstallTarget, disk: &'a Disk) -> DiskMark<'a> {
    DiskMark { node: &target.node, image: &target.image_digest, serial: &disk.serial, wwn: &disk.wwn }
}

/// The order, a `KEY VALUE` a line. No value holds a line break: they are names of the model, digests, and what was read of the disk. `fetches`: the
/// root is not sent, the installer fetches it from the boot server.
pub(super) fn order(target: &InstallTarget, disk: &Disk, fetches: bool) -> String {
    let mut lines = vec![
        ("plan", target.plan.to_string()),
        ("image", target.image_digest.to_string()),
        ("node", target.node.to_string()),
        ("mac", target.mac.to_string()),
        ("disk", disk.name.clone()),
        ("serial", disk.serial.clone()),
        ("wwn", disk.wwn.clone()),
        ("size", disk.size.to_string()),
        ("disk-uuid", table_of(target, disk)),
    ];
    match &target.payload {
        Payload::System { cmdline, .. } => {
            let root = named("root", target, disk);
            lines.push(("options", options(target, cmdline, disk, &root)));
            lines.push(("root-uuid", root));
        }
        Payload::Disk(content) => {
            lines.push(("packed", content.packed.word().to_owned()));
            lines.push(("sha256", content.sha256.to_string()));
            lines.push(("bytes", content.bytes.to_string()));
            lines.push(("made", mark(target, disk).by(&target.plan)));
        }
    }
    lines.push(("seconds", target.deadline_s.to_string()));
    lines.extend(files(target).into_iter().map(|(name, artifact)| ("file", format!("{name} {}", artifact.sha256))));
    // Nobody has written to it meanwhile, either: an installer that waits for its files waits for minutes.
    if disk.holds.is_empty() {
        lines.push(("blank", "yes".to_owned()));
    }
    if fetches {
        lines.push(("fetch", ROOT.to_owned()));
        lines.extend(target.files_from.iter().map(|cache| ("cache", cache.clone())));
    }
    lines.into_iter().map(|(key, value)| format!("{key} {value}\n")).collect()
}

/// What the kernel on the disk is told.
fn options(target: &InstallTarget, cmdline: &[String], disk: &Disk, root: &str) -> String {
    // An argument that tells a diskless system where its root is would send the installed one there too.
    let own = cmdline.iter().filter(|word| !word.contains("{root-url}") && !word.starts_with("root="));
    let mut options: Vec<String> = own.cloned().collect();
    options.push(format!("root=UUID={root}"));
    options.push("rw".to_owned());
    options.push(format!("bringup.plan={}", target.plan));
    options.push(format!("bringup.image={}", target.image_digest));
    options.push(format!("bringup.disk={}", table_of(target, disk)));
    options.join(" ")
}
