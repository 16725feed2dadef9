//! How long to wait before a question is asked again: adapts to each BMC (RFC 6298), so that a fast one loses no time and a slow one is not flooded.

use std::time::Duration;

/// Before anything was heard of any BMC. Real BMCs answer in 5–60 ms, RAKP on old ones in 200 ms.
const FIRST: Duration = Duration::from_millis(400);
/// Before anything was heard of this BMC, when the others of its network are quick: a handshake that is begun anew too soon costs the BMC a slot.
const FIRST_LEAST: Duration = Duration::from_millis(150);
/// Never asked again sooner, whatever was measured: a BMC under load has pauses.
const LEAST: Duration = Duration::from_millis(100);
/// Never waited longer for one answer.
const MOST: Duration = Duration::from_secs(4);

/// Measured round trips of one BMC.
#[derive(Debug, Clone, Copy)]
pub struct Rtt {
    first: Duration,
    smooth: Option<Duration>,
    spread: Duration,
    backoff: u32,
    /// Misses in a row at the questions that a BMC has to compute for (RAKP 1 and 3).
    proofs: u32,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { first: FIRST, smooth: None, spread: Duration::ZERO, backoff: 0, proofs: 0 }
    }
}

impl Rtt {
    /// How long to wait for the next answer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.after(self.backoff)
    }

    /// How long to wait for the next proof: an old BMC computes it for 200 ms and opens a session in 5, so that its misses count by themselves.
    #[must_use]
    pub fn patience_for_proof(&self) -> Duration {
        self.after(self.backoff.max(self.proofs))
    }

    fn after(&self, misses: u32) -> Duration {
        let base = self.smooth.map_or(self.first, |smooth| smooth + 4 * self.spread).max(LEAST);
        // Half as long again each time, from the second miss in a row on: gentle, since loss on a management network is mostly a single packet.
        (1..misses).fold(base, |wait, _| (wait * 3 / 2).min(MOST)).min(MOST)
    }

    /// A proof came, or did not come in time.
    pub fn proof(&mut self, came: bool) {
        self.proofs = if came { 0 } else { (self.proofs + 1).min(12) };
    }

    /// Nothing was measured of it yet.
    #[must_use]
    pub fn is_strange(&self) -> bool {
        self.smooth.is_none()
    }

    /// This stranger's beginning, with the other's misses.
    #[must_use]
    pub fn missing(self, other: Self) -> Self {
        Self { backoff: other.backoff, proofs: other.proofs, ..self }
    }

    /// An answer came to a question that was asked once (Karn's rule: otherwise it is not known which asking it answers).
    pub fn heard(&mut self, took: Duration) {
        self.backoff = 0;
        match self.smooth {
            None => {
                self.smooth = Some(took);
                self.spread = took / 2;
            }
            Some(smooth) => {
                self.spread = (3 * self.spread + smooth.abs_diff(took)) / 4;
                self.smooth = Some((7 * smooth + took) / 8);
            }
        }
    }

    /// An answer came after asking again.
    pub fn heard_late(&mut self) {
        self.backoff = self.backoff.saturating_sub(1);
    }

    /// No answer in time.
    pub fn missed(&mut self) {
        self.backoff = (self.backoff + 1).min(12);
    }
}

/// What the BMCs of one network have in common: how long their first answers took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fleet {
    all: Rtt,
}

impl Fleet {
    /// A BMC's first answer took so long.
    pub fn measured(&mut self, took: Duration) {
        self.all.heard(took);
    }

    /// How to wait for a BMC of which nothing was heard yet: twice as long as the others need, and never longer than without knowing them.
    #[must_use]
    pub fn stranger(&self) -> Rtt {
        let first = self.all.smooth.map_or(FIRST, |smooth| (2 * (smooth + 4 * self.all.spread)).clamp(FIRST_LEAST, FIRST));
        Rtt { first, ..Rtt::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, FIRST_LEAST, Fleet, LEAST, MOST, Rtt};
    use std::time::Duration;

    #[test]
    fn patience_follows_the_bmc_and_backs_off() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.patience(), FIRST);
        rtt.heard(Duration::from_millis(1));
        assert_eq!(rtt.patience(), LEAST);
        for _ in 0..50 {
            rtt.heard(Duration::from_millis(300));
        }
        assert!(rtt.patience() > Duration::from_millis(300) && rtt.patience() < Duration::from_millis(500));
        let before = rtt.patience();
        rtt.missed();
        assert_eq!(rtt.patience(), before, "a single packet is lost now and then");
        rtt.missed();
        assert!(rtt.patience() > before);
        for _ in 0..100 {
            rtt.missed();
        }
        assert_eq!(rtt.patience(), MOST);
    }

    /// Open Session answered in 2 ms and RAKP 1 in 200: the misses at the one must not be forgotten at each answer of the other.
    #[test]
    fn a_slow_proof_is_waited_for_in_the_end() {
        let mut rtt = Rtt::default();
        for _ in 0..20 {
            rtt.heard(Duration::from_millis(2));
            if rtt.patience_for_proof() > Duration::from_millis(200) {
                return;
            }
            rtt.missed();
            rtt.proof(false);
        }
        panic!("still {:?}", rtt.patience_for_proof());
    }

    #[test]
    fn a_stranger_is_given_what_the_others_need_twice_over() {
        let mut fleet = Fleet::default();
        assert_eq!(fleet.stranger().patience(), FIRST);
        fleet.measured(Duration::from_millis(1));
        assert_eq!(fleet.stranger().patience(), FIRST_LEAST);
        for _ in 0..40 {
            fleet.measured(Duration::from_millis(110));
        }
        let patience = fleet.stranger().patience();
        assert!(patience > Duration::from_millis(200) && patience < FIRST, "{patience:?}");
        fleet.measured(Duration::from_secs(9));
        assert_eq!(fleet.stranger().patience(), FIRST, "a slow network makes nobody wait longer than not knowing it");
    }
}
