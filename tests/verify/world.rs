//! Answers of made-up nodes, in the formats of the real tools, and the suites that fit them.

use bringup::model::{AcceleratorKind, AcceleratorProfile, Answer, Judgement, NodeId, Policy, ProbeOutput, Suite, Verdict};
use bringup::verify::{Admission, Answers, Judged, judge};

pub const TODAY: &str = "2026-11-22";

pub fn said(text: impl Into<String>) -> Answer {
    Answer::Output(ProbeOutput { exit: 0, stdout: text.into().into_bytes(), stderr: Vec::new() })
}

pub fn exited(exit: i32, stdout: &str, stderr: &str) -> Answer {
    Answer::Output(ProbeOutput { exit, stdout: stdout.into(), stderr: stderr.into() })
}

pub fn policy() -> Policy {
    Policy {
        name: "strict".into(),
        version: 1,
        driver_in: Vec::new(),
        firmware_in: Vec::new(),
        homogeneous: vec!["driver".into(), "firmware".into(), "model".into()],
        serials_from_facts: true,
        pcie_gen: Some(5),
        pcie_width: Some(16),
        nvlinks: None,
        temperature_max_c: Some(85.0),
        ecc: true,
        remapped_uncorrectable_max: Some(8),
        ecc_uncorrectable_max: Some(0),
        aer: true,
        aer_correctable_max: Some(10),
        tolerate: Vec::new(),
        degraded_min: None,
        cabling: None,
    }
}

/// A node: its suite and the answers it gives. Tests change either.
#[derive(Clone)]
pub struct World {
    pub suite: Suite,
    pub answers: Answers,
}

impl World {
    pub fn judge(&self) -> (Judged, Option<Admission>) {
        judge(&NodeId::new("a001-s01").unwrap(), "train", &self.suite, &self.answers, TODAY)
    }

    pub fn verdict(&self) -> Verdict {
        self.judge().0.verdict
    }

    /// Changes the text of one answer; the old text must be there, so that no fault silently fails to be seeded.
    pub fn edit(mut self, probe: &str, from: &str, to: &str) -> Self {
        let Some(Answer::Output(out)) = self.answers.get_mut(probe) else { panic!("no answer `{probe}`") };
        let text = String::from_utf8(out.stdout.clone()).unwrap();
        assert!(text.contains(from), "`{from}` is not in the answer `{probe}`:\n{text}");
        out.stdout = text.replacen(from, to, 1).into_bytes();
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Suite)) -> Self {
        change(&mut self.suite);
        self
    }
}

pub fn device<'a>(judged: &'a Judged, name: &str) -> &'a Judgement {
    judged.devices.iter().find(|d| d.device == name).unwrap_or_else(|| panic!("no device {name} in {judged:#?}"))
}

/// The verdict of one check on one device.
pub fn check(judgement: &Judgement, name: &str) -> Option<Verdict> {
    judgement.findings.iter().filter(|f| f.check == name).map(|f| f.verdict).max()
}

fn suite(kind: AcceleratorKind, model: &str, count: u32, serials: Vec<String>) -> Suite {
    Suite {
        policy: policy(),
        accelerator: AcceleratorProfile { kind, model: model.into(), count, pci_id: None },
        serial: Some("CN7792AB00012".into()),
        uuid: Some("4c4c4544-0037-3910-8032-b9c04f4b5a33".into()),
        accelerator_serials: serials,
        cables: None,
    }
}

fn identity(answers: &mut Answers) {
    answers.insert("dmi-serial".into(), said("CN7792AB00012\n"));
    answers.insert("dmi-uuid".into(), said("4c4c4544-0037-3910-8032-b9c04f4b5a33\n"));
}

pub fn pci_line(bdf: &str, id: &str, class: &str, driver: &str) -> String {
    format!(
        "dev bdf={bdf} id={id} class={class} numa=0 speed=32.0 max_speed=32.0 width=16 max_width=16 up_speed=32.0 up_max_speed=32.0 \
         up_width=16 up_max_width=16 fatal=0 nonfatal=0 correctable=0 driver={driver} vf=0\n"
    )
}

pub fn pci(lines: &[String]) -> Answer {
    said(format!("bringup-pci 1\n{}end {}\n", lines.concat(), lines.len()))
}

pub fn gpu_xml(index: u32) -> String {
    format!(
        r#"	<gpu id="00000000:{bus:02X}:00.0">
		<product_name>NVIDIA H100 80GB HBM3</product_name>
		<persistence_mode>Enabled</persistence_mode>
		<mig_mode><current_mig>Disabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
		<serial>165000000000{index}</serial>
		<uuid>GPU-{index}</uuid>
		<vbios_version>96.00.99.00.01</vbios_version>
		<gpu_recovery_action>None</gpu_recovery_action>
		<pci>
			<pci_bus_id>00000000:{bus:02X}:00.0</pci_bus_id>
			<pci_gpu_link_info>
				<pcie_gen><max_link_gen>5</max_link_gen><current_link_gen>5</current_link_gen></pcie_gen>
				<link_widths><max_link_width>16x</max_link_width><current_link_width>16x</current_link_width></link_widths>
			</pci_gpu_link_info>
		</pci>
		<ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Enabled</pending_ecc></ecc_mode>
		<ecc_errors>
			<volatile>
				<sram_uncorrectable_parity>0</sram_uncorrectable_parity>
				<sram_uncorrectable_secded>0</sram_uncorrectable_secded>
				<dram_uncorrectable>0</dram_uncorrectable>
			</volatile>
			<aggregate><dram_uncorrectable>0</dram_uncorrectable><sram_threshold_exceeded>No</sram_threshold_exceeded></aggregate>
			<channel_repair_pending>No</channel_repair_pending>
			<tpc_repair_pending>No</tpc_repair_pending>
		</ecc_errors>
		<remapped_rows>
			<remapped_row_corr>0</remapped_row_corr>
			<remapped_row_unc>0</remapped_row_unc>
			<remapped_row_pending>No</remapped_row_pending>
			<remapped_row_failure>No</remapped_row_failure>
			<row_remapper_histogram>
				<row_remapper_histogram_max>2560 bank(s)</row_remapper_histogram_max>
				<row_remapper_histogram_low>0 bank(s)</row_remapper_histogram_low>
				<row_remapper_histogram_none>0 bank(s)</row_remapper_histogram_none>
			</row_remapper_histogram>
		</remapped_rows>
		<temperature><gpu_temp>29 C</gpu_temp></temperature>
		<fabric><state>Completed</state><status>Success</status></fabric>
	</gpu>
"#,
        bus = 0x50 + index
    )
}

pub fn nvidia_xml(gpus: impl IntoIterator<Item = u32>) -> String {
    let gpus: Vec<String> = gpus.into_iter().map(gpu_xml).collect();
    format!(
        "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v13.dtd\">\n<nvidia_smi_log>\n\
         \t<driver_version>580.105.08</driver_version>\n\t<attached_gpus>{}</attached_gpus>\n{}</nvidia_smi_log>\n",
        gpus.len(),
        gpus.concat()
    )
}

/// Eight healthy H100.
pub fn nvidia() -> World {
    let mut answers = Answers::new();
    identity(&mut answers);
    answers.insert("nvidia-smi".into(), said(nvidia_xml(0..8)));
    let links: String = (0..8)
        .map(|i| {
            format!(
                "GPU {i}: NVIDIA H100 80GB HBM3 (UUID: GPU-{i})\n{}",
                (0..18).map(|l| format!("\t Link {l}: 26.562 GB/s\n")).collect::<String>()
            )
        })
        .collect();
    answers.insert("nvidia-smi-nvlink".into(), said(links));
    // The audio function and an NVSwitch share the vendor id and are no accelerators.
    let mut lines: Vec<String> =
        (0..8).map(|i| pci_line(&format!("0000:{:02x}:00.0", 0x50 + i), "10de:2330", "0x030200", "nvidia")).collect();
    lines.push(pci_line("0000:90:00.0", "10de:22a3", "0x068000", "nvidia-nvswitch"));
    answers.insert("pci".into(), pci(&lines));
    let mut suite = suite(AcceleratorKind::Nvidia, "H100", 8, (0..8).map(|i| format!("165000000000{i}")).collect());
    suite.policy.nvlinks = Some(18);
    suite.accelerator.pci_id = Some("10de:2330".into());
    World { suite, answers }
}

/// Two healthy RNGD.
pub fn furiosa() -> World {
    let mut answers = Answers::new();
    identity(&mut answers);
    let npu = |i: u32| {
        format!(
            r#"{{"arch":"rngd","dev_name":"npu{i}","device_uuid":"U{i}","device_sn":"RNG{i}","firmware":"2026.3.0, 2d3f72a","temperature":"40.98°C","power":"38.40 W","pci_bdf":"0000:0{i}:00.0"}}"#
        )
    };
    answers.insert("furiosa-smi".into(), said(format!("[{},{}]", npu(1), npu(2))));
    answers.insert("furiosa-module".into(), said("2026.1.0\n"));
    let lines: Vec<String> =
        (1..=2).map(|i| pci_line(&format!("0000:0{i}:00.0"), "1ed2:0001", "0x120000", "furiosa_rngd")).collect();
    answers.insert("pci".into(), pci(&lines));
    World { suite: suite(AcceleratorKind::Furiosa, "RNGD", 2, vec!["RNG1".into(), "RNG2".into()]), answers }
}

/// Two healthy ATOM-Max cards, which are eight devices.
pub fn rebellions() -> World {
    let mut answers = Answers::new();
    identity(&mut answers);
    let device = |i: u32| {
        format!(
            r#"{{"npu":"{}","name":"RBLN-CA25","sid":"SID{}","uuid":"u{i}","device":"rbln{i}","status":"normal","fw_ver":"3.0.0","pci":{{"dev":"0x1250","bus_id":"0000:0{i}:00.0","numa_node":"0","link_speed":"32.0GT/s","link_width":"16"}},"temperature":"39C","card_power":"18109794uW"}}"#,
            i % 4,
            i / 4
        )
    };
    let devices: Vec<String> = (0..8).map(device).collect();
    answers
        .insert("rbln-smi".into(), said(format!(r#"{{"KMD_version":"3.0.0","devices":[{}],"contexts":[]}}"#, devices.join(","))));
    answers.insert("rebellions-module".into(), said("3.0.0\n"));
    let lines: Vec<String> =
        (0..8).map(|i| pci_line(&format!("0000:0{i}:00.0"), "1eff:1250", "0x120000", "rebellions")).collect();
    answers.insert("pci".into(), pci(&lines));
    World { suite: suite(AcceleratorKind::Rebellions, "ATOM-Max", 2, vec!["SID0".into(), "SID1".into()]), answers }
}

/// Two healthy cards of a vendor whose tool nobody has.
pub fn plain() -> World {
    let mut answers = Answers::new();
    identity(&mut answers);
    let lines: Vec<String> = (1..=2).map(|i| pci_line(&format!("0000:0{i}:00.0"), "209f:0000", "0x120000", "-")).collect();
    answers.insert("pci".into(), pci(&lines));
    let mut suite = suite(AcceleratorKind::Pci, "MLA100", 2, Vec::new());
    suite.accelerator.pci_id = Some("209f:0000".into());
    suite.policy.homogeneous = vec!["model".into()];
    suite.policy.serials_from_facts = false;
    suite.policy.temperature_max_c = None;
    World { suite, answers }
}

pub fn all() -> Vec<(&'static str, World)> {
    vec![("nvidia", nvidia()), ("furiosa", furiosa()), ("rebellions", rebellions()), ("plain", plain())]
}
