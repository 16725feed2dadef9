//! What a netbooted system says of itself on its kernel command line.

use super::{Digest, PlanId};

/// The words that `bringup` puts on the kernel command line of every system that it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootMark {
    /// `bringup.image=`: digest of the image.
    pub image: Option<Digest>,
    /// `bringup.plan=`: the plan that booted it.
    pub plan: Option<PlanId>,
    /// `bringup.grant=`: public name of the grant.
    pub grant: Option<String>,
    /// `bringup.disk=`: the partition table that the installer made; the system runs from a disk.
    pub disk: Option<String>,
}

impl BootMark {
    /// Reads the words from a command line. A word that is not well-formed counts as missing.
    #[must_use]
    pub fn of(cmdline: &str) -> Self {
        let word = |key: &str| cmdline.split_whitespace().find_map(|w| w.strip_prefix(key).and_then(|v| v.strip_prefix('=')));
        Self {
            image: word("bringup.image").and_then(|v| Digest::new(v).ok()),
            plan: word("bringup.plan").and_then(|v| PlanId::new(v).ok()),
            grant: word("bringup.grant").map(|v| v.chars().take(64).collect()),
            disk: word("bringup.disk").map(|v| v.chars().take(64).collect()),
        }
    }
}
