//! What a build writes down: the lock of its packages, and the `image/v1` file that `plan` and `serve` read. Text only; same content, same bytes.

use std::fmt::Write as _;

use super::ramdisk::Built;
use crate::model::{Digest, Ramdisk, RamdiskLock};

/// A word as YAML reads it, whatever signs it holds: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of `NAME.lock`.
#[must_use]
pub fn lock(lock: &RamdiskLock) -> String {
    let mut text = String::from(
        "# Written by `bringup image build --lock`, kept beside the definition, never edited. A package that is not this one is refused.\n\
         apiVersion: ramdisk-lock/v1\npackages:\n",
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

/// The text of `images/NAME.yaml`. Its files lie in the folder `NAME` beside it.
#[must_use]
pub fn image(ramdisk: &Ramdisk, built: &Built) -> String {
    let name = &ramdisk.name;
    let file = |file: &str, digest: &Digest| {
        format!("{{file: {}, sha256: {}}}", quoted(&format!("{name}/{file}")), quoted(digest.as_str()))
    };
    let mut text = format!(
        "# Made by `bringup image build` from the definition `{name}`; made anew, never edited.\n\
         # It has no SSH host key of its own: each boot brings one.\n\
         apiVersion: image/v1\narch: {}\nidentity: grant\nkernel: {}\ninitrd:\n  - {}\n",
        ramdisk.arch,
        file(KERNEL, &built.kernel_sha256),
        file(INITRD, &built.initrd_sha256),
    );
    if !ramdisk.cmdline.is_empty() {
        text.push_str("cmdline:\n");
    }
    for argument in &ramdisk.cmdline {
        let _ = writeln!(text, "  - {}", quoted(argument));
    }
    text
}

/// File name of a kernel.
pub const KERNEL: &str = "vmlinuz";
/// File name of an initrd.
pub const INITRD: &str = "initrd.img";
