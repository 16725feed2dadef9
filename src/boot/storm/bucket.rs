//! The budget of one uplink: whoever wants to send gets the next free moment of it. Since each transfer asks for little at a time, and asks
//! again at the end of the line, all get the same share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::rate::Rate;

/// How much of the past may be made up for: timers are late by a millisecond or more, and the uplink must not stand idle for it.
const LATE: Duration = Duration::from_millis(20);

/// A budget.
pub(super) struct Bucket {
    rate: Rate,
    /// First moment that nobody has.
    free: Mutex<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, free: Mutex::new(Instant::now()) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes so many bytes of the budget; they may be sent from the moment that is returned.
    pub(super) fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*free).max(now.checked_sub(LATE).unwrap_or(now));
        *free = from + self.rate.time_for(bytes);
        from
    }
}
