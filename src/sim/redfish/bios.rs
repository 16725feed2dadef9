//! BIOS settings as a BMC shows them: those in force, the settings object with those that wait, the attribute registry, and the vendor's jobs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::{Answer, Message};
use super::tree::{ROOT, collection, link};
use super::{restart, system};
use crate::sim::bios::{ATTRIBUTES, Attribute, Refusal, Takes};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::profile::PendingForm;

const REGISTRIES: &str = "/redfish/v1/Registries";

/// Path of the settings in force.
#[must_use]
pub fn path(machine: &MachineHandle) -> String {
    format!("{}/Bios", system::path(machine))
}

/// Path of those that wait.
#[must_use]
pub fn settings_path(machine: &MachineHandle) -> String {
    format!("{}/{}", path(machine), machine.identity().profile.keeps.settings_id)
}

/// Path of the vendor's jobs.
#[must_use]
pub fn jobs_path(machine: &MachineHandle) -> String {
    format!("{}/Oem/Dell/Jobs", restart::manager_path(machine))
}

/// True when what waits needs a job.
pub fn needs_job(machine: &MachineHandle) -> bool {
    machine.identity().profile.keeps.needs_job || machine.bends(BmcFault::BiosJob).is_some()
}

fn apply_times(machine: &MachineHandle) -> &'static [&'static str] {
    // An older iDRAC says none: its job is made by hand.
    if machine.bends(BmcFault::BiosJob).is_some() { &[] } else { machine.identity().profile.keeps.apply_times }
}

/// What stands behind a name: Supermicro's carry four hex digits that are others in the next BIOS (RC-62).
fn shown(machine: &MachineHandle, name: &str) -> String {
    if machine.bends(BmcFault::BiosRegistry).is_none() {
        return name.to_owned();
    }
    let hash: [u8; 32] = Sha256::digest(format!("{}/{name}", machine.identity().profile.bios_version)).into();
    format!("{name}_{:02X}{:02X}", hash[0], hash[1])
}

fn attributes(machine: &MachineHandle, values: &BTreeMap<&'static str, Value>) -> Map<String, Value> {
    values.iter().map(|(name, value)| (shown(machine, name), value.clone())).collect()
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let keeps = &machine.identity().profile.keeps;
    if at == path(machine) {
        return Some(in_force(machine, at));
    }
    if at == settings_path(machine) {
        return Some(settings(machine, at));
    }
    if let Some(rest) = at.strip_prefix(REGISTRIES) {
        let file = format!("{REGISTRIES}/{}", keeps.registry_file);
        return match rest.strip_prefix('/') {
            None => Some(collection(at, "MessageRegistryFile", [file])),
            Some(name) if name == keeps.registry_file => Some(json!({
                "@odata.type": "#MessageRegistryFile.v1_1_3.MessageRegistryFile",
                "@odata.id": at,
                "Id": name,
                "Name": "BIOS Attribute Registry File",
                "Languages": ["ja", "en"],
                "Registry": keeps.registry_file,
                "Location": [
                    { "Language": "ja", "Uri": format!("{file}/ja") },
                    { "Language": "en", "Uri": format!("{file}/en") },
                ],
            })),
            // The attributes' names are the same in every language.
            Some(name) if name.strip_prefix(keeps.registry_file).is_some_and(|l| matches!(l, "/en" | "/ja")) => {
                Some(registry(machine, at))
            }
            Some(_) => None,
        };
    }
    let jobs = jobs_path(machine);
    let rest = at.strip_prefix(&jobs).filter(|_| needs_job(machine))?;
    let all = machine.bios(|bios| bios.jobs().to_vec());
    match rest.strip_prefix('/') {
        None => Some(json!({
            "@odata.type": "#DellJobCollection.DellJobCollection",
            "@odata.id": at,
            "Name": "JobQueue",
            "Members@odata.count": all.len(),
            "Members": (1..=all.len()).map(|n| link(format!("{jobs}/JID_{n:012}"))).collect::<Vec<_>>(),
        })),
        Some(id) => {
            let number: usize = id.strip_prefix("JID_")?.parse().ok()?;
            let done = *all.get(number.checked_sub(1)?)?;
            Some(json!({
                "@odata.type": "#DellJob.v1_4_0.DellJob",
                "@odata.id": at,
                "Id": id,
                "Name": "Configure: BIOS.Setup.1-1",
                "JobType": "BIOSConfiguration",
                "JobState": if done { "Completed" } else { "Scheduled" },
                "PercentComplete": if done { 100 } else { 0 },
                "Message": if done { "Job completed successfully." } else { "Task successfully scheduled." },
            }))
        }
    }
}

fn in_force(machine: &MachineHandle, at: &str) -> Value {
    let (current, applied) = machine.bios(|bios| (bios.current().clone(), bios.applied()));
    let mut settings = json!({
        "@odata.type": "#Settings.v1_3_5.Settings",
        "SettingsObject": link(settings_path(machine)),
    });
    if let Some(settings) = settings.as_object_mut() {
        if !apply_times(machine).is_empty() {
            settings.insert("SupportedApplyTimes".to_owned(), json!(apply_times(machine)));
        }
        if applied > 0 {
            settings.insert("Messages".to_owned(), json!([{ "MessageId": "Base.1.16.Success" }]));
        }
    }
    json!({
        "@odata.type": "#Bios.v1_2_0.Bios",
        "@odata.id": at,
        "Id": "Bios",
        "Name": "BIOS Configuration Current Settings",
        "AttributeRegistry": machine.identity().profile.keeps.registry,
        "Attributes": attributes(machine, &current),
        "@Redfish.Settings": settings,
    })
}

fn settings(machine: &MachineHandle, at: &str) -> Value {
    let keeps = &machine.identity().profile.keeps;
    let (current, pending) = machine.bios(|bios| (bios.current().clone(), bios.pending().clone()));
    let mut value = json!({
        "@odata.type": "#Bios.v1_2_0.Bios",
        "@odata.id": at,
        "Id": keeps.settings_id,
        "Name": "BIOS Configuration Pending Settings",
        "AttributeRegistry": keeps.registry,
    });
    let told = match keeps.pending {
        PendingForm::DifferenceOrNothing if pending.is_empty() => return value,
        PendingForm::Difference | PendingForm::DifferenceOrNothing => pending,
        PendingForm::Whole => current.into_iter().chain(pending).collect(),
    };
    if let Some(map) = value.as_object_mut() {
        map.insert("Attributes".to_owned(), Value::Object(attributes(machine, &told)));
    }
    value
}

fn registry(machine: &MachineHandle, at: &str) -> Value {
    let id = machine.identity();
    let keeps = &id.profile.keeps;
    let entry = |a: &Attribute| {
        let mut entry = json!({
            "AttributeName": shown(machine, a.name),
            "DisplayName": a.display,
            "ReadOnly": a.read_only,
            "ResetRequired": true,
        });
        let more = match a.takes {
            Takes::Choice(all) => json!({
                "Type": "Enumeration",
                "Value": all.iter().map(|(n, d)| json!({ "ValueName": n, "ValueDisplayName": d })).collect::<Vec<_>>(),
            }),
            Takes::Number(low, high, step) => {
                json!({ "Type": "Integer", "LowerBound": low, "UpperBound": high, "ScalarIncrement": step })
            }
            Takes::Text(most) => json!({ "Type": "String", "MinLength": 0, "MaxLength": most }),
            Takes::Secret => json!({ "Type": "Password", "MinLength": 0, "MaxLength": 32 }),
            Takes::Flag => json!({ "Type": "Boolean" }),
        };
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
        entry
    };
    let dependency = |a: &Attribute| {
        let (other, needed) = a.only_while?;
        Some(json!({
            "DependencyFor": shown(machine, a.name),
            "Type": "Map",
            "Dependency": {
                "MapFrom": [{
                    "MapFromAttribute": shown(machine, other),
                    "MapFromProperty": "CurrentValue",
                    "MapFromCondition": "NEQ",
                    "MapFromValue": needed,
                }],
                "MapToAttribute": shown(machine, a.name),
                "MapToProperty": "ReadOnly",
                "MapToValue": true,
            },
        }))
    };
    json!({
        "@odata.type": "#AttributeRegistry.v1_3_6.AttributeRegistry",
        "@odata.id": at,
        "Id": keeps.registry,
        "Name": "BIOS Attribute Registry",
        "Language": "en",
        "OwningEntity": id.profile.manufacturer,
        "RegistryVersion": "1.0.3",
        "SupportedSystems": [{ "ProductName": id.profile.model, "SystemId": id.serial, "FirmwareVersion": id.profile.bios_version }],
        "RegistryEntries": {
            "Attributes": ATTRIBUTES.iter().map(entry).collect::<Vec<_>>(),
            "Dependencies": ATTRIBUTES.iter().filter_map(dependency).collect::<Vec<_>>(),
        },
    })
}

/// Writes settings that wait for the next boot.
pub fn patch(machine: &MachineHandle, body: &Value) -> Answer {
    let Some(wanted) = body.get("Attributes").and_then(Value::as_object) else {
        let message = Message::new("PropertyMissing", "the property Attributes is required", &["Attributes"], "add the property");
        return Answer::error(400, &message);
    };
    let (waits, scheduled) = machine.bios(|bios| (!bios.pending().is_empty(), bios.jobs().contains(&false)));
    // A job that is scheduled holds the settings until the boot has taken them (iDRAC).
    if scheduled || (waits && machine.bends(BmcFault::BiosPending).is_some()) {
        let message =
            Message::new("ResourceInUse", "settings wait for the next boot already", &[], "reset the system, or clear them");
        return Answer::error(409, &message);
    }
    // Back from the name that is shown to the one that is kept.
    let kept = |given: &String| {
        ATTRIBUTES.iter().find(|a| shown(machine, a.name) == *given).map_or(given.as_str(), |a| a.name).to_owned()
    };
    let wanted: BTreeMap<String, Value> = wanted
        .iter()
        .map(|(name, value)| {
            let known = kept(name);
            // Under the fault the plain name is not one of this BIOS.
            let known = if known == *name && shown(machine, name) != *name { format!("{name} ") } else { known };
            (known, value.clone())
        })
        .collect();
    let scheduled = body.get("@Redfish.SettingsApplyTime").and_then(|t| t.get("ApplyTime")).and_then(Value::as_str);
    if let Some(time) = scheduled
        && !apply_times(machine).contains(&time)
    {
        let shown: String = time.chars().take(80).collect();
        let message = Message::new(
            "PropertyValueNotInList",
            "the apply time is not one of those offered",
            &[&shown, "ApplyTime"],
            "choose one that is",
        );
        return Answer::error(400, &message);
    }
    let needs_job = needs_job(machine);
    let job = machine.bios(|bios| -> Result<Option<usize>, Vec<(String, Refusal)>> {
        bios.write(&wanted, needs_job)?;
        Ok(scheduled.and_then(|_| bios.schedule()))
    });
    match job {
        Err(wrong) => refusal(&wrong),
        Ok(Some(number)) => Answer::status(202).with("Location", format!("{}/JID_{number:012}", jobs_path(machine))),
        Ok(None) => Answer::error(200, &Message::success()),
    }
}

fn refusal(wrong: &[(String, Refusal)]) -> Answer {
    let said = |(name, why): &(String, Refusal)| {
        let name: String = name.trim_end().chars().take(80).collect();
        let (id, text) = match why {
            Refusal::Unknown => ("PropertyUnknown", "is not known"),
            Refusal::ReadOnly => ("PropertyNotWritable", "cannot be written"),
            Refusal::Kind => ("PropertyValueTypeError", "has a value of another type"),
            Refusal::Value => ("PropertyValueNotInList", "has a value that is not taken"),
        };
        Message::new(id, format!("the property {name} {text}"), &[&name], "correct the value and try again")
    };
    let messages: Vec<Message> = wrong.iter().map(said).collect();
    Answer::errors(400, &messages)
}

/// Makes a job for what waits.
pub fn post_job(machine: &MachineHandle, body: &Value) -> Answer {
    if body.get("TargetSettingsURI").and_then(Value::as_str).map(|t| t.trim_end_matches('/'))
        != Some(settings_path(machine).as_str())
    {
        let message = Message::new(
            "PropertyValueError",
            "TargetSettingsURI names no settings",
            &["TargetSettingsURI"],
            "name the settings",
        );
        return Answer::error(400, &message);
    }
    match machine.bios(|bios| bios.schedule()) {
        Some(number) => Answer::status(200).with("Location", format!("{}/JID_{number:012}", jobs_path(machine))),
        None => {
            let message =
                Message::new("ResourceInUse", "nothing waits, or a job for it is there already", &[], "look at the job queue");
            Answer::error(400, &message)
        }
    }
}

/// What the system says of its BIOS.
pub fn add_to_system(machine: &MachineHandle, value: &mut Map<String, Value>) {
    value.insert("Bios".to_owned(), link(path(machine)));
}

/// What the root says.
pub fn add_to_root(value: &mut Map<String, Value>) {
    value.insert("Registries".to_owned(), link(format!("{ROOT}/Registries")));
}
