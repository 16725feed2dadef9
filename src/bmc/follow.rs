//! Following a log as it grows. The log is the truth: whatever tells of an event sooner (a stream, a push) only shortens the wait, and what it
//! did not tell is found when the log is read again, and told as a gap. Reads only.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::sensing::{EventLog, LogEntry, Sensing};
use super::{BmcError, BmcTrouble, Written};
use crate::model::{Class, Reading};

/// Entries that are read at each look. A log that grows by more between two looks is told as a gap.
pub const LOOK: usize = 200;

/// How a log is to be followed.
#[derive(Clone)]
pub struct FollowHow {
    /// How often the log is read where nothing tells of events sooner; six times as long where something does.
    pub every: Duration,
    /// Where events may be pushed to when the BMC does not stream them; `None`: it is not subscribed to.
    pub push: Option<PushTo>,
}

/// Where a BMC may push events to.
#[derive(Clone)]
pub struct PushTo {
    /// What listens.
    pub doorbell: std::sync::Arc<super::redfish::Doorbell>,
    /// What the subscription is known by afterwards: unique for this use, and no secret.
    pub mark: String,
    /// Is told before a subscription is made.
    pub intent: std::sync::Arc<dyn Intent>,
}

/// Writes down what is about to be made on a BMC, right before it is made.
#[async_trait]
pub trait Intent: Send + Sync {
    /// `false`: it could not be written down, so that nothing may be made.
    async fn announce(&self) -> bool;
}

impl FollowHow {
    /// Without pushes.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, push: None }
    }
}

/// What comes of following a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A new entry.
    Entry(LogEntry),
    /// An event that stands in no entry of this log.
    Event(LogEntry),
    /// Entries may have been missed, or were found late; the text says which and why, escaped.
    Gap(String),
    /// How the log is followed from now on, in words: at the start, and whenever it changes.
    Way(String),
}

/// Somebody who follows a log.
#[async_trait]
pub trait Follow: Send {
    /// Waits for the next thing to tell. Cancelling it loses nothing.
    ///
    /// # Errors
    /// Only when following cannot go on: wrong credentials, a certificate that changed, a log that does not exist. Silence, timeouts and
    /// restarts of the BMC are gaps, not errors.
    async fn next(&mut self) -> Result<Followed, BmcError>;

    /// What stands on the BMC for this and must be taken away in the end, such as a subscription's path.
    fn owes(&self) -> Option<String> {
        None
    }

    /// Takes away what [`Self::owes`] names, and reads back that it is gone.
    async fn end(&mut self) -> Written {
        Written::Applied("nothing was left on the BMC".to_owned())
    }
}

/// What is known of a log between two looks.
#[derive(Debug, Default)]
pub struct Known {
    /// The entries of the last look, oldest first.
    entries: Vec<LogEntry>,
    /// Names of entries that were told since, before the log was read.
    told: BTreeSet<String>,
}

impl Known {
    /// Starts from a look at the log: what it holds by now is not new.
    #[must_use]
    pub fn from(log: &EventLog) -> Self {
        Self { entries: log.entries.clone(), told: BTreeSet::new() }
    }

    /// Notes that an entry was told already; `false`: it was known before.
    pub fn tell(&mut self, id: &str) -> bool {
        !self.entries.iter().any(|entry| entry.id == id) && self.told.insert(id.to_owned())
    }

    /// Entries of the last look, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// What is new in this look, and a gap when the looks do not overlap.
    pub fn compare(&mut self, log: EventLog) -> Vec<Followed> {
        let mut told = Vec::new();
        let (old, early) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.told));
        // By id and time: ids begin anew after a log was cleared, and some BMCs give every entry of one boot the same time.
        let known = |entry: &LogEntry| old.iter().any(|o| o.id == entry.id && o.when == entry.when && o.message == entry.message);
        let overlap = log.entries.iter().any(|entry| known(entry) || early.contains(&entry.id));
        if !old.is_empty() && !overlap {
            told.push(Followed::Gap(if log.entries.len() < LOOK.min(old.len()) {
                "the log was cleared, or wrapped around, since the last look; entries may have come and gone meanwhile".to_owned()
            } else {
                format!(
                    "none of the newest {} entries was there at the last look; those between were not read",
                    log.entries.len()
                )
            }));
        }
        told.extend(log.entries.iter().filter(|e| !known(e) && !early.contains(&e.id)).cloned().map(Followed::Entry));
        self.entries = log.entries;
        told
    }
}

/// Follows a log by reading it again and again.
pub struct Polling<'a, B: Sensing + ?Sized> {
    bmc: &'a B,
    which: Option<&'a str>,
    every: Duration,
    next: Instant,
    known: Known,
    waiting: VecDeque<Followed>,
    /// Since when the BMC does not answer, and what was seen.
    away: Option<String>,
}

impl<'a, B: Sensing + ?Sized> Polling<'a, B> {
    /// Reads the log once, so that only what comes later is told.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn start(bmc: &'a B, which: Option<&'a str>, every: Duration) -> Result<Self, BmcError> {
        let log = look(bmc, which).await?;
        let way = format!("{} is read every {} s", log.log.id, every.as_secs_f32());
        Ok(Self {
            bmc,
            which,
            every,
            next: Instant::now() + every,
            known: Known::from(&log),
            waiting: VecDeque::from([Followed::Way(way)]),
            away: None,
        })
    }
}

/// One look at the log; a log that is absent or not known is an error here.
///
/// # Errors
/// The log cannot be read.
pub async fn look<B: Sensing + ?Sized>(bmc: &B, which: Option<&str>) -> Result<EventLog, BmcError> {
    let failed = |seen: String, kind: BmcTrouble| BmcError { doing: "follow the event log".to_owned(), seen, kind, source: None };
    match bmc.log(which, LOOK).await? {
        Reading::Known(log) => Ok(log),
        Reading::Absent => Err(failed("the BMC keeps no such log".to_owned(), BmcTrouble::Unsupported)),
        Reading::Unknown { why } => Err(failed(why, BmcTrouble::Busy)),
    }
}

#[async_trait]
impl<B: Sensing + ?Sized> Follow for Polling<'_, B> {
    async fn next(&mut self) -> Result<Followed, BmcError> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Ok(next);
            }
            sleep_until(self.next).await;
            let look = look(self.bmc, self.which).await;
            self.next = Instant::now() + self.every;
            match look {
                Ok(log) => {
                    if let Some(seen) = self.away.take() {
                        self.waiting.push_back(Followed::Gap(format!("the BMC answers again; before: {seen}")));
                    }
                    self.waiting.extend(self.known.compare(log));
                }
                Err(error) if error.class() == Class::Transient => {
                    if self.away.is_none() {
                        self.waiting.push_back(Followed::Gap(format!("the log cannot be read now: {error}")));
                    }
                    self.away = Some(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::sensing::{LogInfo, LogKind};

    fn log(ids: impl IntoIterator<Item = u32>) -> EventLog {
        let entry = |id: u32| LogEntry {
            id: id.to_string(),
            when: None,
            severity: Reading::unknown("not told"),
            origin: String::new(),
            message_id: None,
            message: format!("event {id}"),
            resolved: None,
        };
        EventLog {
            log: LogInfo { id: "SEL".into(), name: "SEL".into(), kind: LogKind::Hardware, clearable: true, room: None },
            held: Reading::Absent,
            entries: ids.into_iter().map(entry).collect(),
            unread: Vec::new(),
        }
    }

    fn told(known: &mut Known, ids: impl IntoIterator<Item = u32>) -> Vec<String> {
        let words = |f| match f {
            Followed::Entry(e) | Followed::Event(e) => e.id,
            Followed::Gap(_) => "gap".to_owned(),
            Followed::Way(w) => w,
        };
        known.compare(log(ids)).into_iter().map(words).collect()
    }

    #[test]
    fn what_is_new_is_told_once_and_no_overlap_is_a_gap() {
        let mut known = Known::from(&log(1..=3));
        assert_eq!(told(&mut known, 1..=3), Vec::<String>::new());
        assert_eq!(told(&mut known, 1..=5), ["4", "5"]);
        assert!(known.tell("6") && !known.tell("6") && !known.tell("5"));
        assert_eq!(told(&mut known, 1..=6), Vec::<String>::new(), "it was told before the log was read");
        // The window moved on, with an overlap of one.
        assert_eq!(told(&mut known, 6..=8), ["7", "8"]);
        assert_eq!(told(&mut known, 9..=10), ["gap", "9", "10"]);
        assert_eq!(told(&mut known, []), ["gap"]);
        // From an empty log every entry is new, and none was missed.
        assert_eq!(told(&mut known, 11..=12), ["11", "12"]);
    }
}
