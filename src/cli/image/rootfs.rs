//! The root file system of a node, with the kernel and the ramdisk that fetches it.

use std::path::Path;

use serde_json::json;

use super::{To, Write, failure, load, mib, ramdisk, write};
use crate::cli::failure::{Exit, Failure, Result};
use crate::image::manifest;
use crate::image::rootfs::{self, RootError};
use crate::model::{RamdiskLock, Rootfs};
use crate::spec::Definition;

/// Builds one; gives what is told of it as JSON.
pub(super) fn one(file: &Path, rootfs: &Rootfs, lock: Option<RamdiskLock>, to: &To) -> Result<serde_json::Value> {
    let beside = file.with_file_name(format!("{}.yaml", rootfs.ramdisk));
    let (definition, ramdisk_lock) = load(&beside, true, &to.global)?;
    let (Definition::Ramdisk(ramdisk), Some(ramdisk_lock)) = (definition, ramdisk_lock) else {
        let message = format!("{} names {} as its ramdisk, and that defines none", file.display(), beside.display());
        return Err(Failure::new(Exit::INVALID, message));
    };
    let lock = to.lock(file, lock, || to.cache.lock_rootfs(rootfs), manifest::rootfs_lock)?;
    let started = std::time::Instant::now();
    let folder = to.folder(&rootfs.name)?;
    let part = folder.join(format!(".{}.part", manifest::ROOT));
    let built = rootfs::build(rootfs, &lock, (&ramdisk, &ramdisk_lock), &to.cache, &part, &|doing| to.tell(doing));
    let built = built.map_err(failed)?;
    let root = folder.join(manifest::ROOT);
    std::fs::rename(&part, &root).map_err(|source| Write { path: root.clone(), source })?;
    let start = &built.ramdisk;
    write(&folder.join(manifest::KERNEL), &start.kernel)?;
    write(&folder.join(manifest::INITRD), &start.initrd)?;
    // Last, so that a manifest never names files that are not there yet.
    let named = to.out.join(format!("{}.yaml", rootfs.name));
    write(&named, manifest::node_image(rootfs, &ramdisk, start, &built.sha256).as_bytes())?;
    let rows = vec![
        (manifest::KERNEL, start.kernel.len() as u64, &start.kernel_sha256, start.release.clone()),
        (manifest::INITRD, start.initrd.len() as u64, &start.initrd_sha256, format!("the ramdisk `{}`", ramdisk.name)),
        (manifest::ROOT, built.bytes, &built.sha256, format!("{} unpacked, {} packages", mib(built.unpacked), built.packages)),
    ];
    to.show(&folder, rows, &named, started);
    Ok(json!({
        "name": rootfs.name, "image": named, "release": start.release, "packages": built.packages, "unpacked_bytes": built.unpacked,
        "kernel": {"sha256": start.kernel_sha256, "bytes": start.kernel.len()},
        "initrd": {"sha256": start.initrd_sha256, "bytes": start.initrd.len()},
        "root": {"sha256": built.sha256, "bytes": built.bytes},
    }))
}

fn failed(error: RootError) -> Failure {
    match error {
        RootError::Fetch(e) => failure(e),
        RootError::Ramdisk { source, .. } => ramdisk::failed(*source),
        RootError::Tool(e @ rootfs::ToolError::NoProgram { .. }) => {
            Failure::new(Exit::ERROR, e).hint("a node's root is built on Debian or Ubuntu; the image can be used from anywhere")
        }
        other => Failure::new(Exit::ERROR, other),
    }
}
