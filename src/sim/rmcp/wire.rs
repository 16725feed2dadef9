//! What the network does to a BMC's datagrams (IP-01, IP-11): loses, doubles, reorders, delays and forges them, by the machine's seed. It reads no
//! datagram beyond its headers and answers none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sim::fault::{BmcFault, Fault};
use crate::sim::handle::MachineHandle;

/// A datagram that is held back goes out at the latest after this real time: nobody may have asked again.
const HELD: Duration = Duration::from_millis(700);
/// Of so many datagrams one is struck by a fault that has no number of times: with each of them struck no handshake would ever end.
const ONE_IN: u64 = 3;

/// A datagram on its way out.
pub(super) type Outgoing = (Vec<u8>, SocketAddr);

/// The wire of one BMC.
pub(super) struct Wire {
    machine: MachineHandle,
    loss: u32,
    twice: bool,
    thrown: u64,
    held: VecDeque<Held>,
    forges: bool,
    /// The last answer of a session that went out, to be replayed.
    earlier: Option<Vec<u8>>,
}

struct Held {
    datagram: Outgoing,
    /// So many later answers go first.
    behind: u32,
    until: Instant,
}

impl Wire {
    pub(super) fn new(machine: &MachineHandle) -> Self {
        let faults = machine.faults();
        let loss = faults.iter().find_map(|f| if let Fault::UdpLoss(percent) = f { Some(*percent) } else { None });
        let twice = faults.contains(&Fault::UdpDup);
        let forges = faults.iter().any(|f| matches!(f, Fault::Bmc(placed) if placed.what == BmcFault::UdpForge));
        let machine = machine.clone();
        Self { machine, loss: loss.unwrap_or(0), twice, thrown: 0, held: VecDeque::new(), forges, earlier: None }
    }

    fn dice(&mut self, bound: u64) -> u64 {
        self.thrown += 1;
        let identity = self.machine.identity();
        identity.seed.below(&format!("{}/udp/{}", identity.node, self.thrown), bound)
    }

    /// True when the network loses this datagram.
    pub(super) fn loses(&mut self) -> bool {
        self.loss != 0 && self.dice(100) < u64::from(self.loss)
    }

    /// True when a fault of single datagrams strikes this one: always when it has a number of times, else one in three.
    fn strikes(&mut self, what: BmcFault) -> bool {
        match self.machine.bends(what) {
            None => false,
            Some(placed) => (placed.times.is_some() || self.dice(ONE_IN) == 0) && self.machine.strikes(what).is_some(),
        }
    }

    /// What goes out now for this answer.
    pub(super) fn out(&mut self, answer: Vec<u8>, to: SocketAddr) -> Vec<Outgoing> {
        let mut now = Vec::new();
        let (forged, instead) = self.forged(&answer);
        now.extend(forged.into_iter().map(|bytes| (bytes, to)));
        // RAKP 2, outside of any session.
        if matches!(answer.as_slice(), [_, _, _, _, 0x06, 0x13, ..])
            && let Some(slow) = self.machine.bends(BmcFault::RakpSlow)
        {
            let until = Instant::now() + Duration::from_millis(slow.arg().into());
            self.held.push_back(Held { datagram: (answer, to), behind: u32::MAX, until });
            return now;
        }
        let behind = if self.strikes(BmcFault::UdpReorder) {
            1
        } else if self.strikes(BmcFault::UdpLate) {
            2
        } else {
            0
        };
        if behind > 0 && self.held.is_empty() {
            self.held.push_back(Held { datagram: (answer, to), behind, until: Instant::now() + HELD });
            return now;
        }
        if !instead {
            let copies = if self.twice { 2 } else { 1 };
            for _ in 0..copies {
                if !self.loses() {
                    now.push((answer.clone(), to));
                }
            }
        }
        for held in &mut self.held {
            held.behind = held.behind.saturating_sub(1);
        }
        now.extend(self.due());
        now
    }

    /// Held datagrams whose turn has come.
    pub(super) fn due(&mut self) -> Vec<Outgoing> {
        let at = Instant::now();
        let (go, stay): (VecDeque<Held>, VecDeque<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.behind == 0 || held.until <= at);
        self.held = stay;
        go.into_iter().map(|held| held.datagram).collect()
    }

    /// When the next held datagram goes out whatever happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.until).min()
    }

    /// Forgeries of an answer of a session, and whether they come in its place.
    fn forged(&mut self, answer: &[u8]) -> (Vec<Vec<u8>>, bool) {
        // RMCP+, encrypted and authenticated: an answer of a session.
        let sealed = matches!(answer, [_, _, _, _, 0x06, kind, ..] if kind & 0xc0 == 0xc0);
        if !self.forges || !sealed {
            return (Vec::new(), false);
        }
        let Some(placed) = self.machine.strikes(BmcFault::UdpForge) else {
            self.earlier = Some(answer.to_vec());
            return (Vec::new(), false);
        };
        let changed = |at: usize| {
            let mut bytes = answer.to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x20;
            }
            bytes
        };
        // A bit of the code; a bit of the session's id.
        let mut out = vec![changed(answer.len().saturating_sub(1)), changed(6)];
        out.extend(self.earlier.clone());
        let instead = placed.arg() == 1;
        if !instead {
            self.earlier = Some(answer.to_vec());
        }
        (out, instead)
    }
}
