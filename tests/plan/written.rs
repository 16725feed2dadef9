//! A small written site for tests, made in code.

use std::collections::{BTreeMap, BTreeSet};

use bringup::model::{
    AcceleratorKind, AcceleratorProfile, Arch, Artifact, Baseline, BmcAddress, BmcFacts, BmcProtocol, BmcTrust, BootMode,
    BootSettings, BootTarget, Digest, Image, Inventory, Node, NodeId, Observed, Playbook, Policy, PowerDraw, PowerState, Rack,
    RackId, Reading, RolloutPolicy, SecretRef, SshAccess,
};

pub fn digest(byte: u8) -> Digest {
    Digest::from_bytes(&[byte; 32])
}

/// `racks` racks of `slots` nodes with eight accelerators each.
pub fn inventory(racks: u32, slots: u32) -> Inventory {
    let mut inventory = Inventory { site: "test".to_owned(), racks: BTreeMap::new(), nodes: BTreeMap::new(), digest: digest(1) };
    for r in 1..=racks {
        let rack = RackId::new(format!("a{r:03}")).unwrap();
        let feed = Some(format!("f{}", (r - 1) / 2 + 1));
        inventory.racks.insert(rack.clone(), Rack { id: rack.clone(), feed, limit_w: None, labels: BTreeMap::new() });
        for s in 1..=slots {
            let node = node(&rack, r, s);
            inventory.nodes.insert(node.id.clone(), node);
        }
    }
    inventory
}

fn node(rack: &RackId, r: u32, slot: u32) -> Node {
    let id = NodeId::new(format!("{rack}-s{slot:02}")).unwrap();
    let ip: std::net::IpAddr = format!("10.1.{r}.{slot}").parse().unwrap();
    Node {
        serial: Some(format!("SN{r:03}{slot:02}")),
        uuid: None,
        id,
        rack: rack.clone(),
        slot,
        profile: "gpu".to_owned(),
        labels: BTreeMap::new(),
        bmc: BmcAddress {
            protocol: BmcProtocol::Redfish,
            address: format!("10.2.{r}.{slot}:443").parse().unwrap(),
            user: "admin".to_owned(),
            password: "env:P".parse::<SecretRef>().unwrap(),
            trust: BmcTrust::FirstContact,
            system: None,
            old_tls: false,
            basic: bringup::model::BasicLogin::default(),
            cipher_suite: None,
            sol_port: None,
            kg: None,
            mac: None,
        },
        ssh: SshAccess {
            address: std::net::SocketAddr::new(ip, 22),
            user: "root".to_owned(),
            key: "env:K".parse().unwrap(),
            host_keys: BTreeSet::new(),
        },
        boot: BootSettings {
            method: BootTarget::Pxe,
            mode: BootMode::Uefi,
            server: Some("http://10.0.0.1:8088".to_owned()),
            mac: Some("52:54:00:00:00:01".parse().unwrap()),
            ip,
            arch: Arch::X86_64,
            lan: None,
            cache: None,
            uplink: None,
            post_s: None,
            power_s: None,
        },
        vendor: None,
        model: None,
        accelerator: AcceleratorProfile { kind: AcceleratorKind::Nvidia, model: "H100".to_owned(), count: 8, pci_id: None },
        accelerator_serials: BTreeSet::new(),
        cabling: std::collections::BTreeMap::new(),
        stack: None,
        verify: "h100".to_owned(),
        pool: "train".to_owned(),
        power: PowerDraw { idle_w: 2000, boot_w: 6000 },
        admit: true,
        hold: None,
    }
}

pub fn image() -> Image {
    let artifact = |byte| Artifact { path: "x".into(), sha256: digest(byte) };
    Image {
        name: "agent".to_owned(),
        arch: "x86_64".to_owned(),
        kernel: artifact(2),
        initrd: vec![artifact(3)],
        root: None,
        cmdline: vec!["quiet".to_owned()],
        ssh_host_keys: BTreeSet::new(),
        identity: Default::default(),
    }
}

pub fn policy() -> Policy {
    Policy {
        name: "h100".to_owned(),
        version: 1,
        driver_in: Vec::new(),
        firmware_in: Vec::new(),
        homogeneous: Vec::new(),
        serials_from_facts: false,
        pcie_gen: None,
        pcie_width: None,
        nvlinks: None,
        temperature_max_c: None,
        ecc: false,
        remapped_uncorrectable_max: None,
        ecc_uncorrectable_max: None,
        aer: false,
        aer_correctable_max: None,
        tolerate: Vec::new(),
        degraded_min: None,
        cabling: None,
    }
}

pub fn rollout() -> RolloutPolicy {
    RolloutPolicy {
        waves: vec![1, 4, 8],
        canary: None,
        max_nodes: 6,
        max_per_rack: 2,
        max_per_feed_w: None,
        canary_failures: 0,
        total_failures_pct: 10.0,
        attempts: 3,
    }
}

pub fn playbook() -> Playbook {
    Playbook {
        name: "up".to_owned(),
        baseline: Baseline { image: Some(image()), install: None, stack: None, boot_deadline_s: 600 },
        stacks: BTreeMap::new(),
        policies: BTreeMap::from([("h100".to_owned(), policy())]),
        rollout: rollout(),
        inputs: BTreeMap::new(),
    }
}

/// A node that is off, with a BMC that names the right serial.
pub fn off(serial: &str) -> Observed {
    Observed {
        bmc: Reading::Known(BmcFacts {
            vendor: Reading::Absent,
            model: Reading::Absent,
            serial: Reading::Known(serial.to_owned()),
            uuid: Reading::Absent,
            bmc_version: Reading::Absent,
        }),
        power: Reading::Known(PowerState::Off),
        boot: Reading::Absent,
        firmware: Reading::Absent,
        system: Reading::Absent,
        stack: BTreeMap::new(),
    }
}
