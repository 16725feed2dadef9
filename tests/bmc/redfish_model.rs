//! A well-behaved BMC for the fault server: sessions, one system, power, boot override, entity tags. Faults are laid over it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bringup::bmc::Written;
use bringup::model::{BootMode, BootOverride, BootTarget};
use serde_json::{Value, json};

use super::redfish_server::{Reply, Seen, Server};

/// What the BMC holds.
pub struct State {
    pub power: String,
    pub boot: Value,
    pub sessions: BTreeSet<String>,
    pub logins: usize,
    pub tag: u32,
    /// Which `If-Match` a PATCH must carry.
    pub tags: Tags,
    pub resets: Vec<String>,
}

/// What the BMC wants as `If-Match`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// Anything or nothing.
    Any,
    /// The present tag, else 412; none at all, 428.
    Strict,
    /// Only `*`.
    Star,
    /// Nothing at all.
    None,
    /// The tag changes with every read.
    Drift,
}

pub type Shared = Arc<Mutex<State>>;
pub const SYSTEM: &str = "/redfish/v1/Systems/1";
pub const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// Starts a BMC whose requests go through `fault` first.
pub async fn bmc(fault: impl Fn(&Seen, &Shared) -> Option<Reply> + Send + Sync + 'static) -> (Server, Shared) {
    let state = Arc::new(Mutex::new(State {
        power: "Off".into(),
        boot: json!({"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None", "BootSourceOverrideMode": "UEFI",
                     "HttpBootUri": null}),
        sessions: BTreeSet::new(),
        logins: 0,
        tag: 1,
        tags: Tags::Any,
        resets: Vec::new(),
    }));
    let shared = state.clone();
    let server = Server::tls(move |seen| fault(seen, &shared).unwrap_or_else(|| behave(seen, &shared))).await;
    (server, state)
}

/// A BMC without faults.
pub async fn good() -> (Server, Shared) {
    bmc(|_, _| None).await
}

pub fn behave(seen: &Seen, shared: &Shared) -> Reply {
    let mut state = shared.lock().unwrap();
    if seen.is("GET", "/redfish/v1") {
        return Reply::json(
            200,
            &json!({
            "@odata.id": "/redfish/v1/", "Systems": {"@odata.id": "/redfish/v1/Systems"},
            "UpdateService": {"@odata.id": "/redfish/v1/UpdateService"}, "Tasks": {"@odata.id": "/redfish/v1/TaskService"},
            "SessionService": {"@odata.id": "/redfish/v1/SessionService"}, "Links": {"Sessions": {"@odata.id": SESSIONS}}}),
        );
    }
    if seen.is("POST", SESSIONS) {
        state.logins += 1;
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        if body["UserName"] != "admin" || body["Password"] != "password" {
            return Reply::json(401, &json!({"error": {"@Message.ExtendedInfo": {"MessageId": "Base.1.0.NoValidSession"}}}));
        }
        let token = format!("token-{}", state.logins);
        state.sessions.insert(token.clone());
        // An absolute Location with a host that must not be followed.
        let at = format!("https://10.9.9.9{SESSIONS}/{token}");
        return Reply::json(201, &json!({"Id": token})).with("X-Auth-Token", &token).with("Location", &at);
    }
    let token = seen.header("x-auth-token").unwrap_or("").to_owned();
    if !state.sessions.contains(&token) {
        return Reply::status(401);
    }
    if seen.method == "DELETE" && seen.path == format!("{SESSIONS}/{token}") {
        state.sessions.remove(&token);
        return Reply::status(204);
    }
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/redfish/v1/Systems") => Reply::json(200, &json!({"Members": [{"@odata.id": SYSTEM}]})),
        ("GET", SYSTEM) => {
            if state.tags == Tags::Drift {
                state.tag += 1;
            }
            Reply::json(
                200,
                &json!({
                "@odata.id": SYSTEM, "Manufacturer": "Acme", "Model": "M1", "SerialNumber": "S-1",
                "UUID": "4C4C4544-0035-3410-8050-C6C04F314733", "PowerState": state.power, "Boot": state.boot,
                "Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/1"}]},
                "Actions": {"#ComputerSystem.Reset": {"target": RESET,
                    "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]}}}),
            )
            .with("ETag", &format!("\"{}\"", state.tag))
        }
        ("GET", "/redfish/v1/Managers/1") => Reply::json(200, &json!({"FirmwareVersion": "1.2.3"})),
        ("PATCH", SYSTEM) => patch(seen, &mut state),
        ("POST", RESET) => {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            let kind = body["ResetType"].as_str().unwrap().to_owned();
            state.power = if kind == "On" { "On" } else { "Off" }.to_owned();
            state.resets.push(kind);
            Reply::status(204)
        }
        ("GET", "/redfish/v1/UpdateService") => {
            Reply::json(200, &json!({"FirmwareInventory": {"@odata.id": "/redfish/v1/UpdateService/FirmwareInventory"}}))
        }
        ("GET", "/redfish/v1/UpdateService/FirmwareInventory") => Reply::json(
            200,
            &json!({
            "Members": [{"@odata.id": "/fw/BIOS"}, {"@odata.id": "/fw/Gone"}],
            "Members@odata.nextLink": "/redfish/v1/UpdateService/FirmwareInventory?$skip=2"}),
        ),
        ("GET", "/redfish/v1/UpdateService/FirmwareInventory?$skip=2") => {
            Reply::json(200, &json!({"Members": [{"@odata.id": "/fw/NIC"}, {"@odata.id": "/fw/Silent"}]}))
        }
        ("GET", "/fw/BIOS") => Reply::json(200, &json!({"Id": "BIOS", "Version": "2.1b"})),
        ("GET", "/fw/NIC") => Reply::json(200, &json!({"Id": "NIC", "Version": 40.45})),
        ("GET", "/fw/Silent") => Reply::json(200, &json!({"Id": "Silent", "Version": null})),
        ("GET", "/redfish/v1/TaskService") => Reply::json(200, &json!({"Tasks": {"@odata.id": "/redfish/v1/TaskService/Tasks"}})),
        ("GET", "/redfish/v1/TaskService/Tasks") => {
            Reply::json(200, &json!({"Members": [{"@odata.id": "/t/1"}, {"@odata.id": "/t/2"}]}))
        }
        ("GET", "/t/1") => {
            Reply::json(200, &json!({"Id": "1", "TaskState": "Running", "PercentComplete": "40", "Messages": null}))
        }
        _ => Reply::json(404, &json!({"error": {"code": "Base.1.0.ResourceMissingAtURI", "message": "no such thing"}})),
    }
}

fn patch(seen: &Seen, state: &mut State) -> Reply {
    let sent = seen.header("if-match");
    let present = format!("\"{}\"", state.tag);
    let refusal = match (state.tags, sent) {
        (Tags::Any, _) => None,
        (Tags::Strict, None) => Some(428),
        (Tags::Strict, Some(tag)) => (tag != present).then_some(412),
        (Tags::Star | Tags::Drift, Some("*")) | (Tags::None, None) => None,
        (Tags::Star, None) => Some(428),
        (Tags::Star | Tags::Drift | Tags::None, _) => Some(412),
    };
    if let Some(status) = refusal {
        return Reply::status(status);
    }
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    for (key, value) in body["Boot"].as_object().unwrap() {
        state.boot[key] = value.clone();
    }
    state.tag += 1;
    Reply::status(200)
}

/// What the tests want of the boot override.
pub fn http_boot() -> BootOverride {
    BootOverride {
        target: BootTarget::UefiHttp,
        once: true,
        mode: Some(BootMode::Uefi),
        http_uri: Some("http://10.0.0.1/grant/x".into()),
    }
}

/// The text of a write that was applied.
pub fn applied(written: Written) -> String {
    match written {
        Written::Applied(text) => text,
        other => panic!("not applied: {other:?}"),
    }
}
