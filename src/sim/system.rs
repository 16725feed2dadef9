//! What a simulated machine runs: where it came from and what its kernel was told. Plain data.

/// Where a system was loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The machine's own disk, with whatever was on it.
    Disk,
    /// The network.
    Network,
}

/// A file that the boot ROM fetched whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Where it came from.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, as hex.
    pub sha256: String,
}

/// What the boot ROM loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Kernel.
    pub kernel: Blob,
    /// Initial RAM disks, in order.
    pub initrd: Vec<Blob>,
    /// Kernel arguments.
    pub cmdline: String,
}

/// A system that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Linux boot id; new at every boot.
    pub boot_id: String,
    /// Where it came from.
    pub origin: Origin,
    /// `/proc/cmdline`.
    pub cmdline: String,
    /// What the boot ROM loaded; `None` from disk.
    pub loaded: Option<Loaded>,
}

/// Command line of the system on every disk.
pub const DISK_CMDLINE: &str = "BOOT_IMAGE=/vmlinuz-disk root=LABEL=disk ro quiet booted-from=disk";

impl System {
    /// `installed`: arguments of the system that was installed on the data disk, which the firmware prefers to the old one.
    pub(super) fn new(boot_id: String, origin: Origin, loaded: Option<Loaded>, installed: Option<&str>) -> Self {
        let disk = || installed.unwrap_or(DISK_CMDLINE).to_owned();
        let cmdline = loaded.as_ref().map_or_else(disk, |l| l.cmdline.clone());
        Self { boot_id, origin, cmdline, loaded }
    }
}
