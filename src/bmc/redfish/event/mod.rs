//! Following a log over Redfish: by the service's stream of events where it has one, by pushes where somebody listens for them, and in every case by
//! reading the log again. The log is the truth: what a stream or a push did not tell is found in it and told as a gap.
//!
//! | file | one idea |
//! |---|---|
//! | `sse` | events out of bytes |
//! | `stream` | one open stream |
//! | `record` | events as entries of a log |
//! | `doorbell` | where BMCs push to |
//! | `subscription` | a subscription, proved when it is made and when it is gone |

mod doorbell;
mod record;
mod sse;
mod stream;
mod subscription;

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use self::doorbell::Ear;
pub use self::doorbell::{Doorbell, DoorbellError};
use self::record::{Record, records, same};
use self::sse::Said;
use self::stream::Stream;
use super::Redfish;
use super::error::{safe, unsupported};
use super::json as views;
use super::log::Place;
use crate::bmc::follow::{Follow, FollowHow, Followed, Known, LOOK};
use crate::bmc::sensing::LogEntry;
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{Class, Reading};

/// Where something tells of events, the log is read so many times less often.
const SELDOM: u32 = 6;
/// Longest pause before a stream is opened again.
const LONGEST: Duration = Duration::from_secs(60);

/// How events come to be known.
enum Way {
    /// A stream at this path, while it is open.
    Stream { at: String, open: Option<Box<Stream>>, again: Instant, pause: Duration },
    /// A bell, and the subscription that rings it.
    Bell { ear: Ear, subscription: String },
    /// The log alone.
    Log,
}

/// Somebody who follows a log of a BMC.
pub(super) struct Follower<'a> {
    bmc: &'a Redfish,
    which: Option<&'a str>,
    place: Place,
    every: Duration,
    way: Way,
    known: Known,
    waiting: VecDeque<Followed>,
    look_at: Instant,
    /// Something told of an event since the last look.
    rung: bool,
    /// Events that no entry accounts for yet, and how many looks they have waited for one.
    pending: Vec<(LogEntry, u8)>,
    /// Entries that the last look found and nothing had told of; what tells may only be late.
    untold: usize,
    /// Number of the last event of this stream.
    number: Option<u64>,
    /// The stream names the entry of each event.
    linked: bool,
    away: bool,
}

impl Redfish {
    /// Follows a log from now on.
    pub(super) async fn follow_log<'a>(&'a self, which: Option<&'a str>, how: &FollowHow) -> Result<Follower<'a>, BmcError> {
        let doing = "follow the event log";
        let place = match self.find_log(which).await? {
            Reading::Known(place) => place,
            Reading::Absent => return Err(unsupported(doing, "the BMC keeps no such log")),
            Reading::Unknown { why } => return Err(unsupported(doing, why)),
        };
        // First the stream, then the log: between them nothing is lost.
        let (way, words) = self.way(how).await?;
        let log = match self.entries(&place, LOOK).await {
            Ok(log) => log,
            Err(e) => {
                if let Way::Bell { subscription, .. } = &way {
                    drop(self.client.end_subscription(subscription).await);
                }
                return Err(e);
            }
        };
        let told = match way {
            Way::Log => format!("{} is read every {} s: {words}", place.info.id, how.every.as_secs_f32()),
            _ => format!("{words}; {} is read every {} s beside it", place.info.id, (how.every * SELDOM).as_secs_f32()),
        };
        let mut follower = Follower {
            bmc: self,
            which,
            place,
            every: how.every,
            way,
            known: Known::from(&log),
            waiting: VecDeque::from([Followed::Way(told)]),
            look_at: Instant::now(),
            rung: false,
            pending: Vec::new(),
            untold: 0,
            number: None,
            linked: false,
            away: false,
        };
        follower.look_at = Instant::now() + follower.pause();
        Ok(follower)
    }

    /// The best way that this BMC offers, and what is to be said of it.
    async fn way(&self, how: &FollowHow) -> Result<(Way, String), BmcError> {
        let Some(at) = self.client.root().await?.events else { return Ok((Way::Log, "it has no event service".to_owned())) };
        let service = match self.client.get(&at).await {
            Ok(service) => service.value,
            Err(e) if e.class() == Class::Transient && e.kind != BmcTrouble::Malformed => return Err(e),
            Err(e) => return Ok((Way::Log, e.to_string())),
        };
        if service.get("ServiceEnabled").and_then(Value::as_bool) == Some(false) {
            return Ok((Way::Log, "its event service is switched off".to_owned()));
        }
        let mut why = "it streams no events".to_owned();
        if let Some(at) = views::link(&service, "ServerSentEventUri") {
            match self.client.open_stream(&at).await {
                Ok(stream) => {
                    let words = format!("events are streamed by {}", safe(&at, 128));
                    let (open, again) = (Some(Box::new(stream)), Instant::now());
                    return Ok((Way::Stream { at, open, again, pause: self.client.limits.poll.1 }, words));
                }
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => return Err(e),
                Err(e) => why = format!("its stream of events cannot be had ({e})"),
            }
        }
        let Some(push) = &how.push else { return Ok((Way::Log, why)) };
        if !push.intent.announce().await {
            return Ok((Way::Log, format!("{why}; a subscription could not be journaled, so none was made")));
        }
        let ear = push.doorbell.ear();
        match self.client.subscribe(&service, ear.url(), &push.mark).await {
            Ok(subscription) => {
                let words = format!("events are pushed to {} by {}", push.doorbell.base(), safe(&subscription, 128));
                Ok((Way::Bell { ear, subscription }, words))
            }
            Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => Err(e),
            Err(e) => Ok((Way::Log, format!("{why}; {e}"))),
        }
    }
}

/// What ended a wait.
enum Woke {
    Look,
    Rung,
    Said(Result<Said, String>),
    Again,
}

impl Follower<'_> {
    fn told_by_others(&self) -> bool {
        matches!(self.way, Way::Stream { open: Some(_), .. } | Way::Bell { .. })
    }

    /// Until the next look when nothing happens.
    fn pause(&self) -> Duration {
        if self.told_by_others() { self.every * SELDOM } else { self.every }
    }

    async fn wait(&mut self) -> Woke {
        let look = sleep_until(self.look_at);
        match &mut self.way {
            Way::Log => {
                look.await;
                Woke::Look
            }
            Way::Bell { ear, .. } => tokio::select! {
                () = ear.rung() => Woke::Rung,
                () = look => Woke::Look,
            },
            Way::Stream { open: Some(stream), .. } => tokio::select! {
                // What came is told before the log is asked.
                biased;
                said = stream.next() => Woke::Said(said),
                () = look => Woke::Look,
            },
            Way::Stream { open: None, again, .. } => tokio::select! {
                () = sleep_until(*again) => Woke::Again,
                () = look => Woke::Look,
            },
        }
    }

    /// Something told of an event: the log is read when the burst is over.
    fn ring(&mut self) {
        self.rung = true;
        self.look_at = self.look_at.min(Instant::now() + self.bmc.client.limits.pause);
    }

    fn hear(&mut self, said: &Said) {
        let event = match views::parse(said.data.as_bytes()) {
            Ok(event) => event,
            Err(why) => {
                self.waiting.push_back(Followed::Gap(format!("an event could not be read ({why}); the log is read instead")));
                return self.ring();
            }
        };
        let records = records(&event);
        let number = records.first().and_then(|r| r.number).or_else(|| said.id.as_ref().and_then(|id| id.parse().ok()));
        if let (Some(last), Some(number)) = (self.number, number)
            && number > last.saturating_add(1)
        {
            let (from, to) = (last + 1, number - 1);
            let which = if from == to { format!("event {from}") } else { format!("events {from} to {to}") };
            self.waiting.push_back(Followed::Gap(format!("{which} did not come; the log is read for it")));
            self.ring();
        }
        if self.number.is_none() {
            // Whether events came before the first one that arrived is known to the log alone.
            self.ring();
        }
        self.number = records.last().and_then(|r| r.number).or(number).or(self.number);
        for record in records {
            self.take(record);
        }
    }

    fn take(&mut self, record: Record) {
        let own = format!("{}/", self.place.entries.trim_end_matches('/'));
        let Record { entry, link, .. } = record;
        if link.is_some_and(|link| link.starts_with(&own)) {
            self.linked = true;
            if self.known.tell(&entry.id) {
                self.waiting.push_back(Followed::Entry(entry));
            } else {
                // It was only late.
                self.untold = self.untold.saturating_sub(1);
            }
            return;
        }
        self.pending.push((entry, 0));
        self.ring();
    }

    /// Reads the log and tells what is new.
    async fn look(&mut self) -> Result<(), BmcError> {
        let log = self.bmc.entries(&self.place, LOOK).await;
        let settle = self.bmc.client.limits.poll.1;
        let log = match log {
            Ok(log) => log,
            Err(e) if e.kind == BmcTrouble::Unsupported && !self.away => {
                // The log may have moved with an update of the BMC.
                self.bmc.forget_log(self.which);
                if let Ok(Reading::Known(place)) = self.bmc.find_log(self.which).await {
                    self.place = place;
                }
                return self.absent(&e);
            }
            Err(e) if e.class() == Class::Transient => return self.absent(&e),
            Err(e) => return Err(e),
        };
        if std::mem::take(&mut self.away) {
            self.waiting.push_back(Followed::Gap("the log can be read again".to_owned()));
        }
        // What is found was told by nobody when nobody rang, or when every event names its entry.
        let rung = std::mem::take(&mut self.rung);
        let silent = self.told_by_others() && (!rung || self.linked);
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 && silent {
            let words = format!("no event came for {untold} of the last entries; they were found by reading the log");
            self.waiting.push_back(Followed::Gap(words));
        }
        let new = self.known.compare(log);
        let entries = new.iter().filter(|f| matches!(f, Followed::Entry(_))).count();
        if silent {
            self.untold = entries;
        }
        self.waiting.extend(new);
        let known = self.known.entries();
        self.pending.retain(|(event, _)| !known.iter().any(|entry| same(entry, event)));
        for (event, looks) in &mut self.pending {
            *looks += 1;
            if *looks > 1 {
                self.waiting.push_back(Followed::Event(event.clone()));
            }
        }
        self.pending.retain(|(_, looks)| *looks <= 1);
        let soon = !self.pending.is_empty() || self.untold > 0;
        self.look_at = Instant::now() + if soon { settle.min(self.pause()) } else { self.pause() };
        Ok(())
    }

    /// The log cannot be read now.
    fn absent(&mut self, why: &BmcError) -> Result<(), BmcError> {
        if !self.away {
            self.waiting.push_back(Followed::Gap(format!("the log cannot be read now: {why}")));
        }
        self.away = true;
        self.look_at = Instant::now() + self.every;
        Ok(())
    }

    async fn open_again(&mut self) -> Result<(), BmcError> {
        let Way::Stream { at, .. } = &self.way else { return Ok(()) };
        let at = at.clone();
        let opened = self.bmc.client.open_stream(&at).await;
        let Way::Stream { open, again, pause, .. } = &mut self.way else { return Ok(()) };
        match opened {
            Ok(stream) => {
                *open = Some(Box::new(stream));
                *pause = self.bmc.client.limits.poll.1;
                self.number = None;
                self.waiting.push_back(Followed::Way(format!("events are streamed by {} again", safe(&at, 128))));
                // What happened before it was open is in the log.
                self.look_at = Instant::now();
                self.rung = true;
                Ok(())
            }
            Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => Err(e),
            Err(_) => {
                *pause = (*pause * 2).min(LONGEST);
                *again = Instant::now() + *pause;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Follow for Follower<'_> {
    async fn next(&mut self) -> Result<Followed, BmcError> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Ok(next);
            }
            match self.wait().await {
                Woke::Look => self.look().await?,
                Woke::Rung => self.ring(),
                Woke::Said(Ok(said)) => self.hear(&said),
                Woke::Said(Err(why)) => {
                    if let Way::Stream { open, again, pause, .. } = &mut self.way {
                        *open = None;
                        *again = Instant::now() + *pause;
                    }
                    let why = safe(&why, 256);
                    self.waiting.push_back(Followed::Gap(format!(
                        "the stream of events ended ({why}); the log is read until it is back"
                    )));
                    self.look_at = Instant::now();
                }
                Woke::Again => self.open_again().await?,
            }
        }
    }

    fn owes(&self) -> Option<String> {
        match &self.way {
            Way::Bell { subscription, .. } => Some(subscription.clone()),
            Way::Stream { .. } | Way::Log => None,
        }
    }

    async fn end(&mut self) -> Written {
        match std::mem::replace(&mut self.way, Way::Log) {
            Way::Bell { ear, subscription } => {
                let written = self.bmc.client.end_subscription(&subscription).await;
                drop(ear);
                written
            }
            Way::Stream { .. } | Way::Log => Written::Applied("nothing was left on the BMC".to_owned()),
        }
    }
}
