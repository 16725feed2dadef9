//! The way in: a directory to an inventory, or every mistake in it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cabling::Cabling;
use super::code;
use super::decode::{Spanned, entries};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::expand::{self, Slot};
use super::facts::Facts;
use super::identity;
use super::range::Pattern;
use super::site::{Override, Site};
use super::source::{FileId, ReadError};
use super::yaml;
use crate::model::{Digest, Inventory, Node, NodeId, Rack, RackId};

/// The name of the intent in an inventory's directory.
pub const SITE_FILE: &str = "site.yaml";
/// Where facts lie unless the intent says otherwise.
const FACTS: &str = "facts/*.csv";

/// An inventory, and how it came to be.
#[derive(Debug)]
pub struct LoadedInventory {
    /// Every node, every field resolved.
    pub inventory: Inventory,
    /// What is worth knowing; there are no errors among them.
    pub warnings: Diagnostics,
    /// Every file that was read, by path as written, with the SHA-256 of its bytes.
    pub inputs: BTreeMap<String, Digest>,
    pub(super) site: Site,
    pub(super) slots: BTreeMap<NodeId, Slot>,
    pub(super) facts: Facts,
    pub(super) cabling: Cabling,
}

/// Loads the inventory in `dir`: `site.yaml`, its facts, `cabling/*.csv` and `overrides/*.yaml`. `today` (YYYY-MM-DD) decides which overrides have expired.
///
/// # Errors
/// Every mistake of every file.
pub fn load_inventory(dir: &Path, today: &str) -> Result<LoadedInventory, Diagnostics> {
    finish(dir, today, |_| {})
}

/// As [`load_inventory`], for who goes to find the facts: those that are demanded and missing are warnings.
///
/// # Errors
/// Every other mistake of every file.
pub fn load_inventory_without_facts(dir: &Path, today: &str) -> Result<LoadedInventory, Diagnostics> {
    finish(dir, today, |out| out.forgive(code::MISSING_FACT))
}

fn finish(dir: &Path, today: &str, lenient: impl FnOnce(&mut Diagnostics)) -> Result<LoadedInventory, Diagnostics> {
    let mut out = Diagnostics::new();
    let loaded = load(dir, today, &mut out);
    lenient(&mut out);
    match loaded {
        Some((inventory, site, slots, facts, cabling)) if !out.refused() => {
            let inputs = out.sources.digests();
            Ok(LoadedInventory { inventory, warnings: out, inputs, site, slots, facts, cabling })
        }
        _ => Err(out),
    }
}

type Loaded = (Inventory, Site, BTreeMap<NodeId, Slot>, Facts, Cabling);

fn load(dir: &Path, today: &str, out: &mut Diagnostics) -> Option<Loaded> {
    let file = read(&dir.join(SITE_FILE), Some(&elsewhere(dir)), out)?;
    let tree = yaml::parse(file, out)?;
    let dropped = out.refused();
    let mut site = Site::read(&tree, today, out)?;
    // Where the reader dropped something, what is missing may have been there.
    site.defaults.flawed |= dropped;
    for path in listing(&dir.join("overrides"), &wildcard("*.yaml"), out) {
        let tree = read(&path, None, out).and_then(|file| yaml::parse(file, out));
        let items = tree.as_ref().and_then(|t| entries(t, "", out)).unwrap_or_default();
        site.overrides.extend(items.iter().filter_map(|entry| Override::read(entry, today, out)));
    }
    let mut facts = Facts { whole: true, ..Facts::default() };
    for file in facts_files(dir, &site, out) {
        facts.read(file, out);
    }
    let mut cabling = Cabling::default();
    for path in listing(&dir.join("cabling"), &wildcard("*.csv"), out) {
        if let Some(file) = read(&path, None, out) {
            cabling.read(file, out);
        }
    }
    // Profiles that no rack uses are checked as well.
    for profile in site.profiles.values() {
        profile.inherits.as_ref().and_then(|parent| site.chain(parent, out));
    }
    let before = out.errors();
    let (racks, mut slots) = expand::slots(&site, out);
    if out.errors() > before {
        // Names are not what they were meant to be: that facts and overrides do not fit them is no mistake of its own.
        site.gaps = true;
        facts.whole = false;
    }
    if slots.is_empty() && !out.refused() {
        out.push(Diagnostic::error(code::INCOMPLETE, "the inventory has no node").at(tree.span));
    }
    expand::apply_overrides(&site, &mut slots, out);
    let mut nodes = expand::nodes(&site, &slots, &facts, out);
    cabling.give(&mut nodes, site.gaps, out);
    expand::check_facts(&site, &slots, &nodes, &facts, out);
    identity::check(identity::Expanded { site: &site, slots: &slots, facts: &facts }, &nodes, out);
    let digest = digest(&site.name, &racks, &nodes);
    let inventory = Inventory { site: site.name.clone(), racks, nodes, digest };
    Some((inventory, site, slots, facts, cabling))
}

/// What to do when a directory is no inventory: often the inventories are one level below.
fn elsewhere(dir: &Path) -> String {
    let below = std::fs::read_dir(dir).into_iter().flatten().filter_map(|item| Some(item.ok()?.path()));
    let mut below: Vec<String> = below
        .filter(|p| p.join(SITE_FILE).is_file())
        .map(|p| format!("-i {}", quote(&p.display().to_string())))
        .take(8)
        .collect();
    below.sort();
    match below.is_empty() {
        true => "give the directory of an inventory with `-i`, or make one with `bringup init`".to_owned(),
        false => format!("inventories are below: {}", below.join(", ")),
    }
}

/// SHA-256 of the expanded inventory as compact JSON: maps in order of their keys, structs in the order of their fields, no digest.
#[must_use]
pub fn digest(site: &str, racks: &BTreeMap<RackId, Rack>, nodes: &BTreeMap<NodeId, Node>) -> Digest {
    #[derive(serde::Serialize)]
    struct Canonical<'a> {
        site: &'a str,
        racks: &'a BTreeMap<RackId, Rack>,
        nodes: &'a BTreeMap<NodeId, Node>,
    }
    let mut hasher = std::io::BufWriter::new(Hasher(Sha256::new()));
    // Writing into a hasher cannot fail, and every type here has string keys.
    drop(serde_json::to_writer(&mut hasher, &Canonical { site, racks, nodes }));
    drop(hasher.flush());
    let hasher = hasher.into_parts().0;
    Digest::from_bytes(&hasher.0.finalize().into())
}

struct Hasher(Sha256);
impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads a file; a mistake tells why it cannot be.
pub fn read(path: &Path, hint: Option<&str>, out: &mut Diagnostics) -> Option<FileId> {
    let shown = path.display();
    match out.sources.read(path) {
        Ok(file) => Some(file),
        Err(error) => {
            let why = match &error {
                ReadError::Io(cause) => format!("cannot read {shown}: {cause}"),
                other => format!("cannot read {shown}: {other}"),
            };
            let d = Diagnostic::error(code::FILE, why);
            let missing = matches!(&error, ReadError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound);
            out.push(match hint.filter(|_| missing) {
                Some(hint) => d.hint(hint),
                None => d,
            });
            None
        }
    }
}

fn wildcard(text: &str) -> Option<Pattern> {
    text.parse().ok()
}

/// The files of a directory whose names match, in order. No directory: no files.
fn listing(dir: &Path, pattern: &Option<Pattern>, out: &mut Diagnostics) -> Vec<PathBuf> {
    let items = match std::fs::read_dir(dir) {
        Ok(items) => items,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            out.push(Diagnostic::error(code::FILE, format!("cannot list {}: {e}", dir.display())));
            return Vec::new();
        }
    };
    let names = items.filter_map(|item| item.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|n| pattern.as_ref().is_some_and(|p| p.matches(n))).collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

fn facts_files(dir: &Path, site: &Site, out: &mut Diagnostics) -> Vec<FileId> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for glob in &site.facts {
        let found = matching(dir, glob, out);
        if found.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("no file matches `{}`", quote(&glob.value));
            out.push(Diagnostic::error(code::FILE, message).at(glob.span).label("none in the directory of the inventory"));
        }
        paths.extend(found.unwrap_or_default());
    }
    if site.facts.is_empty() {
        paths = listing(&dir.join("facts"), &wildcard(FACTS.trim_start_matches("facts/")), out);
    }
    paths.sort();
    paths.dedup();
    paths.iter().filter_map(|path| read(path, None, out)).collect()
}

/// The files that one entry of `facts` names. It stays inside the inventory's directory.
fn matching(dir: &Path, glob: &Spanned<String>, out: &mut Diagnostics) -> Option<Vec<PathBuf>> {
    let path = Path::new(&glob.value);
    let inside = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let name = path.file_name().and_then(|n| n.to_str());
    let pattern = name.and_then(wildcard);
    if !inside || pattern.is_none() || path.parent().is_some_and(|p| p.to_string_lossy().contains(['*', '?'])) {
        let message = format!("`{}` is not a facts file", quote(&glob.value));
        let d = Diagnostic::error(code::BAD_VALUE, message).at(glob.span);
        out.push(d.label("expected a path inside the inventory, such as `facts/*.csv`; wildcards in the last part only"));
        return None;
    }
    Some(listing(&dir.join(path.parent().unwrap_or(Path::new(""))), &pattern, out))
}
