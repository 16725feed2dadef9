//! Rebellions NPUs by `rbln-smi -j`. `npu` is local to a group and no key; what is bought is cards, and an ATOM-Max card shows four devices that
//! share one `sid`. Numbers are strings with units, and the KMD version is often `N/A`, so that sysfs is asked too.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{finding, unheard};
use super::link::{Link, generation};
use super::pci::{Bdf, PciDevice};
use super::read::{self, number, shown, version, whole, word};
use super::vendor::{Heard, Seen, Vendor, Versions};
use super::{Answers, json};
use crate::model::{Finding, Probe, Reading, Suite, Verdict};

const PROBE: &str = "rbln-smi";
const MODULE: &str = "rebellions-module";
const MAX_DEVICES: usize = 256;

/// Names under which cards are bought and the codes that the tool prints (accelerators.md §2.5; CA12 is sold under both ATOM names).
const MODELS: [(&str, &[&str]); 4] =
    [("atom", &["ca02", "ca12"]), ("atom+", &["ca12", "ca22"]), ("atom-max", &["ca25"]), ("rebel", &["cr03", "cr13"])];

/// Rebellions.
pub(super) struct Rebellions;

impl Vendor for Rebellions {
    fn probes(&self, _: &Suite) -> Vec<Probe> {
        vec![Probe::new(PROBE, ["rbln-smi", "-j"]), Probe::new(MODULE, ["cat", "/sys/module/rebellions/version"]).within(15)]
    }

    fn pci_vendor(&self, _: &Suite) -> Result<u16, String> {
        Ok(0x1eff)
    }

    fn is_accelerator(&self, _: &Suite, device: &PciDevice) -> bool {
        device.class >> 16 != 0x06 && !device.virtual_function
    }

    fn drivers(&self) -> Option<&'static [&'static str]> {
        Some(&[])
    }

    fn tells_versions(&self) -> Versions {
        Versions { driver: true, firmware: true, model: true }
    }

    fn same_model(&self, bought: &str, seen: &str) -> bool {
        let (bought, seen) = (bare(bought), bare(seen));
        bought == seen || MODELS.iter().any(|(name, codes)| bought == *name && codes.contains(&seen.as_str()))
    }

    fn parts(&self, suite: &Suite) -> u32 {
        parts(&suite.accelerator.model)
    }

    fn hear(&self, suite: &Suite, answers: &Answers, _: Option<&[PciDevice]>) -> Heard {
        let module = match read::output("the module version", answers.get(MODULE)) {
            Ok(text) => version("/sys/module/rebellions/version", text.lines().next()),
            Err(why) => Reading::unknown(why),
        };
        let value = match read::output("rbln-smi", answers.get(PROBE)).and_then(|text| json::parse("rbln-smi", text)) {
            Ok(value) => value,
            Err(why) => return Heard { findings: vec![unheard("tool", &why)], devices: None },
        };
        let Some(list) = value.get("devices").and_then(Value::as_array).filter(|list| list.len() <= MAX_DEVICES) else {
            return Heard { findings: vec![unheard("tool", "rbln-smi printed no usable list of devices")], devices: None };
        };
        let mut findings = vec![finding("tool", Verdict::Pass, "rbln-smi answered")];
        let driver = driver(&value, module, &mut findings);
        let devices = cards(list).into_iter().enumerate().map(|(index, card)| seen(suite, index, &card, &driver)).collect();
        Heard { findings, devices: Some(devices) }
    }

    fn unheard(&self, _: &Suite, name: String, pci: Vec<Bdf>, why: &str) -> Seen {
        let mut seen = Seen::silent(name, pci, why);
        seen.findings = vec![unheard("status", why)];
        seen
    }
}

fn bare(model: &str) -> String {
    let model = model.to_ascii_lowercase().replace("rebellions", "").replace("rbln", "");
    model.trim_matches(|c: char| !(c.is_alphanumeric() || c == '+')).replace([' ', '_'], "-")
}

/// An ATOM-Max (CA25) card is four devices; all others are one.
fn parts(model: &str) -> u32 {
    if matches!(bare(model).as_str(), "ca25" | "atom-max") { 4 } else { 1 }
}

/// The tool's KMD version and the module's own must agree; one of them is enough, but it is noted.
fn driver(value: &Value, module: Reading<String>, findings: &mut Vec<Finding>) -> Reading<String> {
    let said = value.get("KMD_version").or_else(|| value.get("kmd_version")).and_then(json::scalar);
    let tool = version("KMD_version", said.as_deref());
    match (tool, module) {
        (Reading::Known(tool), Reading::Known(module)) if tool != module => {
            let why = format!("rbln-smi speaks of driver {tool}, the loaded module of {module}");
            findings.push(finding("driver", Verdict::Quarantine, why.clone()));
            Reading::unknown(why)
        }
        (Reading::Known(tool), Reading::Known(_)) => Reading::Known(tool),
        (Reading::Known(tool), _) => {
            findings.push(finding("driver", Verdict::Note, "the loaded module did not confirm the driver version"));
            Reading::Known(tool)
        }
        (_, Reading::Known(module)) => Reading::Known(module),
        (tool, _) => tool,
    }
}

/// Devices grouped to cards by `sid`; a device that does not say its `sid` is a card of its own. In PCI order.
fn cards(list: &[Value]) -> Vec<Vec<&Value>> {
    let mut by_sid: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for (index, device) in list.iter().enumerate() {
        let sid = word("sid", text(device, "sid").as_deref());
        let key = sid.known().map_or_else(|| format!("?{index}"), |sid| format!("={sid}"));
        by_sid.entry(key).or_default().push(device);
    }
    let mut cards: Vec<Vec<&Value>> = by_sid.into_values().collect();
    cards.sort_by_cached_key(|card| card.iter().filter_map(|device| bdf(device)).min());
    cards
}

fn text(device: &Value, key: &str) -> Option<String> {
    device.get(key).and_then(json::scalar)
}

fn pci(device: &Value, key: &str) -> Option<String> {
    device.get("pci")?.get(key).and_then(json::scalar)
}

fn bdf(device: &Value) -> Option<Bdf> {
    Bdf::parse(&pci(device, "bus_id")?)
}

fn seen(suite: &Suite, index: usize, card: &[&Value], driver: &Reading<String>) -> Seen {
    let one = |key: &'static str| same(key, card.iter().map(|device| word(key, text(device, key).as_deref())));
    let model = one("name");
    let expected = model.known().map_or_else(|| parts(&suite.accelerator.model), |model| parts(model));
    let mut findings: Vec<Finding> = card.iter().map(|device| status(device)).collect();
    if u32::try_from(card.len()) != Ok(expected) {
        findings.push(finding(
            "parts",
            Verdict::Quarantine,
            format!("wanted {expected} devices on the card, seen {}", card.len()),
        ));
    }
    Seen {
        name: if expected > 1 {
            format!("card{index}")
        } else {
            one("device").known().cloned().unwrap_or_else(|| format!("npu#{index}"))
        },
        serial: one("sid"),
        pci: card.iter().filter_map(|device| bdf(device)).collect(),
        model,
        driver: driver.clone(),
        firmware: same("fw_ver", card.iter().map(|device| version("fw_ver", text(device, "fw_ver").as_deref()))),
        temperature_c: hottest(card),
        link: Some(narrowest(card)),
        findings,
    }
}

/// One value for the whole card, or unknown when its devices disagree or one is silent.
fn same(key: &str, readings: impl Iterator<Item = Reading<String>>) -> Reading<String> {
    let mut found: Option<String> = None;
    for reading in readings {
        match (reading, &found) {
            (Reading::Known(value), None) => found = Some(value),
            (Reading::Known(value), Some(first)) if value == *first => {}
            (Reading::Known(value), Some(first)) => {
                return Reading::unknown(format!("`{key}` differs inside the card: {first} and {value}"));
            }
            (silent, _) => return silent,
        }
    }
    found.map_or_else(|| Reading::unknown(format!("`{key}` is missing")), Reading::Known)
}

fn status(device: &Value) -> Finding {
    let said = text(device, "status");
    match word("status", said.as_deref()) {
        Reading::Known(said) if said.eq_ignore_ascii_case("normal") => finding("status", Verdict::Pass, "normal"),
        Reading::Known(said) => finding("status", Verdict::Quarantine, format!("the device says `{}`", shown(&said))),
        silent => unheard("status", silent.why_unknown().unwrap_or("no status")),
    }
}

fn hottest(card: &[&Value]) -> Reading<f64> {
    let mut hottest = Reading::unknown("`temperature` is missing");
    for device in card {
        match (number("temperature", text(device, "temperature").as_deref()), &hottest) {
            (Reading::Known(t), Reading::Known(max)) if t <= *max => {}
            (Reading::Known(t), _) => hottest = Reading::Known(t),
            (silent, _) => return silent,
        }
    }
    hottest
}

/// The worst link among the card's devices; one silent device makes the card's link unknown.
fn narrowest(card: &[&Value]) -> Link {
    let least = |read: &dyn Fn(&Value) -> Reading<u8>| {
        let mut least: Option<u8> = None;
        for device in card {
            match read(device) {
                Reading::Known(n) => least = Some(least.map_or(n, |l| l.min(n))),
                silent => return silent,
            }
        }
        least.map_or_else(|| Reading::unknown("no device"), Reading::Known)
    };
    let speed = |device: &Value| match number("link_speed", pci(device, "link_speed").as_deref()) {
        Reading::Known(gt) => generation(gt).map_or_else(|| Reading::unknown(format!("`link_speed` reads {gt}")), Reading::Known),
        Reading::Absent => Reading::Absent,
        Reading::Unknown { why } => Reading::Unknown { why },
    };
    let lanes = |device: &Value| match whole("link_width", pci(device, "link_width").as_deref()) {
        Reading::Known(n) => u8::try_from(n).map_or_else(|_| Reading::unknown(format!("`link_width` reads {n}")), Reading::Known),
        Reading::Absent => Reading::Absent,
        Reading::Unknown { why } => Reading::Unknown { why },
    };
    let why = "rbln-smi does not tell what the link can do";
    Link {
        generation: least(&speed),
        generation_max: Reading::unknown(why),
        width: least(&lanes),
        width_max: Reading::unknown(why),
    }
}
