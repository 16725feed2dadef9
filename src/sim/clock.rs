//! Virtual time: real time × speed. It only converts; it never waits.

use std::time::{Duration, Instant};

/// A moment on the simulated machines' clock, in virtual milliseconds since the farm started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimTime(pub u64);

impl SimTime {
    /// This moment and `seconds` virtual seconds more.
    #[must_use]
    pub fn after_s(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }
}

/// The clock that all machines of a farm share.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    speed: u32,
}

impl Clock {
    /// A clock that starts now and runs `speed` times as fast as the wall's; 0 is taken as 1.
    #[must_use]
    pub fn start(speed: u32) -> Self {
        Self { start: Instant::now(), speed: speed.max(1) }
    }

    /// Virtual seconds per real second.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// The virtual moment.
    #[must_use]
    pub fn now(&self) -> SimTime {
        let real_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        SimTime(real_us.saturating_mul(u64::from(self.speed)) / 1000)
    }

    /// Real time until a virtual moment; zero when it has passed. Rounded up, so that after this wait the moment *has* passed.
    #[must_use]
    pub fn until(&self, moment: SimTime) -> Duration {
        let ahead_ms = moment.0.saturating_sub(self.now().0);
        Duration::from_micros(ahead_ms.saturating_mul(1000).div_ceil(u64::from(self.speed)).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_until_passes_the_moment() {
        let clock = Clock::start(60_000);
        let moment = clock.now().after_s(120);
        std::thread::sleep(clock.until(moment));
        assert!(clock.now() >= moment);
    }
}
