//! What happened to a machine, as its log services tell it.

use tokio::sync::watch;

use super::MachineHandle;
use crate::sim::clock::SimTime;
use crate::sim::history::Happening;
use crate::sim::machine::Input;

impl MachineHandle {
    /// What the BMC remembers of the machine, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Happening> {
        self.step(Input::Tick).machine.history().kept().cloned().collect()
    }

    /// Clears what the BMC remembers.
    pub fn clear_history(&self) {
        let now = self.inner.clock.now();
        let mut state = self.step(Input::Tick);
        state.machine.clear_history(now);
        self.tell_history(&state);
    }

    /// A moment of the machine as its BMC's clock has it; the same at every reading.
    #[must_use]
    pub fn moment(&self, at: SimTime) -> jiff::Timestamp {
        let (virtual_ms, born) = (self.inner.born.0.0, self.inner.born.1);
        let since = i128::from(at.0) - i128::from(virtual_ms);
        let real = since / i128::from(self.inner.clock.speed());
        born.checked_add(jiff::SignedDuration::from_millis(i64::try_from(real).unwrap_or(0))).unwrap_or(born)
    }

    /// Follows the number of the newest entry.
    #[must_use]
    pub fn watch_history(&self) -> watch::Receiver<u64> {
        self.inner.history.subscribe()
    }
}
