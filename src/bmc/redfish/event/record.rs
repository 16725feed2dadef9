//! Events as Redfish sends them (`Event` schema), read as entries of a log. Pure views.

use serde_json::Value;

use super::super::log::entry;
use super::super::{error::safe, json, path};
use crate::bmc::sensing::LogEntry;

/// Most records of one event that are read.
const RECORDS: usize = 256;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// What happened.
    pub(super) entry: LogEntry,
    /// The log entry that was written for it, when the BMC says so.
    pub(super) link: Option<String>,
    /// Its number, when it has one.
    pub(super) number: Option<u64>,
}

/// The records of an event; none for what is no event, such as a metric report.
pub(super) fn records(event: &Value) -> Vec<Record> {
    json::list(event, "Events").iter().take(RECORDS).filter(|record| record.is_object()).map(record).collect()
}

fn record(record: &Value) -> Record {
    let link = json::link(record, "LogEntry");
    let id = json::text(record, "EventId");
    let mut entry = entry::view(link.as_deref().unwrap_or_default(), record);
    entry.id = match (&link, &id) {
        (Some(link), _) => safe(path::last(link), 128),
        (None, Some(id)) => safe(id, 128),
        (None, None) => String::new(),
    };
    Record { entry, link, number: id.and_then(|id| id.parse().ok()) }
}

/// True when two views are of one happening: the same words at about the same time.
pub(super) fn same(a: &LogEntry, b: &LogEntry) -> bool {
    let time = |entry: &LogEntry| entry.when.as_ref().and_then(|when| when.parse::<jiff::Timestamp>().ok());
    let near = match (time(a), time(b)) {
        (Some(a), Some(b)) => a.duration_since(b).abs().as_secs() <= 5,
        _ => true,
    };
    // Some logs word an entry otherwise than the event (AMI's SEL); the registry's name for it is the same.
    let id = |entry: &LogEntry| entry.message_id.as_ref().map(|id| id.rsplit('.').next().unwrap_or(id).to_ascii_lowercase());
    near && (a.message == b.message || (id(a).is_some() && id(a) == id(b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_read_as_entries() {
        let idrac = json!({"Events": [{"EventId": "2162", "EventTimestamp": "2024-08-08T18:48:07-05:00", "EventType": "Alert", "MemberId": "615029",
            "Message": "The chassis is open.", "MessageId": "IDRAC.2.7.SEC0031", "MessageSeverity": "Critical",
            "OriginOfCondition": {"@odata.id": "/redfish/v1/Chassis/1"}}], "Id": "1"});
        let seen = records(&idrac);
        assert_eq!((seen[0].entry.id.as_str(), seen[0].number, &seen[0].link), ("2162", Some(2162), &None));
        assert_eq!((seen[0].entry.origin.as_str(), seen[0].entry.message.as_str()), ("Chassis/1", "The chassis is open."));
        let linked =
            json!({"Events": {"EventId": "x", "LogEntry": {"@odata.id": "/redfish/v1/Managers/1/LogServices/SEL/Entries/7"}}});
        let seen = records(&linked);
        assert_eq!((seen[0].entry.id.as_str(), seen[0].number), ("7", None));
        assert!(records(&json!({"MetricValues": []})).is_empty());
        let mut other = seen[0].entry.clone();
        other.message = "otherwise".to_owned();
        assert!(!same(&seen[0].entry, &other));
        (other.message_id, other.when) = (Some("A.1.0.PowerOn".into()), Some("2024-08-08T18:48:07Z".into()));
        let named = LogEntry { message_id: Some("B.2.0.powerOn".into()), ..other.clone() };
        assert!(same(&other, &LogEntry { message: "x".into(), ..named.clone() }));
        assert!(!same(&other, &LogEntry { when: Some("2024-08-08T18:50:07Z".into()), ..named }), "another time");
    }

    proptest! {
        #[test]
        fn any_event_is_read(value in crate::bmc::redfish::json::any_json()) {
            for record in records(&json!({ "Events": value })).iter().chain(&records(&value)) {
                let _ = same(&record.entry, &record.entry);
            }
        }
    }
}
