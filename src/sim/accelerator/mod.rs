//! Accelerators of a simulated node: the devices with their faults, and what vendor tools and sysfs print about them. One file per vendor; the
//! shapes follow `reference/accelerators.md` §2, the words are its own. Pure: device list in, text out.

mod furiosa;
mod nvidia;
mod pci;
mod rebellions;

use super::farm::MAX_SLOTS;
use super::fault::Fault;
use super::identity::Identity;
use crate::model::AcceleratorKind;

pub use furiosa::{info as furiosa_info, status as furiosa_status};
pub use nvidia::{list as nvidia_list, log as nvidia_log, nvlink as nvidia_nvlink, table as nvidia_table};
pub use pci::{id as pci_id, listing as pci_listing};
pub use rebellions::listing as rebellions_listing;

/// Most cards in a node: their PCI buses must fit below 0xff.
pub const MAX_CARDS: u32 = 14;

/// One card as built and as faulted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Position on the node, from 0, faults or not.
    pub slot: u32,
    /// Serial number that the card says.
    pub serial: String,
    /// Serial number that the facts record.
    pub recorded_serial: String,
    /// UUID, lower case.
    pub uuid: String,
    /// First PCI bus of the card.
    pub bus: u32,
    /// The bus does not show it.
    pub missing: bool,
    /// Temperature in degrees Celsius.
    pub temperature_c: u32,
    /// PCIe lanes.
    pub width: u32,
    /// A remapped row waits for a reset.
    pub remap_pending: bool,
    /// Row remapping failed.
    pub remap_failure: bool,
    /// Uncorrectable memory errors since the driver was loaded.
    pub uncorrectable: u32,
}

/// The cards of a node, in slot order, missing ones included.
#[must_use]
pub fn cards(id: &Identity, faults: &[Fault]) -> Vec<Card> {
    (0..id.fitted.count.min(MAX_CARDS))
        .map(|slot| {
            let label = |what: &str| format!("{}/accelerator/{slot}/{what}", id.node);
            let recorded_serial = serial(id, &label("serial"), slot);
            let mut card = Card {
                slot,
                serial: recorded_serial.clone(),
                recorded_serial,
                uuid: id.seed.uuid(&label("uuid")),
                bus: 0x11 + slot * 0x10,
                missing: false,
                temperature_c: 31 + u32::try_from(id.seed.below(&label("temperature"), 9)).unwrap_or(0),
                width: 16,
                remap_pending: false,
                remap_failure: false,
                uncorrectable: 0,
            };
            for fault in faults {
                match *fault {
                    Fault::Missing(i) if i == slot => card.missing = true,
                    Fault::Hot(i, celsius) if i == slot => card.temperature_c = celsius,
                    Fault::LinkWidth(i, lanes) if i == slot => card.width = lanes,
                    Fault::GpuRemapPending(i) if i == slot => card.remap_pending = true,
                    Fault::GpuRemapFailure(i) if i == slot => card.remap_failure = true,
                    Fault::GpuEcc(i) if i == slot => card.uncorrectable = 3,
                    Fault::SwappedAccelerator(i) if i == slot => {
                        card.serial = serial(id, &label("other-serial"), slot + MAX_CARDS)
                    }
                    _ => {}
                }
            }
            card
        })
        .collect()
}

/// No two cards of a farm share a serial number: drawn by chance alone, some of 100,000 would.
fn serial(id: &Identity, label: &str, card: u32) -> String {
    let rack = id.rack.as_str().trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    let place = (rack * MAX_SLOTS + id.slot) * 2 * MAX_CARDS + card;
    match id.fitted.kind {
        AcceleratorKind::Nvidia => format!("165{}{place:07}", id.seed.digits(label, 3)),
        AcceleratorKind::Furiosa => format!("RNG26{}{place:07}Q", id.seed.digits(label, 2)),
        AcceleratorKind::Rebellions => format!("00000000{}{place:06x}", id.seed.hex(label, 2)),
        AcceleratorKind::Pci => id.seed.hex(label, 16),
    }
}

/// Name of the stack component that brings the vendor's driver and tools, and the version that an old disk system holds.
#[must_use]
pub fn driver(kind: AcceleratorKind) -> Option<(&'static str, &'static str)> {
    match kind {
        AcceleratorKind::Nvidia => Some(("nvidia-driver", "550.54.15")),
        AcceleratorKind::Furiosa => Some(("furiosa-driver", "2025.1.0")),
        AcceleratorKind::Rebellions => Some(("rebellions-driver", "2.0.1")),
        AcceleratorKind::Pci => None,
    }
}

/// Word and version of an accelerator in the BMC's firmware inventory; the same version as the in-band tools say.
#[must_use]
pub fn firmware(kind: AcceleratorKind) -> (&'static str, &'static str) {
    match kind {
        AcceleratorKind::Nvidia => ("GPU", nvidia::VBIOS),
        AcceleratorKind::Furiosa => ("NPU", furiosa::FIRMWARE),
        AcceleratorKind::Rebellions => ("NPU", rebellions::FIRMWARE),
        AcceleratorKind::Pci => ("Accelerator", "1.2.0"),
    }
}
