//! What a netboot is to bring about on one node: the plan's step and the node's own addresses, checked together.

use std::net::IpAddr;

use crate::model::{ActionSpec, Artifact, BootMode, BootOverride, BootTarget, Digest, Mac, Node, NodeId, PlanId, Reading, RunId};

/// What a netboot is to bring about.
#[derive(Debug, Clone)]
pub struct NetbootTarget {
    /// Node.
    pub node: NodeId,
    /// Run.
    pub run: RunId,
    /// Plan.
    pub plan: PlanId,
    /// Serial from the facts.
    pub serial: String,
    /// UUID from the facts.
    pub uuid: Option<String>,
    /// Interface that boots.
    pub mac: Mac,
    /// Own address of the node, as the boot server sees it.
    pub address: IpAddr,
    /// Base URL of the boot server, without a slash at its end.
    pub server: String,
    /// `pxe`, `uefi-http`, or `cd`: virtual media.
    pub method: BootTarget,
    /// Firmware interface.
    pub mode: BootMode,
    /// Digest of the image as a whole.
    pub image_digest: Digest,
    /// Kernel.
    pub kernel: Artifact,
    /// Initial RAM disks.
    pub initrd: Vec<Artifact>,
    /// Root file system.
    pub root: Option<Artifact>,
    /// Kernel arguments.
    pub cmdline: Vec<String>,
    /// Boot id of the system that ran when the plan was made.
    pub old_boot_id: Option<String>,
    /// Boot override that the BMC held when the plan was made: what the run goes back to.
    pub boot_before: Reading<BootOverride>,
    /// Longest wait for a login, in seconds.
    pub deadline_s: u32,
}

impl NetbootTarget {
    /// Joins a step with its node and with the boot override that was held before.
    ///
    /// # Errors
    /// Says which fact is missing.
    pub fn new(
        node: &Node,
        spec: &ActionSpec,
        run: &RunId,
        plan: &PlanId,
        boot_before: &Reading<BootOverride>,
    ) -> Result<Self, String> {
        let ActionSpec::Netboot { image_digest, kernel, initrd, root, cmdline, method, mode, old_boot_id, deadline_s, .. } = spec
        else {
            return Err("the step is not a netboot".to_owned());
        };
        Ok(Self {
            node: node.id.clone(),
            run: run.clone(),
            plan: plan.clone(),
            serial: node.serial.clone().ok_or("the facts hold no serial")?,
            uuid: node.uuid.clone(),
            mac: node.boot.mac.ok_or("the facts hold no boot MAC")?,
            address: node.boot.ip,
            server: node.boot.server.clone().ok_or("no boot server is written")?.trim_end_matches('/').to_owned(),
            method: *method,
            mode: *mode,
            image_digest: image_digest.clone(),
            kernel: kernel.clone(),
            initrd: initrd.clone(),
            root: root.clone(),
            cmdline: cmdline.clone(),
            old_boot_id: old_boot_id.clone(),
            boot_before: boot_before.clone(),
            deadline_s: *deadline_s,
        })
    }
}
