//! A plan: everything that `apply` will do, decided. Execution has no choices left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AcceleratorProfile, Artifact, BootMode, BootTarget, Cables, Digest, HostIdentity, Install, NodeId, Observed, PlanId, Policy,
    RackId, RolloutPolicy, StepId, VersionProbe,
};

/// The `format_version` that this build writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// A plan for a whole run. Same inputs and same observations give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format_version: u32,
    /// Digest of the rest of the plan.
    pub id: PlanId,
    /// Site.
    pub site: String,
    /// Playbook.
    pub playbook: String,
    /// Digest of the expanded inventory that it rests on.
    pub inventory: Digest,
    /// SHA-256 of every input file.
    pub inputs: BTreeMap<String, Digest>,
    /// Who may go when.
    pub limits: Limits,
    /// Nodes in the order in which they may start.
    pub waves: Vec<Wave>,
    /// One line per node that is to be brought up.
    pub nodes: Vec<NodePlan>,
    /// Nodes that cannot be planned, and why; their accelerators are idle for this stated reason.
    pub blocked: Vec<Blocked>,
}

/// Who may go when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The playbook's rollout policy.
    pub rollout: RolloutPolicy,
    /// Rack and feed of each node, and its peak draw in watts.
    pub domains: BTreeMap<NodeId, (RackId, Option<String>, u32)>,
}

/// Nodes that may be under way together; the next wave starts when this one has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// True for the canary.
    pub canary: bool,
    /// Its nodes, in order.
    pub nodes: Vec<NodeId>,
}

/// One node's line. There is no plan without a gate: the suite is a field, not a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Node.
    pub node: NodeId,
    /// Pool that it joins.
    pub pool: String,
    /// What was seen, and must still be so when `apply` starts.
    pub rests_on: RestsOn,
    /// In this order. Empty when only the gate is left to pass.
    pub steps: Vec<Step>,
    /// The gate.
    pub suite: Suite,
}

/// The observations that a node's line rests on; compared when `apply` starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestsOn {
    /// All that the survey found.
    pub observed: Observed,
}

/// One step: an end that one can look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Name inside the node's line.
    pub id: StepId,
    /// The end.
    pub action: ActionSpec,
    /// Why it is needed: what was seen against what is wanted.
    pub why: String,
}

/// The ends that this version can bring about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionSpec {
    /// The node runs this image, booted by this plan, and lets us in.
    Netboot {
        /// Image name, for people.
        image: String,
        /// Digest over kernel, initrds, root and command line: what the node must say it booted.
        image_digest: Digest,
        /// Kernel.
        kernel: Artifact,
        /// Initial RAM disks.
        initrd: Vec<Artifact>,
        /// Root file system.
        root: Option<Artifact>,
        /// Kernel arguments.
        cmdline: Vec<String>,
        /// `pxe`, `uefi-http`, or `cd`: virtual media.
        method: BootTarget,
        /// Firmware interface.
        mode: BootMode,
        /// Base URL of the cache that the files come from; `None`: the boot server itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files_from: Option<String>,
        /// Boot id of the system that ran when the plan was made; the new one must differ.
        old_boot_id: Option<String>,
        /// Longest wait for a login, in seconds.
        deadline_s: u32,
        /// Where the system's SSH host key comes from.
        #[serde(default, skip_serializing_if = "HostIdentity::is_default")]
        identity: HostIdentity,
    },
    /// The node runs this image from its disk, and lets us in.
    InstallImage {
        /// Image name, for people.
        image: String,
        /// Digest over kernel, initrds, root and command line: what the node must say that it runs.
        image_digest: Digest,
        /// Kernel.
        kernel: Artifact,
        /// Initial RAM disks.
        initrd: Vec<Artifact>,
        /// Root file system, as squashfs.
        root: Artifact,
        /// Kernel arguments.
        cmdline: Vec<String>,
        /// The disk.
        disk: super::DiskRule,
        /// Whether a disk that holds something may be written.
        wipe: super::Wipe,
        /// Longest time to send, write and read back, in seconds.
        deadline_s: u32,
        /// How the system comes to run that writes the disk: an [`ActionSpec::Netboot`].
        netboot: Box<ActionSpec>,
    },
    /// The node runs from its disk what an image of a whole disk holds, and lets us in.
    WriteDisk {
        /// Image name, for people.
        image: String,
        /// Digest of what is to lie on the disk; with node and disk it makes the GUID of the disk's partition table.
        image_digest: Digest,
        /// What is written.
        content: super::DiskContent,
        /// The disk.
        disk: super::DiskRule,
        /// Whether a disk that holds something may be written.
        wipe: super::Wipe,
        /// Longest time to send, write and read back, in seconds.
        deadline_s: u32,
        /// How the system comes to run that writes the disk: an [`ActionSpec::Netboot`].
        netboot: Box<ActionSpec>,
    },
    /// The stack's components are at the versions wanted.
    InstallStack {
        /// Stack name.
        stack: String,
        /// What to install, in order.
        install: Vec<Install>,
        /// How the result is read back.
        versions: Vec<VersionProbe>,
    },
}

impl ActionSpec {
    /// It boots a system that gets its SSH host key from its grant.
    #[must_use]
    pub fn brings_identity(&self) -> bool {
        match self {
            Self::Netboot { identity, .. } => *identity == HostIdentity::Grant,
            Self::InstallImage { netboot, .. } | Self::WriteDisk { netboot, .. } => netboot.brings_identity(),
            Self::InstallStack { .. } => false,
        }
    }

    /// Base URL of the cache that its files come from, if one is written for its node.
    #[must_use]
    pub fn files_from(&self) -> Option<&str> {
        match self {
            Self::Netboot { files_from, .. } => files_from.as_deref(),
            Self::InstallImage { netboot, .. } | Self::WriteDisk { netboot, .. } => netboot.files_from(),
            Self::InstallStack { .. } => None,
        }
    }
}

/// What the gate asks and how it judges: the policy, and what was bought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    /// Acceptance policy.
    pub policy: Policy,
    /// What was bought.
    pub accelerator: AcceleratorProfile,
    /// Node serial from the facts.
    pub serial: Option<String>,
    /// Node UUID from the facts.
    pub uuid: Option<String>,
    /// Accelerator serials from the facts.
    pub accelerator_serials: Vec<String>,
    /// Where its cables are to end; only when the policy asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cables: Option<Cables>,
}

/// A check whose silence is accepted for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Check name.
    pub check: String,
    /// Reason.
    pub reason: String,
    /// Last day on which it counts, as `YYYY-MM-DD` (UTC).
    pub until: String,
}

/// A node that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Node.
    pub node: NodeId,
    /// Accelerators that stay idle.
    pub accelerators: u32,
    /// What was tried and seen.
    pub why: String,
    /// The next command for a person.
    pub hint: String,
}
