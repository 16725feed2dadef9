//! What a task, a job or a service says of an update, judged by fixed rules (firmware.md §3.2). Pure. An end that is told here proves nothing:
//! the version does.

use serde_json::Value;

use super::super::error::safe;
use super::super::json;

/// What one look at an update tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Going(Step),
    /// It waits for a reset, in these words.
    Staged(String),
    /// It waits for a person, in these words.
    Asks(String),
    /// It says that it has nothing to do: not begun yet, or over and forgotten.
    Idle(String),
    /// It says that it is done, and nothing it says contradicts that.
    Ended(String),
    /// It failed, in these words.
    Failed(String),
}

/// Where a running update stands. Any change of it is progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// State in the BMC's words.
    pub(super) state: String,
    /// Percent done, when it says. 100 is finishing, not done.
    pub(super) percent: Option<u8>,
    /// How many messages it has left.
    pub(super) messages: usize,
    /// True for a state that no specification knows: taken as running.
    pub(super) strange: bool,
}

/// Most messages that are judged; bmcweb writes one per component of a bundle.
const MESSAGES: usize = 256;
/// Words that make a warning a failure (nvfwupd's `check_for_failure`, firmware.md §3.2).
const BAD_WORDS: [&str; 3] = ["resourceerrorsdetected", "failed", "violation"];

/// Judges a Redfish `Task`.
pub(super) fn task(task: &Value) -> Verdict {
    let state = json::word(task, "TaskState").unwrap_or("not told");
    let status = json::word(task, "TaskStatus");
    let words = words(state, status, task);
    // DSP0266: Critical is set once the operation has failed, whatever the state says meanwhile.
    if status == Some("Critical") || matches!(state, "Exception" | "Killed" | "Cancelled") {
        return Verdict::Failed(words);
    }
    match state {
        "Completed" if status == Some("Warning") || complaint(task).is_some() => Verdict::Failed(words),
        "Completed" => Verdict::Ended(words),
        // bmcweb shows an image that waits for a reset as Stopping, for five hours (`task.hpp`).
        "Stopping" => Verdict::Staged(words),
        "Suspended" | "UserIntervention" | "Interrupted" => Verdict::Asks(words),
        _ => Verdict::Going(step(state, task)),
    }
}

/// Judges the maker's own job of an update (Dell: `JobState` must be Completed and `JobStatus`, where it is told, OK).
pub(super) fn job(job: &Value) -> Verdict {
    let state = json::word(job, "JobState").unwrap_or("not told");
    let status = json::word(job, "JobStatus");
    let words = words(state, status, job);
    match (state, status) {
        ("Completed", None | Some("OK")) => Verdict::Ended(words),
        ("Completed" | "CompletedWithErrors" | "Failed" | "RebootFailed", _) => Verdict::Failed(words),
        ("Scheduled" | "RebootPending" | "PendingActivation", _) => Verdict::Staged(words),
        ("Paused" | "UserIntervention", _) => Verdict::Asks(words),
        _ => Verdict::Going(step(state, job)),
    }
}

/// Judges an update service that tells of its one update itself (iLO: `Oem.Hpe.State`, `FlashProgressPercent`, `Result`).
pub(super) fn service(service: &Value) -> Verdict {
    let own = service.get("Oem").and_then(|oem| oem.get("Hpe")).unwrap_or(&Value::Null);
    let state = json::word(own, "State").unwrap_or("not told");
    let result = own.get("Result").map(said).unwrap_or_default();
    let words = format!("{}{}", safe(state, 64), if result.is_empty() { String::new() } else { format!(": {result}") });
    match state {
        "Complete" => Verdict::Ended(words),
        "Error" => Verdict::Failed(words),
        "Idle" => Verdict::Idle(words),
        _ => Verdict::Going(Step {
            state: safe(state, 64),
            percent: json::percent(own, "FlashProgressPercent"),
            messages: 0,
            strange: !["Uploading", "Verifying", "Updating", "Writing", "Importing"].contains(&state),
        }),
    }
}

/// What a task that still does something, or may, says of itself; `None`: it has ended.
pub(super) fn open(value: &Value) -> Option<String> {
    match task(value) {
        Verdict::Going(step) => Some(step.to_string()),
        Verdict::Staged(words) | Verdict::Asks(words) | Verdict::Idle(words) => Some(words),
        Verdict::Ended(_) | Verdict::Failed(_) => None,
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.state)?;
        if let Some(percent) = self.percent {
            write!(f, " at {percent} %")?;
        }
        f.write_str(if self.strange { ", a state that is in no specification" } else { "" })
    }
}

fn step(state: &str, value: &Value) -> Step {
    const KNOWN: [&str; 17] = [
        // Redfish Task
        "New",
        "Starting",
        "Running",
        "Pending",
        "Service",
        "Cancelling",
        // Redfish Job, Dell
        "Continue",
        "Validating",
        "Downloading",
        "Downloaded",
        "Waiting",
        "ReadyForExecution",
        "RebootCompleted",
        "Scheduling",
        "NewJob",
        "WaitingForReboot",
        "Updating",
    ];
    Step {
        state: safe(state, 64),
        percent: json::percent(value, "PercentComplete"),
        messages: json::list(value, "Messages").len().min(MESSAGES),
        strange: !KNOWN.contains(&state),
    }
}

/// The worst message that makes a completed task a failed one.
fn complaint(task: &Value) -> Option<String> {
    json::list(task, "Messages").iter().take(MESSAGES).find_map(|message| {
        let severity = json::word(message, "MessageSeverity").or_else(|| json::word(message, "Severity"))?;
        let words = said(message);
        let lower = words.to_ascii_lowercase();
        let bad = match severity {
            "Critical" => true,
            "Warning" => BAD_WORDS.iter().any(|word| lower.contains(word)),
            _ => false,
        };
        bad.then_some(words)
    })
}

/// State, status and the message that matters most: the complaint, else the last one.
fn words(state: &str, status: Option<&str>, value: &Value) -> String {
    let mut words = safe(state, 64);
    if let Some(status) = status {
        words.push_str(&format!(", status {}", safe(status, 32)));
    }
    let last = || json::list(value, "Messages").last().map(said).filter(|text| !text.is_empty());
    let own = || json::text(value, "Message").map(|text| safe(&text, 256));
    if let Some(message) = complaint(value).or_else(last).or_else(own) {
        words.push_str(&format!(": {message}"));
    }
    words
}

/// A message in one line.
fn said(message: &Value) -> String {
    let id = json::text(message, "MessageId").map(|id| safe(&id, 128));
    let text = json::text(message, "Message").map(|text| safe(&text, 256));
    match (id, text) {
        (Some(id), Some(text)) => format!("{id}: {text}"),
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Going(step) if step.strange => "strange",
            Verdict::Going(_) => "going",
            Verdict::Staged(_) => "staged",
            Verdict::Asks(_) => "asks",
            Verdict::Idle(_) => "idle",
            Verdict::Ended(_) => "ended",
            Verdict::Failed(_) => "failed",
        }
    }

    /// Every state of the Task schema (v1_7_4) and some that are in none, under every status.
    #[test]
    fn every_state_has_one_meaning() {
        for (state, ok, critical) in [
            ("New", "going", "failed"),
            ("Starting", "going", "failed"),
            ("Running", "going", "failed"),
            ("Suspended", "asks", "failed"),
            ("Interrupted", "asks", "failed"),
            ("UserIntervention", "asks", "failed"),
            ("Pending", "going", "failed"),
            ("Stopping", "staged", "failed"),
            ("Completed", "ended", "failed"),
            ("Killed", "failed", "failed"),
            ("Exception", "failed", "failed"),
            ("Service", "going", "failed"),
            ("Cancelling", "going", "failed"),
            ("Cancelled", "failed", "failed"),
            ("Flashing it", "strange", "failed"),
        ] {
            for status in [json!(null), json!("OK"), json!("")] {
                assert_eq!(kind(&task(&json!({"TaskState": state, "TaskStatus": status}))), ok, "{state}");
            }
            assert_eq!(kind(&task(&json!({"TaskState": state, "TaskStatus": "Critical"}))), critical, "{state}");
        }
        assert_eq!(kind(&task(&json!({"TaskState": "Running", "TaskStatus": "Warning"}))), "going");
        assert_eq!(kind(&task(&json!({"TaskState": "Completed", "TaskStatus": "Warning"}))), "failed");
        assert_eq!(kind(&task(&json!({}))), "strange");
    }

    #[test]
    fn a_completed_task_may_have_failed_by_its_messages_alone() {
        let said = |severity: &str, id: &str| {
            json!({"TaskState": "Completed", "TaskStatus": "OK",
                "Messages": [{"MessageId": "X.1.0.Fine", "Severity": "OK"}, {"MessageId": id, "MessageSeverity": severity}]})
        };
        assert_eq!(kind(&task(&said("Warning", "Base.1.0.ResourceErrorsDetected"))), "failed");
        assert_eq!(kind(&task(&said("Warning", "Update.1.0.VerificationFailed"))), "failed");
        assert_eq!(kind(&task(&said("Critical", "Update.1.0.Anything"))), "failed");
        // DMTF's own mockup of a completed task warns of a read-only property.
        assert_eq!(kind(&task(&said("Warning", "Base.1.0.PropertyNotWriteable"))), "ended");
        assert_eq!(kind(&task(&said("OK", "Base.1.0.NothingFailed"))), "ended");
    }

    #[test]
    fn a_hundred_percent_is_not_the_end() {
        let Verdict::Going(step) = task(&json!({"TaskState": "Running", "PercentComplete": "100 %"})) else { panic!("an end") };
        assert_eq!(step.percent, Some(100));
    }

    #[test]
    fn the_makers_own_words_are_judged_too() {
        for (state, status, want) in [
            ("Completed", json!("OK"), "ended"),
            ("Completed", json!(null), "ended"),
            ("Completed", json!("Critical"), "failed"),
            ("CompletedWithErrors", json!("OK"), "failed"),
            ("Scheduled", json!("OK"), "staged"),
            ("Downloading", json!("OK"), "going"),
            ("Whatever", json!("OK"), "strange"),
        ] {
            assert_eq!(kind(&job(&json!({"JobState": state, "JobStatus": status, "Message": "m"}))), want, "{state}");
        }
        for (state, want) in
            [("Complete", "ended"), ("Error", "failed"), ("Verifying", "going"), ("Idle", "idle"), ("?", "strange")]
        {
            assert_eq!(kind(&service(&json!({"Oem": {"Hpe": {"State": state}}}))), want, "{state}");
        }
        assert_eq!(kind(&service(&json!({}))), "strange");
    }

    proptest! {
        #[test]
        fn anything_is_judged(value in super::super::super::json::any_json(), state in "[A-Z][a-z]{2,12}") {
            let with = json!({"TaskState": state, "JobState": state, "Messages": value, "Oem": {"Hpe": value}});
            for verdict in [task(&value), job(&value), service(&value), task(&with), job(&with), service(&with)] {
                let text = format!("{verdict:?}");
                prop_assert!(text.len() < 4_000 && !text.chars().any(char::is_control));
            }
        }
    }
}
