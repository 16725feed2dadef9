//! FuriosaAI NPUs by `furiosa-smi info --format json`. The tool's own documents drift between releases: field names, letter case, units and
//! even the option differ, and a tool that ignores the option prints its table. All of that is read; what is missing stays unknown.

use serde_json::Value;

use super::check::{finding, unheard};
use super::pci::{Bdf, PciDevice};
use super::read::{self, number, shown, version, word};
use super::vendor::{Heard, Seen, Vendor, Versions};
use super::{Answers, json};
use crate::model::{Probe, Reading, Suite, Verdict};

const PROBE: &str = "furiosa-smi";
const MODULE: &str = "furiosa-module";
const MAX_DEVICES: usize = 64;

/// FuriosaAI.
pub(super) struct Furiosa;

impl Vendor for Furiosa {
    fn probes(&self, _: &Suite) -> Vec<Probe> {
        vec![
            Probe::new(PROBE, ["furiosa-smi", "info", "--format", "json"]),
            Probe::new(MODULE, ["cat", "/sys/module/furiosa_rngd/version"]).within(15),
        ]
    }

    fn pci_vendor(&self, _: &Suite) -> Result<u16, String> {
        Ok(0x1ed2)
    }

    /// Everything of the vendor that is not a bridge; NFD labels RNGD as class 1200.
    fn is_accelerator(&self, _: &Suite, device: &PciDevice) -> bool {
        device.class >> 16 != 0x06 && !device.virtual_function
    }

    fn drivers(&self) -> Option<&'static [&'static str]> {
        Some(&[])
    }

    /// `info` prints no driver version, and not every driver release exports one.
    fn tells_versions(&self) -> Versions {
        Versions { driver: false, firmware: true, model: true }
    }

    /// `rngd` against `RNGD`, with or without the maker's name.
    fn same_model(&self, bought: &str, seen: &str) -> bool {
        let bare = |s: &str| s.to_ascii_lowercase().replace("furiosaai", "").replace("furiosa", "").replace(['-', '_', ' '], "");
        !bare(bought).is_empty() && bare(bought) == bare(seen)
    }

    fn hear(&self, _: &Suite, answers: &Answers, _: Option<&[PciDevice]>) -> Heard {
        let driver = match read::output("the module version", answers.get(MODULE)) {
            Ok(text) => version("/sys/module/furiosa_rngd/version", text.lines().next()),
            Err(why) => Reading::unknown(why),
        };
        match read::output("furiosa-smi", answers.get(PROBE)).and_then(rows) {
            Ok(rows) => Heard {
                findings: vec![finding("tool", Verdict::Pass, "furiosa-smi answered")],
                devices: Some(rows.iter().enumerate().map(|(index, row)| device(index, row, &driver)).collect()),
            },
            Err(why) => Heard { findings: vec![unheard("tool", &why)], devices: None },
        }
    }

    fn unheard(&self, _: &Suite, name: String, pci: Vec<Bdf>, why: &str) -> Seen {
        Seen::silent(name, pci, why)
    }
}

/// One device's values by a uniform name.
type Row = std::collections::BTreeMap<String, String>;

fn rows(text: &str) -> Result<Vec<Row>, String> {
    let rows = if text.trim_start().starts_with('+') { table(text)? } else { listing(text)? };
    if rows.len() > MAX_DEVICES {
        return Err(format!("furiosa-smi lists more than {MAX_DEVICES} devices"));
    }
    Ok(rows)
}

fn listing(text: &str) -> Result<Vec<Row>, String> {
    let value = json::parse("furiosa-smi", text)?;
    let list = match &value {
        Value::Array(list) => list,
        // Some releases wrap the list.
        Value::Object(map) => ["devices", "npus"]
            .iter()
            .find_map(|key| map.get(*key).and_then(Value::as_array))
            .ok_or("furiosa-smi printed an object without a list of devices")?,
        _ => return Err("furiosa-smi printed JSON that is no list".to_owned()),
    };
    list.iter()
        .map(|entry| {
            let object = entry.as_object().ok_or("furiosa-smi lists something that is no object")?;
            let scalar = |(key, value): (&String, &Value)| Some((key.to_ascii_lowercase(), json::scalar(value)?));
            Ok(object.iter().filter_map(scalar).collect())
        })
        .collect()
}

/// The table: `| Arch | Device | Firmware | Temp. | Power | PCI-BDF |`, between rules of `+---+`.
fn table(text: &str) -> Result<Vec<Row>, String> {
    let cells =
        |line: &str| -> Vec<String> { line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines = text.lines().filter(|line| line.trim_start().starts_with('|'));
    let head = cells(lines.next().ok_or("furiosa-smi printed an empty table")?);
    lines
        .take(MAX_DEVICES + 1)
        .map(|line| {
            let row = cells(line);
            if row.len() != head.len() {
                return Err(format!("furiosa-smi printed an uneven row `{}`", shown(line)));
            }
            Ok(head.iter().map(|name| name.to_ascii_lowercase()).zip(row).collect())
        })
        .collect()
}

fn device(index: usize, row: &Row, driver: &Reading<String>) -> Seen {
    let get = |names: &[&str]| names.iter().find_map(|name| row.get(*name)).map(String::as_str);
    let name = word("dev_name", get(&["dev_name", "device", "name"])).known().cloned();
    Seen {
        name: name.unwrap_or_else(|| format!("npu#{index}")),
        serial: word("device_sn", get(&["device_sn", "serial", "serial_number"])),
        pci: get(&["pci_bdf", "pci-bdf", "bdf"]).and_then(Bdf::parse).into_iter().collect(),
        model: word("arch", get(&["arch", "product"])),
        driver: driver.clone(),
        firmware: version("firmware", get(&["firmware", "firmware_version"])),
        temperature_c: number("temperature", get(&["temperature", "temp."])),
        link: None,
        findings: Vec::new(),
    }
}
