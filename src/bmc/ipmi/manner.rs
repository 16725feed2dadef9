//! How a BMC wants to be logged in to: suite, role, and which of the standard's liberties it does not know. What worked once is tried first
//! the next time; nothing here asks for a vendor by name (IP-04, IP-07).

use super::suite::Suite;

/// Look the account up by its name alone (§13.20, role bit 4).
const NAME_ONLY: u8 = 0x10;
/// "The highest privilege that this suite allows" in an Open Session Request (§13.17).
const HIGHEST: u8 = 0;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Cipher suite.
    pub suite: Suite,
    /// Role that is asked for.
    pub role: u8,
    /// Open Session asks for the highest privilege and not for the role: some BMCs take nothing else (IP-07).
    pub open_highest: bool,
    /// The account is looked up by its name alone. BMCs that do not know this bit refuse the role.
    pub by_name: bool,
    /// The BMC hears a handshake only after a greeting.
    pub greets: bool,
}

impl Manner {
    /// Privilege of the Open Session Request.
    #[must_use]
    pub fn open_role(self) -> u8 {
        if self.open_highest { HIGHEST } else { self.role }
    }

    /// Role byte of RAKP message 1.
    #[must_use]
    pub fn role_byte(self) -> u8 {
        if self.by_name { self.role | NAME_ONLY } else { self.role }
    }

    /// Role bytes that BMCs put into their codes: the one that was sent, as the standard says; or without the name-only bit; or that of Open
    /// Session (FreeIPMI calls the last `opensesspriv`). The password is proven by each of them.
    #[must_use]
    pub fn hashed_roles(self) -> [u8; 3] {
        [self.role_byte(), self.role, self.open_role()]
    }
}

/// The ways that are left, best first.
#[derive(Debug)]
pub struct Ladder {
    /// Suites that are not refused yet, in the order in which they are tried.
    suites: Vec<Suite>,
    refused: Vec<Suite>,
    roles: Vec<u8>,
    open_highest: bool,
    by_name: bool,
}

/// What a refusal was said to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Open Session.
    Session,
    /// RAKP message 1.
    Account,
    /// RAKP message 3.
    Password,
}

impl Stage {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "the session",
            Self::Account => "the account",
            Self::Password => "the password",
        }
    }
}

impl Ladder {
    /// `pinned`: the only suite that is allowed. `known`: what worked the last time. `roles`: best first.
    #[must_use]
    pub fn new(pinned: Option<Suite>, known: Option<Manner>, roles: &[u8]) -> Self {
        let suites = match (pinned, known.map(|k| k.suite)) {
            (Some(only), _) => vec![only],
            (None, Some(Suite::Three)) => vec![Suite::Three, Suite::Seventeen],
            (None, _) => vec![Suite::Seventeen, Suite::Three],
        };
        let mut roles = roles.to_vec();
        if let Some(known) = known
            && let Some(at) = roles.iter().position(|role| *role == known.role)
        {
            roles.drain(..at);
        }
        Self {
            suites,
            refused: Vec::new(),
            roles,
            open_highest: known.is_some_and(|k| k.open_highest),
            by_name: known.is_none_or(|k| k.by_name),
        }
    }

    /// The way to try next. `turn` picks among the suites: a BMC that throws away what it does not know is tried with each.
    #[must_use]
    pub fn manner(&self, turn: usize) -> Option<Manner> {
        let suite = *self.suites.get(turn.checked_rem(self.suites.len())?)?;
        Some(Manner { suite, role: *self.roles.first()?, open_highest: self.open_highest, by_name: self.by_name, greets: false })
    }

    /// The BMC refused a suite. `Err`: the names of all that it refused, when none is left.
    ///
    /// # Errors
    /// No suite is left.
    pub fn without(&mut self, suite: Suite) -> Result<(), String> {
        self.suites.retain(|s| *s != suite);
        self.refused.push(suite);
        if self.suites.is_empty() {
            return Err(self.refused.iter().map(|s| s.id().to_string()).collect::<Vec<_>>().join(" and "));
        }
        Ok(())
    }

    /// The BMC's proof did not fit under this suite: another is tried before it, where there is one.
    pub fn doubt(&mut self, suite: Suite) {
        self.suites.retain(|s| *s != suite);
        self.suites.push(suite);
    }

    /// The BMC refused the role at this stage: first the liberties are given up, then the role. False when nothing is left.
    pub fn lower(&mut self, stage: Stage) -> bool {
        match stage {
            Stage::Session if !self.open_highest => self.open_highest = true,
            Stage::Account if self.by_name => self.by_name = false,
            _ => {
                if !self.roles.is_empty() {
                    self.roles.remove(0);
                }
                self.open_highest = false;
                self.by_name = true;
            }
        }
        !self.roles.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ladder, Manner, Stage};
    use crate::bmc::ipmi::suite::Suite;

    #[test]
    fn each_refusal_takes_one_step_down_and_the_steps_end() {
        let mut ladder = Ladder::new(None, None, &[3, 2]);
        let first = ladder.manner(0).unwrap();
        assert_eq!((first.open_role(), first.role_byte(), first.suite), (3, 0x13, Suite::Seventeen));
        assert_eq!(ladder.manner(1).unwrap().suite, Suite::Three, "silence is met with the other suite");
        let mut seen = Vec::new();
        while ladder.lower(if seen.len() % 2 == 0 { Stage::Session } else { Stage::Account }) {
            let manner = ladder.manner(0).unwrap();
            seen.push((manner.open_role(), manner.role_byte()));
            assert!(seen.len() < 20);
        }
        assert_eq!(seen, [(0, 0x13), (0, 0x03), (2, 0x12), (2, 0x02), (0, 0x02)]);
        assert_eq!(ladder.manner(0), None);
    }

    #[test]
    fn what_worked_is_tried_first_and_a_pinned_suite_is_never_left() {
        let known = Manner { suite: Suite::Three, role: 2, open_highest: true, by_name: false, greets: false };
        assert_eq!(Ladder::new(None, Some(known), &[3, 2]).manner(0), Some(known));
        let mut pinned = Ladder::new(Some(Suite::Seventeen), Some(known), &[3, 2]);
        assert_eq!(pinned.manner(0).map(|m| m.suite), Some(Suite::Seventeen));
        pinned.doubt(Suite::Seventeen);
        assert_eq!(pinned.manner(7).map(|m| m.suite), Some(Suite::Seventeen));
        assert_eq!(pinned.without(Suite::Seventeen), Err("17".to_owned()));
        assert_eq!(pinned.manner(0), None);
    }
}
