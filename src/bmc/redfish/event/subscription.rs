//! A subscription on a BMC: made once, proved by being found in its list, and taken away with proof. One that a killed run left behind is known by its
//! mark (`Context`).

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::super::client::Client;
use super::super::error::{safe, unsupported};
use super::super::json as views;
use super::super::walk::Walk;
use super::super::write::Sent;
use crate::bmc::{BmcError, BmcTrouble, Written};

/// What a BMC is asked for, from the newest schema to the oldest: one that does not know a property refuses the whole (400) and makes nothing.
fn bodies(service: &Value, url: &str, mark: &str) -> Vec<Value> {
    let mut least = Map::new();
    least.insert("Destination".to_owned(), json!(url));
    least.insert("Protocol".to_owned(), json!("Redfish"));
    least.insert("Context".to_owned(), json!(mark));
    let with = |more: &[(&str, Value)]| {
        let mut body = least.clone();
        body.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Value::Object(body)
    };
    let kind = ("SubscriptionType", json!("RedfishEvent"));
    let formats = ("EventFormatType", json!("Event"));
    // Our certificate is made for this use; a push is believed by nobody.
    let trust = ("VerifyCertificate", json!(false));
    let types: Vec<Value> =
        views::list(service, "EventTypesForSubscription").iter().filter(|t| t.is_string()).take(16).cloned().collect();
    let types = ("EventTypes", Value::Array(if types.is_empty() { vec![json!("Alert")] } else { types }));
    vec![
        with(&[kind.clone(), formats.clone(), trust]),
        with(&[kind, formats]),
        with(&[]),
        // Before EventDestination 1.3 (iLO 5, Supermicro X11).
        with(&[types]),
    ]
}

impl Client {
    /// Subscribes `url` and finds the subscription in the list: `(its path, what was seen)`.
    pub(super) async fn subscribe(&self, service: &Value, url: &str, mark: &str) -> Result<String, BmcError> {
        let doing = "subscribe to events";
        let Some(at) = views::link(service, "Subscriptions") else {
            return Err(unsupported(doing, "its event service has no subscriptions"));
        };
        let deadline = Instant::now() + self.limits.request;
        let mut last = None;
        for body in bodies(service, url, mark) {
            match self.post(&at, &body, deadline).await {
                Sent::No { status: Some(status), error } if matches!(status.as_u16(), 400 | 422) => last = Some(error),
                Sent::No { error, .. } => return Err(error),
                Sent::Taken(_) | Sent::Unclear(_) => {
                    // Its name in the list is the proof, whatever was answered.
                    let mine = |found: &Value| views::word(found, "Destination") == Some(url);
                    return match self.subscriptions(&at, &mine).await?.pop() {
                        Some(path) => Ok(path),
                        None => Err(BmcError {
                            doing: doing.to_owned(),
                            seen: format!("{} was answered as done, and lists no such subscription", safe(&at, 128)),
                            kind: BmcTrouble::Refused,
                            source: None,
                        }),
                    };
                }
            }
        }
        Err(last.unwrap_or_else(|| unsupported(doing, "no way to ask for it was found")))
    }

    /// Paths of the subscriptions that are `wanted`.
    async fn subscriptions(&self, at: &str, wanted: &(dyn Fn(&Value) -> bool + Sync)) -> Result<Vec<String>, BmcError> {
        let walk = Walk::begin(self);
        let parts = walk.collection(at).await?;
        let found = parts.into_iter().filter(|part| part.value.as_ref().is_ok_and(wanted)).map(|part| part.path).collect();
        // One that could not be read may be the one.
        match walk.unread().into_iter().next() {
            None => Ok(found),
            Some(why) => {
                Err(BmcError { doing: format!("GET {}", safe(at, 256)), seen: why, kind: BmcTrouble::Busy, source: None })
            }
        }
    }

    /// Takes one subscription away, and reads back that it is gone.
    pub(super) async fn end_subscription(&self, at: &str) -> Written {
        let deadline = Instant::now() + self.limits.request;
        let taken = match self.delete(at, deadline).await {
            Sent::Taken(words) => words,
            Sent::Unclear(e) => format!("the answer was lost ({e})"),
            // Gone already, perhaps: only a look tells.
            Sent::No { error, .. } => format!("it was refused ({error})"),
        };
        match self.get(at).await {
            Err(e) if e.kind == BmcTrouble::Unsupported => Written::Applied(format!("{taken}; {} is gone", safe(at, 128))),
            Err(e) => Written::Ambiguous(format!("{taken}; then {e}")),
            // Supermicro keeps its 16 places and empties them.
            Ok(found) if views::text(&found.value, "Destination").is_none() => {
                Written::Applied(format!("{taken}; {} has no destination any more", safe(at, 128)))
            }
            Ok(_) => Written::Ambiguous(format!("{taken}; {} is still there", safe(at, 128))),
        }
    }

    /// Takes away what stands under a mark.
    pub(in crate::bmc::redfish) async fn end_marked(&self, mark: &str) -> Written {
        let look = async {
            let Some(events) = self.root().await?.events else { return Ok(Vec::new()) };
            let service = self.get(&events).await?.value;
            let Some(at) = views::link(&service, "Subscriptions") else { return Ok(Vec::new()) };
            self.subscriptions(&at, &|found: &Value| views::word(found, "Context") == Some(mark)).await
        };
        let found = match look.await {
            Ok(found) => found,
            Err(error) => return Written::NotApplied(error),
        };
        let mut gone = Vec::new();
        for at in found {
            match self.end_subscription(&at).await {
                Written::Applied(text) => gone.push(text),
                other => return other,
            }
        }
        Written::Applied(if gone.is_empty() { "no subscription stood under this mark".to_owned() } else { gone.join("; ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_services_are_asked_for_less() {
        let all = bodies(&json!({"EventTypesForSubscription": ["StatusChange", "Alert"]}), "https://x/y", "m");
        assert!(all.iter().all(|b| b["Destination"] == "https://x/y" && b["Context"] == "m" && b["Protocol"] == "Redfish"));
        assert_eq!(all[0]["VerifyCertificate"], false);
        assert_eq!(all.last().unwrap()["EventTypes"], json!(["StatusChange", "Alert"]));
        assert_eq!(bodies(&json!({}), "u", "m").last().unwrap()["EventTypes"], json!(["Alert"]));
    }

    proptest::proptest! {
        #[test]
        fn any_service_is_asked(value in crate::bmc::redfish::json::any_json()) {
            let _ = bodies(&value, "u", "m");
        }
    }
}
