//! The nouns of the house: data and legal change. Never I/O, async, a clock or dice.

mod cabling;
mod diskimage;
mod event;
mod finding;
mod id;
mod install;
mod inventory;
mod lan;
mod mark;
mod plan;
mod playbook;
mod power;
mod probe;
mod ramdisk;
mod rate;
mod rootfs;
mod run;
mod secret;
mod state;

pub use cabling::{BOOT_INTERFACE, Cables, Cell, CellMove, MachineReport, Neighbour, Nic, Plug, SystemName, find_nic, uuid_key};
pub use diskimage::{DiskContent, DiskImage, DiskMark, Installable, Packed, RootDisk};
pub use event::{Class, DeviceVerdict, Event, EvidenceNote, Recorded, Touch};
pub use finding::{Finding, Judgement, Verdict};
pub use id::{Component, Digest, IdError, Mac, NodeId, PlanId, RackId, RunId, StepId, Version};
pub use install::{DiskInstall, DiskRule, Pick, Transport, Wipe, bytes};
pub use inventory::{
    AcceleratorKind, AcceleratorProfile, BasicLogin, BmcAddress, BmcProtocol, BmcTrust, BootSettings, Inventory, Lan, Node,
    PowerDraw, Rack, SshAccess,
};
pub use lan::{Arch, Network, NetworkError};
pub use mark::BootMark;
pub use plan::{ActionSpec, Blocked, Limits, NodePlan, PLAN_FORMAT, Plan, RestsOn, Step, Suite, Tolerance, Wave};
pub use playbook::{
    Artifact, Baseline, CablingRule, HostIdentity, Image, Install, Playbook, Policy, RolloutPolicy, Stack, VersionProbe,
};
pub use power::{BootMode, BootOverride, BootTarget, PowerState, PowerVerb};
pub use probe::{Answer, Probe, ProbeOutput};
pub use ramdisk::{Compression, LockedPackage, PackageSource, PlacedFile, Ramdisk, RamdiskLock, TakenPackage};
pub use rate::DataRate;
pub use rootfs::Rootfs;
pub use run::{Lifecycle, NodeState, Phase, RunState, TransitionError};
pub use secret::{SecretRef, SecretRefError};
pub use state::{BmcFacts, Observed, Reading, SystemFacts};
