//! The makers' own actions that take a node's standby power away and give it back (RC-59). What really happens is the machine's.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::system;
use super::tree::ROOT;
use crate::model::PowerState;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::profile::Mains;

/// How long a BMC is away when its own power was gone, in virtual seconds (firmware.md §1.2: 3–5 min until it answers).
const AWAY: u32 = 240;

fn owner(machine: &MachineHandle, mains: &Mains) -> String {
    match mains.on_chassis {
        true => format!("{ROOT}/Chassis/{}", machine.identity().profile.chassis_id),
        false => system::path(machine),
    }
}

fn target(machine: &MachineHandle, mains: &Mains) -> String {
    format!("{}/Actions/Oem/{}", owner(machine, mains), mains.action)
}

/// Adds the action to the resource that offers it.
pub fn complete(machine: &MachineHandle, at: &str, fields: &mut Map<String, Value>) {
    let Some(mains) = &machine.identity().profile.mains else { return };
    if at != owner(machine, mains) {
        return;
    }
    let actions = fields.entry("Actions").or_insert_with(|| json!({}));
    if let Some(actions) = actions.as_object_mut() {
        let offered = json!({ "target": target(machine, mains), "ResetType@Redfish.AllowableValues": [mains.kind] });
        actions.insert("Oem".to_owned(), json!({ format!("#{}", mains.action): offered }));
    }
}

/// POST to the action; `None` when the path is another.
pub fn post(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    let mains = machine.identity().profile.mains.as_ref()?;
    if at != target(machine, mains) {
        return None;
    }
    if body.get("ResetType").and_then(Value::as_str) != Some(mains.kind) {
        let message =
            Message::new("ActionParameterValueNotInList", "ResetType is missing or is another", &["ResetType"], "read the list");
        return Some(Answer::error(400, &message));
    }
    let off = machine.power_state() == PowerState::Off;
    if mains.host_off && !off {
        let message = Message::new("ChassisPowerStateOffRequired", "the chassis must be off", &[], "power it off");
        return Some(Answer::error(400, &message));
    }
    if machine.strikes(BmcFault::PowerFakeAc).is_none() {
        // What the request asks for, else as it was.
        let back_on = body.get("FinalPowerState").and_then(Value::as_str).map_or(!off, |state| state == "On");
        machine.mains(AWAY, back_on);
    }
    Some(Answer::status(204))
}
