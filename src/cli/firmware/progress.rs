//! How far a push has come, in lines: one when something else begins, and one at every quarter of it. A thousand polls are no news.

use std::sync::{Mutex, PoisonError};

use crate::bmc::updating::UpdateProgress;
use crate::cli::global::Global;
use crate::cli::output::escape;
use crate::model::NodeId;

/// Tells of one node.
pub struct Teller<'a> {
    global: &'a Global,
    node: &'a NodeId,
    /// What was told last: what it is, and which quarter of it.
    last: Mutex<Option<(String, u64)>>,
}

impl<'a> Teller<'a> {
    /// Has told nothing yet.
    pub fn new(global: &'a Global, node: &'a NodeId) -> Self {
        Self { global, node, last: Mutex::default() }
    }

    /// Tells a step, if it is news.
    pub fn tell(&self, step: &UpdateProgress) {
        let (what, quarter, words) = words(step);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Some((what, quarter));
        if *last != now {
            *last = now;
            self.global.talk(escape(&format!("{}: {words}", self.node)));
        }
    }
}

/// What a step is, which quarter of it, and all of it in words.
fn words(step: &UpdateProgress) -> (String, u64, String) {
    match step {
        UpdateProgress::Waiting(why) => (why.clone(), 0, format!("waiting: {why}")),
        UpdateProgress::Uploading { sent, of } => {
            let quarter = sent.saturating_mul(4) / (*of).max(1);
            ("upload".to_owned(), quarter, format!("uploading, {} of {}", size(*sent), size(*of)))
        }
        UpdateProgress::Working(state, percent) => {
            let words = percent.map_or_else(|| state.clone(), |percent| format!("{state}, {percent} %"));
            (state.clone(), u64::from(percent.unwrap_or(0) / 25), format!("the BMC works: {words}"))
        }
        UpdateProgress::Proving(why) => ("proof".to_owned(), 0, format!("reading the version back ({why})")),
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_words() {
        for (step, want) in [
            (UpdateProgress::Uploading { sent: 1 << 20, of: 3 << 20 }, "uploading, 1.0 MiB of 3.0 MiB"),
            (UpdateProgress::Uploading { sent: 1, of: 2_000 }, "uploading, 1 KiB of 2 KiB"),
            (UpdateProgress::Working("Running".into(), Some(40)), "the BMC works: Running, 40 %"),
            (UpdateProgress::Working("Running".into(), None), "the BMC works: Running"),
            (UpdateProgress::Waiting("busy".into()), "waiting: busy"),
        ] {
            assert_eq!(words(&step).2, want);
        }
        let quarter = |sent| words(&UpdateProgress::Uploading { sent, of: 100 }).1;
        assert_eq!([quarter(0), quarter(24), quarter(25), quarter(100)], [0, 0, 1, 4]);
        assert_eq!(words(&UpdateProgress::Uploading { sent: 5, of: 0 }).1, 20);
    }
}
