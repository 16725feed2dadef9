//! The root file system of a node as it is written down. Produced by `spec`, built by `image`.

use super::{PackageSource, PlacedFile};

/// One definition, `images/definitions/NAME.yaml` with `apiVersion: rootfs/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// Name; also that of the image that is built from it.
    pub name: String,
    /// Machine type: `x86_64` or `aarch64`.
    pub arch: String,
    /// Latest time of a file in it, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
    /// Name of the ramdisk's definition beside this one: it fetches the root, and its kernel is the one that runs.
    pub ramdisk: String,
    /// Where packages come from.
    pub sources: Vec<PackageSource>,
    /// Packages that are installed, with what they depend on.
    pub packages: Vec<String>,
    /// Paths that packages do not bring (`/usr/share/man/*`), as dpkg's `path-exclude` reads them.
    pub exclude: Vec<String>,
    /// Kernel modules that go in, with what they depend on; `None` for all of the kernel's package.
    pub modules: Option<Vec<String>>,
    /// Files of the site that go in.
    pub files: Vec<PlacedFile>,
    /// Units of systemd that start by themselves.
    pub enable: Vec<String>,
    /// Units of systemd that never start.
    pub mask: Vec<String>,
    /// Name of every node that boots it; `None` for the one that each boot gives.
    pub hostname: Option<String>,
    /// Locale, such as `C.UTF-8`.
    pub locale: String,
    /// Time zone, such as `Etc/UTC`.
    pub timezone: String,
    /// Kernel arguments, after the ramdisk's.
    pub cmdline: Vec<String>,
}

impl Rootfs {
    /// Names of what is locked: the packages of the definition. What they depend on is locked beside them.
    pub fn package_names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(String::as_str)
    }

    /// What Debian calls the machine type.
    #[must_use]
    pub fn debian_arch(&self) -> &'static str {
        if self.arch == "aarch64" { "arm64" } else { "amd64" }
    }
}
