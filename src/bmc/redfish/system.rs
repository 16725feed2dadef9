//! Which of the service's systems is the node, and who it says it is. It never takes the first of several, and never lets a write reach a
//! system that contradicts the facts.

use serde_json::Value;
use tokio::time::Instant;

use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::{json, path};
use crate::bmc::quirk::Glob;
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::{BmcFacts, Reading, Version};

/// Most systems of one service that are looked at.
const MOST: usize = 64;

/// What is known beforehand of the node's system.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// Id or path from the inventory.
    pub(super) system: Option<String>,
    /// Serial number from the facts.
    pub(super) serial: Option<String>,
    /// UUID from the facts.
    pub(super) uuid: Option<String>,
}

/// What a system says against the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Same,
    Silent,
    Other,
}

impl Expected {
    fn any(&self) -> bool {
        self.serial.is_some() || self.uuid.is_some()
    }

    /// Dell prints its service tag as `SKU` and a board number as `SerialNumber`; either may be in the facts.
    fn judge(&self, system: &Value) -> Match {
        let serial = |want: &String| told_same(want, [json::text(system, "SerialNumber"), json::text(system, "SKU")]);
        let uuid = |want: &String| {
            let told = json::text(system, "UUID");
            told_same(want, [told.as_deref().and_then(swapped), told])
        };
        match (self.serial.as_ref().map_or(Match::Silent, serial), self.uuid.as_ref().map_or(Match::Silent, uuid)) {
            (Match::Same, _) | (_, Match::Same) => Match::Same,
            (Match::Other, _) | (_, Match::Other) => Match::Other,
            (Match::Silent, Match::Silent) => Match::Silent,
        }
    }

    fn words(&self) -> String {
        let serial = self.serial.as_ref().map(|s| format!("serial {}", safe(s, 64)));
        let uuid = self.uuid.as_ref().map(|u| format!("UUID {}", safe(u, 64)));
        [serial, uuid].into_iter().flatten().collect::<Vec<_>>().join(" or ")
    }
}

fn told_same(want: &str, told: [Option<String>; 2]) -> Match {
    if told.iter().flatten().any(|told| told.eq_ignore_ascii_case(want.trim())) {
        Match::Same
    } else if told.iter().any(Option::is_some) {
        Match::Other
    } else {
        Match::Silent
    }
}

/// A UUID with its first three fields in the other byte order: SMBIOS before 2.6 and many BMCs disagree on it (SMBIOS DSP0134 §7.2.1).
fn swapped(uuid: &str) -> Option<String> {
    let parts: Vec<&str> = uuid.split('-').collect();
    let [a, b, c, d, e] = parts.as_slice() else { return None };
    if !uuid.is_ascii() {
        return None;
    }
    let turn = |field: &str| -> String { field.as_bytes().chunks(2).rev().flatten().map(|b| char::from(*b)).collect() };
    Some(format!("{}-{}-{}-{d}-{e}", turn(a), turn(b), turn(c)))
}

fn described(system: &Resource) -> String {
    let serial = json::text(&system.value, "SerialNumber").unwrap_or_else(|| "no serial".to_owned());
    let uuid = json::text(&system.value, "UUID").unwrap_or_else(|| "no UUID".to_owned());
    format!("{} ({}, {})", safe(path::last(&system.path), 64), safe(&serial, 64), safe(&uuid, 64))
}

/// True when the system can be reset: the HGX baseboard of a DGX or GB300 is listed as a system and cannot.
fn can_reset(system: &Resource) -> bool {
    system.value.get("Actions").and_then(|a| a.get("#ComputerSystem.Reset")).is_some()
}

impl Client {
    /// The node's system among those of the service.
    pub(super) async fn pick_system(&self, expected: &Expected) -> Result<Resource, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        let at = self.root().await?.systems;
        let doing = format!("find the node's system in {at}");
        let (members, _) = self.members(&at, deadline).await?;
        if let Some(want) = &expected.system
            && let Some(member) = members.iter().find(|m| path::last(&m.path) == want || path::same(&m.path, want))
        {
            return self.get_by(&member.path, deadline).await;
        }
        if let ([only], None) = (members.as_slice(), &expected.system) {
            return self.get_by(&only.path, deadline).await;
        }
        if members.is_empty() {
            return Err(unsupported(&doing, "the service lists no system"));
        }
        if members.len() > MOST {
            return Err(refuse(&doing, format!("{} systems are listed; name one in the inventory (`system`)", members.len())));
        }
        let (mut systems, mut silent) = (Vec::new(), Vec::new());
        for member in &members {
            match self.get_by(&member.path, deadline).await {
                Ok(system) => systems.push(system),
                // A dangling member cannot be the node that is to be driven.
                Err(e) if matches!(e.kind, BmcTrouble::Unsupported | BmcTrouble::Refused | BmcTrouble::Malformed) => {
                    silent.push(e.to_string())
                }
                Err(e) => return Err(e),
            }
        }
        let mut names: Vec<String> = systems.iter().map(described).collect();
        names.extend(silent);
        let names = names.join(", ");
        if let Some(want) = &expected.system {
            let by_id = systems.into_iter().filter(|s| json::word(&s.value, "Id") == Some(want));
            return only(by_id)
                .ok_or_else(|| refuse(&doing, format!("no system is called `{}`; there are: {names}", safe(want, 64))));
        }
        if expected.any() {
            let same = systems.into_iter().filter(|s| expected.judge(&s.value) == Match::Same);
            return only(same)
                .ok_or_else(|| refuse(&doing, format!("not exactly one has {}; there are: {names}", expected.words())));
        }
        // A role that the make's profile names, and then the one that can be reset at all.
        let named = self.kin.habit(|habits| habits.system_id.clone());
        let able: Vec<Resource> = systems.into_iter().filter(can_reset).collect();
        let (by_role, others): (Vec<_>, Vec<_>) = able.into_iter().partition(|system| is_called(&named, &system.path));
        let candidates = if by_role.is_empty() { others } else { by_role };
        only(candidates.into_iter()).ok_or_else(|| {
            refuse(
                &doing,
                format!("several systems, and nothing to tell the node by; name one in the inventory (`system`): {names}"),
            )
        })
    }

    /// Refuses a system that says it is another node than the facts name. Silence does not contradict.
    pub(super) async fn must_be(&self, expected: &Expected, system: &Resource) -> Result<(), BmcError> {
        if !expected.any() || expected.judge(&system.value) != Match::Other {
            return Ok(());
        }
        // The number on the pull-tab may be the chassis's.
        for chassis in self.chassis(system).await {
            if expected.judge(&chassis.value) == Match::Same {
                return Ok(());
            }
        }
        let seen = format!("the facts name {}, but here is {}: nothing was touched", expected.words(), described(system));
        Err(refuse(&format!("check the node behind {}", safe(&system.path, 256)), seen))
    }

    /// The chassis that hold this system and no other; those that cannot be read are left out. A chassis of several nodes says nothing of one.
    pub(super) async fn chassis(&self, system: &Resource) -> Vec<Resource> {
        let mut found = Vec::new();
        let Some(links) = system.value.get("Links") else { return found };
        for at in json::list(links, "Chassis").iter().filter_map(json::href).take(4) {
            let chassis = self.get(&at).await.ok();
            let alone = |c: &Resource| c.value.get("Links").is_none_or(|links| json::list(links, "ComputerSystems").len() < 2);
            found.extend(chassis.filter(alone));
        }
        found
    }

    /// Who the BMC says it and the node are.
    pub(super) async fn facts(&self, system: &Resource) -> Result<BmcFacts, BmcError> {
        let keys = ["Manufacturer", "Model", "SerialNumber"];
        let silent = |key: &str| json::text(&system.value, key).filter(|text| !placeholder(text)).is_none();
        let chassis = if keys.into_iter().any(silent) { self.chassis(system).await } else { Vec::new() };
        let told = |key: &str| {
            let of = |resource: &Resource| {
                json::text(&resource.value, key).filter(|text| !placeholder(text)).map(|text| safe(&text, 128))
            };
            match of(system).or_else(|| chassis.iter().find_map(of)) {
                Some(text) => Reading::Known(text),
                None => Reading::unknown(format!("{} says no {key}, nor does its chassis", safe(&system.path, 128))),
            }
        };
        let uuid = json::text(&system.value, "UUID").filter(|uuid| uuid.chars().any(|c| c.is_ascii_hexdigit() && c != '0'));
        let uuid = match uuid {
            Some(uuid) => Reading::Known(safe(&uuid.to_ascii_lowercase(), 64)),
            None => Reading::unknown(format!("{} says no UUID", safe(&system.path, 128))),
        };
        Ok(BmcFacts {
            vendor: told("Manufacturer"),
            model: told("Model"),
            serial: told("SerialNumber"),
            uuid,
            bmc_version: self.bmc_version(system).await?,
        })
    }

    /// The manager that drives this system. Of several that the system names, the one that the make's profile names, else the one that says
    /// that it manages this system; where the system names none, the same among all managers (RC-27, RC-33).
    pub(super) async fn manager(&self, system: &Resource) -> Result<Option<Resource>, BmcError> {
        let links = system.value.get("Links").and_then(|links| links.get("ManagedBy").map(|_| json::list(links, "ManagedBy")));
        let mut named: Vec<String> = links.unwrap_or_default().iter().filter_map(json::href).take(MOST).collect();
        if named.is_empty() {
            let Some(at) = self.root().await?.managers else { return Ok(None) };
            let deadline = Instant::now() + self.limits.request;
            named = self.members(&at, deadline).await?.0.into_iter().map(|member| member.path).take(MOST).collect();
            self.kin.showed("RC-33", format!("{} names no manager", safe(&system.path, 128)));
        }
        let called = self.kin.habit(|habits| habits.manager_id.clone());
        let chosen = match named.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|at| is_called(&called, at)),
        };
        if let Some(at) = chosen {
            return self.get(at).await.map(Some);
        }
        let mut driving = Vec::new();
        for at in &named {
            match self.get(at).await {
                Ok(manager) if drives(&manager.value, &system.path) => driving.push(manager),
                Ok(_) => {}
                Err(e) if soft(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(only(driving.into_iter()))
    }

    /// Firmware version of the manager that drives this system.
    async fn bmc_version(&self, system: &Resource) -> Result<Reading<Version>, BmcError> {
        let manager = match self.manager(system).await {
            Ok(Some(manager)) => manager,
            Ok(None) => return Ok(Reading::unknown(format!("{} names no manager", safe(&system.path, 128)))),
            Err(e) if soft(&e) => return Ok(Reading::unknown(e.to_string())),
            Err(e) => return Err(e),
        };
        self.kin.note_manager(&manager.value);
        Ok(match json::text(&manager.value, "FirmwareVersion").map(Version::new) {
            Some(Ok(version)) => Reading::Known(version),
            Some(Err(e)) => Reading::unknown(e.to_string()),
            None => Reading::unknown(format!("{} says no FirmwareVersion", safe(&manager.path, 128))),
        })
    }
}

/// What boards say when nobody wrote their number.
fn placeholder(text: &str) -> bool {
    ["to be filled by o.e.m.", "default string", "not specified", "system serial number", "not present"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// True for trouble with one resource, as against trouble with the BMC.
pub(super) fn soft(e: &BmcError) -> bool {
    matches!(e.kind, BmcTrouble::Unsupported | BmcTrouble::Refused | BmcTrouble::Malformed)
}

/// True when the last segment of a path fits a pattern of the profile. No pattern fits nothing.
pub(super) fn is_called(pattern: &str, at: &str) -> bool {
    !pattern.is_empty() && Glob::new(pattern).is_ok_and(|glob| glob.fits(path::last(at)))
}

/// True when a manager says that it manages the system.
fn drives(manager: &Value, system: &str) -> bool {
    let links = manager.get("Links").map(|links| json::list(links, "ManagerForServers"));
    links.unwrap_or_default().iter().filter_map(json::href).any(|at| path::same(&at, system))
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_match_by_serial_sku_or_either_uuid_order() {
        let expected = |serial: Option<&str>, uuid: Option<&str>| Expected {
            system: None,
            serial: serial.map(str::to_owned),
            uuid: uuid.map(str::to_owned),
        };
        let dell = json!({"SerialNumber": "CNIVC0014M0388", "SKU": "F54P1G3", "UUID": "4C4C4544-0035-3410-8050-C6C04F314733"});
        assert_eq!(expected(Some("f54p1g3"), None).judge(&dell), Match::Same);
        assert_eq!(expected(None, Some("44454c4c-3500-1034-8050-c6c04f314733")).judge(&dell), Match::Same);
        assert_eq!(expected(Some("OTHER"), None).judge(&dell), Match::Other);
        assert_eq!(expected(Some("OTHER"), None).judge(&json!({"SerialNumber": null})), Match::Silent);
        assert_eq!(swapped("é-a-b-c-d"), None);
    }
}
