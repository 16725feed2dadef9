//! A BMC's IPMI 2.0 service over UDP: ASF presence, RMCP+ sessions with cipher suites 3 and 17, and the commands that a bring-up needs. Its
//! codecs are its own and share nothing with the product's, so that one mistake cannot hide another. It answers nothing to what it cannot
//! read, as a BMC does, and never opens a socket itself.
//!
//! Sections in these files are those of the "Intelligent Platform Management Interface Specification", second generation, v2.0 rev. 1.1.
//!
//! ```text
//! datagram ─► packet ─► bmc ─► handshake (Open Session, RAKP 1 to 4)
//!                        └───► session (keys, windows) ─► message ─► command/* ─► MachineHandle
//! ```
//!
//! Small by design: one task, one socket and a few hundred bytes a BMC, so that a process serves hundreds. Faults: `dead-bmc`,
//! `bmc-dead-after(N)`, `http.503(N)` (completion code C0h), `session.full`, `udp.loss(P)`, `udp.dup`, `rakp.bad-hmac`, `ipmi.no-suite-17`.

mod bmc;
mod command;
mod crypto;
mod fru;
mod handshake;
mod message;
mod packet;
mod session;
mod slots;
mod sol;

use std::time::Instant;

use tokio::net::UdpSocket;

use self::bmc::Bmc;
use super::fault::Fault;
use super::handle::MachineHandle;

/// The longest datagram that any command here needs; what is longer is cut and then not understood.
const DATAGRAM: usize = 512;

/// Serves a machine's BMC on this socket until the returned future is dropped.
pub async fn serve(machine: MachineHandle, socket: UdpSocket) {
    let started = Instant::now();
    let mut line = Line::new(&machine);
    let mut bmc = Bmc::new(machine);
    let mut buffer = [0u8; DATAGRAM];
    if let Ok(own) = socket.local_addr() {
        bmc.listens_on(own.port());
    }
    loop {
        // What the console has to say comes between the questions.
        let (said, wake) = bmc.unasked(started.elapsed());
        for (to, packet) in said {
            send(&socket, &mut line, &packet, to).await;
        }
        let idle = tokio::time::sleep(wake.unwrap_or(std::time::Duration::MAX));
        let (length, from) = tokio::select! {
            got = socket.recv_from(&mut buffer) => match got {
                Ok(got) => got,
                // An error here is an ICMP answer to something sent before (a client that went away); the socket lives on.
                Err(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
            },
            () = bmc.console_rang() => continue,
            () = idle, if wake.is_some() => continue,
        };
        if line.loses() {
            continue;
        }
        let answer = buffer.get(..length).and_then(|datagram| bmc.answer_to(from, datagram, started.elapsed()));
        if let Some(answer) = answer {
            send(&socket, &mut line, &answer, from).await;
        }
    }
}

async fn send(socket: &UdpSocket, line: &mut Line, packet: &[u8], to: std::net::SocketAddr) {
    for _ in 0..line.copies() {
        if !line.loses() {
            // UDP promises nothing, and neither does this.
            drop(socket.send_to(packet, to).await);
        }
    }
}

/// The wire's own faults (IP-01): seeded loss in both directions, and every answer twice.
struct Line {
    machine: MachineHandle,
    loss: u32,
    twice: bool,
    thrown: u64,
}

impl Line {
    fn new(machine: &MachineHandle) -> Self {
        let faults = machine.faults();
        let loss = faults.iter().find_map(|f| if let Fault::UdpLoss(percent) = f { Some(*percent) } else { None });
        Self { machine: machine.clone(), loss: loss.unwrap_or(0), twice: faults.contains(&Fault::UdpDup), thrown: 0 }
    }

    fn loses(&mut self) -> bool {
        if self.loss == 0 {
            return false;
        }
        self.thrown += 1;
        let identity = self.machine.identity();
        identity.seed.below(&format!("{}/udp/{}", identity.node, self.thrown), 100) < u64::from(self.loss)
    }

    fn copies(&self) -> u32 {
        if self.twice { 2 } else { 1 }
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
