//! The event logs of a BMC: what happened to the node in its hardware event log, what happened to the BMC in the manager's own. Worded, ordered and paged
//! as each maker does.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::tree::{collection, link, second, well};
use super::{accelerator, restart, system};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::history::{Happening, Trouble, What};
use crate::sim::profile::LogWords;
use crate::sim::system::Origin;

/// How many entries a BMC says that its log can hold.
const ROOM: u32 = 1_024;

/// What an entry says.
pub struct Told {
    /// `OK`, `Warning` or `Critical`.
    pub severity: &'static str,
    /// A sentence.
    pub text: String,
    /// Its message in the registry of this simulator.
    pub id: &'static str,
    /// Vendor's code of it.
    code: &'static str,
    sensor: (&'static str, u32),
    /// The resource that it is about.
    pub origin: String,
}

/// Words for what happened.
#[must_use]
pub fn told(machine: &MachineHandle, what: &What) -> Told {
    let system = system::path(machine);
    let of = |severity, id, code, sensor: &'static str, number, text: String| Told {
        severity,
        text,
        id,
        code,
        sensor: (sensor, number),
        origin: system.clone(),
    };
    match what {
        What::Cleared => {
            of("OK", "LogCleared", "SEL-0001", "Event Logging Disabled", 129, "The event log was cleared".to_owned())
        }
        What::PowerOn => of("OK", "PowerOn", "PWR-0001", "System ACPI PowerState", 112, "The power came on".to_owned()),
        What::PowerOff => of("OK", "PowerOff", "PWR-0002", "System ACPI PowerState", 112, "The power went off".to_owned()),
        What::NetworkBootFailed(why) => {
            let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
            of("Warning", "NetworkBootFailed", "BOOT-0003", "Boot Error", 113, format!("Network boot failed; {why}"))
        }
        What::Boot(from) => {
            let from = if *from == Origin::Network { "the network" } else { "disk" };
            of("OK", "SystemBoot", "BOOT-0001", "SystemBoot/Restart", 114, format!("A system was loaded from {from}"))
        }
        What::Up => {
            of("OK", "SystemUp", "BOOT-0002", "BaseOSBoot/InstallationStatus", 115, "The operating system is up".to_owned())
        }
        What::Accelerator(slot, trouble) => {
            let number = slot + 1;
            let (severity, id, code, text) = match trouble {
                Trouble::Missing => ("Critical", "AcceleratorMissing", "GPU-0001", "was not found by self-test".to_owned()),
                Trouble::NarrowLink(lanes) => {
                    ("Warning", "LinkDegraded", "GPU-0002", format!("has a link of {lanes} lanes instead of 16"))
                }
                Trouble::Uncorrectable(count) => {
                    ("Critical", "UncorrectableErrors", "GPU-0003", format!("has {count} uncorrectable memory errors"))
                }
                Trouble::RemapPending => {
                    ("Warning", "RemapPending", "GPU-0004", "needs a reset to remap a memory row".to_owned())
                }
                Trouble::RemapFailure => ("Critical", "RemapFailure", "GPU-0005", "has no spare memory row left".to_owned()),
                Trouble::Hot(celsius) => {
                    ("Critical", "TemperatureAboveLimit", "GPU-0006", format!("is at {celsius} degrees Celsius"))
                }
            };
            let mut told = of(severity, id, code, "Add-in Card", 160 + slot, format!("Accelerator {number} {text}"));
            if let Some(origin) = accelerator::path(machine, *slot) {
                told.origin = origin;
            }
            told
        }
    }
}

/// Message id of the simulator's own registry.
#[must_use]
pub fn message_id(told: &Told) -> String {
    format!("SimEvents.1.0.{}", told.id)
}

/// The services' collections and their logs: owner's path, id, name, and whether it is the hardware's.
fn services(machine: &MachineHandle) -> [(String, &'static str, &'static str, bool); 2] {
    let senses = &machine.identity().profile.senses;
    let owner = if senses.log_at_system { system::path(machine) } else { restart::manager_path(machine) };
    [
        (format!("{owner}/LogServices"), senses.log.0, senses.log.1, true),
        (format!("{}/LogServices", restart::manager_path(machine)), senses.manager_log.0, senses.manager_log.1, false),
    ]
}

/// Path of the hardware event log.
#[must_use]
pub fn path(machine: &MachineHandle) -> String {
    let [(owner, id, ..), _] = services(machine);
    format!("{owner}/{id}")
}

/// Adds the link to an owner.
pub fn add_to(machine: &MachineHandle, at: &str, value: &mut Map<String, Value>) {
    let services_at = format!("{at}/LogServices");
    if services(machine).iter().any(|(owner, ..)| *owner == services_at) {
        value.insert("LogServices".to_owned(), link(services_at));
    }
}

/// The resource at a path, when it is one of this file's. Entries come as their first page.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let services = services(machine);
    if services.iter().any(|(owner, ..)| owner == at) {
        return Some(collection(
            at,
            "LogService",
            services.iter().filter(|(o, ..)| o == at).map(|(_, id, ..)| format!("{at}/{id}")),
        ));
    }
    for (owner, id, name, hardware) in services {
        let service = format!("{owner}/{id}");
        let Some(rest) = at.strip_prefix(&service) else { continue };
        match rest {
            "" => return Some(log_service(at, id, name, hardware)),
            "/Entries" => return Some(page(machine, at, hardware, 0)),
            rest => {
                let Some(entry) = rest.strip_prefix("/Entries/") else { continue };
                let found = entries(machine, &format!("{service}/Entries"), hardware);
                return found.into_iter().find(|found| found.get("Id").and_then(Value::as_str) == Some(entry));
            }
        }
    }
    None
}

/// A page of entries by its query; `None`: another path, or another query.
#[must_use]
pub fn paged(machine: &MachineHandle, at: &str, query: &str) -> Option<Value> {
    let skip = query.strip_prefix("$skip=")?.parse().ok()?;
    // The fault that pages every collection skips by itself.
    if machine.bends(BmcFault::CollPaged).is_some() || machine.bends(BmcFault::CollLoop).is_some() {
        return None;
    }
    let (.., hardware) = services(machine).into_iter().find(|(owner, id, ..)| at == format!("{owner}/{id}/Entries"))?;
    Some(page(machine, at, hardware, skip))
}

fn log_service(at: &str, id: &str, name: &str, hardware: bool) -> Value {
    let mut value = json!({
        "@odata.type": "#LogService.v1_3_0.LogService",
        "@odata.id": at,
        "Id": id,
        "Name": name,
        "LogEntryType": if hardware { "SEL" } else { "OEM" },
        "MaxNumberOfRecords": ROOM,
        "OverWritePolicy": "WrapsWhenFull",
        "DateTime": second(jiff::Timestamp::now()),
        "DateTimeLocalOffset": "+00:00",
        "ServiceEnabled": true,
        "Status": well(),
        "Entries": link(format!("{at}/Entries")),
    });
    if hardware && let Some(fields) = value.as_object_mut() {
        fields.insert("Actions".to_owned(), json!({ "#LogService.ClearLog": { "target": clear_path(at) } }));
    }
    value
}

fn clear_path(service: &str) -> String {
    format!("{service}/Actions/LogService.ClearLog")
}

fn page(machine: &MachineHandle, at: &str, hardware: bool, skip: usize) -> Value {
    let senses = &machine.identity().profile.senses;
    let all = entries(machine, at, hardware);
    let (count, most) = (all.len(), senses.page);
    let whole = machine.bends(BmcFault::CollPaged).is_some() || machine.bends(BmcFault::CollLoop).is_some();
    let members: Vec<Value> = if whole { all } else { all.into_iter().skip(skip).take(most).collect() };
    let mut value = collection(at, "LogEntry", []);
    if let Some(fields) = value.as_object_mut() {
        if skip + members.len() < count {
            fields.insert("Members@odata.nextLink".to_owned(), json!(format!("{at}?$skip={}", skip + members.len())));
        }
        fields.insert("Members@odata.count".to_owned(), json!(count));
        fields.insert("Members".to_owned(), Value::Array(members));
    }
    value
}

/// All entries of a log, in its maker's order.
fn entries(machine: &MachineHandle, at: &str, hardware: bool) -> Vec<Value> {
    if !hardware {
        return vec![json!({
            "@odata.type": "#LogEntry.v1_15_0.LogEntry",
            "@odata.id": format!("{at}/{}", machine.bmc_restarts() + 1),
            "Id": (machine.bmc_restarts() + 1).to_string(),
            "Name": "Log Entry",
            "EntryType": "Oem",
            "OemRecordFormat": "Sim",
            "Created": second(machine.bmc_started()),
            "Severity": "OK",
            "Message": "The BMC has started",
            "MessageId": "SimEvents.1.0.BmcStarted",
            "MessageArgs": [],
        })];
    }
    let mut all: Vec<Value> = machine.history().iter().map(|happening| entry(machine, at, happening)).collect();
    if machine.identity().profile.senses.newest_first {
        all.reverse();
    }
    all
}

fn entry(machine: &MachineHandle, at: &str, happening: &Happening) -> Value {
    let told = told(machine, &happening.what);
    let created = second(machine.moment(happening.at));
    let (sensor, number) = told.sensor;
    let message = match machine.identity().profile.senses.words {
        LogWords::Plain => told.text.clone(),
        LogWords::Coded => format!("[{}] {}", told.code, told.text),
        LogWords::Raw => format!(
            "Event_Data_1 : 0, Record_Type : system event record, Sensor_Number : {number}, Event_Dir : Assertion event, \
             Event_Data_2 : 255, Timestamp : {created}, EvM_Rev : IPMI v2.0 Event Messages, Generator_ID : 0x2000, \
             Event_Data_3 : 255, Event_Type : {}, Record_ID : {}, Sensor_Type : {sensor}, ",
            told.text.replace(',', ";"),
            happening.number
        ),
    };
    json!({
        "@odata.type": "#LogEntry.v1_15_0.LogEntry",
        "@odata.id": format!("{at}/{}", happening.number),
        "Id": happening.number.to_string(),
        "Name": format!("Log Entry {}", happening.number),
        "EntryType": "SEL",
        "EntryCode": "Assert",
        "SensorType": sensor,
        "SensorNumber": number,
        "Created": created,
        "Severity": told.severity,
        "Message": message,
        "MessageId": message_id(&told),
        "MessageArgs": [],
        "Links": { "OriginOfCondition": link(told.origin) },
    })
}

/// Clears the hardware event log; `None` when the path is another.
#[must_use]
pub fn post(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    if at != clear_path(&path(machine)) {
        return None;
    }
    if let Some(name) = body.as_object().and_then(|fields| fields.keys().next()) {
        let message = Message::new(
            "ActionParameterUnknown",
            format!("the action ClearLog does not know the parameter {name}"),
            &["ClearLog", name],
            "leave the parameter out",
        );
        return Some(Answer::error(400, &message));
    }
    machine.clear_history();
    Some(match machine.identity().profile.reset_status {
        200 => Answer::error(200, &Message::success()),
        _ => Answer::status(204),
    })
}
