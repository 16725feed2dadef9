//! The root file system of a node: packages of a lock to a squashfs that a diskless node fetches, and that an installer writes to a disk.
//!
//! | file | idea |
//! |---|---|
//! | `depot` | the locked packages as a repository in a folder, all that `mmdebstrap` gets to see |
//! | `fill` | what comes on top as one tar: kernel modules, settings, the site's files |
//! | `setup.sh`, `forget.sh`, `finish.sh` | before the first package; after the last; after the site's files |
//! | `work` | the folder of one build, gone with it |
//! | `tool` | `mmdebstrap` and `mksquashfs`: found, called, their words when they fail |
//! | `proof` | reads what was built before it is packed: exactly the lock, root locked, no key |
//!
//! Packages are installed by Debian's own tools, so their maintainer scripts run: as root in a file system of their own without a network, or,
//! for another user, in a user namespace. The machine that builds gives no package, no setting and no name to the root.

mod depot;
mod fill;
mod proof;
mod tool;
mod work;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::debian::{Cache, FetchError};
use super::module::ModuleError;
use super::package::PackageError;
use super::ramdisk::{self, BuildError};
use crate::model::{Digest, LockedPackage, Ramdisk, RamdiskLock, Rootfs};

pub use proof::{Flaw, ProofError};
pub use tool::ToolError;
use work::Work;

/// Connections to the mirror at once.
const FETCHERS: usize = 4;

/// What a build gives beside the file of the root.
#[derive(Debug)]
pub struct BuiltRoot {
    /// Kernel and the initrd that fetches the root.
    pub ramdisk: ramdisk::Built,
    /// Digest of the root.
    pub sha256: Digest,
    /// Its bytes.
    pub bytes: u64,
    /// Packages in it.
    pub packages: usize,
    /// Bytes of all files in it, unpacked.
    pub unpacked: u64,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Packages.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The ramdisk.
    #[error("build the ramdisk `{name}`")]
    Ramdisk {
        /// Its definition.
        name: String,
        /// Why.
        source: Box<BuildError>,
    },
    /// Another machine type.
    #[error("the ramdisk `{name}` is of {ramdisk} and the root of {root}")]
    Arch {
        /// The ramdisk's definition.
        name: String,
        /// Its machine type.
        ramdisk: String,
        /// That of the root.
        root: String,
    },
    /// The day has not come.
    #[error("epoch: {0} is later than this machine's clock")]
    Future(u32),
    /// A package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Modules.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The lock names another package than the file is.
    #[error("the lock says `{name} {version}` of a file that is `{found}`")]
    Mislabelled {
        /// As the lock says.
        name: String,
        /// As the lock says.
        version: String,
        /// As the file says.
        found: String,
    },
    /// The programs.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What was built is not what was asked for.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A file.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Builds and writes the root to `to`; `tell` hears what is being done. Blocks for a minute or more, and needs room in the cache's folder for the
/// root unpacked.
///
/// # Errors
/// [`RootError`]; `to` is not there then.
pub fn build(
    rootfs: &Rootfs,
    lock: &RamdiskLock,
    ramdisk: (&Ramdisk, &RamdiskLock),
    cache: &Cache,
    to: &Path,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<BuiltRoot, RootError> {
    let (ramdisk, ramdisk_lock) = ramdisk;
    if ramdisk.arch != rootfs.arch {
        let (ramdisk, root) = (ramdisk.arch.clone(), rootfs.arch.clone());
        return Err(RootError::Arch { name: rootfs.ramdisk.clone(), ramdisk, root });
    }
    // What has no time of its own gets now's, cut to the epoch: before that day no two builds would be the same.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if u64::from(rootfs.epoch) > now {
        return Err(RootError::Future(rootfs.epoch));
    }
    let tools = tool::find()?;
    let built = ramdisk::build(ramdisk, ramdisk_lock, cache, tell)
        .map_err(|source| RootError::Ramdisk { name: ramdisk.name.clone(), source: Box::new(source) })?;
    let debs = fetch(lock, cache, tell)?;
    let work = Work::new(&cache.folder("work"))?;
    tell(&format!("{} packages into a repository", debs.len()));
    depot::make(&work.path("depot"), suite(rootfs), &debs)?;
    tell("kernel modules and settings");
    fill::write(rootfs, &built, has_package(lock, "apt"), has_package(lock, "debian-archive-keyring"), &work.path("fill.tar"))?;
    tell("installing");
    let tree = work.path("root.tar");
    tools.install(rootfs, &built.release, has_package(lock, "apt"), &work, &tree)?;
    tell("looking at what was installed");
    let own: BTreeSet<String> = rootfs.files.iter().map(|f| fill::merged(f.to.trim_start_matches('/'))).collect();
    let unpacked = proof::check(&tree, lock, &built.release, &own)?;
    tell("packing");
    drop(fs::remove_file(to));
    let packed = tools.pack(&tree, rootfs.epoch, to).and_then(|()| super::debian::measure(to).map_err(file("read", to)));
    if packed.is_err() {
        drop(fs::remove_file(to));
    }
    let (sha256, bytes) = packed?;
    Ok(BuiltRoot { ramdisk: built, sha256, bytes, packages: lock.packages.len(), unpacked })
}

/// Suite that the packages are said to be of.
fn suite(rootfs: &Rootfs) -> &str {
    rootfs.sources.first().map_or("stable", |s| s.suite.as_str())
}

fn has_package(lock: &RamdiskLock, name: &str) -> bool {
    lock.packages.iter().any(|p| p.name == name)
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RootError {
    let path = path.to_owned();
    move |source| RootError::File { doing, path, source }
}

/// All packages of the lock, several at a time; the first error ends it.
fn fetch<'l>(
    lock: &'l RamdiskLock,
    cache: &Cache,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Vec<(&'l LockedPackage, PathBuf)>, RootError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut had = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(package) = lock.packages.get(at) else { return Ok(had) };
            match cache.fetch(package) {
                Ok(path) => had.push((at, path)),
                Err(e) => {
                    // The others stop at their next package.
                    next.store(lock.packages.len(), Ordering::Relaxed);
                    return Err(e);
                }
            }
        }
    };
    tell(&format!("{} packages by digest", lock.packages.len()));
    let parts = std::thread::scope(|scope| {
        let all: Vec<_> = (0..FETCHERS).map(|_| scope.spawn(work)).collect();
        all.into_iter().filter_map(|t| t.join().ok()).collect::<Result<Vec<_>, FetchError>>()
    })?;
    let mut had: Vec<_> = parts.into_iter().flatten().collect();
    had.sort_by_key(|(at, _)| *at);
    Ok(lock.packages.iter().zip(had).map(|(package, (_, path))| (package, path)).collect())
}
