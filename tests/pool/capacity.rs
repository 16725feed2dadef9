//! Capacity: every accelerator is counted once, as working or with its reason.

use std::collections::{BTreeMap, BTreeSet};

use bringup::model::*;
use bringup::pool::{Causes, Member, Standing, capacity};

fn node(name: &str, count: u32) -> Node {
    let loopback: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    Node {
        id: NodeId::new(name).unwrap(),
        rack: RackId::new("r1").unwrap(),
        slot: 1,
        profile: "p".into(),
        labels: BTreeMap::new(),
        bmc: BmcAddress {
            protocol: BmcProtocol::Ipmi,
            address: (loopback, 623).into(),
            user: "u".into(),
            password: "env:P".parse().unwrap(),
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
            address: (loopback, 22).into(),
            user: "root".into(),
            key: "env:K".parse().unwrap(),
            host_keys: BTreeSet::new(),
        },
        boot: BootSettings {
            method: BootTarget::Pxe,
            mode: BootMode::Uefi,
            server: None,
            mac: None,
            ip: loopback,
            arch: Arch::X86_64,
            lan: None,
        },
        vendor: None,
        model: None,
        serial: None,
        uuid: None,
        accelerator: AcceleratorProfile { kind: AcceleratorKind::Nvidia, model: "H100".into(), count, pci_id: None },
        accelerator_serials: BTreeSet::new(),
        cabling: std::collections::BTreeMap::new(),
        stack: None,
        verify: "v".into(),
        pool: "train".into(),
        power: PowerDraw::default(),
        admit: true,
        hold: None,
    }
}

fn devices(n: usize, verdict: Verdict) -> Vec<DeviceVerdict> {
    (0..n).map(|i| DeviceVerdict { device: format!("gpu{i}"), serial: None, verdict }).collect()
}

fn member(name: &str, standing: Standing) -> Member {
    Member { node: NodeId::new(name).unwrap(), pool: "train".into(), standing, since_ms: 0 }
}

#[test]
fn everything_is_counted_once() {
    let mut held = node("n5", 8);
    held.admit = false;
    held.hold = Some("waits for a fan".into());
    let nodes = [node("n1", 8), node("n2", 8), node("n3", 8), node("n4", 8), held, node("n6", 8), node("n7", 0)];
    let inventory = Inventory {
        site: "s".into(),
        racks: BTreeMap::new(),
        nodes: nodes.into_iter().map(|n| (n.id.clone(), n)).collect(),
        digest: Digest::from_bytes(&[0; 32]),
    };
    let members = [
        member("n1", Standing::Working { devices: devices(8, Verdict::Pass), withheld: Vec::new() }),
        member("n2", Standing::Working { devices: devices(6, Verdict::Note), withheld: devices(1, Verdict::Quarantine) }),
        member("n3", Standing::Drained { why: "by hand".into() }),
        member("zz", Standing::Working { devices: devices(8, Verdict::Pass), withheld: Vec::new() }),
    ];
    let mut causes = Causes::default();
    causes.nodes.insert(NodeId::new("n6").unwrap(), "quarantined by run r-1: remap-pending".into());
    causes.devices.insert((NodeId::new("n2").unwrap(), "gpu0".into()), "remap-pending: a row remap waits for a reset".into());
    let counted = capacity(&inventory, &members, &causes);
    assert_eq!((counted.total, counted.working), (48, 14));
    assert_eq!(counted.idle.iter().map(|i| i.accelerators).sum::<u64>() + counted.working, counted.total);
    let idle: Vec<(&str, u64)> = counted.idle.iter().map(|i| (i.why.as_str(), i.accelerators)).collect();
    assert_eq!(
        idle,
        [
            ("drained: by hand", 8),
            ("held by override: waits for a fan", 8),
            ("never brought up", 8),
            ("quarantined by run r-1: remap-pending", 8),
            ("bought, but the gate that admitted the node did not know of it", 1),
            ("withheld by the gate (quarantine): remap-pending: a row remap waits for a reset", 1),
        ]
    );
    assert_eq!(counted.strangers, [NodeId::new("zz").unwrap()]);
}
