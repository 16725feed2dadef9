//! A BMC's IPMI 2.0 service over UDP: ASF presence, RMCP+ sessions with cipher suites 3 and 17, and the commands that a bring-up needs. Its
//! codecs are its own and share nothing with the product's, so that one mistake cannot hide another. It answers nothing to what it cannot
//! read, as a BMC does, and never opens a socket itself.
//!
//! Sections in these files are those of the "Intelligent Platform Management Interface Specification", second generation, v2.0 rev. 1.1.
//!
//! ```text
//! datagram ─► packet ─► bmc ─► handshake (Open Session, RAKP 1 to 4)
//!                        └───► session (keys, windows) ─► message ─► command/* ─► MachineHandle
//! sol: the console, which speaks without being asked
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
mod sdr;
mod sel;
mod sensors;
mod session;
mod slots;
mod sol;
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
    if let Ok(own) = socket.local_addr() {
        bmc.listens_on(own.port());
    }
    loop {
        // What the console has to say comes between the questions.
        let (said, wake) = bmc.unasked(started.elapsed());
        let mut out: Vec<_> = said.into_iter().flat_map(|(to, packet)| wire.out(packet, to)).collect();
        let due = [wire.next_due(), wake.map(|wake| Instant::now() + wake)].into_iter().flatten().min();
        if out.is_empty() {
            out = tokio::select! {
                heard = socket.recv_from(&mut buffer) => match heard {
                    // An error here is an ICMP answer to something sent before (a client that went away); the socket lives on.
                    Err(_) => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Ok(_) if wire.loses() => continue,
                    Ok((length, from)) => {
                        match buffer.get(..length).and_then(|datagram| bmc.answer_to(from, datagram, started.elapsed())) {
                            Some(answer) => wire.out(answer, from),
                            None => continue,
                        }
                    }
                },
                () = bmc.console_rang() => continue,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => wire.due(),
            };
        }
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
