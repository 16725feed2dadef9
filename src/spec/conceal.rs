//! Finds what must not be shown in a line of an input file: stretches that a reader marked, and values behind keys that speak of secrets.

use std::ops::Range;

use super::source::{FileId, Sources};
use super::yaml::{Kind, Tree};

/// Parts of keys behind which people write secrets.
const TELLTALE: [&str; 7] = ["pass", "pasw", "pwd", "secret", "token", "credential", "private"];
/// How a reference to a secret starts; it may be shown.
const REFERENCE: [&str; 5] = ["env:", "file:", "exec:", "age:", "vault:"];

/// What stands in place of a secret.
pub(super) const BLACK: &str = "[concealed]";

/// True when a key speaks of secrets, or is a slip of the pen for one that holds them.
pub(super) fn telltale(key: &str, meant: Option<&str>) -> bool {
    let lower = key.to_ascii_lowercase();
    TELLTALE.iter().any(|word| lower.contains(word)) || matches!(meant, Some("password" | "key"))
}

/// Marks every value below `tree` as not to be shown.
pub(super) fn conceal_all(tree: &Tree, sources: &mut Sources) {
    match &tree.kind {
        Kind::Scalar { .. } => sources.conceal(tree.span),
        Kind::Seq(items) => items.iter().for_each(|t| conceal_all(t, sources)),
        Kind::Map(entries) => entries.iter().for_each(|e| conceal_all(&e.value, sources)),
    }
}

/// The stretches of one line (bytes from its start, in order, not overlapping) that must not be shown. `base` is where the line starts.
pub(super) fn concealed_in(line: &str, sources: &Sources, file: FileId, base: usize) -> Vec<Range<usize>> {
    let marked = sources.concealed().iter().filter(|s| s.file == file);
    let mut all: Vec<Range<usize>> = marked
        .map(|s| (s.start as usize).max(base).saturating_sub(base)..(s.end as usize).saturating_sub(base).min(line.len()))
        .filter(|r| r.start < r.end)
        .collect();
    all.extend(behind_telltales(line));
    all.sort_by_key(|r| (r.start, r.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Values behind keys such as `password:`; a comment mark does not protect them.
fn behind_telltales(line: &str) -> Vec<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    for (colon, _) in line.match_indices([':', '=']) {
        let Some(before) = lower.get(..colon) else { continue };
        let key_start = before.trim_end().rfind(|c: char| c.is_whitespace() || matches!(c, '{' | ',' | '[')).map_or(0, |i| i + 1);
        let key = before.get(key_start..).unwrap_or("");
        if !TELLTALE.iter().any(|word| key.contains(word)) || key.contains(':') {
            continue;
        }
        let Some(rest) = line.get(colon + 1..) else { continue };
        let start = colon + 1 + (rest.len() - rest.trim_start().len());
        let Some(value) = line.get(start..).filter(|v| !v.is_empty()) else { continue };
        let bare = value.trim_start_matches(['"', '\'']);
        if REFERENCE.iter().any(|scheme| bare.starts_with(scheme)) {
            continue;
        }
        let end = match value.chars().next() {
            Some(q @ ('"' | '\'')) => value.get(1..).and_then(|v| v.find(q)).map_or(line.len(), |i| start + i + 2),
            Some('{' | '[') => continue,
            // An unquoted value may hold commas when the line is not a flow map; better too much than too little.
            _ => value.find('}').map_or(line.len(), |i| start + i),
        };
        found.push(start..end);
    }
    found
}
