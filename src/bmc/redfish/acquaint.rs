//! Who is at the other end: what the BMC has shown of itself, the habits that follow from the quirks, and what was learned of its make. It grows
//! with what is read anyway; only [`Client::acquaint`] asks, once, before the first write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::client::{Client, Resource};
use super::error::safe;
use super::json;
use super::system::soft;
use crate::bmc::BmcError;
use crate::bmc::quirk::{Expand, Habits, Learned, Memory, Profile, Quirks, Seen};

/// Most names under `Oem` of the root that count as vendors.
const VENDORS: usize = 8;

/// What is known of one BMC.
pub(super) struct Acquaintance {
    quirks: Arc<Quirks>,
    memory: Arc<dyn Memory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    profile: Arc<Profile>,
    learned: Learned,
    /// The manager has been asked for, with or without an answer.
    asked: bool,
    /// How collections are expanded, when the root says that they can be.
    expand: Option<&'static str>,
    /// Rows of firmware.md §5 that it has shown, each with the latest example.
    showed: BTreeMap<&'static str, String>,
    /// How far its clock is from this machine's, in seconds; ahead is positive.
    skew: Option<i64>,
}

/// A clock further off than this is told (RC-34; infra-controller preingestion `lib.rs:1756`).
const SKEW: i64 = 300;

impl Acquaintance {
    pub(super) fn new(quirks: Arc<Quirks>, memory: Arc<dyn Memory>) -> Self {
        Self { quirks, memory, state: Mutex::default() }
    }

    /// The same, for another client of the same BMC.
    pub(super) fn twin(&self) -> Self {
        Self::new(Arc::clone(&self.quirks), Arc::clone(&self.memory))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The profile without what the BMC has shown, shared.
    pub(super) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.state().profile)
    }

    /// The profile with what the BMC has shown so far.
    pub(super) fn told(&self) -> Profile {
        let state = self.state();
        Profile { showed: state.showed.clone(), ..state.profile.as_ref().clone() }
    }

    /// Notes that the BMC does what a row of firmware.md §5 says, with an example. Nothing depends on it: it is told, for people.
    pub(super) fn showed(&self, row: &'static str, example: String) {
        self.state().showed.insert(row, example);
    }

    /// The query that expands a collection by one level; `None` when the service says that it cannot, or was seen not to (RC-26).
    pub(super) fn expand(&self) -> Option<&'static str> {
        let state = self.state();
        let may = state.profile.habits.expand == Expand::AsTold && state.learned.expand != Some(false);
        state.expand.filter(|_| may)
    }

    /// How far the BMC's clock was from this machine's when it was last seen, in seconds; ahead is positive.
    pub(super) fn skew(&self) -> Option<i64> {
        self.state().skew
    }

    /// One habit, or several.
    pub(super) fn habit<T>(&self, of: impl FnOnce(&Habits) -> T) -> T {
        of(&self.state().profile.habits)
    }

    /// What was learned, of this BMC or of its make.
    pub(super) fn learned(&self) -> Learned {
        self.state().learned.clone()
    }

    /// Keeps something new, for this BMC and for its make.
    pub(super) fn learn(&self, learned: Learned) {
        let mut state = self.state();
        let known = learned.clone().over(state.learned.clone());
        if known == state.learned {
            return;
        }
        state.learned = known;
        let make = state.seen.make();
        drop(state);
        if let Some(make) = make {
            self.memory.learn(&make, learned);
        }
    }

    /// Takes a look at the service root.
    pub(super) fn note_root(&self, root: &Value) {
        self.note(|seen| {
            push(&mut seen.vendors, json::text(root, "Vendor"));
            for name in root.get("Oem").and_then(Value::as_object).into_iter().flat_map(|oem| oem.keys()).take(VENDORS) {
                push(&mut seen.vendors, Some(name.clone()));
            }
            seen.product = told(root, "Product").or(seen.product.take());
        });
        let offered = |key: &str| {
            let features = root.get("ProtocolFeaturesSupported").and_then(|features| features.get("ExpandQuery"));
            features.and_then(|expand| expand.get(key)).and_then(Value::as_bool) == Some(true)
        };
        self.state().expand = match (offered("NoLinks"), offered("ExpandAll"), offered("Levels")) {
            (true, _, true) => Some("$expand=.($levels=1)"),
            (true, _, false) => Some("$expand=."),
            (false, true, true) => Some("$expand=*($levels=1)"),
            (false, true, false) => Some("$expand=*"),
            (false, false, _) => None,
        };
    }

    /// Takes a look at the node's system.
    pub(super) fn note_system(&self, system: &Value) {
        self.note(|seen| {
            push(&mut seen.vendors, json::text(system, "Manufacturer"));
            seen.model = told(system, "Model").or(seen.model.take());
        });
    }

    /// Takes a look at the manager that drives it. A BMC that was updated meanwhile is another make.
    pub(super) fn note_manager(&self, manager: &Value) {
        self.note(|seen| {
            seen.bmc = told(manager, "Model").or(seen.bmc.take());
            seen.firmware = told(manager, "FirmwareVersion").or(seen.firmware.take());
        });
        let clock = json::word(manager, "DateTime").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let skew = clock.map(|clock| clock.duration_since(jiff::Timestamp::now()).as_secs());
        if let Some(skew) = skew.filter(|skew| skew.abs() > SKEW) {
            let way = if skew > 0 { "ahead" } else { "behind" };
            self.showed("RC-34", format!("the BMC's clock is {} s {way} of this machine's", skew.abs()));
        }
        let mut state = self.state();
        state.asked = true;
        state.skew = skew.or(state.skew);
    }

    /// Takes a look at its chassis.
    fn note_board(&self, chassis: &Value) {
        self.note(|seen| seen.board = told(chassis, "Model").or(seen.board.take()));
    }

    fn note(&self, look: impl FnOnce(&mut Seen)) {
        let mut state = self.state();
        let mut seen = state.seen.clone();
        look(&mut seen);
        if seen == state.seen {
            return;
        }
        let (old, new) = (state.seen.make(), seen.make());
        if new != old {
            // What this BMC has taught already holds for the make that it turns out to be, unless it was updated just now.
            let recalled = new.as_ref().map_or_else(Learned::default, |make| self.memory.recall(make));
            state.learned = if old.is_none() { std::mem::take(&mut state.learned).over(recalled) } else { recalled };
        }
        state.profile = Arc::new(Profile::of(&self.quirks, &seen));
        state.seen = seen;
    }

    /// Whether the board's name could change the profile.
    fn wants_board(&self) -> bool {
        let state = self.state();
        state.seen.board.is_none() && Profile::turns_on_board(&self.quirks, &state.seen)
    }
}

fn told(value: &Value, key: &str) -> Option<String> {
    json::text(value, key).map(|text| safe(&text, 128))
}

fn push(vendors: &mut Vec<String>, vendor: Option<String>) {
    if let Some(vendor) = vendor.map(|vendor| safe(&vendor, 128))
        && vendors.len() < 2 * VENDORS
        && !vendors.contains(&vendor)
    {
        vendors.push(vendor);
    }
}

impl Client {
    /// Makes sure that the BMC is known as well as it can be: its manager has been looked at, and its chassis where that tells makes apart.
    /// Trouble with one of them leaves the habits at what is known.
    ///
    /// # Errors
    /// Trouble with the BMC itself.
    pub(super) async fn acquaint(&self, system: &Resource) -> Result<(), BmcError> {
        self.kin.note_system(&system.value);
        if !self.kin.state().asked {
            match self.manager(system).await {
                Ok(Some(manager)) => self.kin.note_manager(&manager.value),
                Ok(None) => {}
                Err(e) if soft(&e) => {}
                Err(e) => return Err(e),
            }
            self.kin.state().asked = true;
        }
        if self.kin.wants_board() {
            for chassis in self.chassis(system).await {
                self.kin.note_board(&chassis.value);
            }
        }
        Ok(())
    }
}
