//! The files that users write beside the inventory, as types: what `bringup schema` prints, and nothing else. Never filled
//! with data: the decoders go straight from text to the model, so that each mistake keeps its place. A test holds the two together: it breaks
//! every key of every shape in turn and wants the decoder to notice.

use schemars::JsonSchema;

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(JsonSchema)]
        #[schemars(transparent, extend("pattern" = $pattern))]
        pub struct $name(pub String);
    };
}
text_type!(
    /// A SHA-256 as 64 lower-case hex digits.
    Sha256, "^[0-9a-f]{64}$"
);
text_type!(
    /// A whole number with a unit: `90s`, `10m` or `2h`.
    Duration, "^[1-9][0-9]*(s|m|h)$"
);
text_type!(
    /// A number with a unit: `480GB`, `3.8TB` or `512GiB`.
    Size, "^[0-9]+(\\.[0-9])?(MB|GB|TB|MiB|GiB|TiB)$"
);
text_type!(
    /// A share from `0%` to `100%`.
    Percent, "^[0-9]+(\\.[0-9]+)?%$"
);
text_type!(
    /// A label and its value, such as `ring=canary`.
    LabelTest, "^[^=\\s]+=[^=\\s]+$"
);
text_type!(
    /// The name of a file without folder and `.yaml`: lower-case letters, digits, `.`, `_` and `-`.
    FileName, "^[a-z0-9][a-z0-9._-]*$"
);
text_type!(
    /// An SSH host key as `ssh-keygen -l` prints it.
    HostKey, "^SHA256:[A-Za-z0-9+/]{43}$"
);
text_type!(
    /// The last day on which something holds (UTC), such as `2026-12-31`.
    Day, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
);
text_type!(
    /// A file mode in octal, as a string: `"0755"`.
    Mode, "^0?[0-7]{3}$"
);
text_type!(
    /// An absolute path on the node.
    NodePath, "^/.+$"
);

/// A playbook, `playbooks/NAME.yaml`: what the nodes are brought to, and how the fleet is walked.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "playbook")]
pub struct PlaybookFile {
    /// Always `playbook/v1`.
    #[schemars(extend("const" = "playbook/v1"))]
    pub api_version: String,
    /// What every node is brought to.
    pub baseline: BaselineShape,
    /// Stacks that may be used: `stacks/NAME.yaml` beside the playbook.
    #[schemars(default)]
    pub stacks: Vec<FileName>,
    /// Acceptance policies that may be used: `policies/NAME.yaml` beside the playbook.
    pub policies: Vec<FileName>,
    /// How the fleet is walked.
    pub rollout: RolloutShape,
}

/// What every node is brought to.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "baseline")]
pub struct BaselineShape {
    /// Netboot image: `../images/NAME.yaml` seen from the playbook; `none` keeps the system that runs.
    pub image: FileName,
    /// Image to install on a disk of each node, by the image that is netbooted; the disks are left alone when not given.
    pub install: Option<super::shape_install::InstallShape>,
    /// Stack for nodes whose inventory names none; `none` leaves those alone.
    pub stack: FileName,
    /// Longest wait from power-on to an SSH login; 10m when not given.
    pub boot_deadline: Option<Duration>,
}

/// How the fleet is walked.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "rollout")]
pub struct RolloutShape {
    /// Sizes of the waves in nodes; the last repeats until all are done.
    pub waves: Vec<u32>,
    /// Label of the nodes that go first.
    pub canary: Option<LabelTest>,
    /// Most nodes under way at once.
    pub max_nodes: u32,
    /// Most nodes under way at once in one rack; `max_nodes` when not given.
    pub max_per_rack: Option<u32>,
    /// Most watts under way at once on one feed, counted by the inventory's `boot_w`; no limit when not given.
    pub max_per_feed_w: Option<u32>,
    /// Failures in the canary wave after which the run holds is one more than this; 0 when not given.
    pub canary_failures: Option<u32>,
    /// Share of failed nodes above which the run holds; 0% when not given.
    pub total_failures: Option<Percent>,
    /// Tries of one step for a transient cause, from 1 to 10; 3 when not given.
    pub attempts: Option<u32>,
}

/// A netboot image, `images/NAME.yaml`: a manifest; the files lie beside it and are trusted by their digest only.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "image")]
pub struct ImageFile {
    /// Always `image/v1`.
    #[schemars(extend("const" = "image/v1"))]
    pub api_version: String,
    /// Machine type that the image runs on.
    #[schemars(extend("enum" = ["x86_64", "aarch64"]))]
    pub arch: String,
    /// Kernel; every image has one but that of a whole disk.
    pub kernel: Option<ArtifactShape>,
    /// A whole disk, for `baseline.install`: it has its own kernel and all the rest, so beside it are only `arch` and `ssh_host_keys`.
    pub disk: Option<super::shape_install::DiskImageShape>,
    /// Initial RAM disks, in order.
    #[schemars(default)]
    pub initrd: Vec<ArtifactShape>,
    /// Root file system that the initrd fetches itself.
    pub root: Option<ArtifactShape>,
    /// Kernel arguments, one a line; `bringup` adds its own after them.
    #[schemars(default)]
    pub cmdline: Vec<String>,
    /// SSH host keys baked into the image; nodes that name their own in the facts override this.
    #[schemars(default, rename = "ssh_host_keys")]
    pub ssh_host_keys: Vec<HostKey>,
    /// `grant`: each boot is brought an SSH host key of its own, over HTTPS, and shows no other. Without it the image has its own.
    #[schemars(extend("enum" = ["grant"]))]
    pub identity: Option<String>,
}

/// One file, trusted only by its digest.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "artifact")]
pub struct ArtifactShape {
    /// Path, relative to the file that names it.
    pub file: String,
    /// What it must be.
    pub sha256: Sha256,
}

/// A stack, `playbooks/stacks/NAME.yaml`: drivers, firmware tools and settings for a running node, and how they are read back.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "stack")]
pub struct StackFile {
    /// Always `stack/v1`.
    #[schemars(extend("const" = "stack/v1"))]
    pub api_version: String,
    /// What to install, in this order.
    pub install: Vec<InstallShape>,
    /// How installed versions are read back; without one nothing could be proven, so at least one is needed.
    pub versions: Vec<VersionShape>,
}

/// One thing to install: a file to push, a command to run, or both in this order.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "install")]
pub struct InstallShape {
    /// Name, once in a stack.
    pub name: String,
    /// File to push first.
    pub artifact: Option<ArtifactShape>,
    /// Where it goes on the node.
    pub to: Option<NodePath>,
    /// Its mode there; "0644" when not given.
    pub mode: Option<Mode>,
    /// Command after the push, as an argument vector; no shell reads it.
    #[schemars(default)]
    pub run: Vec<String>,
    /// Longest run of the command; 10m when not given.
    pub deadline: Option<Duration>,
}

/// How one component's version is read on a node.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "version")]
pub struct VersionShape {
    /// Component, once in a stack.
    pub component: String,
    /// Command as an argument vector; the first line that it prints, trimmed, is the version.
    pub probe: Vec<String>,
    /// Version wanted, as a string.
    pub want: String,
}

/// An acceptance policy, `playbooks/policies/NAME.yaml`: the numbers that accelerators are judged by.
/// An entry that is missing is a check that is not required.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "policy")]
pub struct PolicyFile {
    /// Always `verify/v1`.
    #[schemars(extend("const" = "verify/v1"))]
    pub api_version: String,
    /// Always `AcceptancePolicy`.
    #[schemars(extend("const" = "AcceptancePolicy"))]
    pub kind: String,
    /// Which policy this is.
    pub metadata: MetadataShape,
    /// Which accelerators it is for.
    pub applies: AppliesShape,
    /// Who the accelerators are.
    pub identity: Option<IdentityShape>,
    /// True when error correction must be on, now and after the next boot; false when not given.
    pub ecc: Option<bool>,
    /// Fault counters.
    pub counters: Option<CountersShape>,
    /// Links.
    pub links: Option<LinksShape>,
    /// Temperatures.
    pub thermal: Option<ThermalShape>,
    /// Checks whose silence is accepted for a while.
    #[schemars(default)]
    pub tolerate: Vec<ToleranceShape>,
    /// When a node may work with fewer accelerators than were bought; never when not given.
    pub degraded: Option<DegradedShape>,
    /// What the node's interfaces hear by LLDP, against `cabling/*.csv`: `required` keeps a node out whose cables end elsewhere or are not heard,
    /// `reported` only tells; not asked when not given.
    #[schemars(extend("enum" = ["required", "reported", "off"]))]
    pub cabling: Option<String>,
}

/// Which policy this is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "metadata")]
pub struct MetadataShape {
    /// Name; the same as the file's.
    pub name: FileName,
    /// Counted up by its owner with every change.
    pub version: u32,
}

/// Which accelerators a policy is for.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "applies")]
pub struct AppliesShape {
    /// Family.
    #[schemars(extend("enum" = ["nvidia", "furiosa", "rebellions", "pci"]))]
    pub kind: String,
}

/// Who the accelerators are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "identity")]
pub struct IdentityShape {
    /// `inventory`: serial numbers must be those of the facts; `"off"`, when not given, does not compare them.
    #[schemars(extend("enum" = ["inventory", "off"]))]
    pub serial_map: Option<String>,
    /// Properties that must be equal on all accelerators of a node: `driver`, `firmware`, `model`.
    #[schemars(default)]
    pub homogeneous: Vec<String>,
    /// Driver versions allowed, as strings; any that can be read when not given.
    #[schemars(default)]
    pub driver_in: Vec<String>,
    /// Firmware or VBIOS versions allowed, as strings; any that can be read when not given.
    #[schemars(default)]
    pub firmware_in: Vec<String>,
}

/// Fault counters.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "counters")]
pub struct CountersShape {
    /// Rows remapped after uncorrectable errors (NVIDIA).
    pub remapped_uncorrectable: Option<MaxShape>,
    /// Uncorrectable memory errors since the driver was loaded (NVIDIA).
    pub ecc_uncorrectable: Option<MaxShape>,
    /// Fatal and non-fatal PCIe errors by sysfs; only `max: 0` makes sense.
    pub aer: Option<MaxShape>,
    /// Correctable PCIe errors by sysfs.
    pub aer_correctable: Option<MaxShape>,
}

/// An upper bound.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "max")]
pub struct MaxShape {
    /// Most that is accepted.
    pub max: u64,
}

/// Links.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "links")]
pub struct LinksShape {
    /// PCI Express, at least.
    pub pcie: Option<PcieShape>,
    /// NVLink (NVIDIA).
    pub nvlink: Option<NvlinkShape>,
}

/// PCI Express, at least.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "pcie")]
pub struct PcieShape {
    /// Generation, from 1 to 7.
    pub r#gen: Option<u8>,
    /// Lanes: 1, 2, 4, 8 or 16.
    pub width: Option<u8>,
}

/// NVLink.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "nvlink")]
pub struct NvlinkShape {
    /// Links up, exactly.
    pub links: u8,
}

/// Temperatures.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "thermal")]
pub struct ThermalShape {
    /// Highest temperature in degrees Celsius.
    pub max_c: f64,
}

/// A check whose silence is accepted for a while.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "tolerance")]
pub struct ToleranceShape {
    /// Check.
    pub check: String,
    /// Reason, for whoever reads the record.
    pub reason: String,
    /// Last day on which it counts.
    pub until: Day,
}

/// When a node may work with fewer accelerators than were bought.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "degraded")]
pub struct DegradedShape {
    /// Fewest healthy accelerators.
    pub min: u32,
}
