//! Who speaks IPMI in a range of addresses: ASF presence ping and pong (DMTF DSP0136 §3.2.4; IPMI v2.0 §13.2.3), which need no session. One socket for
//! all, paced, each address asked at most three times. It sends no credential and opens no session.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How often an address is asked in all: a lost packet must not hide a BMC.
const ROUNDS: u32 = 3;
/// Pings between two pauses: what a receive buffer of 208 KiB (Debian's `rmem_max`) holds of answers many times over.
const BURST: usize = 64;
/// IANA enterprise number of the ASF (DSP0136 §3.2.2.1).
const ASF: [u8; 4] = 4542_u32.to_be_bytes();
const PING: u8 = 0x80;
const PONG: u8 = 0x40;

/// What a presence pong says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// It says that it speaks IPMI (bit 7 of the supported entities).
    pub ipmi: bool,
    /// IANA enterprise number of whoever made it; 4542 says nothing.
    pub enterprise: u32,
}

/// Asks every address and gives those that answered within `wait` of the last ping. `rate` is pings a second.
///
/// # Errors
/// No socket can be had.
pub async fn roll_call(addresses: &BTreeSet<SocketAddr>, rate: u32, wait: Duration) -> io::Result<BTreeMap<SocketAddr, Present>> {
    let mut found = BTreeMap::new();
    for v4 in [true, false] {
        let asked: BTreeSet<SocketAddr> = addresses.iter().filter(|a| a.is_ipv4() == v4).copied().collect();
        if !asked.is_empty() {
            found.extend(family(&asked, rate, wait).await?);
        }
    }
    Ok(found)
}

async fn family(asked: &BTreeSet<SocketAddr>, rate: u32, wait: Duration) -> io::Result<BTreeMap<SocketAddr, Present>> {
    let v4 = asked.iter().next().is_none_or(SocketAddr::is_ipv4);
    let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    let mut found = BTreeMap::new();
    // A tag of 255 would forbid an answer (DSP0136 §3.2.2.3).
    let tag = rand::random_range(0..0xff_u8);
    let pause = Duration::from_secs_f64(BURST as f64 / f64::from(rate.max(1)));
    for round in 0..ROUNDS {
        let left: Vec<SocketAddr> = asked.iter().filter(|a| !found.contains_key(*a)).copied().collect();
        for burst in left.chunks(BURST) {
            for to in burst {
                // Nobody there, or no route: silence tells that as well as an error.
                drop(socket.send_to(&ping(tag), to).await);
            }
            let next = Instant::now() + pause;
            collect(&socket, asked, tag, next, &mut found).await;
            sleep_until(next).await;
        }
        let patience = if round + 1 == ROUNDS { wait } else { wait / 4 };
        collect(&socket, asked, tag, Instant::now() + patience, &mut found).await;
        if found.len() == asked.len() {
            break;
        }
    }
    Ok(found)
}

/// Takes what comes until `until`, or until all have answered.
async fn collect(
    socket: &UdpSocket,
    asked: &BTreeSet<SocketAddr>,
    tag: u8,
    until: Instant,
    found: &mut BTreeMap<SocketAddr, Present>,
) {
    let mut buffer = [0_u8; 64];
    while found.len() < asked.len() {
        match timeout_at(until, socket.recv_from(&mut buffer)).await {
            Err(_) => return,
            // An ICMP answer to an earlier ping; the socket lives on.
            Ok(Err(_)) => tokio::task::yield_now().await,
            Ok(Ok((length, from))) => {
                if let Some(presence) = buffer.get(..length).and_then(|bytes| pong(bytes, tag)).filter(|_| asked.contains(&from))
                {
                    found.insert(from, presence);
                }
            }
        }
    }
}

/// RMCP header of class 6 (ASF) and the presence ping.
fn ping(tag: u8) -> [u8; 12] {
    let [a, b, c, d] = ASF;
    [0x06, 0x00, 0xff, 0x06, a, b, c, d, PING, tag, 0x00, 0x00]
}

/// The pong to our ping; `None` for anything else.
fn pong(bytes: &[u8], tag: u8) -> Option<Present> {
    let [0x06, _, _, 0x06, a, b, c, d, PONG, t, _, length, data @ ..] = bytes else { return None };
    if [*a, *b, *c, *d] != ASF || *t != tag || data.len() < usize::from(*length) {
        return None;
    }
    let [e, f, g, h, _, _, _, _, entities, ..] = data else { return None };
    Some(Present { ipmi: entities & 0x80 != 0, enterprise: u32::from_be_bytes([*e, *f, *g, *h]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `ipmi_sim` answers (OpenIPMI 2.0.33): IANA 4542, no OEM words, IPMI and ASF 1.0, no interactions.
    const REAL: [u8; 28] =
        [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 7, 0, 16, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_pong_is_read_and_a_strangers_is_not() {
        assert_eq!(pong(&REAL, 7), Some(Present { ipmi: true, enterprise: 4542 }));
        assert_eq!(pong(&REAL, 8), None, "another tag");
        assert_eq!(pong(&REAL[..20], 7), None, "cut short");
        assert_eq!(ping(7), [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 7, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_pong_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40), tag in any::<u8>()) {
            let _ = pong(&bytes, tag);
        }
    }
}
