//! Which task is the one of this update: by what the answer named (RC-38), else the one task that was not there before. A task is told apart by
//! where it is, its start and its name, never by its number alone: numbers begin again when the BMC restarts (RC-42).

use bytes::Bytes;
use http::HeaderMap;
use http::header::LOCATION;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::super::client::{Client, Resource};
use super::super::error::safe;
use super::super::system::soft;
use super::super::{json, path};
use super::judge;
use crate::bmc::{BmcError, BmcTrouble};

/// Most tasks that are read; bmcweb keeps 100 (`task.hpp:54`).
const MOST: usize = 200;
/// Looks at a named task before all tasks are read; it shows up to five polls late (open-nvfwupd `rf_target.py:741`).
const PATIENCE: u32 = 5;
/// Most names that one answer is searched for.
const NAMED: usize = 16;

/// One task, told apart from all that had or will have its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it is.
    pub(super) at: String,
    start: Option<String>,
    name: Option<String>,
}

impl Mark {
    pub(super) fn of(at: &str, task: &Value) -> Self {
        Self { at: at.to_owned(), start: json::text(task, "StartTime"), name: json::text(task, "Name") }
    }

    /// True when what is there now is this task. A start that was not told yet may be told now.
    pub(super) fn is(&self, now: &Value) -> bool {
        match (&self.start, json::text(now, "StartTime")) {
            (Some(was), Some(is)) => *was == is,
            (Some(_), None) => false,
            (None, _) => self.name == json::text(now, "Name"),
        }
    }
}

/// A task that was there before.
#[derive(Debug, Clone)]
struct Known {
    mark: Mark,
    /// What it says while it is open.
    open: Option<String>,
}

/// The tasks before the push.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// The collection; `None`: the BMC has none.
    collection: Option<String>,
    known: Vec<Known>,
}

impl Before {
    /// Tasks that still do something, for people.
    pub(super) fn open(&self) -> Option<String> {
        let open: Vec<String> = self
            .known
            .iter()
            .filter_map(|task| Some((&task.mark, task.open.as_ref()?)))
            .take(4)
            .map(|(mark, says)| {
                let name = mark.name.as_deref().unwrap_or("no name");
                format!("task {} ({}): {says}", safe(path::last(&mark.at), 64), safe(name, 64))
            })
            .collect();
        (!open.is_empty()).then(|| open.join(", "))
    }

    /// True for a task that was there and had ended: its number may be handed out again.
    fn over(&self, at: &str, task: &Value) -> bool {
        self.known.iter().any(|known| path::same(&known.mark.at, at) && known.mark.is(task) && known.open.is_none())
    }

    /// What a name in an answer stands for: the task, not its monitor, whose reading may delete it (RC-41).
    fn task_of(&self, link: &str) -> String {
        let Some(collection) = self.collection.as_deref().map(|c| c.trim_end_matches('/')) else { return link.to_owned() };
        if let Some(rest) = link.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')) {
            let id = rest.split(['/', '?']).next().unwrap_or(rest);
            return format!("{collection}/{id}");
        }
        // `/TaskService/TaskMonitors/7` and `/taskmon/7` have the number only.
        let plain = link.split('?').next().unwrap_or(link).trim_end_matches('/');
        let id = path::last(plain.strip_suffix("/Monitor").unwrap_or(plain));
        format!("{collection}/{id}")
    }
}

/// What an answer to a push names: task or monitor, in the order in which it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Links.
    links: Vec<String>,
}

impl Named {
    /// Reads an answer.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let mut links = Vec::new();
        let body = json::parse(body).unwrap_or(Value::Null);
        let kind = json::word(&body, "@odata.type").unwrap_or_default();
        let own = json::link(&body, "@odata.id");
        if kind.starts_with("#Task.") || kind.is_empty() {
            links.extend(own);
        }
        links.extend(headers.get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| path::local(to).ok()));
        links.extend(json::link(&body, "TaskMonitor"));
        // Supermicro: {"Accepted": {"@Message.ExtendedInfo": [{"MessageArgs": ["/redfish/v1/TaskService/Tasks/7"]}]}}
        let places = [body.get("Accepted"), body.get("error"), Some(&body)];
        for place in places.into_iter().flatten() {
            for info in json::list(place, "@Message.ExtendedInfo").iter().take(NAMED) {
                let args = json::list(info, "MessageArgs").iter().take(NAMED).filter_map(Value::as_str);
                links.extend(args.filter(|arg| arg.contains('/')).filter_map(|arg| path::local(arg.trim()).ok()));
            }
        }
        links.retain(|link| link != "/");
        links.dedup();
        links.truncate(NAMED);
        Self { links }
    }

    /// The first name, as it was given: for monitors that must be asked.
    pub(super) fn first(&self) -> Option<&str> {
        self.links.first().map(String::as_str)
    }
}

/// What the search came to.
pub(super) enum Found {
    /// This one.
    Task(Mark),
    /// None within the time, in these words.
    None(String),
}

impl Client {
    /// The tasks as they are now.
    pub(super) async fn tasks_before(&self, deadline: Instant) -> Result<Before, BmcError> {
        let Some(service) = self.root().await?.tasks else { return Ok(Before::default()) };
        let service = match self.look(&service, deadline).await {
            Ok(service) => service,
            Err(e) if e.kind == BmcTrouble::Unsupported => return Ok(Before::default()),
            Err(e) => return Err(e),
        };
        let Some(collection) = json::link(&service.value, "Tasks") else { return Ok(Before::default()) };
        let (members, _) = match self.members(&collection, deadline).await {
            Ok(found) => found,
            Err(e) if e.kind == BmcTrouble::Unsupported => return Ok(Before { collection: Some(collection), known: Vec::new() }),
            Err(e) => return Err(e),
        };
        let mut known = Vec::new();
        for member in members.into_iter().rev().take(MOST) {
            match self.look(&member.path, deadline).await {
                Ok(task) => known.push(Known { mark: Mark::of(&member.path, &task.value), open: judge::open(&task.value) }),
                // Reaped between the list and the look.
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                // What cannot be read may be an update.
                Err(e) if soft(&e) => {
                    let mark = Mark { at: member.path, start: None, name: None };
                    known.push(Known { mark, open: Some(e.to_string()) });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Before { collection: Some(collection), known })
    }

    /// Searches for the task of a push until `grace` has passed: late tasks are usual (RC-39).
    pub(super) async fn find_task(
        &self,
        before: &Before,
        named: &Named,
        grace: Instant,
        deadline: Instant,
    ) -> Result<Found, BmcError> {
        let mut pause = self.limits.poll.0;
        let until = grace.min(deadline);
        let mut round = 0;
        loop {
            round += 1;
            let mut trouble = None;
            for link in &named.links {
                let at = before.task_of(link);
                match self.look(&at, deadline).await {
                    Ok(task) if json::word(&task.value, "TaskState").is_some() && !before.over(&at, &task.value) => {
                        return Ok(Found::Task(Mark::of(&at, &task.value)));
                    }
                    Ok(_) => {}
                    Err(e) if e.kind == BmcTrouble::Unsupported => {}
                    Err(e) if fatal(&e) => return Err(e),
                    Err(e) => trouble = Some(e),
                }
            }
            // Reading all tasks is a load: while the answer named one it is given some time to show.
            let wide = named.links.is_empty() || round > PATIENCE;
            let seen = match if wide { self.new_tasks(before, deadline).await } else { Ok(Vec::new()) } {
                Ok(mut new) => match (new.len(), new.pop()) {
                    (1, Some(task)) => return Ok(Found::Task(Mark::of(&task.path, &task.value))),
                    (0, _) | (_, None) => "no new task is listed".to_owned(),
                    (count, Some(last)) => {
                        new.push(last);
                        let mut ours = new.into_iter().filter(|task| about_updates(&task.value));
                        match (ours.next(), ours.next()) {
                            (Some(task), None) => return Ok(Found::Task(Mark::of(&task.path, &task.value))),
                            _ => format!("{count} new tasks are listed, and nothing tells which one it is"),
                        }
                    }
                },
                Err(e) if fatal(&e) => return Err(e),
                Err(e) => trouble.take().unwrap_or(e).to_string(),
            };
            let seen = trouble.map_or(seen, |e| e.to_string());
            let next = Instant::now() + pause;
            if next >= until {
                return Ok(Found::None(seen));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }

    /// Tasks that were not there before: another place, or another task in an old place.
    async fn new_tasks(&self, before: &Before, deadline: Instant) -> Result<Vec<Resource>, BmcError> {
        let Some(collection) = &before.collection else { return Ok(Vec::new()) };
        let (members, _) = match self.members(collection, deadline).await {
            Ok(found) => found,
            Err(e) if e.kind == BmcTrouble::Unsupported => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut new = Vec::new();
        for member in members.into_iter().rev().take(MOST) {
            match self.look(&member.path, deadline).await {
                Ok(task) => {
                    let same =
                        before.known.iter().any(|known| path::same(&known.mark.at, &task.path) && known.mark.is(&task.value));
                    if !same {
                        new.push(task);
                    }
                }
                Err(e) if soft(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(new)
    }
}

/// True for trouble that no waiting ends.
pub(super) fn fatal(e: &BmcError) -> bool {
    matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. })
}

/// True for a task that says it has to do with firmware.
fn about_updates(task: &Value) -> bool {
    const WORDS: [&str; 7] = ["update", "upload", "firmware", "flash", "install", "verify", "image"];
    let payload = task.get("Payload").unwrap_or(&Value::Null);
    let texts = [json::text(task, "Name"), json::text(task, "Description"), json::text(payload, "TargetUri")];
    texts.iter().flatten().any(|text| WORDS.iter().any(|word| text.to_ascii_lowercase().contains(word)))
}

/// The headers and body that an answer is searched in.
pub(super) struct Answered {
    /// Headers.
    pub(super) headers: HeaderMap,
    /// Body.
    pub(super) body: Bytes,
    /// In words.
    pub(super) words: String,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn before() -> Before {
        let known = |at: &str, start: &str, open: Option<&str>| Known {
            mark: Mark { at: at.into(), start: Some(start.into()), name: None },
            open: open.map(str::to_owned),
        };
        Before {
            collection: Some("/redfish/v1/TaskService/Tasks".into()),
            known: vec![
                known("/redfish/v1/TaskService/Tasks/0", "t0", None),
                known("/redfish/v1/TaskService/Tasks/1", "t1", Some("Running")),
            ],
        }
    }

    fn named(location: Option<&str>, body: &Value) -> Vec<String> {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        }
        Named::of(&headers, body.to_string().as_bytes()).links
    }

    #[test]
    fn a_task_is_named_in_many_places() {
        let task = "/redfish/v1/TaskService/Tasks/7";
        for (location, body) in [
            (Some(task), json!({})),
            (Some("https://10.0.0.1:9/redfish/v1/TaskService/Tasks/7"), json!({})),
            (None, json!({"@odata.type": "#Task.v1_7_4.Task", "@odata.id": task})),
            (None, json!({"@odata.id": task})),
            (None, json!({"TaskMonitor": task})),
            (None, json!({"Accepted": {"@Message.ExtendedInfo": [{"MessageArgs": ["x", task]}]}})),
            (None, json!({"error": {"@Message.ExtendedInfo": {"MessageArgs": [task]}}})),
        ] {
            assert_eq!(named(location, &body), [task], "{location:?} {body}");
        }
        assert!(named(None, &json!({"@odata.type": "#UpdateService.v1_1_0.UpdateService", "@odata.id": "/x"})).is_empty());
        assert!(named(None, &json!(null)).is_empty());
    }

    #[test]
    fn a_monitor_stands_for_its_task() {
        for (link, want) in [
            ("/redfish/v1/TaskService/Tasks/7", "/redfish/v1/TaskService/Tasks/7"),
            ("/redfish/v1/TaskService/Tasks/7/", "/redfish/v1/TaskService/Tasks/7"),
            ("/redfish/v1/TaskService/Tasks/7/Monitor", "/redfish/v1/TaskService/Tasks/7"),
            ("/redfish/v1/TaskService/TaskMonitors/7", "/redfish/v1/TaskService/Tasks/7"),
            ("/taskmon/42", "/redfish/v1/TaskService/Tasks/42"),
            ("/redfish/v1/TaskService/Tasks/JID_1?x=1", "/redfish/v1/TaskService/Tasks/JID_1"),
        ] {
            assert_eq!(before().task_of(link), want);
        }
        assert_eq!(Before::default().task_of("/a/b"), "/a/b");
    }

    #[test]
    fn a_number_alone_is_no_task() {
        let before = before();
        let (old, new) = (json!({"StartTime": "t0"}), json!({"StartTime": "t9"}));
        assert!(before.over("/redfish/v1/TaskService/Tasks/0", &old), "it had ended before the push");
        assert!(!before.over("/redfish/v1/TaskService/Tasks/0", &new), "the number was handed out again");
        assert!(!before.over("/redfish/v1/TaskService/Tasks/1", &json!({"StartTime": "t1"})), "it was still open");
        let mark = Mark::of("/t/0", &json!({"StartTime": "t0", "Name": "a"}));
        assert!(mark.is(&json!({"StartTime": "t0", "Name": "b"})) && !mark.is(&new) && !mark.is(&json!({"Name": "a"})));
        let quiet = Mark::of("/t/0", &json!({"Name": "a"}));
        assert!(quiet.is(&json!({"StartTime": "t1", "Name": "a"})) && !quiet.is(&json!({"Name": "b"})));
        assert_eq!(before.open().as_deref(), Some("task 1 (no name): Running"));
        assert!(about_updates(&json!({"Name": "BMC Verify"})) && !about_updates(&json!({"Name": "Computer Reset"})));
    }

    proptest! {
        #[test]
        fn any_answer_names_safe_links(body in prop::collection::vec(any::<u8>(), 0..300), value in super::super::super::json::any_json(), to in "[ -~]{0,80}") {
            for body in [body, value.to_string().into_bytes(), json!({"Accepted": {"@Message.ExtendedInfo": value}}).to_string().into_bytes()] {
                let mut headers = HeaderMap::new();
                headers.extend(HeaderValue::from_str(&to).ok().map(|to| (LOCATION, to)));
                let links = Named::of(&headers, &body).links;
                prop_assert!(links.len() <= NAMED && links.iter().all(|link| link.starts_with('/')));
                for link in links { prop_assert!(before().task_of(&link).starts_with("/redfish/v1/TaskService/Tasks/")); }
            }
        }
    }
}
