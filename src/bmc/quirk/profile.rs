//! Which entries fit a BMC, in what order, and what follows: later entries win field by field. It asks nothing of the BMC; it judges what was
//! seen of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::habits::Habits;
use super::memory::Make;
use super::reader::{Entry, Fits, Quirks, Source};

/// What a BMC has shown of itself so far. What was not seen fits no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Who made it, in each way it was told: `Vendor` of the root, the names under its `Oem`, `Manufacturer` of the system.
    pub vendors: Vec<String>,
    /// `Product` of the root.
    pub product: Option<String>,
    /// `Model` of the manager that drives the node.
    pub bmc: Option<String>,
    /// `FirmwareVersion` of that manager.
    pub firmware: Option<String>,
    /// `Model` of the node's system.
    pub model: Option<String>,
    /// `Model` of the chassis that holds it; boards are named there (`X13DEG-OAD`).
    pub board: Option<String>,
}

impl Seen {
    /// The make under which things are remembered; `None` while the firmware is not known.
    #[must_use]
    pub fn make(&self) -> Option<Make> {
        let vendor = self.vendors.first().map_or("", String::as_str);
        Make::new(vendor, self.model.as_deref().or(self.bmc.as_deref()).unwrap_or(""), self.firmware.as_deref()?)
    }
}

/// Why a habit is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Because {
    /// What it is.
    pub value: Value,
    /// The entry that set it last.
    pub entry: String,
    /// Its evidence.
    pub evidence: Vec<Source>,
}

/// The habits of one BMC.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Profile {
    /// Names of the entries that fit, in the order in which they were applied.
    pub entries: Vec<String>,
    /// What follows.
    #[serde(skip)]
    pub habits: Habits,
    /// Every habit that is not the default by an entry, with the reason.
    pub because: BTreeMap<&'static str, Because>,
    /// What could not be judged, for people.
    pub remarks: Vec<String>,
    /// Rows of firmware.md §5 that the BMC has shown in this process, each with the latest example.
    pub showed: BTreeMap<&'static str, String>,
}

impl Profile {
    /// The profile of what was seen.
    #[must_use]
    pub fn of(quirks: &Quirks, seen: &Seen) -> Self {
        let mut profile = Self::default();
        for entry in quirks.entries() {
            match entry.fits.judge(seen) {
                Ok(true) => profile.apply(entry),
                Ok(false) => {}
                Err(why) => profile.remarks.push(format!("whether `{}` fits cannot be told: {why}", entry.name)),
            }
        }
        profile
    }

    /// True when an entry would fit but for its board, so that the board is worth asking for.
    #[must_use]
    pub fn turns_on_board(quirks: &Quirks, seen: &Seen) -> bool {
        let but_board = |fits: &Fits| Fits { board: None, ..fits.clone() };
        quirks.entries().iter().any(|e| e.fits.board.is_some() && but_board(&e.fits).judge(seen).unwrap_or(false))
    }

    fn apply(&mut self, entry: &Entry) {
        self.entries.push(entry.name.clone());
        for (set, evidence) in &entry.habits {
            for (habit, value) in set.apply(&mut self.habits) {
                self.because.insert(habit, Because { value, entry: entry.name.clone(), evidence: evidence.clone() });
            }
        }
    }

    /// The names of the entries in one line; `standard` when none fits.
    #[must_use]
    pub fn name(&self) -> String {
        if self.entries.is_empty() { "standard".to_owned() } else { self.entries.join(" + ") }
    }
}

impl Fits {
    /// Whether every condition holds. The error says why the firmware does not compare; it counts only when all else fits.
    fn judge(&self, seen: &Seen) -> Result<bool, String> {
        let fits = |glob: &Option<super::Glob>, seen: &Option<String>| match (glob, seen) {
            (None, _) => true,
            (Some(glob), Some(text)) => glob.fits(text),
            (Some(_), None) => false,
        };
        let vendor = self.vendor.as_ref().is_none_or(|glob| seen.vendors.iter().any(|vendor| glob.fits(vendor)));
        let all = vendor
            && fits(&self.product, &seen.product)
            && fits(&self.bmc, &seen.bmc)
            && fits(&self.model, &seen.model)
            && fits(&self.board, &seen.board);
        match (&self.firmware, &seen.firmware) {
            _ if !all => Ok(false),
            (None, _) => Ok(true),
            (Some(_), None) => Ok(false),
            (Some(family), Some(version)) => family.holds(version),
        }
    }
}
