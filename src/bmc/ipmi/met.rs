//! What a session met on its way and got over. Nothing is decided by it: it is told, for people (`bmc doctor`).

use super::tally::Tally;

/// What was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// Handshakes that were begun anew because an answer was lost (IP-03).
    pub(super) lost: u32,
    /// Handshakes whose proof did not fit, or whose session the BMC had lost (IP-06).
    pub(super) doubts: u32,
    /// No slot was free at first (IP-09).
    pub(super) crowded: bool,
    /// Askings of an open session that were not answered in time (IP-01).
    pub(super) unanswered: u32,
    /// What came in and was thrown away (IP-02, IP-10, IP-11).
    pub(super) tally: Tally,
}
