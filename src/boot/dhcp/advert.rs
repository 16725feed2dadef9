//! Router advertisements (RFC 4861 §6.2) that say: there is no router here, and no address to be had. iPXE waits 13 seconds for IPv6 on a
//! segment where nobody says anything; told so, it goes on at once. A router lifetime of 0 and no prefix: no node takes us for a route.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::socket::DhcpError;

/// Time between two that nobody asked for; RFC 4861 §6.2.1 wants 200 s to 600 s of its default.
const EVERY: Duration = Duration::from_secs(200);
/// The first ones come faster (§10: `MAX_INITIAL_RTR_ADVERT_INTERVAL`, `MAX_INITIAL_RTR_ADVERTISEMENTS`).
const FIRST: (u32, Duration) = (3, Duration::from_secs(16));
/// Least time between two to everyone (§10: `MIN_DELAY_BETWEEN_RAS`). Who asks with an address of its own gets one for itself.
const LEAST: Duration = Duration::from_secs(3);
/// An interface that has just come up checks its own address first (RFC 4862 §5.4: a second or two); only then is it told.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 5;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

/// The raw socket, and what is sent through it.
pub(super) struct Advertiser {
    socket: UdpSocket,
    index: u32,
    packet: Vec<u8>,
}

/// One advertisement: the kernel fills the checksum in.
fn packet(mac: Option<[u8; 6]>) -> Vec<u8> {
    // Hop limit unspecified, flags: no DHCPv6, preference low (RFC 4191 §2.2: `11`); lifetime 0; times unspecified.
    let mut bytes = vec![ADVERTISEMENT, 0, 0, 0, 0, 0b0001_1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Some(mac) = mac {
        // Source link-layer address, one unit of eight bytes.
        bytes.extend([1, 1]);
        bytes.extend(mac);
    }
    bytes
}

impl Advertiser {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`DhcpError`].
    pub(super) fn open(interface: &str, index: u32) -> Result<Self, DhcpError> {
        let made = || -> std::io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.set_multicast_if_v6(index)?;
            socket.join_multicast_v6(&ALL_ROUTERS, index)?;
            // Receivers drop what crossed a router (§6.1.2).
            socket.set_multicast_hops_v6(255)?;
            socket.set_unicast_hops_v6(255)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket.into())
        };
        let socket = made()
            .map_err(|source| DhcpError::of(source, "ICMPv6 (router advertisements; --no-ra leaves them out)", 0, interface))?;
        let text = std::fs::read_to_string(Path::new("/sys/class/net").join(interface).join("address")).unwrap_or_default();
        let mac = text.trim().parse::<crate::model::Mac>().ok().map(crate::model::Mac::octets);
        Ok(Self { socket, index, packet: packet(mac) })
    }

    /// Advertises until `stop` is cancelled. Trouble is told and tried again.
    pub(super) async fn run(self, trouble: &(dyn Fn(String) + Sync), stop: CancellationToken) {
        let mut buffer = [0; 256];
        let (mut sent, mut failed, mut next) = (0_u32, 0_u32, Instant::now());
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => match self.send(ALL_NODES).await {
                    Ok(()) => {
                        last = Some(Instant::now());
                        (sent, failed) = (sent.saturating_add(1), 0);
                        next = Instant::now() + if sent < FIRST.0 { FIRST.1 } else { EVERY };
                    }
                    Err(error) => {
                        failed += 1;
                        if failed == TRIES {
                            trouble(format!("no router advertisement can be sent ({error}): has it an IPv6 link-local address?"));
                        }
                        next = Instant::now() + AGAIN;
                    }
                },
                got = self.socket.recv_from(&mut buffer) => match got {
                    Ok((length, SocketAddr::V6(from))) if is_solicitation(buffer.get(..length).unwrap_or_default()) => {
                        if from.ip().is_unicast_link_local() {
                            // One that is lost is asked for again, and what is wrong is told by the timer's.
                            drop(self.send(*from.ip()).await);
                        } else if from.ip().is_unspecified() {
                            // It has no address yet: for everyone, as soon as may be.
                            next = next.min(last.map_or_else(Instant::now, |last| last + LEAST));
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        trouble(format!("router solicitations: {error}"));
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                },
            }
        }
    }

    async fn send(&self, to: Ipv6Addr) -> std::io::Result<()> {
        self.socket.send_to(&self.packet, SocketAddrV6::new(to, 0, 0, self.index)).await.map(drop)
    }
}

fn is_solicitation(message: &[u8]) -> bool {
    message.len() >= 8 && message.first() == Some(&SOLICITATION) && message.get(1) == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_makes_nobody_a_router() {
        let bytes = packet(Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(bytes.len(), 24);
        assert_eq!((bytes[0], bytes[1]), (134, 0));
        assert_eq!(bytes[5] & 0b1100_0000, 0, "no DHCPv6");
        assert_eq!(&bytes[6..8], [0, 0], "router lifetime");
        assert_eq!(&bytes[16..], [1, 1, 2, 0, 0, 0, 0, 1]);
        assert!(is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0]) && !is_solicitation(&[133, 0, 1]) && !is_solicitation(&bytes));
    }
}
