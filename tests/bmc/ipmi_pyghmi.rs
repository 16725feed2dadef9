//! The IPMI client against pyghmi's `Bmc` class (OpenStack; virtualbmc is built on it): another person's reading of the standard, with a key of the
//! BMC's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::ipmi::rakp::BmcKey;
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::{Bmc, BmcTrouble, Password, Written};
use bringup::model::{BootOverride, BootTarget, PowerState, PowerVerb, Reading};

use super::ipmi_lossy::{Proxy, Weather};
use super::ipmi_rig::admin;
use crate::support::{Service, need_venv, wait_until};

const LONG: Duration = Duration::from_secs(60);

struct Told {
    _dir: tempfile::TempDir,
    told: PathBuf,
    addr: SocketAddr,
    _service: Service,
}

impl Told {
    fn start(test: &str, kg: Option<&str>) -> Option<Self> {
        let python = need_venv(test, "python")?;
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        std::fs::write(&told, "").unwrap();
        // Free now, and nobody else in this test process takes it: each asks the kernel for one.
        let addr = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bmc/pyghmi_bmc.py");
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let service = Service::start(
            Command::new(python)
                .arg(script)
                .arg(addr.port().to_string())
                .arg(&told)
                .args(kg)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        )
        .unwrap();
        let ask = [6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 4, 0xb5];
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        wait_until("pyghmi's BMC answers", LONG, || {
            let _closed_yet = socket.send_to(&ask, addr);
            socket.recv_from(&mut [0; 64]).is_ok()
        });
        Some(Self { _dir: dir, told, addr, _service: service })
    }

    /// What it complained of.
    fn log(&self) -> String {
        std::fs::read_to_string(self.told.with_file_name("log")).unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::fs::read_to_string(&self.told).unwrap().lines().map(str::to_owned).collect()
    }
}

fn client(to: SocketAddr, account: Account) -> IpmiBmc {
    IpmiBmc::new(Lan::new(), to, account).with_patience(LONG)
}

fn applied(written: Written) -> String {
    match written {
        Written::Applied(seen) => seen,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn power_boot_and_identity() {
    let Some(bmc) = Told::start("power_boot_and_identity", None) else { return };
    // Not pinned: it answers every Open Session Request with suite 3.
    let hand = client(bmc.addr, admin(None));
    assert_eq!(hand.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(hand.cipher_suite(), Some(3));
    applied(hand.set_power(PowerVerb::On, LONG).await);
    assert!(applied(hand.set_power(PowerVerb::On, LONG).await).contains("nothing was sent"));
    applied(hand.set_power(PowerVerb::Cycle, LONG).await);
    applied(hand.set_power(PowerVerb::Graceful, LONG).await);
    assert_eq!(bmc.told(), ["on", "off", "on", "soft"]);
    let want = BootOverride { target: BootTarget::Pxe, once: true, mode: None, http_uri: None };
    applied(hand.set_boot(&want).await);
    assert_eq!(bmc.told()[4..], ["boot network"]);
    let facts = hand.identity().await.unwrap();
    assert_eq!(facts.uuid.known().map(String::as_str), Some("336a1b2c-5d0e-4f60-91a2-b3c4d5e6f708"));
    assert!(facts.serial.known().is_none(), "it has no FRU, and nothing is made up: {:?}", facts.serial);
    hand.close().await;
    // A second session from the same socket, which it takes for the first one's until it is greeted.
    assert_eq!(hand.power().await.unwrap(), Reading::Known(PowerState::Off));
    hand.close().await;
}

#[tokio::test]
async fn a_key_of_its_own() {
    let kg = "00112233445566778899aabbccddeeff01234567";
    let Some(bmc) = Told::start("a_key_of_its_own", Some(kg)) else { return };
    let right = client(bmc.addr, admin(Some(3)).with_bmc_key(BmcKey::from_hex(kg).unwrap()));
    assert_eq!(right.power().await.unwrap(), Reading::Known(PowerState::Off));
    right.close().await;
    for key in [None, BmcKey::from_hex("ff112233445566778899aabbccddeeff01234567")] {
        let account = key.into_iter().fold(admin(Some(3)), Account::with_bmc_key);
        let error = client(bmc.addr, account).power().await.unwrap_err();
        assert_eq!(error.kind, BmcTrouble::Credentials, "{error}");
        assert!(error.to_string().contains("K_G"), "{error}");
    }
    let wrong = Account::new("admin", Password::new("n0t-it"), Some(3)).unwrap();
    let error = client(bmc.addr, wrong).power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Credentials, "{error}");
}

#[tokio::test]
async fn behind_a_bad_network() {
    let Some(bmc) = Told::start("behind_a_bad_network", None) else { return };
    for seed in 0..4 {
        let weather = Weather { loss: 10, twice: 20, forge: 0, late_ms: (2, 30) };
        let proxy = Proxy::start(bmc.addr, weather, seed).await;
        let hand = Arc::new(client(proxy.addr, admin(Some(3))));
        for verb in [PowerVerb::On, PowerVerb::Off] {
            let written = hand.set_power(verb, LONG).await;
            assert!(matches!(written, Written::Applied(_)), "seed {seed}, {verb:?}: {written:?}\n{}", bmc.log());
        }
        hand.close().await;
        let done = usize::try_from(seed).unwrap() + 1;
        let told = bmc.told();
        assert_eq!(told.iter().filter(|line| *line == "on").count(), done, "seed {seed}: {told:?}");
        assert_eq!(told.iter().filter(|line| *line == "off").count(), done, "seed {seed}: {told:?}");
    }
}

/// Whoever speaks to it from one socket, session after session, is heard each time.
#[tokio::test]
async fn session_after_session_from_one_socket() {
    let Some(bmc) = Told::start("session_after_session_from_one_socket", None) else { return };
    let hand = client(bmc.addr, admin(Some(3)));
    let began = std::time::Instant::now();
    for round in 0..12 {
        let seen = hand.power().await;
        assert!(matches!(seen, Ok(Reading::Known(PowerState::Off))), "round {round}: {seen:?}");
        hand.close().await;
    }
    // The second login finds out that it has to greet; the later ones know.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
