//! The checks by name, and how a finding is made. It holds no judgement of its own.

use crate::model::{Finding, Reading, Verdict};

/// Every check that the gate knows: name, and what it says. The names are what a policy's `tolerate` refers to.
pub const CHECKS: &[(&str, &str)] = &[
    ("identity-serial", "the node's SMBIOS serial is that of the facts"),
    ("identity-uuid", "the node's SMBIOS UUID is that of the facts"),
    ("boot-mac", "one of the node's interfaces has the boot MAC of the facts"),
    ("cabling", "each cable of the node ends where it is written"),
    ("policy", "the policy's own entries can be read"),
    ("pci", "sysfs lists the vendor's PCI devices"),
    ("tool", "the vendor's tool answers and its answer can be read"),
    ("count", "PCI, vendor tool and purchase agree on the number of accelerators"),
    ("missing", "every accelerator that was bought is there"),
    ("seen-by-tool", "the vendor's tool sees each accelerator that is on the PCI bus"),
    ("model", "the accelerator is the model that was bought"),
    ("pci-id", "the PCI vendor and device id is the one that was bought"),
    ("serials", "the accelerator's serial is among the facts"),
    ("driver", "the driver version is one of the policy's"),
    ("driver-bound", "the vendor's kernel driver is bound to the accelerator"),
    ("firmware", "the firmware or VBIOS version is one of the policy's"),
    ("homogeneous", "the node's accelerators are alike where the policy wants it"),
    ("temperature", "the accelerator is no hotter than the policy allows"),
    ("pcie-gen", "the PCI Express generation is at least the policy's"),
    ("pcie-width", "the PCI Express width is at least the policy's"),
    ("aer", "PCI Express AER counted no fatal and no non-fatal error"),
    ("aer-correctable", "PCI Express AER counted few correctable errors"),
    ("nvlink", "as many NVLinks are up as the policy wants"),
    ("fabric", "the NVLink fabric has completed its set-up"),
    ("ecc", "ECC is on, now and after the next reset"),
    ("ecc-dram", "few uncorrectable DRAM errors since the driver was loaded"),
    ("ecc-sram", "few uncorrectable SRAM errors since the driver was loaded"),
    ("sram-threshold", "the lifetime SRAM error threshold is not exceeded"),
    ("remap-failure", "no row remapping (or page retirement) has failed"),
    ("remap-pending", "no row remapping, page retirement or repair waits for a reset"),
    ("remap-uncorrectable", "few rows were remapped after uncorrectable errors"),
    ("remap-histogram", "memory banks have spare rows left"),
    ("recovery", "the driver asks for no recovery action"),
    ("persistence", "persistence mode is on"),
    ("mig", "the accelerator is not partitioned"),
    ("status", "the accelerator's own status word is normal"),
    ("parts", "a card shows all the devices that it is made of"),
];

/// A finding.
pub(super) fn finding(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), verdict, detail: detail.into() }
}

/// Silence: inconclusive, with what was seen instead.
pub(super) fn unheard(check: &'static str, why: &str) -> Finding {
    finding(check, Verdict::Inconclusive, why)
}

/// Judges a reading that the check needs; silence is inconclusive, and so is a device that says it has no such thing.
pub(super) fn need<T>(check: &'static str, reading: &Reading<T>, judge: impl FnOnce(&T) -> (Verdict, String)) -> Finding {
    match reading {
        Reading::Known(value) => {
            let (verdict, detail) = judge(value);
            finding(check, verdict, detail)
        }
        Reading::Absent => unheard(check, "the node says that there is no such reading"),
        Reading::Unknown { why } => unheard(check, why),
    }
}
