//! The build: a definition and its lock to a kernel and an initrd. The order of the work, every name and every byte come from these two and from
//! this version of `bringup`; the machine, its clock and its user play no part.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cpio::CpioError;
use super::debian::{Cache, FetchError};
use super::module::{ModuleError, Modules, below_modules};
use super::package::{self, Member, PackageError};
use super::pattern::fits;
use super::tree::{Thing, Tree, TreeError};
use crate::model::{Compression, Digest, LockedPackage, Ramdisk, RamdiskLock};

const INIT: &str = include_str!("inside/init.sh");
const LEASE: &str = include_str!("inside/lease.sh");
const DISK: &str = include_str!("inside/disk.sh");
const IDENTITY: &str = include_str!("inside/identity.sh");
const ROOT: &str = include_str!("inside/root.sh");
const REPORT: &str = include_str!("inside/report.pl");
/// What the scripts inside call by path, and where Debian has it.
const CALLED: [(&str, &str); 3] =
    [("bin/busybox", "busybox-static"), ("usr/bin/perl", "perl-base"), ("usr/sbin/dropbear", "dropbear-bin")];
/// Highest level that needs no more memory to unpack than the kernel gives (a window of 8 MiB; `lib/decompress_unzstd.c` takes 128 MiB).
const ZSTD_LEVEL: i32 = 19;

/// A kernel and an initrd.
#[derive(Debug)]
pub struct Built {
    /// Kernel.
    pub kernel: Vec<u8>,
    /// Its digest.
    pub kernel_sha256: Digest,
    /// Initrd, packed.
    pub initrd: Vec<u8>,
    /// Its digest.
    pub initrd_sha256: Digest,
    /// The kernel's package, whose other modules a root may want.
    pub kernel_package: PathBuf,
    /// Release of the kernel.
    pub release: String,
    /// Kernel modules in the initrd.
    pub modules: usize,
    /// Bytes of all files in it.
    pub unpacked: u64,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Packages.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Modules.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The archive.
    #[error(transparent)]
    Cpio(#[from] CpioError),
    /// A pattern that fits nothing.
    #[error("the package `{package}` has nothing that fits `{pattern}`")]
    Nothing {
        /// Package.
        package: String,
        /// Pattern.
        pattern: String,
    },
    /// The lock is of another definition.
    #[error("the lock lacks the package `{0}`")]
    Unlocked(String),
    /// Something that the ramdisk's own scripts call.
    #[error("the image lacks /{path}, which its init calls; take it from the package `{package}`")]
    Lacks {
        /// Where.
        path: &'static str,
        /// Who has it.
        package: &'static str,
    },
    /// A file of the site.
    #[error("read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The packer.
    #[error("pack the initrd")]
    Pack(#[source] std::io::Error),
}

/// Builds; `tell` hears what is being done. Blocks for seconds to minutes: packages may have to be fetched.
///
/// # Errors
/// [`BuildError`]; nothing was written then but to the cache.
pub fn build(ramdisk: &Ramdisk, lock: &RamdiskLock, cache: &Cache, tell: &dyn Fn(&str)) -> Result<Built, BuildError> {
    let locked = |name: &str| -> Result<&LockedPackage, BuildError> {
        lock.packages.iter().find(|p| p.name == name).ok_or_else(|| BuildError::Unlocked(name.to_owned()))
    };
    let mut debs: BTreeMap<&str, (PathBuf, String)> = BTreeMap::new();
    for name in ramdisk.package_names() {
        let package = locked(name)?;
        tell(&format!("{} {}", package.package, package.version));
        debs.insert(name, (cache.fetch(package)?, package.package.clone()));
    }
    let mut tree = Tree::new();
    let (kernel, release, modules) = match debs.get(ramdisk.kernel.as_str()) {
        Some((deb, package)) => take_kernel(ramdisk, deb, package, &mut tree)?,
        None => return Err(BuildError::Unlocked(ramdisk.kernel.clone())),
    };
    for taken in &ramdisk.packages {
        if let Some((deb, _)) = debs.get(taken.name.as_str()) {
            take_package(&taken.name, &taken.take, deb, &mut tree)?;
        }
    }
    put_own(&mut tree)?;
    for file in &ramdisk.files {
        let path = &file.artifact.path;
        let bytes = std::fs::read(path).map_err(|source| BuildError::File { path: path.clone(), source })?;
        tree.put(&file.to, Thing::File { bytes, executable: file.executable }, &path.display().to_string())?;
    }
    if let Some((path, package)) = CALLED.into_iter().find(|(path, _)| !tree.has(path)) {
        return Err(BuildError::Lacks { path, package });
    }
    tree.check()?;
    tell("packing");
    let initrd = pack(&tree.archive(ramdisk.epoch)?, ramdisk.compression).map_err(BuildError::Pack)?;
    let digest = |bytes: &[u8]| Digest::from_bytes(&Sha256::digest(bytes).into());
    let (kernel_sha256, initrd_sha256) = (digest(&kernel), digest(&initrd));
    let kernel_package = debs.remove(ramdisk.kernel.as_str()).map(|(deb, _)| deb).unwrap_or_default();
    let unpacked = tree.size();
    Ok(Built { kernel, kernel_sha256, initrd, initrd_sha256, kernel_package, release, modules, unpacked })
}

/// The kernel, and its modules into the tree. Its package is read twice: first to learn what each module needs, then to take those.
fn take_kernel(ramdisk: &Ramdisk, deb: &Path, package: &str, tree: &mut Tree) -> Result<(Vec<u8>, String, usize), BuildError> {
    let mut modules = Modules::default();
    let mut wrong = None;
    let listed = |path: &str| below_modules(path).is_some_and(|(_, rest)| rest == "modules.builtin" || rest.contains(".ko"));
    package::read(deb, listed, |path, member| {
        if let (Member::File { bytes, .. }, None) = (member, &wrong) {
            wrong = modules.note(path, bytes).err();
        }
        Ok(())
    })?;
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    let none = |what| ModuleError::None { package: package.to_owned(), what };
    if modules.release.is_empty() {
        return Err(none("kernel modules").into());
    }
    let chosen = modules.closure(ramdisk.load.iter().chain(&ramdisk.modules))?;
    let paths: std::collections::BTreeSet<&str> =
        chosen.iter().filter_map(|name| modules.get(name)).map(|m| m.path.as_str()).collect();
    let (mut kernel, mut taken) = (None, Vec::new());
    let wanted =
        |path: &str| path.starts_with("boot/vmlinuz-") || below_modules(path).is_some_and(|(_, rest)| paths.contains(rest));
    package::read(deb, wanted, |path, member| {
        match member {
            Member::File { bytes, .. } if path.starts_with("boot/") => kernel = Some(bytes),
            Member::File { bytes, .. } => taken.push((path.to_owned(), bytes)),
            _ => {}
        }
        Ok(())
    })?;
    for (path, bytes) in taken {
        tree.put(&path, Thing::File { bytes, executable: false }, package)?;
    }
    let folder = format!("lib/modules/{}", modules.release);
    let mut index =
        |name: &str, bytes: Vec<u8>| tree.put(&format!("{folder}/{name}"), Thing::File { bytes, executable: false }, "bringup");
    index("modules.dep", modules.dep_index(&chosen).into_bytes())?;
    index("modules.alias", modules.alias_index(&chosen).into_bytes())?;
    index("modules.builtin", modules.builtin_list.clone())?;
    let load: String = ramdisk.load.iter().filter(|name| !modules.is_builtin(name)).map(|name| format!("{name}\n")).collect();
    tree.put("etc/bringup/load", Thing::File { bytes: load.into_bytes(), executable: false }, "bringup")?;
    Ok((kernel.ok_or_else(|| none("kernel"))?, modules.release.clone(), paths.len()))
}

fn take_package(name: &str, patterns: &[String], deb: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    let mut used = vec![false; patterns.len()];
    let (mut taken, mut same) = (BTreeMap::new(), Vec::new());
    let want = |path: &str| {
        let mut any = false;
        for (_, used) in patterns.iter().zip(&mut used).filter(|(pattern, _)| fits(pattern, path)) {
            any = true;
            *used = true;
        }
        any
    };
    package::read(deb, want, |path, member| {
        match member {
            Member::File { bytes, executable } => drop(taken.insert(path.to_owned(), Thing::File { bytes, executable })),
            Member::Link(to) => drop(taken.insert(path.to_owned(), Thing::Link(to))),
            Member::Same(to) => same.push((path.to_owned(), to)),
        }
        Ok(())
    })?;
    for (path, to) in same {
        let Some(thing) = taken.get(&to).cloned() else {
            let why = "is another name of a file that is not taken; take that one";
            return Err(PackageError::Refused { path: deb.to_owned(), member: path, why }.into());
        };
        taken.insert(path, thing);
    }
    if let Some((pattern, _)) = patterns.iter().zip(&used).find(|(_, used)| !**used) {
        return Err(BuildError::Nothing { package: name.to_owned(), pattern: pattern.clone() });
    }
    for (path, thing) in taken {
        tree.put(&path, thing, name)?;
    }
    Ok(())
}

/// What is the same in every ramdisk of this version.
fn put_own(tree: &mut Tree) -> Result<(), TreeError> {
    let mut put = |path: &str, thing: Thing| tree.put(path, thing, "bringup");
    let text = |text: &str, executable| Thing::File { bytes: text.as_bytes().to_vec(), executable };
    put("init", text(INIT, true))?;
    put("etc/bringup/lease", text(LEASE, true))?;
    put("etc/bringup/disk", text(DISK, false))?;
    put("etc/bringup/identity", text(IDENTITY, true))?;
    put("etc/bringup/root", text(ROOT, false))?;
    put("bin/bringup-report", text(REPORT, true))?;
    put("bin/sh", Thing::Link("busybox".to_owned()))?;
    // Where the kernel itself looks for it (`/proc/sys/kernel/modprobe`).
    put("sbin/modprobe", Thing::Link("../bin/busybox".to_owned()))?;
    put("etc/passwd", text("root:x:0:0:root:/root:/bin/sh\n", false))?;
    put("etc/group", text("root:x:0:\n", false))?;
    put("etc/shells", text("/bin/sh\n", false))?;
    for folder in ["dev", "proc", "root", "run", "sys", "tmp"] {
        put(folder, Thing::Folder)?;
    }
    Ok(())
}

fn pack(archive: &[u8], compression: Compression) -> std::io::Result<Vec<u8>> {
    let mut packed = match compression {
        Compression::Zstd => zstd::bulk::compress(archive, ZSTD_LEVEL)?,
        Compression::Gzip => {
            // No name and no time in the header.
            let mut gzip = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
            gzip.write_all(archive)?;
            gzip.finish()?
        }
    };
    // Linux's EFI stub joins several initrds without a gap, and a plain archive has to begin at a multiple of four bytes; zeros between are
    // skipped (Documentation/driver-api/early-userspace/buffer-format.rst).
    packed.resize(packed.len().next_multiple_of(4), 0);
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_initrd_can_follow() {
        for n in 0..16_u8 {
            let archive: Vec<u8> = (0..64 + n).map(|i| i.wrapping_mul(n | 1)).collect();
            for compression in [Compression::Zstd, Compression::Gzip] {
                assert_eq!(pack(&archive, compression).unwrap().len() % 4, 0, "{n} {compression:?}");
            }
        }
    }
}
