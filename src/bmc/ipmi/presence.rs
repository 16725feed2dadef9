//! Is there an IPMI service at all? The RMCP presence ping (ASF 2.0 §3.2.4.2, §3.2.4.3), which needs no account, from a socket of its own: only a
//! connected socket is told that the port is closed. It decides nothing and sends at most three packets of twelve bytes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

/// RMCP 1.0, no acknowledgement, class ASF; enterprise 4542; Presence Ping, tag, reserved, no data.
const PING: [u8; 12] = [0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80, 0x5a, 0x00, 0x00];
/// Presence Pong of this tag, and its sixteen bytes of data.
const PONG: [u8; 9] = [0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x40];
/// "Supported entities" of a pong: after the headers, two enterprise numbers of four bytes.
const ENTITIES: usize = 20;
const IPMI_SUPPORTED: u8 = 0x80;
/// How often, and how long each time at most: BMCs answer a ping in less than 100 ms.
const PINGS: u32 = 3;
const EACH: Duration = Duration::from_millis(300);

/// What answers at a BMC's IPMI port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
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
pub async fn presence(to: SocketAddr, patience: Duration) -> Presence {
    let end = Instant::now() + patience;
    let any: SocketAddr = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let Ok(socket) = UdpSocket::bind(any).await else { return Presence::Silent };
    if socket.connect(to).await.is_err() {
        return Presence::Silent;
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
    Presence::Silent
}

async fn ask(socket: &UdpSocket) -> Option<Presence> {
    if let Err(error) = socket.send(&PING).await {
        return closed(&error);
    }
    let mut buffer = [0u8; 64];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(len) => {
                if let Some(seen) = read(buffer.get(..len).unwrap_or_default()) {
                    return Some(seen);
                }
            }
            Err(error) => return closed(&error),
        }
    }
}

fn closed(error: &std::io::Error) -> Option<Presence> {
    (error.kind() == ErrorKind::ConnectionRefused).then_some(Presence::Closed)
}

/// Reads a Presence Pong; `None` for anything else.
#[must_use]
pub fn read(packet: &[u8]) -> Option<Presence> {
    packet.strip_prefix(&PONG)?;
    let entities = packet.get(ENTITIES)?;
    Some(if entities & IPMI_SUPPORTED != 0 { Presence::Ipmi } else { Presence::NoIpmi })
}

#[cfg(test)]
mod tests {
    use super::{Presence, read};

    /// The pong of OpenIPMI's `ipmi_sim` 2.0.33 as captured, and the same without the IPMI bit.
    #[test]
    fn a_pong_says_whether_there_is_ipmi() {
        let mut pong =
            [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 7, 0, 0x10, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&pong), Some(Presence::Ipmi));
        pong[20] = 0x01;
        assert_eq!(read(&pong), Some(Presence::NoIpmi));
        assert_eq!(read(&pong[..20]), None);
        pong[8] = 0x41;
        assert_eq!(read(&pong), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_none(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            drop(read(&bytes).map(|p| format!("{p:?}")));
        }
    }
}
