//! Writes the playbook that brings a farm up: image, stacks and policies with small artifacts of noise, each under its true digest.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::site::{words, write};
use super::{Farm, FarmError};
use crate::model::AcceleratorKind;
use crate::sim::seed::Seed;

/// Kernel and initrd: large enough to come in many packets, small enough for hundreds of machines.
const KERNEL: usize = 192 * 1024;
const INITRD: usize = 768 * 1024;
/// What stands for a driver's installer.
const DRIVER: usize = 96 * 1024;

/// Component and version that the stack of a family brings.
fn driver(kind: AcceleratorKind) -> Option<(&'static str, &'static str)> {
    match kind {
        AcceleratorKind::Nvidia => Some(("nvidia-driver", "580.105.08")),
        AcceleratorKind::Furiosa => Some(("furiosa-driver", "2026.3.0")),
        AcceleratorKind::Rebellions => Some(("rebellions-driver", "3.0.0")),
        AcceleratorKind::Pci => None,
    }
}

/// Bytes that look like nothing, the same for the same seed.
fn noise(seed: Seed, label: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    let mut block = 0u32;
    while bytes.len() < length {
        bytes.extend_from_slice(&seed.bytes(&format!("{label}/{block}")));
        block += 1;
    }
    bytes.truncate(length);
    bytes
}

/// Writes an artifact and returns its digest.
fn artifact(path: &Path, content: &[u8]) -> Result<String, FarmError> {
    write(path, content, 0o644)?;
    let hash: [u8; 32] = Sha256::digest(content).into();
    Ok(hash.iter().map(|b| format!("{b:02x}")).collect())
}

pub(super) fn write_all(farm: &Farm, dir: &Path) -> Result<(), FarmError> {
    let playbooks = dir.join("playbooks");
    image(farm, &dir.join("images"))?;
    let (mut stacks, mut policies) = (Vec::new(), Vec::new());
    for (kind, count) in farm.families() {
        let (_, policy_name, stack_name, _) = words(kind);
        if let Some((component, version)) = driver(kind) {
            stack(farm, &playbooks.join("stacks"), stack_name, component, version)?;
            stacks.push(stack_name);
        }
        let text = policy(kind, policy_name, count);
        write(&playbooks.join(format!("policies/{policy_name}.yaml")), text.as_bytes(), 0o644)?;
        policies.push(policy_name);
    }
    let nodes = farm.nodes.len();
    let text = format!(
        "# Brings the simulated site up: netboot, driver stack, gate.\napiVersion: playbook/v1\nbaseline:\n  image: sim-live\n  \
         stack: none\n  boot_deadline: {}s\nstacks: [{}]\npolicies: [{}]\nrollout:\n  waves: [{nodes}]\n  max_nodes: {nodes}\n  \
         canary_failures: 0\n  total_failures: 60%\n  attempts: 3\n",
        boot_deadline_s(farm),
        stacks.join(", "),
        policies.join(", "),
    );
    write(&playbooks.join("sim.yaml"), text.as_bytes(), 0o644)
}

/// Five times what a boot takes at the farm's speed, and half a minute for a loaded machine.
fn boot_deadline_s(farm: &Farm) -> u32 {
    const BOOT_S: u32 = 300;
    30 + 5 * BOOT_S / farm.clock.speed()
}

fn image(farm: &Farm, images: &Path) -> Result<(), FarmError> {
    let kernel = artifact(&images.join("sim-live/vmlinuz"), &noise(farm.seed, "kernel", KERNEL))?;
    let initrd = artifact(&images.join("sim-live/initrd.img"), &noise(farm.seed, "initrd", INITRD))?;
    let text = format!(
        "# The image of the simulated nodes: noise, which their boot ROMs fetch whole and whose digests are true.\napiVersion: image/v1\n\
         arch: x86_64\nkernel: {{file: sim-live/vmlinuz, sha256: \"{kernel}\"}}\ninitrd:\n  \
         - {{file: sim-live/initrd.img, sha256: \"{initrd}\"}}\ncmdline:\n  - console=ttyS0,115200n8\n  - booted-from=network\n",
    );
    write(&images.join("sim-live.yaml"), text.as_bytes(), 0o644)
}

fn stack(farm: &Farm, stacks: &Path, name: &str, component: &str, version: &str) -> Result<(), FarmError> {
    let file = format!("{component}-{version}.run");
    let digest = artifact(&stacks.join(name).join(&file), &noise(farm.seed, component, DRIVER))?;
    let to = format!("/run/bringup/{file}");
    let text = format!(
        "# The driver of the simulated accelerators: noise that must arrive before the simulated installer takes it.\n\
         apiVersion: stack/v1\ninstall:\n  - name: {component}\n    artifact: {{file: \"{name}/{file}\", sha256: \"{digest}\"}}\n    \
         to: {to}\n    mode: \"0755\"\n    run: [bringup-install, {component}, \"{version}\", {to}]\n    deadline: 60s\n\
         versions:\n  - {{component: {component}, probe: [bringup-version, {component}], want: \"{version}\"}}\n",
    );
    write(&stacks.join(format!("{name}.yaml")), text.as_bytes(), 0o644)
}

fn policy(kind: AcceleratorKind, name: &str, count: u32) -> String {
    let mut text = format!(
        "# What the simulated accelerators must show.\napiVersion: verify/v1\nkind: AcceptancePolicy\n\
         metadata: {{name: {name}, version: 1}}\napplies: {{kind: {kind}}}\n",
    );
    // Writing to a String cannot fail.
    let (homogeneous, nvlink) = match kind {
        AcceleratorKind::Nvidia => ("driver, firmware, model", "\n  nvlink: {links: 18}"),
        AcceleratorKind::Rebellions => ("driver, firmware, model", ""),
        AcceleratorKind::Furiosa => ("firmware, model", ""),
        AcceleratorKind::Pci => ("", ""),
    };
    if kind != AcceleratorKind::Pci {
        let _ = writeln!(text, "identity:\n  serial_map: inventory\n  homogeneous: [{homogeneous}]");
    }
    if let (AcceleratorKind::Nvidia, Some((_, version))) = (kind, driver(kind)) {
        let _ = writeln!(text, "  driver_in: [\"{version}\"]\necc: true");
    }
    let memory =
        if kind == AcceleratorKind::Nvidia { "  remapped_uncorrectable: {max: 8}\n  ecc_uncorrectable: {max: 0}\n" } else { "" };
    let _ = writeln!(text, "counters:\n{memory}  aer: {{max: 0}}\n  aer_correctable: {{max: 10}}");
    let _ = writeln!(text, "links:\n  pcie: {{gen: 5, width: 16}}{nvlink}");
    if kind != AcceleratorKind::Pci {
        text.push_str("thermal: {max_c: 83}\n");
    }
    if kind == AcceleratorKind::Nvidia && count > 1 {
        let _ = writeln!(text, "degraded: {{min: {}}}", count - 1);
    }
    text
}
