//! `images/definitions/NAME.lock`: the packages of a ramdisk by digest. Read here, written by `bringup image build --lock`.

use super::code;
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::yaml::Tree;
use crate::model::{Digest, LockedPackage, Ramdisk, RamdiskLock};

/// Reads a lock and holds it against its definition.
pub(super) fn read(tree: &Tree, ramdisk: &Ramdisk, out: &mut Diagnostics) -> Option<RamdiskLock> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "ramdisk-lock/v1", out);
    let items = fields.need("packages", out).and_then(|t| super::decode::list(t, "packages", out)).unwrap_or_default();
    let span = fields.span;
    fields.finish(out);
    let read: Vec<_> = items.iter().enumerate().filter_map(|(i, t)| package(t, i, out)).collect();
    let relock = |d: Diagnostic| d.hint("`bringup image build --lock` writes it anew");
    for name in ramdisk.package_names().filter(|name| !read.iter().any(|p| p.0.value == *name)) {
        out.push(relock(Diagnostic::error(code::LOCK, format!("the lock lacks the package `{name}`")).at(span)));
    }
    for (name, _) in read.iter().filter(|(name, _)| !ramdisk.package_names().any(|n| n == name.value)) {
        let message = format!("the definition does not name the package `{}`", quote(&name.value));
        out.push(relock(Diagnostic::error(code::LOCK, message).at(name.span)));
    }
    Some(RamdiskLock { packages: read.into_iter().map(|(_, package)| package).collect() })
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
