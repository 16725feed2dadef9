//! A bad network in front of the farm: each BMC has a second address on which packets are lost (5 % in each direction) and come 20 to 60 ms late, so
//! that they also change places. What `tc netem loss 5% delay 20ms 20ms` would do; this machine's kernel has no sch_netem. And addresses that
//! take every packet and never answer.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;

/// Packets lost of a hundred, in each direction.
pub const LOSS: u32 = 5;
/// An answer comes so late, in milliseconds: half of it on the way there.
pub const LATE_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// The network. Gone when dropped.
pub struct Weather {
    _runtime: tokio::runtime::Runtime,
}

impl Weather {
    /// Puts it in front of `count` BMCs; those in `dead` take everything and say nothing.
    pub fn start(count: usize, seed: u64, from: fn(usize) -> Ipv4Addr, to: fn(usize) -> Ipv4Addr, holes: &[Ipv4Addr]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            for i in 0..count {
                let front = Arc::new(UdpSocket::bind(SocketAddrV4::new(from(i), 623)).await.unwrap());
                let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                back.connect(SocketAddrV4::new(to(i), 623)).await.unwrap();
                tokio::spawn(pass(front, back, seed.wrapping_add(i as u64)));
            }
            for at in holes {
                let hole = UdpSocket::bind(SocketAddrV4::new(*at, 623)).await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0u8; 1024];
                    loop {
                        drop(hole.recv_from(&mut buffer).await);
                    }
                });
            }
        });
        Self { _runtime: runtime }
    }
}

async fn pass(front: Arc<UdpSocket>, back: Arc<UdpSocket>, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut a, mut b) = ([0u8; 1024], [0u8; 1024]);
    let mut caller: Option<SocketAddr> = None;
    loop {
        let (packet, inward) = tokio::select! {
            got = front.recv_from(&mut a) => { let Ok((n, from)) = got else { continue }; caller = Some(from); (a[..n].to_vec(), true) }
            got = back.recv(&mut b) => { let Ok(n) = got else { continue }; (b[..n].to_vec(), false) }
        };
        if dice.random_range(0..100) < LOSS {
            continue;
        }
        let wait = Duration::from_micros(dice.random_range(LATE_MS.start() * 500..=LATE_MS.end() * 500));
        let (front, back, caller) = (Arc::clone(&front), Arc::clone(&back), caller);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _lost = match caller {
                Some(caller) if !inward => front.send_to(&packet, caller).await,
                _ => back.send(&packet).await,
            };
        });
    }
}
