//! A bad network between the client and `ipmi_sim`: packets lost, doubled, late, out of order, forged and replayed. The seed is in every message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bringup::bmc::{Bmc, Written};
use bringup::model::{PowerState, PowerVerb, Reading};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::ipmi_rig::{Sim, admin, client, free_ip};

/// How bad it is, in parts of a hundred.
#[derive(Clone, Copy)]
pub struct Weather {
    pub loss: u32,
    pub twice: u32,
    pub forge: u32,
    /// Shortest and longest time that a packet takes; those in between change places.
    pub late_ms: (u64, u64),
}

/// Passes packets on, badly; aborted when dropped.
pub struct Proxy {
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn start(bmc: SocketAddr, weather: Weather, seed: u64) -> Self {
        let front = Arc::new(UdpSocket::bind((free_ip(), 0)).await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        back.connect(bmc).await.unwrap();
        let addr = front.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(pass(front, back, weather, seed));
        Self { addr, _tasks: tasks }
    }
}

async fn pass(front: Arc<UdpSocket>, back: Arc<UdpSocket>, weather: Weather, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut a, mut b) = ([0u8; 1024], [0u8; 1024]);
    let mut caller: Option<SocketAddr> = None;
    let mut heard: Vec<Vec<u8>> = Vec::new();
    let mut flights = JoinSet::new();
    loop {
        let (packet, inward) = tokio::select! {
            got = front.recv_from(&mut a) => { let (n, from) = got.unwrap(); caller = Some(from); (a[..n].to_vec(), true) }
            got = back.recv(&mut b) => { let Ok(n) = got else { continue }; (b[..n].to_vec(), false) }
            _ = flights.join_next(), if !flights.is_empty() => continue,
        };
        let mut out = Vec::new();
        if !inward && dice.random_range(0..100) < weather.forge {
            // An attacker on the path: the genuine packet changed in one bit, and something old, both ahead of the genuine one.
            let mut forged = packet.clone();
            // Nothing in the standard protects the status byte of a handshake answer (offset 17): who can change that can only end the handshake.
            let at = match dice.random_range(12..forged.len()) {
                17 if packet[5] & 0x3f != 0 => 18,
                at => at,
            };
            forged[at] ^= 1 << dice.random_range(0..8);
            out.push(forged);
            if !heard.is_empty() {
                out.push(heard[dice.random_range(0..heard.len())].clone());
            }
        }
        if !inward {
            heard.push(packet.clone());
        }
        if dice.random_range(0..100) >= weather.loss {
            out.push(packet.clone());
            // Towards the BMC nothing is doubled: ipmi_sim keeps no replay window and would rightly be told twice by the network.
            if !inward && dice.random_range(0..100) < weather.twice {
                out.push(packet);
            }
        }
        for packet in out {
            let wait = Duration::from_millis(dice.random_range(weather.late_ms.0..=weather.late_ms.1));
            let (front, back, caller) = (Arc::clone(&front), Arc::clone(&back), caller);
            flights.spawn(async move {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                let _lost = if inward { back.send(&packet).await } else { front.send_to(&packet, caller.unwrap()).await };
            });
        }
    }
}

async fn power_on_exactly_once(test: &str, weather: Weather, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let Some(sim) = Sim::start(test) else { return };
        let proxy = Proxy::start(sim.addr, weather, seed).await;
        let (lan, bmc) = client(proxy.addr, admin(Some(3)));
        let bmc = bmc.with_patience(Duration::from_secs(60));
        let before = bmc.power().await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(before, Reading::Known(PowerState::Off), "seed {seed}");
        match bmc.set_power(PowerVerb::On, Duration::from_secs(60)).await {
            Written::Applied(_) => {}
            other => panic!("seed {seed}: {other:?}; the BMC was told {:?}", sim.told()),
        }
        let after = bmc.power().await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(after, Reading::Known(PowerState::On), "seed {seed}");
        assert_eq!(sim.times("set power 1"), 1, "seed {seed}: {:?}", sim.told());
        if weather.forge > 50 {
            assert!(lan.dropped().refused.load(Ordering::Relaxed) > 0, "seed {seed}: nothing was forged: {:?}", lan.dropped());
        }
        bmc.close().await;
    }
}

#[tokio::test]
async fn lost_doubled_and_late_packets_do_a_power_command_once() {
    let weather = Weather { loss: 20, twice: 25, forge: 0, late_ms: (0, 30) };
    power_on_exactly_once("lost_doubled_and_late_packets_do_a_power_command_once", weather, 0..8).await;
}

#[tokio::test]
async fn forged_and_replayed_packets_change_nothing() {
    let weather = Weather { loss: 0, twice: 0, forge: 100, late_ms: (0, 0) };
    power_on_exactly_once("forged_and_replayed_packets_change_nothing", weather, 100..106).await;
}
