//! One BMC without its socket: a datagram in, at most one out. It decides who is heard; what a command does stands in `command`.

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

/// A BMC.
pub(super) struct Bmc {
    machine: MachineHandle,
    slots: Slots,
    guid: [u8; 16],
    state: command::State,
    /// Answers of handshakes that were lost (IP-03).
    dropped: u32,
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
        Self { machine, slots, guid, state: command::State::default(), dropped: 0 }
    }

    /// The answer to a datagram that came at `now` (since the BMC's start).
    pub(super) fn answer(&mut self, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        let answer = self.decide(datagram, now);
        self.machine.holds_sessions(self.slots.active());
        answer
    }

    fn decide(&mut self, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        let packet = packet::parse(datagram)?;
        if self.machine.dead() {
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
        let caller = Caller { level: 0, limit: 0, active: self.slots.active() };
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
        let caller = Caller { level: session.level, limit: session.limit, active };
        let (mut code, data, effect) = match mood {
            Mood::Busy => (BUSY, Vec::new(), Effect::Nothing),
            _ => command::run(&self.machine, &mut self.state, &self.guid, caller, &request),
        };
        let mut close = None;
        match effect {
            Effect::Nothing => {}
            Effect::Level(level) => session.level = level,
            Effect::Close(id) => close = Some(id),
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
