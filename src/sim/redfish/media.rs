//! Virtual media as a BMC shows them: under its manager or under the system, with actions or without, and late in telling what is in.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::tree::{collection, link};
use super::{restart, system};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::media::Drive;

/// How late `Inserted` is under `vm.stale`, and how long an eject goes on under `vm.eject_5xx`, in virtual seconds.
const LATE: u32 = 60;

/// Path of the collection.
#[must_use]
pub fn path(machine: &MachineHandle) -> String {
    let at_system = machine.identity().profile.keeps.media_at_system || machine.bends(BmcFault::VmSystem).is_some();
    format!("{}/VirtualMedia", if at_system { system::path(machine) } else { restart::manager_path(machine) })
}

fn drives(machine: &MachineHandle) -> Vec<Drive> {
    let mut drives = machine.media(|media| media.drives.clone());
    for drive in drives.iter_mut().filter(|d| d.types.contains(&"CD")) {
        if machine.bends(BmcFault::VmUsbCd).is_some() {
            (drive.id, drive.types) = ("UsbCd", &["UsbCd"]);
        }
    }
    if machine.bends(BmcFault::VmNoCd).is_some() {
        drives.retain(|d| d.types.contains(&"USBStick"));
    }
    drives
}

/// The id under which the automaton keeps a drive.
fn kept(id: &str) -> &str {
    if id == "UsbCd" { "CD1" } else { id }
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let base = path(machine);
    match at.strip_prefix(&base)?.strip_prefix('/') {
        None if at == base => Some(collection(at, "VirtualMedia", drives(machine).iter().map(|d| format!("{base}/{}", d.id)))),
        None => None,
        Some(id) => drives(machine).iter().find(|d| d.id == id).map(|drive| one(machine, at, drive)),
    }
}

fn one(machine: &MachineHandle, at: &str, drive: &Drive) -> Value {
    let now = machine.clock().now();
    let late = machine.bends(BmcFault::VmStale).is_some() && drive.changed.is_some_and(|at| now < at.after_s(LATE));
    let full = drive.image.is_some();
    let mut actions = Map::new();
    if machine.bends(BmcFault::VmPatchOnly).is_none() {
        actions.insert(
            "#VirtualMedia.InsertMedia".to_owned(),
            json!({ "target": format!("{at}/Actions/VirtualMedia.InsertMedia") }),
        );
        if full || machine.identity().profile.keeps.eject_always {
            actions.insert(
                "#VirtualMedia.EjectMedia".to_owned(),
                json!({ "target": format!("{at}/Actions/VirtualMedia.EjectMedia") }),
            );
        }
    }
    json!({
        "@odata.type": "#VirtualMedia.v1_4_0.VirtualMedia",
        "@odata.id": at,
        "Id": drive.id,
        "Name": format!("Virtual media {}", drive.id),
        "MediaTypes": drive.types,
        "Image": drive.image,
        "ImageName": drive.image.as_deref().and_then(|image| image.rsplit('/').next()),
        "Inserted": full != late,
        "ConnectedVia": if full && !late { "URI" } else { "NotConnected" },
        "WriteProtected": drive.write_protected,
        "UserName": null,
        "Password": null,
        "Actions": actions,
    })
}

fn refuse(status: u16, id: &'static str, text: &str, args: &[&str]) -> Answer {
    Answer::error(status, &Message::new(id, text, args, "look at the drive and try again"))
}

/// An action on a drive.
#[must_use]
pub fn post(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    let base = path(machine);
    let (id, action) = at.strip_prefix(&base)?.strip_prefix('/')?.split_once("/Actions/")?;
    let drive = drives(machine).into_iter().find(|d| d.id == id)?;
    if machine.bends(BmcFault::VmPatchOnly).is_some() {
        return None;
    }
    match action {
        "VirtualMedia.InsertMedia" => Some(insert(machine, &drive, body, false)),
        "VirtualMedia.EjectMedia" => Some(eject(machine, &drive)),
        _ => None,
    }
}

/// PATCH of a drive: `Image` and `Inserted` put in or take out, where that is the way.
pub fn patch(machine: &MachineHandle, at: &str, body: &Value) -> Answer {
    let id = at.rsplit('/').next().unwrap_or_default();
    let Some(drive) = drives(machine).into_iter().find(|d| d.id == id) else { return Answer::error(404, &Message::missing(at)) };
    let out = body.get("Inserted") == Some(&Value::Bool(false)) || body.get("Image") == Some(&Value::Null);
    if machine.bends(BmcFault::VmPatchOnly).is_none() && (!out || machine.identity().profile.keeps.eject_always) {
        return refuse(405, "OperationNotAllowed", "the drive is changed by its actions", &[]);
    }
    if out { eject(machine, &drive) } else { insert(machine, &drive, body, true) }
}

fn insert(machine: &MachineHandle, drive: &Drive, body: &Value, by_patch: bool) -> Answer {
    let now = machine.clock().now();
    if machine.bends(BmcFault::VmEject5xx).is_some()
        && machine.media(|media| media.ejected).is_some_and(|at| now < at.after_s(LATE))
    {
        return refuse(503, "ServiceTemporarilyUnavailable", "the eject before is still going on", &["1"]);
    }
    let Some(image) = body.get("Image").and_then(Value::as_str) else {
        return refuse(400, "ActionParameterMissing", "InsertMedia needs the parameter Image", &["InsertMedia", "Image"]);
    };
    let empty = Map::new();
    let given = body.as_object().unwrap_or(&empty);
    let known = ["Image", "Inserted", "WriteProtected", "UserName", "Password", "TransferMethod", "TransferProtocolType"];
    let alone = machine.bends(BmcFault::VmPayload).is_some();
    if let Some(other) = given.keys().find(|key| !known.contains(&key.as_str()) || (alone && *key != "Image")) {
        let shown: String = other.chars().take(40).collect();
        return refuse(
            400,
            "ActionParameterNotSupported",
            &format!("the parameter {shown} is not supported"),
            &[&shown, "InsertMedia"],
        );
    }
    if machine.bends(BmcFault::VmCreds).is_some() {
        for key in ["UserName", "Password"] {
            if given.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
                return refuse(
                    400,
                    "ActionParameterMissing",
                    &format!("InsertMedia needs the parameter {key}"),
                    &["InsertMedia", key],
                );
            }
        }
    }
    let write_protected = given.get("WriteProtected").and_then(Value::as_bool).unwrap_or(true);
    if !machine.media(|media| media.insert(now, kept(drive.id), image, write_protected)) {
        return refuse(409, "ResourceInUse", "something is in the drive", &[]);
    }
    if by_patch { Answer::error(200, &Message::success()) } else { Answer::status(204) }
}

fn eject(machine: &MachineHandle, drive: &Drive) -> Answer {
    let now = machine.clock().now();
    if machine.media(|media| media.eject(now, kept(drive.id))) {
        Answer::status(204)
    } else {
        refuse(400, "ActionNotSupported", "nothing is in the drive", &["EjectMedia"])
    }
}

/// Where the system, and its manager, say that the drives are.
#[must_use]
pub fn link_of(machine: &MachineHandle) -> Value {
    link(path(machine))
}

/// True when the system names them: it has them itself, or it names the manager's (Supermicro).
#[must_use]
pub fn system_links(machine: &MachineHandle) -> bool {
    path(machine).starts_with(&system::path(machine)) || !machine.identity().profile.keeps.eject_always
}
