//! What the quirks and earlier lessons say about the wire, put into force as soon as they are known; and what the wire taught, given back to be
//! remembered for the make.

use std::time::Duration;

use super::client::Client;
use super::transport::{Broke, Broken};
use crate::bmc::quirk::{Glob, Learned};

impl Client {
    /// Puts the habits into force that concern connections, headers and the pace.
    pub(super) fn heed(&self) {
        let habits = self.kin.profile();
        let habits = &habits.habits;
        let learned = self.kin.learned();
        if habits.close_connections && self.transport.reuses() {
            self.transport.never_reuse();
        }
        if habits.bare_host || habits.referer {
            self.manners.be_strict();
        }
        if learned.no_identity.unwrap_or(habits.no_identity) {
            self.manners.leave_identity();
        }
        self.pace.at_most(habits.reads_at_once, learned.at_once);
    }

    /// Longest time for one read of a path: the usual, or what this make needs (RC-14).
    pub(super) fn patience(&self, at: &str) -> Duration {
        let slow = self.kin.habit(|habits| {
            let fits = habits.slow_paths.iter().filter(|(path, _)| Glob::new(path).is_ok_and(|path| path.fits(at)));
            fits.map(|(_, seconds)| Duration::from_secs((*seconds).into())).max()
        });
        slow.unwrap_or_default().max(self.limits.request)
    }

    /// Longest time that a connection may have waited to carry a request: for one that is no read, the habit counts too (RC-04).
    pub(super) fn fresh_enough(&self, read: bool) -> Duration {
        if read {
            return self.limits.reuse;
        }
        let habit = self.kin.habit(|habits| habits.reuse_idle_s);
        self.limits.reuse.min(Duration::from_secs(habit.into()))
    }

    /// Lets the pace fall when something broke.
    pub(super) fn stumbled(&self, gone: &Broken) {
        if matches!(gone.how, Broke::Lost | Broke::Stalled | Broke::TimedOut) {
            self.slower();
        }
        if self.transport.short() {
            self.kin.showed("RC-06", "it refuses a connection while others are open".to_owned());
        }
    }

    /// It asked to wait, broke off or stood still.
    pub(super) fn slower(&self) {
        if self.pace.trouble() {
            self.kin.learn(Learned { at_once: Some(1), ..Learned::default() });
        }
    }

    /// It answered as it should.
    pub(super) fn well(&self) {
        if let Some(at_once) = self.pace.well() {
            self.kin.learn(Learned { at_once: Some(at_once), ..Learned::default() });
        }
    }
}
