//! The disks of a node as it tells of them, and which of them a rule means. Everything here came from the node: bounded and escaped.

use crate::model::{DiskRule, Pick, Wipe, bytes};

/// Most disks of one node; a storage server has some hundred. Of a list that was cut nobody can say that a rule means one disk.
const DISKS: usize = 256;
/// Signs that are kept of what one disk holds.
const SIGNS: usize = 24;
/// Longest text of one fact.
const TEXT: usize = 200;
/// Disks that a refusal names.
const NAMED: usize = 12;
/// Smallest disk that is written: the boot partition has 512 MiB.
const SMALLEST: u64 = 1 << 30;
/// The name that the installer gives to the root partition when all was read back.
pub(super) const FINISHED: &str = "PART_ENTRY_NAME=bringup-root";

/// One disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Disk {
    /// Kernel's name, good until the next boot only.
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub serial: String,
    pub wwn: String,
    pub model: String,
    pub transport: String,
    pub rotational: Option<bool>,
    pub readonly: bool,
    /// Who uses it now.
    pub used: Vec<String>,
    /// Signs of what lies on it.
    pub holds: Vec<String>,
    /// GUID of its partition table, when that was asked for and it has a GPT.
    pub table: String,
}

/// What a node told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub disks: Vec<Disk>,
    /// What the system lacks that an installer calls.
    pub lacks: Vec<String>,
    /// Bytes that there are for files, when that was told.
    pub room: Option<u64>,
}

/// Reads what `survey.sh` prints.
///
/// # Errors
/// It was cut, or is not what that script prints.
pub(super) fn read(text: &str) -> Result<Survey, String> {
    let mut survey = Survey::default();
    let mut open: Option<Disk> = None;
    let mut whole = false;
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let value: String = value.trim().chars().filter(|c| (' '..='~').contains(c)).take(TEXT).collect();
        match (key, &mut open) {
            ("disk", _) => open = Some(Disk { name: value, ..Disk::default() }),
            ("end", Some(_)) => {
                if survey.disks.len() == DISKS {
                    return Err(format!("it lists more than {DISKS} disks"));
                }
                survey.disks.extend(open.take());
            }
            ("size", Some(disk)) => disk.size = value.parse().map_err(|_| format!("no size: {}", value.escape_debug()))?,
            ("serial", Some(disk)) => disk.serial = value,
            ("wwn", Some(disk)) => disk.wwn = value,
            ("model", Some(disk)) => disk.model = value,
            ("transport", Some(disk)) => disk.transport = value,
            ("rotational", Some(disk)) => disk.rotational = (value == "0" || value == "1").then_some(value == "1"),
            ("table", Some(disk)) => disk.table = value,
            ("readonly", Some(disk)) => disk.readonly = true,
            ("used", Some(disk)) if disk.used.len() < SIGNS => disk.used.push(value),
            ("holds", Some(disk)) if disk.holds.len() < SIGNS => disk.holds.push(value),
            ("used" | "holds", Some(_)) => {}
            ("restless", None) => {
                return Err("its disks still came and went, or drivers were still loaded, after 90 s".to_owned());
            }
            ("lacks", None) if survey.lacks.len() < SIGNS => survey.lacks.push(value),
            ("room", None) => survey.room = value.parse().ok(),
            ("whole", None) => whole = true,
            _ => {
                return Err(format!(
                    "a line that is not understood: {}",
                    line.chars().take(TEXT).collect::<String>().escape_debug()
                ));
            }
        }
    }
    if whole { Ok(survey) } else { Err("the list of disks was cut".to_owned()) }
}

impl Disk {
    /// What it is, for people and the journal; never by its device name alone.
    pub fn words(&self) -> String {
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let wwn = if self.wwn.is_empty() { String::new() } else { format!(", wwn {}", self.wwn) };
        format!(
            "{} {} {}, serial {}{wwn}",
            bytes(self.size),
            self.transport,
            or(&self.model, "disk"),
            or(&self.serial, "unknown")
        )
    }

    /// Whether its partition table has this GUID, by what it holds.
    pub fn has_table(&self, table: &str) -> bool {
        let own = format!("{}: ", self.name);
        self.holds.iter().any(|sign| sign.starts_with(&own) && has(sign, &format!("PTUUID={table}")))
    }

    /// Whether a rule means it; `pick` says nothing about one disk alone.
    pub fn fits(&self, rule: &DiskRule) -> bool {
        let same = |want: &Option<String>, have: &str| want.as_ref().is_none_or(|want| want == have);
        same(&rule.serial, &self.serial)
            && same(&rule.wwn, &self.wwn)
            && rule.model.as_ref().is_none_or(|glob| matches(glob, &self.model))
            && rule.transport.is_none_or(|t| t.word() == self.transport)
            && rule.size_min.is_none_or(|min| self.size >= min)
            && rule.size_max.is_none_or(|max| self.size <= max)
            && rule.rotational.is_none_or(|turns| self.rotational == Some(turns))
    }
}

/// Whether a text is as a pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// The one disk that a rule means.
///
/// # Errors
/// None or several; the disks are named.
pub(super) fn choose<'a>(rule: &DiskRule, disks: &'a [Disk]) -> Result<&'a Disk, String> {
    let mut fit: Vec<&Disk> = disks.iter().filter(|d| d.fits(rule)).collect();
    if let Some(pick) = rule.pick {
        let best = match pick {
            Pick::Smallest => fit.iter().map(|d| d.size).min(),
            Pick::Largest => fit.iter().map(|d| d.size).max(),
        };
        fit.retain(|d| Some(d.size) == best);
    }
    match fit.as_slice() {
        [one] if one.serial.is_empty() && one.wwn.is_empty() => {
            Err(format!("the disk {} has neither serial number nor WWN: it cannot be told from another one", one.words()))
        }
        [one] => Ok(one),
        [] => Err(format!("no disk fits the rule ({rule}); the node has {}", table(disks.iter()))),
        many => Err(format!("{} disks fit the rule ({rule}) and one is wanted: {}", many.len(), table(many.iter().copied()))),
    }
}

/// Some disks in a line, at most [`NAMED`].
fn table<'a>(disks: impl ExactSizeIterator<Item = &'a Disk>) -> String {
    let number = disks.len();
    if number == 0 {
        return "no disk at all".to_owned();
    }
    let mut words: Vec<String> = disks.take(NAMED).map(|d| format!("{} ({})", d.name, d.words())).collect();
    if number > NAMED {
        words.push(format!("and {} more", number - NAMED));
    }
    words.join("; ")
}

/// What is to be done with the chosen disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This plan has written it already, to the end.
    Written,
    /// It may be written.
    Write,
}

/// Whether the chosen disk may be written. `table` is the partition table that this plan makes on it.
///
/// # Errors
/// It may not; says what it holds.
pub(super) fn may_write(disk: &Disk, wipe: Wipe, table: &str) -> Result<Verdict, String> {
    let words = disk.words();
    if disk.readonly {
        return Err(format!("the disk {words} is read-only"));
    }
    if disk.size < SMALLEST {
        return Err(format!("the disk {words} is below 1 GiB"));
    }
    if !disk.used.is_empty() {
        return Err(format!("the disk {words} is in use: {}", disk.used.join("; ")));
    }
    let ours = disk.has_table(table);
    if ours && disk.holds.iter().any(|sign| has(sign, FINISHED)) {
        return Ok(Verdict::Written);
    }
    if ours || disk.holds.is_empty() || wipe == Wipe::Yes {
        return Ok(Verdict::Write);
    }
    Err(format!(
        "the disk {words} is not blank and the plan does not wipe: {}; write `wipe: yes` under baseline.install and apply with --allow wipe",
        disk.holds.join("; ")
    ))
}

fn has(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|w| w.eq_ignore_ascii_case(word))
}
