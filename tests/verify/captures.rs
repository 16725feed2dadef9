//! What real tools printed, judged.

use bringup::model::{AcceleratorKind, Answer, Tolerance, Verdict};

use super::world::{self, World, check, device, pci, pci_line, said};
use crate::support::need_shared;

/// A world whose `nvidia-smi` is a capture; the bus is made to agree with it.
fn capture(test: &str, file: &str, model: &str, generation: u8) -> Option<World> {
    let text = std::fs::read_to_string(need_shared(test, &format!("accelerators/nvidia/{file}"))?).unwrap();
    let values = |tag: &str| -> Vec<String> {
        text.split(&format!("<{tag}>")).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    let mut world = world::nvidia();
    let lines: Vec<String> = values("pci_bus_id")
        .iter()
        .map(|bus| pci_line(&format!("0000:{}", &bus[bus.len() - 7..].to_lowercase()), "10de:0000", "0x030200", "nvidia"))
        .collect();
    world.answers.insert("pci".into(), pci(&lines));
    world.suite.accelerator.pci_id = None;
    world.suite.accelerator.model = model.into();
    world.suite.accelerator.count = u32::try_from(lines.len()).unwrap();
    world.suite.accelerator_serials = values("serial");
    world.suite.policy.pcie_gen = Some(generation);
    world.suite.policy.nvlinks = None;
    world.answers.insert("nvidia-smi".into(), said(text));
    Some(world)
}

/// The mock driver under these captures tells nothing of SRAM, which strictly is inconclusive.
fn without_sram(world: World) -> World {
    assert_eq!(world.verdict(), Verdict::Inconclusive);
    world.with(|suite| {
        for check in ["ecc-sram", "sram-threshold"] {
            let tolerance = Tolerance { check: check.into(), reason: "mock driver".into(), until: "2026-12-31".into() };
            suite.policy.tolerate.push(tolerance);
        }
    })
}

#[test]
fn healthy_h100_passes() {
    let Some(world) = capture("healthy_h100_passes", "qx-h100.xml", "H100", 5) else { return };
    let (judged, key) = world.judge();
    assert_eq!((judged.verdict, judged.devices.len()), (Verdict::Pass, 8), "{judged:#?}");
    assert_eq!(key.unwrap().devices()[0].model.as_deref(), Some("NVIDIA H100 80GB HBM3"));
    assert_eq!(world.clone().with(|s| s.accelerator.model = "H200".into()).verdict(), Verdict::Reject);
    assert_eq!(world.with(|s| s.policy.temperature_max_c = Some(20.0)).verdict(), Verdict::Quarantine);
}

#[test]
fn healthy_a100_passes() {
    if let Some(world) = capture("healthy_a100_passes", "qx-a100.xml", "A100", 4) {
        assert_eq!(world.verdict(), Verdict::Pass, "{:#?}", world.judge().0);
        assert_eq!(world.with(|s| s.policy.pcie_gen = Some(5)).verdict(), Verdict::Quarantine, "an A100 link does gen 4 at most");
    }
    if let Some(world) = capture("healthy_a100_passes", "qx-a100-healthy.xml", "A100", 4) {
        assert_eq!(without_sram(world).verdict(), Verdict::Note);
    }
}

#[test]
fn gb200_with_injected_faults_is_kept_out() {
    let name = "gb200_with_injected_faults_is_kept_out";
    if let Some(world) = capture(name, "qx-gb200-healthy.xml", "GB200", 5) {
        let world = without_sram(world);
        assert_eq!(world.verdict(), Verdict::Note, "{:#?}", world.judge().0);
    }
    if let Some(world) = capture(name, "qx-gb200-ecc-injected.xml", "GB200", 5) {
        let world = world.with(|s| {
            for check in ["ecc-sram", "sram-threshold"] {
                s.policy.tolerate.push(Tolerance { check: check.into(), reason: "mock".into(), until: "2026-12-31".into() });
            }
        });
        let (judged, key) = world.judge();
        let sick = device(&judged, "gpu0");
        assert_eq!(check(sick, "ecc-dram"), Some(Verdict::Quarantine));
        assert_eq!(check(sick, "remap-failure"), Some(Verdict::Reject));
        assert!(key.is_none());
        // The other one may work when the policy lets one work.
        let (_, key) = world.with(|s| s.policy.degraded_min = Some(1)).judge();
        let key = key.unwrap();
        assert_eq!((key.devices()[0].device.as_str(), key.withheld()[0].device.as_str()), ("gpu1", "gpu0"));
    }
}

#[test]
fn npu_captures() {
    let name = "npu_captures";
    if let Some(file) = need_shared(name, "accelerators/npu/furiosa-smi-info-json-transcribed.json") {
        let mut world = world::furiosa();
        world.answers.insert("furiosa-smi".into(), said(std::fs::read_to_string(file).unwrap()));
        let lines = ["0000:03:00.0", "0000:45:00.0"].map(|bdf| pci_line(bdf, "1ed2:0001", "0x120000", "furiosa_rngd"));
        world.answers.insert("pci".into(), pci(&lines));
        let world = world.with(|s| s.accelerator_serials = vec!["RNG26040100181Q".into(), "RNG26040100105Q".into()]);
        // This release prints no temperature.
        assert_eq!(world.verdict(), Verdict::Inconclusive);
        assert_eq!(world.with(|s| s.policy.temperature_max_c = None).verdict(), Verdict::Pass);
    }
    if let Some(file) = need_shared(name, "accelerators/npu/rbln-smi-json-shape.json") {
        let mut world = world::rebellions();
        world.answers.insert("rbln-smi".into(), said(std::fs::read_to_string(file).unwrap()));
        world.answers.insert("pci".into(), pci(&[pci_line("0000:83:00.0", "1eff:0000", "0x120000", "rebellions")]));
        let world = world.with(|s| {
            s.accelerator.count = 1;
            s.accelerator.model = "REBEL".into();
            s.accelerator_serials = vec!["0000000022502229".into()];
        });
        assert_eq!(world.verdict(), Verdict::Pass, "{:#?}", world.judge().0);
        assert_eq!(world.with(|s| s.accelerator.kind = AcceleratorKind::Rebellions).suite.accelerator.count, 1);
    }
    assert!(matches!(said(""), Answer::Output(_)));
}
