//! The data disk of a simulated machine: blank, being written by an installer that runs on the machine, torn when the power goes meanwhile, or
//! written. The machine starts from it once it is written. Its system disk is another one, which nothing here touches.

use super::clock::SimTime;

/// How long an installer writes, in virtual seconds.
const WRITES: u32 = 60;
/// Longest order that is taken.
const ORDER: usize = 16 * 1024;

/// The disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The order of the installer that wrote last, and whether it came to its end.
    written: Option<(String, bool)>,
    /// When the installer that runs now will have ended, and on which boot it runs.
    ends: Option<(SimTime, u64)>,
    /// Installations that were begun.
    begun: u32,
}

/// How an installer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It runs.
    Running,
    /// It came to its end in this boot.
    Done,
    /// None ran in this boot.
    None,
}

impl Disk {
    /// Starts an installer on this boot; false when one runs, or the order is none.
    pub fn begin(&mut self, now: SimTime, boot: u64, order: &str) -> bool {
        self.live(now);
        if order.is_empty() || order.len() > ORDER || self.writing(boot) == Writing::Running {
            return false;
        }
        self.written = Some((order.to_owned(), false));
        self.ends = Some((now.after_s(WRITES), boot));
        self.begun = self.begun.saturating_add(1);
        true
    }

    /// Time passed while the machine had power.
    pub fn live(&mut self, now: SimTime) {
        if let (Some((ends, _)), Some((_, done))) = (self.ends, &mut self.written)
            && now >= ends
        {
            *done = true;
        }
    }

    /// The system went away at this moment: what was not written by then never will be.
    pub fn cut(&mut self, at: SimTime) {
        self.live(at);
        self.ends = None;
    }

    /// How the installer of this boot stands.
    #[must_use]
    pub fn writing(&self, boot: u64) -> Writing {
        match (self.ends, &self.written) {
            (Some((_, on)), Some((_, done))) if on == boot => {
                if *done {
                    Writing::Done
                } else {
                    Writing::Running
                }
            }
            _ => Writing::None,
        }
    }

    /// A line of the order of who wrote last, by its key.
    #[must_use]
    pub fn order(&self, key: &str) -> Option<&str> {
        let (order, _) = self.written.as_ref()?;
        order.lines().find_map(|line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')))
    }

    /// Kernel arguments of the system on it, when there is one.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.order("options").filter(|_| self.is_written())
    }

    /// Whether it holds a system.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written.as_ref().is_some_and(|(_, done)| *done)
    }

    /// Installations that were begun.
    #[must_use]
    pub fn begun(&self) -> u32 {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_that_is_cut_leaves_no_system() {
        let mut disk = Disk::default();
        assert!(disk.begin(SimTime(0), 1, "options a=b\n") && !disk.begin(SimTime(1), 1, "options x\n"));
        disk.cut(SimTime(30_000));
        disk.live(SimTime(90_000));
        assert_eq!((disk.is_written(), disk.options(), disk.writing(1)), (false, None, Writing::None));
        assert!(disk.begin(SimTime(100_000), 2, "options a=b\n"));
        disk.live(SimTime(160_000));
        assert_eq!((disk.options(), disk.writing(2), disk.writing(3)), (Some("a=b"), Writing::Done, Writing::None));
        disk.cut(SimTime(170_000));
        assert_eq!((disk.options(), disk.begun()), (Some("a=b"), 2));
    }
}
