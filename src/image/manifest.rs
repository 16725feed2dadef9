//! What a build writes down: the lock of its packages, and the `image/v1` file that `plan` and `serve` read. Text only; same content, same bytes.

use std::fmt::Write as _;

use super::ramdisk::Built;
use crate::model::{Digest, Ramdisk, RamdiskLock, Rootfs};

/// A word as YAML reads it, whatever signs it holds: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a ramdisk's `NAME.lock`.
#[must_use]
pub fn lock(lock: &RamdiskLock) -> String {
    locked("ramdisk-lock/v1", lock)
}

/// The text of a root's `NAME.lock`.
#[must_use]
pub fn rootfs_lock(lock: &RamdiskLock) -> String {
    locked("rootfs-lock/v1", lock)
}

fn locked(version: &str, lock: &RamdiskLock) -> String {
    let mut text = format!(
        "# Written by `bringup image build --lock`, kept beside the definition, never edited. A package that is not this one is refused.\n\
         apiVersion: {version}\npackages:\n",
    );
    for p in &lock.packages {
        // A String takes every write.
        let _ = writeln!(text, "  - name: {}", quoted(&p.name));
        if p.package != p.name {
            let _ = writeln!(text, "    package: {}", quoted(&p.package));
        }
        let _ = writeln!(text, "    version: {}", quoted(&p.version));
        let _ = writeln!(text, "    sha256: {}\n    size: {}\n    url: {}", quoted(p.sha256.as_str()), p.size, quoted(&p.url));
    }
    text
}

/// The text of `images/NAME.yaml` of a ramdisk. Its files lie in the folder `NAME` beside it.
#[must_use]
pub fn image(ramdisk: &Ramdisk, built: &Built) -> String {
    write(&ramdisk.name, &ramdisk.arch, built, None, ramdisk.cmdline.iter())
}

/// The text of `images/NAME.yaml` of a root with the kernel and the ramdisk that fetches it.
#[must_use]
pub fn node_image(rootfs: &Rootfs, ramdisk: &Ramdisk, built: &Built, root: &Digest) -> String {
    write(&rootfs.name, &rootfs.arch, built, Some(root), ramdisk.cmdline.iter().chain(&rootfs.cmdline))
}

fn write<'a>(name: &str, arch: &str, built: &Built, root: Option<&Digest>, cmdline: impl Iterator<Item = &'a String>) -> String {
    let file = |file: &str, digest: &Digest| {
        format!("{{file: {}, sha256: {}}}", quoted(&format!("{name}/{file}")), quoted(digest.as_str()))
    };
    let mut text = format!(
        "# Made by `bringup image build` from the definition `{name}`; made anew, never edited.\n\
         # It has no SSH host key of its own: each boot brings one.\n\
         apiVersion: image/v1\narch: {arch}\nidentity: grant\nkernel: {}\ninitrd:\n  - {}\n",
        file(KERNEL, &built.kernel_sha256),
        file(INITRD, &built.initrd_sha256),
    );
    if let Some(root) = root {
        let _ = writeln!(text, "root: {}", file(ROOT, root));
    }
    for (at, argument) in cmdline.enumerate() {
        let _ = writeln!(text, "{}  - {}", if at == 0 { "cmdline:\n" } else { "" }, quoted(argument));
    }
    text
}

/// File name of a kernel.
pub const KERNEL: &str = "vmlinuz";
/// File name of an initrd.
pub const INITRD: &str = "initrd.img";
/// File name of a root file system.
pub const ROOT: &str = "root.squashfs";
