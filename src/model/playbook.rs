//! What should run on the rack, resolved: image, stack, policy, rollout. Produced by `spec`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Component, Digest, Version};

/// One playbook with everything that it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    /// Name.
    pub name: String,
    /// What every node is brought to.
    pub baseline: Baseline,
    /// All stacks by name.
    pub stacks: BTreeMap<String, Stack>,
    /// All acceptance policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// How the fleet is walked.
    pub rollout: RolloutPolicy,
    /// SHA-256 of every file that was read: path as written → digest.
    pub inputs: BTreeMap<String, Digest>,
}

/// What every node is brought to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Image to netboot; `None` keeps the system that runs.
    pub image: Option<Image>,
    /// Image to install on a disk, by the image that is netbooted; `None` leaves the disks alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<super::DiskInstall>,
    /// Stack for nodes whose inventory names none.
    pub stack: Option<String>,
    /// Longest wait from power-on to an SSH login, in seconds.
    pub boot_deadline_s: u32,
}

/// A netboot image. Files are local; nodes get them by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Name.
    pub name: String,
    /// Machine type, such as `x86_64`.
    pub arch: String,
    /// Kernel.
    pub kernel: Artifact,
    /// Initial RAM disks, in order.
    pub initrd: Vec<Artifact>,
    /// Root file system that the initrd fetches itself, if any.
    pub root: Option<Artifact>,
    /// Kernel arguments; `bringup` adds its own after them.
    pub cmdline: Vec<String>,
    /// Host keys baked into the image, as `SHA256:…`; nodes that name their own host keys override this.
    pub ssh_host_keys: BTreeSet<String>,
    /// Where the SSH host key of a system that it boots comes from.
    #[serde(default, skip_serializing_if = "HostIdentity::is_default")]
    pub identity: HostIdentity,
}

/// Where the SSH host key of a booted system comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostIdentity {
    /// The image, or the system itself, has its own.
    #[default]
    Image,
    /// Each boot is brought one of its own, under its grant.
    Grant,
}

impl HostIdentity {
    /// The image's own.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::Image
    }
}

/// One file, trusted only by its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artifact {
    /// Where it lies on the controller.
    pub path: PathBuf,
    /// What it must be.
    pub sha256: Digest,
}

/// Drivers, firmware tools and settings to put on a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Name.
    pub name: String,
    /// In this order.
    pub install: Vec<Install>,
    /// How installed versions are read back.
    pub versions: Vec<VersionProbe>,
}

/// One thing to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Name.
    pub name: String,
    /// File to push first, if any.
    pub artifact: Option<Artifact>,
    /// Absolute path on the node for the file.
    pub to: Option<String>,
    /// File mode on the node, such as 0o755.
    pub mode: u32,
    /// Command to run after the push, as an argument vector; empty when the push is all.
    pub run: Vec<String>,
    /// Longest run, in seconds.
    pub deadline_s: u32,
}

/// How one component's version is read on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionProbe {
    /// Component.
    pub component: Component,
    /// Command as an argument vector; the first line of its output, trimmed, is the version.
    pub probe: Vec<String>,
    /// Version wanted.
    pub want: Version,
}

/// Acceptance policy: the numbers that accelerators are judged by. A missing entry is a check that is not required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// Version of the policy, counted by its owner.
    pub version: u32,
    /// Driver versions allowed; empty allows any that can be read.
    pub driver_in: Vec<String>,
    /// Firmware or VBIOS versions allowed; empty allows any that can be read.
    pub firmware_in: Vec<String>,
    /// Properties that must be equal on all accelerators of a node: `driver`, `firmware`, `model`.
    pub homogeneous: Vec<String>,
    /// Serial numbers must be those of the facts.
    pub serials_from_facts: bool,
    /// PCIe generation, at least.
    pub pcie_gen: Option<u8>,
    /// PCIe width in lanes, at least.
    pub pcie_width: Option<u8>,
    /// NVLink links up, exactly.
    pub nvlinks: Option<u8>,
    /// Highest temperature in degrees Celsius.
    pub temperature_max_c: Option<f64>,
    /// ECC must be on (current and pending).
    pub ecc: bool,
    /// Most remapped rows after uncorrectable errors.
    pub remapped_uncorrectable_max: Option<u64>,
    /// Most uncorrectable memory errors since the driver was loaded.
    pub ecc_uncorrectable_max: Option<u64>,
    /// AER errors by sysfs must be zero for fatal and non-fatal.
    pub aer: bool,
    /// Most correctable AER errors.
    pub aer_correctable_max: Option<u64>,
    /// Checks whose `inconclusive` is tolerated until a date (ISO 8601), each with a reason.
    pub tolerate: Vec<super::plan::Tolerance>,
    /// Fewest healthy accelerators with which a node may work degraded; `None` wants all.
    pub degraded_min: Option<u32>,
    /// What the gate does with the node's cables; `None` does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cabling: Option<CablingRule>,
}

/// What the gate does with what a node's interfaces hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CablingRule {
    /// A cable that ends elsewhere, or that is not heard, keeps the node out.
    Required,
    /// It is told, and keeps nobody out.
    Reported,
}

/// How the fleet is walked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutPolicy {
    /// Sizes of the waves as node counts; the last repeats until all are done. `[1, 8, 64]`: a canary, then 8, then 64 at a time.
    pub waves: Vec<u32>,
    /// Label expression (`ring=canary`) whose nodes go first.
    pub canary: Option<(String, String)>,
    /// Most nodes under way at once.
    pub max_nodes: u32,
    /// Most nodes under way at once in one rack.
    pub max_per_rack: u32,
    /// Most watts under way at once on one feed, counted by `boot_w`.
    pub max_per_feed_w: Option<u32>,
    /// Failures after which the run holds: in the canary wave.
    pub canary_failures: u32,
    /// Failures after which the run holds: of all nodes, in percent.
    pub total_failures_pct: f64,
    /// Tries of one step for a transient cause.
    pub attempts: u32,
}
