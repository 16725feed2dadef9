//! What an installation is to bring about on one node.

use crate::action::NetbootTarget;
use crate::model::{ActionSpec, Artifact, Digest, DiskContent, DiskRule, Mac, NodeId, PlanId, Wipe};

/// What goes on a disk.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The parts of a system, for which the installer makes the disk.
    System {
        /// Kernel.
        kernel: Artifact,
        /// Initial RAM disks.
        initrd: Vec<Artifact>,
        /// Root file system, as squashfs.
        root: Artifact,
        /// Kernel arguments.
        cmdline: Vec<String>,
    },
    /// A whole disk, as it is.
    Disk(DiskContent),
}

impl Payload {
    /// The file that has gigabytes: the node fetches it from the boot server.
    #[must_use]
    pub fn large(&self) -> &Artifact {
        match self {
            Self::System { root, .. } => root,
            Self::Disk(content) => &content.file,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::System { .. } => "root",
            Self::Disk(_) => "disk image",
        }
    }
}

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
    /// What goes on the disk.
    pub payload: Payload,
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
        let (image_digest, payload, disk, wipe, deadline_s) = match spec {
            ActionSpec::InstallImage { image_digest, kernel, initrd, root, cmdline, disk, wipe, deadline_s, .. } => {
                let (kernel, initrd, root, cmdline) = (kernel.clone(), initrd.clone(), root.clone(), cmdline.clone());
                (image_digest, Payload::System { kernel, initrd, root, cmdline }, disk, wipe, deadline_s)
            }
            ActionSpec::WriteDisk { image_digest, content, disk, wipe, deadline_s, .. } => {
                (image_digest, Payload::Disk(content.clone()), disk, wipe, deadline_s)
            }
            ActionSpec::Netboot { .. } | ActionSpec::InstallStack { .. } => {
                return Err("the step is not an installation".to_owned());
            }
        };
        Ok(Self {
            node: first.node.clone(),
            plan: first.plan.clone(),
            serial: first.serial.clone(),
            mac: first.mac,
            image_digest: image_digest.clone(),
            payload,
            disk: disk.clone(),
            wipe: *wipe,
            files_from: first.files_from.clone(),
            from: first.image_digest.clone(),
            deadline_s: *deadline_s,
            boot_deadline_s: first.deadline_s,
        })
    }
}
