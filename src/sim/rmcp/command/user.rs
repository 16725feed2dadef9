//! Accounts (§22.26 to §22.31): the table is the machine's, so that a change here decides the next login, over Redfish too.

use super::{Answer, Caller, State, code};
use crate::sim::accounts::Account;
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::session::level;
use crate::sim::rmcp::sol::GHOST;

pub(super) const SET_ACCESS: u8 = 0x43;
pub(super) const GET_ACCESS: u8 = 0x44;
pub(super) const SET_NAME: u8 = 0x45;
pub(super) const GET_NAME: u8 = 0x46;
pub(super) const SET_PASSWORD: u8 = 0x47;

/// Set User Password: the password is not this one.
const WRONG_PASSWORD: u8 = 0x80;
/// "No access" as a privilege.
const NO_ACCESS: u8 = 0x0f;

/// The privilege of a role.
pub(in crate::sim::rmcp) fn privilege(role: &str) -> u8 {
    match role {
        "Administrator" => level::ADMIN,
        "Operator" => level::OPERATOR,
        "ReadOnly" => level::USER,
        _ => NO_ACCESS,
    }
}

fn role(privilege: u8) -> Result<&'static str, u8> {
    match privilege & 0x0f {
        level::ADMIN => Ok("Administrator"),
        level::OPERATOR => Ok("Operator"),
        level::USER => Ok("ReadOnly"),
        NO_ACCESS => Ok("None"),
        _ => Err(code::FIELD),
    }
}

pub(super) fn run(machine: &MachineHandle, command: u8, data: &[u8]) -> Answer {
    let list = machine.accounts(|accounts| accounts.list().to_vec());
    let find = |slot: &u8| list.iter().find(|account| account.slot == slot & 0x3f).ok_or(code::RANGE);
    match (command, data) {
        (GET_NAME, [slot]) => Ok(padded(&find(slot)?.user, 16)),
        (GET_ACCESS, [_, slot]) => Ok(access(&list, find(slot)?)),
        (SET_ACCESS, [_, slot, limit] | [_, slot, limit, _]) => {
            let (slot, role) = (find(slot)?.slot, role(*limit)?);
            machine.accounts(|accounts| accounts.set_role(slot, role));
            Ok(Vec::new())
        }
        (SET_NAME, [slot, name @ ..]) if name.len() == 16 => {
            let slot = find(slot)?.slot;
            let text = text(name)?;
            machine.accounts(|accounts| accounts.set_user(slot, &text)).then(Vec::new).ok_or(code::FIELD)
        }
        (SET_PASSWORD, [slot, deed, password @ ..]) => set_password(machine, find(slot)?, slot & 0x80 != 0, *deed, password),
        _ => Err(code::LENGTH),
    }
}

/// Room, how many are enabled, how many names are fixed, what this one may.
fn access(list: &[Account], account: &Account) -> Vec<u8> {
    let enabled = list.iter().filter(|account| account.enabled).count();
    let count = |n: usize| u8::try_from(n).unwrap_or(0x3f).min(0x3f);
    let named = if account.user.is_empty() { 0 } else { 0x10 };
    let status = if account.enabled { 0x40 } else { 0x80 };
    vec![count(list.len()), status | count(enabled), 1, named | privilege(account.role)]
}

fn set_password(machine: &MachineHandle, account: &Account, long: bool, deed: u8, password: &[u8]) -> Answer {
    let slot = account.slot;
    let size = if long { 20 } else { 16 };
    match (deed & 3, password.len()) {
        // Disable and enable; a password that is sent along is not looked at.
        (deed @ (0 | 1), 0) | (deed @ (0 | 1), 16 | 20) => {
            machine.accounts(|accounts| accounts.set_enabled(slot, deed == 1));
            Ok(Vec::new())
        }
        (2, length) if length == size => {
            if machine.strikes(crate::sim::fault::BmcFault::AccountDrop).is_some() {
                return Ok(Vec::new());
            }
            let password = text(password)?;
            machine.accounts(|accounts| accounts.set_password(slot, &password)).then(Vec::new).ok_or(code::FIELD)
        }
        (3, length) if length == size => {
            let password = text(password)?;
            let right = machine.accounts(|accounts| accounts.is_password(slot, &password));
            right.then(Vec::new).ok_or(WRONG_PASSWORD)
        }
        _ => Err(code::LENGTH),
    }
}

fn text(bytes: &[u8]) -> Result<String, u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let used = bytes.get(..end).unwrap_or_default();
    // Behind the first NUL nothing but NULs may stand.
    if bytes.iter().skip(end).any(|byte| *byte != 0) {
        return Err(code::FIELD);
    }
    String::from_utf8(used.to_vec()).map_err(|_| code::FIELD)
}

fn padded(text: &str, length: usize) -> Vec<u8> {
    text.bytes().chain(std::iter::repeat(0)).take(length).collect()
}

/// Get Session Info (§22.20) of the caller's own session, or of the one that has the console.
pub(super) fn session_info(machine: &MachineHandle, state: &State, caller: Caller, which: &[u8]) -> Answer {
    let sessions = machine.identity().profile.sessions;
    let count = |n: usize| u8::try_from(n).unwrap_or(0x3f).min(0x3f);
    let known = |user: u8, level: u8, from: Option<std::net::SocketAddr>| {
        // 10h in the upper half: an IPMI 2.0 session; then the address, no MAC, the port.
        let mut out = vec![0x01, count(sessions), count(caller.active), user, level, 0x11];
        if let Some(std::net::SocketAddr::V4(from)) = from {
            out.extend(from.ip().octets());
            out.extend([0; 6]);
            out.extend(from.port().to_le_bytes());
        }
        Ok(out)
    };
    let asked = match which {
        [0x00] => caller.session,
        [0xff, a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        [0xfe, _] | [0x01..=0x7f] => return Ok(vec![0x00, count(sessions), count(caller.active)]),
        _ => return Err(code::LENGTH),
    };
    // One account logs in, which is user 2 as on most BMCs.
    match state.sol.holder(machine) {
        _ if asked == caller.session => known(2, caller.level, caller.from),
        Some((GHOST, _)) if asked == GHOST => known(2, level::ADMIN, "192.0.2.77:40077".parse().ok()),
        Some((session, from)) if asked == session => known(2, level::OPERATOR, from),
        _ => Ok(vec![0x00, count(sessions), count(caller.active)]),
    }
}
