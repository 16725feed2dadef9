//! The BMC's side of the console (§15): one session has it, one packet is out at a time, what is not acknowledged is sent again and given up after
//! seven times. It carries characters between the machine's serial line and that session; what they mean it does not know.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::sim::console::Getty;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// Characters in one packet, either way; with the four bytes of header this is what Activate Payload tells.
pub(super) const CHARACTERS: usize = 200;
/// Retry interval and count, as Get SOL Configuration Parameters tells them (parameter 4, in units of 10 ms).
pub(super) const RETRY_10_MS: u8 = 10;
pub(super) const RETRIES: u8 = 7;
/// Characters that wait for the session; what is more is lost, and told as an overrun.
const QUEUE: usize = 16 * 1024;
/// How much a console has carried when `sol.reset` ends it.
const RESET_AFTER: usize = 256;

/// Bits of the status byte.
mod status {
    pub(super) const NACK: u8 = 0x40;
    pub(super) const UNAVAILABLE: u8 = 0x20;
    pub(super) const ENDED: u8 = 0x10;
    pub(super) const OVERRUN: u8 = 0x08;
}

/// A packet that is out.
struct Flight {
    number: u8,
    bytes: Vec<u8>,
    sent: u8,
    at: Duration,
}

/// The session that has the console.
struct Active {
    session: u32,
    peer: Option<SocketAddr>,
    number: u8,
    flight: Option<Flight>,
    queue: VecDeque<u8>,
    overrun: bool,
    /// The newest packet of the console: number and how much of it was taken.
    last: Option<(u8, u8)>,
    /// The packet that is refused until it comes again.
    refused: Option<u8>,
    carried: usize,
    powered: bool,
}

/// A packet for a session.
pub(super) struct Unasked {
    pub(super) session: u32,
    pub(super) peer: Option<SocketAddr>,
    pub(super) payload: Vec<u8>,
}

/// The console of one BMC.
#[derive(Default)]
pub(super) struct Sol {
    active: Option<Active>,
    getty: Getty,
    /// What a console that lost its right is still to be told.
    farewells: Vec<Unasked>,
    /// `sol.drop` counts packets.
    passed: u32,
    /// `sol.busy` was there and was sent away.
    ghost_gone: bool,
    /// `sol.reset` has struck so often.
    resets: u32,
}

/// The session of the client that has the console under `sol.busy`; nobody else's can be it, since real ones are random and this one is told to be
/// user 2's from another address.
pub(super) const GHOST: u32 = 0x0b5e_55ed;

impl Sol {
    fn ghost(&self, machine: &MachineHandle) -> bool {
        !self.ghost_gone && machine.bends(BmcFault::SolBusy).is_some()
    }

    /// The session that has it.
    pub(super) fn holder(&self, machine: &MachineHandle) -> Option<(u32, Option<SocketAddr>)> {
        if self.ghost(machine) {
            return Some((GHOST, None));
        }
        self.active.as_ref().map(|active| (active.session, active.peer))
    }

    /// Gives it to a session; false when another one has it.
    pub(super) fn activate(&mut self, machine: &MachineHandle, session: u32, peer: Option<SocketAddr>) -> bool {
        if self.ghost(machine) || self.active.is_some() {
            return false;
        }
        machine.listen(true);
        self.active = Some(Active {
            session,
            peer,
            number: 0,
            flight: None,
            queue: VecDeque::new(),
            overrun: false,
            last: None,
            refused: None,
            carried: 0,
            powered: true,
        });
        true
    }

    /// Takes it from whoever has it; false when nobody has.
    pub(super) fn deactivate(&mut self, machine: &MachineHandle, by: u32) -> bool {
        if self.ghost(machine) {
            self.ghost_gone = true;
            return true;
        }
        let Some(active) = self.active.take() else { return false };
        machine.listen(false);
        if active.session != by {
            let payload = vec![0, 0, 0, status::ENDED];
            self.farewells.push(Unasked { session: active.session, peer: active.peer, payload });
        }
        true
    }

    /// The session is over, and the console with it.
    pub(super) fn session_ended(&mut self, machine: &MachineHandle, lives: impl Fn(u32) -> bool) {
        if self.active.as_ref().is_some_and(|active| !lives(active.session)) {
            self.active = None;
            machine.listen(false);
        }
    }

    /// `sol.reset`: true once when the BMC is to lose all its sessions in the middle of a console.
    pub(super) fn resets(&mut self, machine: &MachineHandle) -> bool {
        let Some(placed) = machine.bends(BmcFault::SolReset) else { return false };
        let due = self.active.as_ref().is_some_and(|active| active.carried >= RESET_AFTER);
        // Without a count it happens once: a console that is lost for ever would prove nothing.
        if !due || self.resets >= placed.times.unwrap_or(1) {
            return false;
        }
        self.resets += 1;
        self.active = None;
        machine.listen(false);
        true
    }

    /// `sol.drop`: the first of every three packets, either way, until its times are used up.
    fn drops(&mut self, machine: &MachineHandle) -> bool {
        if machine.bends(BmcFault::SolDrop).is_none() {
            return false;
        }
        self.passed += 1;
        self.passed % 3 == 1 && machine.strikes(BmcFault::SolDrop).is_some()
    }

    /// A payload of this session; gives the answer.
    pub(super) fn heard(&mut self, machine: &MachineHandle, session: u32, payload: &[u8], now: Duration) -> Option<Vec<u8>> {
        let (&[number, answers, taken, operation], characters) = payload.split_first_chunk::<4>()?;
        if self.active.as_ref().is_none_or(|active| active.session != session) || self.drops(machine) {
            return None;
        }
        let (number, answers) = (number & 0x0f, answers & 0x0f);
        let powered = machine.is_powered();
        let active = self.active.as_mut()?;
        if active.flight.as_ref().is_some_and(|flight| answers != 0 && flight.number == answers) {
            acknowledged(active, usize::from(taken), operation & status::NACK != 0, now);
        }
        if number == 0 {
            return None;
        }
        let unavailable = if powered { 0 } else { status::UNAVAILABLE };
        if active.last.is_some_and(|(last, _)| last == number) {
            // Sent again because our answer was lost: it is not typed again.
            let (_, count) = active.last?;
            return Some(vec![0, number, count, unavailable]);
        }
        if machine.bends(BmcFault::SolNack).is_some() && active.refused.is_none() && machine.strikes(BmcFault::SolNack).is_some()
        {
            active.refused = Some(number);
            active.last = Some((number, 0));
            return Some(vec![0, number, 0, unavailable | status::NACK]);
        }
        active.refused = None;
        let whole = characters.len();
        let partly = whole > 1 && machine.strikes(BmcFault::SolPartial).is_some();
        let count = if partly { whole.div_ceil(2) } else { whole };
        active.last = Some((number, u8::try_from(count).unwrap_or(u8::MAX)));
        if powered {
            let printed = self.getty.typed(machine, characters.get(..count).unwrap_or_default());
            self.print(&printed);
        }
        Some(vec![0, number, u8::try_from(count).unwrap_or(u8::MAX), unavailable])
    }

    fn print(&mut self, bytes: &[u8]) {
        let Some(active) = &mut self.active else { return };
        let room = QUEUE.saturating_sub(active.queue.len());
        active.overrun |= bytes.len() > room;
        active.queue.extend(bytes.iter().take(room));
    }

    /// What is to be sent now without being asked, and in how long there may be more.
    pub(super) fn unasked(&mut self, machine: &MachineHandle, now: Duration) -> (Vec<Unasked>, Option<Duration>) {
        let mut out = std::mem::take(&mut self.farewells);
        if self.active.is_none() {
            return (out, None);
        }
        let (printed, wake) = machine.serial();
        self.print(&printed);
        let powered = machine.is_powered();
        let retry = Duration::from_millis(u64::from(RETRY_10_MS) * 10);
        let Some(active) = &mut self.active else { return (out, None) };
        let mut payload = None;
        match &mut active.flight {
            Some(flight) if now >= flight.at + retry => {
                if flight.sent > RETRIES {
                    // Given up: these characters are lost.
                    active.flight = None;
                } else {
                    flight.sent += 1;
                    flight.at = now;
                    payload = Some(flight.bytes.clone());
                }
            }
            Some(_) => {}
            None if !active.queue.is_empty() || powered != active.powered => {
                active.number = active.number % 15 + 1;
                let count = active.queue.len().min(CHARACTERS);
                let lost = if std::mem::take(&mut active.overrun) { status::OVERRUN } else { 0 };
                active.powered = powered;
                let flags = lost | if powered { 0 } else { status::UNAVAILABLE };
                let mut bytes = vec![active.number, 0, 0, flags];
                bytes.extend(active.queue.drain(..count));
                active.carried += count;
                active.flight = Some(Flight { number: active.number, bytes: bytes.clone(), sent: 1, at: now });
                payload = Some(bytes);
            }
            None => {}
        }
        let (session, peer) = (active.session, active.peer);
        let due = active.flight.as_ref().map(|flight| (flight.at + retry).saturating_sub(now));
        let wake = [due, wake].into_iter().flatten().min();
        if let Some(payload) = payload
            && !self.drops(machine)
        {
            out.push(Unasked { session, peer, payload });
        }
        (out, wake)
    }
}

/// The console has answered the packet that is out.
fn acknowledged(active: &mut Active, taken: usize, nack: bool, now: Duration) {
    let Some(flight) = active.flight.take() else { return };
    let characters = flight.bytes.get(4..).unwrap_or_default();
    if nack && taken == 0 {
        active.flight = Some(Flight { at: now, ..flight });
        return;
    }
    // What was not taken goes out again, under a new number.
    for byte in characters.get(taken.min(characters.len())..).unwrap_or_default().iter().rev() {
        active.queue.push_front(*byte);
    }
}
