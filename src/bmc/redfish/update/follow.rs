//! Follows one update to an end: asks its task again and again, bears a BMC that restarts in between, and gives up on one that stands still
//! (RC-39 to RC-46). The end says what was seen, not whether the update succeeded.

use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::super::client::Client;
use super::super::json;
use super::Times;
use super::find::{Mark, fatal};
use super::judge::{self, Step, Verdict};
use crate::bmc::updating::UpdateProgress;
use crate::bmc::{BmcError, BmcTrouble};

/// Answers in a row that are no answers, before a task is taken as gone: ASRock's answers 500 once it has ended (bmclib `firmware.go`).
const ODD: u32 = 5;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Watch {
    /// The task itself.
    Task(Mark),
    /// Its monitor, for BMCs that keep only that.
    Monitor(String),
    /// The maker's own job.
    Job(String),
    /// The update service itself.
    Service(String),
}

/// How it ended, in the BMC's words or in ours.
#[derive(Debug)]
pub(super) enum End {
    /// It says that it is done.
    Ended(String),
    /// It says that it failed.
    Failed(String),
    /// It waits for a reset.
    Staged(String),
    /// It is not there any more, or another is in its place.
    Gone(String),
    /// It waits for a person.
    Blocked(String),
    /// It stood still for too long.
    Stalled(String),
    /// The deadline passed while it went on.
    Late(String),
    /// The BMC cannot be asked any more.
    Lost(BmcError),
}

impl End {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Ended(words) => format!("the task ended: {words}"),
            Self::Failed(words) => format!("the task failed: {words}"),
            Self::Staged(words) => format!("the task waits for a reset: {words}"),
            Self::Gone(words) => format!("the task is gone: {words}"),
            Self::Blocked(words) => format!("the task waits for a person: {words}"),
            Self::Stalled(words) => format!("the task stands still: {words}"),
            Self::Late(words) => format!("the deadline passed while the task went on: {words}"),
            Self::Lost(e) => format!("the task cannot be asked for any more: {e}"),
        }
    }
}

/// How a run of looks went.
pub(super) struct Followed {
    /// How it ended.
    pub(super) end: End,
    /// The BMC was away meanwhile: it may have restarted.
    pub(super) away: bool,
}

impl Client {
    /// Follows an update until it ends, stands still or the deadline passes.
    pub(super) async fn follow(
        &self,
        watch: &Watch,
        times: &Times,
        deadline: Instant,
        tell: &(dyn Fn(UpdateProgress) + Send + Sync),
    ) -> Followed {
        let (mut moved, mut last, mut odd, mut away) = (Instant::now(), None::<Step>, 0, false);
        let mut held: Option<(Instant, Verdict)> = None;
        let mut pause = self.limits.poll.0;
        let ends = |end, away| Followed { end, away };
        loop {
            let words = match self.ask(watch, deadline).await {
                Ok(Some(verdict)) => {
                    odd = 0;
                    match verdict {
                        Verdict::Ended(words) => return ends(End::Ended(words), away),
                        Verdict::Failed(words) => return ends(End::Failed(words), away),
                        Verdict::Going(step) => {
                            held = None;
                            let words = step.to_string();
                            if last.as_ref() != Some(&step) {
                                moved = Instant::now();
                                tell(UpdateProgress::Working(step.state.clone(), step.percent));
                                last = Some(step);
                            }
                            words
                        }
                        waits => {
                            let (since, words) = match &held {
                                Some((since, before)) if std::mem::discriminant(before) == std::mem::discriminant(&waits) => {
                                    (*since, waited(&waits))
                                }
                                _ => {
                                    tell(UpdateProgress::Working(waited(&waits), None));
                                    (Instant::now(), waited(&waits))
                                }
                            };
                            // Some are in such a state for a moment only.
                            match &waits {
                                Verdict::Staged(_) if since.elapsed() >= times.grace => return ends(End::Staged(words), away),
                                Verdict::Idle(_) if since.elapsed() >= times.grace => {
                                    return ends(End::Gone(format!("the update service says {words}")), away);
                                }
                                Verdict::Asks(_) if since.elapsed() >= times.stall => return ends(End::Blocked(words), away),
                                _ => {}
                            }
                            held = Some((since, waits));
                            moved = Instant::now();
                            words
                        }
                    }
                }
                Ok(None) => return ends(End::Gone("another task has its place now".to_owned()), away),
                Err(e) if fatal(&e) => return ends(End::Lost(e), away),
                Err(e) if e.kind == BmcTrouble::Unsupported => return ends(End::Gone(e.to_string()), away),
                // Restarting, most likely: bounded by the stall and the deadline.
                Err(e) if matches!(e.kind, BmcTrouble::Unreachable | BmcTrouble::TimedOut | BmcTrouble::Busy) => {
                    if !away && e.kind != BmcTrouble::Busy {
                        tell(UpdateProgress::Working("the BMC does not answer".to_owned(), None));
                    }
                    away |= e.kind != BmcTrouble::Busy;
                    e.to_string()
                }
                Err(e) => {
                    odd += 1;
                    if odd > ODD {
                        return ends(End::Gone(e.to_string()), away);
                    }
                    e.to_string()
                }
            };
            if moved.elapsed() >= times.stall {
                let stood = format!("no progress for {:.0} s, last: {words}", times.stall.as_secs_f32());
                return ends(End::Stalled(stood), away);
            }
            let next = Instant::now() + pause;
            if next >= deadline {
                return ends(End::Late(words), away);
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }

    /// One look. `None`: what is there is another one.
    async fn ask(&self, watch: &Watch, deadline: Instant) -> Result<Option<Verdict>, BmcError> {
        Ok(match watch {
            Watch::Task(mark) => {
                let task = self.look(&mark.at, deadline).await?;
                mark.is(&task.value).then(|| judge::task(&task.value))
            }
            Watch::Job(at) => Some(judge::job(&self.look(at, deadline).await?.value)),
            Watch::Service(at) => Some(judge::service(&self.look(at, deadline).await?.value)),
            Watch::Monitor(at) => Some(self.monitor(at, deadline).await?),
        })
    }

    /// Asks a monitor: 202 or an empty 200 while it goes on, 204 once when it has ended (bmcweb `task.hpp:212`), else the task itself.
    async fn monitor(&self, at: &str, deadline: Instant) -> Result<Verdict, BmcError> {
        let answer = self.answer(at, deadline).await?;
        let body = json::parse(&answer.body).unwrap_or(Value::Null);
        if json::word(&body, "TaskState").is_some() {
            return Ok(judge::task(&body));
        }
        Ok(match answer.status.as_u16() {
            204 => Verdict::Ended("its monitor answered 204".to_owned()),
            status => Verdict::Going(Step { state: format!("its monitor answers {status}"), ..Step::default() }),
        })
    }
}

fn waited(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Going(step) => step.to_string(),
        Verdict::Staged(words) | Verdict::Asks(words) | Verdict::Idle(words) | Verdict::Ended(words) | Verdict::Failed(words) => {
            words.clone()
        }
    }
}
