//! Writes the laboratory as a user would: site, facts, image, policy and playbook, in a folder of its own for each test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::lab::{Lab, Machine};

/// Written files, removed with the test.
#[derive(Debug)]
pub struct Words {
    dir: tempfile::TempDir,
}

/// The machine's name in the inventory.
pub fn node(machine: &Machine) -> String {
    format!("lab1-s{:02}", machine.number)
}

impl Words {
    /// Writes everything. `ipmi` are the numbers of the machines that are driven by IPMI; the others are driven by Redfish.
    pub fn write(lab: &Lab, ipmi: &[usize]) -> Self {
        let words = Self { dir: tempfile::tempdir().unwrap() };
        words.file("inventory/site.yaml", &site(lab, ipmi));
        words.file("inventory/facts/lab.csv", &facts(lab));
        words.file("images/lab.yaml", &image(lab));
        words.file("playbooks/policies/two-rng.yaml", POLICY);
        words.file("playbooks/lab.yaml", PLAYBOOK);
        for name in ["vmlinuz", "initrd.gz"] {
            std::os::unix::fs::symlink(lab.built.join(name), words.path(&format!("images/{name}"))).unwrap();
        }
        words
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces a text in a written file; the text must be there.
    pub fn change(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} does not hold `{from}`");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    /// Pins Debian's loaders as they are on this machine, whatever point release they are of.
    pub fn pin_grub(&self) {
        let loaders = bringup::boot::look_at_loaders(Path::new("/usr/lib/ipxe"), None).unwrap();
        self.file("loaders.lock", &bringup::boot::write_loaders_lock(&loaders));
    }

    /// The lock that [`Self::pin_grub`] wrote.
    pub fn loaders_lock(&self) -> Option<PathBuf> {
        Some(self.path("loaders.lock")).filter(|path| path.exists())
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn site(lab: &Lab, ipmi: &[usize]) -> String {
    let mut text = format!(
        r#"apiVersion: rack/v1
site: laboratory
defaults:
  bmc: {{driver: redfish, user: admin, password: "env:LAB_BMC_PASSWORD", tls: pinned}}
  boot: {{method: pxe, mode: uefi, server: "http://10.77.0.1:8088"}}
  ssh: {{user: root, key: "file:{key}", host_key: pinned}}
profiles:
  virtual-node:
    expect:
      accel: {{kind: pci, model: virtio-rng, count: 2, pci: "1af4:1044"}}
    power: {{idle_w: 10, boot_w: 20}}
    verify: two-rng
    pool: lab
racks:
  - {{range: "lab[1-1]", profile: virtual-node, slots: {slots}}}
naming:
  node: "{{rack}}-s{{slot:02}}"
  bmc_ip: "cidr(10.77.2.0/24, slot)"
  ip: "cidr(10.77.0.0/24, 10+slot)"
facts: facts/*.csv
policy: {{require: [facts.serial, facts.boot_mac], unique: [serial, boot_mac, bmc_ip]}}
"#,
        key = lab.built.join("id_ed25519").display(),
        slots = lab.machines().len(),
    );
    if !ipmi.is_empty() {
        text.push_str("overrides:\n");
    }
    for number in ipmi {
        // virtualbmc speaks cipher suite 3 only.
        writeln!(
            text,
            "  lab1-s{number:02}: {{bmc: {{driver: ipmi, cipher_suite: 3}}, why: \"virtualbmc has no Redfish and no suite 17\"}}"
        )
        .unwrap();
    }
    text
}

fn facts(lab: &Lab) -> String {
    let host_key = std::fs::read_to_string(lab.built.join("host_key.fingerprint")).unwrap();
    let mut text = "node,serial,uuid,boot_mac,bmc_cert_sha256,ssh_host_key\n".to_owned();
    for machine in lab.machines() {
        let Machine { serial, uuid, mac, certificate, .. } = machine;
        writeln!(text, "{},{serial},{uuid},{mac},{certificate},{}", node(machine), host_key.trim()).unwrap();
    }
    text
}

fn image(lab: &Lab) -> String {
    let sums = std::fs::read_to_string(lab.built.join("SHA256SUMS")).unwrap();
    let digest = |name: &str| {
        sums.lines().find_map(|l| l.split_once("  ").filter(|(_, n)| *n == name)).map(|(digest, _)| digest.to_owned()).unwrap()
    };
    format!(
        r#"apiVersion: image/v1
arch: x86_64
kernel: {{file: vmlinuz, sha256: "{}"}}
initrd:
  - {{file: initrd.gz, sha256: "{}"}}
cmdline: [console=ttyS0]
"#,
        digest("vmlinuz"),
        digest("initrd.gz"),
    )
}

const POLICY: &str = r#"apiVersion: verify/v1
kind: AcceptancePolicy
metadata: {name: two-rng, version: 1}
applies: {kind: pci}
counters:
  aer: {max: 0}
  aer_correctable: {max: 0}
links:
  pcie: {gen: 1, width: 1}
"#;

const PLAYBOOK: &str = r#"apiVersion: playbook/v1
baseline:
  image: lab
  stack: none
  boot_deadline: 5m
policies: [two-rng]
rollout:
  waves: [1]
  max_nodes: 1
  total_failures: 100%
  attempts: 1
"#;
