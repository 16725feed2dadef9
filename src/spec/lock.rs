//! `images/definitions/NAME.lock`: the packages of a ramdisk or a root file system by digest. Read here, written by `bringup image build --lock`.

use super::code;
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::yaml::Tree;
use crate::model::{Digest, LockedPackage, Ramdisk, RamdiskLock, Rootfs};

/// Reads the lock of a ramdisk and holds it against its definition.
pub(super) fn read(tree: &Tree, ramdisk: &Ramdisk, out: &mut Diagnostics) -> Option<RamdiskLock> {
    let (read, span) = packages(tree, "ramdisk-lock/v1", out)?;
    lacking(&read, ramdisk.package_names(), span, out);
    for (name, _) in read.iter().filter(|(name, _)| !ramdisk.package_names().any(|n| n == name.value)) {
        let message = format!("the definition does not name the package `{}`", quote(&name.value));
        out.push(relock(Diagnostic::error(code::LOCK, message).at(name.span)));
    }
    Some(RamdiskLock { packages: read.into_iter().map(|(_, package)| package).collect() })
}

/// Reads the lock of a root file system. It also holds what the named packages depend on; the build says when that is no longer all of it.
pub(super) fn read_rootfs(tree: &Tree, rootfs: &Rootfs, out: &mut Diagnostics) -> Option<RamdiskLock> {
    let (read, span) = packages(tree, "rootfs-lock/v1", out)?;
    lacking(&read, rootfs.package_names(), span, out);
    Some(RamdiskLock { packages: read.into_iter().map(|(_, package)| package).collect() })
}

type Read = Vec<(Spanned<String>, LockedPackage)>;

fn packages(tree: &Tree, version: &'static str, out: &mut Diagnostics) -> Option<(Read, Span)> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, version, out);
    let items = fields.need("packages", out).and_then(|t| super::decode::list(t, "packages", out)).unwrap_or_default();
    let span = fields.span;
    fields.finish(out);
    let read: Read = items.iter().enumerate().filter_map(|(i, t)| package(t, i, out)).collect();
    for (at, (name, _)) in read.iter().enumerate() {
        if read.iter().take(at).any(|(earlier, _)| earlier.value == name.value) {
            out.push(relock(
                Diagnostic::error(code::LOCK, format!("the package `{}` occurs twice", quote(&name.value))).at(name.span),
            ));
        }
    }
    Some((read, span))
}

fn lacking<'n>(read: &Read, names: impl Iterator<Item = &'n str>, span: Span, out: &mut Diagnostics) {
    for name in names.filter(|name| !read.iter().any(|p| p.0.value == *name)) {
        out.push(relock(Diagnostic::error(code::LOCK, format!("the lock lacks the package `{name}`")).at(span)));
    }
}

fn relock(d: Diagnostic) -> Diagnostic {
    d.hint("`bringup image build --lock` writes it anew")
}

fn package(tree: &Tree, index: usize, out: &mut Diagnostics) -> Option<(Spanned<String>, LockedPackage)> {
    let what = format!("packages[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let name = fields.need_text("name", out);
    let package = fields.text("package", out);
    let version = fields.need_text("version", out);
    let sha256 = fields.need_parsed::<Digest>("sha256", out);
    let size = fields.need("size", out).and_then(|t| super::decode::number::<u64>(t, &format!("{what}.size"), out));
    let url = fields.need_text("url", out);
    fields.finish(out);
    if let Some(url) = &url {
        // One word for a fetcher: never an option, never two words.
        let known = ["http://", "https://", "file:/", "copy:/"].iter().any(|s| url.value.starts_with(s));
        if !known || url.value.len() > 1000 || !url.value.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!("{what}.url: `{}` is not an address that packages come from", quote(&url.value));
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(url.span));
        }
    }
    let name = name?;
    let locked = LockedPackage {
        name: name.value.clone(),
        package: package.map_or_else(|| name.value.clone(), |p| p.value),
        version: version?.value,
        sha256: sha256?.value,
        size: size?.value,
        url: url?.value,
    };
    Some((name, locked))
}
