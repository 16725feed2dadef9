//! `baseline.install` as types, for `bringup schema`; see `shape`.

use schemars::JsonSchema;

use super::shape::{Duration, FileName, Sha256, Size};

/// An image that is written to a disk of each node, by the image that is netbooted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "install")]
pub struct InstallShape {
    /// Image: `../images/NAME.yaml` seen from the playbook; a whole disk, or one whose `root` is a squashfs.
    pub image: FileName,
    /// The disk, by what it is.
    pub disk: DiskShape,
    /// `yes`: what the disk holds is lost, and `apply` wants `--allow wipe`; `blank-only`, when not given, refuses a disk that holds anything.
    #[schemars(extend("enum" = ["blank-only", "yes"]))]
    pub wipe: Option<String>,
    /// Longest time to send, write and read back; 30m when not given.
    pub deadline: Option<Duration>,
}

/// All that is written must be so of exactly one disk of the node.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "disk")]
pub struct DiskShape {
    /// Serial number.
    pub serial: Option<String>,
    /// World Wide Name as sysfs has it: `naa.…`, `eui.…`, `nvme.…`.
    pub wwn: Option<String>,
    /// Model; `*` stands for any text.
    pub model: Option<String>,
    /// How it is attached.
    #[schemars(extend("enum" = ["nvme", "sata", "sas", "virtio"]))]
    pub transport: Option<String>,
    /// Smallest size.
    pub size_min: Option<Size>,
    /// Largest size.
    pub size_max: Option<Size>,
    /// It turns.
    pub rotational: Option<bool>,
    /// Which of several; without it several are refused.
    #[schemars(extend("enum" = ["smallest", "largest"]))]
    pub pick: Option<String>,
}

/// An image of a whole disk, raw and with a GPT; written as it is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "disk-image")]
pub struct DiskImageShape {
    /// Path, relative to the file that names it.
    pub file: String,
    /// What the file must be.
    pub sha256: Sha256,
    /// Bytes on the disk, unpacked: a multiple of 512.
    pub size: u64,
    /// How the file is packed; `none` when not given.
    #[schemars(extend("enum" = ["none", "zstd"]))]
    pub compression: Option<String>,
    /// What must lie on the disk; only of a file that is packed.
    pub raw_sha256: Option<Sha256>,
}
