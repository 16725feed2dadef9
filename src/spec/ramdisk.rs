//! `images/definitions/NAME.yaml`: what the bring-up ramdisk is made of. Opens no package and no artifact.

use std::collections::BTreeMap;

use super::artifact::{self, Named, Place};
use super::decode::{self, Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::yaml::Tree;
use super::{code, image, words};
use crate::model::{Compression, PackageSource, PlacedFile, Ramdisk, TakenPackage};

/// Signs Debian's own repositories; of the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Paths that are made by `bringup` or brought by a boot's own initrd: nothing else may lie there.
const OWN: [&str; 5] = ["/init", "/etc/bringup", "/root/.ssh", "/usr/bin/bringup-report", "/bin/bringup-report"];

/// Reads a definition.
pub(super) fn read(tree: &Tree, name: &str, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Ramdisk> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "ramdisk/v1", out);
    let arch = image::arch(&mut fields, out);
    let epoch = fields.number::<u32>("epoch", out).map_or(0, |n| n.value);
    let sources: Vec<_> = needed(&mut fields, "sources", out).iter().enumerate().filter_map(|(i, t)| source(t, i, out)).collect();
    let (mut kernel, mut modules, mut load) = (None, Vec::new(), Vec::new());
    if let Some(mut f) = fields.need("kernel", out).and_then(|t| Fields::of(t, "kernel", out)) {
        kernel = f.need_text("package", out).and_then(|name| package_name(name, "kernel.package", out));
        modules = module_names(f.list("modules", out).unwrap_or_default(), "kernel.modules", out);
        load = module_names(f.list("load", out).unwrap_or_default(), "kernel.load", out);
        f.finish(out);
    }
    let mut seen = BTreeMap::new();
    let packages = needed(&mut fields, "packages", out);
    let packages: Vec<_> = packages.iter().enumerate().filter_map(|(i, t)| package(t, i, &mut seen, out)).collect();
    let files = fields.list("files", out).unwrap_or_default();
    let files: Vec<_> = files.iter().enumerate().filter_map(|(i, t)| file(t, i, at, &OWN, named, out)).collect();
    let cmdline = image::cmdline(fields.list("cmdline", out).unwrap_or_default(), out);
    let compression = fields.text("compression", out).map_or(Some(Compression::Zstd), |word| match word.value.as_str() {
        "zstd" => Some(Compression::Zstd),
        "gzip" => Some(Compression::Gzip),
        other => {
            let message = format!("compression: `{}` is not known", quote(other));
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint("known: zstd, gzip"));
            None
        }
    });
    fields.finish(out);
    let (arch, kernel, compression) = (arch?.value, kernel?, compression?);
    Some(Ramdisk { name: name.to_owned(), arch, epoch, sources, kernel, modules, load, packages, files, cmdline, compression })
}

/// A list that must be there and hold something.
pub(super) fn needed<'t>(fields: &mut Fields<'t>, key: &'static str, out: &mut Diagnostics) -> &'t [Tree] {
    let Some(tree) = fields.need(key, out) else { return &[] };
    let items = decode::list(tree, key, out).unwrap_or_default();
    if matches!(&tree.kind, super::yaml::Kind::Seq(items) if items.is_empty()) {
        out.push(Diagnostic::error(code::BAD_VALUE, format!("{key}: the list is empty")).at(tree.span));
    }
    items
}

pub(super) fn source(tree: &Tree, index: usize, out: &mut Diagnostics) -> Option<PackageSource> {
    let what = format!("sources[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let uri = fields.need_text("uri", out).and_then(|uri| {
        let fits = ["http://", "https://", "file:/"].iter().any(|s| uri.value.starts_with(s)) && plain(&uri.value);
        if !fits {
            let message = format!("{what}.uri: `{}` is not the address of a repository", quote(&uri.value));
            let d = Diagnostic::error(code::BAD_VALUE, message).at(uri.span);
            out.push(d.hint("such as `http://deb.debian.org/debian`, without the suite"));
        }
        fits.then_some(uri.value)
    });
    let suite = fields.need_text("suite", out).and_then(|s| word(s, &format!("{what}.suite"), out));
    let components = fields.need("components", out).and_then(|t| decode::list(t, &format!("{what}.components"), out));
    let components = words::texts(components.unwrap_or_default(), &format!("{what}.components"), out);
    let components: Vec<_> = components.into_iter().filter_map(|c| word(c, &format!("{what}.components"), out)).collect();
    let keyring = fields.text("keyring", out).map_or(Some(KEYRING.to_owned()), |k| {
        if k.value.starts_with('/') && plain(&k.value) {
            return Some(k.value);
        }
        let message = format!("{what}.keyring: `{}` is not the absolute path of a file", quote(&k.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(k.span).hint(format!("such as {KEYRING}")));
        None
    });
    let span = fields.span;
    fields.finish(out);
    if components.is_empty() {
        out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}.components: none is named")).at(span).hint("such as [main]"));
    }
    Some(PackageSource { uri: uri?, suite: suite?, components, keyring: keyring? })
}

/// Fit for a line of a source list: printable, no blanks, none of the signs that mean something there.
fn plain(text: &str) -> bool {
    text.len() <= 400 && text.bytes().all(|b| b.is_ascii_graphic() && !b"[]#\"'".contains(&b))
}

/// A suite or component: letters, digits and `./_-`, a letter first.
fn word(text: Spanned<String>, what: &str, out: &mut Diagnostics) -> Option<String> {
    let first = text.value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let fits = first && text.value.len() <= 64 && text.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-".contains(&b));
    if !fits {
        let message = format!("{what}: `{}` is not a name that a repository has", quote(&text.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(text.span));
    }
    fits.then_some(text.value)
}

/// Debian Policy 5.6.1: lower-case letters, digits and `+-.`, two at least, the first a letter or digit. So it is never an option.
pub(super) fn package_name(name: Spanned<String>, what: &str, out: &mut Diagnostics) -> Option<String> {
    let first = name.value.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if first && rest && (2..=128).contains(&name.value.len()) {
        return Some(name.value);
    }
    out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}: `{}` is not a package name", quote(&name.value))).at(name.span));
    None
}

pub(super) fn module_names(items: &[Tree], what: &str, out: &mut Diagnostics) -> Vec<String> {
    let mut names = Vec::new();
    for name in words::texts(items, what, out) {
        let fits = !name.value.is_empty()
            && name.value.len() <= 64
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fits {
            let message = format!("{what}: `{}` is not the name of a kernel module", quote(&name.value));
            let d = Diagnostic::error(code::BAD_VALUE, message).at(name.span);
            out.push(d.hint("without folder and `.ko`: `virtio_net`"));
        }
        // The kernel takes `-` and `_` for the same sign (kmod does too).
        names.push(name.value.replace('-', "_"));
    }
    names
}

fn package(tree: &Tree, index: usize, seen: &mut BTreeMap<String, Span>, out: &mut Diagnostics) -> Option<TakenPackage> {
    let what = format!("packages[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let name = fields.need_text("name", out);
    let take = fields.need("take", out).and_then(|t| decode::list(t, &format!("{what}.take"), out));
    let patterns = words::texts(take.unwrap_or_default(), &format!("{what}.take"), out);
    let span = fields.span;
    fields.finish(out);
    if take.is_some() && patterns.is_empty() {
        let d = Diagnostic::error(code::BAD_VALUE, format!("{what}.take: nothing would be taken")).at(span);
        out.push(d.hint("`dpkg-deb -c FILE.deb` lists a package; `**` takes all of it"));
    }
    for pattern in &patterns {
        let parts = || pattern.value.split('/');
        if pattern.value.is_empty() || pattern.value.len() > 200 || parts().any(|p| matches!(p, "" | "." | "..")) {
            let message = format!("{what}.take: `{}` is not a path in a package", quote(&pattern.value));
            let d = Diagnostic::error(code::BAD_VALUE, message).at(pattern.span);
            out.push(d.hint("without the first `/`, without `..`: `usr/lib/*/libz.so.1*`"));
        }
    }
    let name = name?;
    if let Some(first) = seen.insert(name.value.clone(), name.span) {
        let message = format!("the package `{}` occurs twice", quote(&name.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(name.span).label("second").also(first, "first"));
    }
    let name = package_name(name, &format!("{what}.name"), out)?;
    Some(TakenPackage { name, take: patterns.into_iter().map(|p| p.value).collect() })
}

/// A file of the site and its place, which is none of those that are `own` or below.
pub(super) fn file(
    tree: &Tree,
    index: usize,
    at: Place<'_>,
    own: &[&str],
    named: &mut Vec<Named>,
    out: &mut Diagnostics,
) -> Option<PlacedFile> {
    let what = format!("files[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let artifact = fields.need("artifact", out).and_then(|t| artifact::read(t, format!("{what}.artifact"), at, named, out));
    let to = fields.need_text("to", out);
    let executable = fields.boolean("executable", out).is_some_and(|b| b.value);
    fields.finish(out);
    let to = to?;
    let whole = to.value.starts_with('/') && to.value.len() <= 200 && !to.value.chars().any(char::is_control);
    let parts = to.value.trim_start_matches('/').split('/');
    let refuse = |why: &str| Diagnostic::error(code::BAD_VALUE, format!("{what}.to: `{}` {why}", quote(&to.value))).at(to.span);
    if !whole || parts.into_iter().any(|p| matches!(p, "" | "." | "..")) {
        out.push(refuse("is not the absolute path of a file").hint("such as `/etc/motd`, without `..`"));
    } else if own.iter().any(|own| to.value == *own || to.value.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'))) {
        let hint = "what the build makes and SSH keys are not the definition's; keys come with each boot";
        out.push(refuse("is taken by `bringup`").hint(hint));
    }
    Some(PlacedFile { artifact: artifact?, to: to.value, executable })
}
