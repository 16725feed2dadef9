//! The form of a push, byte for byte, as each maker's BMC wants it: chosen by the trees captured from real ones and by the habits that ship, with
//! a boundary as the only thing that differs from time to time (RC-52).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::bmc::Written;
use bringup::bmc::updating::{FirmwareImage, UpdateClass, UpdateTerms, Updating as _};
use bringup::model::{Component, Digest, Version};
use serde_json::json;
use sha2::Digest as _;

use super::redfish_server::{Reply, Seen, Server};
use super::redfish_trees::{serve, unpack};

const IMAGE: &[u8] = b"\x00\r\n--not a boundary--\r\n\xff image";

/// Pushes to a BMC that shows `tree` and refuses every image; gives what it was sent.
async fn pushed(
    tree: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    component: &str,
    version: &str,
    targets: Option<&[String]>,
) -> (Written, Vec<Seen>) {
    let pushes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&pushes);
    let server = Server::plain(move |seen: &Seen| match (seen.method.as_str(), seen.path.contains("/Sessions")) {
        ("POST", true) => Reply::json(201, &json!({}))
            .with("X-Auth-Token", "0123456789abcdef")
            .with("Location", "/redfish/v1/SessionService/Sessions/1"),
        ("DELETE", _) => Reply::status(204),
        ("POST" | "PATCH", false) => {
            kept.lock().unwrap().push(seen.clone());
            if seen.method == "PATCH" {
                Reply::status(204)
            } else {
                Reply::json(400, &json!({"error": {"message": "not today"}}))
            }
        }
        _ => tree(seen),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("firmware 1.bin");
    std::fs::write(&file, IMAGE).unwrap();
    let image = FirmwareImage {
        file: &file,
        name: "firmware 1.bin",
        sha256: &Digest::from_bytes(&sha2::Sha256::digest(IMAGE).into()),
        component: &Component::new(component).unwrap(),
        version: &Version::new(version).unwrap(),
        url: None,
        targets,
    };
    let terms = UpdateTerms { deadline: Duration::from_secs(20), again: false, hpm: false, tell: &|_| {} };
    let client = server.client();
    let written = client.update(&image, &terms).await;
    bringup::bmc::Bmc::close(&client).await;
    let pushes = pushes.lock().unwrap().clone();
    (written, pushes)
}

/// The body with its boundary as `B`.
fn body(seen: &Seen) -> String {
    let kind = seen.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    assert!(boundary.len() >= 32 && boundary.len() <= 70, "{boundary}");
    assert_eq!(seen.header("content-length"), Some(seen.length.to_string().as_str()));
    assert!(seen.header("transfer-encoding").is_none() && seen.header("expect").is_none(), "{:?}", seen.headers);
    seen.body.replace(boundary, "B")
}

fn image() -> String {
    String::from_utf8_lossy(IMAGE).into_owned()
}

fn standard(parameters: &str, more: &str) -> String {
    format!(
        "--B\r\nContent-Disposition: form-data; name=\"UpdateParameters\"\r\nContent-Type: application/json\r\n\r\n{parameters}\r\n\
         --B\r\nContent-Disposition: form-data; name=\"UpdateFile\"; filename=\"firmware_1.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{}\r\n{more}--B--\r\n",
        image()
    )
}

fn rejected(tree: &str, written: &Written) {
    let Written::NotApplied(e) = written else { panic!("{tree}: {written:?}") };
    assert!(UpdateClass::of(e) == Some(UpdateClass::Rejected) && e.seen.contains("not today"), "{tree}: {e:?}");
}

#[tokio::test]
async fn every_maker_gets_its_own_form() {
    let test = "every_maker_gets_its_own_form";
    let gpu_tray = ["/redfish/v1/UpdateService/FirmwareInventory/HGX_0".to_owned()];
    for (tree, component, path, star, parameters, targets) in [
        (
            "dell",
            "BIOS.Setup.1-1",
            "/redfish/v1/UpdateService/MultipartUpload",
            None,
            r#"{"@Redfish.OperationApplyTime":"Immediate","Oem":{},"Targets":[]}"#,
            None,
        ),
        (
            "supermicro",
            "BMC",
            "/redfish/v1/UpdateService/upload",
            None,
            r#"{"@Redfish.OperationApplyTime":"OnStartUpdateRequest","Targets":["/redfish/v1/Managers/1"]}"#,
            None,
        ),
        ("nvidia_viking", "HostBMC_0", "/redfish/v1/UpdateService/upload", Some("*"), "{}", None),
        (
            "nvidia_viking",
            "HGX_FW_GPU_SXM_1",
            "/redfish/v1/UpdateService/upload",
            Some("*"),
            r#"{"Targets":["/redfish/v1/UpdateService/FirmwareInventory/HGX_0"]}"#,
            Some(&gpu_tray[..]),
        ),
        (
            "tree-supermicro-gb300",
            "FW_BMC_0",
            "/redfish/v1/UpdateService/update-multipart",
            None,
            r#"{"@Redfish.OperationApplyTime":"Immediate","Targets":[]}"#,
            None,
        ),
    ] {
        let Some((_dir, root)) = unpack(test, tree) else { return };
        let (written, pushes) = pushed(serve(root), component, "99.0", targets).await;
        rejected(tree, &written);
        let [push] = pushes.as_slice() else { panic!("{tree}: {pushes:?}") };
        assert_eq!((push.path.as_str(), push.header("if-match")), (path, star), "{tree}");
        assert_eq!(body(push), standard(parameters, ""), "{tree}");
    }
}

#[tokio::test]
async fn ilo_gets_its_web_pages_form_with_the_session_key() {
    let Some((_dir, root)) = unpack("ilo_gets_its_web_pages_form_with_the_session_key", "hpe") else { return };
    let (written, pushes) = pushed(serve(root), "iLO 5", "3.01", None).await;
    rejected("hpe", &written);
    let [push] = pushes.as_slice() else { panic!("{pushes:?}") };
    assert_eq!(push.path, "/cgi-bin/uploadFile");
    assert_eq!(push.header("cookie"), Some("sessionKey=0123456789abcdef"));
    let want = format!(
        "--B\r\nContent-Disposition: form-data; name=\"sessionKey\"\r\n\r\n0123456789abcdef\r\n\
         --B\r\nContent-Disposition: form-data; name=\"parameters\"\r\nContent-Type: application/json\r\n\r\n\
         {{\"ETag\":\"bringup\",\"UpdateRepository\":false,\"UpdateTarget\":true}}\r\n\
         --B\r\nContent-Disposition: form-data; name=\"files[]\"; filename=\"firmware_1.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{}\r\n--B--\r\n",
        image()
    );
    assert_eq!(body(push), want);
    assert!(!format!("{written:?}").contains("0123456789abcdef"), "{written:?}");
}

/// A small BMC of a maker of which no tree was captured.
fn small(
    vendor: &'static str,
    model: &'static str,
    service: serde_json::Value,
) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    move |seen: &Seen| {
        let path = seen.path.trim_end_matches('/');
        let link = |to: &str| json!({ "@odata.id": to });
        Reply::json(
            200,
            &match path {
                "/redfish/v1" => json!({
                    "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot", "Vendor": vendor,
                    "Systems": link("/redfish/v1/Systems"), "UpdateService": link("/redfish/v1/UpdateService"),
                    "Links": {"Sessions": link("/redfish/v1/SessionService/Sessions")},
                }),
                "/redfish/v1/Systems" => json!({ "Members": [link("/redfish/v1/Systems/1")] }),
                "/redfish/v1/Systems/1" => json!({
                    "@odata.id": path, "@odata.type": "#ComputerSystem.v1_1_0.ComputerSystem", "Manufacturer": vendor, "Model": model,
                    "Links": {"ManagedBy": [link("/redfish/v1/Managers/Self")]},
                }),
                "/redfish/v1/Managers/Self" => json!({
                    "@odata.id": path, "@odata.type": "#Manager.v1_1_0.Manager", "ManagerType": "BMC", "FirmwareVersion": "1.0",
                }),
                "/redfish/v1/UpdateService" => service.clone(),
                "/redfish/v1/UpdateService/FirmwareInventory" => {
                    json!({ "Members": [link("/redfish/v1/UpdateService/FirmwareInventory/BMC")] })
                }
                "/redfish/v1/UpdateService/FirmwareInventory/BMC" => json!({
                    "@odata.id": path, "Id": "BMC", "Version": "1.0", "RelatedItem": [link("/redfish/v1/Managers/Self")],
                }),
                _ => return Reply::status(404),
            },
        )
    }
}

#[tokio::test]
async fn lenovo_gets_a_third_part_or_a_claim_and_a_bare_image() {
    let inventory = json!({ "@odata.id": "/redfish/v1/UpdateService/FirmwareInventory" });
    let tsm = json!({
        "@odata.id": "/redfish/v1/UpdateService", "FirmwareInventory": inventory,
        "MultipartHttpPushUri": "/redfish/v1/UpdateService/upload", "Oem": {"Ami": {}},
    });
    let (written, pushes) = pushed(small("AMI", "HS350X V3", tsm), "BMC", "2.0", None).await;
    rejected("tsm", &written);
    let [push] = pushes.as_slice() else { panic!("{pushes:?}") };
    let third = "--B\r\nContent-Disposition: form-data; name=\"OemParameters\"\r\nContent-Type: application/json\r\n\r\n\
                 {\"FlashType\":\"HPMFwUpdate\",\"UploadSelector\":\"Default\"}\r\n";
    assert_eq!(body(push), standard(r#"{"Targets":["/redfish/v1/Managers/Self"]}"#, third));

    let xcc = json!({
        "@odata.id": "/redfish/v1/UpdateService", "FirmwareInventory": inventory, "HttpPushUri": "/fwupdate",
        "HttpPushUriTargetsBusy": false, "MultipartHttpPushUri": "/mfwupdate", "MaxImageSizeBytes": 250_000_000,
    });
    let (written, pushes) = pushed(small("Lenovo", "ThinkSystem SR680a V3", xcc), "BMC", "2.0", None).await;
    rejected("xcc", &written);
    let seen: Vec<(&str, &str, &str)> = pushes.iter().map(|p| (p.method.as_str(), p.path.as_str(), p.body.as_str())).collect();
    let bare = image();
    assert_eq!(
        seen,
        [
            ("PATCH", "/redfish/v1/UpdateService", r#"{"HttpPushUriTargetsBusy":true}"#),
            ("POST", "/fwupdate", bare.as_str()),
            ("PATCH", "/redfish/v1/UpdateService", r#"{"HttpPushUriTargetsBusy":false}"#),
        ],
        "claimed, pushed, given back"
    );
    assert_eq!(pushes[1].header("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn what_cannot_be_pushed_is_not_begun() {
    let test = "what_cannot_be_pushed_is_not_begun";
    let Some((_dir, root)) = unpack(test, "supermicro") else { return };
    for (component, version, class, words) in [
        ("GPU99", "1", UpdateClass::Precondition, "it is not listed; there is"),
        ("NVMeController1", "99", UpdateClass::Precondition, "cannot be updated"),
    ] {
        let (written, pushes) = pushed(serve(root.clone()), component, version, None).await;
        let Written::NotApplied(e) = &written else { panic!("{written:?}") };
        assert!(UpdateClass::of(e) == Some(class) && e.seen.contains(words) && pushes.is_empty(), "{component}: {e}");
    }
    // What runs is known by the inventory and by the manager, and is not sent again.
    let (written, pushes) = pushed(serve(root), "BMC", "11.01.01", None).await;
    let Written::Applied(text) = &written else { panic!("{written:?}") };
    assert!(text.contains("nothing was sent") && pushes.is_empty(), "{text}");
}
