//! Is there an IPMI service behind this one address? The presence ping, which needs no account, from a socket of its own: only a connected socket
//! is told that the port is closed. It decides nothing and sends at most three packets of twelve bytes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::presence::{ping, pong};

/// How often, and how long each time at most: BMCs answer a ping in less than 100 ms.
const PINGS: u32 = 3;
const EACH: Duration = Duration::from_millis(300);

/// What answers at a BMC's IPMI port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// RMCP, and it says that it speaks IPMI.
    Ipmi,
    /// RMCP, and it says that it does not speak IPMI.
    NoIpmi,
    /// The machine says that the port is closed.
    Closed,
    /// Nothing.
    Silent,
}

/// Asks, within `patience` and 900 ms at most. Every failure to ask is silence.
pub async fn knock(to: SocketAddr, patience: Duration) -> Door {
    let end = Instant::now() + patience;
    let any: SocketAddr = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let Ok(socket) = UdpSocket::bind(any).await else { return Door::Silent };
    if socket.connect(to).await.is_err() {
        return Door::Silent;
    }
    for _ in 0..PINGS {
        let left = end.saturating_duration_since(Instant::now()).min(EACH);
        if left.is_zero() {
            break;
        }
        if let Ok(Some(seen)) = tokio::time::timeout(left, ask(&socket)).await {
            return seen;
        }
    }
    Door::Silent
}

async fn ask(socket: &UdpSocket) -> Option<Door> {
    let tag = rand::random_range(0..0xff_u8);
    if let Err(error) = socket.send(&ping(tag)).await {
        return closed(&error);
    }
    let mut buffer = [0u8; 64];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(len) => {
                if let Some(seen) = pong(buffer.get(..len).unwrap_or_default(), tag) {
                    return Some(if seen.ipmi { Door::Ipmi } else { Door::NoIpmi });
                }
            }
            Err(error) => return closed(&error),
        }
    }
}

fn closed(error: &std::io::Error) -> Option<Door> {
    (error.kind() == ErrorKind::ConnectionRefused).then_some(Door::Closed)
}
