//! What an account's role lets it write (DSP0266 §13.2.4, and the base privilege mapping DSP8013). Everybody who is logged in may read.

use super::answer::{Answer, Message};
use super::session::SESSIONS;
use crate::sim::handle::MachineHandle;

/// What the request is answered when the account may not make it; nothing is done then.
pub fn refuses(machine: &MachineHandle, user: &str, method: &str, path: &str) -> Option<Answer> {
    if matches!(method, "GET" | "HEAD") {
        return None;
    }
    let role = machine.accounts(|accounts| accounts.role(user)).unwrap_or("ReadOnly");
    let own = || {
        let slot = path.strip_prefix("/redfish/v1/AccountService/Accounts/").and_then(|slot| slot.parse::<u8>().ok());
        let owner = slot.is_some_and(|slot| machine.accounts(|a| a.list().iter().any(|a| a.slot == slot && a.user == user)));
        owner || path.starts_with(SESSIONS)
    };
    // ConfigureComponents without ConfigureManager and ConfigureUsers.
    let components = || ["/redfish/v1/Systems", "/redfish/v1/Chassis"].iter().any(|below| path.starts_with(below));
    let may = match role {
        "Administrator" => true,
        "Operator" => own() || components(),
        _ => own(),
    };
    (!may).then(|| {
        let message = Message::new("InsufficientPrivilege", "the account may not do this", &[], "use an account that may");
        Answer::error(403, &message)
    })
}
