//! Who may send now: a bounded number, the others in order of their coming.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Gauge;

/// Over which time a client's speed is looked at.
pub(in crate::boot) const PACE: Duration = Duration::from_secs(10);
/// Who takes less than this in [`PACE`] (128 KiB/s) holds up those who wait: 64 such clients would leave 9/10 of a 1 Gbit/s uplink idle.
const TAKES: usize = (128 << 10) * 10;

/// The gate.
pub(super) struct Gate {
    places: Arc<Semaphore>,
    sending: AtomicUsize,
    waiting: AtomicUsize,
    slow: AtomicUsize,
    pub(super) bytes: AtomicU64,
}

/// Counts for as long as it lives.
struct Count(Arc<Gate>, fn(&Gate) -> &AtomicUsize);

impl Count {
    fn of(gate: &Arc<Gate>, which: fn(&Gate) -> &AtomicUsize) -> Self {
        which(gate).fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(gate), which)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(super) fn new(places: usize) -> Self {
        let none = || AtomicUsize::new(0);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { places, sending: none(), waiting: none(), slow: none(), bytes: AtomicU64::new(0) }
    }

    pub(super) fn gauge(&self) -> Gauge {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Gauge {
            sending: of(&self.sending),
            waiting: of(&self.waiting),
            slow: of(&self.slow),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Waits for a place; tokio's semaphore serves in order. Who gives up leaves the line.
    pub(super) async fn turn(gate: &Arc<Self>) -> Pass {
        let waiting = Count::of(gate, |gate| &gate.waiting);
        // The semaphore is never closed; were it, nobody should wait for it.
        let place = Arc::clone(&gate.places).acquire_owned().await.ok();
        drop(waiting);
        Pass { place, count: Count::of(gate, |gate| &gate.sending), took: Duration::ZERO, bytes: 0 }
    }
}

/// The right to send.
pub(in crate::boot) struct Pass {
    place: Option<OwnedSemaphorePermit>,
    count: Count,
    took: Duration,
    bytes: usize,
}

impl Pass {
    /// The client took so many bytes in that time. One that takes them slowly gives up its place when others wait, and goes on without one.
    pub(in crate::boot) fn moved(&mut self, bytes: usize, took: Duration) {
        self.took += took;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.took < PACE {
            return;
        }
        let slow = self.bytes < TAKES;
        (self.took, self.bytes) = (Duration::ZERO, 0);
        if slow && self.place.is_some() && self.count.0.waiting.load(Ordering::Relaxed) > 0 {
            self.count = Count::of(&Arc::clone(&self.count.0), |gate| &gate.slow);
            self.place = None;
        }
    }
}
