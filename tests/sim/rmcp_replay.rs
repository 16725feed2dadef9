//! Behind a proxy that tampers, repeats and counts: only what is authentic and fresh is answered. And a lossy line loses by its seed.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bringup::sim::Fault;

use super::rmcp_rig::{PASSWORD, Rig, USER, good};
use crate::support::need_program;

/// True for an encrypted and authenticated RMCP+ packet.
fn sealed(datagram: &[u8]) -> bool {
    datagram.len() > 16 && datagram[3] == 0x07 && datagram[4] == 0x06 && datagram[5] == 0xc0
}

#[test]
fn only_fresh_and_authentic_packets_are_answered() {
    if need_program("rmcp_replay::only_fresh_and_authentic_packets_are_answered", "ipmitool").is_none() {
        return;
    }
    for suite in ["3", "17"] {
        let rig = Rig::new(&[]);
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = front.local_addr().unwrap().port();
        front.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (stop, asked, answered) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let proxy = std::thread::spawn({
            let (stop, asked, answered, bmc) = (stop.clone(), asked.clone(), answered.clone(), rig.address);
            move || {
                let back = UdpSocket::bind("127.0.0.1:0").unwrap();
                back.connect(bmc).unwrap();
                back.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                let mut buffer = [0u8; 1024];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, client)) = front.recv_from(&mut buffer) else { continue };
                    let true_one = buffer[..length].to_vec();
                    if sealed(&true_one) {
                        asked.fetch_add(1, Ordering::Relaxed);
                        // One bit of the header, the secret, the trailer and the code, each in turn; then the same once more.
                        for at in [6, 12, 20, length - 20, length - 1] {
                            let mut wrong = true_one.clone();
                            wrong[at] ^= 0x10;
                            back.send(&wrong).unwrap();
                        }
                        back.send(&true_one).unwrap();
                    }
                    back.send(&true_one).unwrap();
                    // All answers that come until it is quiet; the client gets each.
                    while let Ok(length) = back.recv(&mut buffer) {
                        answered.fetch_add(usize::from(sealed(&buffer[..length])), Ordering::Relaxed);
                        front.send_to(&buffer[..length], client).unwrap();
                    }
                }
            }
        });
        let output = std::process::Command::new("ipmitool")
            .args([
                "-I",
                "lanplus",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                USER,
                "-E",
                "-C",
                suite,
                "-N",
                "5",
                "mc",
                "info",
            ])
            .env("IPMITOOL_PASSWORD", PASSWORD)
            .output()
            .unwrap();
        stop.store(true, Ordering::Relaxed);
        proxy.join().unwrap();
        good(&output);
        let (asked, answered) = (asked.load(Ordering::Relaxed), answered.load(Ordering::Relaxed));
        // Set Session Privilege, Get Device ID, Close Session at least.
        assert!(asked >= 3, "{asked}");
        assert_eq!(asked, answered, "suite {suite}: one answer for each request, and none for its copies");
    }
}

#[test]
fn a_lossy_line_loses() {
    let answers = |faults: &[Fault]| {
        let rig = Rig::new(faults);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(rig.address).unwrap();
        let mut buffer = [0; 64];
        for tag in 0..100 {
            socket.send(&[0x06, 0, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x80, tag, 0, 0]).unwrap();
        }
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut tags = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            tags.push(buffer[..length][9]);
        }
        tags
    };
    assert_eq!(answers(&[]).len(), 100);
    assert_eq!(answers(&[Fault::UdpDup]).len(), 200);
    let (some, again) = (answers(&[Fault::UdpLoss(50)]), answers(&[Fault::UdpLoss(50)]));
    assert!((5..60).contains(&some.len()), "a quarter comes through: {}", some.len());
    assert_eq!(some, again, "the same seed loses the same");
    assert!(answers(&[Fault::UdpLoss(100)]).is_empty());
}

/// Hundreds of BMCs in one process: each is one task and one socket.
#[test]
fn hundreds_in_one_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let mut addresses = Vec::new();
        for _ in 0..300 {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            addresses.push(socket.local_addr().unwrap());
            let server = bringup::sim::rmcp::serve(super::rmcp_rig::machine(&[]), socket);
            assert!(std::mem::size_of_val(&server) < 2048, "{} bytes a waiting BMC", std::mem::size_of_val(&server));
            tasks.spawn(server);
        }
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = [0; 64];
        for address in addresses {
            client.send_to(&[0x06, 0, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x80, 1, 0, 0], address).await.unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(10), client.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(answer.1, address);
        }
        tasks.shutdown().await;
    });
}
