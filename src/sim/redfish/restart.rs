//! The manager as a thing that is restarted: its reset action, its start time, and where its accounts of itself are.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::tree::{ROOT, link};
use super::{bios, media};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// How long a restart takes, in virtual seconds: 3 to 5 minutes on real BMCs (firmware.md §1.2, durations).
pub const AWAY: u32 = 200;

/// Path of the manager.
#[must_use]
pub fn manager_path(machine: &MachineHandle) -> String {
    format!("{ROOT}/Managers/{}", machine.identity().profile.manager_id)
}

fn info_path(machine: &MachineHandle) -> String {
    format!("{}/ResetActionInfo", manager_path(machine))
}

/// Path of its reset action.
#[must_use]
pub fn reset_path(machine: &MachineHandle) -> String {
    format!("{}/Actions/Manager.Reset", manager_path(machine))
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let keeps = &machine.identity().profile.keeps;
    (keeps.resets_in_info && at == info_path(machine)).then(|| {
        json!({
            "@odata.type": "#ActionInfo.v1_1_2.ActionInfo",
            "@odata.id": at,
            "Id": "ResetActionInfo",
            "Name": "Reset Action Info",
            "Parameters": [
                { "Name": "ResetType", "Required": true, "DataType": "String", "AllowableValues": keeps.manager_resets },
            ],
        })
    })
}

/// What the manager says of its media, its restart and its jobs.
pub fn add_to_manager(machine: &MachineHandle, value: &mut Map<String, Value>) {
    let keeps = &machine.identity().profile.keeps;
    let mut reset = json!({ "target": reset_path(machine) });
    if let Some(reset) = reset.as_object_mut() {
        if keeps.resets_in_info {
            reset.insert("@Redfish.ActionInfo".to_owned(), json!(info_path(machine)));
        } else {
            reset.insert("ResetType@Redfish.AllowableValues".to_owned(), json!(keeps.manager_resets));
        }
    }
    if let Some(actions) = value.entry("Actions").or_insert_with(|| json!({})).as_object_mut() {
        actions.insert("#Manager.Reset".to_owned(), reset);
    }
    if !keeps.last_reset {
        value.remove("LastResetTime");
    }
    if media::path(machine).starts_with(&manager_path(machine)) {
        value.insert("VirtualMedia".to_owned(), media::link_of(machine));
    }
    value.insert("NetworkProtocol".to_owned(), link(format!("{}/NetworkProtocol", manager_path(machine))));
    if bios::needs_job(machine)
        && let Some(links) = value.get_mut("Links").and_then(Value::as_object_mut)
    {
        links.insert("Oem".to_owned(), json!({ "Dell": { "Jobs": link(bios::jobs_path(machine)) } }));
    }
}

/// Restarts the BMC.
pub fn reset(machine: &MachineHandle, body: &Value) -> Answer {
    let kind = body.get("ResetType").and_then(Value::as_str).unwrap_or_default();
    if !machine.identity().profile.keeps.manager_resets.contains(&kind) {
        let shown: String = kind.chars().take(80).collect();
        let message = Message::new(
            "ActionParameterValueNotInList",
            format!("the value {shown} of ResetType is not in the list of acceptable values"),
            &[&shown, "ResetType", "Manager.Reset"],
            "choose a value from the list",
        );
        return Answer::error(400, &message);
    }
    if machine.bends(BmcFault::BmcFakeReset).is_none() {
        machine.restart_bmc(AWAY);
    }
    Answer::status(204)
}
