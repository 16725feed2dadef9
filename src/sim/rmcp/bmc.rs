//! One BMC without its socket: a datagram in, at most one out. It decides who is heard; what a command does stands in `command`.

use std::net::SocketAddr;
use std::time::Duration;

use super::command::{self, Caller, Effect};
use super::handshake;
use super::message;
use super::odd::{self, Met};
use super::packet::{self, Packet, Plus, payload};
use super::slots::{Phase, Slots};
use crate::sim::fault::BmcFault;
use crate::sim::handle::{MachineHandle, Mood};

/// Completion code "node busy".
const BUSY: u8 = 0xc0;
/// Virtual seconds of a restart: real BMCs take one to five minutes.
const RESTART: u32 = 90;

/// A BMC.
pub(super) struct Bmc {
    machine: MachineHandle,
    slots: Slots,
    guid: [u8; 16],
    state: command::State,
    /// Answers of handshakes that were lost (IP-03).
    dropped: u32,
    /// Where the datagram that is being answered came from, and the port that it came to.
    from: Option<SocketAddr>,
    port: u16,
    /// Restarts that it has lived through: each takes its sessions, its console and its event log's reservation with it.
    restarts: u32,
}

impl std::fmt::Debug for Bmc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bmc").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Bmc {
    pub(super) fn new(machine: MachineHandle) -> Self {
        let slots = Slots::new(machine.identity().profile.sessions);
        let guid = command::guid(&machine.identity().uuid);
        Self { machine, slots, guid, state: command::State::default(), dropped: 0, from: None, port: 623, restarts: 0 }
    }

    /// False while it is dead or restarts. After a restart it knows no session.
    fn lives(&mut self) -> bool {
        let restarts = self.machine.bmc_restarts();
        if restarts != self.restarts {
            self.restarts = restarts;
            self.slots.clear();
            self.state.sol.session_ended(&self.machine, |_| false);
        }
        !self.machine.dead() && !self.machine.bmc_away()
    }

    /// Says on which port it listens, for those who ask where the console is.
    pub(super) fn listens_on(&mut self, port: u16) {
        self.port = port;
    }

    /// As [`Self::answer`], for a datagram that came from there.
    pub(super) fn answer_to(&mut self, from: SocketAddr, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        self.from = Some(from);
        self.answer(datagram, now)
    }

    /// Waits until the machine prints something, when a session has the console.
    pub(super) async fn console_rang(&self) {
        self.machine.serial_rang().await;
    }

    /// What the BMC says without being asked, and in how long it may have more to say.
    pub(super) fn unasked(&mut self, now: Duration) -> (Vec<(SocketAddr, Vec<u8>)>, Option<Duration>) {
        if !self.lives() || self.machine.bends(BmcFault::IpmiDisabled).is_some() {
            return (Vec::new(), None);
        }
        self.state.sol.session_ended(&self.machine, |id| self.slots.has(id));
        if self.state.sol.resets(&self.machine) {
            self.slots.clear();
            self.machine.holds_sessions(0);
        }
        let (said, wake) = self.state.sol.unasked(&self.machine, now);
        let mut out = Vec::new();
        for unasked in said {
            let Some(Phase::Active(session)) = self.slots.peek(unasked.session).map(|slot| &mut slot.phase) else { continue };
            out.extend(unasked.peer.zip(session.seal_console(&unasked.payload)));
        }
        (out, wake)
    }

    /// The answer to a datagram that came at `now` (since the BMC's start).
    pub(super) fn answer(&mut self, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        let answer = self.decide(datagram, now);
        self.machine.holds_sessions(self.slots.active());
        answer
    }

    fn decide(&mut self, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        let packet = packet::parse(datagram)?;
        if !self.lives() {
            return None;
        }
        let off = self.machine.bends(BmcFault::IpmiDisabled).is_some();
        // With `ipmi.slots(N)` nothing but Close Session gives a slot back.
        match self.machine.bends(BmcFault::IpmiSlots) {
            Some(few) => self.slots.limit(usize::try_from(few.arg()).unwrap_or(usize::MAX)),
            None => self.slots.expire(now),
        }
        match packet {
            Packet::Ping { tag } => Some(packet::pong(tag, !off)),
            _ if off => {
                // Switching the service off ends its sessions.
                self.slots.clear();
                self.machine.packet();
                None
            }
            Packet::Plain { message } => packet::plain_answer(&self.outside(message)?),
            Packet::Plus(packet) if packet.session == 0 => self.sessionless(&packet, now),
            Packet::Plus(packet) => self.inside(&packet, now),
        }
    }

    fn sessionless(&mut self, packet: &Plus<'_>, now: Duration) -> Option<Vec<u8>> {
        if packet.encrypted || packet.authenticated {
            return None;
        }
        if packet.kind == payload::IPMI {
            let answer = self.outside(packet.payload)?;
            return packet::plus_head(0, payload::IPMI, 0, 0, &answer);
        }
        self.machine.packet();
        let answer = handshake::answer(&self.machine, &mut self.slots, &self.guid, packet.kind, packet.payload, now)?;
        if self.drops() { None } else { Some(answer) }
    }

    /// IP-03: so many answers of handshakes are lost.
    fn drops(&mut self) -> bool {
        let most = self.machine.bends(BmcFault::RakpDrop).map_or(0, |placed| placed.arg());
        let lost = self.dropped < most;
        self.dropped += u32::from(lost);
        lost
    }

    /// A message outside any session.
    fn outside(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let request = message::parse(bytes)?;
        let (from, port) = (self.from, self.port);
        let caller = Caller { level: 0, limit: 0, active: self.slots.active(), session: 0, from, port };
        let (code, data, _) = match self.machine.request() {
            Mood::Dead => return None,
            _ if odd::mute(&self.machine, &request) => return None,
            Mood::Busy => (BUSY, Vec::new(), Effect::Nothing),
            Mood::Well => command::run(&self.machine, &mut self.state, &self.guid, caller, &request),
        };
        Some(message::answer(&request, code, &data))
    }

    /// A packet of a session.
    fn inside(&mut self, packet: &Plus<'_>, now: Duration) -> Option<Vec<u8>> {
        let active = self.slots.active();
        let slot = self.slots.get(packet.session, now)?;
        let Phase::Active(session) = &mut slot.phase else { return None };
        let bytes = session.open(packet)?;
        if packet.kind == payload::SOL {
            let answer = self.state.sol.heard(&self.machine, packet.session, &bytes, now)?;
            return session.seal_console(&answer);
        }
        let request = message::parse(&bytes)?;
        let mood = self.machine.request();
        if mood == Mood::Dead || odd::mute(&self.machine, &request) {
            return None;
        }
        match session.memory.meet(&request) {
            Met::New => session.memory.forget(),
            Met::Duplicate => return session.seal(&message::answer(&request, odd::DUPLICATE, &[])),
            Met::Answer(answer) => return session.seal(&answer),
        }
        let (from, port) = (self.from, self.port);
        let caller = Caller { level: session.level, limit: session.limit, active, session: packet.session, from, port };
        let (mut code, data, effect) = match mood {
            Mood::Busy => (BUSY, Vec::new(), Effect::Nothing),
            _ => command::run(&self.machine, &mut self.state, &self.guid, caller, &request),
        };
        let mut close = None;
        match effect {
            Effect::Nothing => {}
            Effect::Level(level) => session.level = level,
            Effect::Close(id) => close = Some(id),
            Effect::Restart => {
                let sealed = session.seal(&message::answer(&request, code, &data));
                self.machine.restart_bmc(RESTART);
                return sealed;
            }
        }
        if let Some(id) = close {
            let own = id == packet.session;
            // The own session ends after its answer is sealed; another one ends now.
            if !own && !self.slots.close(id) {
                code = command::NO_SUCH_SESSION;
            }
            let Phase::Active(session) = &mut self.slots.get(packet.session, now)?.phase else { return None };
            let sealed = session.seal(&message::answer(&request, code, &data));
            if own {
                self.slots.close(id);
            }
            return sealed;
        }
        let answer = message::answer(&request, code, &data);
        if self.machine.strikes(BmcFault::IpmiCf).is_some() {
            session.memory.keep(&request, answer);
            return None;
        }
        session.seal(&answer)
    }
}
