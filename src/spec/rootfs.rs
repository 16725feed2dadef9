//! `images/definitions/NAME.yaml` with `apiVersion: rootfs/v1`: what the root file system of a node is made of. Opens no package and no artifact.

use super::artifact::{Named, Place};
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::ramdisk::{file, module_names, needed, package_name, source};
use super::yaml::{Kind, Tree};
use super::{code, image, words};
use crate::model::Rootfs;

/// Paths that are made by the build or brought by each boot.
const OWN: [&str; 12] = [
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/root/.ssh",
    "/etc/machine-id",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_rsa_key",
];
/// Earlier times are refused: `shadow` counts the age of accounts in days since 1970 and takes 0 for "the password must be changed now", which
/// keeps root out. 2001-09-09.
const EARLIEST: u32 = 1_000_000_000;

/// True for a definition of this kind; any other is one of a ramdisk.
pub(super) fn is_one(tree: &Tree) -> bool {
    let Kind::Map(entries) = &tree.kind else { return false };
    let version = entries.iter().find(|e| &*e.key == "apiVersion").map(|e| &e.value.kind);
    matches!(version, Some(Kind::Scalar { text, .. }) if text.starts_with("rootfs/"))
}

/// Reads a definition.
pub(super) fn read(tree: &Tree, name: &str, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Rootfs> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "rootfs/v1", out);
    let arch = image::arch(&mut fields, out);
    let epoch = fields.need("epoch", out).and_then(|t| super::decode::number::<u32>(t, "epoch", out));
    if let Some(epoch) = epoch.as_ref().filter(|e| e.value < EARLIEST) {
        let d = Diagnostic::error(code::BAD_VALUE, format!("epoch: {} is before 2001-09-09", epoch.value)).at(epoch.span);
        out.push(d.hint("the day on which the packages were locked: `date -d 2026-11-23 +%s`"));
    }
    let ramdisk = fields.need_text("ramdisk", out).and_then(|n| definition(n, name, out));
    let sources: Vec<_> = needed(&mut fields, "sources", out).iter().enumerate().filter_map(|(i, t)| source(t, i, out)).collect();
    let packages = words::texts(needed(&mut fields, "packages", out), "packages", out);
    let packages = once(packages, "packages", out).into_iter().filter_map(|p| package_name(p, "packages", out)).collect();
    let exclude = words::texts(fields.list("exclude", out).unwrap_or_default(), "exclude", out);
    let exclude = exclude.into_iter().filter_map(|p| excluded(p, out)).collect();
    let modules = fields.list("modules", out).map(|items| module_names(items, "modules", out));
    let files = fields.list("files", out).unwrap_or_default();
    let files: Vec<_> = files.iter().enumerate().filter_map(|(i, t)| file(t, i, at, &OWN, named, out)).collect();
    let (mut enable, mut mask) = (Vec::new(), Vec::new());
    if let Some(mut f) = fields.take("services").and_then(|t| Fields::of(t, "services", out)) {
        enable = units(f.list("enable", out).unwrap_or_default(), "services.enable", out);
        mask = units(f.list("mask", out).unwrap_or_default(), "services.mask", out);
        let span = f.span;
        f.finish(out);
        if let Some(both) = enable.iter().find(|unit| mask.contains(unit)) {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("services: `{both}` is both enabled and masked")).at(span));
        }
    }
    let hostname = fields.text("hostname", out).and_then(|h| one_host(h, out));
    let (locale, timezone) = (
        place_word(fields.text("locale", out), "locale", "C.UTF-8", out),
        place_word(fields.text("timezone", out), "timezone", "Etc/UTC", out),
    );
    let cmdline = image::cmdline(fields.list("cmdline", out).unwrap_or_default(), out);
    fields.finish(out);
    Some(Rootfs {
        name: name.to_owned(),
        arch: arch?.value,
        epoch: epoch?.value,
        ramdisk: ramdisk?,
        sources,
        packages,
        exclude,
        modules,
        files,
        enable,
        mask,
        hostname,
        locale: locale?,
        timezone: timezone?,
        cmdline,
    })
}

/// The definition of a ramdisk beside this one, by its name.
fn definition(name: Spanned<String>, own: &str, out: &mut Diagnostics) -> Option<String> {
    let refuse = |message: String| Diagnostic::error(code::BAD_VALUE, message).at(name.span);
    if name.value == own {
        out.push(refuse("ramdisk: this definition itself is none".to_owned()));
        return None;
    }
    match name.value.parse::<super::unit::FileName>() {
        Ok(name) => Some(name.0),
        Err(why) => {
            let message = format!("ramdisk: `{}` is no name of a definition: {why}", quote(&name.value));
            out.push(refuse(message).hint("`bringup` for bringup.yaml beside this file"));
            None
        }
    }
}

fn once(items: Vec<Spanned<String>>, what: &str, out: &mut Diagnostics) -> Vec<Spanned<String>> {
    let mut seen: Vec<Spanned<String>> = Vec::new();
    for item in items {
        if let Some(first) = seen.iter().find(|s| s.value == item.value) {
            let d = Diagnostic::error(code::BAD_VALUE, format!("{what}: `{}` occurs twice", quote(&item.value)));
            out.push(d.at(item.span).label("second").also(first.span, "first"));
            continue;
        }
        seen.push(item);
    }
    seen
}

/// A pattern of dpkg: absolute, and no signs that mean something elsewhere.
fn excluded(pattern: Spanned<String>, out: &mut Diagnostics) -> Option<String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"/._*?+-".contains(&b);
    if pattern.value.starts_with("/usr/share/") && pattern.value.len() <= 200 && pattern.value.bytes().all(known) {
        return Some(pattern.value);
    }
    let message = format!("exclude: `{}` is not a pattern of paths below /usr/share/", quote(&pattern.value));
    let d = Diagnostic::error(code::BAD_VALUE, message).at(pattern.span);
    out.push(d.hint("such as `/usr/share/man/*`; packages hold no program there"));
    None
}

/// systemd.unit(5): letters, digits and `:-_.\@`, and a type; here without the backslash.
fn units(items: &[Tree], what: &str, out: &mut Diagnostics) -> Vec<String> {
    const TYPES: [&str; 6] = [".service", ".timer", ".socket", ".target", ".path", ".mount"];
    let mut named = Vec::new();
    for unit in once(words::texts(items, what, out), what, out) {
        let known = |b: u8| b.is_ascii_alphanumeric() || b":-_.@".contains(&b);
        let first = unit.value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if first && unit.value.len() <= 128 && unit.value.bytes().all(known) && TYPES.iter().any(|t| unit.value.ends_with(t)) {
            named.push(unit.value);
        } else {
            let message = format!("{what}: `{}` is not the name of a unit", quote(&unit.value));
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(unit.span).hint("with its type: `ssh.service`"));
        }
    }
    named
}

fn one_host(name: Spanned<String>, out: &mut Diagnostics) -> Option<String> {
    let label = |l: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        l.len() <= 63
            && ends(l.bytes().next())
            && ends(l.bytes().last())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.value.len() <= 64 && name.value.split('.').all(label) {
        return Some(name.value);
    }
    let message = format!("hostname: `{}` is no host name", quote(&name.value));
    out.push(Diagnostic::error(code::BAD_VALUE, message).at(name.span).hint("leave it out: each boot gives its node's name"));
    None
}

/// A locale or time zone: a relative path of plain words.
fn place_word(given: Option<Spanned<String>>, what: &str, usual: &str, out: &mut Diagnostics) -> Option<String> {
    let Some(word) = given else { return Some(usual.to_owned()) };
    let plain = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@+-".contains(&b))
    };
    if word.value.len() <= 64 && word.value.split('/').all(plain) {
        return Some(word.value);
    }
    let message = format!("{what}: `{}` is not the name of one", quote(&word.value));
    out.push(Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint(format!("such as `{usual}`")));
    None
}
