//! Accelerators as the BMC sees them, out of band: processors of type GPU or Accelerator where it lists any (iDRAC, NVIDIA HGX and GB300), else PCIe devices
//! whose functions are 3D controllers or processing accelerators (Supermicro, iLO). The small video chip of the BMC itself is none.

use serde_json::Value;

use super::client::Client;
use super::error::safe;
use super::json;
use super::sensor::told as listed;
use super::walk::{Part, Walk, called, health, short, told};
use crate::bmc::BmcError;
use crate::bmc::sensing::{Listing, SeenAccelerator};
use crate::model::Reading;

/// PCI vendors that make accelerators, by their ids (pci-ids.ucw.cz).
const MAKERS: &[(u32, &str)] = &[
    (0x10de, "NVIDIA"),
    (0x1002, "AMD"),
    (0x1ed2, "FuriosaAI"),
    (0x1eff, "Rebellions"),
    (0x1da3, "Habana"),
    (0x1d0f, "Amazon"),
    (0x1ae0, "Google"),
];
/// Vendors of the video chips on BMC boards: Matrox (iDRAC, iLO), ASPEED.
const VIDEO: &[u32] = &[0x102b, 0x1a03];
/// Base classes of PCI (PCI Code and ID Assignment 1.11 §1.4, §1.19).
const DISPLAY: u32 = 0x03;
const ACCELERATOR: u32 = 0x12;

/// A number as BMCs write PCI ids: `0x10DE`, `10DE`, `4139` (iLO writes decimals).
fn pci_number(value: &Value, key: &str) -> Option<u32> {
    let text = json::text(value, key)?;
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok().or_else(|| u32::from_str_radix(&text, 16).ok()),
    }
}

/// True when a PCIe function is an accelerator. Class codes come whole (`0x030200`) or as the base class alone (`0x000003`, `3`), and some are
/// nonsense (`0x000000`, `0x888888`), so that the word counts where they say nothing.
fn accelerates(function: &Value) -> bool {
    let code = pci_number(function, "ClassCode").filter(|code| *code != 0);
    let (base, sub) = match code {
        Some(code) if code > 0xffff => (Some(code >> 16), Some((code >> 8) & 0xff)),
        Some(code) if code > 0xff => (Some(code >> 8), Some(code & 0xff)),
        Some(code) => (Some(code), None),
        None => (None, None),
    };
    let word = json::word(function, "DeviceClass").unwrap_or_default();
    let vendor = pci_number(function, "VendorId").filter(|vendor| *vendor != 0);
    if base == Some(ACCELERATOR) || word == "ProcessingAccelerators" {
        return true;
    }
    if base != Some(DISPLAY) && word != "DisplayController" {
        return false;
    }
    match vendor {
        Some(vendor) if VIDEO.contains(&vendor) => false,
        Some(vendor) if MAKERS.iter().any(|(id, _)| *id == vendor) => true,
        // Plain VGA of anybody else drives a screen.
        _ => sub != Some(0),
    }
}

fn maker(device: &Value, functions: &[Value]) -> Reading<String> {
    if let Some(known) = told(device, &["Manufacturer"]).known() {
        return Reading::Known(known.clone());
    }
    let vendors = device.get("Oem").and_then(Value::as_object).into_iter().flat_map(|oem| oem.values());
    if let Some(vendor) = vendors.filter_map(|oem| json::text(oem, "GPUVendor")).next() {
        return Reading::Known(safe(&vendor, 128));
    }
    let id = functions.iter().find_map(|function| pci_number(function, "VendorId"));
    match MAKERS.iter().find(|(known, _)| Some(*known) == id) {
        Some((_, name)) => Reading::Known((*name).to_owned()),
        None => Reading::unknown("it says no Manufacturer"),
    }
}

fn seen(at: &str, value: &Value, functions: &[Value], uncorrectable: Reading<u64>) -> SeenAccelerator {
    let uuid = match told(value, &["UUID"]) {
        Reading::Known(uuid) => Reading::Known(uuid.to_ascii_lowercase()),
        other => other,
    };
    SeenAccelerator {
        id: short(at),
        name: called(value, at),
        maker: maker(value, functions),
        model: told(value, &["Model"]),
        part: told(value, &["PartNumber"]),
        serial: told(value, &["SerialNumber"]),
        uuid,
        health: health(value),
        uncorrectable,
    }
}

/// Uncorrectable errors over the life of the part, in the metrics of a processor's memory or caches.
fn life_errors(metrics: &Value) -> Option<u64> {
    let of = |value: &Value| value.get("LifeTime")?.get("UncorrectableECCErrorCount")?.as_u64();
    of(metrics).or_else(|| metrics.get("CacheMetricsTotal").and_then(of))
}

async fn errors(walk: &Walk<'_>, processor: &Value) -> Result<Reading<u64>, BmcError> {
    let memory = processor.get("MemorySummary").and_then(|memory| json::link(memory, "Metrics"));
    let places = [memory, json::link(processor, "Metrics")];
    let (mut total, mut why) = (None::<u64>, None);
    for at in places.into_iter().flatten() {
        match walk.ask(&at).await? {
            Ok(metrics) => {
                if let Some(count) = life_errors(&metrics) {
                    total = Some(total.unwrap_or(0).saturating_add(count));
                }
            }
            Err(unread) => why = Some(unread),
        }
    }
    Ok(match (total, why) {
        (Some(total), None) => Reading::Known(total),
        (None, None) => Reading::Absent,
        // Half a count would be too small.
        (_, Some(why)) => Reading::unknown(why),
    })
}

async fn of_processors(walk: &Walk<'_>, systems: &[Part]) -> Result<Vec<SeenAccelerator>, BmcError> {
    let mut found = Vec::new();
    for system in systems {
        let Some(at) = system.value.as_ref().ok().and_then(|system| json::link(system, "Processors")) else { continue };
        for part in walk.collection(&at).await? {
            match part.value {
                Ok(value) if matches!(json::word(&value, "ProcessorType"), Some("GPU" | "Accelerator")) => {
                    let errors = errors(walk, &value).await?;
                    found.push(seen(&part.path, &value, &[], errors));
                }
                Ok(_) => {}
                Err(why) => walk.miss(why),
            }
        }
    }
    Ok(found)
}

/// The functions of a PCIe device: a collection since Redfish 1.6, a list of links before.
async fn functions(walk: &Walk<'_>, device: &Value) -> Result<Vec<Value>, BmcError> {
    let parts = if let Some(at) = json::link(device, "PCIeFunctions") {
        walk.collection(&at).await?
    } else {
        let links = device.get("Links").map(|links| json::list(links, "PCIeFunctions")).unwrap_or_default();
        walk.parts(links.iter().filter_map(json::href).take(8).map(|at| (at, None)).collect()).await?
    };
    let keep = |part: Part| part.value.map_err(|why| walk.miss(why)).ok();
    Ok(parts.into_iter().filter_map(keep).collect())
}

async fn of_pcie(walk: &Walk<'_>, systems: &[Part], chassis: Option<&str>) -> Result<Vec<SeenAccelerator>, BmcError> {
    let mut devices = Vec::new();
    if let Some(at) = chassis {
        for part in walk.collection(at).await? {
            match part.value {
                Ok(chassis) => {
                    if let Some(at) = json::link(&chassis, "PCIeDevices") {
                        devices.extend(walk.collection(&at).await?);
                    }
                }
                Err(why) => walk.miss(why),
            }
        }
    }
    if devices.is_empty() {
        let links =
            systems.iter().filter_map(|system| system.value.as_ref().ok()).flat_map(|system| json::list(system, "PCIeDevices"));
        devices = walk.parts(links.filter_map(json::href).map(|at| (at, None)).collect()).await?;
    }
    let mut found = Vec::new();
    for part in devices {
        let device = match part.value {
            Ok(device) => device,
            Err(why) => {
                walk.miss(why);
                continue;
            }
        };
        let functions = functions(walk, &device).await?;
        if functions.iter().any(accelerates) {
            found.push(seen(&part.path, &device, &functions, Reading::Absent));
        }
    }
    Ok(found)
}

impl Client {
    /// All accelerators. Those that the BMC lists as absent are told so.
    pub(super) async fn all_accelerators(&self) -> Result<Reading<Listing<SeenAccelerator>>, BmcError> {
        let root = self.root().await?;
        let walk = Walk::begin(self);
        let systems = walk.collection(&root.systems).await?;
        for part in &systems {
            if let Err(why) = &part.value {
                walk.miss(why);
            }
        }
        let mut found = of_processors(&walk, &systems).await?;
        if found.is_empty() {
            found = of_pcie(&walk, &systems, root.chassis.as_deref()).await?;
        }
        Ok(listed(walk.listing(found)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_judged_by_class_word_and_vendor() {
        for (code, word, vendor, want) in [
            (json!("0x030200"), json!("DisplayController"), json!("0x10DE"), true),
            (json!("0x000003"), json!("DisplayController"), json!("0x10de"), true),
            (json!("0x000003"), json!("DisplayController"), json!("0x102b"), false),
            (json!("3"), json!("DisplayController"), json!("4139"), false),
            (json!("0x030000"), json!("DisplayController"), json!("0x1A03"), false),
            (json!("0x030000"), json!("DisplayController"), json!("0x8086"), false),
            (json!("0x120000"), json!("UnclassifiedDevice"), json!("0x1ed2"), true),
            (json!("0x1200"), json!(null), json!("0x1eff"), true),
            (json!("0x000000"), json!("ProcessingAccelerators"), json!("0x10DE"), true),
            (json!(null), json!("DisplayController"), json!("0x0000"), true),
            (json!("0x068000"), json!("Bridge"), json!("0x10de"), false),
            (json!("0x888888"), json!("MassStorageController"), json!("0x144d"), false),
            (json!(null), json!(null), json!("0x10de"), false),
        ] {
            let function = json!({"ClassCode": code, "DeviceClass": word, "VendorId": vendor});
            assert_eq!(accelerates(&function), want, "{function}");
        }
        let device = json!({"Manufacturer": null, "Oem": {"Supermicro": {"GPUVendor": "NVIDIA"}}});
        assert_eq!(maker(&device, &[]), Reading::Known("NVIDIA".to_owned()));
        assert_eq!(maker(&json!({}), &[json!({"VendorId": "0x1ed2"})]), Reading::Known("FuriosaAI".to_owned()));
        assert_eq!(life_errors(&json!({"CacheMetricsTotal": {"LifeTime": {"UncorrectableECCErrorCount": 3}}})), Some(3));
    }

    proptest! {
        #[test]
        fn any_device_is_judged(value in super::super::json::any_json()) {
            let _ = (accelerates(&value), maker(&value, std::slice::from_ref(&value)), life_errors(&value));
            let _ = seen("/x", &value, &[], Reading::Absent);
        }
    }
}
