//! The bring-up ramdisk as it is written down: what goes into it, and which packages exactly. Produced by `spec`, built by `image`.

use serde::{Deserialize, Serialize};

use super::{Artifact, Digest};

/// One definition, `images/definitions/NAME.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ramdisk {
    /// Name; also that of the image that is built from it.
    pub name: String,
    /// Machine type: `x86_64` or `aarch64`.
    pub arch: String,
    /// Time of every file in it, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
    /// Where packages come from.
    pub sources: Vec<PackageSource>,
    /// Package of the kernel, or one that depends on it (`linux-image-amd64`).
    pub kernel: String,
    /// Kernel modules that go in, with what they depend on; loaded when the hardware asks for them.
    pub modules: Vec<String>,
    /// Kernel modules that go in and are always loaded.
    pub load: Vec<String>,
    /// Packages of which files go in.
    pub packages: Vec<TakenPackage>,
    /// Files of the site that go in.
    pub files: Vec<PlacedFile>,
    /// Kernel arguments.
    pub cmdline: Vec<String>,
    /// How it is packed.
    pub compression: Compression,
}

/// One Debian repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSource {
    /// Address without the suite, such as `http://deb.debian.org/debian`.
    pub uri: String,
    /// Suite, such as `bookworm`.
    pub suite: String,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// File with the keys that may sign it, on the machine that builds.
    pub keyring: String,
}

/// What is taken of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPackage {
    /// Package.
    pub name: String,
    /// Paths without the first `/`; `*` stands for any letters but `/`, `**` for any.
    pub take: Vec<String>,
}

/// A file of the site and its place in the ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFile {
    /// The file.
    pub artifact: Artifact,
    /// Absolute path in the ramdisk.
    pub to: String,
    /// True when it is a program.
    pub executable: bool,
}

/// How a ramdisk is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard: a fifth of gzip's time to unpack at a smaller size; Linux 5.9 or newer.
    Zstd,
    /// For older kernels.
    Gzip,
}

/// The packages that a ramdisk is built from, each by digest: `NAME.lock` beside the definition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RamdiskLock {
    /// In the order of the definition, the kernel first.
    pub packages: Vec<LockedPackage>,
}

/// One package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// As the definition names it.
    pub name: String,
    /// The package that it stood for: another one where a kernel's name is that of the newest.
    pub package: String,
    /// Debian's version.
    pub version: String,
    /// Digest of the file.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it was.
    pub url: String,
}

impl Ramdisk {
    /// Names of all packages, the kernel's first.
    pub fn package_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.kernel.as_str()).chain(self.packages.iter().map(|p| p.name.as_str()))
    }

    /// What Debian calls the machine type.
    #[must_use]
    pub fn debian_arch(&self) -> &'static str {
        if self.arch == "aarch64" { "arm64" } else { "amd64" }
    }
}
