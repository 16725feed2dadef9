//! Field-replaceable units: systems, chassis and their assemblies, processors, memory, drives, PCIe devices, network adapters, power supplies, managers.
//! What has no number, model or part is no unit; what is listed in several places is told once, by its most specific name.

use serde_json::Value;

use super::client::Client;
use super::json;
use super::sensor::told as listed;
use super::walk::{Part, Walk, called, health, short, there, told};
use crate::bmc::BmcError;
use crate::bmc::sensing::{Fru, Listing};
use crate::model::Reading;

/// Kinds, the most specific first: of two units with one serial number the first kind stays.
const KINDS: &[&str] = &[
    "processor",
    "memory",
    "drive",
    "network-adapter",
    "power-supply",
    "pcie-device",
    "chassis",
    "assembly",
    "system",
    "manager",
];
/// Kinds from here on are kept whatever else has their number.
const WHOLES: usize = 8;

/// A name that tells something: the Id, with the Name before it where the Id is a bare number (`Processors 1`).
fn name(value: &Value, id: &str) -> String {
    let bare = id.chars().all(|c| c.is_ascii_digit());
    match json::text(value, "DeviceLocator").or_else(|| json::text(value, "Name")) {
        Some(name) if bare && name != id => super::error::safe(&format!("{name} {id}"), 128),
        _ => id.to_owned(),
    }
}

/// A unit, when there is one and it says who it is.
fn unit(kind: &str, id: String, value: &Value, name: String) -> Option<Fru> {
    let fru = Fru {
        id,
        kind: kind.to_owned(),
        name,
        maker: told(value, &["Manufacturer", "Vendor", "Producer"]),
        model: told(value, &["Model"]),
        part: told(value, &["PartNumber", "SparePartNumber"]),
        serial: told(value, &["SerialNumber"]),
        health: health(value),
    };
    // Every board of an HGX tree is a chassis, and every manager has a model: they are units by their numbers alone.
    let numbered = fru.part.known().is_some() || fru.serial.known().is_some();
    let known = numbered || (fru.model.known().is_some() && !matches!(kind, "chassis" | "manager"));
    (known && there(value)).then_some(fru)
}

fn of_resource(kind: &str, at: &str, value: &Value) -> Option<Fru> {
    let id = called(value, at);
    unit(kind, short(at), value, name(value, &id))
}

/// The units in a list inside a resource, such as `Assemblies`.
fn inside(kind: &str, at: &str, resource: &Value, list: &str) -> Vec<Fru> {
    let each = |(index, value): (usize, &Value)| {
        let name = json::text(value, "Name").or_else(|| json::text(value, "MemberId")).unwrap_or_else(|| index.to_string());
        unit(kind, format!("{at}#/{list}/{index}"), value, super::error::safe(&name, 128))
    };
    json::list(resource, list).iter().enumerate().filter_map(each).collect()
}

/// Leaves out what another unit tells better.
fn once(all: Vec<Fru>) -> Vec<Fru> {
    let rank = |fru: &Fru| KINDS.iter().position(|kind| *kind == fru.kind).unwrap_or(KINDS.len());
    let known = |reading: &Reading<String>| reading.known().cloned();
    let better = |fru: &Fru| {
        all.iter().filter(|other| rank(other) < rank(fru)).any(|other| match known(&fru.serial) {
            // One board number with several parts (a cable cartridge and its halves) is several units.
            Some(serial) => {
                let parts = known(&fru.part).zip(known(&other.part));
                known(&other.serial).is_some_and(|theirs| theirs == serial)
                    && (fru.kind != "assembly" || parts.is_none_or(|(own, theirs)| own == theirs))
            }
            // Dell's assemblies repeat every DIMM and card, by part number alone.
            None => fru.kind == "assembly" && known(&fru.part).is_some() && known(&other.part) == known(&fru.part),
        })
    };
    let keep: Vec<bool> = all.iter().map(|fru| rank(fru) >= WHOLES || !better(fru)).collect();
    all.into_iter().zip(keep).filter_map(|(fru, keep)| keep.then_some(fru)).collect()
}

/// The units of one collection.
async fn of_collection(walk: &Walk<'_>, kind: &str, from: &Value, key: &str) -> Result<Vec<Fru>, BmcError> {
    let Some(at) = json::link(from, key) else { return Ok(Vec::new()) };
    Ok(of_parts(walk, kind, walk.collection(&at).await?))
}

fn of_parts(walk: &Walk<'_>, kind: &str, parts: Vec<Part>) -> Vec<Fru> {
    let mut found = Vec::new();
    for part in parts {
        match part.value {
            Ok(value) => found.extend(of_resource(kind, &part.path, &value)),
            Err(why) => walk.miss(why),
        }
    }
    found
}

async fn of_system(walk: &Walk<'_>, at: &str, system: &Value) -> Result<Vec<Fru>, BmcError> {
    let mut found: Vec<Fru> = of_resource("system", at, system).into_iter().collect();
    found.extend(of_collection(walk, "processor", system, "Processors").await?);
    found.extend(of_collection(walk, "memory", system, "Memory").await?);
    let Some(storage) = json::link(system, "Storage") else { return Ok(found) };
    for part in walk.collection(&storage).await? {
        match part.value {
            Ok(unit) => {
                let drives = json::list(&unit, "Drives").iter().filter_map(json::href).map(|at| (at, None)).collect();
                found.extend(of_parts(walk, "drive", walk.parts(drives).await?));
            }
            Err(why) => walk.miss(why),
        }
    }
    Ok(found)
}

async fn of_chassis(walk: &Walk<'_>, at: &str, chassis: &Value, known: &[Fru]) -> Result<Vec<Fru>, BmcError> {
    let mut found: Vec<Fru> = of_resource("chassis", at, chassis).into_iter().collect();
    if let Some(at) = json::link(chassis, "Assembly")
        && let Some(assembly) = walk.get(&at).await?
    {
        found.extend(inside("assembly", &short(&at), &assembly, "Assemblies"));
    }
    let mut supplies = Vec::new();
    if let Some(power) = walk.follow(chassis, "PowerSubsystem").await? {
        supplies = of_collection(walk, "power-supply", &power, "PowerSupplies").await?;
    }
    if supplies.is_empty()
        && let Some(at) = json::link(chassis, "Power")
        && let Some(power) = walk.get(&at).await?
    {
        supplies = inside("power-supply", &short(&at), &power, "PowerSupplies");
    }
    found.extend(supplies);
    found.extend(of_collection(walk, "network-adapter", chassis, "NetworkAdapters").await?);
    found.extend(of_collection(walk, "pcie-device", chassis, "PCIeDevices").await?);
    found.extend(of_collection(walk, "drive", chassis, "Drives").await?);
    // AMI lists drives here that no storage of the system names.
    let drives = chassis.get("Links").map(|links| json::list(links, "Drives")).unwrap_or_default();
    let new = |at: &String| !known.iter().chain(&found).any(|fru| fru.id == short(at));
    let drives = drives.iter().filter_map(json::href).filter(new).map(|at| (at, None)).collect();
    let drives = of_parts(walk, "drive", walk.parts(drives).await?);
    found.extend(drives);
    Ok(found)
}

impl Client {
    /// All units.
    pub(super) async fn all_frus(&self) -> Result<Reading<Listing<Fru>>, BmcError> {
        let root = self.root().await?;
        let walk = Walk::begin(self);
        let mut found = Vec::new();
        for part in walk.collection(&root.systems).await? {
            match part.value {
                Ok(system) => found.extend(of_system(&walk, &part.path, &system).await?),
                Err(why) => walk.miss(why),
            }
        }
        if let Some(at) = &root.chassis {
            for part in walk.collection(at).await? {
                match part.value {
                    Ok(chassis) => {
                        let more = of_chassis(&walk, &part.path, &chassis, &found).await?;
                        found.extend(more);
                    }
                    Err(why) => walk.miss(why),
                }
            }
        }
        if let Some(at) = &root.managers {
            found.extend(of_parts(&walk, "manager", walk.collection(at).await?));
        }
        let mut ids = std::collections::BTreeSet::new();
        found.retain(|fru| ids.insert(fru.id.clone()));
        Ok(listed(walk.listing(once(found))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_unit_is_told_once_by_its_most_specific_name() {
        let gpu = json!({"Id": "GPU_1", "Manufacturer": "NVIDIA", "Model": "H100", "SerialNumber": "165"});
        let all = vec![
            of_resource("chassis", "/redfish/v1/Chassis/HGX_GPU_1", &gpu).unwrap(),
            of_resource("pcie-device", "/redfish/v1/Chassis/HGX_GPU_1/PCIeDevices/GPU_1", &gpu).unwrap(),
            of_resource("processor", "/redfish/v1/Systems/HGX/Processors/GPU_1", &gpu).unwrap(),
            of_resource("processor", "/redfish/v1/Systems/HGX/Processors/GPU_2", &gpu).unwrap(),
            unit("assembly", "a".into(), &json!({"PartNumber": "P"}), "dimm".into()).unwrap(),
            unit("memory", "m".into(), &json!({"PartNumber": "P", "SerialNumber": "M1"}), "dimm".into()).unwrap(),
        ];
        let ids: Vec<String> = once(all).into_iter().map(|fru| fru.id).collect();
        // Two processors with one number (two dies of a GB300 module) are two.
        assert_eq!(ids, ["Systems/HGX/Processors/GPU_1", "Systems/HGX/Processors/GPU_2", "m"]);
        assert_eq!(of_resource("memory", "/x/1", &json!({"Id": "1", "Model": "x", "Status": {"State": "Absent"}})), None);
        assert_eq!(of_resource("pcie-device", "/x/1", &json!({"Id": "1", "Name": "bridge"})), None);
        let cpu = of_resource("processor", "/x/1", &json!({"Id": "1", "Name": "Processors", "Model": "EPYC"})).unwrap();
        assert_eq!((cpu.name.as_str(), cpu.serial.why_unknown()), ("Processors 1", Some("it says no SerialNumber")));
    }

    proptest! {
        #[test]
        fn any_resource_is_a_unit_or_none(value in super::super::json::any_json()) {
            let _ = (of_resource("memory", "/x", &value), inside("assembly", "x", &value, "Members"));
        }
    }
}
