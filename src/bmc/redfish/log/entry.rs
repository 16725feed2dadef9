//! One entry of a log, in the shapes that vendors give it. Pure views; a severity that is not said stays unknown.

use serde_json::Value;

use super::super::error::safe;
use super::super::walk::{health_word, short};
use super::super::{json, path};
use crate::bmc::sensing::LogEntry;
use crate::model::Reading;

/// An entry of a log, or a record of an event: they share their words.
pub(in crate::bmc::redfish) fn view(link: &str, entry: &Value) -> LogEntry {
    let words = raw_sel(entry);
    let message = words.clone().or_else(|| json::text(entry, "Message")).unwrap_or_else(|| bare(entry));
    // `EntryCode` says in which direction a SEL entry went; most messages do not.
    let gone = json::word(entry, "EntryCode") == Some("Deassert") && !message.to_ascii_lowercase().contains("deassert");
    let message = if gone { format!("{message} (deasserted)") } else { message };
    LogEntry {
        id: safe(&json::text(entry, "Id").unwrap_or_else(|| path::last(link).to_owned()), 128),
        when: json::text(entry, "Created").or_else(|| json::text(entry, "EventTimestamp")).map(|when| safe(&when, 64)),
        severity: severity(entry),
        origin: origin(entry),
        message_id: json::text(entry, "MessageId").map(|id| safe(&id, 128)),
        message: safe(&message, 1024),
        resolved: entry.get("Resolved").and_then(Value::as_bool).or_else(|| oem(entry, "Repaired").and_then(Value::as_bool)),
    }
}

fn severity(entry: &Value) -> Reading<crate::bmc::sensing::Health> {
    let word = ["Severity", "MessageSeverity", "EventSeverity"].iter().find_map(|key| json::text(entry, key));
    match word {
        Some(word) => {
            health_word(&word).map_or_else(|| Reading::unknown(format!("it says Severity `{}`", safe(&word, 32))), Reading::Known)
        }
        None => Reading::unknown("it says no Severity"),
    }
}

/// A property of the first vendor's part that has it.
fn oem<'a>(entry: &'a Value, key: &str) -> Option<&'a Value> {
    entry.get("Oem")?.as_object()?.values().find_map(|vendor| vendor.get(key))
}

/// What it is about: the sensor of a SEL entry, the resource, or the vendor's category.
fn origin(entry: &Value) -> String {
    let sensor = json::text(entry, "SensorType").or_else(|| json::text(entry, "OemSensorType"));
    let name = oem(entry, "RawEventData").and_then(|raw| json::text(raw, "SensorName"));
    if let Some(sensor) = name.or_else(|| {
        let number = entry.get("SensorNumber").and_then(Value::as_u64);
        // FFh: no sensor (IPMI §32.1).
        sensor.map(|sensor| number.filter(|n| *n < 255).map_or_else(|| sensor.clone(), |n| format!("{sensor} #{n}")))
    }) {
        return safe(&sensor, 128);
    }
    let linked = entry.get("OriginOfCondition").and_then(json::href);
    let linked = linked.or_else(|| entry.get("Links").and_then(|links| json::link(links, "OriginOfCondition")));
    if let Some(at) = linked {
        return safe(&short(&at), 128);
    }
    let vendor =
        ["ClassDescription", "Category"].iter().find_map(|key| oem(entry, key).and_then(Value::as_str).map(str::to_owned));
    vendor.map_or_else(String::new, |text| safe(text.trim(), 128))
}

/// An entry without words: its message id and arguments (HPE's event view).
fn bare(entry: &Value) -> String {
    let args: Vec<&str> = json::list(entry, "MessageArgs").iter().filter_map(Value::as_str).take(8).collect();
    match (json::text(entry, "MessageId"), args.is_empty()) {
        (Some(id), true) => id,
        (Some(id), false) => format!("{id} ({})", args.join(", ")),
        (None, _) => json::text(entry, "Name").or_else(|| json::text(entry, "Description")).unwrap_or_default(),
    }
}

/// AMI writes a SEL entry as `Event_Data_1 : 2, Record_Type : …, Event_Dir : Assertion event, …, Event_Type : Log Area Reset/Cleared, …` (DGX H100,
/// MegaRAC): what happened is `Event_Type`, and whether it began or ended `Event_Dir`.
fn raw_sel(entry: &Value) -> Option<String> {
    let message = entry.get("Message")?.as_str()?;
    if !message.starts_with("Event_Data_1") || message.len() > 4096 {
        return None;
    }
    let field = |key: &str| {
        message
            .split(',')
            .filter_map(|part| part.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, text)| text.trim())
    };
    let what = field("Event_Type").filter(|what| !what.is_empty())?;
    let sensor = field("Sensor_Type").filter(|sensor| !sensor.is_empty());
    let gone = if field("Event_Dir") == Some("Deassertion event") { " (deasserted)" } else { "" };
    Some(sensor.map_or_else(|| format!("{what}{gone}"), |sensor| format!("{sensor}: {what}{gone}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::bmc::sensing::Health;

    #[test]
    fn every_vendors_shape_is_read() {
        let dell = json!({"Id": "1024", "Created": "2024-06-11T00:13:00-05:00", "EntryCode": "Assert", "Message": "An OEM diagnostic event occurred.",
            "MessageId": "7e012790", "SensorNumber": 26, "SensorType": null, "Severity": "OK"});
        let seen = view("/x/1024", &dell);
        assert_eq!((seen.id.as_str(), seen.severity, seen.origin.as_str()), ("1024", Reading::Known(Health::Ok), ""));
        let hpe = json!({"Id": "2", "Message": "Connectivity status changed", "Severity": "OK",
            "Oem": {"Hpe": {"ClassDescription": "Network", "Repaired": true}}});
        let seen = view("/x/2", &hpe);
        assert_eq!((seen.origin.as_str(), seen.resolved, seen.when), ("Network", Some(true), None));
        let bare = json!({"MessageId": "iLOEvents.3.7.ServerResetDetected", "EventTimestamp": "1970-01-01T00:01:38Z", "Severity": "Warning",
            "Links": {"OriginOfCondition": {"@odata.id": "/redfish/v1/Systems/1"}}});
        let seen = view("/x/9", &bare);
        assert_eq!(
            (seen.id.as_str(), seen.origin.as_str(), seen.message.as_str()),
            ("9", "Systems/1", "iLOEvents.3.7.ServerResetDetected")
        );
        let smc = json!({"Id": "1", "Severity": "Warning", "OemSensorType": "System NIC", "SensorNumber": 255, "Message": "[LAN-0006] Link Down",
            "Oem": {"Supermicro": {"RawEventData": {"SensorName": null}}}});
        assert_eq!(view("/x", &smc).origin, "System NIC");
        let ami = json!({"Id": "2", "EntryCode": "Deassert", "SensorNumber": 118, "SensorType": "Drive Slot/Bay", "Severity": "OK",
            "Message": "Event_Data_1 : 0, Event_Dir : Deassertion event, Timestamp : 2024-07-08T16:42:19+00:00, Event_Type : Drive Presence, Sensor_Type : Drive Slot/Bay, "});
        let seen = view("/x", &ami);
        assert_eq!(
            (seen.origin.as_str(), seen.message.as_str()),
            ("Drive Slot/Bay #118", "Drive Slot/Bay: Drive Presence (deasserted)")
        );
        assert!(view("/x", &json!({"Severity": "Mauve"})).severity.why_unknown().unwrap().contains("Mauve"));
        assert!(!view("/x", &json!({"Message": "a\u{1b}[31mb\u{202e}"})).message.contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn any_entry_is_viewed_safely(value in crate::bmc::redfish::json::any_json(), text in ".{0,200}") {
            let _ = view("/x/y", &value);
            let seen = view("/x", &json!({"Message": format!("Event_Data_1{text}"), "SensorType": text, "Created": text}));
            prop_assert!(!seen.message.chars().chain(seen.origin.chars()).any(char::is_control));
        }
    }
}
