//! The client against sushy-tools' emulator (fake driver): TLS, Basic, power that lags by 1–11 s, and an override that is stored its own way.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use bringup::bmc::redfish::{FirstContact, Redfish, RedfishOptions};
use bringup::bmc::{Bmc, BmcTrouble, Password, Written};
use bringup::model::{BmcTrust, BootMode, BootOverride, BootTarget, Digest, PowerState, PowerVerb, Reading};

use super::redfish_server::fingerprint;
use crate::support::{Service, need_venv, wait_until};

const UUID: [&str; 2] = ["c7a5fdbd-cdaf-9455-926a-d65c16db1809", "27946b59-9e44-4fa7-8e91-f3527a1ef094"];
/// The longest lag is 11 s; ten times that for a loaded machine.
const LONG: Duration = Duration::from_secs(110);

pub struct Sushy {
    _service: Service,
    dir: tempfile::TempDir,
    address: std::net::SocketAddr,
    fingerprint: Digest,
}

impl Sushy {
    /// With the fake driver and two systems.
    pub fn start(test: &str) -> Option<Self> {
        let systems: Vec<String> = UUID
            .iter()
            .enumerate()
            .map(|(i, uuid)| {
                format!("{{'uuid': '{uuid}', 'name': 'node{i}', 'power_state': 'Off', 'external_notifier': False, 'nics': []}}")
            })
            .collect();
        let lines = format!("SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{}]\n", systems.join(", "));
        Self::launch(test, &lines, &["--fake"])
    }

    /// With these lines of configuration, in Python, and these flags.
    pub fn launch(test: &str, lines: &str, flags: &[&str]) -> Option<Self> {
        let emulator = need_venv(test, "sushy-emulator")?;
        let python = need_venv(test, "python")?;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("state")).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(at("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let hash = Command::new(&python)
            .args(["-c", "import bcrypt; print('admin:' + bcrypt.hashpw(b'password', bcrypt.gensalt(4)).decode())"])
            .output()
            .unwrap();
        assert!(hash.status.success(), "{}", String::from_utf8_lossy(&hash.stderr));
        std::fs::write(at("htpasswd"), hash.stdout).unwrap();
        let config = format!(
            "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_STATE_DIR = '{}'\n{lines}\
             SUSHY_EMULATOR_SSL_CERT = '{}'\nSUSHY_EMULATOR_SSL_KEY = '{}'\nSUSHY_EMULATOR_AUTH_FILE = '{}'\n",
            at("state"),
            at("cert.pem"),
            at("key.pem"),
            at("htpasswd"),
        );
        std::fs::write(at("conf.py"), config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(at("log")).unwrap();
        let mut service = Service::start(
            Command::new(emulator)
                .args(["--config", &at("conf.py"), "-i", "127.0.0.1", "-p", &port.to_string()])
                .args(flags)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        )
        .unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        wait_until("sushy-emulator listens", Duration::from_secs(60), || {
            assert!(
                service.alive(),
                "sushy-emulator ended: {}",
                std::fs::read_to_string(dir.path().join("log")).unwrap_or_default()
            );
            TcpStream::connect(address).is_ok()
        });
        let fingerprint = fingerprint(made.cert.der());
        Some(Self { _service: service, dir, address, fingerprint })
    }

    pub fn options(&self, password: &str, system: usize) -> RedfishOptions {
        let trust = BmcTrust::Pinned(self.fingerprint.clone());
        let mut options = RedfishOptions::new(self.address, "admin", Password::new(password), trust);
        options.system = Some(UUID[system].to_owned());
        options
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// What it keeps of the systems: power, boot and the like. Its databases are rewritten by reads, so that their rows are compared.
    pub fn holds(&self) -> String {
        const DUMP: &str = "import glob, sqlite3, sys\n\
            for name in sorted(glob.glob(sys.argv[1] + '/*.sqlite')):\n    print(name, sorted(sqlite3.connect(name).iterdump()))";
        let state = self.dir.path().join("state");
        let out = Command::new(need_venv("the rows of sushy's databases", "python").unwrap())
            .args(["-c", DUMP])
            .arg(state)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Every request that was no read, in order, by method and path.
    pub fn writes(&self) -> Vec<String> {
        let log = self.log();
        let asked = log.lines().filter_map(|line| line.split('"').nth(1)?.strip_suffix(" HTTP/1.1"));
        asked.filter(|ask| !ask.starts_with("GET ")).map(str::to_owned).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

pub fn applied(written: Written) -> String {
    match written {
        Written::Applied(text) => text,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn sushy_power_is_driven_and_proved() {
    let Some(sushy) = Sushy::start("sushy_power_is_driven_and_proved") else { return };
    let bmc = Redfish::new(sushy.options("password", 0)).unwrap();
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(bmc.certificate(), Some(sushy.fingerprint.clone()));
    println!("on: {}", applied(bmc.set_power(PowerVerb::On, LONG).await));
    println!("cycle: {}", applied(bmc.set_power(PowerVerb::Cycle, LONG).await));
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::On));
    println!("graceful: {}", applied(bmc.set_power(PowerVerb::Graceful, LONG).await));
    // Lag beyond the deadline is not called a failure. The lag is drawn anew each time, from next to nothing to 11 s, so that it may be shorter.
    let mut told = Vec::new();
    for _ in 0..6 {
        println!("off: {}", applied(bmc.set_power(PowerVerb::Off, LONG).await));
        match bmc.set_power(PowerVerb::On, Duration::from_millis(500)).await {
            Written::Ambiguous(text) if text.contains("was not seen") => return bmc.close().await,
            seen_in_time @ Written::Applied(_) => told.push(seen_in_time),
            not_even_asked @ Written::NotApplied(_) => told.push(not_even_asked),
            other => panic!("{other:?}"),
        }
    }
    panic!("never beyond the deadline: {told:?}");
}

#[tokio::test]
async fn sushy_boot_override_is_told_as_it_is_stored() {
    let Some(sushy) = Sushy::start("sushy_boot_override_is_told_as_it_is_stored") else { return };
    let bmc = Redfish::new(sushy.options("password", 1)).unwrap();
    let mut want = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    let text = applied(bmc.set_boot(&want).await);
    assert!(text.contains("Target Pxe, Enabled Continuous, Mode UEFI") && text.contains("Once was not kept"), "{text}");
    let held = bmc.boot().await.unwrap();
    assert_eq!(held.known().map(|b| (b.target, b.once)), Some((BootTarget::Pxe, false)));
    // It says that it offers UefiHttp and stores Pxe.
    want.target = BootTarget::UefiHttp;
    match bmc.set_boot(&want).await {
        Written::NotApplied(e) => assert!(e.to_string().contains("read back: Target Pxe"), "{e}"),
        other => panic!("{other:?}"),
    }
    // Not offered: refused before anything is touched.
    want.target = BootTarget::Setup;
    match bmc.set_boot(&want).await {
        Written::NotApplied(e) => {
            assert!(e.kind == BmcTrouble::Unsupported && e.to_string().contains("it offers Pxe, Cd"), "{e}")
        }
        other => panic!("{other:?}"),
    }
    bmc.close().await;
}

#[tokio::test]
async fn sushy_says_what_it_does_not_know() {
    let Some(sushy) = Sushy::start("sushy_says_what_it_does_not_know") else { return };
    let bmc = Redfish::new(sushy.options("password", 0)).unwrap();
    let facts = bmc.identity().await.unwrap();
    assert_eq!(facts.uuid.known().map(String::as_str), Some(UUID[0]));
    assert!(facts.serial.why_unknown().is_some_and(|why| why.contains("SerialNumber")), "{facts:?}");
    let firmware = bmc.firmware().await.unwrap();
    let why = firmware.why_unknown().expect("its UpdateService names an inventory that is not there");
    assert!(why.contains("GET /redfish/v1/UpdateService/FirmwareInventory: 404"), "{why}");
    assert_eq!(bmc.tasks().await.unwrap(), Reading::Absent);
    bmc.close().await;
    // Two systems that both can be reset, and nothing to tell them by.
    let mut options = sushy.options("password", 0);
    options.system = None;
    let error = Redfish::new(options).unwrap().power().await.unwrap_err();
    assert!(UUID.iter().all(|uuid| error.to_string().contains(uuid)), "{error}");
    let mut options = sushy.options("password", 0);
    (options.system, options.expect_uuid) = (None, Some(UUID[1].to_uppercase()));
    assert_eq!(Redfish::new(options).unwrap().power().await.unwrap(), Reading::Known(PowerState::Off));
}

#[tokio::test]
async fn sushy_sees_one_wrong_password_and_no_request_under_a_wrong_pin() {
    let Some(sushy) = Sushy::start("sushy_sees_one_wrong_password_and_no_request_under_a_wrong_pin") else { return };
    let mut options = sushy.options("password", 0);
    options.trust = BmcTrust::Pinned(Digest::new("00".repeat(32)).unwrap());
    let error = Redfish::new(options).unwrap().power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Certificate { seen: sushy.fingerprint.as_str().to_owned() });
    let mut options = sushy.options("password", 0);
    options.trust = BmcTrust::FirstContact;
    let error = Redfish::new(options).unwrap().power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Certificate { seen: sushy.fingerprint.as_str().to_owned() });
    assert_eq!(sushy.log().matches("GET /").count(), 0, "{}", sushy.log());

    let bmc = Redfish::new(sushy.options("wrong", 0)).unwrap();
    for _ in 0..3 {
        assert_eq!(bmc.power().await.unwrap_err().kind, BmcTrouble::Credentials);
    }
    let log = sushy.log();
    // Its root says nothing of sessions: they are looked for by a POST without any credentials, then the password goes out once.
    let (posts, gets): (Vec<&str>, Vec<&str>) =
        log.lines().filter(|line| line.contains("\" 401 ")).partition(|line| line.contains("POST /"));
    assert_eq!((posts.len(), gets.len(), log.matches("\" 200 ").count()), (1, 1, 1), "one login after the open root: {log}");

    let mut options = sushy.options("password", 0);
    (options.trust, options.first_contact) = (BmcTrust::FirstContact, FirstContact::Accept);
    let bmc = Redfish::new(options).unwrap();
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(bmc.certificate(), Some(sushy.fingerprint.clone()));
}
