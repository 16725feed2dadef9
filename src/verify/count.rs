//! How many accelerators are there? The PCI bus, the vendor's tool and the purchase must agree, and each one that is missing is named.

use super::check::{finding, unheard};
use super::pci::{Bdf, PciDevice};
use super::vendor::{Heard, Seen, Vendor};
use crate::model::{Finding, Suite, Verdict};

/// Accelerators as they are to be judged.
pub(super) struct Census {
    /// Seen by the tool, by the bus, or by both.
    pub(super) seen: Vec<Seen>,
    /// How many of those that were bought are nowhere.
    pub(super) missing: u32,
    /// Findings on the node.
    pub(super) findings: Vec<Finding>,
}

/// Brings the sources together.
pub(super) fn census(vendor: &dyn Vendor, suite: &Suite, heard: Heard, bus: Result<&[PciDevice], &str>) -> Census {
    let bought = suite.accelerator.count;
    let parts = vendor.parts(suite);
    let Heard { mut findings, devices } = heard;
    let told = devices.is_some();
    let mut seen = devices.unwrap_or_default();
    if told && let Some(twice) = doubled(&seen) {
        findings.push(unheard("count", &format!("the vendor's tool lists {twice} twice")));
    }
    let tool = seen.len();
    let why = if told { "the vendor's tool does not see it" } else { "the vendor's tool gave no answer that can be read" };
    match bus {
        Err(why) => findings.push(unheard("pci", why)),
        Ok(bus) => {
            findings.push(finding("pci", Verdict::Pass, format!("{} devices on the PCI bus", bus.len())));
            let known: Vec<Bdf> = seen.iter().flat_map(|device| device.pci.iter().copied()).collect();
            let stray = known.iter().filter(|bdf| bus.iter().all(|device| device.bdf != **bdf)).count();
            if stray > 0 {
                findings
                    .push(unheard("count", &format!("the vendor's tool tells {stray} PCI addresses that are not on the bus")));
            }
            // A device that only the bus shows fell off the driver. Without the tool, devices of one card cannot be told apart by card.
            if told || parts == 1 {
                for device in bus.iter().filter(|device| !known.contains(&device.bdf)) {
                    let mut silent = vendor.unheard(suite, format!("pci@{}", device.bdf), vec![device.bdf], why);
                    let verdict = if told { Verdict::Quarantine } else { Verdict::Inconclusive };
                    silent.findings.push(finding("seen-by-tool", verdict, why));
                    seen.push(silent);
                }
            } else if !bus.is_empty() {
                let cards = u32::try_from(bus.len()).unwrap_or(u32::MAX).div_ceil(parts).min(bought);
                for index in 0..cards {
                    let mut silent = vendor.unheard(suite, format!("card?{index}"), Vec::new(), why);
                    silent.findings.push(unheard("seen-by-tool", why));
                    seen.push(silent);
                }
            }
        }
    }
    let total = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    let on_bus = bus.map_or_else(|_| "unknown".to_owned(), |bus| bus.len().to_string());
    let by_tool = if told { tool.to_string() } else { "unknown".to_owned() };
    let detail = format!("bought {bought}, by the tool {by_tool}, on the PCI bus {on_bus}{}", per_card(parts));
    let agree =
        told && bus.is_ok_and(|bus| Some(bus.len()) == usize::try_from(parts).ok().and_then(|parts| parts.checked_mul(tool)));
    findings.push(match total.cmp(&bought) {
        std::cmp::Ordering::Greater => finding("count", Verdict::Quarantine, format!("more than were bought: {detail}")),
        // What is missing is judged device by device, so that a policy may let the others work.
        _ if !told || bus.is_err() => unheard("count", &detail),
        std::cmp::Ordering::Less => finding("count", Verdict::Note, format!("fewer than were bought: {detail}")),
        std::cmp::Ordering::Equal if agree => finding("count", Verdict::Pass, detail),
        std::cmp::Ordering::Equal => {
            finding("count", Verdict::Note, format!("the sources differ, see the accelerators: {detail}"))
        }
    });
    Census { missing: bought.saturating_sub(total), seen, findings }
}

fn per_card(parts: u32) -> String {
    if parts == 1 { String::new() } else { format!(" ({parts} devices a card)") }
}

/// A PCI address that two entries of the tool share.
fn doubled(seen: &[Seen]) -> Option<String> {
    let mut all: Vec<Bdf> = seen.iter().flat_map(|device| device.pci.iter().copied()).collect();
    all.sort_unstable();
    all.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string())
}
