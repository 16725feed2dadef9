//! The one `ComputerSystem` of a BMC: how it reads, how its boot override is patched, how its power is reset.

use serde_json::{Value, json};

use super::answer::{Answer, Message};
use super::tree::{ROOT, link, power_word, second, well};
use super::update;
use crate::model::{BootMode, BootOverride, BootTarget, PowerState, PowerVerb};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::machine::Stage;

/// Path of the system.
#[must_use]
pub fn path(machine: &MachineHandle) -> String {
    format!("{ROOT}/Systems/{}", machine.identity().profile.system_id)
}

/// Path of its reset action.
#[must_use]
pub fn reset_path(machine: &MachineHandle) -> String {
    format!("{}/Actions/ComputerSystem.Reset", path(machine))
}

/// The system as it is now.
#[must_use]
pub fn resource(machine: &MachineHandle) -> Value {
    let id = machine.identity();
    let path = path(machine);
    let power = machine.power_state();
    let mut reset = json!({ "target": reset_path(machine) });
    let (key, types) = match machine.bends(BmcFault::PowerTypes) {
        None => ("ResetType@Redfish.AllowableValues", json!(reset_types(machine))),
        Some(_) => ("@Redfish.ActionInfo", json!(info_path(machine))),
    };
    if let Some(fields) = reset.as_object_mut() {
        fields.insert(key.to_owned(), types);
    }
    let mut system = json!({
        "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
        "@odata.id": path,
        "Id": id.profile.system_id,
        "Name": "System",
        "SystemType": "Physical",
        "Manufacturer": id.profile.manufacturer,
        "Model": id.profile.model,
        "SerialNumber": id.serial,
        "SKU": id.serial,
        "UUID": id.uuid,
        "HostName": "",
        "BiosVersion": update::bios_version(machine),
        "PowerState": power_word(power),
        "BootProgress": { "LastState": progress(&machine.stage()) },
        "Boot": boot(machine),
        "Status": if power == PowerState::Off { json!({ "State": "Disabled", "Health": "OK" }) } else { well() },
        "EthernetInterfaces": link(format!("{path}/EthernetInterfaces")),
        "Links": {
            "Chassis": [link(format!("{ROOT}/Chassis/{}", id.profile.chassis_id))],
            "ManagedBy": [link(format!("{ROOT}/Managers/{}", id.profile.manager_id))],
        },
        "Actions": { "#ComputerSystem.Reset": reset },
    });
    if let (Some(fields), Some(started)) = (system.as_object_mut(), machine.host_started()) {
        fields.insert("LastResetTime".to_owned(), json!(second(started)));
    }
    system
}

/// Where the allowable values of the reset stand when they do not stand in the action (RC-58).
#[must_use]
pub fn info_path(machine: &MachineHandle) -> String {
    format!("{}/ResetActionInfo", path(machine))
}

/// That resource.
#[must_use]
pub fn info(machine: &MachineHandle) -> Option<Value> {
    machine.bends(BmcFault::PowerTypes)?;
    Some(json!({
        "@odata.type": "#ActionInfo.v1_4_2.ActionInfo",
        "@odata.id": info_path(machine),
        "Id": "ResetActionInfo",
        "Name": "Reset Action Info",
        "Parameters": [
            { "Name": "ResetType", "Required": true, "DataType": "String", "AllowableValues": reset_types(machine) },
        ],
    }))
}

fn reset_types(machine: &MachineHandle) -> Vec<&'static str> {
    let all = machine.identity().profile.reset_types;
    let fewer = machine.bends(BmcFault::PowerTypes).is_some();
    all.iter().copied().filter(|kind| !fewer || !matches!(*kind, "ForceRestart" | "PowerCycle" | "Nmi")).collect()
}

fn progress(stage: &Stage) -> &'static str {
    match stage {
        Stage::Off => "None",
        Stage::Post => "PCIResourceConfigStarted",
        Stage::Rom { .. } | Stage::DiskLoader => "SystemHardwareInitializationComplete",
        Stage::Kernel | Stage::Starting => "OSBootStarted",
        // A machine that hangs tells nothing new.
        Stage::Up | Stage::Stopping | Stage::Hung => "OSRunning",
    }
}

fn target_word(target: BootTarget) -> &'static str {
    match target {
        BootTarget::None => "None",
        BootTarget::Pxe => "Pxe",
        BootTarget::UefiHttp => "UefiHttp",
        BootTarget::Disk => "Hdd",
        BootTarget::Cd => "Cd",
        BootTarget::Setup => "BiosSetup",
    }
}

const TARGETS: [BootTarget; 6] =
    [BootTarget::None, BootTarget::Pxe, BootTarget::UefiHttp, BootTarget::Disk, BootTarget::Cd, BootTarget::Setup];

fn targets(machine: &MachineHandle) -> Vec<&'static str> {
    let http = machine.identity().profile.http_boot;
    TARGETS.into_iter().filter(|t| http || *t != BootTarget::UefiHttp).map(target_word).collect()
}

/// What the BMC says of the boot override.
#[must_use]
pub fn boot(machine: &MachineHandle) -> Value {
    let boot = machine.boot_override();
    let enabled = match (boot.target, boot.once) {
        (BootTarget::None, _) => "Disabled",
        (_, true) => "Once",
        (_, false) => "Continuous",
    };
    let mut value = json!({
        "BootSourceOverrideTarget": target_word(boot.target),
        "BootSourceOverrideTarget@Redfish.AllowableValues": targets(machine),
        "BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideMode": if boot.mode == Some(BootMode::Legacy) { "Legacy" } else { "UEFI" },
        "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
        "BootOrder": ["Boot0001", "Boot0002"],
    });
    if machine.identity().profile.http_boot
        && let Some(map) = value.as_object_mut()
    {
        map.insert("HttpBootUri".to_owned(), boot.http_uri.map_or(Value::Null, Value::String));
    }
    value
}

/// Changes the boot override; nothing else can be patched.
pub fn patch(machine: &MachineHandle, body: &Value) -> Answer {
    let Some(map) = body.as_object() else { return Answer::error(400, &Message::malformed()) };
    if let Some(name) = map.keys().find(|name| *name != "Boot" && !name.starts_with("@odata.")) {
        let known = resource(machine).get(name).is_some();
        let (id, says) = if known { ("PropertyNotWritable", "cannot be written") } else { ("PropertyUnknown", "is not known") };
        let message = Message::new(id, format!("the property {name} {says}"), &[name], "leave the property out");
        return Answer::error(400, &message);
    }
    let Some(wanted) = map.get("Boot").and_then(Value::as_object) else {
        let message = Message::new("PropertyMissing", "the property Boot is required", &["Boot"], "add the property");
        return Answer::error(400, &message);
    };
    match changed(machine, wanted) {
        Ok(boot) => {
            // RC-60: what comes without a mode is taken and forgotten.
            let dropped = !wanted.contains_key("BootSourceOverrideMode")
                && boot.target != BootTarget::None
                && machine.bends(BmcFault::BootModeRequired).is_some();
            if !dropped {
                machine.set_boot_override(boot);
            }
            Answer::ok(resource(machine))
        }
        Err(answer) => *answer,
    }
}

fn changed(machine: &MachineHandle, wanted: &serde_json::Map<String, Value>) -> Result<BootOverride, Box<Answer>> {
    let refuse = |name: &str, value: &Value| {
        let shown: String = value.to_string().chars().take(80).collect();
        let text = format!("the value {shown} is not in the list of acceptable values of {name}");
        let message = Message::new("PropertyValueNotInList", text, &[&shown, name], "choose a value from the list");
        Box::new(Answer::error(400, &message))
    };
    let mut boot = machine.boot_override();
    let was_disabled = boot.target == BootTarget::None;
    let mut enabled = None;
    for (name, value) in wanted {
        let word = value.as_str();
        match name.as_str() {
            "BootSourceOverrideTarget" => {
                let known = targets(machine);
                let target = TARGETS.into_iter().find(|t| Some(target_word(*t)) == word);
                boot.target = target.filter(|t| known.contains(&target_word(*t))).ok_or_else(|| refuse(name, value))?;
            }
            "BootSourceOverrideEnabled" => match word {
                Some("Continuous") if machine.bends(BmcFault::BootOnceOnly).is_some() => return Err(refuse(name, value)),
                Some(word @ ("Once" | "Continuous" | "Disabled")) => enabled = Some(word),
                _ => return Err(refuse(name, value)),
            },
            "BootSourceOverrideMode" => match word {
                Some("UEFI") => boot.mode = Some(BootMode::Uefi),
                Some("Legacy") => boot.mode = Some(BootMode::Legacy),
                _ => return Err(refuse(name, value)),
            },
            "HttpBootUri" if machine.identity().profile.http_boot => match (value, word) {
                (Value::Null, _) | (_, Some("")) => boot.http_uri = None,
                (_, Some(uri)) => boot.http_uri = Some(uri.chars().take(2048).collect()),
                _ => return Err(refuse(name, value)),
            },
            _ => {
                let message = Message::new(
                    "PropertyUnknown",
                    format!("the property {name} is not known"),
                    &[name],
                    "leave the property out",
                );
                return Err(Box::new(Answer::error(400, &message)));
            }
        }
    }
    match enabled {
        Some("Disabled") => boot.target = BootTarget::None,
        Some(word) => boot.once = word == "Once",
        None if was_disabled => boot.once = true,
        None => {}
    }
    if boot.target == BootTarget::None {
        // The mode stays as it was set: it tells how the firmware boots, override or not.
        boot = BootOverride { mode: boot.mode, ..BootOverride::none() };
    }
    Ok(boot)
}

/// Resets the power. 409 is what many BMCs say to a reset that the power state forbids (RC-32).
pub fn reset(machine: &MachineHandle, body: &Value) -> Answer {
    let Some(kind) = body.get("ResetType").and_then(Value::as_str) else {
        let message = Message::new(
            "ActionParameterMissing",
            "the action Reset needs the parameter ResetType",
            &["Reset", "ResetType"],
            "add the parameter and try again",
        );
        return Answer::error(400, &message);
    };
    let profile = machine.identity().profile;
    if !reset_types(machine).contains(&kind) {
        let shown: String = kind.chars().take(80).collect();
        let message = Message::new(
            "ActionParameterValueNotInList",
            format!("the value {shown} of ResetType is not in the list of acceptable values"),
            &[&shown, "ResetType", "Reset"],
            "choose a value from the list",
        );
        return Answer::error(400, &message);
    }
    let on = machine.power_state() != PowerState::Off;
    let conflict = match kind {
        "On" | "ForceOn" => on,
        "PushPowerButton" => false,
        _ => !on,
    };
    if conflict && profile.conflict_409 {
        let message = Message::new(
            "ResourceInUse",
            format!("ResetType {kind} cannot be done in the present power state"),
            &[],
            "read the power state",
        );
        return Answer::error(409, &message);
    }
    if !on
        && matches!(kind, "On" | "ForceOn" | "PushPowerButton")
        && let Some(refuses) = machine.bends(BmcFault::Power409)
        && machine.power_for().is_some_and(|s| s < u64::from(refuses.arg()))
    {
        let message = Message::new("ResourceInUse", "the power was turned off a moment ago", &[], "try again later");
        return Answer::error(409, &message);
    }
    match kind {
        "On" | "ForceOn" => machine.power(PowerVerb::On),
        "ForceOff" => machine.power(PowerVerb::Off),
        "GracefulShutdown" => machine.power(PowerVerb::Graceful),
        "PushPowerButton" if on => machine.power(PowerVerb::Graceful),
        "PushPowerButton" => machine.power(PowerVerb::On),
        "Nmi" => machine.power(PowerVerb::Nmi),
        "ForceRestart" if machine.bends(BmcFault::PowerHang).is_some() => machine.hang(),
        "ForceRestart" => machine.power(PowerVerb::Reset),
        "GracefulRestart" => machine.power(PowerVerb::Restart),
        _ => machine.power(PowerVerb::Cycle),
    }
    match profile.reset_status {
        204 => Answer::status(204),
        status => {
            let mut answer = Answer::error(200, &Message::success());
            answer.status = status;
            answer
        }
    }
}
