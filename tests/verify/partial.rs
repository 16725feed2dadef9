//! Counts: what is missing is named, and a degraded node works only when the policy lets it.

use bringup::model::Verdict::{self, Inconclusive, Note, Quarantine};

use super::world::{self, World, check, device, nvidia_xml, pci, pci_line, said};

fn node_check(world: &World, name: &str) -> Option<Verdict> {
    world.judge().0.findings.iter().filter(|f| f.check == name).map(|f| f.verdict).max()
}

/// One GPU is neither on the bus nor in the tool.
fn seven() -> World {
    let mut world = world::nvidia();
    world.answers.insert("nvidia-smi".into(), said(nvidia_xml(0..7)));
    let lines: Vec<String> =
        (0..7).map(|i| pci_line(&format!("0000:{:02x}:00.0", 0x50 + i), "10de:2330", "0x030200", "nvidia")).collect();
    world.answers.insert("pci".into(), pci(&lines));
    world
}

#[test]
fn a_missing_one_is_a_device_with_its_serial() {
    let world = seven();
    let (judged, key) = world.judge();
    assert!(key.is_none(), "no policy lets seven work");
    assert_eq!((judged.verdict, judged.devices.len()), (Quarantine, 8));
    let gone = device(&judged, "missing1");
    assert_eq!(gone.serial.as_deref(), Some("1650000000007"), "the facts say which one it is");
    assert_eq!(node_check(&world, "count"), Some(Note));
}

#[test]
fn degraded_by_policy() {
    for (min, admitted) in [(7, true), (8, false)] {
        let (judged, key) = seven().with(|s| s.policy.degraded_min = Some(min)).judge();
        assert_eq!(key.is_some(), admitted, "{min}");
        assert_eq!(judged.verdict, Quarantine);
        if let Some(key) = key {
            assert!(key.degraded());
            assert_eq!((key.devices().len(), key.withheld().len()), (7, 1));
            assert!(key.devices().iter().all(|d| d.verdict.admissible()));
        }
    }
    // A sick one is withheld just so, and it keeps its findings.
    let sick = world::nvidia().edit("nvidia-smi", "<remapped_row_pending>No", "<remapped_row_pending>Yes");
    let (_, key) = sick.clone().with(|s| s.policy.degraded_min = Some(7)).judge();
    let key = key.unwrap();
    assert_eq!(key.withheld().iter().map(|d| (d.device.as_str(), d.verdict)).collect::<Vec<_>>(), [("gpu0", Quarantine)]);
    assert!(sick.judge().1.is_none());
    // The node's own findings are never degraded away.
    let wrong = sick.with(|s| {
        s.policy.degraded_min = Some(1);
        s.serial = Some("ANOTHER".into());
    });
    assert!(wrong.judge().1.is_none());
    // A minimum of nought does not let a node work with nothing.
    let mut none = world::nvidia();
    none.answers.insert("nvidia-smi".into(), said(nvidia_xml(0..0)));
    none.answers.insert("pci".into(), pci(&[]));
    let (judged, key) = none.with(|s| s.policy.degraded_min = Some(0)).judge();
    assert!(key.is_none());
    assert_eq!(judged.devices.len(), 8);
}

#[test]
fn fallen_off_the_bus_or_off_the_driver() {
    // The bus shows eight, the driver seven.
    let mut world = world::nvidia();
    world.answers.insert("nvidia-smi".into(), said(nvidia_xml(0..7)));
    let (judged, key) = world.judge();
    assert!(key.is_none());
    let lost = device(&judged, "pci@0000:57:00.0");
    assert_eq!(check(lost, "seen-by-tool"), Some(Quarantine));
    assert_eq!(judged.devices.len(), 8);
    // The driver shows eight, the bus seven: somebody is wrong, and the count is not established.
    let mut world = world::nvidia();
    let lines: Vec<String> =
        (0..7).map(|i| pci_line(&format!("0000:{:02x}:00.0", 0x50 + i), "10de:2330", "0x030200", "nvidia")).collect();
    world.answers.insert("pci".into(), pci(&lines));
    assert_eq!(node_check(&world, "count"), Some(Inconclusive));
    assert!(world.with(|s| s.policy.degraded_min = Some(1)).judge().1.is_none());
}

#[test]
fn too_many_and_twice() {
    let more = world::nvidia().with(|s| s.accelerator.count = 7);
    assert_eq!(node_check(&more, "count"), Some(Quarantine));
    assert!(more.judge().1.is_none());
    // Eight entries of which one is another one again.
    let mut twice = world::nvidia();
    twice.answers.insert("nvidia-smi".into(), said(nvidia_xml([0, 1, 2, 3, 4, 5, 6, 6])));
    assert_eq!(node_check(&twice, "count"), Some(Quarantine).max(Some(Inconclusive)));
    assert!(twice.with(|s| s.policy.degraded_min = Some(1)).judge().1.is_none());
    // The log's own count.
    let lies = world::nvidia().edit("nvidia-smi", "<attached_gpus>8<", "<attached_gpus>9<");
    assert_eq!(node_check(&lies, "count"), Some(Inconclusive));
    // Virtual functions are no cards.
    let vf = world::furiosa().edit("pci", "vf=0", "vf=1");
    assert_eq!(node_check(&vf, "count"), Some(Inconclusive), "the tool then tells an address that is no card");
}

#[test]
fn cards_of_several_devices() {
    let (judged, key) = world::rebellions().judge();
    assert_eq!(judged.devices.iter().map(|d| d.device.as_str()).collect::<Vec<_>>(), ["card0", "card1"]);
    assert_eq!(key.unwrap().devices().len(), 2);
    // One device of a card is gone from the tool and from the bus.
    let text = |world: &World| match &world.answers["rbln-smi"] {
        bringup::model::Answer::Output(out) => String::from_utf8(out.stdout.clone()).unwrap(),
        bringup::model::Answer::Unknown { .. } => unreachable!(),
    };
    let mut world = world::rebellions();
    let mut value: serde_json::Value = serde_json::from_str(&text(&world)).unwrap();
    value["devices"].as_array_mut().unwrap().remove(7);
    world.answers.insert("rbln-smi".into(), said(value.to_string()));
    let lines: Vec<String> =
        (0..7).map(|i| pci_line(&format!("0000:0{i}:00.0"), "1eff:1250", "0x120000", "rebellions")).collect();
    world.answers.insert("pci".into(), pci(&lines));
    let (judged, _) = world.judge();
    assert_eq!(check(device(&judged, "card1"), "parts"), Some(Quarantine));
    assert!(device(&judged, "card0").verdict.admissible());
    // A whole card is gone.
    value["devices"].as_array_mut().unwrap().truncate(4);
    world.answers.insert("rbln-smi".into(), said(value.to_string()));
    world.answers.insert("pci".into(), pci(&lines[..4]));
    let (judged, _) = world.judge();
    assert_eq!(judged.devices.iter().map(|d| d.device.as_str()).collect::<Vec<_>>(), ["card0", "missing1"]);
    assert_eq!(device(&judged, "missing1").serial.as_deref(), Some("SID1"));
}
