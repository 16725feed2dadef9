//! The node's power beyond on and off, as its BMC asks for it and tells of it.

use super::MachineHandle;
use crate::sim::machine::Input;

impl MachineHandle {
    /// A forced restart that hangs.
    pub fn hang(&self) {
        drop(self.step(Input::Hang));
    }

    /// Takes the standby power away and gives it back: the BMC is away for so many virtual seconds and starts anew; the node comes back on
    /// some seconds later, or stays off.
    pub fn mains(&self, away: u32, back_on: bool) {
        drop(self.step(Input::Mains { back_on: back_on.then(|| away.saturating_add(5)) }));
        self.restart_bmc(away);
    }

    /// For how many virtual seconds the power has been as it is; `None` when it never changed.
    #[must_use]
    pub fn power_for(&self) -> Option<u64> {
        let changed = self.step(Input::Tick).machine.power_changed()?;
        Some(self.inner.clock.now().0.saturating_sub(changed.0) / 1_000)
    }

    /// When the machine last began its self-test, as its BMC tells it; `None` when it never did.
    #[must_use]
    pub fn host_started(&self) -> Option<jiff::Timestamp> {
        let mut state = self.step(Input::Tick);
        let posts = state.machine.deeds().posts;
        if posts > state.host.0 {
            // Told to the second, and two starts never fall into one.
            let least = state.host.1.map(|last| last + jiff::SignedDuration::from_secs(1));
            state.host = (posts, Some(least.map_or_else(jiff::Timestamp::now, |least| least.max(jiff::Timestamp::now()))));
        }
        state.host.1
    }
}
