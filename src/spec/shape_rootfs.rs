//! The definition of a node's root file system as a type: what `bringup schema rootfs` prints. Never filled with data; see `shape`.

use schemars::JsonSchema;

use super::shape_ramdisk::{PlacedShape, SourceShape};

/// The root file system of diskless nodes, `images/definitions/NAME.yaml`: what `bringup image build` makes `images/NAME.yaml` and its files from.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "rootfs")]
pub struct RootfsFile {
    /// Always `rootfs/v1`.
    #[schemars(extend("const" = "rootfs/v1"))]
    pub api_version: String,
    /// Machine type that the image runs on.
    #[schemars(extend("enum" = ["x86_64", "aarch64"]))]
    pub arch: String,
    /// Latest time of a file in it, in seconds since 1970-01-01 UTC.
    #[schemars(range(min = 1_000_000_000))]
    pub epoch: u32,
    /// Name of the ramdisk's definition beside this one: it fetches the root, and its kernel is the one that runs.
    pub ramdisk: String,
    /// Debian repositories that packages are locked from.
    #[schemars(length(min = 1))]
    pub sources: Vec<SourceShape>,
    /// Packages that are installed, with what they depend on, what Debian calls essential, and apt; nothing that is only recommended.
    #[schemars(length(min = 1))]
    pub packages: Vec<String>,
    /// Paths below `/usr/share/` that packages do not bring, as dpkg's `path-exclude` reads them.
    #[schemars(default)]
    pub exclude: Vec<String>,
    /// Kernel modules that go in, with what they depend on; all of the kernel's package when not given.
    pub modules: Option<Vec<String>>,
    /// Files of the site.
    #[schemars(default)]
    pub files: Vec<PlacedShape>,
    /// What systemd starts.
    pub services: Option<ServicesShape>,
    /// Name of every node that boots it; each boot gives its own when not given.
    pub hostname: Option<String>,
    /// Locale; `C.UTF-8` when not given. Others come with Debian's package `locales-all`.
    pub locale: Option<String>,
    /// Time zone; `Etc/UTC` when not given. Others come with Debian's package `tzdata`.
    pub timezone: Option<String>,
    /// Kernel arguments, one a line, after the ramdisk's; `bringup` adds its own after them.
    #[schemars(default)]
    pub cmdline: Vec<String>,
}

/// What systemd starts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "services")]
pub struct ServicesShape {
    /// Units that start by themselves.
    #[schemars(default)]
    pub enable: Vec<String>,
    /// Units that never start.
    #[schemars(default)]
    pub mask: Vec<String>,
}
