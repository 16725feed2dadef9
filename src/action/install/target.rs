//! What an installation is to bring about on one node.

use crate::action::NetbootTarget;
use crate::model::{ActionSpec, Artifact, Digest, DiskRule, Mac, NodeId, PlanId, Wipe};

/// What an installation is to bring about.
#[derive(Debug, Clone)]
pub struct InstallTarget {
    /// Node.
    pub node: NodeId,
    /// Plan.
    pub plan: PlanId,
    /// Serial from the facts.
    pub serial: String,
    /// Interface that boots, and that the installed system uses.
    pub mac: Mac,
    /// Digest of the image that is to run from the disk.
    pub image_digest: Digest,
    /// Kernel.
    pub kernel: Artifact,
    /// Initial RAM disks.
    pub initrd: Vec<Artifact>,
    /// Root file system, as squashfs.
    pub root: Artifact,
    /// Kernel arguments.
    pub cmdline: Vec<String>,
    /// The disk.
    pub disk: DiskRule,
    /// Whether a disk that holds something may be written.
    pub wipe: Wipe,
    /// Base URL of the cache that the root comes from; `None`: the boot server itself.
    pub files_from: Option<String>,
    /// Digest of the image that does the writing.
    pub from: Digest,
    /// Longest time to send, write and read back, in seconds.
    pub deadline_s: u32,
    /// Longest wait for a login after a start, in seconds.
    pub boot_deadline_s: u32,
}

impl InstallTarget {
    /// Joins a step with the netboot that it begins with.
    ///
    /// # Errors
    /// The step is not an installation.
    pub fn new(spec: &ActionSpec, first: &NetbootTarget) -> Result<Self, String> {
        let ActionSpec::InstallImage {
            image_digest,
            kernel,
            initrd,
            root,
            cmdline,
            disk,
            wipe,
            deadline_s,
            image: _,
            netboot: _,
        } = spec
        else {
            return Err("the step is not an installation".to_owned());
        };
        Ok(Self {
            node: first.node.clone(),
            plan: first.plan.clone(),
            serial: first.serial.clone(),
            mac: first.mac,
            image_digest: image_digest.clone(),
            kernel: kernel.clone(),
            initrd: initrd.clone(),
            root: root.clone(),
            cmdline: cmdline.clone(),
            disk: disk.clone(),
            wipe: *wipe,
            files_from: first.files_from.clone(),
            from: first.image_digest.clone(),
            deadline_s: *deadline_s,
            boot_deadline_s: first.deadline_s,
        })
    }
}
