//! Many resources in one question: bounded in time and in requests, with `$expand` where the service says that it takes it. What cannot be read is
//! named, never left out in silence; only trouble with the whole BMC ends a walk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::error::safe;
use super::{json, path};
use crate::bmc::sensing::{Health, Listing};
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::Reading;

/// Most requests of one walk. The largest captured tree (DGX H100) needs 610 for its sensors, without `$expand`.
const REQUESTS: usize = 2_000;
/// Most reasons that are kept.
const REASONS: usize = 64;
/// Longest reason, in characters.
const REASON: usize = 200;
/// Most reads that wait for the BMC's permits at once.
const AHEAD: usize = 8;

/// One resource of a collection.
pub(super) struct Part {
    /// Where it is.
    pub(super) path: String,
    /// The resource, or why it could not be read.
    pub(super) value: Result<Value, String>,
}

/// One walk over a BMC's resources.
pub(super) struct Walk<'c> {
    client: &'c Client,
    deadline: Instant,
    left: AtomicUsize,
    unread: Mutex<Vec<String>>,
}

/// Trouble with the whole BMC, as against trouble with one resource. A deadline that passed is of this kind only while nothing was read.
fn hard(e: &BmcError) -> bool {
    matches!(e.kind, BmcTrouble::Unreachable | BmcTrouble::Credentials | BmcTrouble::Certificate { .. })
}

impl<'c> Walk<'c> {
    /// A walk that ends within the time of an inventory.
    pub(super) fn begin(client: &'c Client) -> Self {
        Self {
            client,
            deadline: Instant::now() + client.limits.inventory,
            left: AtomicUsize::new(REQUESTS),
            unread: Mutex::default(),
        }
    }

    /// What could not be read so far.
    pub(super) fn unread(self) -> Vec<String> {
        self.unread.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// A listing of what was found and what could not be read.
    pub(super) fn listing<T>(self, items: Vec<T>) -> Listing<T> {
        Listing { items, unread: self.unread() }
    }

    /// Notes that something is not known.
    pub(super) fn miss(&self, why: impl Into<String>) {
        let why = cut(why.into());
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if unread.len() < REASONS {
            unread.push(why);
        } else if unread.len() == REASONS {
            unread.push("and more that is not listed here".to_owned());
        }
    }

    /// Takes one request out of the budget.
    fn spend(&self, at: &str) -> Result<(), String> {
        let take = |left: usize| left.checked_sub(1);
        if Instant::now() >= self.deadline {
            return Err(format!(
                "GET {}: not asked, the time of {} s was over",
                safe(at, 256),
                self.client.limits.inventory.as_secs()
            ));
        }
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        spent.map(drop).map_err(|_| format!("GET {}: not asked, {REQUESTS} requests were made already", safe(at, 256)))
    }

    /// One resource, or why it cannot be read.
    pub(super) async fn ask(&self, at: &str) -> Result<Result<Value, String>, BmcError> {
        if let Err(why) = self.spend(at) {
            return Ok(Err(why));
        }
        match self.client.look(at, self.deadline).await {
            Ok(resource) => Ok(Ok(resource.value)),
            Err(e) if hard(&e) => Err(e),
            Err(e) => Ok(Err(cut(e.to_string()))),
        }
    }

    /// One resource; what cannot be read is noted.
    pub(super) async fn get(&self, at: &str) -> Result<Option<Value>, BmcError> {
        Ok(self.ask(at).await?.map_err(|why| self.miss(why)).ok())
    }

    /// The resource that a property links to, when there is such a link.
    pub(super) async fn follow(&self, from: &Value, key: &str) -> Result<Option<Value>, BmcError> {
        match json::link(from, key) {
            Some(at) => self.get(&at).await,
            None => Ok(None),
        }
    }

    /// The links of a collection, without reading what is behind them. A list that cannot be read is noted.
    pub(super) async fn links(&self, at: &str) -> Result<Option<Vec<String>>, BmcError> {
        let listed = self.list(at, false).await?;
        Ok(listed.map_err(|why| self.miss(why)).ok().map(|members| members.into_iter().map(|(path, _)| path).collect()))
    }

    /// The resources of a collection, in order. A list that cannot be read is noted and empty.
    pub(super) async fn collection(&self, at: &str) -> Result<Vec<Part>, BmcError> {
        let members = match self.list(at, true).await? {
            Ok(members) => members,
            Err(why) => {
                self.miss(why);
                return Ok(Vec::new());
            }
        };
        self.parts(members).await
    }

    /// Resources behind links, in order.
    pub(super) async fn parts(&self, members: Vec<(String, Option<Value>)>) -> Result<Vec<Part>, BmcError> {
        let mut asked = futures_util::stream::iter(members)
            .map(|(path, inline)| async move {
                let value = match inline {
                    Some(value) => Ok(value),
                    None => self.ask(&path).await?,
                };
                Ok::<_, BmcError>(Part { path, value })
            })
            .buffered(AHEAD);
        let mut parts = Vec::new();
        while let Some(part) = asked.next().await {
            parts.push(part?);
        }
        Ok(parts)
    }

    /// The members of a collection, with their bodies where the service sends them along, or why they cannot be read.
    async fn list(&self, at: &str, whole: bool) -> Result<Result<Vec<(String, Option<Value>)>, String>, BmcError> {
        if let Err(why) = self.spend(at) {
            return Ok(Err(why));
        }
        let deadline = self.deadline.min(Instant::now() + self.client.limits.request);
        let listed = if whole { self.client.members_whole(at, deadline).await } else { self.client.members(at, deadline).await };
        match listed {
            Ok((members, unusable)) => {
                if unusable > 0 {
                    self.miss(format!("{unusable} members of {} have no usable link", safe(at, 128)));
                }
                let whole = |value: &Value| value.get("Id").is_some() || value.get("Name").is_some();
                Ok(Ok(members.into_iter().map(|m| (m.path, m.inline.filter(whole))).collect()))
            }
            Err(e) if hard(&e) => Err(e),
            Err(e) => Ok(Err(cut(e.to_string()))),
        }
    }
}

/// A link without the service's root, as a name: `Chassis/1/Sensors/Fan1`.
pub(super) fn short(path: &str) -> String {
    safe(path.strip_prefix("/redfish/v1").unwrap_or(path).trim_matches('/'), 256)
}

/// What a resource or link is called by its last part.
pub(super) fn called(value: &Value, path: &str) -> String {
    safe(&json::text(value, "Id").unwrap_or_else(|| path::last(path).to_owned()), 128)
}

/// A reason in one line: a refusal may carry a whole page of HTML.
fn cut(why: String) -> String {
    match why.char_indices().nth(REASON) {
        Some((at, _)) => format!("{}…", why.get(..at).unwrap_or_default()),
        None => why,
    }
}

/// What stands where nobody wrote a number: zeros (HGX), a variable that was never filled in (`$CHASSIS_SERIAL_NUMBER`, GB300).
fn blank(text: &str) -> bool {
    let digits = text.trim().trim_start_matches("0x");
    text.starts_with('$') || (digits.len() > 1 && digits.chars().all(|c| matches!(c, '0' | '-' | ' ')))
}

/// A text, or why it is not known.
pub(super) fn told(value: &Value, keys: &[&str]) -> Reading<String> {
    match keys.iter().find_map(|key| json::text(value, key).filter(|text| !blank(text))) {
        Some(text) => Reading::Known(safe(&text, 128)),
        None => Reading::unknown(format!("it says no {}", keys.join(" or "))),
    }
}

/// A number, as a number or as text; never infinite.
pub(super) fn number(value: &Value, key: &str) -> Option<f64> {
    let found = match value.get(key)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    found.filter(|number| number.is_finite())
}

fn state(value: &Value) -> Option<&str> {
    value.get("Status").and_then(|status| json::word(status, "State"))
}

/// `false` for what is listed and not there.
pub(super) fn there(value: &Value) -> bool {
    state(value) != Some("Absent")
}

/// `false` for what is not there, or switched off with the node.
pub(super) fn awake(value: &Value) -> bool {
    !matches!(state(value), Some("Absent" | "Disabled" | "UnavailableOffline" | "StandbyOffline"))
}

/// A word for health, in all the ways in which BMCs write it.
pub(super) fn health_word(word: &str) -> Option<Health> {
    let is = |words: &[&str]| words.iter().any(|w| word.trim().eq_ignore_ascii_case(w));
    if is(&["OK", "Informational", "Info", "Normal", "Good", "Repaired", "Monitor"]) {
        Some(Health::Ok)
    } else if is(&["Warning", "Caution", "Minor", "Degraded", "NonCritical", "Non-Critical"]) {
        Some(Health::Warning)
    } else if is(&["Critical", "Fatal", "Major", "Error", "Failed", "NonRecoverable", "Non-recoverable", "Emergency", "Alert"]) {
        Some(Health::Critical)
    } else {
        None
    }
}

/// `Status.Health`.
pub(super) fn health(value: &Value) -> Reading<Health> {
    if !there(value) {
        return Reading::Absent;
    }
    match value.get("Status").and_then(|status| json::text(status, "Health").or_else(|| json::text(status, "HealthRollup"))) {
        Some(word) => {
            health_word(&word).map_or_else(|| Reading::unknown(format!("it says Health `{}`", safe(&word, 32))), Reading::Known)
        }
        None => match state(value) {
            Some(state) => Reading::unknown(format!("it says no Health, and State {}", safe(state, 32))),
            None => Reading::unknown("it says no Health"),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn health_is_told_and_not_guessed() {
        assert_eq!(health(&json!({"Status": {"State": "Enabled", "Health": "Warning"}})), Reading::Known(Health::Warning));
        assert_eq!(health(&json!({"Status": {"State": "Absent", "Health": "OK"}})), Reading::Absent);
        assert_eq!(health(&json!({"Status": {"Health": null, "HealthRollup": "Critical"}})), Reading::Known(Health::Critical));
        assert!(health(&json!({"Status": {"Health": "Purple"}})).why_unknown().unwrap().contains("Purple"));
        assert!(health(&json!({})).why_unknown().is_some());
        for blanked in ["0000000000", "0x0000000000000000", "$CHASSIS_SERIAL_NUMBER", "00-00"] {
            assert!(told(&json!({"SerialNumber": blanked}), &["SerialNumber"]).why_unknown().is_some(), "{blanked}");
        }
        assert_eq!(told(&json!({"Id": "0"}), &["Id"]), Reading::Known("0".to_owned()));
        assert_eq!(short("/redfish/v1/Chassis/1/Sensors/a"), "Chassis/1/Sensors/a");
    }

    proptest! {
        #[test]
        fn any_json_has_a_view(value in super::super::json::any_json(), key in "[A-Za-z]{0,12}") {
            let _ = (health(&value), awake(&value), there(&value), number(&value, &key), told(&value, &[&key]), called(&value, "/x"));
        }
    }
}
