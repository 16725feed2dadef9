//! A BMC's IPMI 2.0 service over UDP: ASF presence, RMCP+ sessions with cipher suites 3 and 17, and the commands that a bring-up needs. Its
//! codecs are its own and share nothing with the product's, so that one mistake cannot hide another. It answers nothing to what it cannot
//! read, as a BMC does, and never opens a socket itself.
//!
//! Sections in these files are those of the "Intelligent Platform Management Interface Specification", second generation, v2.0 rev. 1.1.
//!
//! ```text
//! datagram ─► packet ─► bmc ─► handshake (Open Session, RAKP 1 to 4)
//!                        └───► session (keys, windows) ─► message ─► command/* ─► MachineHandle
//! odd: what this BMC does otherwise than the standard says      wire: what the network does to its datagrams
//! ```
//!
//! Small by design: one task, one socket and a few hundred bytes a BMC, so that a process serves hundreds. Faults: `dead-bmc`,
//! `bmc-dead-after(N)`, `http.503(N)` (completion code C0h), `session.full`, `udp.loss(P)`, `udp.dup`, `rakp.bad-hmac`, `ipmi.no-suite-17`, and those
//! of the rows IP-01 to IP-15. Every packet that a BMC answers or could answer is a request, the handshake's among them.

mod bmc;
mod command;
mod crypto;
mod fru;
mod handshake;
mod message;
mod odd;
mod packet;
mod session;
mod slots;
mod wire;

use std::time::Instant;

use tokio::net::UdpSocket;

use self::bmc::Bmc;
pub use self::odd::BMC_KEY;
use self::wire::Wire;
use super::handle::MachineHandle;

/// The longest datagram that any command here needs; what is longer is cut and then not understood.
const DATAGRAM: usize = 512;

/// Serves a machine's BMC on this socket until the returned future is dropped.
pub async fn serve(machine: MachineHandle, socket: UdpSocket) {
    let started = Instant::now();
    let mut wire = Wire::new(&machine);
    let mut bmc = Bmc::new(machine);
    let mut buffer = [0u8; DATAGRAM];
    loop {
        let heard = match wire.next_due() {
            None => Some(socket.recv_from(&mut buffer).await),
            Some(due) => tokio::time::timeout_at(due.into(), socket.recv_from(&mut buffer)).await.ok(),
        };
        let out = match heard {
            None => wire.due(),
            // An error here is an ICMP answer to something sent before (a client that went away); the socket lives on.
            Some(Err(_)) => {
                tokio::task::yield_now().await;
                continue;
            }
            Some(Ok(_)) if wire.loses() => continue,
            Some(Ok((length, from))) => match buffer.get(..length).and_then(|datagram| bmc.answer(datagram, started.elapsed())) {
                Some(answer) => wire.out(answer, from),
                None => continue,
            },
        };
        for (datagram, to) in out {
            // UDP promises nothing, and neither does this.
            drop(socket.send_to(&datagram, to).await);
        }
    }
}

/// One datagram in, at most one out, with no socket: for tests that throw everything at the parsers.
#[derive(Debug)]
pub struct Bench(Bmc);

impl Bench {
    /// A BMC on a bench.
    #[must_use]
    pub fn new(machine: MachineHandle) -> Self {
        Self(Bmc::new(machine))
    }

    /// What the BMC answers.
    pub fn answer(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.0.answer(datagram, std::time::Duration::ZERO)
    }
}
