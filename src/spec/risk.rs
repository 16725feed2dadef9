//! What a changed field of the inventory puts at risk on the machine, and why. Knows field names only; touches nothing.

use serde::Serialize;

use crate::model::AcceleratorKind;

/// What a change puts at risk, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// No machine notices.
    None,
    /// Power limits: what may run at the same time.
    Power,
    /// The node leaves the pool and boots again.
    Reboot,
    /// Firmware of an accelerator may be rewritten.
    Reflash,
    /// Another machine, or another proof of who it is.
    Identity,
}

impl std::fmt::Display for Risk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Power => "power",
            Self::Reboot => "reboot",
            Self::Reflash => "reflash",
            Self::Identity => "identity",
        })
    }
}

/// Fields that hold one value a node, so that listing each value would hide the change.
#[must_use]
pub fn is_per_node(field: &str) -> bool {
    matches!(
        field,
        "serial"
            | "uuid"
            | "bmc.mac"
            | "boot.mac"
            | "bmc.address.ip"
            | "ssh.address.ip"
            | "boot.ip"
            | "bmc.trust"
            | "accelerator_serials"
    ) || field == "ssh.host_keys"
        || field.starts_with("cabling.")
}

/// Facts that travel with a board: when the serial changes, these change with it and are no news of their own.
#[must_use]
pub fn travels_with_board(field: &str) -> bool {
    matches!(field, "serial" | "uuid" | "bmc.mac" | "boot.mac" | "bmc.trust" | "accelerator_serials" | "ssh.host_keys")
}

/// The risk of a change to `field` (dotted) of a node with such accelerators, and why.
#[must_use]
pub fn of_field(field: &str, kind: AcceleratorKind) -> (Risk, &'static str) {
    match field {
        "serial" | "uuid" | "bmc.mac" | "boot.mac" | "accelerator_serials" => {
            (Risk::Identity, "the facts name another part than before; it is checked before anything is touched")
        }
        "bmc.trust" => (Risk::Identity, "another certificate of the BMC is trusted"),
        "bmc.old_tls" => (Risk::Identity, "TLS of another age may be spoken to the BMC"),
        "ssh.host_keys" => (Risk::Identity, "another SSH host key is trusted"),
        "vendor" | "model" | "accelerator.kind" | "accelerator.model" | "accelerator.count" | "accelerator.pci_id" => {
            (Risk::Identity, "another machine is expected than was")
        }
        "rack" | "slot" => (Risk::Identity, "the node is expected elsewhere"),
        "stack" => match kind {
            // Rebellions' installer carries firmware, and FuriosaAI's upgrade has a firmware step (vendors' installation pages).
            AcceleratorKind::Rebellions | AcceleratorKind::Furiosa => {
                (Risk::Reflash, "the vendor's stack carries accelerator firmware; the node drains and passes the gate again")
            }
            AcceleratorKind::Nvidia | AcceleratorKind::Pci => {
                (Risk::Reboot, "other drivers are installed: the node drains, may boot again, and passes the gate again")
            }
        },
        "boot.ip" | "ssh.address.ip" => (Risk::Reboot, "the node has its old address until it boots again"),
        "feed" | "limit_w" => (Risk::Power, "changes how many nodes may be under way at once"),
        "verify" => (Risk::None, "the gate judges by another policy at the next run"),
        "admit" | "hold" => (Risk::None, "the node enters or leaves plans; its hardware is not touched"),
        "pool" => (Risk::None, "the node joins another pool at the next run"),
        _ if field.starts_with("cabling.") => (Risk::None, "where a cable is looked for; nothing is touched"),
        _ if field.starts_with("boot.") => (Risk::Reboot, "takes effect when the node boots again"),
        _ if field.starts_with("power.") => (Risk::Power, "changes how many nodes may be under way at once"),
        _ if field.starts_with("bmc.") => (Risk::None, "how the BMC is reached; nothing on it is changed"),
        _ if field.starts_with("ssh.") => (Risk::None, "how the node is reached; nothing on it is changed"),
        _ => (Risk::None, "words only"),
    }
}
