//! The IPMI client against our own simulator, whose codecs share nothing with the client's: cipher suite 17, which no server of others speaks, and faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::{Bmc, BmcTrouble, Password, Written};
use bringup::model::{AcceleratorKind, BootMode, BootOverride, BootTarget, NodeId, PowerState, PowerVerb, RackId, Reading};
use bringup::sim::{Clock, Durations, Fault, Fitted, Identity, MachineHandle, Seed, profile, rmcp};

const LONG: Duration = Duration::from_secs(30);

async fn machine(faults: &[&str]) -> (MachineHandle, SocketAddr) {
    let faults: Vec<Fault> = faults.iter().map(|f| f.parse().unwrap()).collect();
    let identity = Identity::derive(
        Seed(3),
        NodeId::new("a001-s02").unwrap(),
        RackId::new("a001").unwrap(),
        2,
        profile::by_name("supermicro").unwrap(),
        Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
        &faults,
    );
    let account = ("admin".to_owned(), "s3cret".to_owned());
    let machine = MachineHandle::new(Clock::start(10_000), Arc::new(identity), faults, Durations::default(), false, account);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(rmcp::serve(machine.clone(), socket));
    (machine, address)
}

fn client(to: SocketAddr, suite: Option<u8>) -> IpmiBmc {
    IpmiBmc::new(Lan::new(), to, Account::new("admin", Password::new("s3cret"), suite).unwrap())
}

#[tokio::test]
async fn everything_over_suite_17() {
    let (machine, address) = machine(&[]).await;
    let bmc = client(address, None);
    let facts = bmc.identity().await.unwrap();
    assert_eq!(bmc.cipher_suite(), Some(17));
    assert_eq!(facts.serial.known(), Some(&machine.identity().serial));
    assert_eq!(facts.uuid.known(), Some(&machine.identity().uuid), "{:?}", facts.uuid);
    for (verb, end) in [
        (PowerVerb::On, PowerState::On),
        (PowerVerb::Cycle, PowerState::On),
        (PowerVerb::Off, PowerState::Off),
        (PowerVerb::Cycle, PowerState::On),
    ] {
        let written = bmc.set_power(verb, LONG).await;
        assert!(matches!(written, Written::Applied(_)), "{verb}: {written:?}");
        assert_eq!(bmc.power().await.unwrap(), Reading::Known(end), "{verb}");
    }
    let want = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    let written = bmc.set_boot(&want).await;
    assert!(matches!(written, Written::Applied(_)), "{written:?}");
    assert_eq!(bmc.boot().await.unwrap(), Reading::Known(want));
    assert_eq!(machine.boot_override().target, BootTarget::Pxe);
    let written = bmc.set_boot(&BootOverride::none()).await;
    assert!(matches!(written, Written::Applied(_)), "{written:?}");
    assert_eq!(bmc.boot().await.unwrap().known().map(|held| held.target), Some(BootTarget::None));
    bmc.close().await;
}

#[tokio::test]
async fn a_bmc_without_suite_17_is_spoken_to_by_suite_3() {
    let (_, address) = machine(&["ipmi.no-suite-17"]).await;
    let bmc = client(address, None);
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(bmc.cipher_suite(), Some(3));
    assert_eq!(client(address, Some(17)).power().await.unwrap_err().kind, BmcTrouble::Unsupported);
}

#[tokio::test]
async fn a_boot_override_that_is_ignored_is_ambiguous() {
    let (_, address) = machine(&["boot.ignore"]).await;
    let want = BootOverride { target: BootTarget::Pxe, once: true, mode: None, http_uri: None };
    match client(address, None).set_boot(&want).await {
        Written::Ambiguous(seen) => assert!(seen.contains("read back"), "{seen}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bad_proof_is_wrong_credentials_and_not_a_retry() {
    let (_, address) = machine(&["rakp.bad-hmac"]).await;
    assert_eq!(client(address, None).power().await.unwrap_err().kind, BmcTrouble::Credentials);
}

#[tokio::test]
async fn a_bmc_that_dies_in_the_session_is_told_within_the_deadline() {
    let (_, address) = machine(&["bmc-dead-after(2)"]).await;
    let bmc = client(address, None).with_patience(Duration::from_secs(2));
    for _ in 0..3 {
        if let Err(error) = bmc.power().await {
            assert!(matches!(error.kind, BmcTrouble::TimedOut | BmcTrouble::Unreachable), "{error}");
            return;
        }
    }
    panic!("it never died");
}
