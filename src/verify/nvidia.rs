//! NVIDIA GPUs by `nvidia-smi -q -x`, and NVLinks by `nvidia-smi nvlink --status`. Formats as in captures of drivers 550 to 580.

use super::check::{finding, need, unheard};
use super::link::Link;
use super::nvidia_xml::{self, Log, Values};
use super::pci::{Bdf, PciDevice};
use super::read::{self, number, shown, version, whole, word, yes};
use super::vendor::{Heard, Seen, Vendor, Versions, words_within};
use super::{Answers, nvidia_memory, nvlink};
use crate::model::{Answer, Finding, Policy, Probe, Reading, Suite, Verdict};

/// Name of the probe.
const PROBE: &str = "nvidia-smi";

/// NVIDIA.
pub(super) struct Nvidia;

impl Vendor for Nvidia {
    fn probes(&self, suite: &Suite) -> Vec<Probe> {
        let mut probes = vec![Probe::new(PROBE, ["nvidia-smi", "-q", "-x"]).within(120)];
        probes.extend(suite.policy.nvlinks.map(|_| nvlink::probe()));
        probes
    }

    fn pci_vendor(&self, _: &Suite) -> Result<u16, String> {
        Ok(0x10de)
    }

    /// Display controllers (class 03); audio (04), NVSwitch bridges (0680) and USB (0c03) share the vendor id.
    fn is_accelerator(&self, _: &Suite, device: &PciDevice) -> bool {
        device.class >> 16 == 0x03 && !device.virtual_function
    }

    fn drivers(&self) -> Option<&'static [&'static str]> {
        Some(&["nvidia"])
    }

    fn tells_versions(&self) -> Versions {
        Versions { driver: true, firmware: true, model: true }
    }

    fn same_model(&self, bought: &str, seen: &str) -> bool {
        words_within(bought, seen)
    }

    fn hear(&self, suite: &Suite, answers: &Answers, _: Option<&[PciDevice]>) -> Heard {
        let answer = answers.get(PROBE);
        match read::output("nvidia-smi", answer)
            .and_then(|text| nvidia_xml::parse(text).map_err(|e| format!("reading nvidia-smi: {e}")))
        {
            Ok(log) => heard(suite, answers, &log),
            Err(why) => Heard { findings: vec![refusal(answer, &why)], devices: None },
        }
    }

    fn unheard(&self, suite: &Suite, name: String, pci: Vec<Bdf>, why: &str) -> Seen {
        let mut seen = Seen::silent(name, pci, why);
        seen.findings = facts(&suite.policy, &Values::default(), Some(why));
        seen.findings.extend(suite.policy.nvlinks.map(|_| unheard("nvlink", why)));
        seen
    }
}

/// Exit codes that say more than "failed" (nvidia-smi(1), "RETURN VALUE").
fn refusal(answer: Option<&Answer>, why: &str) -> Finding {
    let said = match answer {
        Some(Answer::Output(out)) => match out.exit {
            14 => Some("the InfoROM of a GPU is corrupted (status 14)"),
            15 => Some("a GPU has fallen off the bus or has become inaccessible (status 15)"),
            _ => None,
        },
        _ => None,
    };
    said.map_or_else(|| unheard("tool", why), |said| finding("tool", Verdict::Quarantine, format!("nvidia-smi: {said}")))
}

fn heard(suite: &Suite, answers: &Answers, log: &Log) -> Heard {
    let mut findings = vec![finding("tool", Verdict::Pass, "nvidia-smi answered")];
    let attached = whole("attached_gpus", log.top.get("attached_gpus"));
    if attached.known().copied() != u64::try_from(log.gpus.len()).ok() {
        let said = log.top.get("attached_gpus").map_or_else(|| "nothing".to_owned(), shown);
        findings.push(unheard("count", &format!("nvidia-smi says {said} attached GPUs but lists {}", log.gpus.len())));
    }
    let driver = version("driver_version", log.top.get("driver_version"));
    let links = suite.policy.nvlinks.map(|wanted| (wanted, nvlink::parse(answers)));
    let devices = log.gpus.iter().enumerate().map(|(index, (id, gpu))| {
        let mut seen = device(&suite.policy, index, id, gpu, &driver);
        if let Some((wanted, links)) = &links {
            seen.findings.push(nvlink::judge(*wanted, index, gpu.get("uuid"), links));
        }
        seen
    });
    Heard { devices: Some(devices.collect()), findings }
}

fn device(policy: &Policy, index: usize, id: &str, gpu: &Values, driver: &Reading<String>) -> Seen {
    let bus = gpu.get("pci/pci_bus_id").unwrap_or(id);
    Seen {
        name: format!("gpu{index}"),
        serial: word("serial", gpu.get("serial")),
        pci: Bdf::parse(bus).into_iter().collect(),
        model: word("product_name", gpu.get("product_name")),
        driver: driver.clone(),
        firmware: version("vbios_version", gpu.get("vbios_version")),
        temperature_c: number("gpu_temp", gpu.get("temperature/gpu_temp")),
        link: Some(link(gpu)),
        findings: facts(policy, gpu, None),
    }
}

fn link(gpu: &Values) -> Link {
    let small = |path: &str| {
        let path = format!("pci/pci_gpu_link_info/{path}");
        // 0 is how a driver says that it could not read a link.
        match whole(&path, gpu.get(&path)) {
            Reading::Known(n) => u8::try_from(n)
                .ok()
                .filter(|n| *n > 0)
                .map_or_else(|| Reading::unknown(format!("`{path}` reads {n}")), Reading::Known),
            Reading::Absent => Reading::Absent,
            Reading::Unknown { why } => Reading::Unknown { why },
        }
    };
    Link {
        generation: small("pcie_gen/current_link_gen"),
        generation_max: small("pcie_gen/max_link_gen"),
        width: small("link_widths/current_link_width"),
        width_max: small("link_widths/max_link_width"),
    }
}

/// Everything that only NVIDIA tells.
fn facts(policy: &Policy, gpu: &Values, silent: Option<&str>) -> Vec<Finding> {
    let mut findings = nvidia_memory::judge(policy, gpu, silent);
    if gpu.wants_reset() {
        findings.push(finding("recovery", Verdict::Quarantine, "nvidia-smi prints `GPU requires reset`"));
    }
    findings.extend(recovery(gpu));
    findings.extend(fabric(policy, gpu, silent));
    if yes("persistence_mode", gpu.get("persistence_mode")) == Reading::Known(false) {
        findings.push(finding(
            "persistence",
            Verdict::Note,
            "persistence mode is off: counters are lost whenever the driver unloads",
        ));
    }
    let mig = |path: &str| yes(path, gpu.get(path)) == Reading::Known(true);
    if mig("mig_mode/current_mig") || mig("mig_mode/pending_mig") {
        findings.push(finding("mig", Verdict::Note, "MIG is on, or will be after the next reset"));
    }
    findings
}

/// What the driver asks for (NVML field 230; printed from R565 on). `None` is the good answer here, and not a placeholder.
fn recovery(gpu: &Values) -> Option<Finding> {
    let action = gpu.get("gpu_recovery_action")?;
    if action.eq_ignore_ascii_case("none") {
        return Some(finding("recovery", Verdict::Pass, "the driver asks for nothing"));
    }
    match word("gpu_recovery_action", Some(action)) {
        Reading::Known(action) => Some(finding("recovery", Verdict::Quarantine, format!("the driver asks for: {action}"))),
        Reading::Absent | Reading::Unknown { .. } => None,
    }
}

/// Fabric registration. GPUs without NVSwitch print `N/A`; it is required only where the policy wants NVLinks, and then only when it is said.
fn fabric(policy: &Policy, gpu: &Values, silent: Option<&str>) -> Option<Finding> {
    let state = word("fabric/state", gpu.get("fabric/state"));
    match (&state, silent) {
        (Reading::Known(said), _) if said.eq_ignore_ascii_case("completed") => {
            Some(need("fabric", &word("fabric/status", gpu.get("fabric/status")), |status| {
                let verdict = if status.eq_ignore_ascii_case("success") { Verdict::Pass } else { Verdict::Quarantine };
                (verdict, format!("completed with {status}"))
            }))
        }
        (Reading::Known(said), _) => Some(finding("fabric", Verdict::Quarantine, format!("fabric state is {said}"))),
        (_, Some(why)) if policy.nvlinks.is_some() => Some(unheard("fabric", why)),
        _ => None,
    }
}
