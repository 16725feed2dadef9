//! Are a node's accelerators alike? One on an old VBIOS slows or breaks all eight, and each alone looks well (accelerators.md §1a, check 3).

use std::collections::BTreeMap;

use super::check::{finding, unheard};
use super::read::shown;
use super::vendor::Seen;
use crate::model::{Finding, Policy, Reading, Verdict};

/// Findings per device, in order, and those on the node.
pub(super) fn judge(policy: &Policy, seen: &[Seen]) -> (Vec<Vec<Finding>>, Vec<Finding>) {
    const CHECK: &str = "homogeneous";
    let mut devices = vec![Vec::new(); seen.len()];
    let mut node = Vec::new();
    for property in &policy.homogeneous {
        let read: fn(&Seen) -> &Reading<String> = match property.as_str() {
            "driver" => |s| &s.driver,
            "firmware" => |s| &s.firmware,
            "model" => |s| &s.model,
            other => {
                node.push(unheard("policy", &format!("`homogeneous` names `{}`, which no check knows", shown(other))));
                continue;
            }
        };
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for value in seen.iter().filter_map(|device| read(device).known()) {
            *times.entry(value).or_default() += 1;
        }
        // The odd ones out are blamed only when most agree; otherwise nobody knows which are right.
        let most =
            times.iter().max_by_key(|(_, n)| **n).filter(|(_, n)| **n * 2 > seen.len()).map(|(value, _)| (*value).to_owned());
        if times.len() > 1 && most.is_none() {
            node.push(finding(CHECK, Verdict::Quarantine, format!("{property}: the accelerators differ and no value prevails")));
        }
        for (device, findings) in seen.iter().zip(&mut devices) {
            match (read(device), &most) {
                (Reading::Known(value), Some(most)) if value != most => {
                    findings.push(finding(CHECK, Verdict::Quarantine, format!("{property}: {value}, the others have {most}")));
                }
                (Reading::Known(_), _) => {}
                (silent, _) => {
                    let why = silent.why_unknown().unwrap_or("the device says that it has none");
                    findings.push(unheard(CHECK, &format!("{property}: {why}")));
                }
            }
        }
    }
    (devices, node)
}
