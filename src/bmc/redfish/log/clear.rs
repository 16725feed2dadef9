//! Emptying a log: one request, and then the log is read until what was in it is gone. It never calls a log empty that it has not read.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::super::Redfish;
use super::super::error::unsupported;
use super::super::json as views;
use super::super::write::Sent;
use super::Place;
use crate::bmc::sensing::LogEntry;
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// Entries that are remembered from before, to see that they are gone.
const BEFORE: usize = 1_000;

impl Redfish {
    /// Clears a log and proves it.
    pub(in crate::bmc::redfish) async fn empty_log(&self, which: Option<&str>) -> Written {
        let no = |seen: &str| Written::NotApplied(unsupported("clear the event log", seen));
        // A log is a part of a node: the BMC must not say that it is another one.
        if let Err(e) = self.writable().await {
            return Written::NotApplied(e);
        }
        let place = match self.find_log(which).await {
            Ok(Reading::Known(place)) => place,
            Ok(Reading::Absent) => return no("the BMC keeps no such log"),
            Ok(Reading::Unknown { why }) => return no(&why),
            Err(e) => return Written::NotApplied(e),
        };
        let Some((target, info)) = place.clear.clone() else {
            return no(&format!("{} offers no LogService.ClearLog action", place.info.id));
        };
        let before = match self.entries(&place, BEFORE).await {
            Ok(log) => log.entries,
            Err(e) => return Written::NotApplied(e),
        };
        if before.is_empty() {
            return Written::Applied(format!("{} was empty already; nothing was sent", place.info.id));
        }
        let deadline = Instant::now() + self.client.limits.request;
        let body = self.parameters(info).await;
        let taken = match self.client.post(&target, &body, deadline).await {
            Sent::Taken(words) => words,
            Sent::No { error, .. } => {
                // RC-32: a refusal may come although the action was taken. One look tells.
                let soon = deadline.min(Instant::now() + self.client.limits.poll.1);
                return match self.watch_empty(&place, &before, &format!("it was refused ({error})"), soon).await {
                    seen @ Written::Applied(_) => seen,
                    _ => Written::NotApplied(error),
                };
            }
            Sent::Unclear(e) => format!("the answer was lost ({e})"),
        };
        self.watch_empty(&place, &before, &taken, deadline).await
    }

    /// What the action wants to be told: nothing as a rule. Where its ActionInfo demands a parameter that can be `ClearAll`, that.
    async fn parameters(&self, info: Option<String>) -> Value {
        let mut body = Map::new();
        let described = match info {
            Some(info) => self.client.get(&info).await.ok(),
            None => None,
        };
        for parameter in described.iter().flat_map(|info| views::list(&info.value, "Parameters")) {
            let required = parameter.get("Required").and_then(Value::as_bool) == Some(true);
            let values = views::list(parameter, "AllowableValues");
            let all = values.iter().filter_map(Value::as_str).find(|word| word.eq_ignore_ascii_case("ClearAll"));
            if let (true, Some(name), Some(all)) = (required, views::word(parameter, "Name"), all) {
                body.insert(name.chars().take(64).collect(), json!(all));
            }
        }
        Value::Object(body)
    }

    async fn watch_empty(&self, place: &Place, before: &[LogEntry], taken: &str, deadline: Instant) -> Written {
        let name = |e: &LogEntry| (e.id.clone(), e.when.clone(), e.message.clone());
        let old: BTreeSet<_> = before.iter().map(name).collect();
        let mut pause = self.client.limits.poll.0;
        loop {
            let last = match self.entries(place, BEFORE).await {
                Ok(log) => {
                    let still = log.entries.iter().filter(|e| old.contains(&name(e))).count();
                    // A full window may hold entries that were older than those that are remembered.
                    if still == 0 && log.unread.is_empty() && log.entries.len() < BEFORE {
                        let left = log.entries.len();
                        let what = if left == 0 { "is empty".to_owned() } else { format!("holds {left} entries, all newer") };
                        return Written::Applied(format!(
                            "{taken}; {} {what}, {} were there before",
                            place.info.id,
                            before.len()
                        ));
                    }
                    format!("{still} of its {} entries are still there", before.len())
                }
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Written::Ambiguous(format!("{taken}; then {e}"));
                }
                Err(e) => e.to_string(),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                return Written::Ambiguous(format!("{taken}; {} was not seen empty, last: {last}", place.info.id));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.client.limits.poll.1);
        }
    }

    /// The newest entries of a log, read now.
    pub(in crate::bmc::redfish) async fn entries(
        &self,
        place: &Place,
        most: usize,
    ) -> Result<crate::bmc::sensing::EventLog, BmcError> {
        let deadline = Instant::now() + self.client.limits.inventory;
        let window = self.client.newest(&place.entries, most, deadline).await?;
        let walk = super::super::walk::Walk::begin(&self.client);
        let mut entries = Vec::new();
        for part in walk.parts(window.members).await? {
            match part.value {
                Ok(entry) => entries.push(super::entry::view(&part.path, &entry)),
                Err(why) => walk.miss(why),
            }
        }
        let mut unread = window.unread;
        unread.extend(walk.unread());
        Ok(crate::bmc::sensing::EventLog { log: place.info.clone(), held: window.held, entries, unread })
    }
}
