//! The BMC's own life: its restarts, its start as it tells it, and its firmware. A restart forgets what a BMC keeps in memory.

use super::{MachineHandle, State};
use crate::sim::clock::SimTime;
use crate::sim::firmware::Firmware;
use crate::sim::machine::Input;
use crate::sim::media::Media;

impl MachineHandle {
    /// Restarts the BMC: nothing answers for so many virtual seconds, then it is back with a new start and without sessions.
    pub fn restart_bmc(&self, seconds: u32) {
        self.restart(&mut self.lock(), seconds);
    }

    pub(super) fn restart(&self, state: &mut State, seconds: u32) {
        self.restart_at(state, self.inner.clock.now(), seconds);
    }

    pub(super) fn restart_at(&self, state: &mut State, at: SimTime, seconds: u32) {
        let least = state.bmc.started + jiff::SignedDuration::from_secs(1);
        state.bmc.started = jiff::Timestamp::now().max(least);
        state.bmc.away_until = Some(at.after_s(seconds));
        state.bmc.restarts = state.bmc.restarts.saturating_add(1);
        state.sessions = 0;
        state.media = Media { insertions: state.media.insertions, ..Media::default() };
        state.machine.firmware().bmc_restarted(at);
    }

    /// Looks at or changes the firmware, as it is now.
    pub fn firmware<T>(&self, f: impl FnOnce(&mut Firmware, SimTime) -> T) -> T {
        f(self.step(Input::Tick).machine.firmware(), self.inner.clock.now())
    }

    pub(super) fn still_away(&self, state: &mut State) -> bool {
        if state.bmc.away_until.is_some_and(|until| until <= self.inner.clock.now()) {
            state.bmc.away_until = None;
        }
        state.bmc.away_until.is_some()
    }

    /// True while the BMC restarts and answers nothing.
    #[must_use]
    pub fn bmc_away(&self) -> bool {
        self.still_away(&mut self.step(Input::Tick))
    }

    /// How often the BMC has restarted.
    #[must_use]
    pub fn bmc_restarts(&self) -> u32 {
        self.step(Input::Tick).bmc.restarts
    }

    /// When the BMC started, as it tells it.
    #[must_use]
    pub fn bmc_started(&self) -> jiff::Timestamp {
        self.lock().bmc.started
    }
}
