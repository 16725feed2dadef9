//! Strict reading of quirk files: unknown keys, bad patterns, habits without evidence are mistakes that name file, line and entry. It reads text
//! that it is given; it opens no file.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::Family;
use super::glob::Glob;
use super::habits::SetHabits;
use super::word::AcCycle;

/// The data that ships with the program.
const BUILT_IN: &str = include_str!("quirks.yaml");
/// The only version of the format.
const FORMAT: u32 = 1;
/// Largest file, in bytes; the one that ships has some 20 KiB.
const LARGEST: usize = 1 << 20;
/// Most entries of one file.
const MOST: usize = 1_000;

/// Why a quirk file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {file}{}: {}{what}", place(*.line, *.column), entry.as_ref().map_or_else(String::new, |name| format!("entry `{name}`: ")))]
pub struct QuirkError {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1, when it is known.
    pub line: Option<u64>,
    /// Column, from 1.
    pub column: u64,
    /// The entry that it is in.
    pub entry: Option<String>,
    /// What is wrong.
    pub what: String,
}

fn place(line: Option<u64>, column: u64) -> String {
    line.map_or_else(String::new, |line| format!(":{line}:{column}"))
}

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Source {
    /// How strong it is: `C` read in source or a maker's document, `I` stated in a public issue, `W` a weak page, `INF` an inference, `SITE` seen
    /// by whoever wrote the entry.
    pub tag: &'static str,
    /// What it is.
    pub text: String,
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.tag, self.text)
    }
}

impl Source {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "the evidence `{}` must begin with [C], [I], [W], [INF] or [SITE] and say where it is from",
                text.escape_debug()
            )
        };
        let (tag, rest) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
        let tag = ["C", "I", "W", "INF", "SITE"].into_iter().find(|known| *known == tag).ok_or_else(wrong)?;
        let rest = rest.trim();
        if rest.is_empty() || rest.chars().any(char::is_control) { Err(wrong()) } else { Ok(Self { tag, text: rest.to_owned() }) }
    }
}

/// When an entry fits: every condition that is there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fits {
    /// Any of the ways in which the vendor is told.
    pub vendor: Option<Glob>,
    /// `Product` of the root.
    pub product: Option<Glob>,
    /// `Model` of the manager.
    pub bmc: Option<Glob>,
    /// `Model` of the system.
    pub model: Option<Glob>,
    /// `Model` of the chassis.
    pub board: Option<Glob>,
    /// Firmware version of the manager.
    pub firmware: Option<Family>,
}

/// One entry: a kind of BMC and how it differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The file that it is from.
    pub file: String,
    /// When it fits.
    pub fits: Fits,
    /// What it sets, each group with its evidence.
    pub habits: Vec<(SetHabits, Vec<Source>)>,
}

/// Entries in the order in which they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quirks {
    entries: Vec<Entry>,
}

/// `quirks.yaml`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "quirks")]
pub struct QuirkFile {
    /// Version of the format: 1.
    format_version: u32,
    /// Entries; later ones win field by field.
    quirks: Vec<WrittenEntry>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "entry")]
struct WrittenEntry {
    /// Name: lower-case letters, digits and hyphens.
    name: String,
    /// Which BMCs it is about; every condition that is there must hold.
    fits: WrittenFits,
    /// What is different.
    habits: Vec<WrittenHabits>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "fits")]
struct WrittenFits {
    /// Pattern for `Vendor` of the service root, the names under its `Oem`, or `Manufacturer` of the system.
    vendor: Option<String>,
    /// Pattern for `Product` of the service root.
    product: Option<String>,
    /// Pattern for `Model` of the manager.
    bmc: Option<String>,
    /// Pattern for `Model` of the system.
    model: Option<String>,
    /// Pattern for `Model` of the chassis.
    board: Option<String>,
    /// Firmware versions of the manager.
    firmware: Option<WrittenFamily>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "family")]
struct WrittenFamily {
    /// Pattern for the family: versions compare only inside it.
    like: String,
    /// First version meant.
    from: Option<String>,
    /// First version no longer meant.
    below: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "group")]
struct WrittenHabits {
    /// The habits.
    set: SetHabits,
    /// Where they are known from, each with its tag: `[C] …`, `[I] …`, `[W] …`, `[INF] …`, `[SITE] …`.
    evidence: Vec<String>,
}

impl Quirks {
    /// The data that ships with the program, read once.
    ///
    /// # Errors
    /// Never in a program that passed its tests.
    pub fn built_in() -> Result<Arc<Self>, QuirkError> {
        static READ: OnceLock<Result<Arc<Quirks>, QuirkError>> = OnceLock::new();
        READ.get_or_init(|| Self::read("quirks.yaml (built in)", BUILT_IN).map(Arc::new)).clone()
    }

    /// Reads a file's text; `file` names it in errors.
    ///
    /// # Errors
    /// The first mistake, with file, line and entry.
    pub fn read(file: &str, text: &str) -> Result<Self, QuirkError> {
        let fail =
            |line, column, entry: Option<String>, what: String| QuirkError { file: file.to_owned(), line, column, entry, what };
        if text.len() > LARGEST {
            return Err(fail(None, 0, None, format!("it has {} bytes; at most {LARGEST} are read", text.len())));
        }
        let written: QuirkFile = serde_saphyr::from_str(text).map_err(|e| {
            let at = e.location();
            let line = at.map(|at| at.line());
            let what: String = e.without_snippet().to_string().chars().take(400).collect();
            fail(
                line,
                at.map_or(0, |at| at.column()),
                line.and_then(|line| entry_at(text, line)),
                what.escape_debug().to_string(),
            )
        })?;
        if written.format_version != FORMAT {
            let what = format!("format_version is {}; this program reads {FORMAT}", written.format_version);
            return Err(fail(line_of(text, "format_version:"), 1, None, what));
        }
        if written.quirks.len() > MOST {
            return Err(fail(None, 0, None, format!("it has {} entries; at most {MOST} are read", written.quirks.len())));
        }
        let mut names = BTreeSet::new();
        let mut entries = Vec::new();
        for one in written.quirks {
            let (name, line) = (one.name.clone(), line_of(text, &format!("name: {}", one.name)));
            let wrong = |what: String| fail(line, 1, Some(name.chars().take(80).flat_map(char::escape_debug).collect()), what);
            if !names.insert(name.clone()) {
                return Err(wrong("another entry of this file has the same name".to_owned()));
            }
            entries.push(entry(file, one).map_err(wrong)?);
        }
        Ok(Self { entries })
    }

    /// These entries, and then those.
    #[must_use]
    pub fn then(&self, later: Self) -> Self {
        Self { entries: self.entries.iter().cloned().chain(later.entries).collect() }
    }

    /// The entries in the order in which they are applied.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The entry around a line: the last `name:` at or above it.
fn entry_at(text: &str, line: u64) -> Option<String> {
    let upto = usize::try_from(line).unwrap_or(usize::MAX);
    let name = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("- ").unwrap_or(line).trim_start().strip_prefix("name:")?;
        Some(rest.trim().trim_matches(['"', '\'']).chars().take(80).flat_map(char::escape_debug).collect::<String>())
    };
    text.lines().take(upto).filter_map(name).last()
}

fn line_of(text: &str, needle: &str) -> Option<u64> {
    let at =
        text.lines().position(|line| line.trim_start().trim_start_matches("- ").trim_end() == needle || line.starts_with(needle));
    at.and_then(|at| u64::try_from(at + 1).ok())
}

fn entry(file: &str, written: WrittenEntry) -> Result<Entry, String> {
    let WrittenEntry { name, fits, habits } = written;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("a name has lower-case letters, digits and hyphens, at most 64".to_owned());
    }
    let fits = conditions(fits)?;
    if fits == Fits::default() {
        return Err("`fits` names no condition; an entry for every BMC would be a default, not a quirk".to_owned());
    }
    let mut groups = Vec::new();
    for WrittenHabits { set, evidence } in habits {
        if set == SetHabits::default() {
            return Err("a group of `habits` sets nothing".to_owned());
        }
        if evidence.is_empty() {
            return Err("a group of `habits` has no evidence".to_owned());
        }
        sound(&set)?;
        let evidence = evidence.iter().map(|text| Source::read(text)).collect::<Result<Vec<_>, _>>()?;
        groups.push((set, evidence));
    }
    Ok(Entry { name, file: file.to_owned(), fits, habits: groups })
}

fn conditions(written: WrittenFits) -> Result<Fits, String> {
    let glob = |key: &str, text: Option<String>| {
        text.map(|text| Glob::new(&text)).transpose().map_err(|why| format!("fits.{key}: {why}"))
    };
    let family = |f: WrittenFamily| Family::new(&f.like, f.from.as_deref(), f.below.as_deref());
    Ok(Fits {
        vendor: glob("vendor", written.vendor)?,
        product: glob("product", written.product)?,
        bmc: glob("bmc", written.bmc)?,
        model: glob("model", written.model)?,
        board: glob("board", written.board)?,
        firmware: written.firmware.map(family).transpose().map_err(|why| format!("fits.firmware: {why}"))?,
    })
}

/// Longest time that a habit may name: a day.
const LONGEST_S: u32 = 86_400;

/// Refuses values that no BMC can mean: paths that leave the service, patterns that cannot be read, times beyond a day.
fn sound(set: &SetHabits) -> Result<(), String> {
    let seconds = [
        ("reuse_idle_s", set.reuse_idle_s),
        ("wait_after_off_s", set.wait_after_off_s),
        ("bmc_boot_s", set.bmc_boot_s),
        ("tree_settles_s", set.tree_settles_s),
        ("media_gap_s", set.media_gap_s),
        ("upload_gap_s", set.upload_gap_s),
        ("task_grace_s", set.task_grace_s),
        ("task_stall_s", set.task_stall_s),
        ("version_lag_s", set.version_lag_s),
    ];
    for (name, value) in seconds {
        if value.is_some_and(|value| value > LONGEST_S) {
            return Err(format!("{name} is more than a day"));
        }
    }
    for (name, value, most) in [("reads_at_once", set.reads_at_once, 16), ("task_stages", set.task_stages, 8)] {
        if value.is_some_and(|value| value == 0 || value > most) {
            return Err(format!("{name} must be 1 to {most}"));
        }
    }
    for (path, seconds) in set.slow_paths.iter().flatten() {
        Glob::new(path).map_err(|why| format!("slow_paths: {why}"))?;
        if *seconds == 0 || *seconds > 3_600 {
            return Err(format!("slow_paths: `{}` must have 1 to 3600 seconds", path.escape_debug()));
        }
    }
    let patterns = [
        ("system_id", &set.system_id),
        ("manager_id", &set.manager_id),
        ("chassis_id", &set.chassis_id),
        ("media_not", &set.media_not),
    ];
    for (name, pattern) in patterns {
        if let Some(pattern) = pattern.as_deref().filter(|p| !p.is_empty()) {
            Glob::new(pattern).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    let action = match &set.ac_cycle {
        Some(AcCycle::Action(action)) => Some(action),
        _ => None,
    };
    if action.is_some_and(|a| a.name.is_empty() || a.body.is_empty()) {
        return Err("ac_cycle: an action has a name and a body".to_owned());
    }
    let below = [
        ("boot_settings", set.boot_settings.as_ref()),
        ("bios_settings", set.bios_settings.as_ref()),
        ("bios_jobs", set.bios_jobs.as_ref()),
        ("task_jobs", set.task_jobs.as_ref()),
        ("ac_cycle.path", action.map(|a| &a.path)),
    ];
    for (name, path) in below {
        if path.is_some_and(|path| !path.is_empty() && (path.starts_with('/') || !safe_path(path))) {
            return Err(format!("{name} is a path below its resource: letters, digits and `._-/`, no leading `/`, no `..`"));
        }
    }
    if set.upload_path.as_ref().is_some_and(|path| !path.is_empty() && (!path.starts_with("/") || !safe_path(path))) {
        return Err("upload_path is a path on the BMC: it begins with `/` and has letters, digits and `._-/`".to_owned());
    }
    Ok(())
}

/// Letters, digits and `._-/` only, and no step upwards.
pub(super) fn safe_path(path: &str) -> bool {
    path.len() <= 256
        && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'))
        && !path.split('/').any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, Seen};
    use super::*;

    fn file(entries: &str) -> String {
        format!("format_version: 1\nquirks:\n{entries}")
    }

    #[test]
    fn what_ships_is_read_and_every_habit_has_evidence() {
        let quirks = Quirks::built_in().unwrap();
        assert!(quirks.entries().len() > 20);
        for entry in quirks.entries() {
            assert!(entry.habits.iter().all(|(_, evidence)| !evidence.is_empty()), "{}", entry.name);
        }
    }

    #[test]
    fn mistakes_name_file_line_and_entry() {
        let cases = [
            (
                "  - name: a\n    fits: {vendor: x}\n    habits:\n      - set: {sesions: 3}\n        evidence: [\"[C] x\"]\n",
                "f.yaml:6:15: entry `a`:",
                "sesions",
            ),
            ("  - name: a\n    fits: {vendor: x}\n    habits:\n      - set: {sessions: 3}\n", "entry `a`:", "evidence"),
            (
                "  - name: a\n    fits: {vendor: x}\n    habits:\n      - {set: {sessions: 3}, evidence: []}\n",
                "f.yaml:3:1: entry `a`:",
                "no evidence",
            ),
            (
                "  - name: a\n    fits: {vendor: x}\n    habits:\n      - {set: {sessions: 3}, evidence: [\"because\"]}\n",
                "f.yaml:3:1: entry `a`:",
                "[C], [I], [W]",
            ),
            ("  - name: a\n    fits: {}\n    habits: []\n", "f.yaml:3:1: entry `a`:", "no condition"),
            (
                "  - name: a\n    fits: {firmware: {like: \"7.*\", from: \"6.1\"}}\n    habits: []\n",
                "f.yaml:3:1: entry `a`:",
                "not of the family",
            ),
            (
                "  - name: a\n    fits: {vendor: x}\n    habits: []\n  - name: a\n    fits: {vendor: y}\n    habits: []\n",
                "entry `a`:",
                "same name",
            ),
            ("  - name: A b\n    fits: {vendor: x}\n    habits: []\n", "entry `A b`:", "lower-case"),
            (
                "  - name: a\n    fits: {vendor: x}\n    habits:\n      - {set: {upload_path: /a/../b}, evidence: [\"[C] x\"]}\n",
                "entry `a`:",
                "upload_path",
            ),
            (
                "  - name: a\n    fits: {vendor: x}\n    habits:\n      - {set: {wait_after_off_s: 99999999}, evidence: [\"[C] x\"]}\n",
                "entry `a`:",
                "more than a day",
            ),
        ];
        for (entries, place, what) in cases {
            let seen = Quirks::read("f.yaml", &file(entries)).unwrap_err().to_string();
            assert!(seen.contains(place) && seen.contains(what), "{entries}\n{seen}");
        }
        assert!(
            Quirks::read("f.yaml", "format_version: 2\nquirks: []\n")
                .unwrap_err()
                .to_string()
                .contains("f.yaml:1:1: format_version is 2")
        );
    }

    #[test]
    fn later_entries_win_field_by_field_and_say_why() {
        let site = "  - name: ours\n    fits: {vendor: \"nvidia*\", model: DGXH100, firmware: {like: \"24.*\", below: \"24.09.18\"}}\n    habits:\n      - {set: {patch_tag: given}, evidence: [\"[SITE] seen on a017\"]}\n";
        let quirks = Quirks::built_in().unwrap().then(Quirks::read("site", &file(site)).unwrap());
        let seen = |firmware: &str| Seen {
            vendors: vec!["NVIDIA".into()],
            model: Some("DGXH100".into()),
            firmware: Some(firmware.into()),
            ..Seen::default()
        };
        let profile = Profile::of(&quirks, &seen("24.09.17"));
        assert_eq!(profile.name(), "nvidia-dgx + ours");
        assert_eq!(profile.habits.patch_tag, super::super::TagStep::Given);
        assert_eq!(profile.habits.action_tag, super::super::TagStep::Star);
        assert_eq!(profile.because["patch_tag"].entry, "ours");
        assert_eq!(profile.because["action_tag"].entry, "nvidia-dgx");
        assert_eq!(Profile::of(&quirks, &seen("24.09.18")).name(), "nvidia-dgx");
        let odd = Profile::of(&quirks, &seen("24.9"));
        assert_eq!(odd.name(), "nvidia-dgx");
        assert!(odd.remarks[0].contains("`ours`") && odd.remarks[0].contains("does not compare"), "{:?}", odd.remarks);
        assert_eq!(Profile::of(&quirks, &Seen::default()).name(), "standard");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_quirks_or_an_error(text in ".{0,200}") {
            let _ = Quirks::read("f", &text);
            let _ = Quirks::read("f", &file(&text));
        }

        #[test]
        fn any_yaml_of_these_words_is_quirks_or_an_error(words in proptest::collection::vec(proptest::sample::select(vec![
            "- ", "name: a", "fits: ", "{vendor: x}", "habits: ", "[]", "set: ", "evidence: ", "\n", "  ", "\"[C] x\"", "{", "}", "&a ", "*a", ": ",
        ]), 0..40)) {
            let _ = Quirks::read("f", &file(&words.concat()));
        }
    }
}
