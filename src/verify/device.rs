//! Judging one accelerator by what every vendor has in common. What only one vendor knows is judged in that vendor's file.

use super::check::{finding, need, unheard};
use super::link;
use super::pci::PciDevice;
use super::read::shown;
use super::rules::Rules;
use super::vendor::{Seen, Vendor};
use crate::model::{AcceleratorKind, Finding, Reading, Suite, Verdict};

/// All common findings and the vendor's own. `bus` holds the accelerators on the PCI bus, or why they are not known.
pub(super) fn judge(
    vendor: &dyn Vendor,
    suite: &Suite,
    rules: &Rules,
    seen: &Seen,
    bus: Result<&[PciDevice], &str>,
) -> Vec<Finding> {
    let tells = vendor.tells_versions();
    let mut findings = seen.findings.clone();
    if tells.model {
        findings.push(need("model", &seen.model, |model| {
            let verdict = if vendor.same_model(&suite.accelerator.model, model) { Verdict::Pass } else { Verdict::Reject };
            (verdict, format!("wanted {}, seen {model}", shown(&suite.accelerator.model)))
        }));
    }
    findings.push(rules.driver.judge("driver", &seen.driver, tells.driver));
    findings.push(rules.firmware.judge("firmware", &seen.firmware, tells.firmware));
    if let Some(max) = suite.policy.temperature_max_c {
        findings.push(need("temperature", &seen.temperature_c, |t| {
            // Not `t > max`: a NaN in a policy must not let everything pass.
            let verdict = if *t <= max { Verdict::Pass } else { Verdict::Quarantine };
            (verdict, format!("at most {max} °C, seen {t} °C"))
        }));
    }
    match bus {
        Err(why) => findings.extend(off_bus(vendor, suite, seen, why)),
        Ok(_) if seen.pci.is_empty() => findings.extend(off_bus(vendor, suite, seen, "the tool does not tell its PCI address")),
        Ok(bus) => {
            let mine: Vec<&PciDevice> = bus.iter().filter(|device| seen.pci.contains(&device.bdf)).collect();
            if mine.len() == seen.pci.len() {
                findings.extend(on_bus(vendor, suite, seen, &mine));
            } else {
                findings.extend(off_bus(
                    vendor,
                    suite,
                    seen,
                    "the PCI bus does not list it under the address that the tool tells",
                ));
            }
        }
    }
    findings
}

/// What sysfs tells of the card's devices.
fn on_bus(vendor: &dyn Vendor, suite: &Suite, seen: &Seen, mine: &[&PciDevice]) -> Vec<Finding> {
    let policy = &suite.policy;
    let mut findings = Vec::new();
    if let Some(want) = suite.accelerator.pci_id.as_deref().filter(|_| suite.accelerator.kind != AcceleratorKind::Pci) {
        findings.extend(mine.iter().map(|device| {
            let verdict = if device.id.eq_ignore_ascii_case(want) { Verdict::Pass } else { Verdict::Reject };
            finding("pci-id", verdict, format!("wanted {}, seen {}", shown(want), device.id))
        }));
    }
    for device in mine {
        let mut sources = vec![("sysfs", &device.link)];
        sources.extend(seen.link.as_ref().map(|link| ("the vendor's tool", link)));
        findings.extend(link::judge(policy, &sources, Some(&device.slot)));
        if policy.aer {
            findings.push(aer(device));
        }
        if let Some(max) = policy.aer_correctable_max {
            findings.push(need("aer-correctable", &device.correctable, |n| {
                (
                    if *n > max { Verdict::Quarantine } else { Verdict::Pass },
                    format!("correctable errors: at most {max}, seen {n}"),
                )
            }));
        }
        findings.extend(vendor.drivers().map(|drivers| bound(drivers, &device.driver)));
    }
    findings
}

/// The checks that sysfs would have answered, each inconclusive; the link may still be told by the vendor's tool.
fn off_bus(vendor: &dyn Vendor, suite: &Suite, seen: &Seen, why: &str) -> Vec<Finding> {
    let policy = &suite.policy;
    let mut findings = vec![unheard("pci", why)];
    if suite.accelerator.pci_id.is_some() {
        findings.push(unheard("pci-id", why));
    }
    let unknown = link::Link::unknown(why);
    let mut sources = vec![("sysfs", &unknown)];
    sources.extend(seen.link.as_ref().map(|link| ("the vendor's tool", link)));
    findings.extend(link::judge(policy, &sources, None));
    if policy.aer {
        findings.push(unheard("aer", why));
    }
    if policy.aer_correctable_max.is_some() {
        findings.push(unheard("aer-correctable", why));
    }
    findings.extend(vendor.drivers().map(|_| unheard("driver-bound", why)));
    findings
}

fn aer(device: &PciDevice) -> Finding {
    match (&device.fatal, &device.nonfatal) {
        (Reading::Known(0), Reading::Known(0)) => finding("aer", Verdict::Pass, "no fatal and no non-fatal error"),
        (Reading::Known(fatal), Reading::Known(nonfatal)) => {
            finding("aer", Verdict::Quarantine, format!("{fatal} fatal and {nonfatal} non-fatal errors"))
        }
        // One counter that is not zero is enough, whatever the other says.
        (Reading::Known(n), _) | (_, Reading::Known(n)) if *n > 0 => {
            finding("aer", Verdict::Quarantine, format!("{n} uncorrectable errors, and one counter is missing"))
        }
        (fatal, nonfatal) => {
            let why = fatal.why_unknown().or(nonfatal.why_unknown());
            unheard("aer", why.unwrap_or("sysfs has no AER counters for this device"))
        }
    }
}

fn bound(wanted: &[&str], driver: &Reading<String>) -> Finding {
    const CHECK: &str = "driver-bound";
    match driver {
        Reading::Absent => finding(CHECK, Verdict::Quarantine, "no kernel driver is bound"),
        Reading::Known(name) if wanted.contains(&name.as_str()) => finding(CHECK, Verdict::Pass, name.clone()),
        Reading::Known(name) if wanted.is_empty() && !matches!(name.as_str(), "vfio-pci" | "pci-stub" | "uio_pci_generic") => {
            finding(CHECK, Verdict::Pass, name.clone())
        }
        Reading::Known(name) => finding(CHECK, Verdict::Quarantine, format!("the kernel driver is `{name}`")),
        Reading::Unknown { why } => unheard(CHECK, why),
    }
}
