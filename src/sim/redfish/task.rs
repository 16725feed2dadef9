//! Tasks of a BMC that answers 202: a reset becomes a task, which ends when the power has settled.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::tree::link;
use crate::model::PowerState;
use crate::sim::handle::MachineHandle;

/// Where the service lives.
pub const SERVICE: &str = "/redfish/v1/TaskService";

/// Tasks that are kept; older ones are forgotten, as BMCs do (RC-40).
const KEPT: usize = 8;

/// Tasks of one BMC. Ids start again at 0 in every process, as after a BMC reboot (RC-42).
#[derive(Default)]
pub struct Tasks {
    made: u64,
    open: VecDeque<(u64, &'static str)>,
}

impl Tasks {
    /// A new task; returns its path.
    pub fn start(&mut self, name: &'static str) -> String {
        let id = self.made;
        self.made += 1;
        if self.open.len() == KEPT {
            self.open.pop_front();
        }
        self.open.push_back((id, name));
        format!("{SERVICE}/Tasks/{id}")
    }

    /// Paths of all tasks.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.open.iter().map(|(id, _)| format!("{SERVICE}/Tasks/{id}"))
    }

    /// One task as a resource.
    #[must_use]
    pub fn resource(&self, machine: &MachineHandle, id: &str) -> Option<Value> {
        let (number, name) = self.open.iter().find(|(n, _)| n.to_string() == id)?;
        let newest = self.open.back().is_some_and(|(n, _)| n == number);
        let settling = matches!(machine.power_state(), PowerState::PoweringOn | PowerState::PoweringOff);
        let running = newest && settling;
        Some(json!({
            "@odata.type": "#Task.v1_7_4.Task",
            "@odata.id": format!("{SERVICE}/Tasks/{number}"),
            "Id": number.to_string(),
            "Name": name,
            "TaskState": if running { "Running" } else { "Completed" },
            "TaskStatus": "OK",
            "PercentComplete": if running { 50 } else { 100 },
            "Messages": [],
        }))
    }
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
