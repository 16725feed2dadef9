//! What was learned of a make of BMC at run time, so that the next BMC of that make, or the next run, begins with it. It only says what to try
//! first: every ladder stays whole. Keyed by vendor, model and BMC firmware, since an update may change any of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::reader::safe_path;
use super::word::{BootPlace, MediaForm, MediaPlace, TagStep};

/// Longest part of a make's name, in bytes.
const LONGEST: usize = 128;
/// Most makes that are kept; a fleet has tens.
const MAKES: usize = 1_024;

/// A make of BMC: vendor, model and BMC firmware.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Make {
    /// Who made it.
    pub vendor: String,
    /// Model of the system, or of the BMC when the system names none.
    pub model: String,
    /// Firmware version of the BMC.
    pub firmware: String,
}

impl Make {
    /// A make; `None` without a firmware version. What a BMC said is cut and escaped.
    #[must_use]
    pub fn new(vendor: &str, model: &str, firmware: &str) -> Option<Self> {
        let clean = |text: &str| -> String {
            let mut out = String::new();
            for c in text.trim().chars().flat_map(char::escape_debug) {
                if out.len() + c.len_utf8() > LONGEST {
                    break;
                }
                out.push(c);
            }
            out
        };
        let firmware = clean(firmware);
        (!firmware.is_empty()).then(|| Self { vendor: clean(vendor), model: clean(model), firmware })
    }

    /// True when every part is as [`Self::new`] makes it: what a file holds may have been written by anybody.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        Self::new(&self.vendor, &self.model, &self.firmware).as_ref() == Some(self)
    }
}

/// What was learned. `None`: nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learned {
    /// The step of the ladder that PATCH was taken with (RC-35 to RC-37).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_tag: Option<TagStep>,
    /// The step of the ladder that an action was taken with (RC-36).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_tag: Option<TagStep>,
    /// `false`: `$expand` was refused although it was offered (RC-26).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expand: Option<bool>,
    /// Where a boot override stuck (RC-60, RC-61).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_place: Option<BootPlace>,
    /// Whether it stuck only with its mode (RC-60).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_whole: Option<bool>,
    /// The form in which media were inserted (RC-63).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_form: Option<MediaForm>,
    /// Where virtual media were found (RC-63).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_place: Option<MediaPlace>,
    /// The BIOS settings object below the BIOS resource (RC-33).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_settings: Option<String>,
    /// Requests at once that it bears (firmware.md §1.2: AIMD).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// `true`: `Accept-Encoding: identity` was answered 406 (RC-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_identity: Option<bool>,
}

impl Learned {
    /// True when nothing was learned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when a BMC can have taught it: what a file holds may have been written by anybody.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bios_settings.as_deref().is_none_or(|path| !path.is_empty() && !path.starts_with('/') && safe_path(path))
            && self.at_once.is_none_or(|at_once| (1..=16).contains(&at_once))
    }

    /// What is known from both; the newer wins.
    #[must_use]
    pub fn over(self, older: Self) -> Self {
        Self {
            patch_tag: self.patch_tag.or(older.patch_tag),
            action_tag: self.action_tag.or(older.action_tag),
            expand: self.expand.or(older.expand),
            boot_place: self.boot_place.or(older.boot_place),
            boot_whole: self.boot_whole.or(older.boot_whole),
            media_form: self.media_form.or(older.media_form),
            media_place: self.media_place.or(older.media_place),
            bios_settings: self.bios_settings.or(older.bios_settings),
            at_once: self.at_once.or(older.at_once),
            no_identity: self.no_identity.or(older.no_identity),
        }
    }
}

/// Where what was learned is kept. Brief and sync; it never fails, since nothing depends on it.
pub trait Memory: Send + Sync {
    /// What is known of a make.
    fn recall(&self, make: &Make) -> Learned;
    /// Keeps what is newly known of a make; what is not named in `learned` stays.
    fn learn(&self, make: &Make, learned: Learned);
}

/// Keeps it for the life of the process.
#[derive(Debug, Default)]
pub struct Forgetful(Mutex<BTreeMap<Make, Learned>>);

impl Memory for Forgetful {
    fn recall(&self, make: &Make) -> Learned {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(make).cloned().unwrap_or_default()
    }

    fn learn(&self, make: &Make, learned: Learned) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAKES && !known.contains_key(make) {
            return;
        }
        let older = known.remove(make).unwrap_or_default();
        known.insert(make.clone(), learned.over(older));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_make_is_cut_and_escaped_and_what_is_learned_adds_up() {
        assert_eq!(Make::new("Dell Inc.", "x", ""), None);
        let make = Make::new("Dell\u{1b}", &"m".repeat(300), "7.1").unwrap();
        assert_eq!((make.vendor.as_str(), make.model.len()), ("Dell\\u{1b}", LONGEST));
        let memory = Forgetful::default();
        memory.learn(&make, Learned { patch_tag: Some(TagStep::Star), expand: Some(false), ..Learned::default() });
        memory.learn(&make, Learned { patch_tag: Some(TagStep::Given), ..Learned::default() });
        let known = memory.recall(&make);
        assert_eq!((known.patch_tag, known.expand), (Some(TagStep::Given), Some(false)));
        assert!(memory.recall(&Make { firmware: "7.2".into(), ..make }).is_empty());
    }
}
