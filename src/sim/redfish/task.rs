//! Tasks of a BMC: a reset that is answered 202 becomes one, which ends when the power has settled; an update becomes one or two. Faults of tasks
//! (RC-38 to RC-45) are here.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::Answer;
use super::restart::manager_path;
use super::tree::{link, second};
use crate::model::PowerState;
use crate::sim::fault::BmcFault;
use crate::sim::firmware::Phase;
use crate::sim::handle::MachineHandle;

/// Where the service lives.
pub const SERVICE: &str = "/redfish/v1/TaskService";

/// Tasks that are kept; older ones are forgotten, as BMCs do (RC-40).
const KEPT: usize = 8;
/// Looks at a number that was handed out again which still see the old task (RC-42).
const MASKED: u32 = 2;
/// Unusual states, in the order of `task.state(N)` (RC-45).
const STATES: [&str; 6] = ["Stopping", "Suspended", "Service", "UserIntervention", "Pending", "New"];

/// What a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Reset,
    /// One phase of an update: looking at the image alone, or all of it.
    Update {
        number: u64,
        verify_only: bool,
    },
    /// Something that ended long ago.
    Old,
}

#[derive(Debug, Clone)]
struct Task {
    id: String,
    name: &'static str,
    about: About,
    start: Timestamp,
    /// So many looks see nothing yet (RC-39).
    late: u32,
    /// So many looks see the task that had the number before.
    masked: u32,
}

/// Tasks of one BMC. Ids start again at 0 in every life of it, as bmcweb's do (RC-42).
#[derive(Default)]
pub struct Tasks {
    made: u64,
    open: VecDeque<Task>,
    /// The start that was told last: no two tasks begin in one second.
    last: Option<Timestamp>,
    aged: bool,
}

impl Tasks {
    /// A new task for a reset; returns its path.
    pub fn start(&mut self, name: &'static str) -> String {
        self.add(name, About::Reset, 0, 0)
    }

    /// A new task for an update; returns its path.
    pub fn start_update(&mut self, machine: &MachineHandle, name: &'static str, number: u64, verify_only: bool) -> String {
        let late = machine.bends(BmcFault::TaskLate).map_or(0, |placed| placed.arg());
        let aged = self.open.iter().any(|task| task.about == About::Old && task.id == self.made.to_string());
        let about = About::Update { number, verify_only };
        // iDRAC's tasks have their jobs' names, which never come again.
        if machine.identity().profile.pushing.jobs.is_some() && !aged {
            return self.add_as(job_id(number), name, about, late, 0);
        }
        self.add(name, about, late, if aged { MASKED } else { 0 })
    }

    fn add(&mut self, name: &'static str, about: About, late: u32, masked: u32) -> String {
        let id = self.made.to_string();
        self.made += 1;
        self.add_as(id, name, about, late, masked)
    }

    fn add_as(&mut self, id: String, name: &'static str, about: About, late: u32, masked: u32) -> String {
        let updates = |task: &Task| !matches!(task.about, About::Update { .. });
        if self.open.len() >= KEPT
            && let Some(oldest) = self.open.iter().position(updates)
        {
            self.open.remove(oldest);
        }
        let least = self.last.map(|last| last + SignedDuration::from_secs(1));
        let start = least.map_or_else(Timestamp::now, |least| least.max(Timestamp::now()));
        self.last = Some(start);
        let path = format!("{SERVICE}/Tasks/{id}");
        self.open.push_back(Task { id, name, about, start, late, masked });
        path
    }

    /// What happens to the table by itself: tasks that are done or lost go, and an old one may be there from the beginning.
    fn live(&mut self, machine: &MachineHandle) {
        if !self.aged && machine.bends(BmcFault::TaskIdReuse).is_some() {
            self.aged = true;
            let start = Timestamp::now() - SignedDuration::from_hours(48);
            self.open.push_front(Task {
                id: "0".to_owned(),
                name: "Firmware Update",
                about: About::Old,
                start,
                late: 0,
                masked: 0,
            });
        }
        let reaps = machine.bends(BmcFault::TaskReaped).is_some();
        self.open.retain(|task| match phase(machine, task.about) {
            Some(Phase::Lost) => false,
            Some(Phase::Done | Phase::Failed(_)) => !reaps,
            _ => true,
        });
    }

    /// Paths of all tasks.
    pub fn paths(&mut self, machine: &MachineHandle) -> Vec<String> {
        self.live(machine);
        let mut ids: Vec<&str> = self.open.iter().filter(|task| task.late == 0).map(|task| task.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| format!("{SERVICE}/Tasks/{id}")).collect()
    }

    /// One task as a resource.
    pub fn resource(&mut self, machine: &MachineHandle, id: &str) -> Option<Value> {
        self.live(machine);
        let newest = self.open.back().map(|task| task.id.clone());
        let at = self.open.iter().rposition(|task| task.id == id)?;
        let task = self.open.get_mut(at)?;
        if task.late > 0 {
            task.late -= 1;
            return None;
        }
        if task.masked > 0 {
            task.masked -= 1;
            let old = self.open.iter().find(|task| task.about == About::Old)?;
            return Some(told(machine, old, false));
        }
        Some(told(machine, task, newest.as_deref() == Some(id)))
    }

    /// What its monitor answers (DSP0266 §12.2): 202 while it goes on. Under RC-41 the look that sees the end takes the task away.
    pub fn monitor(&mut self, machine: &MachineHandle, id: &str) -> Option<Answer> {
        let task = self.resource(machine, id)?;
        let open = !matches!(task.get("TaskState").and_then(Value::as_str), Some("Completed" | "Exception"));
        if open {
            let mut answer = Answer::ok(task).with("Location", monitor_path(id));
            answer.status = 202;
            return Some(answer);
        }
        if machine.bends(BmcFault::TaskMonitorOnce).is_some() {
            self.open.retain(|task| task.id != id);
            return Some(Answer::status(204));
        }
        Some(Answer::ok(task))
    }
}

/// Path of a task's monitor.
#[must_use]
pub fn monitor_path(id: &str) -> String {
    format!("{SERVICE}/TaskMonitors/{id}")
}

/// The job of an update, which iDRAC keeps when the task is gone (libredfish `dell.rs:138`).
#[must_use]
pub fn job(machine: &MachineHandle, at: &str) -> Option<Value> {
    let jobs = format!("{}/{}/", manager_path(machine), machine.identity().profile.pushing.jobs?);
    let id = at.strip_prefix(&jobs)?;
    let number = id.strip_prefix("JID_")?.parse::<u64>().ok()?.checked_sub(FIRST_JOB)?;
    let (phase, percent, waits) = machine.firmware(|firmware, now| {
        let update = firmware.update(number)?;
        let waits = firmware.item(&update.item).is_some_and(|item| item.staged.is_some());
        Some((update.phase.clone(), update.percent(now), waits))
    })?;
    let (state, status, message) = match phase {
        Phase::Lost => return None,
        Phase::Verifying | Phase::Waiting | Phase::Writing => ("Running", "OK", "the job is under way"),
        Phase::Done if waits => ("Scheduled", "OK", "the job waits for a restart"),
        Phase::Done => ("Completed", "OK", "the job completed"),
        Phase::Failed(why) => ("Failed", "Critical", why),
    };
    Some(json!({
        "@odata.type": "#DellJob.v1_2_0.DellJob",
        "@odata.id": at,
        "Id": id,
        "Name": "Firmware Update",
        "JobType": "FirmwareUpdate",
        "JobState": state,
        "JobStatus": status,
        "PercentComplete": percent,
        "Message": message,
    }))
}

/// The number of the first update's job.
const FIRST_JOB: u64 = 900_000_000_000;

fn job_id(number: u64) -> String {
    format!("JID_{}", FIRST_JOB + number)
}

fn phase(machine: &MachineHandle, about: About) -> Option<Phase> {
    let About::Update { number, verify_only } = about else { return None };
    machine.firmware(|firmware, _| {
        let phase = firmware.update(number)?.phase.clone();
        // Looking at the image is over when anything comes after it.
        Some(if verify_only && matches!(phase, Phase::Waiting | Phase::Writing) { Phase::Done } else { phase })
    })
}

fn told(machine: &MachineHandle, task: &Task, newest: bool) -> Value {
    let (mut state, mut status, mut percent, mut message) = ("Completed", "OK", 100, None);
    match (task.about, phase(machine, task.about)) {
        (About::Reset, _) => {
            if newest && matches!(machine.power_state(), PowerState::PoweringOn | PowerState::PoweringOff) {
                (state, percent) = ("Running", 50);
            }
        }
        (About::Update { number, .. }, Some(Phase::Verifying | Phase::Waiting | Phase::Writing)) => {
            percent = machine.firmware(|firmware, now| firmware.update(number).map_or(0, |update| update.percent(now)));
            let unusual = machine.bends(BmcFault::TaskState).and_then(|placed| STATES.get(placed.arg() as usize).copied());
            state = unusual.unwrap_or("Running");
        }
        (About::Update { number, .. }, Some(Phase::Failed(why))) => {
            let complete = machine.firmware(|firmware, _| firmware.update(number).is_some_and(|update| update.says_complete()));
            (state, status) = (if complete { "Completed" } else { "Exception" }, "Critical");
            message = Some(("Update.1.0.VerificationFailed", why, "Critical"));
        }
        (About::Update { .. }, Some(Phase::Done)) => message = Some(("Update.1.0.UpdateSuccessful", "the image was taken", "OK")),
        (About::Old, _) => message = Some(("Update.1.0.UpdateSuccessful", "an update of long ago", "OK")),
        (About::Update { .. }, Some(Phase::Lost) | None) => {}
    }
    let messages: Vec<Value> = message
        .into_iter()
        .map(|(id, text, severity)| json!({ "MessageId": id, "Message": text, "MessageArgs": [], "Severity": severity, "MessageSeverity": severity }))
        .collect();
    json!({
        "@odata.type": "#Task.v1_7_4.Task",
        "@odata.id": format!("{SERVICE}/Tasks/{}", task.id),
        "Id": task.id,
        "Name": task.name,
        "TaskState": state,
        "TaskStatus": status,
        "PercentComplete": percent,
        "StartTime": second(task.start),
        "TaskMonitor": monitor_path(&task.id),
        "Messages": messages,
    })
}

/// The service itself.
#[must_use]
pub fn service() -> Value {
    json!({
        "@odata.type": "#TaskService.v1_2_1.TaskService",
        "@odata.id": SERVICE,
        "Id": "TaskService",
        "Name": "Task Service",
        "ServiceEnabled": true,
        "Status": { "State": "Enabled", "Health": "OK" },
        "Tasks": link(format!("{SERVICE}/Tasks")),
    })
}
