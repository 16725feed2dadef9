//! The machine's data disk, as programs on the machine write it.

use super::MachineHandle;
use crate::sim::disk::Disk;
use crate::sim::machine::Input;

impl MachineHandle {
    /// The data disk as it is now, and the number of the boot that is up.
    #[must_use]
    pub fn disk(&self) -> (Disk, u64) {
        let mut state = self.step(Input::Tick);
        let boots = state.machine.boots();
        let disk = state.machine.disk();
        disk.live(self.inner.clock.now());
        (disk.clone(), boots)
    }

    /// Starts an installer; false when one runs already.
    #[must_use]
    pub fn begin_install(&self, order: &str) -> bool {
        let now = self.inner.clock.now();
        let mut state = self.step(Input::Tick);
        let boots = state.machine.boots();
        state.machine.disk().begin(now, boots, order)
    }

    /// Starts an installer that fetches first; false when one runs already.
    #[must_use]
    pub fn begin_fetch(&self, order: &str) -> bool {
        let mut state = self.step(Input::Tick);
        let boots = state.machine.boots();
        state.machine.disk().fetch(boots, order)
    }

    /// What came of the fetch that an installer of that boot began with.
    pub fn end_fetch(&self, boot: u64, came: Result<(), String>) {
        let now = self.inner.clock.now();
        self.step(Input::Tick).machine.disk().fetched(now, boot, came);
    }
}
