//! The commands: who may send which, and what comes back. Each file is one network function; none knows how it was wrapped.

mod app;
mod chassis;
mod hpm;
mod payload;
mod sensor;
mod storage;
pub(super) mod user;

use std::net::SocketAddr;

use super::message::Request;
use super::sel::Sel;
use super::session::level;
use super::sol::Sol;
use crate::sim::handle::MachineHandle;

/// Network functions (table 5-1).
mod netfn {
    pub(super) const CHASSIS: u8 = 0x00;
    pub(super) const SENSOR: u8 = 0x04;
    pub(super) const APP: u8 = 0x06;
    pub(super) const STORAGE: u8 = 0x0a;
    pub(super) const TRANSPORT: u8 = 0x0c;
    pub(super) const GROUP: u8 = 0x2c;
}

/// Completion codes (table 5-2, and those of single commands).
mod code {
    pub(super) const OK: u8 = 0x00;
    pub(super) const PARAMETER: u8 = 0x80;
    pub(super) const ABOVE_LIMIT: u8 = 0x81;
    pub(super) const INVALID_COMMAND: u8 = 0xc1;
    pub(super) const SPACE: u8 = 0xc4;
    pub(super) const RESERVATION: u8 = 0xc5;
    pub(super) const LENGTH: u8 = 0xc7;
    pub(super) const RANGE: u8 = 0xc9;
    pub(super) const TOO_MANY: u8 = 0xca;
    pub(super) const NOT_PRESENT: u8 = 0xcb;
    pub(super) const FIELD: u8 = 0xcc;
    pub(super) const ILLEGAL: u8 = 0xcd;
    pub(super) const PRIVILEGE: u8 = 0xd4;
    pub(super) const STATE: u8 = 0xd5;
}

/// Close Session: there is no session with that id.
pub(super) const NO_SUCH_SESSION: u8 = 0x87;

/// Who asks. Level 0 is nobody: a message outside any session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) level: u8,
    pub(super) limit: u8,
    pub(super) active: usize,
    /// Its session; 0 outside any.
    pub(super) session: u32,
    /// Where it is, and the port that it came to.
    pub(super) from: Option<SocketAddr>,
    pub(super) port: u16,
}

/// What a command does to the session that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Level(u8),
    Close(u32),
    /// The BMC restarts, once the answer is out.
    Restart,
}

/// What the BMC remembers beside the machine.
#[derive(Default)]
pub(super) struct State {
    /// The console.
    pub(super) sol: Sol,
    /// Boot option parameters 0 to 4 as they were set; parameter 5 lives in the machine.
    boot: [[u8; 2]; 5],
    /// Identify is on: 0 off, 1 for a time, 2 until it is switched off.
    identify: u8,
    /// What the node does when the mains come back: 0 stays off, 1 previous, 2 powers up.
    policy: u8,
    sdr_reservation: u16,
    sel_reservation: u16,
    sel: Sel,
    /// Firmware on its way by HPM.1.
    hpm: hpm::Hpm,
}

/// A command's answer: completion code and data.
type Answer = Result<Vec<u8>, u8>;

/// Lowest privilege for a command (appendix G); `None` for one that the BMC does not know.
fn needs(request: &Request<'_>) -> Option<u8> {
    Some(match (request.netfn, request.command) {
        (netfn::APP, app::AUTH_CAPABILITIES | app::CIPHER_SUITES | app::SYSTEM_GUID) => 0,
        (netfn::APP, app::SET_PRIVILEGE | app::CLOSE_SESSION) => level::CALLBACK,
        (netfn::APP, app::DEVICE_ID | app::SELF_TEST | app::DEVICE_GUID | app::CHANNEL_INFO | app::SESSION_INFO) => level::USER,
        (netfn::APP, payload::STATUS | payload::INSTANCE | payload::ACCESS | payload::SUPPORT | payload::VERSION) => level::USER,
        (netfn::APP, payload::ACTIVATE | payload::DEACTIVATE | user::GET_ACCESS | user::GET_NAME) => level::OPERATOR,
        (netfn::APP, user::SET_ACCESS | user::SET_NAME | user::SET_PASSWORD) => level::ADMIN,
        (netfn::TRANSPORT, payload::GET_SOL) => level::OPERATOR,
        (netfn::TRANSPORT, payload::SET_SOL) => level::ADMIN,
        (netfn::CHASSIS, chassis::CAPABILITIES | chassis::STATUS | chassis::RESTART_CAUSE) => level::USER,
        (netfn::CHASSIS, chassis::CONTROL | chassis::IDENTIFY | chassis::SET_POLICY | chassis::SET_BOOT | chassis::GET_BOOT) => {
            level::OPERATOR
        }
        (netfn::STORAGE, command) if storage::knows(command) => level::USER,
        (netfn::STORAGE, command) if storage::changes(command) => level::OPERATOR,
        (netfn::SENSOR, sensor::READING | sensor::THRESHOLDS | sensor::FACTORS) => level::USER,
        (netfn::GROUP, command) if hpm::knows(request) => hpm::needs(command),
        (netfn::GROUP, sensor::CAPABILITIES | sensor::POWER) => level::USER,
        (netfn::APP, app::COLD_RESET) => level::ADMIN,
        _ => return None,
    })
}

/// Runs a command: completion code, data, effect on the session.
pub(super) fn run(
    machine: &MachineHandle,
    state: &mut State,
    guid: &[u8; 16],
    caller: Caller,
    request: &Request<'_>,
) -> (u8, Vec<u8>, Effect) {
    let Some(level) = needs(request) else {
        return (code::INVALID_COMMAND, Vec::new(), Effect::Nothing);
    };
    if caller.level < level {
        return (code::PRIVILEGE, Vec::new(), Effect::Nothing);
    }
    let mut effect = Effect::Nothing;
    let answer = match request.netfn {
        netfn::APP if (payload::ACTIVATE..=payload::VERSION).contains(&request.command) => {
            payload::run(machine, state, caller, request.command, request.data)
        }
        netfn::APP if (user::SET_ACCESS..=user::SET_PASSWORD).contains(&request.command) => {
            user::run(machine, request.command, request.data)
        }
        netfn::APP if request.command == app::SESSION_INFO => user::session_info(machine, state, caller, request.data),
        netfn::APP => app::run(machine, guid, caller, request.command, request.data, &mut effect),
        netfn::SENSOR => sensor::run(machine, request.command, request.data),
        netfn::GROUP if hpm::knows(request) => hpm::run(machine, &mut state.hpm, request.command, request.data),
        netfn::GROUP => sensor::dcmi(machine, request.command, request.data),
        netfn::TRANSPORT => payload::parameters(caller, request.command, request.data),
        netfn::CHASSIS => chassis::run(machine, state, request.command, request.data),
        _ => storage::run(machine, state, request.command, request.data),
    };
    match answer {
        Ok(data) => (code::OK, data, effect),
        Err(code) => (code, Vec::new(), effect),
    }
}

/// A UUID as IPMI sends it: the first three fields least significant byte first, as SMBIOS keeps them (DSP0134 §7.2.1).
pub(super) fn guid(uuid: &str) -> [u8; 16] {
    let digits: Vec<u8> = uuid.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| (high << 4) | low).collect();
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    ORDER.map(|at| bytes.get(at).copied().unwrap_or(0))
}
