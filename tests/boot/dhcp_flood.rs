//! The DHCP server on a real socket under a flood of forged MACs: it lives, it serves, it keeps little, and nothing else is hidden.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bringup::boot::Grants;
use bringup::boot::dhcp::{DhcpLog, DhcpOptions, DhcpServer, Mode, Ports, Registry};
use tokio_util::sync::CancellationToken;

use super::dhcp_lab::PATIENCE;
use super::dhcp_rules::{Question, ask, site};
use crate::support::skip;

const NODE: Ipv4Addr = Ipv4Addr::new(127, 93, 0, 1);

/// A port that nobody has; another test may take it before we do, then binding fails and says so.
fn free_port() -> u16 {
    UdpSocket::bind("127.93.0.9:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_flood_of_forged_macs_is_bounded_and_hides_nothing() {
    let test = "boot::dhcp_flood::a_flood_of_forged_macs_is_bounded_and_hides_nothing";
    let mut inventory = site();
    let node = inventory.nodes.get_mut(&"a001-s01".parse().unwrap()).unwrap();
    node.boot.ip = NODE.into();
    node.boot.lan.as_mut().unwrap().network = "127.93.0.0/16".parse().unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let grants = Grants::open(&dir.path().join("grants.db")).unwrap();
    let client = UdpSocket::bind((NODE, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let ports = Ports { server: free_port(), client: client.local_addr().unwrap().port(), boot_server: free_port() };
    let options = DhcpOptions {
        interface: "lo".into(),
        mode: Mode::Reserve,
        http: "127.0.0.1:8088".parse().unwrap(),
        ports,
        advertise: false,
        log: DhcpLog::default(),
    };
    let mut told = options.log.watch();
    let server = match runtime.block_on(async { DhcpServer::bind(&options, Arc::new(Registry::of(&inventory))) }) {
        Ok(server) => server,
        Err(error) => return skip(test, &format!("the interface lo with its address ({error})")),
    };
    let stop = CancellationToken::new();
    let task = runtime.spawn(server.run(grants.clone(), stop.clone()));

    let forger = UdpSocket::bind("127.93.0.7:0").unwrap();
    let send = |question: &Question| assert!(forger.send_to(&question.bytes(), ("127.93.0.8", ports.server)).unwrap() > 240);
    let renewal = Question { ciaddr: NODE, ..ask(3) };
    for n in 0..12_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        send(&Question { mac: [0x0a, 0xff, 0, a, b, c], ..ask(1).pxe(7) });
        if n % 100 == 0 {
            // As fast as it reads them, more or less: what the kernel drops proves nothing.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // A node that renews, and one of the wrong architecture: each asks until it is heard, as machines do.
    let (began, mut buffer) = (Instant::now(), [0; 1500]);
    loop {
        assert!(began.elapsed() < PATIENCE, "a node is not served any more");
        send(&renewal);
        if let Ok(length) = client.recv(&mut buffer) {
            // Option 53, an ACK.
            let acked = buffer[240..243] == [53, 1, 5] && buffer[16..20] == NODE.octets();
            assert!(length >= 300 && acked, "{:?}", &buffer[..length]);
            break;
        }
    }
    let mut lines = Vec::new();
    crate::support::wait_until("the refusal is told", PATIENCE, || {
        send(&Question { mac: [2, 0, 0, 0, 0x11, 2], ..ask(1).pxe(11) });
        while let Ok(sight) = told.try_recv() {
            lines.push(sight.line());
        }
        lines.iter().any(|line| line.contains("a001-s02 refused: it asks as uefi-aarch64"))
    });
    stop.cancel();
    runtime.block_on(task).unwrap();
    let kept = runtime.block_on(grants.sightings()).unwrap();
    let of = |kind: &str| kept.iter().filter(|s| s.kind == kind).count();
    // 4,096 are kept of each kind, in memory and on the disk.
    assert!((1000..=4096).contains(&of("discovered")), "{} of 12,000", of("discovered"));
    assert_eq!(of("refused"), 1, "{kept:?}");
    while let Ok(sight) = told.try_recv() {
        lines.push(sight.line());
    }
    assert!(lines.iter().filter(|line| line.contains("unknown machine")).count() <= 4096);
    if of("discovered") == 4096 {
        assert!(of("trouble") > 0, "that more was seen than is kept is written down");
    }
}
