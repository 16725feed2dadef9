//! The data disk of a simulated machine: blank, being written by an installer that runs on the machine, torn when the power goes meanwhile, or
//! written. The machine starts from it once it is written. Its system disk is another one, which nothing here touches.

use super::clock::SimTime;

/// How long an installer writes, in virtual seconds.
const WRITES: u32 = 60;
/// Longest order that is taken.
const ORDER: usize = 16 * 1024;

/// Command line of the system that an image of a whole disk holds.
pub const SITE_CMDLINE: &str = "BOOT_IMAGE=/boot/vmlinuz-site root=LABEL=site-root ro quiet";

/// The disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The order of the installer that wrote last, and whether it came to its end.
    written: Option<(String, bool)>,
    /// When the installer that runs now will have ended, and on which boot it runs.
    ends: Option<(SimTime, u64)>,
    /// An installer that fetches before it writes.
    fetch: Option<Fetch>,
    /// Installations that were begun.
    begun: u32,
}

/// What an installer fetches, before it touches the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fetch {
    order: String,
    boot: u64,
    failed: Option<String>,
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
    /// Starts an installer on this boot that fetches first; false when one runs, or the order is none.
    pub fn fetch(&mut self, boot: u64, order: &str) -> bool {
        let fetches = self.fetch.as_ref().is_some_and(|f| f.boot == boot && f.failed.is_none());
        if order.is_empty() || order.len() > ORDER || fetches || self.writing(boot) == Writing::Running {
            return false;
        }
        self.fetch = Some(Fetch { order: order.to_owned(), boot, failed: None });
        true
    }

    /// What came of the fetch of that boot: it writes now, or it has failed. Nothing happens when the machine has lost its power meanwhile.
    pub fn fetched(&mut self, now: SimTime, boot: u64, came: Result<(), String>) {
        let Some(fetch) = self.fetch.as_mut().filter(|f| f.boot == boot && f.failed.is_none()) else { return };
        match came {
            Err(why) => fetch.failed = Some(why),
            Ok(()) => {
                let order = std::mem::take(&mut fetch.order);
                self.begin(now, boot, &order);
            }
        }
    }

    /// The order of an installer of this boot that fetches, and why it failed if it did.
    #[must_use]
    pub fn fetching(&self, boot: u64) -> Option<(&str, Option<&str>)> {
        self.fetch.as_ref().filter(|f| f.boot == boot).map(|f| (f.order.as_str(), f.failed.as_deref()))
    }

    /// Starts an installer on this boot; false when one runs, or the order is none.
    pub fn begin(&mut self, now: SimTime, boot: u64, order: &str) -> bool {
        self.live(now);
        if order.is_empty() || order.len() > ORDER || self.writing(boot) == Writing::Running {
            return false;
        }
        self.fetch = None;
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
        self.fetch = None;
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

    /// Kernel arguments of the system on it, when there is one. That of a whole disk's image has its own.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.order("options").or(self.order("made").map(|_| SITE_CMDLINE)).filter(|_| self.is_written())
    }

    /// GUID of its partition table.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.order("made").filter(|_| self.is_written()).or(self.order("disk-uuid"))
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

    #[test]
    fn what_is_fetched_first_touches_nothing_until_it_has_come() {
        let mut disk = Disk::default();
        assert!(disk.fetch(1, "options a=b\n") && !disk.fetch(1, "options a=b\n"));
        disk.fetched(SimTime(0), 1, Err("HTTP 404".to_owned()));
        assert_eq!((disk.fetching(1), disk.begun()), (Some(("options a=b\n", Some("HTTP 404"))), 0));
        assert!(disk.fetch(1, "options c=d\n"));
        disk.cut(SimTime(1));
        disk.fetched(SimTime(2), 1, Ok(()));
        assert_eq!((disk.fetching(1), disk.begun()), (None, 0), "its machine has lost its power");
        assert!(disk.fetch(2, "options e=f\n"));
        disk.fetched(SimTime(3), 2, Ok(()));
        assert_eq!((disk.fetching(2), disk.begun(), disk.writing(2)), (None, 1, Writing::Running));
    }
}
