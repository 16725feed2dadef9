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
}
