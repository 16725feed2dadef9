//! The step that brings an image onto a node's disk: netboot, write, start from the disk. One step, since the end of its first half is gone when
//! the second is reached.

use super::install_digest;
use super::line::{Ask, Obstacle, netboot_action, step};
use crate::model::{
    ActionSpec, BootMark, BootMode, Digest, DiskImage, DiskInstall, DiskMark, Image, Installable, Reading, Step, SystemFacts,
};

/// Adds the step when it is needed.
pub(super) fn install(ask: &Ask<'_>, wanted: &DiskInstall, steps: &mut Vec<Step>) -> Result<(), Obstacle> {
    let Some(image) = &ask.playbook.baseline.image else {
        return Err(("the playbook names no image that could write the disk".to_owned(), "bringup validate"));
    };
    let digest = install_digest(&wanted.image);
    let why = match &wanted.image {
        Installable::System(_) => why_install(&ask.observed.system, &digest),
        Installable::Disk(_) => why_write(ask, &digest),
    };
    let Some(why) = why else { return Ok(()) };
    if ask.node.boot.mode != BootMode::Uefi {
        let why = "its firmware boots in BIOS mode, and the installer makes disks that start by UEFI";
        return Err((why.to_owned(), "bringup show NODE --why boot.mode"));
    }
    if wanted.image.arch() != ask.node.boot.arch.to_string() {
        let why = format!(
            "the image {} is for {}, and its `boot.arch` is {}",
            wanted.image.name(),
            wanted.image.arch(),
            ask.node.boot.arch
        );
        return Err((why, "bringup show NODE --why boot.arch"));
    }
    let netboot = Box::new(netboot_action(ask, image)?);
    let action = match &wanted.image {
        Installable::System(image) => system(wanted, image, digest, netboot)?,
        Installable::Disk(image) => whole_disk(ask, wanted, image, digest, netboot)?,
    };
    steps.push(step(steps.len() + 1, "install", action, why)?);
    Ok(())
}

fn system(wanted: &DiskInstall, image: &Image, digest: Digest, netboot: Box<ActionSpec>) -> Result<ActionSpec, Obstacle> {
    let Some(root) = &image.root else {
        return Err((format!("the image {} has no root to write", image.name), "bringup validate"));
    };
    Ok(ActionSpec::InstallImage {
        image: image.name.clone(),
        image_digest: digest,
        kernel: image.kernel.clone(),
        initrd: image.initrd.clone(),
        root: root.clone(),
        cmdline: image.cmdline.clone(),
        disk: wanted.disk.clone(),
        wipe: wanted.wipe,
        deadline_s: wanted.deadline_s,
        netboot,
    })
}

fn whole_disk(
    ask: &Ask<'_>,
    wanted: &DiskInstall,
    image: &DiskImage,
    digest: Digest,
    netboot: Box<ActionSpec>,
) -> Result<ActionSpec, Obstacle> {
    // Nothing is put into such an image, so the key that its system shows is one that is known before.
    if ask.node.ssh.host_keys.is_empty() && image.ssh_host_keys.is_empty() {
        let why = format!("nothing says which SSH host key the system of the disk image {} shows on it", image.name);
        return Err((why, "bringup show NODE --why ssh.host_keys"));
    }
    Ok(ActionSpec::WriteDisk {
        image: image.name.clone(),
        image_digest: digest,
        content: image.content.clone(),
        disk: wanted.disk.clone(),
        wipe: wanted.wipe,
        deadline_s: wanted.deadline_s,
        netboot,
    })
}

/// A system from an image of a whole disk says nothing of where it came from; the partition table of the disk below it does.
fn why_write(ask: &Ask<'_>, want: &Digest) -> Option<String> {
    let facts = match &ask.observed.system {
        Reading::Absent => return Some("no system runs".to_owned()),
        Reading::Unknown { .. } => return Some("no system was heard by SSH".to_owned()),
        Reading::Known(facts) => facts,
    };
    // A disk's own words may be those of the disk that the image was taken from.
    let mark = facts.cmdline.known().map(|c| BootMark::of(c));
    if let Some(found) = mark.filter(|mark| mark.disk.is_none()).and_then(|mark| mark.image) {
        return Some(format!("it runs image {}, wanted disk image {} on its disk", found.short(), want.short()));
    }
    match &facts.root {
        Some(Reading::Known(disk)) => {
            let mark = DiskMark { node: &ask.node.id, image: want, serial: &disk.serial, wwn: &disk.wwn };
            let why = || format!("the disk that it runs from does not say that disk image {} was written to it", want.short());
            (!mark.is_on(&disk.table)).then(why)
        }
        Some(_) | None => Some(format!("the disk that it runs from could not be read, wanted disk image {} on it", want.short())),
    }
}

fn why_install(system: &Reading<SystemFacts>, want: &Digest) -> Option<String> {
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
