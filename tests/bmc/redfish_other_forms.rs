//! Updates that do not go as most do: iLO, whose update service is the task; an image that lies in the inventory until `SimpleUpdate` takes it; a
//! task of which only the monitor is left. Each against a small BMC that changes its version when it has been done right.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::bmc::quirk::Quirks;
use bringup::bmc::redfish::Redfish;
use bringup::bmc::updating::{FirmwareImage, UpdateClass, UpdateTerms, Updating as _};
use bringup::bmc::{Bmc as _, Written};
use bringup::model::{Component, Digest, Version};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::redfish_server::{Reply, Seen, Server};

/// What the small BMC has lived through.
#[derive(Default)]
struct State {
    pushes: Vec<Seen>,
    /// Looks at the update under way.
    looks: u32,
    new: bool,
}

type Own = fn(&mut State, &Seen) -> Option<Reply>;

/// A BMC with one component; `own` answers first.
async fn bmc(vendor: &'static str, service: Value, own: Own) -> (Server, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new(State::default()));
    let kept = Arc::clone(&state);
    let server = Server::plain(move |seen: &Seen| {
        let mut state = kept.lock().unwrap();
        if seen.path.contains("/Sessions") {
            return match seen.method.as_str() {
                "POST" => Reply::json(201, &json!({})).with("X-Auth-Token", "tok").with("Location", "/redfish/v1/SessionService/Sessions/1"),
                _ => Reply::status(204),
            };
        }
        if let Some(reply) = own(&mut state, seen) {
            return reply;
        }
        let path = seen.path.trim_end_matches('/');
        let link = |to: &str| json!({ "@odata.id": to });
        let version = if state.new { "2.0" } else { "1.0" };
        Reply::json(
            200,
            &match path {
                "/redfish/v1" => json!({
                    "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot", "Vendor": vendor,
                    "Systems": link("/redfish/v1/Systems"), "UpdateService": link("/redfish/v1/UpdateService"),
                    "SessionService": link("/redfish/v1/SessionService"),
                    "Links": {"Sessions": link("/redfish/v1/SessionService/Sessions")},
                }),
                "/redfish/v1/Systems" => json!({ "Members": [link("/redfish/v1/Systems/1")] }),
                "/redfish/v1/Systems/1" => json!({
                    "@odata.id": path, "@odata.type": "#ComputerSystem.v1_1_0.ComputerSystem", "Manufacturer": vendor, "Model": "M",
                }),
                "/redfish/v1/UpdateService" => service.clone(),
                "/redfish/v1/UpdateService/FirmwareInventory" => {
                    json!({ "Members": [link("/redfish/v1/UpdateService/FirmwareInventory/PSU")] })
                }
                "/redfish/v1/UpdateService/FirmwareInventory/PSU" => json!({ "@odata.id": path, "Id": "PSU", "Version": version }),
                _ => return Reply::status(404),
            },
        )
    })
    .await;
    (server, state)
}

async fn push(server: &Server, quirks: Option<&str>) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("psu.bin");
    std::fs::write(&file, b"image").unwrap();
    let image = FirmwareImage {
        file: &file,
        name: "psu.bin",
        sha256: &Digest::from_bytes(&sha2::Sha256::digest(b"image").into()),
        component: &Component::new("PSU").unwrap(),
        version: &Version::new("2.0").unwrap(),
        url: None,
        targets: None,
    };
    let mut options = server.options("password");
    options.limits.update.grace = Duration::from_millis(500);
    options.limits.update.lag = Duration::from_millis(500);
    if let Some(set) = quirks {
        let text = format!(
            "format_version: 1\nquirks:\n  - name: own\n    fits: {{vendor: \"*\"}}\n    habits:\n      - set: {set}\n        evidence: [\"[SITE] a test\"]\n"
        );
        options.quirks = Some(Arc::new(Quirks::built_in().unwrap().then(Quirks::read("own", &text).unwrap())));
    }
    let client = Redfish::new(options).unwrap();
    let terms = UpdateTerms { deadline: Duration::from_secs(20), again: false, hpm: false, tell: &|_| {} };
    let written = client.update(&image, &terms).await;
    client.close().await;
    written
}

fn service(more: Value) -> Value {
    let mut service = json!({
        "@odata.id": "/redfish/v1/UpdateService",
        "FirmwareInventory": {"@odata.id": "/redfish/v1/UpdateService/FirmwareInventory"},
    });
    service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    service
}

fn ilo(state: &mut State, seen: &Seen, ends: &str) -> Option<Reply> {
    if seen.is("POST", "/cgi-bin/uploadFile") {
        state.pushes.push(seen.clone());
        return Some(Reply::status(200));
    }
    if !seen.is("GET", "/redfish/v1/UpdateService") {
        return None;
    }
    let (own, percent) = match (state.pushes.len(), state.looks) {
        (0, _) => ("Idle", 0),
        (_, 0) => ("Verifying", 10),
        (_, 1) => ("Updating", 70),
        _ => (ends, 100),
    };
    if !state.pushes.is_empty() {
        state.looks += 1;
    }
    state.new = own == "Complete";
    let result = json!({"MessageId": "iLO.2.13.FirmwareFlashFailed", "Message": "bad signature"});
    let hpe = json!({"State": own, "FlashProgressPercent": percent, "Result": if own == "Error" { result } else { Value::Null }});
    Some(Reply::json(200, &service(json!({"HttpPushUri": "/cgi-bin/uploadFile", "Oem": {"Hpe": hpe}}))))
}

#[tokio::test]
async fn ilo_is_followed_by_its_update_service() {
    let (server, state) = bmc("HPE", json!({}), |state, seen| ilo(state, seen, "Complete")).await;
    let written = push(&server, None).await;
    let Written::Applied(text) = &written else { panic!("{written:?}") };
    assert!(text.contains("PSU 2.0 runs") && text.contains("iLO form") && text.contains("the task ended: Complete"), "{text}");
    assert_eq!(state.lock().unwrap().pushes.len(), 1);

    let (server, _) = bmc("HPE", json!({}), |state, seen| ilo(state, seen, "Error")).await;
    let written = push(&server, None).await;
    let Written::NotApplied(e) = &written else { panic!("{written:?}") };
    assert!(UpdateClass::of(e) == Some(UpdateClass::DeviceFailed) && e.seen.contains("bad signature"), "{e}");
}

#[tokio::test]
async fn an_image_in_the_inventory_is_started_by_its_place() {
    let own = |state: &mut State, seen: &Seen| {
        if seen.method == "POST" {
            state.pushes.push(seen.clone());
        }
        if seen.is("POST", "/redfish/v1/UpdateService/FirmwareInventory") {
            return Some(
                Reply::json(201, &json!({"@odata.type": "#SoftwareInventory.v1_1_0.SoftwareInventory"}))
                    .with("Location", "/redfish/v1/UpdateService/FirmwareInventory/Available-1-2.0"),
            );
        }
        if seen.is("GET", "/redfish/v1/UpdateService/FirmwareInventory") {
            let members = json!({"Members": [{"@odata.id": "/redfish/v1/UpdateService/FirmwareInventory/PSU"}]});
            return Some(Reply::json(200, &members).with("ETag", "\"inv-7\""));
        }
        seen.is("POST", "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate").then(|| {
            state.new = true;
            Reply::status(202)
        })
    };
    let offers = service(json!({
        "HttpPushUri": "/redfish/v1/UpdateService/FirmwareInventory",
        "Actions": {"#UpdateService.SimpleUpdate": {"target": "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate"}},
    }));
    let (server, state) = bmc("Dell Inc.", offers, own).await;
    let written = push(&server, Some("{upload: push-then-simple}")).await;
    assert!(matches!(written, Written::Applied(_)), "{written:?}");
    let pushes = state.lock().unwrap().pushes.clone();
    let [image, start] = pushes.as_slice() else { panic!("{pushes:?}") };
    assert_eq!(image.header("if-match"), Some("\"inv-7\""));
    assert!(image.body.contains("name=\"file\"; filename=\"psu.bin\""), "{}", image.body);
    let body: Value = serde_json::from_str(&start.body).unwrap();
    assert_eq!(body["ImageURI"], "/redfish/v1/UpdateService/FirmwareInventory/Available-1-2.0");
}

#[tokio::test]
async fn a_monitor_is_asked_where_only_that_is_kept() {
    let own = |state: &mut State, seen: &Seen| {
        if seen.is("POST", "/push") {
            state.pushes.push(seen.clone());
            return Some(Reply::status(202).with("Location", "/mon/1"));
        }
        // 202, then an empty 200, then 204 once, and 404 from then on (bmcweb).
        seen.is("GET", "/mon/1").then(|| {
            state.looks += 1;
            state.new = state.looks > 3;
            match state.looks {
                1 | 2 => Reply::status(202),
                3 => Reply::status(200),
                4 => Reply::status(204),
                _ => Reply::status(404),
            }
        })
    };
    let (server, state) = bmc("Odd", service(json!({"HttpPushUri": "/push"})), own).await;
    let written = push(&server, Some("{task_ask: monitor}")).await;
    let Written::Applied(text) = &written else { panic!("{written:?}") };
    assert!(text.contains("bare push") && text.contains("204"), "{text}");
    let state = state.lock().unwrap();
    assert_eq!((state.pushes.len(), state.looks, state.pushes[0].body.as_str()), (1, 4, "image"));
}

#[tokio::test]
async fn a_tag_is_found_by_the_ladder_and_a_foreign_answer_is_no_success() {
    let own = |state: &mut State, seen: &Seen| {
        seen.is("POST", "/push").then(|| {
            state.pushes.push(seen.clone());
            // 200 with nothing behind it: a BMC that throws the image away.
            if seen.header("if-match") == Some("*") { Reply::status(200) } else { Reply::status(428) }
        })
    };
    let (server, state) = bmc("Odd", service(json!({"MultipartHttpPushUri": "/push"})), own).await;
    let written = push(&server, None).await;
    let Written::Ambiguous(text) = &written else { panic!("{written:?}") };
    assert!(text.starts_with(&UpdateClass::Lost.to_string()) && text.contains("PSU 1.0 runs"), "{text}");
    let tags: Vec<Option<String>> =
        state.lock().unwrap().pushes.iter().map(|p| p.header("if-match").map(str::to_owned)).collect();
    assert_eq!(tags, [None, Some("*".to_owned())]);
}
