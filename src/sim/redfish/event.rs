//! How a BMC tells of events: its event service, the subscriptions that it keeps (a restart of the BMC leaves them), and its stream of server-sent
//! events. What is told is what stands in the hardware event log.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::answer::{Answer, Message};
use super::log;
use super::route::Service;
use super::tree::{collection, link, second, well};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::history::Happening;

/// Where the service lives.
pub const SERVICE: &str = "/redfish/v1/EventService";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";

/// Subscriptions that a BMC keeps (Supermicro has 16 places).
const ROOM: usize = 16;
/// How often a stream looks whether its BMC still lives.
const LOOK: Duration = Duration::from_millis(20);

/// One subscriber.
#[derive(Debug, Clone)]
pub struct Subscriber {
    id: u64,
    /// Where events are pushed to.
    pub destination: String,
    body: Map<String, Value>,
}

/// Subscriptions of one BMC.
#[derive(Debug, Default)]
pub struct Subscriptions {
    all: Mutex<(u64, Vec<Subscriber>)>,
}

impl Subscriptions {
    /// Who is subscribed.
    pub fn all(&self) -> Vec<Subscriber> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn find(&self, path: &str) -> Option<Subscriber> {
        let id = path.strip_prefix(SUBSCRIPTIONS)?.strip_prefix('/')?;
        self.all().into_iter().find(|subscriber| subscriber.id.to_string() == id)
    }

    fn delete(&self, path: &str) -> bool {
        let Some(found) = self.find(path) else { return false };
        self.all.lock().unwrap_or_else(PoisonError::into_inner).1.retain(|subscriber| subscriber.id != found.id);
        true
    }

    fn create(&self, machine: &MachineHandle, body: &Value) -> Answer {
        let wrong = |id, name: &str, text: String| {
            Answer::error(400, &Message::new(id, text, &[name], "correct the property and try again"))
        };
        let Some(body) = body.as_object() else { return Answer::error(400, &Message::malformed()) };
        let oldest = machine.bends(BmcFault::EventOld).is_some();
        // A service without a stream is one of an older schema.
        let old = oldest || machine.identity().profile.senses.stream.is_none();
        let known: &[&str] = if old {
            &["Destination", "Protocol", "Context", "EventTypes"]
        } else {
            &["Destination", "Protocol", "Context", "EventTypes", "SubscriptionType", "EventFormatType", "VerifyCertificate"]
        };
        if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
            return wrong("PropertyUnknown", name, format!("the property {name} is not known"));
        }
        let needed: &[&str] = if oldest { &["Destination", "Protocol", "EventTypes"] } else { &["Destination", "Protocol"] };
        if let Some(name) = needed.iter().find(|name| !body.contains_key(**name)) {
            return wrong("CreateFailedMissingReqProperties", name, format!("the property {name} is required"));
        }
        if let Some(protocol) = body.get("Protocol").filter(|protocol| *protocol != "Redfish") {
            let text = format!("the value {protocol} of Protocol is not in the list of acceptable values");
            return wrong("PropertyValueNotInList", "Protocol", text);
        }
        let destination =
            body.get("Destination").and_then(Value::as_str).filter(|to| to.starts_with("https://")).map(str::to_owned);
        let Some(destination) = destination else {
            return wrong("PropertyValueFormatError", "Destination", "events are pushed over https only".to_owned());
        };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.1.len() >= ROOM {
            let message =
                Message::new("CreateLimitReachedForResource", "no subscription is free", &[], "delete one and try again");
            return Answer::error(503, &message);
        }
        all.0 += 1;
        let subscriber = Subscriber { id: all.0, destination, body: body.clone() };
        let mut answer = Answer::ok(resource_of(&subscriber)).with("Location", format!("{SUBSCRIPTIONS}/{}", subscriber.id));
        all.1.push(subscriber);
        answer.status = 201;
        answer
    }
}

fn resource_of(subscriber: &Subscriber) -> Value {
    let mut value = json!({
        "@odata.type": "#EventDestination.v1_9_0.EventDestination",
        "@odata.id": format!("{SUBSCRIPTIONS}/{}", subscriber.id),
        "Id": subscriber.id.to_string(),
        "Name": format!("Subscription {}", subscriber.id),
        "SubscriptionType": "RedfishEvent",
        "Context": "",
    });
    if let Some(fields) = value.as_object_mut() {
        for (name, given) in &subscriber.body {
            fields.insert(name.clone(), given.clone());
        }
    }
    value
}

fn stream_path(machine: &MachineHandle) -> Option<&'static str> {
    machine.identity().profile.senses.stream.filter(|_| machine.bends(BmcFault::EventNoSse).is_none())
}

/// Adds the service to the root.
pub fn add_to_root(value: &mut Map<String, Value>) {
    value.insert("EventService".to_owned(), link(SERVICE));
}

/// The resource at a path, when it is one of this file's.
pub fn resource(machine: &MachineHandle, subscriptions: &Subscriptions, at: &str) -> Option<Value> {
    match at {
        SERVICE => Some(service(machine)),
        SUBSCRIPTIONS => {
            let all = subscriptions.all().into_iter().map(|subscriber| format!("{SUBSCRIPTIONS}/{}", subscriber.id));
            Some(collection(at, "EventDestination", all))
        }
        _ => subscriptions.find(at).map(|subscriber| resource_of(&subscriber)),
    }
}

fn service(machine: &MachineHandle) -> Value {
    let mut value = json!({
        "@odata.type": "#EventService.v1_7_0.EventService",
        "@odata.id": SERVICE,
        "Id": "EventService",
        "Name": "Event Service",
        "ServiceEnabled": true,
        "Status": well(),
        "DeliveryRetryAttempts": 3,
        "DeliveryRetryIntervalSeconds": 60,
        "EventTypesForSubscription": ["Alert", "StatusChange"],
        "Subscriptions": link(SUBSCRIPTIONS),
    });
    if let (Some(stream), Some(fields)) = (stream_path(machine), value.as_object_mut()) {
        fields.insert("EventFormatTypes".to_owned(), json!(["Event"]));
        fields.insert("ServerSentEventUri".to_owned(), json!(stream));
    }
    value
}

/// The answer that begins a stream; `None`: none lives at this path.
pub fn stream(machine: &MachineHandle, at: &str) -> Option<Answer> {
    (stream_path(machine) == Some(at)).then(|| Answer::text(200, "text/event-stream", ""))
}

/// POST; `None` when the path is not one that takes it.
pub fn post(machine: &MachineHandle, subscriptions: &Subscriptions, at: &str, body: &Value) -> Option<Answer> {
    (at == SUBSCRIPTIONS).then(|| subscriptions.create(machine, body))
}

/// DELETE; `false` when there is no such subscription.
#[must_use]
pub fn delete(subscriptions: &Subscriptions, at: &str) -> bool {
    subscriptions.delete(at)
}

/// A happening as an event.
pub fn event(machine: &MachineHandle, happening: &Happening, context: Option<&Value>) -> Value {
    let told = log::told(machine, &happening.what);
    let number = happening.number.to_string();
    let mut record = json!({
        "EventType": "Alert",
        "EventId": number,
        "EventTimestamp": second(machine.moment(happening.at)),
        "MemberId": number,
        "Message": told.text,
        "MessageId": log::message_id(&told),
        "MessageArgs": [],
        "MessageSeverity": told.severity,
        "Severity": told.severity,
        "OriginOfCondition": link(&told.origin),
    });
    // Makers differ: some say which entry of the log was written for it.
    if machine.identity().profile.senses.newest_first
        && let Some(fields) = record.as_object_mut()
    {
        fields.insert("LogEntry".to_owned(), link(format!("{}/Entries/{number}", log::path(machine))));
    }
    let mut value = json!({
        "@odata.type": "#Event.v1_8_0.Event",
        "Id": number,
        "Name": "Event",
        "Events": [record],
    });
    if let (Some(context), Some(fields)) = (context, value.as_object_mut()) {
        fields.insert("Context".to_owned(), context.clone());
    }
    value
}

/// What happened since entry `last`, without what a fault swallows.
fn since(machine: &MachineHandle, last: &mut u64) -> Vec<Happening> {
    let new: Vec<Happening> = machine.history().into_iter().filter(|happening| happening.number > *last).collect();
    *last = new.last().map_or(*last, |happening| happening.number);
    new.into_iter().filter(|_| machine.strikes(BmcFault::EventLost).is_none()).collect()
}

fn newest(machine: &MachineHandle) -> u64 {
    machine.history().last().map_or(0, |happening| happening.number)
}

/// A stream's pieces, until the BMC is gone, or the one who listens.
pub fn flow(service: &Arc<Service>) -> mpsc::Receiver<Bytes> {
    let (say, heard) = mpsc::channel(8);
    let machine = service.machine().clone();
    let life = machine.bmc_restarts();
    let mut last = newest(&machine);
    tokio::spawn(async move {
        let mut bell = machine.watch_history();
        let mut piece = ": the stream begins\n\n".to_owned();
        loop {
            if !piece.is_empty() && say.send(Bytes::from(std::mem::take(&mut piece))).await.is_err() {
                return;
            }
            tokio::select! {
                () = say.closed() => return,
                changed = bell.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
            if machine.dead() || machine.bmc_away() || machine.bmc_restarts() != life {
                return;
            }
            for happening in since(&machine, &mut last) {
                if machine.strikes(BmcFault::EventDrop).is_some() {
                    // What was said so far arrives; the rest never does.
                    if !piece.is_empty() {
                        drop(say.send(Bytes::from(piece)).await);
                    }
                    return;
                }
                // A write to a String cannot fail.
                let _ = write!(piece, "id: {}\ndata: {}\n\n", happening.number, event(&machine, &happening, None));
            }
        }
    });
    heard
}

/// Pushes events to every subscriber until it is dropped. Each event is tried once: what a subscriber missed stands in the log.
pub async fn deliver(service: Arc<Service>) {
    let machine = service.machine().clone();
    let mut last = newest(&machine);
    let mut bell = machine.watch_history();
    while bell.changed().await.is_ok() {
        let subscribers = service.subscriptions().all();
        if subscribers.is_empty() || machine.dead() || machine.bmc_away() {
            last = newest(&machine);
            continue;
        }
        let new = since(&machine, &mut last);
        for subscriber in subscribers {
            for happening in &new {
                let body = event(&machine, happening, subscriber.body.get("Context")).to_string();
                // A subscriber that is away is its own affair.
                drop(super::push::push(&subscriber.destination, body).await);
            }
        }
    }
}
