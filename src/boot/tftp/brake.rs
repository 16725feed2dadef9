//! Lines about requests that came to nothing, at most so many a second: whoever sends thousands of them fills no disk with our log. The others
//! are counted, and the count is told.

use std::time::Duration;

use super::told::TftpTold;

/// Lines in a window.
const MOST: u32 = 20;
/// The window.
const WINDOW: Duration = Duration::from_secs(1);

/// The brake.
#[derive(Debug, Default)]
pub(super) struct Brake {
    since: Option<Duration>,
    passed: u32,
    held: u64,
    last: Option<TftpTold>,
}

impl Brake {
    /// What is to be told now, if anything.
    pub(super) fn pass(&mut self, mut told: TftpTold, now: Duration) -> Option<TftpTold> {
        if self.over(now) {
            (self.since, self.passed, self.last) = (Some(now), 0, None);
            told.others = std::mem::take(&mut self.held);
        }
        if self.passed < MOST {
            self.passed += 1;
            return Some(told);
        }
        self.held += 1;
        self.last = Some(told);
        None
    }

    /// The last of those that were held, when the window is over and nothing else came that could tell of them.
    pub(super) fn release(&mut self, now: Duration) -> Option<TftpTold> {
        if !self.over(now) {
            return None;
        }
        let mut last = self.last.take()?;
        last.others = std::mem::take(&mut self.held).saturating_sub(1);
        Some(last)
    }

    fn over(&self, now: Duration) -> bool {
        self.since.is_none_or(|since| now >= since + WINDOW)
    }
}
