//! How many reads one BMC gets at once: two as a rule, one after it has shown trouble, two again after it has been well for a while (additive
//! increase, multiplicative decrease). What is seen on many BMCs of a class is where the next of that class begins.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Reads at once: the recommended default of firmware.md §1.2. One write goes beside them.
const MOST: u32 = 2;
/// Good answers in a row after which one more is tried.
const GROWS: u32 = 32;
/// A class begins slow when at least one in so many of its BMCs had trouble.
const ONE_IN: u32 = 4;
/// Classes that are remembered.
const CLASSES: usize = 256;

/// What many clients of one process know of classes of BMCs.
#[derive(Debug, Default)]
pub struct Paces(Mutex<BTreeMap<String, Class>>);

#[derive(Debug, Default, Clone, Copy)]
struct Class {
    members: u32,
    slow: u32,
}

impl Paces {
    fn class<T>(&self, name: &str, f: impl FnOnce(&mut Class) -> T) -> Option<T> {
        let mut classes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !classes.contains_key(name) && classes.len() >= CLASSES {
            return None;
        }
        Some(f(classes.entry(name.to_owned()).or_default()))
    }
}

/// The pace of one BMC.
pub(super) struct Pace {
    state: Mutex<State>,
    freed: Notify,
    paces: Arc<Paces>,
}

struct State {
    allowed: u32,
    /// What it may grow to.
    most: u32,
    /// What was learned of the make has been taken over.
    told: bool,
    under_way: u32,
    /// Somebody wants the BMC for itself.
    hushed: bool,
    good: u32,
    class: Option<String>,
    /// Counted as slow in its class.
    counted: bool,
}

/// A place among the reads; it is given back when dropped.
pub(super) struct Place<'a>(&'a Pace);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way = state.under_way.saturating_sub(1);
        drop(state);
        self.0.freed.notify_waiters();
    }
}

/// No read begins while this lives, and none is under way.
pub(super) struct Quiet<'a>(&'a Pace);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.0.state().hushed = false;
        self.0.freed.notify_waiters();
    }
}

impl Pace {
    pub(super) fn new(paces: Arc<Paces>) -> Self {
        let state =
            State { allowed: MOST, most: MOST, told: false, under_way: 0, hushed: false, good: 0, class: None, counted: false };
        Self { state: Mutex::new(state), freed: Notify::new(), paces }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; `None` when the deadline passes first.
    pub(super) async fn enter(&self, deadline: Instant) -> Option<Place<'_>> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look: whatever is freed after it wakes this one.
            freed.as_mut().enable();
            {
                let mut state = self.state();
                if state.under_way < state.allowed && !state.hushed {
                    state.under_way += 1;
                    return Some(Place(self));
                }
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// Lets no further read begin and waits for those under way; `None` when the deadline passes first. One at a time: the caller holds the
    /// write's place.
    pub(super) async fn quiet(&self, deadline: Instant) -> Option<Quiet<'_>> {
        self.state().hushed = true;
        let quiet = Quiet(self);
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.state().under_way == 0 {
                return Some(quiet);
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// A pace for another client of this BMC; it knows the class and begins anew.
    pub(super) fn twin(&self) -> Self {
        let twin = Self::new(Arc::clone(&self.paces));
        let class = self.state().class.clone();
        if let Some(class) = class {
            twin.is_of(&class);
        }
        twin
    }

    /// The BMC is of this class; the first word counts.
    pub(super) fn is_of(&self, class: &str) {
        let mut state = self.state();
        if state.class.is_some() {
            return;
        }
        state.class = Some(class.to_owned());
        let counted = state.counted;
        let slow = self.paces.class(class, |known| {
            let slow = known.slow > 0 && known.slow.saturating_mul(ONE_IN) >= known.members;
            known.members = known.members.saturating_add(1);
            known.slow = known.slow.saturating_add(u32::from(counted));
            slow
        });
        if slow == Some(true) {
            state.allowed = 1;
        }
    }

    /// What the make bears: at most so many, and what earlier BMCs of it turned out to bear to begin with.
    pub(super) fn at_most(&self, most: u32, learned: Option<u32>) {
        let mut state = self.state();
        state.most = most.max(1);
        if let Some(learned) = learned.filter(|_| !state.told) {
            state.told = true;
            state.allowed = state.allowed.min(learned.max(1));
        }
        state.allowed = state.allowed.min(state.most);
    }

    /// It asked to wait, broke off or stood still. True when that makes its class a slow one: more than one of it, and at least one in four.
    pub(super) fn trouble(&self) -> bool {
        let mut state = self.state();
        (state.allowed, state.good) = ((state.allowed / 2).max(1), 0);
        if std::mem::replace(&mut state.counted, true) {
            return false;
        }
        let slow = state.class.as_ref().and_then(|class| {
            self.paces.class(class, |known| {
                known.slow = known.slow.saturating_add(1);
                known.slow > 1 && known.slow.saturating_mul(ONE_IN) >= known.members
            })
        });
        slow == Some(true)
    }

    /// It answered as it should. What it bears now, when that has just grown to all that it may.
    pub(super) fn well(&self) -> Option<u32> {
        let mut state = self.state();
        state.good = state.good.saturating_add(1);
        if state.good < GROWS || state.allowed >= state.most {
            return None;
        }
        (state.allowed, state.good) = (state.allowed + 1, 0);
        let grown = (state.allowed == state.most && state.told).then_some(state.allowed);
        if std::mem::replace(&mut state.counted, false)
            && let Some(class) = &state.class
        {
            self.paces.class(class, |known| known.slow = known.slow.saturating_sub(1));
        }
        drop(state);
        self.freed.notify_waiters();
        grown
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn trouble_halves_and_health_grows_again() {
        let pace = Pace::new(Arc::default());
        let (one, two) = (pace.enter(soon()).await.unwrap(), pace.enter(soon()).await.unwrap());
        assert!(pace.enter(soon()).await.is_none(), "two at once");
        pace.trouble();
        drop(one);
        assert!(pace.enter(soon()).await.is_none(), "one at once after trouble");
        drop(two);
        let alone = pace.enter(soon()).await.unwrap();
        (0..GROWS).for_each(|_| _ = pace.well());
        let beside = pace.enter(soon()).await.unwrap();
        assert!(pace.enter(soon()).await.is_none());
        drop((alone, beside));
    }

    #[tokio::test]
    async fn a_class_begins_where_its_members_are() {
        let paces: Arc<Paces> = Arc::default();
        let known: Vec<Pace> = (0..4).map(|_| Pace::new(Arc::clone(&paces))).collect();
        known.iter().for_each(|pace| pace.is_of("Acme M1"));
        let allowed = |class: &str| {
            let new = Pace::new(Arc::clone(&paces));
            new.is_of(class);
            new.state().allowed
        };
        assert_eq!(allowed("Acme M1"), 2);
        known[0].trouble();
        known[0].trouble();
        known[1].trouble();
        assert_eq!((allowed("Acme M1"), allowed("Other")), (1, 2));
        known.iter().for_each(|pace| (0..GROWS).for_each(|_| _ = pace.well()));
        assert_eq!(allowed("Acme M1"), 2);
    }

    #[tokio::test]
    async fn quiet_waits_for_reads_and_holds_new_ones_back() {
        let pace = Pace::new(Arc::default());
        let read = pace.enter(soon()).await.unwrap();
        assert!(pace.quiet(soon()).await.is_none(), "a read is under way");
        let other = pace.enter(soon()).await.unwrap();
        drop((read, other));
        let quiet = pace.quiet(soon()).await.unwrap();
        assert!(pace.enter(soon()).await.is_none());
        drop(quiet);
        assert!(pace.enter(soon()).await.is_some());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let pace = Arc::new(Pace::new(Arc::default()));
        pace.trouble();
        let held = pace.enter(soon()).await.unwrap();
        let waiting = {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move { pace.enter(Instant::now() + Duration::from_secs(5)).await.is_some() })
        };
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.unwrap());
    }
}
