//! Are these the accelerators that were bought? Serials against the facts, and against one another.

use std::collections::BTreeMap;

use super::check::{finding, unheard};
use super::read::shown;
use super::vendor::Seen;
use crate::model::{Finding, Reading, Suite, Verdict};

/// A finding per device, in order, and those on the node.
pub(super) fn judge(suite: &Suite, seen: &[Seen]) -> (Vec<Option<Finding>>, Vec<Finding>) {
    const CHECK: &str = "serials";
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for serial in seen.iter().filter_map(|device| device.serial.known()) {
        *times.entry(serial).or_default() += 1;
    }
    let facts: Vec<String> = suite.accelerator_serials.iter().map(|s| shown(s)).collect();
    let wanted = suite.policy.serials_from_facts;
    let mut node = Vec::new();
    if wanted && facts.is_empty() {
        node.push(unheard(CHECK, "the facts hold no accelerator serials for this node"));
    }
    let devices = seen
        .iter()
        .map(|device| match &device.serial {
            Reading::Known(serial) if times.get(serial.as_str()).is_some_and(|n| *n > 1) => {
                Some(unheard(CHECK, &format!("{serial} is said by more than one accelerator")))
            }
            _ if !wanted || facts.is_empty() => None,
            Reading::Known(serial) if facts.contains(serial) => Some(finding(CHECK, Verdict::Pass, serial.clone())),
            Reading::Known(serial) => Some(finding(CHECK, Verdict::Reject, format!("{serial} is not among the facts"))),
            silent => Some(unheard(CHECK, silent.why_unknown().unwrap_or("the device says that it has no serial"))),
        })
        .collect();
    (devices, node)
}

/// The serials of the missing ones, when what is left of the facts fits them exactly.
pub(super) fn missing(suite: &Suite, seen: &[Seen], missing: u32) -> Vec<Option<String>> {
    let said: Vec<&String> = seen.iter().filter_map(|device| device.serial.known()).collect();
    let left: Vec<String> = suite.accelerator_serials.iter().map(|s| shown(s)).filter(|s| !said.contains(&s)).collect();
    let count = usize::try_from(missing).unwrap_or(usize::MAX);
    let all_known = said.len() == seen.len();
    (0..missing)
        .map(|index| {
            usize::try_from(index).ok().and_then(|index| left.get(index)).filter(|_| all_known && left.len() == count).cloned()
        })
        .collect()
}
