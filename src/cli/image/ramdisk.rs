//! A bring-up ramdisk: kernel and initrd.

use std::path::Path;

use serde_json::json;

use super::{To, failure, mib, write};
use crate::cli::failure::{Exit, Failure, Result};
use crate::image::{self, BuildError, manifest};
use crate::model::{Ramdisk, RamdiskLock};

/// Builds one; gives what is told of it as JSON.
pub(super) fn one(file: &Path, ramdisk: &Ramdisk, lock: Option<RamdiskLock>, to: &To) -> Result<serde_json::Value> {
    let lock = to.lock(file, lock, || to.cache.lock(ramdisk), manifest::lock)?;
    let started = std::time::Instant::now();
    let built = image::build(ramdisk, &lock, &to.cache, &|doing| to.tell(doing)).map_err(failed)?;
    let folder = to.folder(&ramdisk.name)?;
    write(&folder.join(manifest::KERNEL), &built.kernel)?;
    write(&folder.join(manifest::INITRD), &built.initrd)?;
    // Last, so that a manifest never names files that are not there yet.
    let named = to.out.join(format!("{}.yaml", ramdisk.name));
    write(&named, manifest::image(ramdisk, &built).as_bytes())?;
    let holds = format!("{} unpacked, {} modules", mib(built.unpacked), built.modules);
    let rows = vec![
        (manifest::KERNEL, built.kernel.len() as u64, &built.kernel_sha256, built.release.clone()),
        (manifest::INITRD, built.initrd.len() as u64, &built.initrd_sha256, holds),
    ];
    to.show(&folder, rows, &named, started);
    Ok(json!({
        "name": ramdisk.name, "image": named, "release": built.release, "modules": built.modules, "unpacked_bytes": built.unpacked,
        "kernel": {"sha256": built.kernel_sha256, "bytes": built.kernel.len()},
        "initrd": {"sha256": built.initrd_sha256, "bytes": built.initrd.len()},
    }))
}

/// Why a ramdisk was not built.
pub(super) fn failed(error: BuildError) -> Failure {
    match error {
        BuildError::Fetch(e) => failure(e),
        other => Failure::new(Exit::ERROR, other),
    }
}
