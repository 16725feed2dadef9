//! The definition of a bring-up ramdisk as a type: what `bringup schema ramdisk` prints. Never filled with data; see `shape`.

use schemars::JsonSchema;

use super::shape::ArtifactShape;

/// A bring-up ramdisk, `images/definitions/NAME.yaml`: what `bringup image build` makes `images/NAME.yaml` and its files from.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ramdisk")]
pub struct RamdiskFile {
    /// Always `ramdisk/v1`.
    #[schemars(extend("const" = "ramdisk/v1"))]
    pub api_version: String,
    /// Machine type that the image runs on.
    #[schemars(extend("enum" = ["x86_64", "aarch64"]))]
    pub arch: String,
    /// Time of every file in it, in seconds since 1970-01-01 UTC; 0 when not given.
    pub epoch: Option<u32>,
    /// Debian repositories that packages are locked from.
    #[schemars(length(min = 1))]
    pub sources: Vec<SourceShape>,
    /// Kernel and its modules.
    pub kernel: KernelShape,
    /// Packages of which files are taken; no dependency is added, and a program that lacks a library is a mistake.
    #[schemars(length(min = 1))]
    pub packages: Vec<TakenShape>,
    /// Files of the site.
    #[schemars(default)]
    pub files: Vec<PlacedShape>,
    /// Kernel arguments, one a line; `bringup` adds its own after them.
    #[schemars(default)]
    pub cmdline: Vec<String>,
    /// How it is packed; zstd when not given.
    #[schemars(extend("enum" = ["zstd", "gzip"]))]
    pub compression: Option<String>,
}

/// One Debian repository.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "source")]
pub struct SourceShape {
    /// Address without the suite.
    pub uri: String,
    /// Suite.
    pub suite: String,
    /// Components.
    #[schemars(length(min = 1))]
    pub components: Vec<String>,
    /// File with the keys that may sign it; Debian's own when not given.
    pub keyring: Option<String>,
}

/// Kernel and its modules.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "kernel")]
pub struct KernelShape {
    /// Package, or one that depends on it.
    pub package: String,
    /// Modules that go in, with what they depend on, and are loaded when the hardware asks for them.
    #[schemars(default)]
    pub modules: Vec<String>,
    /// Modules that go in and are always loaded.
    #[schemars(default)]
    pub load: Vec<String>,
}

/// What is taken of one package.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "package")]
pub struct TakenShape {
    /// Package.
    pub name: String,
    /// Paths without the first `/`; `*` stands for any letters but `/`, `**` for any. Each must match something.
    #[schemars(length(min = 1))]
    pub take: Vec<String>,
}

/// A file of the site.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "file")]
pub struct PlacedShape {
    /// The file.
    pub artifact: ArtifactShape,
    /// Absolute path in the ramdisk.
    pub to: String,
    /// True for a program; false when not given.
    pub executable: Option<bool>,
}
