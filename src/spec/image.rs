//! `images/NAME.yaml`: kernel, initial RAM disks, root, arguments, or a whole disk; each file by digest. Opens no artifact.

use std::collections::BTreeSet;

use super::artifact::{self, Named, Place};
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::yaml::Tree;
use super::{code, diskimage, words};
use crate::model::{DiskImage, HostIdentity, Image, Installable};

/// Machine types that the boot server has a loader for.
const ARCHES: [&str; 2] = ["x86_64", "aarch64"];
/// Linux cuts its command line at 2,048 bytes on x86 (`COMMAND_LINE_SIZE`), without a word; `bringup` needs some for itself.
const CMDLINE_MAX: usize = 1536;

/// Reads an image.
pub(super) fn read(tree: &Tree, name: &str, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Installable> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "image/v1", out);
    let arch = arch(&mut fields, out);
    if let Some(tree) = fields.take("disk") {
        let content = diskimage::read(tree, at, named, out);
        let ssh_host_keys = host_keys(fields.list("ssh_host_keys", out).unwrap_or_default(), out);
        diskimage::alone(&mut fields, out);
        fields.finish(out);
        return Some(Installable::Disk(DiskImage { name: name.to_owned(), arch: arch?.value, content: content?, ssh_host_keys }));
    }
    let kernel = fields.need("kernel", out).and_then(|t| artifact::read(t, "kernel".to_owned(), at, named, out));
    let parts = fields.list("initrd", out).unwrap_or_default();
    let initrd: Vec<_> =
        parts.iter().enumerate().filter_map(|(i, t)| artifact::read(t, format!("initrd[{i}]"), at, named, out)).collect();
    let root = fields.take("root").and_then(|t| artifact::read(t, "root".to_owned(), at, named, out));
    let cmdline = cmdline(fields.list("cmdline", out).unwrap_or_default(), out);
    let ssh_host_keys = host_keys(fields.list("ssh_host_keys", out).unwrap_or_default(), out);
    let identity = identity(&mut fields, &ssh_host_keys, out);
    fields.finish(out);
    let (name, arch, kernel) = (name.to_owned(), arch?.value, kernel?);
    Some(Installable::System(Image { name, arch, kernel, initrd, root, cmdline, ssh_host_keys, identity }))
}

/// The machine type, which must be one that the boot server has a loader for.
pub(super) fn arch(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Spanned<String>> {
    let arch = fields.need_text("arch", out)?;
    if !ARCHES.contains(&arch.value.as_str()) {
        let message = format!("arch: `{}` is not known", quote(&arch.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(arch.span).hint(format!("known: {}", ARCHES.join(", "))));
    }
    Some(arch)
}

/// Kernel arguments.
pub(super) fn cmdline(items: &[Tree], out: &mut Diagnostics) -> Vec<String> {
    let words = words::texts(items, "cmdline", out);
    for word in &words {
        let bad = |message: &str| Diagnostic::error(code::BAD_VALUE, format!("cmdline: {message}")).at(word.span);
        if word.value.is_empty() || word.value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            out.push(bad("an argument is empty or holds blanks").hint("write one argument an item"));
        }
        // iPXE replaces `${…}` by its own settings before the kernel sees it (ipxe.org/cfg).
        if word.value.contains("${") {
            out.push(bad("`${` would be replaced by the boot loader"));
        }
        if word.value.starts_with("bringup.") {
            out.push(bad("arguments that start with `bringup.` are added by `bringup`, which binds them to one node and plan"));
        }
        words::no_secret(word, "cmdline", out);
    }
    let total: usize = words.iter().map(|w| w.value.len() + 1).sum();
    if let Some(first) = words.first().filter(|_| total > CMDLINE_MAX) {
        let message =
            format!("cmdline: {total} bytes are too many, the kernel would cut the line; {CMDLINE_MAX} are left for an image");
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(first.span));
    }
    words.into_iter().map(|w| w.value).collect()
}

/// Where the host key comes from. An image cannot have both: whoever reads its file would learn the key that every boot shows.
fn identity(fields: &mut Fields<'_>, keys: &BTreeSet<String>, out: &mut Diagnostics) -> HostIdentity {
    let Some(word) = fields.text("identity", out) else { return HostIdentity::Image };
    if word.value != "grant" {
        let message = format!("identity: `{}` is not known", quote(&word.value));
        out.push(
            Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint("known: grant; without it the image has its own"),
        );
        return HostIdentity::Image;
    }
    if !keys.is_empty() {
        let message = "identity: each boot brings a host key of its own, so the image has none".to_owned();
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint("leave out `identity` or `ssh_host_keys`"));
    }
    HostIdentity::Grant
}

fn host_keys(items: &[Tree], out: &mut Diagnostics) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for key in words::texts(items, "ssh_host_keys", out) {
        let digits = key.value.strip_prefix("SHA256:").unwrap_or("");
        // 32 bytes are 43 base64 digits without padding.
        if digits.len() == 43 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/') {
            keys.insert(key.value);
        } else {
            let message = format!("ssh_host_keys: `{}` is not a fingerprint", quote(&key.value));
            let hint = "`ssh-keygen -l -f KEY.pub` prints it: `SHA256:` and 43 characters";
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(key.span).hint(hint));
        }
    }
    keys
}
