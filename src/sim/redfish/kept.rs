//! The door to everything of a BMC that is kept: settings, media, accounts, certificate, and the BMC's own restart. It only passes on.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::{account, bios, certificate, media, restart, system, update};
use crate::sim::handle::MachineHandle;
use crate::sim::tls::Shown;

/// The resource at a path, when it is one of these.
#[must_use]
pub fn resource(machine: &MachineHandle, shown: Option<&Shown>, at: &str) -> Option<Value> {
    bios::resource(machine, at)
        .or_else(|| media::resource(machine, at))
        .or_else(|| account::resource(machine, at))
        .or_else(|| restart::resource(machine, at))
        .or_else(|| certificate::resource(machine, shown, at))
        .or_else(|| update::resource(machine, at))
}

/// Adds to a resource of another file what these files know of it.
pub fn complete(machine: &MachineHandle, shown: Option<&Shown>, at: &str, value: &mut Map<String, Value>) {
    if at == "/redfish/v1" {
        bios::add_to_root(value);
        account::add_to_root(value);
        certificate::add_to_root(shown, value);
    } else if at == system::path(machine) {
        bios::add_to_system(machine, value);
        if media::system_links(machine) {
            value.insert("VirtualMedia".to_owned(), media::link_of(machine));
        }
    } else if at == restart::manager_path(machine) {
        restart::add_to_manager(machine, value);
        update::add_to_manager(machine, value);
    }
}

/// True when a path names an account.
#[must_use]
pub fn is_account(at: &str) -> bool {
    account::is_account(at)
}

/// Path of the account that everybody logs in with.
#[must_use]
pub fn account_path(machine: &MachineHandle) -> String {
    account::path_of(machine, machine.user())
}

/// PATCH; `None` when the path is not one that takes it.
#[must_use]
pub fn patch(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    if at == bios::settings_path(machine) {
        Some(bios::patch(machine, body))
    } else if at.starts_with(&format!("{}/", media::path(machine))) {
        Some(media::patch(machine, at, body))
    } else if account::is_account(at) {
        Some(account::patch(machine, at, body))
    } else {
        None
    }
}

/// True when PATCH is taken at this path.
#[must_use]
pub fn takes_patch(machine: &MachineHandle, at: &str) -> bool {
    at == bios::settings_path(machine) || at.starts_with(&format!("{}/", media::path(machine))) || account::is_account(at)
}

/// POST; `None` when the path is not one that takes it.
#[must_use]
pub fn post(machine: &MachineHandle, shown: Option<&Shown>, at: &str, body: &Value) -> Option<Answer> {
    if at == restart::reset_path(machine) {
        return Some(restart::reset(machine, body));
    }
    if bios::needs_job(machine) && at == bios::jobs_path(machine) {
        return Some(bios::post_job(machine, body));
    }
    media::post(machine, at, body)
        .or_else(|| account::post(machine, at, body))
        .or_else(|| certificate::post(machine, shown, at, body))
}

/// DELETE; `None` when the path is not one that takes it.
#[must_use]
pub fn delete(machine: &MachineHandle, at: &str) -> Option<Answer> {
    account::delete(machine, at)
}
