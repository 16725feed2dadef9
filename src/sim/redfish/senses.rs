//! The door to what a BMC measures, remembers and tells. It only passes on.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::sensor::chassis_path;
use super::{accelerator, fru, log, restart, sensor, system};
use crate::sim::handle::MachineHandle;

/// The resource at a path, when it is one of these.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    sensor::resource(machine, at)
        .or_else(|| log::resource(machine, at))
        .or_else(|| accelerator::resource(machine, at))
        .or_else(|| fru::resource(machine, at))
}

/// A page of a collection by its query.
#[must_use]
pub fn paged(machine: &MachineHandle, at: &str, query: Option<&str>) -> Option<Value> {
    log::paged(machine, at, query?)
}

/// Adds to a resource of another file what these files know of it.
pub fn complete(machine: &MachineHandle, at: &str, value: &mut Map<String, Value>) {
    if at == system::path(machine) {
        fru::add_to_system(machine, value);
        log::add_to(machine, at, value);
    } else if at == chassis_path(machine) {
        fru::add_to_chassis(machine, value);
        sensor::add_to_chassis(machine, value);
    } else if at == restart::manager_path(machine) {
        log::add_to(machine, at, value);
    }
}

/// POST; `None` when the path is not one that takes it.
#[must_use]
pub fn post(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    log::post(machine, at, body)
}
