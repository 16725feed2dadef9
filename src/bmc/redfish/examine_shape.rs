//! What resources show of the rows of firmware.md §5: pure judgements over JSON that was read. They ask nothing.

use http::StatusCode;
use serde_json::Value;

use super::client::Resource;
use super::error::{hear, safe};
use super::examine::SKEW;
use super::json;
use crate::bmc::BmcTask;
use crate::bmc::examining::{Examination, Sight};
use crate::model::Reading;

/// Deepest nesting in which links are looked for.
const DEPTH: usize = 12;

/// What the root says of sessions and queries (RC-20, RC-26).
pub(super) fn root(exam: &mut Examination, root: &Value) {
    let links = root.get("Links").and_then(|links| json::link(links, "Sessions"));
    let lost = links.is_none().then(|| "the root's Links name no Sessions".to_owned());
    exam.judge("RC-20", "where sessions are", lost, links.unwrap_or_default());
    let expands = root.pointer("/ProtocolFeaturesSupported/ExpandQuery").and_then(Value::as_object);
    let offered: Vec<&str> =
        expands.into_iter().flatten().filter(|(_, on)| **on == Value::Bool(true)).map(|(name, _)| name.as_str()).collect();
    let offered = safe(&offered.join(", "), 128);
    let said = if offered.is_empty() { "$expand is not offered".to_owned() } else { format!("$expand is offered: {offered}") };
    exam.note("RC-26", "queries", Sight::Plain(said));
}

/// Members that are named before the others are only counted.
const NAMED: usize = 4;

/// Members of a collection of which many clients take the first (RC-27).
pub(super) fn several<'a>(members: impl Iterator<Item = &'a str>) -> Sight {
    let names: Vec<String> = members.map(|name| safe(name, 40)).collect();
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => Sight::Plain("none".to_owned()),
        1 => Sight::Plain(first),
        many if many <= NAMED => Sight::Quirk(format!("there are {many}: {first}")),
        many => Sight::Quirk(format!("there are {many}: {first} and {} more", many - NAMED)),
    }
}

/// What the system lets itself be told (RC-33, RC-58, RC-60, RC-61).
pub(super) fn system(exam: &mut Examination, system: &Value) {
    if system.get("@odata.id").is_none() {
        exam.note("RC-33", "links between resources", Sight::Quirk("the system has no @odata.id".to_owned()));
    }
    let reset = system.pointer("/Actions/#ComputerSystem.Reset");
    match reset {
        None => {
            exam.note("RC-58", "ways to reset the system", Sight::Quirk("there is no ComputerSystem.Reset action".to_owned()))
        }
        Some(action) => {
            let types = words(action, "ResetType@Redfish.AllowableValues");
            let missing: Vec<&str> =
                ["On", "ForceOff", "ForceRestart"].into_iter().filter(|t| !types.iter().any(|have| have == t)).collect();
            let quirk = match (types.is_empty(), action.get("@Redfish.ActionInfo").is_some()) {
                (true, true) => Some("they stand in an ActionInfo".to_owned()),
                (true, false) => Some("it does not say".to_owned()),
                (false, _) if !missing.is_empty() => Some(format!("{} without {}", types.join(", "), missing.join(", "))),
                (false, _) => None,
            };
            exam.judge("RC-58", "ways to reset the system", quirk, types.join(", "));
        }
    }
    match system.get("Boot").filter(|boot| boot.is_object()) {
        None => exam.note("RC-60", "the boot override", Sight::Quirk("the system has no Boot property".to_owned())),
        Some(boot) => {
            let targets = words(boot, "BootSourceOverrideTarget@Redfish.AllowableValues");
            let quirk = targets.is_empty().then(|| "it does not say which targets it takes".to_owned());
            exam.judge("RC-60", "the boot override", quirk, targets.join(", "));
        }
    }
    let settings = system.pointer("/@Redfish.Settings/SettingsObject").and_then(json::href);
    let apart = settings.map(|at| format!("at {}, for the next boot", safe(&at, 128)));
    exam.judge("RC-61", "where the system is set", apart, "at the system itself");
}

/// Entity tags of one resource that nobody changed, read again and again (RC-35, RC-37).
pub(super) fn tags(exam: &mut Examination, tags: &[Option<String>], last: &Resource) {
    let Some(Some(first)) = tags.first() else {
        exam.note("RC-35", "the system's entity tag", Sight::Quirk("it has none".to_owned()));
        exam.note("RC-37", "entity tags that stay", Sight::Unseen("there is no entity tag".to_owned()));
        return;
    };
    exam.note("RC-35", "the system's entity tag", Sight::Plain("it has one".to_owned()));
    let drifts = tags.iter().flatten().find(|tag| *tag != first).map(|other| format!("{first}, and a moment later {other}"));
    let weak = first.starts_with("W/").then(|| format!("{first} is weak"));
    let inside = json::word(&last.value, "@odata.etag").map(|tag| safe(tag, 80));
    let newest = tags.last().cloned().flatten();
    let differs = inside.filter(|inside| newest.as_ref() != Some(inside)).map(|inside| {
        let head = newest.unwrap_or_default();
        format!("the header says {head}, the resource {inside}")
    });
    exam.judge("RC-37", "entity tags that stay", drifts.or(weak).or(differs), "strong, and the same at every read");
}

/// A link that is not a clean path of this service, with its place (RC-15).
pub(super) fn odd_link(value: &Value, depth: usize) -> Option<String> {
    match value {
        Value::Object(fields) if depth < DEPTH => fields.iter().find_map(|(name, field)| match field {
            Value::String(link) if name == "@odata.id" && odd(link) => Some(safe(link, 128)),
            field => odd_link(field, depth + 1),
        }),
        Value::Array(items) if depth < DEPTH => items.iter().find_map(|item| odd_link(item, depth + 1)),
        _ => None,
    }
}

/// The root alone ends in a slash (DSP0266 §7.1).
fn odd(link: &str) -> bool {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    !path.starts_with('/') || path.contains("//") || (path.ends_with('/') && path != super::session::ROOT)
}

/// The BMC's clock against this machine's (RC-34).
pub(super) fn clock(exam: &mut Examination, manager: &Value) {
    let Some(said) = json::word(manager, "DateTime") else {
        exam.note("RC-34", "the BMC's clock", Sight::Unseen("the manager says no DateTime".to_owned()));
        return;
    };
    let seen = match said.parse::<jiff::Timestamp>() {
        Err(_) => Sight::Quirk(format!("`{}` is no time", safe(said, 64))),
        Ok(then) => {
            let off = jiff::Timestamp::now().duration_since(then).unsigned_abs();
            if off > SKEW {
                let way = if then > jiff::Timestamp::now() { "ahead of" } else { "behind" };
                Sight::Quirk(format!("it is {} {way} this machine's", off_by(off.as_secs())))
            } else {
                Sight::Plain(format!("it is {} s off at most", SKEW.as_secs()))
            }
        }
    };
    exam.note("RC-34", "the BMC's clock", seen);
}

/// A length of time in its largest unit, cut.
fn off_by(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{seconds} s"),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What may be pushed to it, and how (RC-48, RC-52).
pub(super) fn update(exam: &mut Examination, service: &Value) {
    let most = json::count(service, "MaxImageSizeBytes");
    let most = most.map_or_else(|| "it says no largest image".to_owned(), |bytes| format!("images of {bytes} bytes at most"));
    exam.note("RC-48", "the update service", Sight::Plain(most));
    let ways: Vec<&str> = [("MultipartHttpPushUri", "multipart push"), ("HttpPushUri", "plain push")]
        .into_iter()
        .filter(|(key, _)| json::link(service, key).is_some())
        .map(|(_, way)| way)
        .chain(service.pointer("/Actions/#UpdateService.SimpleUpdate").map(|_| "SimpleUpdate"))
        .collect();
    let ways = if ways.is_empty() { "it names no way to push".to_owned() } else { ways.join(", ") };
    exam.note("RC-52", "ways to push firmware", Sight::Plain(ways));
}

/// The states that tasks may have (DSP2046 Task 1.7, TaskState) and that end or go on by themselves.
const USUAL: [&str; 9] =
    ["New", "Starting", "Running", "Completed", "Killed", "Exception", "Cancelled", "Cancelling", "Interrupted"];

/// Tasks that stand there (RC-45).
pub(super) fn tasks(exam: &mut Examination, tasks: &Reading<Vec<BmcTask>>) {
    let seen = match tasks {
        Reading::Known(tasks) => {
            let odd = tasks.iter().find(|task| !USUAL.contains(&task.state.as_str()));
            match odd {
                Some(task) => Sight::Quirk(format!("task {} is {}", safe(&task.id, 40), safe(&task.state, 40))),
                None => Sight::Plain(match tasks.len() {
                    0 => "none".to_owned(),
                    1 => "1 task".to_owned(),
                    many => format!("{many} tasks"),
                }),
            }
        }
        Reading::Absent => Sight::Plain("there is no task service".to_owned()),
        Reading::Unknown { why } => Sight::Unseen(why.clone()),
    };
    exam.note("RC-45", "tasks", seen);
}

/// The answer for a path where nothing is (RC-22, RC-29, RC-30).
pub(super) fn errors(exam: &mut Examination, status: StatusCode, body: &[u8]) {
    const AT: &str = "a path where nothing is";
    let answered = (status != StatusCode::NOT_FOUND).then(|| format!("{status} for a path where nothing is"));
    exam.judge("RC-30", AT, answered.filter(|_| status.is_success()), status.to_string());
    let value = match json::parse(body) {
        Ok(value) => value,
        Err(why) => {
            exam.note("RC-22", AT, Sight::Quirk(format!("the body is no JSON ({})", safe(&why, 80))));
            exam.note("RC-29", AT, Sight::Unseen("the body is no JSON".to_owned()));
            return;
        }
    };
    exam.note("RC-22", AT, Sight::Plain("refusals are JSON".to_owned()));
    let info = value.pointer("/error/@Message.ExtendedInfo");
    let quirk = match info {
        Some(Value::Array(_)) => None,
        Some(_) => Some("@Message.ExtendedInfo is no list".to_owned()),
        None => Some(format!("there is no error/@Message.ExtendedInfo; it says: {}", safe(&hear(body).to_string(), 120))),
    };
    exam.judge("RC-29", AT, quirk, "it says why in a list");
}

fn words(value: &Value, key: &str) -> Vec<String> {
    json::list(value, key).iter().filter_map(Value::as_str).take(64).map(|word| safe(word, 40)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn quirks(exam: &Examination) -> Vec<&'static str> {
        exam.looks.iter().filter(|look| matches!(look.seen, Sight::Quirk(_))).map(|look| look.row).collect()
    }

    #[test]
    fn a_service_as_it_should_be_shows_no_quirk() {
        let mut exam = Examination::default();
        root(&mut exam, &json!({"Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}}));
        let reset = json!({"ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"]});
        let boot = json!({"BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe"]});
        system(
            &mut exam,
            &json!({"@odata.id": "/redfish/v1/Systems/1", "Actions": {"#ComputerSystem.Reset": reset}, "Boot": boot}),
        );
        clock(&mut exam, &json!({"DateTime": jiff::Timestamp::now().to_string()}));
        errors(&mut exam, StatusCode::NOT_FOUND, br#"{"error":{"code":"x","@Message.ExtendedInfo":[]}}"#);
        tasks(&mut exam, &Reading::Known(Vec::new()));
        let resource = Resource { path: "/x".to_owned(), value: json!({"@odata.etag": "\"1\""}), etag: None };
        tags(&mut exam, &[Some("\"1\"".to_owned()), Some("\"1\"".to_owned())], &resource);
        assert_eq!(quirks(&exam), [] as [&str; 0], "{exam:?}");
        assert_eq!(odd_link(&json!({"a": [{"@odata.id": "/redfish/v1/Systems/1"}], "@odata.id": "/redfish/v1/"}), 0), None);
    }

    #[test]
    fn each_oddity_is_seen() {
        let mut exam = Examination::default();
        root(&mut exam, &json!({}));
        system(&mut exam, &json!({"@Redfish.Settings": {"SettingsObject": {"@odata.id": "/redfish/v1/Systems/1/SD"}}}));
        clock(&mut exam, &json!({"DateTime": "1970-01-01T00:00:00Z"}));
        errors(&mut exam, StatusCode::OK, b"<html>");
        let stuck = BmcTask { id: "1".into(), state: "Suspended".into(), percent: None, messages: vec![] };
        tasks(&mut exam, &Reading::Known(vec![stuck]));
        let resource = Resource { path: "/x".to_owned(), value: json!({}), etag: None };
        tags(&mut exam, &[Some("W/\"1\"".to_owned())], &resource);
        assert_eq!(quirks(&exam), ["RC-20", "RC-33", "RC-58", "RC-60", "RC-61", "RC-34", "RC-30", "RC-22", "RC-45", "RC-37"]);
        assert_eq!(several(["1"].into_iter()), Sight::Plain("1".to_owned()));
        assert_eq!(several(["1", "2"].into_iter()), Sight::Quirk("there are 2: 1, 2".to_owned()));
        assert_eq!(several(["a", "b", "c", "d", "e"].into_iter()), Sight::Quirk("there are 5: a, b, c, d and 1 more".to_owned()));
        assert_eq!([7_199, 7_200, 172_800].map(off_by), ["7199 s", "2 hours", "2 days"]);
        for link in ["https://bmc/redfish/v1/Systems", "/redfish//v1/Systems", "/redfish/v1/Systems/"] {
            assert!(odd_link(&json!([{"x": {"@odata.id": link}}]), 0).is_some(), "{link}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_looked_at(value in super::super::json::any_json(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut exam = Examination::default();
            root(&mut exam, &value);
            system(&mut exam, &value);
            clock(&mut exam, &value);
            update(&mut exam, &value);
            errors(&mut exam, StatusCode::OK, &body);
            drop(odd_link(&value, 0));
        }
    }
}
