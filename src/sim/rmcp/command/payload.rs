//! Payloads (§24) and the console's parameters (§26): activate, deactivate, who has it. The characters themselves go another way.

use super::{Answer, Caller, State, code};
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::sol::{CHARACTERS, RETRIES, RETRY_10_MS};

pub(super) const ACTIVATE: u8 = 0x48;
pub(super) const DEACTIVATE: u8 = 0x49;
pub(super) const STATUS: u8 = 0x4a;
pub(super) const INSTANCE: u8 = 0x4b;
pub(super) const ACCESS: u8 = 0x4d;
pub(super) const SUPPORT: u8 = 0x4e;
pub(super) const VERSION: u8 = 0x4f;
/// Of the transport network function.
pub(super) const SET_SOL: u8 = 0x21;
pub(super) const GET_SOL: u8 = 0x22;

/// Payload type of the console.
const SOL: u8 = 1;
/// Completion codes of these commands (tables 24-2, 24-3).
const ACTIVE_ELSEWHERE: u8 = 0x80;
const ALREADY_DEACTIVATED: u8 = 0x80;
/// Encryption, in the first auxiliary byte: this BMC gives the console with it only.
const ENCRYPTED: u8 = 0x80;
const WITHOUT_ENCRYPTION: u8 = 0x84;

/// The network function App.
pub(super) fn run(machine: &MachineHandle, state: &mut State, caller: Caller, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (ACTIVATE, [SOL, 1, auxiliary, _, _, _]) => activate(machine, state, caller, *auxiliary),
        (DEACTIVATE, [SOL, 1, _, _, _, _]) => {
            state.sol.deactivate(machine, caller.session).then(Vec::new).ok_or(ALREADY_DEACTIVATED)
        }
        (ACTIVATE | DEACTIVATE, [_, _, _, _, _, _]) => Err(code::FIELD),
        // One instance may be active.
        (STATUS, [SOL]) => Ok(vec![1, u8::from(state.sol.holder(machine).is_some()), 0]),
        (STATUS, [_]) => Err(code::FIELD),
        (INSTANCE, [SOL, 1]) => {
            let session = state.sol.holder(machine).map_or(0, |(session, _)| session);
            // Then eight bytes that the payload gives meaning to: the port's number.
            Ok([&session.to_le_bytes()[..], &[1], &[0; 7]].concat())
        }
        (INSTANCE, [_, _]) => Err(code::FIELD),
        // Standard payload 1 is enabled.
        (ACCESS, [_, _]) => Ok(vec![1 << SOL, 0, 0, 0]),
        // IPMI messages, SOL; the session setup payloads 10h to 15h.
        (SUPPORT, [_]) => Ok(vec![0x03, 0x00, 0x3f, 0, 0, 0, 0, 0]),
        (VERSION, [_, 0 | SOL]) => Ok(vec![0x10]),
        (VERSION, [_, _]) => Err(0x80),
        _ => Err(code::LENGTH),
    }
}

fn activate(machine: &MachineHandle, state: &mut State, caller: Caller, auxiliary: u8) -> Answer {
    if auxiliary & ENCRYPTED == 0 {
        return Err(WITHOUT_ENCRYPTION);
    }
    if !state.sol.activate(machine, caller.session, caller.from) {
        return Err(ACTIVE_ELSEWHERE);
    }
    let size = u16::try_from(CHARACTERS + 4).unwrap_or(u16::MAX).to_le_bytes();
    // The payload goes over the port that the session uses; there is no VLAN.
    let port = caller.port.to_le_bytes();
    Ok([&[0; 4][..], &size, &size, &port, &[0xff, 0xff]].concat())
}

/// The network function Transport.
pub(super) fn parameters(caller: Caller, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (GET_SOL, [channel, parameter, _, _]) => {
            if channel & 0x80 != 0 {
                return Ok(vec![0x11]);
            }
            let value: &[u8] = match parameter {
                // Set is complete; SOL is on; encrypted and authenticated, for operators.
                0 => &[0],
                1 => &[1],
                2 => &[0xc0 | 3],
                // 20 ms and 200 characters; then what is sent again.
                3 => &[4, 200],
                4 => &[RETRIES, RETRY_10_MS],
                // 115,200 baud.
                5 | 6 => &[0x0a],
                7 => &[1],
                8 => &caller.port.to_le_bytes(),
                _ => return Err(code::PARAMETER),
            };
            Ok([&[0x11], value].concat())
        }
        // Read only.
        (SET_SOL, [_, _, ..]) => Err(0x82),
        _ => Err(code::LENGTH),
    }
}
