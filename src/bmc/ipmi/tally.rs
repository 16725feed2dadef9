//! What came in and was thrown away while a question was open. Told when nothing else came, so that an attack or a broken BMC is not taken for
//! silence.

use std::fmt;

use super::session::Dropped;

/// Packets that were thrown away, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The integrity code is wrong.
    pub forged: u32,
    /// The sequence number was seen before, or is too old to tell.
    pub replayed: u32,
    /// For a session that nobody here has, or no RMCP+ packet at all.
    pub astray: u32,
    /// Of the session, but not of the shape that the standard gives it.
    pub garbled: u32,
    /// Genuine answers to an earlier question.
    pub late: u32,
    /// Answers that call the question a duplicate (CFh).
    pub duplicates: u32,
}

impl Tally {
    /// Counts one that a session turned away.
    pub fn count(&mut self, why: Dropped) {
        let counter = match why {
            Dropped::Forged => &mut self.forged,
            Dropped::Replayed => &mut self.replayed,
            Dropped::OtherSession => &mut self.astray,
            Dropped::Shape | Dropped::Garbled => &mut self.garbled,
        };
        *counter = counter.saturating_add(1);
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        for (counter, more) in [
            (&mut self.forged, other.forged),
            (&mut self.replayed, other.replayed),
            (&mut self.astray, other.astray),
            (&mut self.garbled, other.garbled),
            (&mut self.late, other.late),
            (&mut self.duplicates, other.duplicates),
        ] {
            *counter = counter.saturating_add(more);
        }
    }

    /// True when something came that the BMC of this session cannot have meant.
    #[must_use]
    pub fn suspicious(&self) -> bool {
        self.forged > 0 || self.replayed > 0 || self.astray > 0 || self.garbled > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.forged, "with a wrong integrity code"),
            (self.replayed, "replayed"),
            (self.astray, "for another session"),
            (self.garbled, "not understood"),
            (self.late, "that answer an earlier question"),
            (self.duplicates, "that call the question a duplicate"),
        ];
        let mut first = true;
        for (count, what) in kinds.into_iter().filter(|(count, _)| *count > 0) {
            let comma = if first { "" } else { ", " };
            write!(f, "{comma}{count} {what}")?;
            first = false;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::bmc::ipmi::session::Dropped;

    #[test]
    fn it_tells_what_was_seen_and_nothing_else() {
        let mut tally = Tally::default();
        assert_eq!(tally.to_string(), "none");
        tally.late = 2;
        assert!(!tally.suspicious(), "a late answer is genuine");
        for why in [Dropped::Forged, Dropped::Forged, Dropped::Replayed, Dropped::Garbled] {
            tally.count(why);
        }
        assert!(tally.suspicious());
        assert_eq!(
            tally.to_string(),
            "2 with a wrong integrity code, 1 replayed, 1 not understood, 2 that answer an earlier question"
        );
    }
}
