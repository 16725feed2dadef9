//! What stands in each other's place, over whole racks: whatever was exchanged is explained, and the files changed as proposed fit what was seen.

use std::collections::BTreeMap;

use bringup::model::{Cell, CellMove, MachineReport, Neighbour, Nic, Node, NodeId, Plug, Reading};
use bringup::planner::{Kind, Place, Proof, What, Witness, prove};
use proptest::prelude::*;

use super::written;

/// One rack of nodes, each with a boot MAC, a UUID and two cables of its own.
fn rack(count: u32) -> BTreeMap<NodeId, Node> {
    let mut nodes = written::inventory(1, count).nodes;
    for node in nodes.values_mut() {
        let slot = node.slot;
        node.boot.mac = Some(format!("52:54:00:00:00:{slot:02x}").parse().unwrap());
        node.uuid = Some(format!("4c4c4544-0077-4000-8000-0000000000{slot:02x}"));
        let plug = |switch: &str| Plug { switch: switch.to_owned(), port: format!("swp{slot}") };
        node.cabling = [("boot".to_owned(), plug("leaf")), ("eth1".to_owned(), plug("rail"))].into();
    }
    nodes
}

/// What is seen at the address of a node when `machine` stands there, with its cables in the ports written for `plugs`.
fn seen(machine: &Node, boot: &Plug, second: &Plug) -> Witness {
    let nic = |name: &str, mac: String, plug: &Plug| Nic {
        name: name.to_owned(),
        mac: Reading::Known(mac),
        pci: Reading::Absent,
        link: Reading::Known("up".to_owned()),
        lldp: Reading::Known(vec![Neighbour {
            chassis: "02:00:00:00:00:99".to_owned(),
            port: plug.port.clone(),
            port_description: None,
            system_name: Some(format!("{}.dc.example", plug.switch)),
            management_address: None,
        }]),
    };
    let serial = Reading::Known(format!(" {} ", machine.serial.clone().unwrap().to_lowercase()));
    let uuid = Reading::Known(machine.uuid.clone().unwrap());
    Witness {
        bmc_serial: serial.clone(),
        bmc_uuid: uuid.clone(),
        bmc_certificate: Reading::unknown("IPMI has none"),
        serial,
        uuid,
        nics: Reading::Known(vec![
            nic("eth0", machine.boot.mac.unwrap().to_string(), boot),
            nic("eth1", format!("52:54:00:00:01:{:02x}", machine.slot), second),
        ]),
    }
}

fn all_right(nodes: &BTreeMap<NodeId, Node>) -> BTreeMap<NodeId, Witness> {
    nodes.iter().map(|(id, n)| (id.clone(), seen(n, &n.cabling["boot"], &n.cabling["eth1"]))).collect()
}

/// The files as the proof wants them.
fn moved(nodes: &BTreeMap<NodeId, Node>, proof: &Proof) -> BTreeMap<NodeId, Node> {
    let mut new = nodes.clone();
    for CellMove { to, from } in proof.mixed.iter().flat_map(|m| &m.moves) {
        match (to, from) {
            (Cell::Fact { node: to, column }, Cell::Fact { node: from, .. }) => {
                let (to, from) = (new.get_mut(to).unwrap(), &nodes[from]);
                match *column {
                    "serial" => to.serial.clone_from(&from.serial),
                    "uuid" => to.uuid.clone_from(&from.uuid),
                    "boot_mac" => to.boot.mac = from.boot.mac,
                    "bmc_address" => to.bmc.address = from.bmc.address,
                    "ssh_address" => to.ssh.address = from.ssh.address,
                    other => panic!("{other}"),
                }
            }
            (Cell::Cable { node: to, interface: at }, Cell::Cable { node: from, interface }) => {
                new.get_mut(to).unwrap().cabling.insert(at.clone(), nodes[from].cabling[interface].clone());
            }
            other => panic!("{other:?}"),
        }
    }
    new
}

fn cycles(holds: &[usize]) -> usize {
    let mut seen = vec![false; holds.len()];
    let mut count = 0;
    for start in 0..holds.len() {
        let (mut at, mut long) = (start, 0);
        while !seen[at] {
            seen[at] = true;
            at = holds[at];
            long += 1;
        }
        count += usize::from(long > 1);
    }
    count
}

fn permutation() -> impl Strategy<Value = Vec<usize>> {
    (2_usize..9).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle())
}

proptest! {
    #[test]
    fn trays_in_any_order_are_rings_and_the_facts_moved_fit_them(holds in permutation()) {
        let nodes = rack(u32::try_from(holds.len()).unwrap());
        let ids: Vec<&NodeId> = nodes.keys().collect();
        let witnesses: BTreeMap<_, _> = ids.iter().enumerate().map(|(i, id)| {
            let here = &nodes[*id];
            ((*id).clone(), seen(&nodes[ids[holds[i]]], &here.cabling["boot"], &here.cabling["eth1"]))
        }).collect();
        let proof = prove(&nodes, &witnesses);
        prop_assert_eq!(proof.mixed.len(), cycles(&holds));
        prop_assert!(proof.mixed.iter().all(|m| m.kind == Kind::Trays), "{:?}", proof.mixed);
        let after = prove(&moved(&nodes, &proof), &witnesses);
        prop_assert!(after.whole() && after.mixed.is_empty(), "{:?}", after.findings);
    }

    #[test]
    fn cables_in_any_order_are_rings_and_the_plugs_moved_fit_them(holds in permutation(), silent in 0_usize..8) {
        let nodes = rack(u32::try_from(holds.len()).unwrap());
        let ids: Vec<&NodeId> = nodes.keys().collect();
        let mut witnesses: BTreeMap<_, _> = ids.iter().enumerate().map(|(i, id)| {
            ((*id).clone(), seen(&nodes[*id], &nodes[ids[holds[i]]].cabling["boot"], &nodes[*id].cabling["eth1"]))
        }).collect();
        let proof = prove(&nodes, &witnesses);
        prop_assert_eq!(proof.mixed.len(), cycles(&holds));
        let after = prove(&moved(&nodes, &proof), &witnesses);
        prop_assert!(after.whole(), "{:?}", after.findings);
        // Whoever falls silent is never right, and the ring that it was in is none any more.
        let id = ids[silent % ids.len()];
        witnesses.get_mut(id).unwrap().nics = Reading::unknown("no answer");
        let dark = prove(&nodes, &witnesses);
        prop_assert!(!dark.whole());
        let of = dark.findings.iter().filter(|f| f.node == *id && matches!(f.what, What::Cable(_) | What::BootMac));
        prop_assert!(of.clone().count() == 3 && of.clone().all(|f| matches!(f.place, Place::Unheard(_))));
    }

    #[test]
    fn no_report_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..900) {
        drop(MachineReport::read(&bytes));
        let whole = br#"{"format_version":1,"system":{"serial":{"known":"S1"},"uuid":"absent"},"nics":[{"name":"eth0","mac":{"known":"52:54:00:00:00:01"},
            "pci":"absent","link":{"known":"up"},"lldp":{"known":[{"chassis":"c","port":"p","system_name":"s"}]}}]}"#;
        let half = MachineReport::read(&whole[..cut.min(whole.len())]);
        prop_assert_eq!(half.is_ok(), cut >= whole.len());
    }
}

fn ids(nodes: &BTreeMap<NodeId, Node>) -> [NodeId; 2] {
    let mut names = nodes.keys().cloned();
    [names.next().unwrap(), names.next().unwrap()]
}

#[test]
fn crossed_bmcs_are_not_crossed_trays() {
    let nodes = rack(3);
    let [a, b] = ids(&nodes);
    let mut witnesses = all_right(&nodes);
    for (here, there) in [(&a, &b), (&b, &a)] {
        let other = &nodes[there];
        let witness = witnesses.get_mut(here).unwrap();
        witness.bmc_serial = Reading::Known(other.serial.clone().unwrap());
        witness.bmc_uuid = Reading::Known(other.uuid.clone().unwrap());
    }
    let proof = prove(&nodes, &witnesses);
    let [pair] = proof.mixed.as_slice() else { panic!("{:?}", proof.mixed) };
    assert_eq!((pair.kind, pair.moves.len()), (Kind::Bmcs, 2));
    assert!(pair.says.starts_with("the BMCs of a001-s01 and a001-s02 answer at each other's addresses"), "{}", pair.says);
    let after = moved(&nodes, &proof);
    assert_eq!((after[&a].bmc.address, after[&b].bmc.address), (nodes[&b].bmc.address, nodes[&a].bmc.address));
    assert_eq!(after[&a].serial, nodes[&a].serial, "the serials are those of the systems");
}

#[test]
fn crossed_ssh_addresses_do_not_make_crossed_cables() {
    let nodes = rack(3);
    let [a, b] = ids(&nodes);
    let mut witnesses = all_right(&nodes);
    let [first, second] = [a.clone(), b.clone()].map(|id| witnesses[&id].clone());
    for (here, there) in [(&a, &second), (&b, &first)] {
        let witness = witnesses.get_mut(here).unwrap();
        (witness.serial, witness.uuid, witness.nics) = (there.serial.clone(), there.uuid.clone(), there.nics.clone());
    }
    let proof = prove(&nodes, &witnesses);
    let [pair] = proof.mixed.as_slice() else { panic!("{:?}", proof.mixed) };
    assert_eq!(pair.kind, Kind::Systems);
    assert!(matches!(&pair.moves[0].to, Cell::Fact { column: "ssh_address", .. }), "{:?}", pair.moves);
    let cables = |f: &&bringup::planner::Finding| matches!(f.what, What::Cable(_));
    assert!(proof.findings.iter().filter(cables).all(|f| f.place == Place::Right), "{:?}", proof.findings);
}

#[test]
fn a_certificate_that_is_anothers_is_enough_and_one_that_moved_alone_is_no_pair() {
    let mut nodes = rack(2);
    let [a, b] = ids(&nodes);
    for (id, byte) in [(&a, 1_u8), (&b, 2)] {
        nodes.get_mut(id).unwrap().bmc.trust = bringup::model::BmcTrust::Pinned(written::digest(byte));
    }
    let dark = |shown: u8| Witness {
        bmc_serial: Reading::unknown("its certificate is not the recorded one"),
        bmc_uuid: Reading::unknown("its certificate is not the recorded one"),
        bmc_certificate: Reading::Known(written::digest(shown).to_string()),
        serial: Reading::unknown("no answer"),
        uuid: Reading::unknown("no answer"),
        nics: Reading::unknown("no answer"),
    };
    let proof = prove(&nodes, &[(a.clone(), dark(2)), (b.clone(), dark(1))].into());
    let [pair] = proof.mixed.as_slice() else { panic!("{:?}", proof.mixed) };
    assert_eq!((pair.kind, pair.by.as_slice()), (Kind::Trays, &["certificate of its BMC".to_owned()][..]));
    // Only what was seen is moved: of the serials nothing is known.
    assert!(pair.moves.iter().all(|m| matches!(m.to, Cell::Fact { column: "bmc_cert_sha256", .. })));
    let half = prove(&nodes, &[(a.clone(), dark(2))].into());
    assert!(half.mixed.is_empty() && half.findings.iter().any(|f| f.place == Place::Moved((b.clone(), What::BmcCertificate))));
}

#[test]
fn all_cables_of_two_nodes_exchanged_are_told_as_perhaps_their_trays() {
    let nodes = rack(2);
    let [a, b] = ids(&nodes);
    let witness = |id: &NodeId, other: &NodeId| seen(&nodes[id], &nodes[other].cabling["boot"], &nodes[other].cabling["eth1"]);
    let proof = prove(&nodes, &[(a.clone(), witness(&a, &b)), (b.clone(), witness(&b, &a))].into());
    assert_eq!(proof.mixed.len(), 2);
    for pair in &proof.mixed {
        assert!(pair.says.ends_with("their trays may stand in each other's slot"), "{}", pair.says);
    }
    assert_eq!(proof.mixed[0].or, "swap the cables at leaf port swp1 and leaf port swp2");
}

#[test]
fn one_switch_port_that_two_nodes_hear_is_no_swap() {
    let nodes = rack(3);
    let [a, b] = ids(&nodes);
    let mut witnesses = all_right(&nodes);
    witnesses.insert(a.clone(), seen(&nodes[&a], &nodes[&b].cabling["boot"], &nodes[&a].cabling["eth1"]));
    let proof = prove(&nodes, &witnesses);
    assert!(proof.mixed.is_empty() && !proof.whole());
    let twice = proof.findings.iter().filter(|f| matches!(f.place, Place::Twice(_))).count();
    assert_eq!(twice, 2, "{:?}", proof.findings);
}
