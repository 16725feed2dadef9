//! Who a simulated node is: everything that its BMC, firmware and accelerators say of themselves, derived from the farm's seed. Never changes
//! while the node lives.

use super::fault::Fault;
use super::profile::VendorProfile;
use super::seed::Seed;
use crate::model::{AcceleratorKind, Mac, NodeId, RackId};

/// Accelerators that a node was built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// Family.
    pub kind: AcceleratorKind,
    /// Model as an inventory writes it, such as `H100`.
    pub model: &'static str,
    /// Cards.
    pub count: u32,
}

/// A node's identity.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Node.
    pub node: NodeId,
    /// Rack.
    pub rack: RackId,
    /// Slot, from 1.
    pub slot: u32,
    /// How its BMC behaves and what it calls itself.
    pub profile: &'static VendorProfile,
    /// Serial number that BMC and SMBIOS say. Differs from [`Identity::recorded_serial`] under [`Fault::WrongSerial`].
    pub serial: String,
    /// Serial number that the facts record.
    pub recorded_serial: String,
    /// SMBIOS UUID, lower case.
    pub uuid: String,
    /// MAC of the BMC.
    pub bmc_mac: Mac,
    /// MAC of the interface that boots.
    pub boot_mac: Mac,
    /// Accelerators.
    pub fitted: Fitted,
    /// The farm's seed, for whatever else is derived by label.
    pub seed: Seed,
}

impl Identity {
    /// Derives a node's identity; the same arguments give the same identity.
    #[must_use]
    pub fn derive(
        seed: Seed,
        node: NodeId,
        rack: RackId,
        slot: u32,
        profile: &'static VendorProfile,
        fitted: Fitted,
        faults: &[Fault],
    ) -> Self {
        let recorded_serial = format!("{}{}", profile.serial_prefix, seed.code(&format!("{node}/serial"), 9));
        let serial = if faults.contains(&Fault::WrongSerial) {
            format!("{}{}", profile.serial_prefix, seed.code(&format!("{node}/other-serial"), 9))
        } else {
            recorded_serial.clone()
        };
        Self {
            uuid: seed.uuid(&format!("{node}/uuid")),
            bmc_mac: mac(seed, &format!("{node}/bmc-mac")),
            boot_mac: mac(seed, &format!("{node}/boot-mac")),
            node,
            rack,
            slot,
            profile,
            serial,
            recorded_serial,
            fitted,
            seed,
        }
    }
}

/// A locally administered unicast address (IEEE 802-2014 §8.4): it can never be that of real hardware.
fn mac(seed: Seed, label: &str) -> Mac {
    let [b, c, d, e, f, ..] = seed.bytes(label);
    Mac::from_octets([0x52, b, c, d, e, f])
}
