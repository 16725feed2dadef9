//! Whether what a plan rests on is still so.

use crate::model::{NodePlan, Observed, Reading};

/// Compares the observations that a line rests on with new ones; says the first that differs.
///
/// Compared are: identity, power, the running system and the stack. Not compared: the boot override (the first step sets it anyway),
/// the firmware inventory (no step of this version rests on it) and the words of an `Unknown` (silence has no stable words).
#[must_use]
pub fn stale(plan: &NodePlan, now: &Observed) -> Option<String> {
    let then = &plan.rests_on.observed;
    let serial = |o: &Observed| o.bmc.known().and_then(|b| b.serial.known().cloned());
    let uuid = |o: &Observed| o.bmc.known().and_then(|b| b.uuid.known().map(|u| u.to_ascii_lowercase()));
    if let (Some(_), Some(why)) = (then.bmc.known(), now.bmc.why_unknown()) {
        return Some(format!("is not heard by its BMC any more: {}", why.escape_debug()));
    }
    differs("BMC serial", serial(then), serial(now))
        .or_else(|| differs("BMC UUID", uuid(then), uuid(now)))
        .or_else(|| differs("power", then.power.known(), now.power.known()))
        .or_else(|| differs("boot id", boot_id(then), boot_id(now)))
        .or_else(|| {
            let all = then.stack.keys().chain(now.stack.keys());
            all.map(|c| (c, version(then, c), version(now, c))).find_map(|(c, a, b)| differs(c.as_str(), a, b))
        })
}

fn boot_id(o: &Observed) -> Option<&str> {
    o.system.known().map(|s| s.boot_id.as_str())
}

fn version<'a>(o: &'a Observed, component: &crate::model::Component) -> Option<&'a str> {
    o.stack.get(component).and_then(Reading::known).map(crate::model::Version::as_str)
}

fn differs<T: PartialEq + std::fmt::Display>(what: &str, then: Option<T>, now: Option<T>) -> Option<String> {
    if then == now {
        return None;
    }
    let show = |v: Option<T>| v.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
    // Serials and boot ids are what hardware sent.
    Some(format!("{what} was {} and is {}", show(then).escape_debug(), show(now).escape_debug()))
}
