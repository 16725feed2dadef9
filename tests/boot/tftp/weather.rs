//! Real clients behind a wire that loses, doubles and holds back packets, by a seed.

use std::collections::HashMap;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::clients::{busybox, curl, exact, hpa};
use super::rig::{Rig, SHORT};
use crate::support::need_program;

/// A UDP forwarder for many clients; each has a socket of its own towards the server.
struct Proxy {
    at: SocketAddrV4,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Of 100 packets, 6 are lost, 6 come twice, and 6 come after the next one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // Knuth's MMIX generator; the upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 100
    }
}

/// One direction: sends now, never, twice or after the next.
fn pass(dice: &mut Dice, held: &mut Option<Vec<u8>>, lost: &AtomicUsize, bytes: &[u8], send: impl Fn(&[u8])) {
    match dice.roll() {
        0..6 => {
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        6..12 => send(bytes),
        12..18 if held.is_none() => {
            *held = Some(bytes.to_vec());
            return;
        }
        _ => {}
    }
    send(bytes);
    if let Some(late) = held.take() {
        send(&late);
    }
}

/// One client's socket towards the server, and the packet that is held back on each way.
type Wire = (UdpSocket, Option<Vec<u8>>, Option<Vec<u8>>);

impl Proxy {
    fn start(address: &str, to: SocketAddrV4, seed: u64) -> Self {
        let front = UdpSocket::bind((address, 0)).unwrap();
        front.set_nonblocking(true).unwrap();
        let std::net::SocketAddr::V4(at) = front.local_addr().unwrap() else { panic!() };
        let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&lost));
        let thread = std::thread::spawn(move || {
            let (mut dice, mut buffer) = (Dice(seed), vec![0; 65_600]);
            let mut clients: HashMap<_, Wire> = HashMap::new();
            while !stopped.load(Ordering::Relaxed) {
                let mut quiet = true;
                while let Ok((length, from)) = front.recv_from(&mut buffer) {
                    quiet = false;
                    let (back, held, _) = clients.entry(from).or_insert_with(|| {
                        let back = UdpSocket::bind((*at.ip(), 0)).unwrap();
                        back.connect(to).unwrap();
                        back.set_nonblocking(true).unwrap();
                        (back, None, None)
                    });
                    pass(&mut dice, held, &counted, &buffer[..length], |bytes| drop(back.send(bytes)));
                }
                for (client, (back, _, held)) in &mut clients {
                    while let Ok(length) = back.recv(&mut buffer) {
                        quiet = false;
                        pass(&mut dice, held, &counted, &buffer[..length], |bytes| drop(front.send_to(bytes, client)));
                    }
                }
                if quiet {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        Self { at, stop, lost, thread: Some(thread) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// 20 blocks of 1468: each loss costs the second that the server waits.
const MIDDLE: usize = 20 * 1468 + 7;

#[test]
fn real_clients_get_the_exact_bytes_in_bad_weather() {
    const TEST: &str = "boot::tftp::weather::real_clients_get_the_exact_bytes_in_bad_weather";
    if ["curl", "tftp", "busybox"].iter().any(|program| need_program(TEST, program).is_none()) {
        return;
    }
    let rig = Rig::start_with("127.91.3.1", MIDDLE);
    let proxies: Vec<Proxy> = (0..3).map(|n| Proxy::start("127.91.3.2", rig.at, 0x5eed + n)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let into = rig.out("curl");
            exact(&rig, "curl", SHORT, &into, &curl(&rig, proxies[0].at, SHORT, 1468, &into));
        });
        scope.spawn(|| {
            let into = rig.out("hpa");
            exact(&rig, "tftp-hpa", SHORT, &into, &hpa(proxies[1].at, "binary", &["get", SHORT, into.to_str().unwrap()]));
        });
        scope.spawn(|| {
            let into = rig.out("busybox");
            exact(&rig, "busybox", SHORT, &into, &busybox(proxies[2].at, SHORT, Some(1468), &into));
        });
    });
    for proxy in &proxies {
        assert!(proxy.lost.load(Ordering::Relaxed) > 0, "the weather was fine");
    }
    // A client that has all ends; whether its last ACK came through is the weather's choice, and is told as it was.
    rig.told(&format!(" tftp {SHORT} "), 3);
    for line in rig.lines().lines() {
        let whole = line.contains(&format!(" {MIDDLE} bytes in "));
        assert!(whole || line.contains("all was sent, but its end was not acknowledged"), "{line}");
    }
}
