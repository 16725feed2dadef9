//! The Redfish service under other people's clients: sushy, curl, and the `redfish` crate.

use std::process::Command;

use bringup::model::BootTarget;
use bringup::sim::Farm;
use bringup::sim::farm::SimNode;

use super::site::{farm, node, run, spec, until};
use crate::support::{need_program, need_venv};

/// `curl` with the farm's password in a file, never on the command line.
fn curl(farm: &Farm, node: &SimNode, dir: &tempfile::TempDir, path: &str, more: &[&str]) -> Command {
    let config = dir.path().join(format!("curl-{}", node.bmc));
    std::fs::write(&config, format!("user = \"admin:{}\"\n", farm.bmc_password())).unwrap();
    let mut command = Command::new("curl");
    let scheme = if node.certificate.is_some() { "https" } else { "http" };
    command.args(["-ksS", "--max-time", "20", "-w", "\n%{http_code}", "-K"]).arg(config).args(more);
    command.arg(format!("{scheme}://{}{path}", node.bmc));
    command
}

/// Status and body.
async fn ask(farm: &Farm, node: &SimNode, path: &str, more: &[&str]) -> (u16, serde_json::Value) {
    let dir = tempfile::tempdir().unwrap();
    let (exit, out, err) = run(curl(farm, node, &dir, path, more)).await;
    assert_eq!(exit, 0, "{err}");
    let (body, status) = out.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(serde_json::Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn sushy_drives_every_maker() {
    let test = "sushy_drives_every_maker";
    let Some(python) = need_venv(test, "python3") else { return };
    // Racks 1, 2 and 3 have BMCs of three makers.
    let farm = farm(3, 1, &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    std::fs::write(&secret, farm.bmc_password()).unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/drive_sushy.py");
    for node in farm.nodes() {
        let id = node.machine.identity();
        let mut command = Command::new(&python);
        command.arg(&script).arg(format!("https://{}", node.bmc)).arg("admin").arg(&secret);
        let (exit, out, err) = run(command).await;
        assert_eq!(exit, 0, "{}: {out}\n{err}", id.profile.name);
        assert!(out.contains(&format!("{} {}", id.serial, id.uuid)), "{out}");
        assert!(out.contains("power Off") && out.contains("power On"), "{out}");
        assert!(out.contains("boot Pxe Once UEFI"), "{out}");
        assert!(out.contains(&format!("manager {} BMC", id.profile.bmc_version)), "{out}");
        assert!(out.contains(&format!("firmware BIOS {}", id.profile.bios_version)), "{out}");
        assert!(out.contains("floppy refused"), "{out}");
        assert!(out.contains("UefiHttp"), "{out}");
    }
    farm.stop().await;
}

#[tokio::test]
async fn the_redfish_crate_reads_and_resets() {
    use redfish::{Auth, Client};
    let mut spec = spec(1, 1, &[]);
    spec.plain_http = true;
    let farm = Farm::start(spec).await.unwrap();
    let node = node(&farm, "a001-s01");
    let auth = Auth::basic("admin", farm.bmc_password());
    let client = Client::builder(&format!("http://{}", node.bmc)).unwrap().auth(auth).build().unwrap();
    let root = client.service_root().get().await.unwrap();
    assert_eq!(root.redfish_version, "1.17.0");
    let systems = client.systems().list().await.unwrap();
    assert_eq!(systems.members.len(), 1);
    let system = client.systems().get(node.machine.identity().profile.system_id).await.unwrap();
    assert_eq!(system.serial_number.as_deref(), Some(node.machine.identity().serial.as_str()));
    assert_eq!(system.power_state.as_deref(), Some("Off"));
    let events = client.event_service();
    let service = events.get().await.unwrap();
    assert!(service.service_enabled == Some(true) && service.event_types_for_subscription.iter().any(|t| t == "Alert"));
    let wanted = redfish::EventSubscriptionCreateRequest::new("https://192.0.2.7:1/x").protocol("Redfish").context("of a test");
    let made = events.create_subscription(&wanted).await.unwrap();
    assert!(made.location.is_some_and(|at| at.ends_with("/EventService/Subscriptions/1")));
    let found = events.get_subscription("1").await.unwrap();
    let told = (found.destination.as_deref(), found.context.as_deref(), found.protocol.as_deref());
    assert_eq!(told, (Some("https://192.0.2.7:1/x"), Some("of a test"), Some("Redfish")));
    assert_eq!(events.list_subscriptions().await.unwrap().members.len(), 1);
    events.delete_subscription("1").await.unwrap();
    assert_eq!(events.list_subscriptions().await.unwrap().members.len(), 0);
    client.systems().reset(node.machine.identity().profile.system_id, redfish::ResetType::On).await.unwrap();
    until("the power comes", || node.machine.is_powered()).await;
    farm.stop().await;
}

#[tokio::test]
async fn curl_sees_dmtf_errors() {
    if need_program("curl_sees_dmtf_errors", "curl").is_none() {
        return;
    }
    let farm = farm(2, 1, &[]).await;
    let (ami, supermicro) = (node(&farm, "a001-s01"), node(&farm, "a002-s01"));
    let (status, body) = ask(&farm, ami, "/redfish/v1/Systems/none", &[]).await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("Base.1.16.ResourceMissingAtURI")));
    assert!(body["error"]["@Message.ExtendedInfo"].as_array().is_some_and(|a| !a.is_empty()));
    let (status, _) = ask(&farm, ami, "/redfish/v1/", &["-u", "admin:wrong"]).await;
    assert_eq!(status, 200, "the root is open");
    let (status, _) = ask(&farm, ami, "/redfish/v1/Systems", &["-u", "admin:wrong"]).await;
    assert_eq!(status, 401);
    let patch = |body: &'static str| ["-X", "PATCH", "-H", "Content-Type: application/json", "-d", body];
    let boot = r#"{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}"#;
    // The AMI profile wants If-Match; a stale tag is refused by everybody.
    let (status, _) = ask(&farm, ami, "/redfish/v1/Systems/DGX", &patch(boot)).await;
    assert_eq!(status, 428);
    assert_eq!(ami.machine.boot_override().target, BootTarget::None, "nothing was written");
    let stale = [&patch(boot)[..], &["-H", "If-Match: \"0000\""]].concat();
    for (node, path) in [(ami, "/redfish/v1/Systems/DGX"), (supermicro, "/redfish/v1/Systems/1")] {
        assert_eq!(ask(&farm, node, path, &stale).await.0, 412);
    }
    let any = [&patch(boot)[..], &["-H", "If-Match: *"]].concat();
    let (status, body) = ask(&farm, ami, "/redfish/v1/Systems/DGX", &any).await;
    assert_eq!((status, body["Boot"]["BootSourceOverrideTarget"].as_str()), (200, Some("Pxe")));
    for (body, code) in [
        (r#"{"Boot":{"BootSourceOverrideTarget":"Tape"}}"#, "PropertyValueNotInList"),
        (r#"{"Boot":{"Nonsense":1}}"#, "PropertyUnknown"),
        (r#"{"SerialNumber":"x"}"#, "PropertyNotWritable"),
        (r#"{"Nonsense":1}"#, "PropertyUnknown"),
        ("not json", "MalformedJSON"),
        ("[1]", "MalformedJSON"),
    ] {
        let (status, answer) = ask(&farm, supermicro, "/redfish/v1/Systems/1", &patch(body)).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some(format!("Base.1.16.{code}").as_str())), "{body}");
    }
    let reset = "/redfish/v1/Systems/DGX/Actions/ComputerSystem.Reset";
    let post = |body: &'static str| ["-X", "POST", "-H", "Content-Type: application/json", "-d", body];
    assert_eq!(ask(&farm, ami, reset, &post(r#"{"ResetType":"Explode"}"#)).await.0, 400);
    assert_eq!(ask(&farm, ami, reset, &post("{}")).await.0, 400);
    let (status, task) = ask(&farm, ami, reset, &post(r#"{"ResetType":"On"}"#)).await;
    assert_eq!(status, 202);
    let task = task["@odata.id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&farm, ami, &task, &[]).await.0, 200);
    farm.stop().await;
}

#[tokio::test]
async fn bmc_faults_show() {
    if need_program("bmc_faults_show", "curl").is_none() {
        return;
    }
    let faults = [
        "a001-s01=dead-bmc",
        "a001-s02=bmc-dead-after(2)",
        "a001-s03=http.503(2)",
        "a001-s04=session.full",
        "a001-s05=wrong-serial",
        "a001-s06=boot.ignore",
        "a001-s07=wrong-cert",
    ];
    let farm = farm(1, 7, &faults).await;
    let dir = tempfile::tempdir().unwrap();
    let root = "/redfish/v1/";
    let (exit, ..) = run(curl(&farm, node(&farm, "a001-s01"), &dir, root, &[])).await;
    assert_eq!(exit, 7, "connection refused");
    let dying = node(&farm, "a001-s02");
    assert_eq!(ask(&farm, dying, root, &[]).await.0, 200);
    assert_eq!(ask(&farm, dying, root, &[]).await.0, 200);
    let (exit, ..) = run(curl(&farm, dying, &dir, root, &[])).await;
    assert_ne!(exit, 0, "the third request is not answered");
    let busy = node(&farm, "a001-s03");
    let seen = [ask(&farm, busy, root, &[]).await.0, ask(&farm, busy, root, &[]).await.0, ask(&farm, busy, root, &[]).await.0];
    assert_eq!(seen, [503, 503, 200]);
    let full = node(&farm, "a001-s04");
    let login = format!(r#"{{"UserName":"admin","Password":"{}"}}"#, farm.bmc_password());
    let post = ["-X", "POST", "-H", "Content-Type: application/json", "-d", &login];
    assert_eq!(ask(&farm, full, "/redfish/v1/SessionService/Sessions", &post).await.0, 503);
    let (_, system) = ask(&farm, node(&farm, "a001-s05"), "/redfish/v1/Systems/DGX", &[]).await;
    let id = node(&farm, "a001-s05").machine.identity();
    assert_eq!(system["SerialNumber"], id.serial.as_str());
    assert_ne!(id.serial, id.recorded_serial);
    let boot = r#"{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}"#;
    let patch = ["-X", "PATCH", "-H", "If-Match: *", "-H", "Content-Type: application/json", "-d", boot];
    let (status, body) = ask(&farm, node(&farm, "a001-s06"), "/redfish/v1/Systems/DGX", &patch).await;
    assert_eq!((status, body["Boot"]["BootSourceOverrideTarget"].as_str()), (200, Some("None")));
    // The pin is the whole certificate: curl's own pin of the public key would do as well, but only the digest is in the facts.
    let shown = |node: &SimNode| certificate(node.bmc);
    assert_eq!(shown(node(&farm, "a001-s06")).await, node(&farm, "a001-s06").certificate.as_ref().unwrap().as_str());
    assert_ne!(shown(node(&farm, "a001-s07")).await, node(&farm, "a001-s07").certificate.as_ref().unwrap().as_str());
    farm.stop().await;
}

/// SHA-256 of the certificate at an address, as `openssl s_client` and `openssl x509` see it.
async fn certificate(address: std::net::SocketAddr) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -outform DER | sha256sum", "sh"]);
    command.arg(address.to_string());
    let (_, out, _) = run(command).await;
    out.split_whitespace().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn sessions_are_counted_and_given_back() {
    if need_program("sessions_are_counted_and_given_back", "curl").is_none() {
        return;
    }
    let farm = farm(1, 1, &[]).await;
    let node = node(&farm, "a001-s01");
    let login = format!(r#"{{"UserName":"admin","Password":"{}"}}"#, farm.bmc_password());
    let post = ["-X", "POST", "-H", "Content-Type: application/json", "-d", &login];
    let sessions = "/redfish/v1/SessionService/Sessions";
    let mut last = String::new();
    for _ in 0..node.machine.identity().profile.sessions {
        let (status, body) = ask(&farm, node, sessions, &post).await;
        assert_eq!(status, 201);
        last = body["@odata.id"].as_str().unwrap().to_owned();
    }
    assert_eq!(ask(&farm, node, sessions, &post).await.0, 503, "the table is full");
    assert_eq!(ask(&farm, node, &last, &["-X", "DELETE"]).await.0, 204);
    assert_eq!(ask(&farm, node, sessions, &post).await.0, 201);
    assert_eq!(ask(&farm, node, &last, &["-X", "DELETE"]).await.0, 404);
    farm.stop().await;
}
