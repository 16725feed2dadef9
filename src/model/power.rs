//! Power and boot words shared by both protocols.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a BMC says of the chassis power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// The host is powered.
    On,
    /// The host is not powered.
    Off,
    /// On its way up (Redfish `PoweringOn`).
    PoweringOn,
    /// On its way down (Redfish `PoweringOff`).
    PoweringOff,
}

/// What one may ask of the chassis power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerVerb {
    /// Power on; no effect on a node that is on.
    On,
    /// Cut power now.
    Off,
    /// Ask the operating system to shut down; ends off.
    Graceful,
    /// Cut power, then power on; ends on. A node that is off is powered on.
    Cycle,
    /// Ask the operating system to shut down, then start again; ends on.
    Restart,
    /// Start again now, without asking the operating system; ends on.
    Reset,
    /// A non-maskable interrupt, for a crash dump. Nothing that a BMC shows proves it.
    Nmi,
}

/// Where the next boot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootTarget {
    /// The order that the firmware holds; no override.
    None,
    /// Network by PXE.
    Pxe,
    /// Network by UEFI HTTP boot.
    UefiHttp,
    /// The first disk.
    Disk,
    /// Virtual or real optical drive.
    Cd,
    /// The firmware's set-up screen.
    Setup,
}

/// Firmware interface that the override asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    /// UEFI.
    Uefi,
    /// Legacy BIOS.
    Legacy,
}

/// The boot override that a BMC holds, as read back from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BootOverride {
    /// Where to.
    pub target: BootTarget,
    /// True when it holds for the next boot only.
    pub once: bool,
    /// Firmware interface, when the BMC says.
    pub mode: Option<BootMode>,
    /// URI for UEFI HTTP boot, when the BMC holds one (Redfish `HttpBootUri`).
    pub http_uri: Option<String>,
}

impl BootOverride {
    /// No override: the firmware's own order.
    #[must_use]
    pub fn none() -> Self {
        Self { target: BootTarget::None, once: false, mode: None, http_uri: None }
    }
}

macro_rules! kebab_display {
    ($($ty:ident { $($variant:ident => $text:literal),+ $(,)? })+) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text),+ })
            }
        }
    )+};
}
kebab_display! {
    PowerState { On => "on", Off => "off", PoweringOn => "powering-on", PoweringOff => "powering-off" }
    PowerVerb { On => "on", Off => "off", Graceful => "graceful", Cycle => "cycle", Restart => "restart", Reset => "reset", Nmi => "nmi" }
    BootTarget { None => "none", Pxe => "pxe", UefiHttp => "uefi-http", Disk => "disk", Cd => "cd", Setup => "setup" }
    BootMode { Uefi => "uefi", Legacy => "legacy" }
}
