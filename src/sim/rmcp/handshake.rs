//! Open Session and RAKP 1 to 4 (§13.17 to §13.24). Both sides prove that they know the password; neither sends it.

use std::time::Duration;

use super::command::user::privilege;
use super::crypto::{self, Suite};
use super::odd::{self, BMC_KEY};
use super::packet::{self, payload};
use super::session::{Session, level};
use super::slots::{Named, Phase, Slots};
use crate::sim::fault::{BmcFault, Fault};
use crate::sim::handle::MachineHandle;

/// RMCP+ status codes (table 13-15).
mod status {
    pub(super) const OK: u8 = 0x00;
    pub(super) const NO_RESOURCES: u8 = 0x01;
    pub(super) const INACTIVE: u8 = 0x08;
    pub(super) const INVALID_ROLE: u8 = 0x09;
    pub(super) const FORBIDDEN_ROLE: u8 = 0x0a;
    pub(super) const NAME_LENGTH: u8 = 0x0c;
    pub(super) const UNAUTHORIZED_NAME: u8 = 0x0d;
    pub(super) const BAD_CHECK: u8 = 0x0f;
    pub(super) const NO_SUITE: u8 = 0x11;
}

/// A BMC keeps at most 20 bytes of a password (§22.30).
const PASSWORD: usize = 20;
/// The role byte's level, and its bit "look the user up by name alone".
const ROLE_LEVEL: u8 = 0x0f;
const NAME_ONLY: u8 = 0x10;

/// Answers one packet of a handshake.
pub(super) fn answer(
    machine: &MachineHandle,
    slots: &mut Slots,
    guid: &[u8; 16],
    kind: u8,
    body: &[u8],
    now: Duration,
) -> Option<Vec<u8>> {
    let (kind, payload) = match kind {
        payload::OPEN => (payload::OPENED, open(machine, slots, body, now)?),
        payload::RAKP1 => (payload::RAKP2, rakp1(machine, slots, guid, body, now)?),
        payload::RAKP3 => (payload::RAKP4, rakp3(machine, slots, guid, body, now)?),
        _ => return None,
    };
    packet::plus_head(0, kind, 0, 0, &payload)
}

/// One algorithm proposal: type, 00 00, length 08 (or 00 for "any"), algorithm, 00 00 00.
fn proposal(kind: u8, bytes: &[u8; 8]) -> Option<u8> {
    match *bytes {
        [t, _, _, 8, algorithm, ..] if t == kind => Some(algorithm & 0x3f),
        _ => None,
    }
}

fn open(machine: &MachineHandle, slots: &mut Slots, body: &[u8], now: Duration) -> Option<Vec<u8>> {
    let body: &[u8; 32] = body.try_into().ok()?;
    let ([tag, privilege, _, _, c0, c1, c2, c3], rest) = body.split_first_chunk::<8>()?;
    let console = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    let refuse = |status: u8| Some([&[*tag, status, 0, 0][..], &console.to_le_bytes()].concat());
    if machine.has(&Fault::SessionFull) {
        return refuse(status::NO_RESOURCES);
    }
    let (chunks, _) = rest.as_chunks::<8>();
    let [authentication, integrity, confidentiality] = chunks else { return None };
    let suite = match (proposal(0, authentication), proposal(1, integrity), proposal(2, confidentiality)) {
        (Some(a), Some(i), Some(c)) => Suite::of(a, i, c),
        _ => None,
    };
    let no_17 = machine.has(&Fault::NoSuite17) || machine.bends(BmcFault::IpmiCipherLie).is_some();
    let Some(suite) = suite.filter(|suite| *suite != Suite::Seventeen || !no_17) else {
        return refuse(status::NO_SUITE);
    };
    if privilege & ROLE_LEVEL != 0 && machine.bends(BmcFault::IpmiPriv0).is_some() {
        return refuse(status::INVALID_ROLE);
    }
    let granted = match privilege & ROLE_LEVEL {
        0 => level::ADMIN,
        wanted @ level::CALLBACK..=level::ADMIN => wanted,
        _ => return refuse(status::INVALID_ROLE),
    };
    let Some(id) = slots.open(console, suite, privilege & ROLE_LEVEL, now) else {
        return refuse(status::NO_RESOURCES);
    };
    let mut out = vec![*tag, status::OK, granted, 0];
    out.extend(console.to_le_bytes());
    out.extend(id.to_le_bytes());
    for (kind, algorithm) in (0u8..).zip(suite.algorithms()) {
        out.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    Some(out)
}

fn rakp1(machine: &MachineHandle, slots: &mut Slots, guid: &[u8; 16], body: &[u8], now: Duration) -> Option<Vec<u8>> {
    let (head, rest) = body.split_first_chunk::<8>()?;
    let [tag, _, _, _, i0, i1, i2, i3] = *head;
    let (console_random, rest) = rest.split_first_chunk::<16>()?;
    let ([role, _, _, length], name) = rest.split_first_chunk::<4>()?;
    let id = u32::from_le_bytes([i0, i1, i2, i3]);
    // An id that the BMC never gave out: there is no console id to answer to.
    let slot = slots.get(id, now)?;
    let console = slot.console;
    let refuse = |status: u8| Some([&[tag, status, 0, 0][..], &console.to_le_bytes()].concat());
    if usize::from(*length) > 16 || name.len() < usize::from(*length) {
        return refuse(status::NAME_LENGTH);
    }
    let user = name.get(..usize::from(*length))?;
    let odd_role = role & NAME_ONLY != 0 && machine.bends(BmcFault::IpmiNameOnly).is_some();
    if odd_role || !(level::CALLBACK..=level::ADMIN).contains(&(role & ROLE_LEVEL)) {
        slots.close(id);
        return refuse(status::INVALID_ROLE);
    }
    if machine.strikes(BmcFault::RakpInactive).is_some() {
        slots.close(id);
        return refuse(status::INACTIVE);
    }
    // A doubled RAKP 1 is the same login.
    if !matches!(&slot.phase, Phase::Named(_)) {
        machine.presented();
    }
    let Some(key) = key(machine, user) else {
        slots.close(id);
        return refuse(status::UNAUTHORIZED_NAME);
    };
    let limit = machine.accounts(|accounts| std::str::from_utf8(user).ok().and_then(|user| accounts.role(user))).map(privilege);
    if limit.is_none_or(|limit| limit > level::ADMIN || role & ROLE_LEVEL > limit) {
        slots.close(id);
        return refuse(status::FORBIDDEN_ROLE);
    }
    // The same RAKP 1 again gets the same answer, so that a doubled datagram does not spoil the handshake.
    let named = match &slot.phase {
        Phase::Active(_) => return None,
        Phase::Named(n) if n.console_random == *console_random && n.role == *role && n.user == user => (**n).clone(),
        _ => Named { console_random: *console_random, random: rand::random(), role: *role, user: user.to_vec() },
    };
    let (sidm, sidc) = (console.to_le_bytes(), id.to_le_bytes());
    let who = [&[covered(machine, named.role, slot.opened), *length][..], user].concat();
    let mut code = slot.suite.hmac(&key, &[&sidm, &sidc, &named.console_random, &named.random, guid, &who]);
    if (machine.has(&Fault::RakpBadHmac) || machine.strikes(BmcFault::RakpBadHmac).is_some())
        && let Some(first) = code.first_mut()
    {
        *first = !*first;
    }
    let out = [&[tag, status::OK, 0, 0][..], &sidm, &named.random, guid, &code].concat();
    slot.phase = Phase::Named(Box::new(named));
    Some(out)
}

fn rakp3(machine: &MachineHandle, slots: &mut Slots, guid: &[u8; 16], body: &[u8], now: Duration) -> Option<Vec<u8>> {
    let (head, code) = body.split_first_chunk::<8>()?;
    let [tag, said, _, _, i0, i1, i2, i3] = *head;
    let id = u32::from_le_bytes([i0, i1, i2, i3]);
    let slot = slots.get(id, now)?;
    let (console, suite) = (slot.console.to_le_bytes(), slot.suite);
    if said != status::OK && !matches!(slot.phase, Phase::Active(_)) {
        // The console gave up.
        slots.close(id);
        return None;
    }
    let Phase::Named(named) = &slot.phase else { return None };
    let named = (**named).clone();
    let key = key(machine, &named.user)?;
    let length = u8::try_from(named.user.len()).ok()?;
    let who = [&[covered(machine, named.role, slot.opened), length][..], &named.user].concat();
    if !crypto::same(&suite.hmac(&key, &[&named.random, &console, &who]), code) {
        machine.refuse();
        slots.close(id);
        return Some([&[tag, status::BAD_CHECK, 0, 0][..], &console].concat());
    }
    // Without a BMC key of its own (K_G), the password's takes its place.
    let own = machine.bends(BmcFault::IpmiKg).is_some();
    let sik = suite.hmac(if own { &BMC_KEY } else { &key }, &[&named.console_random, &named.random, &who]);
    let check = suite.code(&sik, &[&named.console_random, &id.to_le_bytes(), guid]);
    let mut session = Session::new(suite, slot.console, &sik, named.role & ROLE_LEVEL)?;
    if machine.bends(BmcFault::IpmiSeq).is_some() {
        session.begin_at_the_end();
    }
    if odd::fixed_privilege(machine) {
        session.level = session.limit;
    }
    slot.phase = Phase::Active(Box::new(session));
    Some([&[tag, status::OK, 0, 0][..], &console, &check].concat())
}

/// The role byte that the codes cover: RAKP 1's, and in some BMCs that of Open Session (IP-07).
fn covered(machine: &MachineHandle, role: u8, opened: u8) -> u8 {
    if machine.bends(BmcFault::RakpOpenRole).is_some() { opened } else { role }
}

/// The user's key; `None` when there is no such user.
fn key(machine: &MachineHandle, user: &[u8]) -> Option<Vec<u8>> {
    let user = std::str::from_utf8(user).ok()?;
    Some(machine.password(user)?.bytes().take(PASSWORD).collect())
}
