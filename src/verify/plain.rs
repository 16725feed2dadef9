//! Any PCI accelerator, by sysfs alone: what the bus shows is all that is known. It never invents a serial, a firmware or a temperature.

use super::Answers;
use super::check::{finding, unheard};
use super::pci::{Bdf, PciDevice};
use super::vendor::{Heard, Seen, Vendor, Versions};
use crate::model::{Probe, Reading, Suite, Verdict};

/// No vendor tool at all.
pub(super) struct Plain;

/// Why the bus does not say it.
const WHY: &str = "sysfs does not tell it";

impl Vendor for Plain {
    fn probes(&self, _: &Suite) -> Vec<Probe> {
        Vec::new()
    }

    fn pci_vendor(&self, suite: &Suite) -> Result<u16, String> {
        let id = suite.accelerator.pci_id.as_deref().ok_or("the inventory gives no PCI id")?;
        let (vendor, device) =
            id.split_once(':').ok_or_else(|| format!("the PCI id `{}` is not vendor:device", super::read::shown(id)))?;
        let read = |s: &str| u16::from_str_radix(s, 16).ok().filter(|_| s.len() == 4);
        read(device)
            .and(read(vendor))
            .ok_or_else(|| format!("the PCI id `{}` is not four and four hex digits", super::read::shown(id)))
    }

    fn is_accelerator(&self, suite: &Suite, device: &PciDevice) -> bool {
        !device.virtual_function && suite.accelerator.pci_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&device.id))
    }

    fn drivers(&self) -> Option<&'static [&'static str]> {
        None
    }

    fn tells_versions(&self) -> Versions {
        Versions { driver: false, firmware: false, model: false }
    }

    fn same_model(&self, _: &str, _: &str) -> bool {
        true
    }

    fn hear(&self, _: &Suite, _: &Answers, pci: Option<&[PciDevice]>) -> Heard {
        match pci {
            Some(pci) => Heard {
                findings: vec![finding("tool", Verdict::Pass, "sysfs alone, as the inventory wants it")],
                devices: Some(pci.iter().map(seen).collect()),
            },
            None => Heard { findings: vec![unheard("tool", "there is no source beside the PCI listing")], devices: None },
        }
    }

    fn unheard(&self, _: &Suite, name: String, pci: Vec<Bdf>, why: &str) -> Seen {
        Seen::silent(name, pci, why)
    }
}

fn seen(device: &PciDevice) -> Seen {
    let mut seen = Seen::silent(format!("pci@{}", device.bdf), vec![device.bdf], WHY);
    seen.model = Reading::Known(device.id.clone());
    seen
}
