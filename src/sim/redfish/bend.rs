//! What a BMC's resources look like when it is careless: collections, versions, links, clocks, error bodies (RC-24 … RC-34). The resources stay
//! clean; their answers are bent on the way out. Queries are met here too.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::route::Asked;
use super::tree::{ROOT, link};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// Segments that are written in another case (RC-33).
const CASED: [(&str, &str); 3] = [("/Systems", "/systems"), ("/Managers", "/managers"), ("/Chassis", "/chassis")];

/// The path as the resources know it; `None`: nothing lives there, for its case is not the one in use (RC-33).
pub fn real_path(machine: &MachineHandle, path: &str) -> Option<String> {
    if machine.bends(BmcFault::PathCase).is_none() {
        return Some(path.to_owned());
    }
    if CASED.iter().any(|(clean, _)| segment(path, clean)) {
        return None;
    }
    let found = CASED.iter().find(|(_, bent)| segment(path, bent));
    Some(found.map_or_else(|| path.to_owned(), |(clean, bent)| path.replacen(bent, clean, 1)))
}

fn segment(path: &str, of: &str) -> bool {
    path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix(of)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the service says that it can expand.
#[must_use]
pub fn offers_expand(machine: &MachineHandle) -> bool {
    machine.identity().profile.expand || machine.bends(BmcFault::Query501).is_some()
}

/// Meets a request before anything is done. What it answers had no effect.
pub fn meets(machine: &MachineHandle, asked: &Asked<'_>, path: &str) -> Option<Answer> {
    let query = asked.query.unwrap_or_default();
    if query.contains("$expand") && machine.strikes(BmcFault::Query501).is_some() {
        let message = Message::new("QueryNotSupported", "queries are not supported", &[], "leave the query out");
        return Some(Answer::error(501, &message));
    }
    if asked.method == "GET" {
        return foreign(machine, path).map(Answer::ok);
    }
    if path.contains("/Actions/") && machine.strikes(BmcFault::OkWithError).is_some() {
        return Some(error_in_200());
    }
    None
}

fn error_in_200() -> Answer {
    let message = Message::new("InternalError", "the request failed inside the service", &[], "try again");
    Answer { status: 200, ..Answer::error(500, &message) }
}

/// Bends an answer that is on its way.
pub fn bends(machine: &MachineHandle, asked: &Asked<'_>, mut answer: Answer) -> Answer {
    let action = asked.method == "POST" && asked.path.contains("/Actions/");
    if action && answer.status < 300 {
        if machine.strikes(BmcFault::Act409).is_some() {
            let message = Message::new("ResourceInUse", "the resource is in use", &[], "try again later");
            return Answer::error(409, &message);
        }
        if let Some(code) = machine.strikes(BmcFault::ActCode) {
            answer.status = u16::try_from(code.arg()).ok().filter(|code| (200..300).contains(code)).unwrap_or(200);
            if answer.status == 204 {
                answer.body = None;
            }
        }
    }
    if asked.method == "GET" && answer.status == 200 && answer.body.is_some() && asked.path.trim_end_matches('/') != "/redfish" {
        if machine.strikes(BmcFault::OkWithError).is_some() {
            return error_in_200();
        }
        if let Some(Value::Object(fields)) = &mut answer.body {
            resource(machine, asked, fields);
        }
    }
    if answer.status == 200 && answer.body.is_some() && machine.strikes(BmcFault::OkEmpty).is_some() {
        answer.body = None;
    }
    if let Some(body) = &mut answer.body {
        if answer.status >= 400 && machine.strikes(BmcFault::ErrObject).is_some() {
            single_info(body);
        }
        if machine.bends(BmcFault::PathCase).is_some() {
            recase(body, 0);
        }
    }
    answer
}

/// `@Message.ExtendedInfo` as an object (RC-29).
fn single_info(body: &mut Value) {
    if let Some(info) = body.pointer_mut("/error/@Message.ExtendedInfo")
        && let Some(first) = info.as_array_mut().and_then(|list| (!list.is_empty()).then(|| list.remove(0)))
    {
        *info = first;
    }
}

/// Writes links in the other case.
fn recase(value: &mut Value, depth: usize) {
    match value {
        Value::String(text) => {
            for (clean, bent) in CASED {
                if segment(text, clean) {
                    *text = text.replacen(clean, bent, 1);
                }
            }
        }
        Value::Object(fields) if depth < 16 => fields.values_mut().for_each(|field| recase(field, depth + 1)),
        Value::Array(items) if depth < 16 => items.iter_mut().for_each(|item| recase(item, depth + 1)),
        _ => {}
    }
}

fn resource(machine: &MachineHandle, asked: &Asked<'_>, fields: &mut Map<String, Value>) {
    if fields.get("Members").is_some_and(Value::is_array) {
        // Members that were sent along are as careless as they are alone.
        for member in fields.get_mut("Members").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(inline) = member.as_object_mut().filter(|inline| inline.contains_key("Version")) {
                resource(machine, asked, inline);
            }
        }
        collection(machine, asked, fields);
    }
    let nothing = [Value::Null, json!(""), json!("N/A")];
    for key in ["Version", "FirmwareVersion"] {
        if fields.contains_key(key) && machine.strikes(BmcFault::JsonNullVersion).is_some() {
            let which = nothing.get(asked.path.len() % nothing.len()).cloned().unwrap_or_default();
            fields.insert(key.to_owned(), which);
        }
    }
    if let Some(moment) = fields.get("DateTime").and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok())
        && let Some(skew) = machine.strikes(BmcFault::ClockSkew)
    {
        let ahead = moment + jiff::SignedDuration::from_secs(i64::from(skew.arg()));
        fields.insert("DateTime".to_owned(), json!(super::tree::second(ahead)));
    }
    let inline = fields.contains_key("Version") && asked.query.is_some();
    if fields.contains_key("@odata.id") && !inline && machine.strikes(BmcFault::JsonNoOdataId).is_some() {
        fields.remove("@odata.id");
    }
}

fn collection(machine: &MachineHandle, asked: &Asked<'_>, fields: &mut Map<String, Value>) {
    let path = asked.path.trim_end_matches('/');
    let Some(Value::Array(mut members)) = fields.remove("Members") else { return };
    // A page tells how many there are in all.
    let told = fields.get("Members@odata.count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let mut count = told.unwrap_or(members.len());
    if let Some(other) = second_of(path)
        && machine.bends(BmcFault::TopoMulti).is_some()
    {
        members.insert(0, link(other));
        count += 1;
    }
    fields.insert("Members@odata.count".to_owned(), json!(count));
    if machine.strikes(BmcFault::CollNoMembers).is_some() {
        return;
    }
    if count > 0 && machine.strikes(BmcFault::CollObject).is_some() {
        let shown = match members.as_slice() {
            [only] => only.clone(),
            many => Value::Object(many.iter().enumerate().map(|(n, member)| (n.to_string(), member.clone())).collect()),
        };
        fields.insert("Members".to_owned(), shown);
        return;
    }
    if machine.strikes(BmcFault::CollCount).is_some() {
        fields.insert("Members@odata.count".to_owned(), json!(count + 2));
    }
    let (paged, looping) = (machine.strikes(BmcFault::CollPaged).is_some(), machine.strikes(BmcFault::CollLoop).is_some());
    if paged || looping {
        let skip = asked.query.and_then(|query| query.strip_prefix("$skip=")).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let next = match (skip + 1 < count, looping) {
            (true, false) => Some(format!("{path}?$skip={}", skip + 1)),
            (true, true) if skip == 0 => Some(format!("{path}?$skip=1")),
            // Back to the beginning, with the rest never told.
            (_, true) => Some(path.to_owned()),
            (false, false) => None,
        };
        if let Some(next) = next {
            fields.insert("Members@odata.nextLink".to_owned(), json!(next));
        }
        members = members.into_iter().skip(skip).take(1).collect();
    }
    fields.insert("Members".to_owned(), Value::Array(members));
}

/// The member that stands before the node's own: the baseboard of the accelerators, as on a DGX or GB300 (RC-27).
fn second_of(path: &str) -> Option<String> {
    let id = match path.strip_prefix(ROOT)? {
        "/Systems" => "HGX_Baseboard_0",
        "/Managers" => "HGX_BMC_0",
        "/Chassis" => "HGX_Chassis_0",
        _ => return None,
    };
    Some(format!("{path}/{id}"))
}

/// That member, when it is asked for.
fn foreign(machine: &MachineHandle, path: &str) -> Option<Value> {
    let rest = path.strip_prefix(ROOT)?;
    let (kind, id) = [
        ("ComputerSystem.v1_20_0.ComputerSystem", "/Systems/HGX_Baseboard_0"),
        ("Manager.v1_18_0.Manager", "/Managers/HGX_BMC_0"),
        ("Chassis.v1_23_0.Chassis", "/Chassis/HGX_Chassis_0"),
    ]
    .into_iter()
    .find(|(_, place)| *place == rest)?;
    machine.bends(BmcFault::TopoMulti)?;
    let mut value = json!({
        "@odata.type": format!("#{kind}"),
        "@odata.id": path,
        "Id": id.rsplit('/').next().unwrap_or_default(),
        "Name": "HGX",
        "Manufacturer": "NVIDIA",
        "PowerState": "On",
        "SerialNumber": "1320000000000",
        "Status": super::tree::well(),
    });
    if let Some(fields) = value.as_object_mut()
        && rest.starts_with("/Managers")
    {
        fields.insert("ManagerType".to_owned(), json!("BMC"));
        fields.insert("Model".to_owned(), json!("OpenBmc"));
        fields.insert("FirmwareVersion".to_owned(), json!("HGX-22.10-1"));
    }
    Some(value)
}
