//! The rack as written: every node with every field resolved. Produced by `spec`, never changed afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Arch, BootMode, Digest, Mac, Network, NodeId, Plug, RackId, SecretRef};

/// A whole site, expanded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Name of the site, such as `kr-ai-1`.
    pub site: String,
    /// All racks by name.
    pub racks: BTreeMap<RackId, Rack>,
    /// All nodes by name.
    pub nodes: BTreeMap<NodeId, Node>,
    /// SHA-256 over the expanded inventory in canonical JSON (this field left out).
    pub digest: Digest,
}

/// One rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rack {
    /// Name.
    pub id: RackId,
    /// Power feed that it hangs on; a fault domain.
    pub feed: Option<String>,
    /// Power limit of the rack in watts.
    pub limit_w: Option<u32>,
    /// Labels that every node of the rack inherits.
    pub labels: BTreeMap<String, String>,
}

/// One node, every field resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Name.
    pub id: NodeId,
    /// Rack.
    pub rack: RackId,
    /// Slot in the rack, from 1.
    pub slot: u32,
    /// Profile that it was expanded from.
    pub profile: String,
    /// Labels: the rack's, the profile's and the override's, merged.
    pub labels: BTreeMap<String, String>,
    /// Its BMC.
    pub bmc: BmcAddress,
    /// How it is reached in-band.
    pub ssh: SshAccess,
    /// How it boots.
    pub boot: BootSettings,
    /// Vendor that the BMC should name, compared without case as a prefix.
    pub vendor: Option<String>,
    /// Model that the BMC should name.
    pub model: Option<String>,
    /// Serial number from the facts. Without it a node cannot be planned.
    pub serial: Option<String>,
    /// SMBIOS UUID from the facts, lower case.
    pub uuid: Option<String>,
    /// Where the cable of each interface ends, by interface: [`super::BOOT_INTERFACE`], a MAC address, a PCI address or the kernel's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cabling: BTreeMap<String, Plug>,
    /// Accelerators that were bought.
    pub accelerator: AcceleratorProfile,
    /// Serial numbers of its accelerators from the facts; empty when not recorded.
    pub accelerator_serials: BTreeSet<String>,
    /// Name of the stack; `None` uses the playbook's.
    pub stack: Option<String>,
    /// Name of the acceptance policy.
    pub verify: String,
    /// Pool that it joins.
    pub pool: String,
    /// Power that it draws.
    pub power: PowerDraw,
    /// False keeps the node out of every plan; `hold` says why.
    pub admit: bool,
    /// Why it is held, from the override.
    pub hold: Option<String>,
}

/// What was bought for one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AcceleratorProfile {
    /// Vendor family, which picks the collector and the judge.
    pub kind: AcceleratorKind,
    /// Model name, compared as the vendor's judge defines, such as `H100`.
    pub model: String,
    /// How many cards the node holds.
    pub count: u32,
    /// PCI `vendor:device` in lower-case hex, required for [`AcceleratorKind::Pci`], else a further check.
    pub pci_id: Option<String>,
}

/// Accelerator families with a collector and a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceleratorKind {
    /// NVIDIA GPUs, by `nvidia-smi`.
    Nvidia,
    /// FuriosaAI NPUs, by `furiosa-smi`.
    Furiosa,
    /// Rebellions NPUs, by `rbln-smi`.
    Rebellions,
    /// Any PCI device, by sysfs alone.
    Pci,
}

impl std::fmt::Display for AcceleratorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Nvidia => "nvidia",
            Self::Furiosa => "furiosa",
            Self::Rebellions => "rebellions",
            Self::Pci => "pci",
        })
    }
}

/// How to reach and trust a BMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmcAddress {
    /// Protocol to use.
    pub protocol: BmcProtocol,
    /// Address and port: 443 for Redfish and 623 for IPMI unless written otherwise.
    pub address: SocketAddr,
    /// Account.
    pub user: String,
    /// Where its password is found.
    pub password: SecretRef,
    /// What makes it trusted.
    pub trust: BmcTrust,
    /// TLS of the wrong age may be spoken to it: 1.0, 1.1, RSA key exchange.
    pub old_tls: bool,
    /// When the password may go with each request.
    pub basic: BasicLogin,
    /// Redfish system to drive when one service holds several; `None`: the only one, or the one whose UUID or serial matches the facts.
    pub system: Option<String>,
    /// IPMI cipher suite (3 or 17); `None` tries 17, then 3.
    pub cipher_suite: Option<u8>,
    /// UDP port of the IPMI service of a BMC that is driven by Redfish, for the node's serial console; `None`: it is not listened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sol_port: Option<u16>,
    /// Where the IPMI key of the BMC itself (K_G) is found: 20 bytes as 40 hexadecimal digits; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kg: Option<SecretRef>,
    /// MAC address of the BMC from the facts.
    pub mac: Option<Mac>,
}

/// When a Redfish password may go with each request (HTTP Basic) instead of once into a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasicLogin {
    /// Never.
    Never,
    /// When the service has no sessions at all.
    #[default]
    WithoutSessions,
    /// That, and when its session table is full.
    WhenFull,
}

/// Out-of-band protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BmcProtocol {
    /// Redfish over HTTPS (DMTF DSP0266).
    Redfish,
    /// IPMI 2.0 over RMCP+ (Intel IPMI v2.0 rev 1.1).
    Ipmi,
}

/// What makes a BMC trusted. IPMI has no certificate: RAKP proves the password both ways and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BmcTrust {
    /// TLS with exactly this certificate (SHA-256 of its DER).
    Pinned(Digest),
    /// TLS with any certificate over exactly this key (SHA-256 of its SubjectPublicKeyInfo): one that is renewed over it still passes.
    PinnedKey(Digest),
    /// TLS with a certificate that a certificate authority of the site has signed.
    Authority {
        /// File of the authority's certificates (PEM), as the inventory names it.
        file: String,
        /// What the certificate must be made out to; `None`: the name is not looked at.
        name: Option<String>,
    },
    /// TLS, no fingerprint recorded yet: refused unless first contact is allowed on the command line, and then recorded.
    FirstContact,
    /// No TLS at all: only for a BMC that offers none, and only when the inventory says `tls: none` with a reason.
    Plaintext,
}

/// How to reach and trust the node's own system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAccess {
    /// Address and port.
    pub address: SocketAddr,
    /// Account.
    pub user: String,
    /// Private key (OpenSSH format), by reference; the secret is the key itself.
    pub key: SecretRef,
    /// Accepted host keys as `SHA256:…` fingerprints (the form of `ssh-keygen -l`); empty means first contact.
    pub host_keys: BTreeSet<String>,
}

/// How the node boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSettings {
    /// `uefi-http` sets the URI by Redfish; `pxe` relies on the site's DHCP chaining to `bringup serve`; `cd` is written as `virtual-media`.
    pub method: super::BootTarget,
    /// Firmware interface.
    pub mode: BootMode,
    /// Base URL of the boot server as the node reaches it, such as `http://10.77.0.1:8088`.
    pub server: Option<String>,
    /// MAC of the interface that boots, from the facts.
    pub mac: Option<Mac>,
    /// Own address of the node, as the boot server will see it.
    pub ip: IpAddr,
    /// Its processor; what the node says of itself by DHCP must agree.
    #[serde(default, skip_serializing_if = "Arch::is_default")]
    pub arch: Arch,
    /// What `serve --dhcp` tells the node beside its address; `None`: it gets no address from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<Lan>,
}

/// What a node is told of its network by DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lan {
    /// The network that its address lies in.
    pub network: Network,
    /// Way out of it.
    pub router: Option<Ipv4Addr>,
    /// Name servers, best first.
    pub dns: Vec<Ipv4Addr>,
    /// How long the address may be used without asking again, in seconds.
    pub lease_s: u32,
    /// Where the node fetches its loader by TFTP; `None`: from the machine that answers.
    pub next_server: Option<Ipv4Addr>,
    /// How long each answer is held back, in seconds; some PXE ROMs miss one that comes at once.
    pub reply_delay_s: u32,
}

/// Power that one node draws, in watts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PowerDraw {
    /// Idle.
    pub idle_w: u32,
    /// Peak while it boots and is tested.
    pub boot_w: u32,
}
