//! What is, or why it is not known. Silence is never read as absence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BootOverride, Component, PowerState, Version};

/// One fact as hardware told it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// The hardware said this.
    Known(T),
    /// The hardware said that it has no such thing.
    Absent,
    /// The hardware was not heard, or not understood. Never passes a check.
    Unknown {
        /// What was tried and what was seen instead.
        why: String,
    },
}

impl<T> Reading<T> {
    /// A reading that could not be taken.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// The value, when known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown { .. } => None,
        }
    }

    /// Why it is unknown, when it is.
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown { why } => Some(why),
            Self::Known(_) | Self::Absent => None,
        }
    }

    /// Changes the value, keeps silence as it is.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Absent => Reading::Absent,
            Self::Unknown { why } => Reading::Unknown { why },
        }
    }
}

/// Who the BMC says it and its node are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BmcFacts {
    /// Vendor of the node.
    pub vendor: Reading<String>,
    /// Model of the node.
    pub model: Reading<String>,
    /// Serial number of the node (chassis or system, as the vendor prints it on the pull-tab).
    pub serial: Reading<String>,
    /// SMBIOS UUID of the node, lower case.
    pub uuid: Reading<String>,
    /// Firmware version of the BMC itself.
    pub bmc_version: Reading<Version>,
}

/// What the running system says of itself, in-band.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SystemFacts {
    /// Linux `boot_id`: new at every boot.
    pub boot_id: String,
    /// SMBIOS system serial.
    pub serial: Reading<String>,
    /// SMBIOS system UUID, lower case.
    pub uuid: Reading<String>,
    /// Kernel command line: where a netbooted node says which plan and image it came from.
    pub cmdline: Reading<String>,
    /// The disk that its root lies on; `None` when it was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Reading<super::RootDisk>>,
}

/// Everything that one survey of one node found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observed {
    /// Identity from the BMC.
    pub bmc: Reading<BmcFacts>,
    /// Chassis power from the BMC.
    pub power: Reading<PowerState>,
    /// Boot override from the BMC.
    pub boot: Reading<BootOverride>,
    /// Firmware inventory from the BMC.
    pub firmware: Reading<BTreeMap<Component, Version>>,
    /// The running system, by SSH.
    pub system: Reading<SystemFacts>,
    /// Stack components by the stack's own version probes: component → version found.
    pub stack: BTreeMap<Component, Reading<Version>>,
}
