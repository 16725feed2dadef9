//! `site.yaml` and `overrides/*.yaml` as types, for `bringup schema inventory` and nothing else; see `shape` for how they are held to the
//! decoder.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::shape::{Day, Duration};

/// What defaults, profiles, rack blocks and overrides may all set; the strongest that sets a field wins.
macro_rules! layer_shape {
    ($(#[$doc:meta])* $name:ident, $title:literal { $($extra:tt)* }) => {
        $(#[$doc])*
        #[derive(JsonSchema)]
        #[schemars(deny_unknown_fields, rename = $title)]
        pub struct $name {
            $($extra)*
            /// How the BMC is reached and trusted.
            pub bmc: Option<BmcShape>,
            /// How the node boots.
            pub boot: Option<BootShape>,
            /// How the node's own system is reached.
            pub ssh: Option<SshShape>,
            /// Power that one node draws.
            pub power: Option<PowerShape>,
            /// What was bought.
            pub expect: Option<ExpectShape>,
            /// Stack; the playbook's when not given.
            pub stack: Option<String>,
            /// Acceptance policy.
            pub verify: Option<String>,
            /// Pool that the node joins.
            pub pool: Option<String>,
            /// Labels, merged over all layers.
            #[schemars(default)]
            pub labels: BTreeMap<String, String>,
        }
    };
}

/// The intent for one site, `site.yaml`: profiles, blocks of racks, address functions. Facts about single machines are in `facts/*.csv`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, rename = "inventory")]
pub struct SiteFile {
    /// Always `rack/v1`.
    #[schemars(extend("const" = "rack/v1"))]
    pub api_version: String,
    /// Name of the site.
    pub site: String,
    /// What holds for every node unless something stronger says otherwise.
    pub defaults: Option<DefaultsShape>,
    /// Kinds of nodes, by name.
    #[schemars(default)]
    pub profiles: BTreeMap<String, ProfileShape>,
    /// Blocks of equal racks.
    pub racks: Vec<BlockShape>,
    /// Names and addresses as functions of rack and slot.
    pub naming: Option<NamingShape>,
    /// Facts files, relative to this one; `*` matches within a folder.
    #[schemars(extend("type" = ["string", "array"], "items" = {"type": "string"}))]
    pub facts: Option<serde_json::Value>,
    /// What must be known and unique.
    pub policy: Option<DemandsShape>,
    /// Exceptions, by name or range of nodes.
    #[schemars(default)]
    pub overrides: BTreeMap<String, OverrideShape>,
}

layer_shape! {
    /// What holds for every node unless something stronger says otherwise.
    DefaultsShape, "defaults" {}
}
layer_shape! {
    /// A kind of node.
    ProfileShape, "profile" {
        /// Profile that this one refines.
        pub inherits: Option<String>,
    }
}
layer_shape! {
    /// A block of equal racks.
    BlockShape, "racks" {
        /// Names of the racks, such as `a[001-275]`.
        pub range: String,
        /// Profile of their nodes.
        pub profile: String,
        /// Nodes a rack.
        #[schemars(range(min = 1, max = 512))]
        pub slots: u32,
        /// Power feed, a template such as `feed-{(n-1)/25+1}`.
        pub feed: Option<String>,
        /// Power limit of one rack in watts.
        pub limit_w: Option<u32>,
    }
}
layer_shape! {
    /// An exception. It needs a reason, and the nodes that it names must exist.
    OverrideShape, "override" {
        /// Why there is an exception.
        pub why: String,
        /// Last day on which it holds; afterwards it is a mistake.
        pub until: Option<Day>,
        /// False keeps the nodes out of every plan.
        pub admit: Option<bool>,
    }
}

/// How a BMC is reached and trusted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "bmc")]
pub struct BmcShape {
    /// Protocol.
    #[schemars(extend("enum" = ["redfish", "ipmi"]))]
    pub driver: Option<String>,
    /// Protocol that an operator may turn to; never used by itself.
    #[schemars(extend("enum" = ["redfish", "ipmi"]))]
    pub fallback: Option<String>,
    /// Account.
    pub user: Option<String>,
    /// Where its password is found: `env:NAME`, `file:PATH` or `exec:PROGRAM`. Never the password.
    #[schemars(extend("pattern" = "^(env|file|exec):."))]
    pub password: Option<String>,
    /// `pinned`: the certificate, or its key, must be the one in the facts. `authority`: `ca` must have signed it. `none`: no TLS; needs `why`.
    #[schemars(extend("enum" = ["pinned", "authority", "none"]))]
    pub tls: Option<String>,
    /// File of the certificate authority of the BMCs (PEM); a relative path counts from the inventory's directory.
    pub ca: Option<String>,
    /// Name that the certificate must be made out to, such as `{node}.bmc.example`; without it the name is not looked at.
    pub name: Option<String>,
    /// `allowed`: TLS 1.0, 1.1 and RSA key exchange may be spoken to it; needs `why`, and a build with OpenSSL.
    #[schemars(extend("enum" = ["refused", "allowed"]))]
    pub old_tls: Option<String>,
    /// When the password may go with each request instead of once into a session; `without-sessions` when not given.
    #[schemars(extend("enum" = ["never", "without-sessions", "when-full"]))]
    pub basic: Option<String>,
    /// Why there is no TLS, or an old one.
    pub why: Option<String>,
    /// Address: a rule such as `cidr(10.{row}.0.0/16, (n-1)*16+slot)`, or a template.
    pub address: Option<String>,
    /// Port; 443 for Redfish and 623 for IPMI when not given.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// Redfish system, when one service holds several.
    pub system: Option<String>,
    /// IPMI cipher suite; 17, then 3, when not given.
    #[schemars(extend("enum" = [3, 17]))]
    pub cipher_suite: Option<u32>,
    /// UDP port of the IPMI service of a BMC that is driven by Redfish: by it the serial console of a node that boots is listened to. None when not given.
    #[schemars(range(min = 1, max = 65535))]
    pub sol_port: Option<u32>,
    /// Where the IPMI key of the BMC itself (K_G) is found: 40 hexadecimal digits behind `env:NAME`, `file:PATH` or `exec:PROGRAM`. Only for
    /// BMCs that were given one.
    #[schemars(extend("pattern" = "^(env|file|exec):."))]
    pub kg: Option<String>,
}

/// How a node boots.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "boot")]
pub struct BootShape {
    /// Where the next boot goes.
    #[schemars(extend("enum" = ["none", "pxe", "uefi-http", "virtual-media", "disk"]))]
    pub method: Option<String>,
    /// Firmware interface.
    #[schemars(extend("enum" = ["uefi", "legacy"]))]
    pub mode: Option<String>,
    /// Base URL of the boot server as the node reaches it.
    pub server: Option<String>,
    /// Address that the node boots with; that of `naming.ip` when not given.
    pub ip: Option<String>,
    /// Processor; `x86_64` when not given. A node that says otherwise by DHCP is not served.
    #[schemars(extend("enum" = ["x86_64", "aarch64"]))]
    pub arch: Option<String>,
    /// Network that the address lies in, a template such as `10.{row+100}.0.0/16`. With it `serve --dhcp` gives the node its address.
    pub network: Option<String>,
    /// Router of that network, a rule or a template; told by `serve --dhcp`.
    pub router: Option<String>,
    /// Name servers, best first; told by `serve --dhcp`.
    #[schemars(length(max = 8))]
    pub dns: Option<Vec<String>>,
    /// How long a lease lasts, from `2m` to `24h`; `12h` when not given.
    pub lease: Option<Duration>,
    /// Where loaders are fetched by TFTP, a rule or a template; the machine that answers when not given.
    pub next_server: Option<String>,
    /// How long each DHCP answer is held back, from `1s` to `10s`, for PXE ROMs that miss one that comes at once.
    pub reply_delay: Option<Duration>,
}

/// How a node's own system is reached.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ssh")]
pub struct SshShape {
    /// Account.
    pub user: Option<String>,
    /// Where its private key is found: `env:NAME`, `file:PATH` or `exec:PROGRAM`.
    #[schemars(extend("pattern" = "^(env|file|exec):."))]
    pub key: Option<String>,
    /// `pinned`, `first-contact`, or a fingerprint `SHA256:…` that all these nodes share.
    pub host_key: Option<String>,
    /// Address; that of `naming.ip` when not given.
    pub address: Option<String>,
    /// Port; 22 when not given.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
}

/// Power that one node draws, in watts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "power")]
pub struct PowerShape {
    /// Idle.
    pub idle_w: Option<u32>,
    /// Peak while it boots and is tested.
    pub boot_w: Option<u32>,
}

/// What was bought.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "expect")]
pub struct ExpectShape {
    /// Vendor as the BMC names it.
    pub vendor: Option<String>,
    /// Model as the BMC names it.
    pub model: Option<String>,
    /// Accelerators.
    pub accel: Option<AccelShape>,
}

/// Accelerators of one node.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "accel")]
pub struct AccelShape {
    /// Family.
    #[schemars(extend("enum" = ["nvidia", "furiosa", "rebellions", "pci"]))]
    pub kind: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Cards.
    pub count: Option<u32>,
    /// PCI `vendor:device`; needed for `pci`.
    #[schemars(extend("pattern" = "^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$"))]
    pub pci: Option<String>,
}

/// Names and addresses as functions of rack and slot.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "naming")]
pub struct NamingShape {
    /// Name of a node, such as `{rack}-s{slot:02}`.
    pub node: Option<String>,
    /// Address of its BMC.
    pub bmc_ip: Option<String>,
    /// Its own address.
    pub ip: Option<String>,
}

/// What must be known and unique.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "policy")]
pub struct DemandsShape {
    /// Facts without which a node is refused, such as `facts.serial`.
    #[schemars(default)]
    pub require: Vec<String>,
    /// Fields that no two nodes may share.
    #[schemars(default)]
    pub unique: Vec<String>,
    /// Always `plaintext_secrets`; they are refused whether this is written or not.
    #[schemars(default)]
    pub forbid: Vec<String>,
}
