//! The settings object of the system: where some BMCs want the boot override, and only there (RC-61); and the boot options that a `BootNext`
//! names (RC-60).

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::system;
use super::tree::{collection, link};
use crate::model::BootTarget;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// Path of the settings object.
#[must_use]
pub fn path(machine: &MachineHandle) -> String {
    format!("{}/{}", system::path(machine), machine.identity().profile.keeps.settings_id)
}

fn options(machine: &MachineHandle) -> String {
    format!("{}/BootOptions", system::path(machine))
}

/// What each boot option stands for.
const OPTIONS: [(&str, &str); 3] = [("Boot0001", "Hdd"), ("Boot0002", "UefiHttp"), ("Boot0003", "Pxe")];

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    if at == path(machine) {
        machine.bends(BmcFault::BiosPending)?;
        return Some(json!({
            "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
            "@odata.id": at,
            "Id": at.rsplit('/').next().unwrap_or_default(),
            "Name": "System Settings",
            "Boot": system::boot(machine),
        }));
    }
    let rest = at.strip_prefix(&options(machine))?;
    machine.bends(BmcFault::BootNextAlias)?;
    let Some(id) = rest.strip_prefix('/') else {
        return Some(collection(at, "BootOption", OPTIONS.iter().map(|(id, _)| format!("{at}/{id}"))));
    };
    let (id, alias) = OPTIONS.iter().find(|(known, _)| *known == id)?;
    Some(json!({
        "@odata.type": "#BootOption.v1_0_6.BootOption",
        "@odata.id": at,
        "Id": id,
        "Name": format!("UEFI {alias}"),
        "BootOptionReference": id,
        "BootOptionEnabled": true,
        "Alias": alias,
    }))
}

/// Changes what the system says of its boot.
pub fn complete(machine: &MachineHandle, at: &str, fields: &mut Map<String, Value>) {
    if at != system::path(machine) {
        return;
    }
    let pending = machine.bends(BmcFault::BiosPending).is_some();
    if pending {
        let settings = json!({ "@odata.type": "#Settings.v1_3_5.Settings", "SettingsObject": link(path(machine)) });
        fields.insert("@Redfish.Settings".to_owned(), settings);
    }
    let aliased = machine.bends(BmcFault::BootNextAlias).is_some();
    let held = machine.boot_override().target;
    let Some(boot) = fields.get_mut("Boot").and_then(Value::as_object_mut) else { return };
    if pending {
        // What waits is told by the settings object alone.
        boot.insert("BootSourceOverrideTarget".to_owned(), json!("None"));
        boot.insert("BootSourceOverrideEnabled".to_owned(), json!("Disabled"));
    }
    if aliased {
        boot.insert("BootOptions".to_owned(), link(options(machine)));
        if held == BootTarget::Pxe {
            boot.insert("BootSourceOverrideTarget".to_owned(), json!("UefiBootNext"));
            boot.insert("BootNext".to_owned(), json!("Boot0003"));
        }
    }
}

/// What a PATCH is answered before anything is done: the system's boot cannot be written where settings are, and nothing can while the node
/// is in self-test (RC-64).
pub fn refuses(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    let own = at == system::path(machine);
    if !own && at != path(machine) {
        return None;
    }
    if let Some(window) = machine.bends(BmcFault::PostWindow)
        && machine.is_powered()
        && machine.power_for().is_some_and(|s| s < u64::from(window.arg()))
    {
        let message = Message::new(
            "UnableToModifyDuringSystemPOST",
            "this cannot be changed while the system is in self-test",
            &[],
            "wait until self-test has ended",
        );
        return Some(Answer::error(400, &message));
    }
    if own && body.get("Boot").is_some() && machine.bends(BmcFault::BiosPending).is_some() {
        let message =
            Message::new("PropertyNotWritable", "the property Boot cannot be written here", &["Boot"], "use the settings");
        return Some(Answer::error(400, &message));
    }
    None
}
