//! What a stack of layers adds up to: every setting decided and typed, with only the variables of the slot left open. One blueprint
//! serves all nodes that have the same layers, so 12,500 nodes need a handful.

use std::collections::BTreeMap;

use super::address::AddressRule;
use super::code;
use super::decode::Spanned;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::expression::Template;
use super::lan::LanRule;
use super::setting::{Layer, Setting, Value};
use super::source::Span;
use crate::model::{AcceleratorKind, AcceleratorProfile, Arch, BasicLogin, BmcProtocol, BootMode, BootTarget, PowerDraw};

/// Most accelerators of one node. Sixteen-card systems are sold; the rest is room.
const MAX_ACCELERATORS: u32 = 64;

/// What decides the SSH host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// The facts must name it.
    Pinned(Span),
    /// The facts may name it; else first contact.
    FirstContact,
    /// This one.
    Written(String),
}

/// What makes a BMC's certificate acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// It stands in the facts, or is seen for the first time.
    Pinned,
    /// An authority of the site signed it, to this name if one is written.
    Authority { file: String, name: Option<Spanned<Template>> },
    /// There is none.
    Absent,
}

/// Everything but the slot.
#[derive(Debug)]
pub struct Blueprint {
    pub protocol: BmcProtocol,
    pub bmc_user: Spanned<Template>,
    pub password: Spanned<Template>,
    pub tls: Tls,
    pub old_tls: bool,
    pub basic: BasicLogin,
    pub bmc_address: Option<Spanned<AddressRule>>,
    pub bmc_port: u16,
    pub system: Option<Spanned<Template>>,
    pub cipher_suite: Option<u8>,
    pub sol_port: Option<u16>,
    pub kg: Option<Spanned<Template>>,
    pub method: BootTarget,
    pub mode: BootMode,
    pub server: Option<String>,
    pub boot_ip: Option<Spanned<AddressRule>>,
    pub arch: Arch,
    pub lan: Option<LanRule>,
    pub ssh_user: Spanned<Template>,
    pub ssh_key: Spanned<Template>,
    pub host_key: HostKey,
    pub ssh_address: Option<Spanned<AddressRule>>,
    pub ssh_port: u16,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub accelerator: AcceleratorProfile,
    pub stack: Option<String>,
    pub verify: String,
    pub pool: String,
    pub power: PowerDraw,
    pub labels: BTreeMap<String, String>,
}

/// Layers, weakest first.
pub struct Stack<'l> {
    /// The layers.
    pub layers: Vec<&'l Layer>,
    /// What to call the nodes when something is missing, and where their block is written.
    pub block: (&'l str, Span),
}

impl<'l> Stack<'l> {
    /// The strongest setting of a path, and its layer.
    pub fn find(&self, path: &str) -> Option<(&'l Setting, &'l Layer)> {
        self.layers.iter().rev().find_map(|layer| layer.get(path).map(|s| (s, *layer)))
    }

    fn text(&self, path: &str) -> Option<Spanned<String>> {
        match self.find(path)?.0 {
            Setting { value: Value::Text(text), span, .. } => Some(Spanned { value: text.clone(), span: *span }),
            _ => None,
        }
    }

    fn word(&self, path: &str) -> Option<String> {
        self.text(path).map(|t| t.value)
    }

    pub(super) fn number(&self, path: &str) -> Option<Spanned<u32>> {
        match self.find(path)?.0 {
            Setting { value: Value::Number(n), span, .. } => Some(Spanned { value: *n, span: *span }),
            _ => None,
        }
    }

    pub(super) fn template(&self, path: &str) -> Option<Spanned<Template>> {
        match self.find(path)?.0 {
            Setting { value: Value::Template(t), span, .. } => Some(Spanned { value: t.clone(), span: *span }),
            _ => None,
        }
    }

    pub(super) fn address(&self, path: &str) -> Option<Spanned<AddressRule>> {
        match self.find(path)?.0 {
            Setting { value: Value::Address(a), span, .. } => Some(Spanned { value: a.clone(), span: *span }),
            _ => None,
        }
    }

    fn port(&self, path: &str) -> Option<u16> {
        self.number(path).and_then(|n| u16::try_from(n.value).ok())
    }

    fn need<T>(&self, found: Option<T>, path: &str, out: &mut Diagnostics) -> Option<T> {
        // What a flawed layer lacks may be what its mistake was meant to say.
        if found.is_none() && !self.layers.iter().any(|l| l.flawed) {
            let message = format!("the racks {} have no `{}`", self.block.0, path.replace("accel.", "expect.accel."));
            let d = Diagnostic::error(code::INCOMPLETE, message).at(self.block.1);
            out.push(d.hint("write it in `defaults`, in the profile or in this block"));
        }
        found
    }

    /// Adds the layers up. Everything that is missing is told.
    pub fn blueprint(&self, limited: bool, out: &mut Diagnostics) -> Option<Blueprint> {
        let (bmc_user, password) = (self.template("bmc.user"), self.template("bmc.password"));
        let (ssh_user, ssh_key) = (self.template("ssh.user"), self.template("ssh.key"));
        let bmc_user = self.need(bmc_user, "bmc.user", out);
        let password = self.need(password, "bmc.password", out);
        let ssh_user = self.need(ssh_user, "ssh.user", out);
        let ssh_key = self.need(ssh_key, "ssh.key", out);
        let verify = self.need(self.word("verify"), "verify", out);
        let pool = self.need(self.word("pool"), "pool", out);
        let accelerator = self.accelerator(out);
        let protocol = if self.word("bmc.driver").as_deref() == Some("ipmi") { BmcProtocol::Ipmi } else { BmcProtocol::Redfish };
        if limited && self.number("power.boot_w").is_none() && !self.layers.iter().any(|l| l.flawed) {
            let d =
                Diagnostic::error(code::INCOMPLETE, format!("the racks {} have a `limit_w` but no `power.boot_w`", self.block.0));
            out.push(d.at(self.block.1).hint("without the draw of a node the limit cannot be kept"));
        }
        let watts = |path| self.number(path).map_or(0, |w| w.value);
        if let Some((fallback, _)) = self.find("bmc.fallback") {
            let d = Diagnostic::warning(code::NO_EFFECT, "`bmc.fallback` has no effect in this version").at(fallback.span);
            out.push(d.hint("a BMC is driven by its `driver` alone; write an override for those that need another"));
        }
        if let Some((port, _)) = self.find("bmc.sol_port").filter(|_| protocol == BmcProtocol::Ipmi) {
            let d = Diagnostic::warning(code::NO_EFFECT, "`bmc.sol_port` has no effect on a BMC that is driven by IPMI")
                .at(port.span);
            out.push(d.hint("its console is listened to at its own port"));
        }
        let labels =
            self.layers.iter().flat_map(|l| &l.settings).filter_map(|s| match (&s.value, s.path.strip_prefix("labels.")) {
                (Value::Text(text), Some(key)) => Some((key.to_owned(), text.clone())),
                _ => None,
            });
        Some(Blueprint {
            tls: self.tls(out)?,
            old_tls: self.reasoned("bmc.old_tls", "allowed", "what was sent can be read later by whoever has the BMC's key", out),
            basic: match self.word("bmc.basic").as_deref() {
                Some("never") => BasicLogin::Never,
                Some("when-full") => BasicLogin::WhenFull,
                _ => BasicLogin::WithoutSessions,
            },
            bmc_address: self.address("bmc.address"),
            bmc_port: self.port("bmc.port").unwrap_or(if protocol == BmcProtocol::Ipmi { 623 } else { 443 }),
            system: self.template("bmc.system"),
            cipher_suite: self.number("bmc.cipher_suite").and_then(|n| u8::try_from(n.value).ok()),
            sol_port: self.port("bmc.sol_port"),
            kg: self.template("bmc.kg"),
            method: match self.word("boot.method").as_deref() {
                Some("none") => BootTarget::None,
                Some("pxe") => BootTarget::Pxe,
                Some("disk") => BootTarget::Disk,
                Some("virtual-media") => BootTarget::Cd,
                _ => BootTarget::UefiHttp,
            },
            mode: if self.word("boot.mode").as_deref() == Some("legacy") { BootMode::Legacy } else { BootMode::Uefi },
            server: self.word("boot.server"),
            boot_ip: self.address("boot.ip"),
            arch: if self.word("boot.arch").as_deref() == Some("aarch64") { Arch::Aarch64 } else { Arch::X86_64 },
            lan: LanRule::of(self, out),
            host_key: match self.text("ssh.host_key") {
                Some(Spanned { value, span }) if value == "pinned" => HostKey::Pinned(span),
                Some(Spanned { value, .. }) if value != "first-contact" => HostKey::Written(value),
                _ => HostKey::FirstContact,
            },
            ssh_address: self.address("ssh.address"),
            ssh_port: self.port("ssh.port").unwrap_or(22),
            vendor: self.word("expect.vendor"),
            model: self.word("expect.model"),
            stack: self.word("stack"),
            power: PowerDraw { idle_w: watts("power.idle_w"), boot_w: watts("power.boot_w") },
            labels: labels.collect(),
            protocol,
            bmc_user: bmc_user?,
            password: password?,
            ssh_user: ssh_user?,
            ssh_key: ssh_key?,
            accelerator: accelerator?,
            verify: verify?,
            pool: pool?,
        })
    }

    /// `None` when an authority is asked for and not named.
    fn tls(&self, out: &mut Diagnostics) -> Option<Tls> {
        let word = self.word("bmc.tls");
        let authority = word.as_deref() == Some("authority");
        for path in ["bmc.ca", "bmc.name"].into_iter().filter(|_| !authority) {
            if let Some((setting, _)) = self.find(path) {
                let d = Diagnostic::warning(code::NO_EFFECT, format!("`{path}` has no effect without `tls: authority`"));
                out.push(d.at(setting.span));
            }
        }
        if authority {
            return self.authority(out);
        }
        Some(if self.plaintext(out) { Tls::Absent } else { Tls::Pinned })
    }

    fn authority(&self, out: &mut Diagnostics) -> Option<Tls> {
        let Some(file) = self.word("bmc.ca") else {
            if let Some((setting, _)) = self.find("bmc.tls") {
                let d = Diagnostic::error(code::MISSING_KEY, "`tls: authority` needs `ca`: the authority's certificate")
                    .at(setting.span);
                out.push(d.hint("write `bmc: {tls: authority, ca: ca/bmc.pem}`"));
            }
            return None;
        };
        Some(Tls::Authority { file, name: self.template("bmc.name") })
    }

    fn plaintext(&self, out: &mut Diagnostics) -> bool {
        self.reasoned("bmc.tls", "none", "passwords cross the network in the clear", out)
    }

    /// True when a setting has a word that stands only beside a reason: `bmc.why`, or the `why` of the override that holds it.
    fn reasoned(&self, path: &str, word: &str, risk: &str, out: &mut Diagnostics) -> bool {
        let Some((setting, layer)) = self.find(path).filter(|(s, _)| s.value == Value::Text(word.to_owned())) else {
            return false;
        };
        if layer.get("bmc.why").is_none() && !layer.name.starts_with("override ") {
            let key = path.trim_start_matches("bmc.");
            let d =
                Diagnostic::error(code::MISSING_KEY, format!("`{key}: {word}` needs a reason: `why` beside it")).at(setting.span);
            out.push(d.hint(format!("{risk}; write `bmc: {{{key}: {word}, why: …}}` if that is meant")));
        }
        true
    }

    fn accelerator(&self, out: &mut Diagnostics) -> Option<AcceleratorProfile> {
        let kind = self.need(self.text("accel.kind"), "accel.kind", out);
        let model = self.need(self.word("accel.model"), "accel.model", out);
        let count = self.need(self.number("accel.count"), "accel.count", out);
        let pci_id = self.word("accel.pci");
        let kind = kind.and_then(|k| kind_of(&k.value).map(|kind| Spanned { value: kind, span: k.span }));
        if let Some(count) = &count
            && !(1..=MAX_ACCELERATORS).contains(&count.value)
        {
            let d = Diagnostic::error(code::BAD_VALUE, format!("expect.accel.count cannot be {}", count.value)).at(count.span);
            out.push(d.label(format!("1 to {MAX_ACCELERATORS}")));
        }
        if let Some(Spanned { value: AcceleratorKind::Pci, span }) = &kind
            && pci_id.is_none()
        {
            let d = Diagnostic::error(code::MISSING_KEY, "accelerators of kind `pci` need `expect.accel.pci`").at(*span);
            out.push(d.hint("such as `pci: \"10de:2330\"`, from `lspci -nn`"));
        }
        Some(AcceleratorProfile { kind: kind?.value, model: model?, count: count?.value, pci_id })
    }
}

/// The kind that a word of the files names; the words are those of the model's `Display`.
fn kind_of(word: &str) -> Option<AcceleratorKind> {
    use AcceleratorKind::{Furiosa, Nvidia, Pci, Rebellions};
    [Nvidia, Furiosa, Rebellions, Pci].into_iter().find(|k| k.to_string() == word)
}
