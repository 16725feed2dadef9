//! One update from the first look to the last word. Whatever the answers and tasks say, the end is told by the version that runs, and where that
//! cannot be read, as not certain.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::Redfish;
use super::super::client::{Client, permit};
use super::super::error::{safe, unsupported};
use super::super::path;
use super::super::system::soft;
use super::Times;
use super::ask::{Kept, Says};
use super::find::{Before, Found, Named, fatal};
use super::follow::{End, Followed, Watch};
use super::load::Image;
use super::prove::Proof;
use super::send::Sending;
use super::service::{Form, Service};
use super::standing::{Item, Witness};
use super::upload::classed;
use crate::bmc::quirk::{Habits, TaskAsk};
use crate::bmc::updating::{FirmwareImage, UpdateClass, UpdateProgress, UpdateTerms};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// How often an image is sent in all, when the BMC promised each time that it did nothing.
const SENDS: u32 = 4;

/// What is known of an update before anything is sent.
pub(super) struct Walk<'a> {
    pub(super) client: &'a Client,
    pub(super) image: &'a FirmwareImage<'a>,
    pub(super) tell: &'a (dyn Fn(UpdateProgress) + Send + Sync),
    pub(super) deadline: Instant,
    pub(super) doing: String,
    pub(super) habits: Habits,
    pub(super) times: Times,
    pub(super) service: Service,
    kept: Kept,
    /// The component as it was.
    pub(super) item: Item,
    witnesses: Vec<Witness>,
    /// Path of the manager, where makers keep their jobs.
    manager: Option<String>,
}

/// What one push came to.
enum Round {
    Over(Written),
    /// Refused for now, with the promise that nothing was done; how long to wait.
    Refused(BmcError, Duration),
    /// Taken, and nothing came of it, in these words.
    Lost(String),
}

impl Redfish {
    /// See [`crate::bmc::updating::Updating::update`].
    pub(super) async fn walk(&self, image: &FirmwareImage<'_>, terms: &UpdateTerms<'_>) -> Written {
        let deadline = Instant::now() + terms.deadline;
        let doing = format!("update {} to {}", image.component, image.version);
        let _turn = match permit(&self.client.turn.one, deadline, &doing).await {
            Ok(turn) => turn,
            Err(e) => return Written::NotApplied(classed(UpdateClass::Busy, e)),
        };
        let (walk, form) = match self.prepare(image, terms, deadline, doing).await {
            Ok(ready) => ready,
            Err(e) => return Written::NotApplied(e),
        };
        if let Some(written) = walk.already().await {
            return written;
        }
        let (mut lost, mut sends) = (None::<String>, 1);
        loop {
            let round = match walk.idle().await {
                // Whoever was at it before may have done it.
                Ok(before) => match walk.already().await {
                    Some(written) => Round::Over(written),
                    None => walk.round(&form, &before, sends < SENDS).await,
                },
                Err(e) => Round::Over(Written::NotApplied(e)),
            };
            match (round, &lost) {
                // An image that was acknowledged once and lost may still come to something.
                (Round::Over(Written::NotApplied(e)), Some(words)) => {
                    return UpdateClass::Lost.unclear(format!("{words}; then {e}"));
                }
                (Round::Over(written), _) => return written,
                // Promised that nothing was done. Believed only after a look, which the loop begins with.
                (Round::Refused(error, wait), _) => {
                    sends += 1;
                    let next = Instant::now() + wait;
                    if next >= deadline {
                        let words = lost.as_ref();
                        return words.map_or_else(|| Written::NotApplied(error), |words| UpdateClass::Lost.unclear(words));
                    }
                    (walk.tell)(UpdateProgress::Waiting(error.seen));
                    sleep_until(next).await;
                }
                (Round::Lost(words), None) if terms.again => {
                    (walk.tell)(UpdateProgress::Waiting(format!("pushing once more: {words}")));
                    lost = Some(words);
                }
                (Round::Lost(words), _) => return UpdateClass::Lost.unclear(words),
            }
        }
    }

    /// Everything that must be known and right before an image is sent.
    async fn prepare<'a>(
        &'a self,
        image: &'a FirmwareImage<'a>,
        terms: &UpdateTerms<'a>,
        deadline: Instant,
        doing: String,
    ) -> Result<(Walk<'a>, Form), BmcError> {
        let client = &self.client;
        let system = self.writable().await?;
        // Only for the maker's jobs; without it there are none to look at.
        let manager = client.manager(&system).await.ok().flatten().map(|manager| manager.path);
        let Some(at) = client.root().await?.update else { return Err(unsupported(&doing, "it has no update service")) };
        let service = Service::view(&client.look(&at, deadline).await?);
        let wrong = |seen: &str| Err(UpdateClass::Precondition.error(doing.as_str(), seen));
        if service.enabled == Some(false) {
            return wrong("its update service is switched off");
        }
        let habits = client.kin.habit(Clone::clone);
        let form = service.form(&habits, image.url.is_some())?;
        let len = match Image::open(image.file).await {
            Ok(opened) => opened.len,
            Err(e) => return wrong(&format!("the image {}: {e}", image.file.display())),
        };
        if let Some(most) = service.largest(&habits).filter(|most| len > *most) {
            let seen = format!("the image has {len} bytes, and the BMC takes at most {most}; nothing was sent");
            return Err(UpdateClass::Rejected.error(doing.as_str(), seen));
        }
        let own = || Kept::own(image.component, &system.path, manager.as_deref());
        let mut kept = service.inventory.clone().map(Kept::Inventory).or_else(own);
        let mut item = match &kept {
            Some(kept) => client.kept(kept, image.component, None, deadline).await,
            None => return wrong("it has no firmware inventory: what an update did could never be proved"),
        };
        // Some name an inventory that is not there, and tell the version in the system or the manager all the same.
        if let (Err(BmcError { kind: BmcTrouble::Unsupported, .. }), Some(own)) = (&item, own())
            && let Ok(found) = client.kept(&own, image.component, None, deadline).await
            && found.running.known().is_some()
        {
            (kept, item) = (Some(own), Ok(found));
        }
        let item = item.map_err(|e| if soft(&e) { classed(UpdateClass::Precondition, e) } else { e })?;
        let Some(kept) = kept else { return wrong("its version is kept nowhere") };
        if item.updateable == Reading::Known(false) {
            return wrong(&format!("the BMC says that {} cannot be updated through it", image.component));
        }
        let places: Vec<&str> = manager.as_deref().into_iter().collect();
        let witnesses = client.witnesses(&item, &places, deadline).await;
        let times = Times::new(&habits, &client.limits.update);
        let tell = terms.tell;
        Ok((Walk { client, image, tell, deadline, doing, habits, times, service, kept, item, witnesses, manager }, form))
    }
}

impl Walk<'_> {
    /// What everybody says of the wanted version, now.
    pub(super) async fn ask_all(&self, deadline: Instant) -> Result<Says, BmcError> {
        let (component, want) = (self.image.component, self.image.version);
        self.client.ask_all(&self.kept, component, want, &self.item, &self.witnesses, deadline).await
    }

    /// How it ends when nothing has to be sent.
    async fn already(&self) -> Option<Written> {
        match self.ask_all(self.deadline).await {
            Ok(Says::Runs(words)) => Some(Written::Applied(format!("{words} already; nothing was sent"))),
            Ok(Says::Staged(words)) => {
                Some(UpdateClass::NotActivated.unclear(format!("{words}; nothing was sent; {}", self.activation())))
            }
            Ok(Says::Other(..) | Says::Unknown(_)) => None,
            Err(e) => Some(Written::NotApplied(e)),
        }
    }

    /// Waits until no task runs and the update service is free. Never begins beside another update, and never ends one.
    async fn idle(&self) -> Result<Before, BmcError> {
        let mut pause = self.client.limits.poll.0;
        let (mut moved, mut last) = (Instant::now(), None);
        loop {
            let busy = match self.look_around().await {
                Ok((before, None)) => return Ok(before),
                Ok((_, Some(busy))) => busy,
                // It answered a moment ago: it restarts, most likely, for somebody else's update.
                Err(e) if matches!(e.kind, BmcTrouble::Unreachable | BmcTrouble::Busy) && moved.elapsed() < self.times.stall => {
                    e.to_string()
                }
                Err(e) => return Err(e),
            };
            if last.as_ref() != Some(&busy) {
                (moved, last) = (Instant::now(), Some(busy.clone()));
            }
            let next = Instant::now() + pause;
            // A task that stands still may be left from long ago; who can tell has to look.
            if next >= self.deadline || moved.elapsed() >= self.times.stall {
                let seen = format!("the BMC is at something else that does not end: {busy}; nothing was sent");
                return Err(UpdateClass::Busy.error(self.doing.as_str(), seen));
            }
            (self.tell)(UpdateProgress::Waiting(format!("the BMC is at something else: {busy}")));
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.client.limits.poll.1);
        }
    }

    /// The tasks, and what the BMC is at, if anything. A mark that is left from a push that was killed counts too, and is told.
    async fn look_around(&self) -> Result<(Before, Option<String>), BmcError> {
        let before = self.client.tasks_before(self.deadline).await?;
        let service = Service::view(&self.client.look(&self.service.at, self.deadline).await?);
        let busy = before.open().or_else(|| service.busy.then(|| "its update service is busy".to_owned()));
        Ok((before, busy))
    }

    /// One push and what came of it.
    async fn round(&self, form: &Form, before: &Before, may_refuse: bool) -> Round {
        let (named, mut taken, mut sure) = match self.send(form).await {
            Sending::Taken(named, words) => (named, format!("{}: {words}", form.name()), true),
            Sending::Unclear(e) => (Named::default(), format!("the image was sent and the answer lost ({e})"), false),
            Sending::Current(e) => return Round::Over(self.current(e).await),
            Sending::Later(e, wait) if may_refuse => return Round::Refused(e, wait),
            Sending::Later(e, _) | Sending::No(e) => return Round::Over(Written::NotApplied(e)),
        };
        let mut followed = self.follow_push(form, &named, before).await;
        // A task that was taken away may have ended well: the BMC starts nothing that it has not verified. Without an answer to the push,
        // what waits there may be somebody else's.
        let staged = matches!(followed.end, End::Ended(_)) || (sure && matches!(followed.end, End::Gone(_)));
        if self.habits.upload_start && staged {
            let before = match self.client.tasks_before(self.deadline).await {
                Ok(before) => before,
                Err(e) => return Round::Over(UpdateClass::Ambiguous.unclear(format!("{taken}; it was not started: {e}"))),
            };
            let named = match self.start().await {
                Sending::Taken(named, words) => {
                    taken.push_str(&format!("; {words}"));
                    named
                }
                Sending::Unclear(e) => {
                    (sure, taken) = (false, format!("{taken}; the answer to StartUpdate was lost ({e})"));
                    Named::default()
                }
                // It has nothing to start: what it took is gone.
                Sending::Current(e) | Sending::Later(e, _) | Sending::No(e) if matches!(followed.end, End::Gone(_)) => {
                    return Round::Lost(format!("{taken}; {}; {e}", followed.end.words()));
                }
                // Staged and not started, unless somebody else's start was meant for another image and took this one.
                Sending::Current(e) | Sending::Later(e, _) | Sending::No(e) => return Round::Over(self.not_started(e).await),
            };
            followed = self.follow_push(form, &named, &before).await;
        }
        self.conclude(followed, &taken, sure).await
    }

    /// The BMC took the image and does not start it: the version decides.
    async fn not_started(&self, e: BmcError) -> Written {
        match self.prove(&End::Failed(e.seen.clone()), false).await {
            Proof::Runs(words) => Written::Applied(format!("{words}, though it was not started by this push: {e}")),
            Proof::Staged(words) => UpdateClass::NotActivated.unclear(format!("{words}; {e}; {}", self.activation())),
            Proof::Old(_) => Written::NotApplied(e),
            Proof::Wrong(words) => UpdateClass::ActivatedWrong.unclear(format!("{words}; {e}")),
            Proof::Unknown(words) => UpdateClass::Ambiguous.unclear(format!("{words}; {e}")),
        }
    }

    /// The BMC says that it has this image already: the version decides.
    async fn current(&self, e: BmcError) -> Written {
        match self.prove(&End::Failed(e.seen.clone()), false).await {
            Proof::Runs(words) => Written::Applied(format!("{words} already; {e}")),
            Proof::Staged(words) => UpdateClass::NotActivated.unclear(format!("{words}; {e}; {}", self.activation())),
            Proof::Old(words) | Proof::Wrong(words) | Proof::Unknown(words) => {
                let seen = format!("the BMC says that there is nothing to update ({}), but: {words}", e.seen);
                Written::NotApplied(UpdateClass::Rejected.error(self.doing.as_str(), seen))
            }
        }
    }

    /// Finds what is to be followed, and follows it.
    async fn follow_push(&self, form: &Form, named: &Named, before: &Before) -> Followed {
        let follow = |watch| async move { self.client.follow(&watch, &self.times, self.deadline, self.tell).await };
        if matches!(form, Form::Hpe(_)) {
            return follow(Watch::Service(self.service.at.clone())).await;
        }
        if let (TaskAsk::Monitor, Some(at)) = (self.habits.task_ask, named.first()) {
            return follow(Watch::Monitor(at.to_owned())).await;
        }
        let grace = Instant::now() + self.times.grace;
        let (followed, id) = match self.client.find_task(before, named, grace, self.deadline).await {
            Ok(Found::Task(mark)) => {
                let id = path::last(&mark.at).to_owned();
                (follow(Watch::Task(mark)).await, Some(id))
            }
            Ok(Found::None(words)) => {
                let id = named.first().map(|at| path::last(at).to_owned());
                // A BMC that shows no task may be on its way down.
                (Followed { end: End::Gone(format!("none was found: {words}")), away: true }, id)
            }
            Err(e) => (Followed { end: End::Lost(e), away: true }, None),
        };
        // Where the task is purged, the maker's job stays and tells how it went (Dell).
        match (&followed.end, &self.manager, id) {
            (End::Gone(_), Some(manager), Some(id)) if !self.habits.task_jobs.is_empty() => {
                let at = format!("{}/{}/{id}", manager.trim_end_matches('/'), self.habits.task_jobs.trim_matches('/'));
                let job = follow(Watch::Job(at)).await;
                if matches!(job.end, End::Gone(_)) {
                    followed
                } else {
                    Followed { end: job.end, away: followed.away || job.away }
                }
            }
            _ => followed,
        }
    }

    async fn conclude(&self, followed: Followed, taken: &str, sure: bool) -> Round {
        let Followed { end, away } = followed;
        (self.tell)(UpdateProgress::Proving(end.words()));
        let proof = self.prove(&end, away).await;
        let story = format!("{taken}; {}", end.words());
        let unclear = |class: UpdateClass, words: &str| Round::Over(class.unclear(format!("{words}; {story}")));
        match (proof, &end) {
            (Proof::Runs(words), _) => Round::Over(Written::Applied(format!("{words}; {story}"))),
            (Proof::Wrong(words), _) => unclear(UpdateClass::ActivatedWrong, &words),
            (Proof::Old(words), End::Failed(_)) => {
                let seen = format!("{words}; {story}");
                Round::Over(Written::NotApplied(UpdateClass::DeviceFailed.error(self.doing.as_str(), seen)))
            }
            (Proof::Staged(words), _) | (Proof::Old(words), End::Ended(_) | End::Staged(_)) => {
                unclear(UpdateClass::NotActivated, &format!("{words}; {}", self.activation()))
            }
            (Proof::Old(words), End::Gone(_)) if !sure => unclear(UpdateClass::Ambiguous, &words),
            // Where 404 is the usual end of a task, it is no sign of a loss.
            (Proof::Old(words), End::Gone(_)) if self.habits.task_reaped => {
                unclear(UpdateClass::Ambiguous, &format!("{words}; it may have been lost, or {}", self.activation()))
            }
            (Proof::Old(words), End::Gone(_)) => Round::Lost(format!("{words}; {story}")),
            (Proof::Old(words), End::Blocked(_) | End::Stalled(_)) => unclear(UpdateClass::Blocked, &words),
            (Proof::Unknown(words), End::Failed(_)) => unclear(UpdateClass::DeviceFailed, &words),
            (Proof::Old(words) | Proof::Unknown(words), End::Lost(e)) if fatal(e) => unclear(UpdateClass::Ambiguous, &words),
            (Proof::Unknown(words), _) if away => unclear(UpdateClass::Unreachable, &words),
            (Proof::Old(words) | Proof::Unknown(words), _) => unclear(UpdateClass::Ambiguous, &words),
        }
    }

    /// What activates the component, as far as its entry tells (firmware.md §2.3).
    fn activation(&self) -> String {
        let of = |part: &str| {
            let witnesses = self.witnesses.iter().map(|witness| witness.at.as_str());
            self.item.related.iter().map(String::as_str).chain(witnesses).any(|at| at.contains(part))
        };
        if of("/Managers/") {
            "restarting the BMC may activate it".to_owned()
        } else if of("/Systems/") {
            "cycling the node's power may activate it".to_owned()
        } else {
            format!("{} has to be reset, or the node's mains cycled", safe(self.image.component.as_str(), 64))
        }
    }
}
