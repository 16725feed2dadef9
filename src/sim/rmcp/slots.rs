//! The BMC's session slots: few, and given back after a minute of silence (§6.12.15). It holds sessions; it does not speak.

use std::time::Duration;

use super::crypto::Suite;
use super::session::Session;

/// Inactivity after which a slot is given back: 60 s ± 3 s by the specification.
const IDLE: Duration = Duration::from_secs(60);

/// A handshake that stands still so long gives its slot to another that needs one.
const HALF_OPEN: Duration = Duration::from_secs(1);

/// One slot.
pub(super) struct Slot {
    /// The BMC's id for it; never 0.
    pub(super) id: u32,
    /// The console's id for it.
    pub(super) console: u32,
    pub(super) suite: Suite,
    /// Privilege that Open Session asked for.
    pub(super) opened: u8,
    pub(super) phase: Phase,
    used: Duration,
}

/// How far the handshake is.
pub(super) enum Phase {
    /// Open Session was answered.
    Opened,
    /// RAKP 1 was answered.
    Named(Box<Named>),
    /// RAKP 4 was sent.
    Active(Box<Session>),
}

/// What both sides have said up to RAKP 2.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) console_random: [u8; 16],
    pub(super) random: [u8; 16],
    /// The whole role byte, as RAKP 1 had it: the codes cover it with its flag.
    pub(super) role: u8,
    pub(super) user: Vec<u8>,
}

/// All slots of one BMC.
pub(super) struct Slots {
    slots: Vec<Slot>,
    most: usize,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { slots: Vec::new(), most }
    }

    /// Gives back what was silent too long.
    pub(super) fn expire(&mut self, now: Duration) {
        self.slots.retain(|slot| now.saturating_sub(slot.used) < IDLE);
        if self.slots.is_empty() {
            // Hundreds of BMCs share a process: an idle one holds nothing.
            self.slots.shrink_to_fit();
        }
    }

    /// Ends everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// So few slots, and no clock frees them.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// A new slot, or the same one for a console that repeats its question; `None` when all are taken.
    pub(super) fn open(&mut self, console: u32, suite: Suite, opened: u8, now: Duration) -> Option<u32> {
        let again = |slot: &&mut Slot| slot.console == console && slot.suite == suite && matches!(slot.phase, Phase::Opened);
        if let Some(slot) = self.slots.iter_mut().find(again) {
            slot.used = now;
            return Some(slot.id);
        }
        if self.slots.len() >= self.most {
            // Room is made among handshakes that have not ended, the oldest first; a session keeps its slot.
            let oldest = self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot.phase, Phase::Active(_)));
            let (at, slot) = oldest.min_by_key(|(_, slot)| slot.used)?;
            if now.saturating_sub(slot.used) < HALF_OPEN {
                return None;
            }
            self.slots.remove(at);
        }
        let id = loop {
            let id: u32 = rand::random();
            if id != 0 && self.slots.iter().all(|slot| slot.id != id) {
                break id;
            }
        };
        self.slots.push(Slot { id, console, suite, opened, phase: Phase::Opened, used: now });
        Some(id)
    }

    /// A slot by the BMC's id; it counts as used.
    pub(super) fn get(&mut self, id: u32, now: Duration) -> Option<&mut Slot> {
        let slot = self.slots.iter_mut().find(|slot| slot.id == id)?;
        slot.used = now;
        Some(slot)
    }

    /// A slot by the BMC's id, for what the BMC says by itself: it does not count as used.
    pub(super) fn peek(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }

    /// True when there is such a slot.
    pub(super) fn has(&self, id: u32) -> bool {
        self.slots.iter().any(|slot| slot.id == id)
    }

    /// Gives a slot back; false when there is none.
    pub(super) fn close(&mut self, id: u32) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.id != id);
        self.slots.len() != before
    }

    /// Sessions that are active.
    pub(super) fn active(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.phase, Phase::Active(_))).count()
    }
}
