//! `baseline.install` as types, for `bringup schema`; see `shape`.

use schemars::JsonSchema;

use super::shape::{Duration, FileName, Size};

/// An image that is written to a disk of each node, by the image that is netbooted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "install")]
pub struct InstallShape {
    /// Image: `../images/NAME.yaml` seen from the playbook; its `root` is a squashfs.
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
