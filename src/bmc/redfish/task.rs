//! Long-running operations by links: root → TaskService → Tasks. It reports states in the BMC's words and judges none of them.

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::error::safe;
use super::system::soft;
use super::{json, path};
use crate::bmc::{BmcError, BmcTask, BmcTrouble};
use crate::model::Reading;

/// Most tasks that are read; bmcweb keeps 100 (`task.hpp:54`).
const MOST: usize = 200;

impl Client {
    /// The tasks that the service lists. One that is gone when it is read has ended and is left out.
    pub(super) async fn task_list(&self) -> Result<Reading<Vec<BmcTask>>, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        let Some(at) = self.root().await?.tasks else { return Ok(Reading::Absent) };
        let unknown = |e: BmcError| if soft(&e) { Ok(Reading::unknown(e.to_string())) } else { Err(e) };
        let service = match self.get_by(&at, deadline).await {
            Ok(service) => service,
            Err(e) => return unknown(e),
        };
        let Some(at) = json::link(&service.value, "Tasks") else { return Ok(Reading::Absent) };
        let (members, unusable) = match self.members(&at, deadline).await {
            Ok(found) => found,
            Err(e) => return unknown(e),
        };
        if members.len() > MOST || unusable > 0 {
            return Ok(Reading::unknown(format!(
                "{} tasks are listed, {unusable} of them without a usable link",
                members.len() + unusable
            )));
        }
        let mut tasks = Vec::new();
        for member in members {
            match self.get_by(&member.path, deadline).await {
                Ok(task) => tasks.push(view(path::last(&task.path), &task.value)),
                // Reaped between the list and the look (RC-40).
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) => return unknown(e),
            }
        }
        Ok(Reading::Known(tasks))
    }
}

fn view(link_id: &str, task: &Value) -> BmcTask {
    let message = |m: &Value| json::text(m, "Message").or_else(|| json::text(m, "MessageId")).map(|text| safe(&text, 512));
    BmcTask {
        id: safe(&json::text(task, "Id").unwrap_or_else(|| link_id.to_owned()), 128),
        state: safe(json::word(task, "TaskState").unwrap_or("not told"), 64),
        percent: json::percent(task, "PercentComplete"),
        messages: json::list(task, "Messages").iter().take(32).filter_map(message).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_is_told_in_the_bmcs_words() {
        let task = view("9", &json!({"TaskState": "Stopping", "PercentComplete": "12.0", "Messages": {"Message": "a\u{1b}b"}}));
        assert_eq!((task.id.as_str(), task.state.as_str(), task.percent), ("9", "Stopping", Some(12)));
        assert_eq!(task.messages, ["a\\u{1b}b"]);
        assert_eq!(view("9", &json!({"Messages": null})).state, "not told");
    }

    proptest! {
        #[test]
        fn any_task_is_viewed(value in super::super::json::any_json()) {
            let _ = view("x", &value);
        }
    }
}
