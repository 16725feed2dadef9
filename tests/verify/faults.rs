//! One seeded fault per check, and the verdict that it must turn.

use bringup::model::{Tolerance, Verdict};

use super::world::{self, World, check, device, exited, pci, pci_line, said};

use Verdict::{Inconclusive, Note, Pass, Quarantine, Reject};

#[test]
fn healthy_nodes_are_admitted() {
    for (name, world) in world::all() {
        let (judged, key) = world.judge();
        // Where no source tells a driver version, that silence is noted.
        let expected = if name == "plain" { Note } else { Pass };
        assert_eq!(judged.verdict, expected, "{name}: {judged:#?}");
        let key = key.unwrap_or_else(|| panic!("{name} must be admitted"));
        assert!(!key.degraded() && key.withheld().is_empty());
        assert_eq!(key.devices().len(), usize::try_from(world.suite.accelerator.count).unwrap());
        assert_eq!((key.node().as_str(), key.pool()), ("a001-s01", "train"));
    }
}

/// A fault on `gpu3` (the first text that matches after its serial) and the check that must see it.
#[test]
fn nvidia_faults() {
    let gpu3 = |from: &str, to: &str| {
        let old = world::gpu_xml(3);
        assert!(old.contains(from), "{from}");
        world::nvidia().edit("nvidia-smi", &old, &old.replacen(from, to, 1))
    };
    let on = |tag: &str, value: &str| format!("<{tag}>{value}</{tag}>");
    let table: &[(&str, &str, &str, &str, Verdict)] = &[
        ("remapped_row_pending", "No", "Yes", "remap-pending", Quarantine),
        ("remapped_row_failure", "No", "Yes", "remap-failure", Reject),
        ("remapped_row_failure", "No", "[N/A]", "remap-failure", Inconclusive),
        ("remapped_row_unc", "0", "8", "remap-uncorrectable", Pass),
        ("remapped_row_unc", "0", "9", "remap-uncorrectable", Quarantine),
        ("remapped_row_unc", "0", "[Unknown Error]", "remap-uncorrectable", Inconclusive),
        ("remapped_row_unc", "0", "7f3a", "remap-uncorrectable", Inconclusive),
        ("remapped_row_unc", "0", "-1", "remap-uncorrectable", Inconclusive),
        ("row_remapper_histogram_low", "0 bank(s)", "2 bank(s)", "remap-histogram", Note),
        ("row_remapper_histogram_none", "0 bank(s)", "1 bank(s)", "remap-histogram", Quarantine),
        ("channel_repair_pending", "No", "Yes", "remap-pending", Quarantine),
        ("tpc_repair_pending", "No", "Yes", "remap-pending", Quarantine),
        ("sram_threshold_exceeded", "No", "Yes", "sram-threshold", Reject),
        ("sram_threshold_exceeded", "No", "N/A", "sram-threshold", Inconclusive),
        ("sram_uncorrectable_parity", "0", "1", "ecc-sram", Quarantine),
        ("sram_uncorrectable_secded", "0", "N/A", "ecc-sram", Inconclusive),
        ("current_ecc", "Enabled", "Disabled", "ecc", Quarantine),
        ("pending_ecc", "Enabled", "Disabled", "ecc", Quarantine),
        ("pending_ecc", "Enabled", "[Not Supported]", "ecc", Inconclusive),
        ("gpu_temp", "29 C", "86 C", "temperature", Quarantine),
        ("gpu_temp", "29 C", "N/A", "temperature", Inconclusive),
        ("gpu_temp", "29 C", "NaN C", "temperature", Inconclusive),
        ("current_link_gen", "5", "1", "pcie-gen", Note),
        ("current_link_width", "16x", "8x", "pcie-width", Quarantine),
        ("gpu_recovery_action", "None", "Reset", "recovery", Quarantine),
        ("state", "Completed", "In Progress", "fabric", Quarantine),
        ("status", "Success", "Failed", "fabric", Quarantine),
        ("persistence_mode", "Enabled", "Disabled", "persistence", Note),
        ("current_mig", "Disabled", "Enabled", "mig", Note),
        ("product_name", "NVIDIA H100 80GB HBM3", "NVIDIA H200", "model", Reject),
        ("product_name", "NVIDIA H100 80GB HBM3", "NVIDIA GH100", "model", Reject),
        ("serial", "1650000000003", "1650000009999", "serials", Reject),
        ("serial", "1650000000003", "1650000000004", "serials", Inconclusive),
        ("serial", "1650000000003", "[N/A]", "serials", Inconclusive),
        ("vbios_version", "96.00.99.00.01", "96.00.89.00.01", "homogeneous", Quarantine),
        ("vbios_version", "96.00.99.00.01", "[GPU requires reset]", "recovery", Quarantine),
        ("vbios_version", "96.00.99.00.01", "[GPU requires reset]", "firmware", Inconclusive),
        ("uuid", "GPU-3", "GPU-9", "nvlink", Inconclusive),
        ("pci_bus_id", "00000000:53:00.0", "00000000:63:00.0", "pci", Inconclusive),
    ];
    for (tag, from, to, name, verdict) in table {
        let (judged, key) = gpu3(&on(tag, from), &on(tag, to)).judge();
        let gpu = device(&judged, "gpu3");
        assert_eq!(check(gpu, name), Some(*verdict), "{tag} {from} → {to}: {gpu:#?}");
        assert!(gpu.verdict >= *verdict && judged.verdict >= *verdict);
        assert_eq!(key.is_some(), judged.verdict <= Note, "{tag} {from} → {to}");
        assert_eq!(
            device(&judged, "gpu2").verdict <= Note,
            *tag != "serial" || *to != "1650000000002",
            "only gpu3 is blamed: {judged:#?}"
        );
    }
    let both_gens = gpu3(&on("current_link_gen", "5"), &on("current_link_gen", "3"));
    let max = world::gpu_xml(3).replacen(&on("current_link_gen", "5"), &on("current_link_gen", "3"), 1);
    let both_gens = both_gens.edit("nvidia-smi", &max, &max.replacen(&on("max_link_gen", "5"), &on("max_link_gen", "3"), 1));
    assert_eq!(check(device(&both_gens.judge().0, "gpu3"), "pcie-gen"), Some(Quarantine));
    let dram = gpu3(
        "<dram_uncorrectable>0</dram_uncorrectable>\n\t\t\t</volatile>",
        "<dram_uncorrectable>1</dram_uncorrectable>\n\t\t\t</volatile>",
    );
    assert_eq!(check(device(&dram.judge().0, "gpu3"), "ecc-dram"), Some(Quarantine));
    // The same value twice with different text is no value.
    let twice = gpu3("<gpu_temp>29 C</gpu_temp>", "<gpu_temp>29 C</gpu_temp><gpu_temp>30 C</gpu_temp>");
    assert_eq!(check(device(&twice.judge().0, "gpu3"), "temperature"), Some(Inconclusive));
}

#[test]
fn bus_faults() {
    let table: &[(&str, &str, &str, Verdict)] = &[
        ("width=16 max_width", "width=8 max_width", "pcie-width", Quarantine),
        (" speed=32.0", " speed=2.5", "pcie-gen", Note),
        ("up_max_speed=32.0", "up_max_speed=16.0", "pcie-gen", Quarantine),
        (" fatal=0", " fatal=1", "aer", Quarantine),
        (" nonfatal=0", " nonfatal=2", "aer", Quarantine),
        (" fatal=0", " fatal=-", "aer", Inconclusive),
        (" fatal=0", " fatal=-3", "aer", Inconclusive),
        (" correctable=0", " correctable=11", "aer-correctable", Quarantine),
        (" correctable=0", "", "aer-correctable", Inconclusive),
    ];
    for (name, world) in world::all() {
        for (from, to, check_name, verdict) in table {
            let (judged, _) = world.clone().edit("pci", from, to).judge();
            let worst = judged.devices.iter().filter_map(|d| check(d, check_name)).max();
            assert_eq!(worst, Some(*verdict), "{name}: {from} → {to}");
        }
    }
    let nouveau = world::nvidia().edit("pci", "driver=nvidia", "driver=nouveau").judge().0;
    assert_eq!(check(device(&nouveau, "gpu0"), "driver-bound"), Some(Quarantine));
    let vfio = world::furiosa().edit("pci", "driver=furiosa_rngd", "driver=vfio-pci").judge().0;
    assert_eq!(check(device(&vfio, "npu1"), "driver-bound"), Some(Quarantine));
    let unbound = world::rebellions().edit("pci", "driver=rebellions", "driver=-").judge().0;
    assert_eq!(check(device(&unbound, "card0"), "driver-bound"), Some(Quarantine));
    let other = world::nvidia().edit("pci", "id=10de:2330", "id=10de:2321").judge().0;
    assert_eq!(check(device(&other, "gpu0"), "pci-id"), Some(Reject));
}

#[test]
fn identity_faults() {
    let serial = |to: &str| world::nvidia().edit("dmi-serial", "CN7792AB00012", to);
    for (world, verdict) in [
        (serial("CN7792AB00013"), Reject),
        (serial(""), Inconclusive),
        (serial("Not Specified"), Inconclusive),
        (world::nvidia().with(|s| s.serial = None), Inconclusive),
        (world::nvidia().edit("dmi-uuid", "4c4c4544", "4c4c4545"), Reject),
        // The same UUID with its first three fields turned round.
        (world::nvidia().edit("dmi-uuid", "4c4c4544-0037-3910", "44454c4c-3700-1039"), Note),
        (world::nvidia().edit("dmi-uuid", "4c4c4544", "4C4C4544"), Pass),
    ] {
        let (judged, key) = world.judge();
        assert_eq!(judged.verdict, verdict, "{:#?}", judged.findings);
        assert_eq!(key.is_some(), verdict <= Note);
    }
}

#[test]
fn furiosa_and_rebellions_faults() {
    let table: Vec<(World, &str, &str, Verdict)> = vec![
        (world::furiosa().edit("furiosa-smi", "40.98°C", "91 C"), "npu1", "temperature", Quarantine),
        (world::furiosa().edit("furiosa-smi", "\"temperature\":\"40.98°C\",", ""), "npu1", "temperature", Inconclusive),
        (world::furiosa().edit("furiosa-smi", "\"rngd\"", "\"WARBOY\""), "npu1", "model", Reject),
        (world::furiosa().edit("furiosa-smi", "2026.3.0, 2d3f72a", "2025.1.0+696efad"), "npu1", "firmware", Pass),
        (world::furiosa().edit("furiosa-smi", "RNG1", "RNG9"), "npu1", "serials", Reject),
        (world::rebellions().edit("rbln-smi", "\"normal\"", "\"hang\""), "card0", "status", Quarantine),
        (world::rebellions().edit("rbln-smi", "\"status\":\"normal\",", ""), "card0", "status", Inconclusive),
        (world::rebellions().edit("rbln-smi", "\"39C\"", "\"99C\""), "card0", "temperature", Quarantine),
        (world::rebellions().edit("rbln-smi", "\"39C\"", "\"N/A\""), "card0", "temperature", Inconclusive),
        (world::rebellions().edit("rbln-smi", "\"fw_ver\":\"3.0.0\"", "\"fw_ver\":\"2.0.0\""), "card0", "firmware", Inconclusive),
        (
            world::rebellions().edit("rbln-smi", "\"link_width\":\"16\"", "\"link_width\":\"8\""),
            "card0",
            "pcie-width",
            Quarantine,
        ),
        (world::rebellions().edit("rbln-smi", "RBLN-CA25", "RBLN-CA22"), "card0", "model", Inconclusive),
    ];
    for (world, name, check_name, verdict) in table {
        let (judged, _) = world.judge();
        assert_eq!(check(device(&judged, name), check_name), Some(verdict), "{check_name}: {judged:#?}");
    }
    // Of two that differ, nobody knows which is right.
    let (judged, key) = world::furiosa().edit("furiosa-smi", "2026.3.0, 2d3f72a", "2025.1.0+696efad").judge();
    assert!(key.is_none() && judged.findings.iter().any(|f| f.check == "homogeneous" && f.verdict == Quarantine));
    // Without the tool's KMD version the module's is enough; when they differ, neither is believed.
    let no_kmd = world::rebellions().edit("rbln-smi", "\"KMD_version\":\"3.0.0\"", "\"KMD_version\":\"N/A\"");
    assert_eq!(no_kmd.verdict(), Pass);
    assert_eq!(world::rebellions().edit("rebellions-module", "3.0.0", "2.9.0").verdict(), Quarantine);
    // `npu` as a number, as SDK 2 prints it.
    assert_eq!(world::rebellions().edit("rbln-smi", "\"npu\":\"0\"", "\"npu\":0").verdict(), Pass);
}

/// A tool that ignores the option prints its table, which has no serial.
#[test]
fn furiosa_table() {
    let mut world = world::furiosa();
    let table = "+------+--------+---------------------+---------+---------+--------------+\n\
                 | Arch | Device | Firmware            | Temp.   | Power   | PCI-BDF      |\n\
                 +------+--------+---------------------+---------+---------+--------------+\n\
                 | rngd | npu0   | 1.7.0, 4dfed1852e7b | 40.98°C | 38.40 W | 0000:01:00.0 |\n\
                 | rngd | npu1   | 1.7.0, 4dfed1852e7b | 41.00°C | 38.40 W | 0000:02:00.0 |\n\
                 +------+--------+---------------------+---------+---------+--------------+\n";
    world.answers.insert("furiosa-smi".into(), said(table));
    let judged = world.judge().0;
    assert_eq!(check(device(&judged, "npu0"), "serials"), Some(Inconclusive));
    assert_eq!(world.with(|s| s.policy.serials_from_facts = false).verdict(), Pass);
}

#[test]
fn versions_by_policy() {
    for (driver, firmware, verdict) in [
        (">=570.124.06,<581", "96.00.99.00.01", Pass),
        ("580.105.08", ">=96.00,<97", Pass),
        ("<580", "96.00.99.00.01", Quarantine),
        ("580.105.08", "96.00.89.00.01", Quarantine),
        (">=580,", "96.00.99.00.01", Inconclusive),
    ] {
        let world = world::nvidia().with(|s| {
            s.policy.driver_in = vec![driver.into()];
            s.policy.firmware_in = vec![firmware.into()];
        });
        assert_eq!(world.verdict(), verdict, "{driver} {firmware}");
    }
    // A driver whose version nobody tells passes with a note only when the policy names none.
    let mut silent = world::furiosa();
    silent.answers.insert("furiosa-module".into(), exited(1, "", "cat: no such file"));
    assert_eq!(silent.verdict(), Inconclusive, "this policy wants equal drivers");
    let silent = silent.with(|s| s.policy.homogeneous.clear());
    assert_eq!(silent.verdict(), Note);
    assert_eq!(silent.with(|s| s.policy.driver_in = vec!["2026.1.0".into()]).verdict(), Inconclusive);
}

#[test]
fn tolerance_is_a_note_with_an_end() {
    let tolerate = |check: &str, until: &str| {
        vec![Tolerance { check: check.into(), reason: "no AER in this guest".into(), until: until.into() }]
    };
    let blind = world::plain().edit("pci", " fatal=0", " fatal=-");
    assert_eq!(blind.verdict(), Inconclusive);
    let (judged, key) = blind.clone().with(|s| s.policy.tolerate = tolerate("aer", "2026-12-31")).judge();
    assert_eq!(judged.verdict, Note);
    assert!(key.is_some());
    let note = judged.devices.iter().flat_map(|d| &d.findings).find(|f| f.check == "aer" && f.verdict == Note).unwrap();
    assert!(note.detail.contains("tolerated until 2026-12-31: no AER in this guest"), "{note:?}");
    assert_eq!(blind.clone().with(|s| s.policy.tolerate = tolerate("aer", "2026-11-21")).verdict(), Inconclusive);
    assert_eq!(blind.with(|s| s.policy.tolerate = tolerate("aer-correctable", "2026-12-31")).verdict(), Inconclusive);
    let bad = world::plain().edit("pci", " fatal=0", " fatal=7").with(|s| s.policy.tolerate = tolerate("aer", "2026-12-31"));
    assert_eq!(bad.verdict(), Quarantine, "only silence can be tolerated");
    // No tolerance makes an accelerator of one that nobody saw.
    let mut gone = world::plain();
    gone.answers.remove("pci");
    let gone = gone.with(|s| {
        for check in ["pci", "tool", "count", "missing"] {
            s.policy.tolerate.extend(tolerate(check, "2026-12-31"));
        }
    });
    assert!(gone.judge().1.is_none());
}

#[test]
fn a_node_without_accelerators_is_judged_by_its_identity() {
    let world = world::nvidia().with(|s| s.accelerator.count = 0);
    let (judged, key) = world.judge();
    assert_eq!((judged.verdict, judged.devices.len()), (Pass, 0));
    assert!(key.is_some_and(|key| key.devices().is_empty()));
    assert!(bringup::verify::probes(&world.suite).iter().all(|probe| probe.id.starts_with("dmi-")));
}

/// Every finding's name is one that the catalogue lists, since a tolerance can only name what is listed.
#[test]
fn findings_are_in_the_catalogue() {
    for (_, world) in world::all() {
        let mut silent = world.clone();
        silent.answers.clear();
        for world in [world, silent] {
            let (judged, _) = world.judge();
            for found in judged.findings.iter().chain(judged.devices.iter().flat_map(|d| &d.findings)) {
                assert!(bringup::verify::CHECKS.iter().any(|(name, _)| *name == found.check), "{}", found.check);
            }
        }
    }
}

/// What a node says is escaped before it is a finding.
#[test]
fn hostile_text_is_escaped() {
    let world = world::nvidia().edit("nvidia-smi", "NVIDIA H100 80GB HBM3", "NVIDIA \u{1b}[31mH100\u{1b}[0m");
    let (judged, _) = world.judge();
    let all = format!("{}", serde_json::to_value(judged.devices.iter().map(|d| &d.findings).collect::<Vec<_>>()).unwrap());
    assert!(!all.contains('\u{1b}') && !all.contains("\\u001b"), "{all}");
    let lines = [pci_line("0000:01:00.0", "209f:0000", "0x120000", "x\u{1b}]0;evil")];
    let mut world = world::plain();
    world.answers.insert("pci".into(), pci(&lines));
    assert!(!format!("{:?}", world.judge().0).contains("\\u{1b}]") || !format!("{}", world.judge().0.verdict).contains('\u{1b}'));
}
