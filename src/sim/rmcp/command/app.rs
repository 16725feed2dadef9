//! Application commands (§20, §22): who the BMC is, what it can, sessions. It changes nothing but the caller's session.

use super::{Answer, Caller, Effect, code};
use crate::sim::fault::{BmcFault, Fault};
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::crypto::Suite;
use crate::sim::rmcp::session::level;

pub(super) const DEVICE_ID: u8 = 0x01;
pub(super) const COLD_RESET: u8 = 0x02;
pub(super) const SELF_TEST: u8 = 0x04;
pub(super) const DEVICE_GUID: u8 = 0x08;
pub(super) const SYSTEM_GUID: u8 = 0x37;
pub(super) const AUTH_CAPABILITIES: u8 = 0x38;
pub(super) const SET_PRIVILEGE: u8 = 0x3b;
pub(super) const CLOSE_SESSION: u8 = 0x3c;
pub(super) const SESSION_INFO: u8 = 0x3d;
pub(super) const CHANNEL_INFO: u8 = 0x42;
pub(super) const CIPHER_SUITES: u8 = 0x54;

/// The LAN channel of most BMCs; 0Eh means "this one".
const CHANNEL: u8 = 0x01;
const THIS_CHANNEL: u8 = 0x0e;

/// IANA enterprise numbers of the profiles' makers (Dell, Supermicro, NVIDIA).
const MAKERS: [(&str, u32); 3] = [("dell", 674), ("supermicro", 10876), ("ami", 5703)];

pub(super) fn run(
    machine: &MachineHandle,
    guid: &[u8; 16],
    caller: Caller,
    command: u8,
    data: &[u8],
    effect: &mut Effect,
) -> Answer {
    match (command, data) {
        (DEVICE_ID, []) => Ok(device_id(machine)),
        (COLD_RESET, []) => {
            *effect = Effect::Restart;
            Ok(Vec::new())
        }
        (SELF_TEST, []) => Ok(vec![0x55, 0x00]),
        (DEVICE_GUID | SYSTEM_GUID, []) => Ok(guid.to_vec()),
        (AUTH_CAPABILITIES, [channel, wanted]) => auth_capabilities(*channel, *wanted, machine.bends(BmcFault::IpmiKg).is_some()),
        (CIPHER_SUITES, [channel, kind, index]) => cipher_suites(machine, *channel, *kind, *index),
        // Cisco's refusal (IP-08).
        (SET_PRIVILEGE, [_]) if machine.bends(BmcFault::IpmiSetpriv).is_some() => Err(code::PRIVILEGE),
        (SET_PRIVILEGE, [wanted]) => privilege(caller, *wanted, effect),
        (CLOSE_SESSION, [a, b, c, d]) => {
            *effect = Effect::Close(u32::from_le_bytes([*a, *b, *c, *d]));
            Ok(Vec::new())
        }
        (CHANNEL_INFO, [channel]) => channel_info(caller, *channel),
        _ => Err(code::LENGTH),
    }
}

fn this(channel: u8) -> bool {
    matches!(channel & 0x0f, CHANNEL | THIS_CHANNEL)
}

/// A number of sessions in the six bits that the specification has for it.
fn count(sessions: usize) -> u8 {
    u8::try_from(sessions).unwrap_or(0x3f).min(0x3f)
}

fn device_id(machine: &MachineHandle) -> Vec<u8> {
    let profile = machine.identity().profile;
    let shown = machine.firmware(|firmware, now| firmware.item("BMC").map(|bmc| bmc.shown(now).to_owned()));
    let version = shown.as_deref().unwrap_or(profile.bmc_version);
    let mut numbers = version.split('.').map(|part| part.parse::<u8>().unwrap_or(0));
    let major = numbers.next().unwrap_or(0) & 0x7f;
    let minor = numbers.next().unwrap_or(0).min(99);
    let maker = MAKERS.iter().find(|(name, _)| *name == profile.name).map_or(0, |(_, iana)| *iana);
    let [m0, m1, m2, _] = maker.to_le_bytes();
    // 8Eh: chassis, FRU, SEL and SDR repository device. The minor version is BCD.
    vec![0x20, 0x01, major, ((minor / 10) << 4) | (minor % 10), 0x02, 0x8e, m0, m1, m2, 0x00, 0x01]
}

/// §22.13. No IPMI 1.5 session, no empty user name; only IPMI 2.0; whether the BMC has a key of its own.
fn auth_capabilities(channel: u8, wanted: u8, key: bool) -> Answer {
    if !this(channel) || !(level::CALLBACK..=level::ADMIN).contains(&(wanted & 0x0f)) {
        return Err(code::FIELD);
    }
    // A client that does not ask for the 2.0 data sees a BMC with no authentication type at all.
    let extended = channel & 0x80 != 0;
    let (types, capabilities) = if extended { (0x80, 0x02) } else { (0x00, 0x00) };
    let status = if key { 0x24 } else { 0x04 };
    Ok(vec![CHANNEL, types, status, capabilities, 0, 0, 0, 0])
}

/// §22.15: records of five bytes, 16 bytes at a time.
fn cipher_suites(machine: &MachineHandle, channel: u8, kind: u8, index: u8) -> Answer {
    if !this(channel) || kind & 0x3f != 0 {
        return Err(code::FIELD);
    }
    let offered = [Suite::Three, Suite::Seventeen];
    let shown = offered.iter().filter(|suite| **suite != Suite::Seventeen || !machine.has(&Fault::NoSuite17));
    let records: Vec<u8> = shown
        .flat_map(|suite| {
            let [authentication, integrity, confidentiality] = suite.algorithms();
            [0xc0, suite.id(), authentication, 0x40 | integrity, 0x80 | confidentiality]
        })
        .collect();
    let rest = records.chunks(16).nth(usize::from(index & 0x3f)).unwrap_or_default();
    Ok([&[CHANNEL], rest].concat())
}

/// §22.18. 0 asks what the level is.
fn privilege(caller: Caller, wanted: u8, effect: &mut Effect) -> Answer {
    match wanted & 0x0f {
        0 => Ok(vec![caller.level]),
        level::CALLBACK => Err(code::PARAMETER),
        wanted if wanted > level::ADMIN => Err(code::FIELD),
        wanted if wanted > caller.limit => Err(code::ABOVE_LIMIT),
        wanted => {
            *effect = Effect::Level(wanted);
            Ok(vec![wanted])
        }
    }
}

/// §22.24: 802.3 LAN, IPMB-1.0 messages, many sessions.
fn channel_info(caller: Caller, channel: u8) -> Answer {
    if !this(channel) {
        return Err(code::FIELD);
    }
    Ok(vec![CHANNEL, 0x04, 0x01, 0x80 | count(caller.active), 0xf2, 0x1b, 0x00, 0x00, 0x00])
}
