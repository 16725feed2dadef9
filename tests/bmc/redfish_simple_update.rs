//! `SimpleUpdate` against sushy-tools' emulator over libvirt's test driver: a BMC without a firmware inventory, whose task is a constant and whose
//! update adds one to the BIOS version whatever it is told. Only a client that looks at the version tells the truth of it.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::updating::{FirmwareImage, UpdateClass, UpdateTerms, Updating as _};
use bringup::bmc::{Bmc as _, Password, Written};
use bringup::model::{BmcTrust, Component, Digest, Reading, Version};

use super::redfish_server::quick;
use crate::support::{Service, need_venv, wait_until};

/// The one domain of `test:///default`.
const SYSTEM: &str = "/redfish/v1/Systems/6695eb01-f6a4-8304-79aa-97f2502e193f";

async fn push(bmc: &Redfish, version: &str, url: Option<&str>) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bios.bin");
    std::fs::write(&file, b"image").unwrap();
    let targets = [SYSTEM.to_owned()];
    let image = FirmwareImage {
        file: &file,
        name: "bios.bin",
        sha256: &Digest::new("6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d").unwrap(),
        component: &Component::new("BIOS").unwrap(),
        version: &Version::new(version).unwrap(),
        url,
        targets: Some(&targets),
    };
    bmc.update(&image, &UpdateTerms { deadline: Duration::from_secs(20), again: false, hpm: false, tell: &|_| {} }).await
}

#[tokio::test]
async fn sushy_updates_by_url_and_is_believed_by_its_version_only() {
    let test = "sushy_updates_by_url_and_is_believed_by_its_version_only";
    let (Some(emulator), Some(python)) = (need_venv(test, "sushy-emulator"), need_venv(test, "python")) else { return };
    let libvirt = Command::new(python).args(["-c", "import libvirt"]).stderr(Stdio::null()).status().unwrap();
    if !libvirt.success() {
        return crate::support::skip(test, "libvirt for Python");
    }
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("conf.py");
    std::fs::write(&conf, format!("SUSHY_EMULATOR_STATE_DIR = {:?}\n", dir.path())).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut service = Service::start(
        Command::new(emulator)
            .arg("--config")
            .arg(&conf)
            .args(["--libvirt-uri", "test:///default", "-i", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log),
    )
    .unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait_until("sushy-emulator listens", Duration::from_secs(60), || {
        assert!(service.alive(), "{}", std::fs::read_to_string(dir.path().join("log")).unwrap_or_default());
        TcpStream::connect(address).is_ok()
    });
    let mut options = RedfishOptions::new(address, "admin", Password::new("password"), BmcTrust::Plaintext);
    options.limits = quick();
    options.limits.update.lag = Duration::from_millis(500);
    options.limits.update.grace = Duration::from_millis(500);
    let bmc = Redfish::new(options).unwrap();

    // It takes no upload that could be told from its inventory link, which leads nowhere; by URL it does.
    let Written::Applied(text) = push(&bmc, "1.1.0", Some("http://127.0.0.1/bios.bin")).await else { panic!("not applied") };
    assert!(text.contains("BIOS 1.1.0 runs") && text.contains("SimpleUpdate") && text.contains("204"), "{text}");
    let Written::Applied(text) = push(&bmc, "1.1.0", Some("http://127.0.0.1/bios.bin")).await else { panic!("not applied") };
    assert!(text.contains("nothing was sent"), "{text}");
    // 204, and a task that is Completed and OK: yet another version runs than the one that was asked for.
    match push(&bmc, "7.0.0", Some("http://127.0.0.1/bios.bin")).await {
        Written::Ambiguous(text) => {
            assert!(text.starts_with(&UpdateClass::ActivatedWrong.to_string()) && text.contains("BIOS 1.2.0 runs"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let items = bmc.firmware_items().await.unwrap();
    let told: Vec<(&str, Option<&str>)> =
        items.known().unwrap().iter().map(|item| (item.component.as_str(), item.running.known().map(Version::as_str))).collect();
    assert_eq!(told, [("BIOS", Some("1.2.0")), ("BMC", Some("1.00"))]);
    assert_eq!(items.known().unwrap()[0].staged, Reading::Absent);
    bmc.close().await;
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(log.matches("POST /redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate").count(), 2, "{log}");
}
