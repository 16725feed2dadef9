//! The step that brings an image onto a node's disk: netboot, write, start from the disk. One step, since the end of its first half is gone when
//! the second is reached.

use super::image_digest;
use super::line::{Ask, Obstacle, netboot_action, step};
use crate::model::{ActionSpec, BootMark, BootMode, DiskInstall, Reading, Step, SystemFacts};

/// Adds the step when it is needed.
pub(super) fn install(ask: &Ask<'_>, wanted: &DiskInstall, steps: &mut Vec<Step>) -> Result<(), Obstacle> {
    let Some(image) = &ask.playbook.baseline.image else {
        return Err(("the playbook names no image that could write the disk".to_owned(), "bringup validate"));
    };
    let Some(root) = &wanted.image.root else {
        return Err((format!("the image {} has no root to write", wanted.image.name), "bringup validate"));
    };
    let digest = image_digest(&wanted.image);
    let Some(why) = why_install(&ask.observed.system, &digest) else { return Ok(()) };
    if ask.node.boot.mode != BootMode::Uefi {
        let why = "its firmware boots in BIOS mode, and the installer makes disks that start by UEFI";
        return Err((why.to_owned(), "bringup show NODE --why boot.mode"));
    }
    if wanted.image.arch != ask.node.boot.arch.to_string() {
        let why = format!(
            "the image {} is for {}, and its `boot.arch` is {}",
            wanted.image.name, wanted.image.arch, ask.node.boot.arch
        );
        return Err((why, "bringup show NODE --why boot.arch"));
    }
    let action = ActionSpec::InstallImage {
        image: wanted.image.name.clone(),
        image_digest: digest,
        kernel: wanted.image.kernel.clone(),
        initrd: wanted.image.initrd.clone(),
        root: root.clone(),
        cmdline: wanted.image.cmdline.clone(),
        disk: wanted.disk.clone(),
        wipe: wanted.wipe,
        deadline_s: wanted.deadline_s,
        netboot: Box::new(netboot_action(ask, image)?),
    };
    steps.push(step(steps.len() + 1, "install", action, why)?);
    Ok(())
}

fn why_install(system: &Reading<SystemFacts>, want: &crate::model::Digest) -> Option<String> {
    let mark = match system {
        Reading::Absent => return Some("no system runs".to_owned()),
        Reading::Unknown { .. } => return Some("no system was heard by SSH".to_owned()),
        Reading::Known(facts) => facts.cmdline.known().map(|c| BootMark::of(c)),
    };
    match mark.map(|m| (m.image, m.disk.is_some())) {
        Some((Some(found), true)) if found == *want => None,
        Some((Some(found), true)) => Some(format!("image {} is on its disk, wanted {}", found.short(), want.short())),
        Some((Some(found), false)) => {
            Some(format!("it runs image {} from the network, wanted {} on its disk", found.short(), want.short()))
        }
        Some((None, _)) | None => {
            Some(format!("the system that runs was not installed by bringup, wanted image {}", want.short()))
        }
    }
}
