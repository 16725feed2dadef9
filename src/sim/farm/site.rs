//! Writes the inventory that describes a farm: `site.yaml`, facts, and the files behind its secret references. It writes into one directory
//! and nowhere else; secrets are readable by their owner only.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{BMC_USER, Farm, FarmError, SimNode, playbook};
use crate::model::{AcceleratorKind, BmcProtocol};
use crate::sim::accelerator;
use crate::sim::fault::{BmcFault, Fault};
use crate::sim::{report, rmcp};

/// Where the written files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSite {
    /// Directory of the inventory, for `-i`.
    pub inventory: PathBuf,
    /// Playbook, for `-p`.
    pub playbook: PathBuf,
    /// SSH private key.
    pub ssh_key: PathBuf,
    /// File with the BMC password.
    pub bmc_password: PathBuf,
    /// File with the key of their own (K_G) that BMCs with the fault `ipmi.kg` have; it is written when there is such a BMC.
    pub bmc_key: PathBuf,
    /// Folder with a stand-in for `ipxe.efi`, for a boot server on a machine that has none. Simulated ROMs take it; real ones cannot.
    pub loaders: PathBuf,
}

/// Begins as every EFI program does, and says what it is.
const LOADER: &[u8] = b"MZ\nnot a program: what a simulated boot ROM takes for iPXE\n";

pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), FarmError> {
    let failed = |e| FarmError::Write(path.to_owned(), e);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // An old file may have wider permissions than the new one must have.
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(content).map_err(failed)
}

/// Names of profile, policy and stack of a family, and its pool.
pub(super) fn words(kind: AcceleratorKind) -> (&'static str, &'static str, &'static str, &'static str) {
    match kind {
        AcceleratorKind::Nvidia => ("h100-node", "h100-sim", "cuda-sim", "train"),
        AcceleratorKind::Furiosa => ("rngd-node", "rngd-sim", "rngd-sim", "infer"),
        AcceleratorKind::Rebellions => ("atom-max-node", "atom-max-sim", "rbln-sim", "infer"),
        AcceleratorKind::Pci => ("pci-node", "pci-sim", "none", "infer"),
    }
}

/// True for a BMC with a key of its own.
fn has_key(node: &SimNode) -> bool {
    node.machine.faults().iter().any(|fault| matches!(fault, Fault::Bmc(placed) if placed.what == BmcFault::IpmiKg))
}

impl Farm {
    /// Families in the farm, in first-seen order, with the largest number of cards that a node of the family holds.
    pub(super) fn families(&self) -> Vec<(AcceleratorKind, u32)> {
        let mut kinds: Vec<(AcceleratorKind, u32)> = Vec::new();
        for node in &self.nodes {
            let fitted = &node.machine.identity().fitted;
            match kinds.iter_mut().find(|(kind, _)| *kind == fitted.kind) {
                Some((_, count)) => *count = fitted.count.max(*count),
                None => kinds.push((fitted.kind, fitted.count)),
            }
        }
        kinds
    }

    /// Writes inventory, playbook, image, stacks, policies and secrets into `dir`. `boot_server` is the base URL at which the machines reach
    /// the boot server, such as `http://127.0.0.1:8088`.
    ///
    /// # Errors
    /// [`FarmError::Write`] names the file.
    pub fn write_inventory(&self, dir: &Path, boot_server: &str) -> Result<WrittenSite, FarmError> {
        std::fs::create_dir_all(dir).map_err(|e| FarmError::Write(dir.to_owned(), e))?;
        let dir = dir.canonicalize().map_err(|e| FarmError::Write(dir.to_owned(), e))?;
        let written = WrittenSite {
            inventory: dir.join("inventory"),
            playbook: dir.join("playbooks/sim.yaml"),
            ssh_key: dir.join("secrets/ssh_key"),
            bmc_password: dir.join("secrets/bmc_password"),
            bmc_key: dir.join("secrets/bmc_key"),
            loaders: dir.join("loaders"),
        };
        let key = self.fleet.to_openssh(russh::keys::ssh_key::LineEnding::LF)?;
        write(&written.ssh_key, key.as_bytes(), 0o600)?;
        write(&written.bmc_password, format!("{}\n", self.password).as_bytes(), 0o600)?;
        if self.nodes.iter().any(has_key) {
            let digits: String = rmcp::BMC_KEY.iter().map(|b| format!("{b:02x}")).collect();
            write(&written.bmc_key, format!("{digits}\n").as_bytes(), 0o600)?;
        }
        write(&written.inventory.join("site.yaml"), self.site_yaml(&written, boot_server).as_bytes(), 0o644)?;
        write(&written.inventory.join("facts/nodes.csv"), self.facts_csv().as_bytes(), 0o644)?;
        write(&written.inventory.join("cabling/nodes.csv"), self.cabling_csv().as_bytes(), 0o644)?;
        write(&written.loaders.join("ipxe.efi"), LOADER, 0o644)?;
        write(&written.loaders.join("snponly.efi"), LOADER, 0o644)?;
        let digest: String = Sha256::digest(LOADER).iter().map(|byte| format!("{byte:02x}")).collect();
        // GRUB's place on media; what is simulated looks at it and starts none of it.
        write(&written.loaders.join("gcdx64.efi"), LOADER, 0o644)?;
        let lock = format!("{digest}  ipxe.efi\n{digest}  snponly.efi\n{digest}  gcdx64.efi\n");
        write(&written.loaders.join("loaders.lock"), lock.as_bytes(), 0o644)?;
        playbook::write_all(self, &dir)?;
        Ok(written)
    }

    // In the functions below writing to a String cannot fail.

    fn site_yaml(&self, written: &WrittenSite, boot_server: &str) -> String {
        let mut yaml = String::new();
        let (tls, why) = if self.plain_http {
            ("none", ", why: \"simulated BMCs without TLS, for clients that cannot pin a certificate\"")
        } else {
            ("pinned", "")
        };
        let _ = write!(
            yaml,
            "# Written by the simulator: a site on loopback addresses of this machine.\napiVersion: rack/v1\nsite: sim\n\n\
             defaults:\n  bmc: {{driver: redfish, user: {BMC_USER}, password: \"file:{}\", tls: {tls}{why}}}\n  \
             boot: {{method: uefi-http, mode: uefi, server: \"{boot_server}\"}}\n  \
             ssh: {{user: root, key: \"file:{}\", host_key: pinned}}\n\nprofiles:\n",
            written.bmc_password.display(),
            written.ssh_key.display(),
        );
        for (kind, count) in self.families() {
            let (profile, policy, stack, pool) = words(kind);
            let _ = writeln!(yaml, "  {profile}:");
            let _ = writeln!(yaml, "    {}", expect(kind, self.model(kind), count));
            if stack != "none" {
                let _ = writeln!(yaml, "    stack: {stack}");
            }
            let _ = writeln!(yaml, "    verify: {policy}\n    pool: {pool}\n    power: {}", power(kind));
        }
        self.racks_yaml(&mut yaml);
        yaml.push_str(
            "\nnaming:\n  node: \"{rack}-s{slot:02}\"\n\nfacts: facts/*.csv\n\npolicy:\n  require: [facts.serial]\n  \
             unique: [serial, uuid, bmc_mac, boot_mac]\n",
        );
        self.overrides_yaml(&written.bmc_key, &mut yaml);
        yaml
    }

    fn model(&self, kind: AcceleratorKind) -> &'static str {
        self.nodes.iter().map(|n| &n.machine.identity().fitted).find(|f| f.kind == kind).map_or("", |f| f.model)
    }

    fn rack_heads(&self) -> Vec<(&SimNode, usize)> {
        let mut heads: Vec<(&SimNode, usize)> = Vec::new();
        for node in &self.nodes {
            let rack = &node.machine.identity().rack;
            match heads.iter_mut().find(|(head, _)| head.machine.identity().rack == *rack) {
                Some((_, slots)) => *slots += 1,
                None => heads.push((node, 1)),
            }
        }
        heads
    }

    fn racks_yaml(&self, yaml: &mut String) {
        yaml.push_str("\nracks:\n");
        for (index, (head, slots)) in self.rack_heads().iter().enumerate() {
            let id = head.machine.identity();
            let (profile, ..) = words(id.fitted.kind);
            let _ = writeln!(
                yaml,
                "  - {{range: {}, profile: {profile}, slots: {slots}, feed: f{}, limit_w: {}, expect: {{vendor: \"{}\", model: \"{}\"}}}}",
                id.rack,
                index % 2 + 1,
                slots * 7000,
                id.profile.manufacturer,
                id.profile.model,
            );
        }
    }

    /// What differs from the rack's own profile.
    fn overrides_yaml(&self, bmc_key: &Path, yaml: &mut String) {
        let mut lines = Vec::new();
        let heads = self.rack_heads();
        for node in &self.nodes {
            let id = node.machine.identity();
            let head = heads.iter().find(|(h, _)| h.machine.identity().rack == id.rack);
            let mut parts = Vec::new();
            let mut why = Vec::new();
            if head.is_some_and(|(h, _)| h.machine.identity().fitted.kind != id.fitted.kind) {
                let (_, policy, stack, pool) = words(id.fitted.kind);
                parts.push(expect(id.fitted.kind, id.fitted.model, id.fitted.count));
                parts.push(format!(
                    "stack: {stack}\n    verify: {policy}\n    pool: {pool}\n    power: {}",
                    power(id.fitted.kind)
                ));
                why.push("other accelerators than the rest of its rack");
            }
            if node.protocol == BmcProtocol::Ipmi {
                let kg = if has_key(node) { format!(", kg: \"file:{}\"", bmc_key.display()) } else { String::new() };
                parts.push(format!("bmc: {{driver: ipmi{kg}}}\n    boot: {{method: pxe}}"));
                why.push("its BMC speaks IPMI only");
            }
            if !parts.is_empty() {
                lines.push(format!("  {}:\n    {}\n    why: \"{}\"\n", id.node, parts.join("\n    "), why.join("; ")));
            }
        }
        if !lines.is_empty() {
            let _ = write!(yaml, "\noverrides:\n{}", lines.concat());
        }
    }

    fn cabling_csv(&self) -> String {
        let mut csv = String::from("node,interface,switch,port\n");
        for id in self.nodes.iter().map(|node| node.machine.identity()) {
            for cable in report::cables(id) {
                let _ = writeln!(csv, "{},{},{},{}", id.node, cable.interface, cable.switch, cable.port);
            }
        }
        csv
    }

    fn facts_csv(&self) -> String {
        let mut csv = String::from(
            "node,serial,uuid,bmc_mac,boot_mac,bmc_cert_sha256,ssh_host_key,accelerator_serials,bmc_address,ssh_address\n",
        );
        for node in &self.nodes {
            let id = node.machine.identity();
            // The facts record what was delivered: nothing in them knows of a fault.
            let faultless: &[Fault] = &[];
            let serials: Vec<String> = accelerator::cards(id, faultless).into_iter().map(|c| c.recorded_serial).collect();
            let certificate = node.certificate.as_ref().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{certificate},{},{},{},{}",
                id.node,
                id.recorded_serial,
                id.uuid,
                id.bmc_mac,
                id.boot_mac,
                node.host_key,
                serials.join(";"),
                node.bmc,
                node.ssh,
            );
        }
        csv
    }
}

fn expect(kind: AcceleratorKind, model: &str, count: u32) -> String {
    let pci = if kind == AcceleratorKind::Pci { format!(", pci: \"{}\"", accelerator::pci_id(kind)) } else { String::new() };
    format!("expect: {{accel: {{kind: {kind}, model: {model}, count: {count}{pci}}}}}")
}

fn power(kind: AcceleratorKind) -> &'static str {
    if kind == AcceleratorKind::Nvidia { "{idle_w: 2400, boot_w: 6500}" } else { "{idle_w: 900, boot_w: 2600}" }
}
