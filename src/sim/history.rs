//! What happened to a machine, as its BMC would write it into its event log: power, boots, and what is wrong with its accelerators. Each protocol's
//! server words it for itself; numbers go on for ever, so that a client can see what it missed.

use std::collections::VecDeque;

use super::accelerator::Card;
use super::clock::SimTime;
use super::system::Origin;

/// Entries that are kept; real logs hold 512 to 4,096.
const KEPT: usize = 1_024;
/// Degrees Celsius from which a BMC calls an accelerator hot: H100 slows itself down at 87.
pub const HOT_C: u32 = 87;

/// What is wrong with an accelerator, as far as a BMC sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// POST did not find it.
    Missing,
    /// Its link came up with this many lanes.
    NarrowLink(u32),
    /// Uncorrectable memory errors.
    Uncorrectable(u32),
    /// A memory row waits for a reset to be remapped.
    RemapPending,
    /// There is no spare memory row left.
    RemapFailure,
    /// So many degrees Celsius.
    Hot(u32),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The log was cleared.
    Cleared,
    /// The power came.
    PowerOn,
    /// The power went.
    PowerOff,
    /// The boot ROM found nothing on the network; the reason is its own.
    NetworkBootFailed(String),
    /// A system was loaded.
    Boot(Origin),
    /// The system is up.
    Up,
    /// Something is wrong with the accelerator in this slot, from 0.
    Accelerator(u32, Trouble),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Its number, from 1; never used twice.
    pub number: u64,
    /// When.
    pub at: SimTime,
    /// What.
    pub what: What,
}

/// The entries of one machine.
#[derive(Debug, Clone, Default)]
pub struct History {
    kept: VecDeque<Happening>,
    made: u64,
}

impl History {
    /// Writes one.
    pub fn push(&mut self, at: SimTime, what: What) {
        self.made += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Happening { number: self.made, at, what });
    }

    /// Forgets everything and writes that down.
    pub fn clear(&mut self, at: SimTime) {
        self.kept.clear();
        self.push(at, What::Cleared);
    }

    /// What is kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Happening> {
        self.kept.iter()
    }

    /// Number of the newest.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Writes what self-test sees of the accelerators.
    pub(super) fn self_test(&mut self, at: SimTime, cards: &[Card]) {
        for card in cards {
            if card.missing {
                self.push(at, What::Accelerator(card.slot, Trouble::Missing));
            } else if card.width < 16 {
                self.push(at, What::Accelerator(card.slot, Trouble::NarrowLink(card.width)));
            }
        }
    }

    /// Writes what the BMC sees of the accelerators once their driver works.
    pub(super) fn at_work(&mut self, at: SimTime, cards: &[Card]) {
        for card in cards.iter().filter(|card| !card.missing) {
            let found = [
                (card.uncorrectable > 0).then_some(Trouble::Uncorrectable(card.uncorrectable)),
                card.remap_pending.then_some(Trouble::RemapPending),
                card.remap_failure.then_some(Trouble::RemapFailure),
                (card.temperature_c >= HOT_C).then_some(Trouble::Hot(card.temperature_c)),
            ];
            for trouble in found.into_iter().flatten() {
                self.push(at, What::Accelerator(card.slot, trouble));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_when_entries_go() {
        let mut history = History::default();
        for _ in 0..KEPT + 5 {
            history.push(SimTime(1), What::PowerOn);
        }
        assert_eq!((history.kept().count(), history.kept().next().unwrap().number), (KEPT, 6));
        history.clear(SimTime(2));
        let left: Vec<_> = history.kept().cloned().collect();
        assert_eq!(left, [Happening { number: 1_030, at: SimTime(2), what: What::Cleared }]);
    }
}
