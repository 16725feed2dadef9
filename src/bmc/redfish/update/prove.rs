//! What became of an update, by the version that runs: looked at until it shows, or long enough to say that it does not (RC-53, RC-54). What the
//! task said only decides how long to look.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ask::Says;
use super::find::fatal;
use super::follow::End;
use super::walk::Walk;
use crate::bmc::updating::UpdateProgress;
use crate::model::Version;

/// Looks that must agree before another version than both is believed, or any after the BMC was away: it comes back in pieces
/// (ironic `firmware.py:731` takes three too).
const STEADY: u32 = 3;

/// What was seen in the end.
#[derive(Debug)]
pub(super) enum Proof {
    /// The wanted version runs.
    Runs(String),
    /// It waits for an activation.
    Staged(String),
    /// The version of before runs.
    Old(String),
    /// Neither of them runs.
    Wrong(String),
    /// Nothing can be said.
    Unknown(String),
}

impl Walk<'_> {
    /// How long to look after such an end.
    fn patience(&self, end: &End) -> Duration {
        match end {
            End::Ended(_) | End::Gone(_) => self.times.lag,
            End::Staged(_) | End::Failed(_) | End::Blocked(_) | End::Stalled(_) => self.times.grace,
            End::Late(_) | End::Lost(_) => Duration::ZERO,
        }
    }

    /// Looks until the wanted version is seen to run, or for as long as such an end deserves.
    pub(super) async fn prove(&self, end: &End, mut away: bool) -> Proof {
        let until = self.deadline.min(Instant::now() + self.patience(end));
        let (mut pause, mut steady, mut last_said) = (self.client.limits.poll.0, 0_u32, None::<Says>);
        let mut staged_since = None;
        loop {
            let proof;
            // The last look may end a little late, so that a deadline cuts no answer short.
            let cut = self.deadline.max(Instant::now() + Duration::from_secs(1));
            match self.ask_all(cut).await {
                Ok(says) => {
                    steady = if last_said.as_ref() == Some(&says) { steady + 1 } else { 1 };
                    proof = self.read(&says);
                    let waits = matches!(says, Says::Staged(_));
                    staged_since = if waits { staged_since.or_else(|| Some(Instant::now())) } else { None };
                    last_said = Some(says);
                    match &proof {
                        Proof::Runs(_) if !away || steady >= STEADY => return proof,
                        Proof::Wrong(_) if steady >= STEADY => return proof,
                        // Something says that it waits: it is given some time to be activated by itself.
                        Proof::Staged(_) if staged_since.is_some_and(|since: Instant| since.elapsed() >= self.times.grace) => {
                            return proof;
                        }
                        _ => {}
                    }
                }
                Err(e) => {
                    (steady, last_said) = (0, None);
                    if fatal(&e) {
                        return Proof::Unknown(e.to_string());
                    }
                    if !away {
                        (self.tell)(UpdateProgress::Proving("the BMC does not answer".to_owned()));
                    }
                    away = true;
                    // What was seen before the BMC went away is not what is.
                    proof = Proof::Unknown(e.to_string());
                }
            }
            let next = Instant::now() + pause;
            if next >= until {
                // Seen, if not as often as one would like: the words say so.
                return match proof {
                    Proof::Runs(words) => Proof::Unknown(format!("{words}, but the BMC was away and has not been steady since")),
                    proof => proof,
                };
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.client.limits.poll.1);
        }
    }

    fn read(&self, says: &Says) -> Proof {
        match says {
            Says::Runs(words) => Proof::Runs(words.clone()),
            Says::Staged(words) => Proof::Staged(words.clone()),
            Says::Other(version, words) if self.was(version) => Proof::Old(words.clone()),
            Says::Other(_, words) => Proof::Wrong(words.clone()),
            Says::Unknown(words) => Proof::Unknown(words.clone()),
        }
    }

    /// True for the version of before. Where that is not known, nothing is called wrong.
    fn was(&self, version: &Version) -> bool {
        self.item.running.known().is_none_or(|before| before == version)
    }
}
