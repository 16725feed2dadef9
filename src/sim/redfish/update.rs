//! The update service of a BMC: its inventory, the push of an image, and the faults of uploads and versions (RC-47 to RC-56).

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::parts::{Part, parts};
use super::task::{Tasks, job, monitor_path};
use super::tree::{ROOT, collection, link, well};
use crate::sim::fault::BmcFault;
use crate::sim::firmware::{Item, Wrong};
use crate::sim::handle::MachineHandle;
use crate::sim::image::Image;
use crate::sim::pushing::{Banks, GOLDEN, Names};

/// The service.
const SERVICE: &str = "/redfish/v1/UpdateService";
/// Largest image that is read at all, in bytes.
pub const LARGEST: usize = 64 << 20;

/// How long a push dwells in a BMC that is short of memory, in virtual seconds.
const DWELL: u32 = 600;

/// What of a push matters here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pushed<'a> {
    /// `Content-Type`.
    pub kind: &'a str,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// Body.
    pub body: &'a [u8],
}

/// True for the place where images go.
#[must_use]
pub fn takes(machine: &MachineHandle, method: &str, at: &str) -> bool {
    method == "POST" && at == machine.identity().profile.pushing.uri
}

/// Where a staged image is started.
#[must_use]
pub fn start_path() -> String {
    format!("{SERVICE}/Actions/UpdateService.StartUpdate")
}

/// The largest image, as this BMC says it: nothing, null, or bytes.
fn most(machine: &MachineHandle) -> Option<Option<u64>> {
    let told = machine.identity().profile.pushing.most;
    match machine.bends(BmcFault::UploadMax) {
        // Those that never tell it do not begin to.
        Some(placed) => told.map(|_| Some(u64::from(placed.arg()))),
        None => told,
    }
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let Some(rest) = at.strip_prefix(SERVICE) else { return job(machine, at) };
    let inventory = format!("{SERVICE}/FirmwareInventory");
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        [""] => Some(service(machine)),
        ["", "FirmwareInventory"] => {
            let names = machine.firmware(|firmware, _| firmware.items().iter().map(|i| i.name.clone()).collect::<Vec<_>>());
            Some(collection(at, "SoftwareInventory", names.into_iter().map(|name| format!("{inventory}/{name}"))))
        }
        ["", "FirmwareInventory", name] => {
            let (item, shown) = machine.firmware(|firmware, now| {
                let item = firmware.item(name)?;
                Some((item.clone(), item.shown(now).to_owned()))
            })?;
            Some(entry(machine, at, &item, &shown))
        }
        _ => None,
    }
}

fn service(machine: &MachineHandle) -> Value {
    let pushing = &machine.identity().profile.pushing;
    let mut actions = Map::new();
    if pushing.start {
        actions.insert("#UpdateService.StartUpdate".to_owned(), json!({ "target": start_path() }));
    }
    let mut service = json!({
        "@odata.type": "#UpdateService.v1_11_0.UpdateService",
        "@odata.id": SERVICE,
        "Id": "UpdateService",
        "Name": "Update Service",
        "ServiceEnabled": true,
        "Status": well(),
        "FirmwareInventory": link(format!("{SERVICE}/FirmwareInventory")),
        "MultipartHttpPushUri": pushing.uri,
        "Actions": actions,
    });
    if let (Some(most), Some(fields)) = (most(machine), service.as_object_mut()) {
        fields.insert("MaxImageSizeBytes".to_owned(), json!(most));
    }
    service
}

fn entry(machine: &MachineHandle, at: &str, item: &Item, shown: &str) -> Value {
    let profile = machine.identity().profile;
    let related = match item.name.as_str() {
        "BMC" | GOLDEN => format!("{ROOT}/Managers/{}", profile.manager_id),
        "BIOS" => format!("{ROOT}/Systems/{}", profile.system_id),
        _ => format!("{ROOT}/Chassis/{}", profile.chassis_id),
    };
    let mut entry = json!({
        "@odata.type": "#SoftwareInventory.v1_10_0.SoftwareInventory",
        "@odata.id": at,
        "Id": item.name,
        "Name": item.name,
        "Version": shown,
        "Updateable": item.name != GOLDEN,
        "Status": well(),
    });
    // Dell links its entries from the manager alone.
    if profile.pushing.banks != Banks::Manager
        && let Some(fields) = entry.as_object_mut()
    {
        fields.insert("RelatedItem".to_owned(), json!([link(related)]));
    }
    if profile.pushing.banks == Banks::Slots
        && let Some(fields) = entry.as_object_mut()
    {
        let other = |version: &str, state: &str| json!({ "Version": version, "FirmwareState": state, "SlotId": 1 });
        let inactive = match &item.staged {
            Some(staged) => other(staged, "PendingActivation"),
            None => other(&item.running, "Inactive"),
        };
        let slots = json!({
            "Nvidia": {
                "@odata.type": "#NvidiaSoftwareInventory.v1_2_0.NvidiaSoftwareInventory",
                "ActiveFirmwareSlot": { "Version": if item.astray { item.running.as_str() } else { shown }, "FirmwareState": "Activated", "SlotId": 0 },
                "InactiveFirmwareSlot": inactive,
            },
        });
        fields.insert("Oem".to_owned(), slots);
    }
    entry
}

/// What the manager tells of its own firmware: its version, and which image runs.
pub fn add_to_manager(machine: &MachineHandle, value: &mut Map<String, Value>) {
    let Some((item, shown)) = machine.firmware(|firmware, now| {
        let item = firmware.item("BMC")?;
        Some((item.clone(), item.shown(now).to_owned()))
    }) else {
        return;
    };
    let banks = machine.identity().profile.pushing.banks;
    let version = if banks == Banks::Manager && item.astray { item.running.clone() } else { shown };
    value.insert("FirmwareVersion".to_owned(), json!(version));
    if banks != Banks::Slots
        && let Some(links) = value.get_mut("Links").and_then(Value::as_object_mut)
    {
        let image = |name: &str| link(format!("{SERVICE}/FirmwareInventory/{name}"));
        let golden = banks == Banks::Image;
        links.insert("ActiveSoftwareImage".to_owned(), image(if golden && item.astray { GOLDEN } else { "BMC" }));
        if golden {
            links.insert("SoftwareImages".to_owned(), json!([image("BMC"), image(GOLDEN)]));
        }
    }
}

/// The version of the system ROM.
#[must_use]
pub fn bios_version(machine: &MachineHandle) -> String {
    machine.firmware(|firmware, now| firmware.item("BIOS").map(|item| item.shown(now).to_owned())).unwrap_or_default()
}

/// True while the BMC says that it is in update mode, which only its restart ends (RC-55).
fn stuck(machine: &MachineHandle) -> bool {
    machine.bmc_restarts() == 0 && machine.bends(BmcFault::FwUpdateMode).is_some()
}

fn refuse(status: u16, id: &'static str, text: &str) -> Answer {
    Answer::error(status, &Message::new(id, text, &[], "look at the update service"))
}

/// Takes an image, or says why not.
pub fn push(machine: &MachineHandle, tasks: &mut Tasks, pushed: &Pushed<'_>) -> Answer {
    let pushing = &machine.identity().profile.pushing;
    if pushing.tag && pushed.if_match.is_none() {
        return refuse(428, "PreconditionRequired", "the request needs an If-Match header");
    }
    let limit = machine.bends(BmcFault::UploadMax).map(|placed| u64::from(placed.arg()));
    if stuck(machine) {
        return refuse(400, "OemFirmwareAlreadyInUpdateMode", "the BMC is in update mode already");
    }
    let busy = machine.firmware(|firmware, _| firmware.busy());
    if busy {
        return refuse(503, "ServiceTemporarilyUnavailable", "an update is under way").with("Retry-After", "30");
    }
    if machine.strikes(BmcFault::UploadNoop).is_some() {
        return refuse(400, "SUP029", "the package holds nothing newer than what runs");
    }
    machine.firmware(|firmware, _| firmware.arrived());
    let read = parts(pushed.kind, pushed.body).map_err(str::to_owned);
    let checked = read.and_then(|found| check(machine, &found));
    let (image, parameters) = match checked {
        Ok(checked) => checked,
        Err(why) => return refuse(400, "PropertyValueError", &why),
    };
    if limit.is_some_and(|limit| image.len() as u64 > limit) {
        return refuse(413, "PayloadTooLarge", "the image is larger than the BMC takes");
    }
    let Some(image) = Image::read(image) else { return refuse(400, "InvalidImage", "this is no image for this board") };
    let wrong = Wrong {
        verify: machine.strikes(BmcFault::UploadVerifyFail).is_some(),
        vanish: machine.strikes(BmcFault::FwVanish).is_some(),
        stall: machine.strikes(BmcFault::TaskStall).map(|placed| placed.arg()),
        critical: machine.strikes(BmcFault::TaskCompletedCritical).is_some(),
        astray: machine.strikes(BmcFault::FwWrongSlot).is_some(),
        lag_s: machine.strikes(BmcFault::FwLag).map_or(0, |placed| placed.arg()),
    };
    let waits =
        pushing.start && parameters.get("@Redfish.OperationApplyTime").and_then(Value::as_str) == Some("OnStartUpdateRequest");
    let Some(number) = machine.firmware(|firmware, now| firmware.begin(now, image, waits, wrong)) else {
        return refuse(400, "InvalidImage", "the image is for a component that is not here");
    };
    let name = if waits { pushing.tasks.0 } else { pushing.tasks.1 };
    let task = tasks.start_update(machine, name, number, waits);
    accepted(machine, tasks, &task)
}

/// Starts what was staged for it.
pub fn start(machine: &MachineHandle, tasks: &mut Tasks) -> Answer {
    match machine.firmware(|firmware, now| firmware.start(now)) {
        Some(number) => {
            let task = tasks.start_update(machine, machine.identity().profile.pushing.tasks.1, number, false);
            accepted(machine, tasks, &task)
        }
        None => refuse(409, "ResourceInUse", "no image waits to be started"),
    }
}

/// 202, with the task named where this maker names it, or where the fault says (RC-38).
fn accepted(machine: &MachineHandle, tasks: &mut Tasks, task: &str) -> Answer {
    let names = match machine.bends(BmcFault::TaskIdIn).map(|placed| placed.arg()) {
        Some(0) => Names::Location,
        Some(1) => Names::Body,
        Some(2) => Names::Arguments,
        Some(_) => Names::Nowhere,
        None => machine.identity().profile.pushing.names,
    };
    let id = task.rsplit('/').next().unwrap_or_default();
    // DSP0266 §12.2 has the monitor in Location; makers put the task there. The fault makes the monitor a trap.
    let location = if machine.bends(BmcFault::TaskMonitorOnce).is_some() { monitor_path(id) } else { task.to_owned() };
    let answer = Answer::status(202);
    match names {
        Names::Location => answer.with("Location", location),
        Names::Nowhere => answer,
        Names::Body => {
            let body =
                tasks.resource(machine, id).unwrap_or_else(|| json!({ "@odata.id": task, "@odata.type": "#Task.v1_7_4.Task" }));
            Answer { body: Some(body), ..answer }
        }
        Names::Arguments => {
            let info = json!({ "MessageId": "SMC.1.0.OemUploadAccepted", "Message": "accepted", "MessageArgs": [task], "Severity": "OK" });
            let accepted = json!({ "code": "Base.1.4.Accepted", "Message": "accepted", "@Message.ExtendedInfo": [info] });
            Answer { body: Some(json!({ "Accepted": accepted })), ..answer }
        }
    }
}

/// The image and the parameters of a push.
fn check<'a>(machine: &MachineHandle, found: &[Part<'a>]) -> Result<(&'a [u8], Value), String> {
    let named = |name: &str| found.iter().find(|part| part.name == name);
    let parameters = named("UpdateParameters").ok_or("there is no part UpdateParameters")?;
    let image = named("UpdateFile").ok_or("there is no part UpdateFile")?;
    let parsed = serde_json::from_slice::<Value>(parameters.body).ok().filter(Value::is_object);
    let parsed = parsed.ok_or("UpdateParameters is not a JSON object")?;
    if machine.bends(BmcFault::UploadStrict).is_some() {
        if parameters.kind.as_deref() != Some("application/json") {
            return Err("UpdateParameters is not application/json".to_owned());
        }
        if image.kind.as_deref() != Some("application/octet-stream") || image.file.as_deref().is_none_or(str::is_empty) {
            return Err("UpdateFile is not application/octet-stream with a file name".to_owned());
        }
        if found.first().map(|part| part.name.as_str()) != Some("UpdateParameters") {
            return Err("UpdateParameters is not the first part".to_owned());
        }
        let strict = machine.identity().profile.pushing.strict;
        if let Some(missing) = strict.iter().find(|name| parsed.get(**name).is_none()) {
            return Err(format!("UpdateParameters has no {missing}"));
        }
    }
    Ok((image.body, parsed))
}

/// Pushes that are under way at one BMC.
#[derive(Debug, Default)]
pub struct UnderWay(AtomicU32);

/// One request that is being met; a push is counted while it lives.
pub struct AtIt<'a> {
    machine: &'a MachineHandle,
    counted: Option<&'a UnderWay>,
    restarts: u32,
}

impl UnderWay {
    /// A request begins. `None`: the BMC runs out of memory and restarts, because an upload was under way beside it (RC-50).
    pub fn begins<'a>(&'a self, machine: &'a MachineHandle, pushes: bool) -> Option<AtIt<'a>> {
        let restarts = machine.bmc_restarts();
        if self.0.load(Ordering::SeqCst) > 0 && machine.strikes(BmcFault::UploadOom).is_some() {
            machine.restart_bmc(super::restart::AWAY);
            return None;
        }
        if pushes {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Some(AtIt { machine, counted: pushes.then_some(self), restarts })
    }
}

impl AtIt<'_> {
    /// A push to a BMC that is short of memory takes its time. False when the BMC has restarted meanwhile, and the request with it is lost.
    pub async fn dwells(&self) -> bool {
        if self.counted.is_some() && self.machine.bends(BmcFault::UploadOom).is_some() {
            let clock = self.machine.clock();
            tokio::time::sleep(clock.until(clock.now().after_s(DWELL))).await;
        }
        self.machine.bmc_restarts() == self.restarts
    }
}

impl Drop for AtIt<'_> {
    fn drop(&mut self) {
        if let Some(counted) = self.counted {
            counted.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
