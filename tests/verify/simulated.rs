//! The simulator's tools against the gate: two rooms that share no code must mean the same thing by the same bytes.

use std::sync::Arc;

use bringup::model::{AcceleratorKind, NodeId, RackId, Verdict};
use bringup::sim::accelerator::{cards, furiosa_info, nvidia_log, nvidia_nvlink, pci_id, pci_listing, rebellions_listing};
use bringup::sim::{Fault, Fitted, Identity, Seed, profile};

use super::world::{self, World, said};

use Verdict::{Pass, Quarantine, Reject};

/// A simulated node with these faults, as its tools print it.
fn simulated(kind: AcceleratorKind, model: &'static str, faults: &[Fault]) -> World {
    let identity = Arc::new(Identity::derive(
        Seed(7),
        NodeId::new("a001-s01").unwrap(),
        RackId::new("a001").unwrap(),
        1,
        profile::by_name("dell").unwrap(),
        Fitted { kind, model, count: 8 },
        faults,
    ));
    let built = cards(&identity, faults);
    let (mut world, vendor, driver) = match kind {
        AcceleratorKind::Nvidia => {
            let mut world = world::nvidia();
            world.answers.insert("nvidia-smi".into(), said(nvidia_log(&built, "580.105.08")));
            world.answers.insert("nvidia-smi-nvlink".into(), said(nvidia_nvlink(&built)));
            (world, "0x10de", "nvidia")
        }
        AcceleratorKind::Furiosa => {
            let mut world = world::furiosa();
            world.answers.insert("furiosa-smi".into(), said(furiosa_info(&built).to_string()));
            (world, "0x1ed2", "furiosa_rngd")
        }
        _ => {
            let mut world = world::rebellions();
            world.answers.insert("rbln-smi".into(), said(rebellions_listing(&built, "3.0.0").to_string()));
            (world, "0x1eff", "rebellions")
        }
    };
    world.answers.insert("pci".into(), said(pci_listing(kind, &built, vendor, Some(driver))));
    world.answers.insert("dmi-serial".into(), said(format!("{}\n", identity.serial)));
    world.answers.insert("dmi-uuid".into(), said(format!("{}\n", identity.uuid)));
    world.suite.accelerator.model = model.into();
    world.suite.accelerator.count = 8;
    world.suite.accelerator.pci_id = Some(pci_id(kind));
    world.suite.serial = Some(identity.recorded_serial.clone());
    world.suite.uuid = Some(identity.uuid.clone());
    world.suite.accelerator_serials = built.into_iter().map(|card| card.recorded_serial).collect();
    world
}

#[test]
fn every_fault_turns_its_verdict() {
    let all: [(AcceleratorKind, &'static str); 3] =
        [(AcceleratorKind::Nvidia, "H100"), (AcceleratorKind::Furiosa, "RNGD"), (AcceleratorKind::Rebellions, "ATOM-Max")];
    for (kind, model) in all {
        let common: Vec<(Vec<Fault>, Verdict, &str)> = vec![
            (vec![], Pass, ""),
            (vec![Fault::Missing(5)], Quarantine, "missing"),
            (vec![Fault::Hot(2, 99)], Quarantine, "temperature"),
            (vec![Fault::LinkWidth(4, 8)], Quarantine, "pcie-width"),
            (vec![Fault::SwappedAccelerator(1)], Reject, "serials"),
            (vec![Fault::WrongSerial], Reject, "identity-serial"),
        ];
        let nvidia: Vec<(Vec<Fault>, Verdict, &str)> = vec![
            (vec![Fault::GpuRemapPending(3)], Quarantine, "remap-pending"),
            (vec![Fault::GpuRemapFailure(3)], Reject, "remap-failure"),
            (vec![Fault::GpuEcc(3)], Quarantine, "ecc-dram"),
        ];
        let more = if kind == AcceleratorKind::Nvidia { nvidia } else { Vec::new() };
        for (faults, verdict, check) in common.into_iter().chain(more) {
            let (judged, key) = simulated(kind, model, &faults).judge();
            assert_eq!(judged.verdict, verdict, "{kind} {faults:?}: {judged:#?}");
            assert_eq!(key.is_some(), faults.is_empty(), "{kind} {faults:?}");
            assert_eq!(judged.devices.len(), 8, "{kind} {faults:?}: each accelerator that was bought is judged once");
            let blamed = judged.findings.iter().chain(judged.devices.iter().flat_map(|d| &d.findings));
            let blamed: Vec<&str> = blamed.filter(|f| f.verdict == verdict && verdict > Pass).map(|f| f.check.as_str()).collect();
            assert!(
                faults.is_empty() || blamed.contains(&check) && blamed.iter().all(|name| *name == check || *name == "recovery"),
                "{kind} {faults:?}: only `{check}`: {blamed:?}"
            );
        }
    }
}
