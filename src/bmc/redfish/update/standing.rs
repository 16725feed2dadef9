//! Which version of a component runs, and which one waits: by its entry in the inventory, the banks in it, and what the resources that it
//! belongs to say (RC-54). A version in the inventory alone is not yet one that runs.

use serde_json::Value;
use tokio::time::Instant;

use super::super::client::{Client, Resource};
use super::super::error::{safe, unsupported};
use super::super::system::soft;
use super::super::{firmware, json, path};
use super::service::Service;
use crate::bmc::updating::FirmwareItem;
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::{Component, Reading, Version};

/// Most resources that an entry belongs to and that are asked.
const RELATED: usize = 4;

/// One entry of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it was read.
    pub(super) at: String,
    /// The version that runs, as far as the entry itself tells.
    pub(super) running: Reading<Version>,
    /// The version that waits for an activation.
    pub(super) staged: Reading<Version>,
    /// Whether updates are taken for it.
    pub(super) updateable: Reading<bool>,
    /// What it belongs to.
    pub(super) related: Vec<String>,
}

/// Something beside the inventory that says which version runs: it said the same as the inventory before the update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    at: String,
    key: &'static str,
}

/// What all who know say of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// It runs; nobody contradicts.
    Runs(String),
    /// It lies there and waits.
    Staged(String),
    /// Another version runs, in these words.
    Other(Version, String),
    /// Nothing can be said of it.
    Unknown(String),
}

impl Item {
    /// Reads an entry.
    pub(super) fn view(at: &str, value: &Value) -> Option<(Component, Self)> {
        let (component, shown) = firmware::judge(path::last(at), value)?;
        let (running, staged) = banks(value, shown);
        let updateable = match value.get("Updateable") {
            Some(Value::Bool(flag)) => Reading::Known(*flag),
            _ => Reading::unknown("the BMC does not say whether it can be updated"),
        };
        let related = json::list(value, "RelatedItem").iter().filter_map(json::href).take(RELATED).collect();
        Some((component, Self { at: at.to_owned(), running, staged, updateable, related }))
    }

    /// For people and scripts.
    pub(super) fn told(self, component: Component) -> FirmwareItem {
        FirmwareItem { component, running: self.running, staged: self.staged, updateable: self.updateable }
    }
}

/// The banks of an entry. NVIDIA's BMCs tell them apart: `Activated` runs, `PendingActivation` waits, and a slot that waits without a version
/// was erased by an update that failed (fwupd `fu-redfish-nvidia-device.c`).
fn banks(value: &Value, shown: Reading<Version>) -> (Reading<Version>, Reading<Version>) {
    let slots = value.get("Oem").and_then(|oem| oem.get("Nvidia"));
    let slot = |name: &str| slots.and_then(|slots| slots.get(name)).filter(|slot| slot.is_object());
    let (mut running, mut staged) = (None, Reading::Absent);
    for slot in [slot("ActiveFirmwareSlot"), slot("InactiveFirmwareSlot")].into_iter().flatten() {
        let version = json::text(slot, "Version").and_then(|text| Version::new(safe(&text, 128)).ok());
        match (json::word(slot, "FirmwareState"), version) {
            (Some("Activated"), Some(version)) => running = Some(version),
            (Some("PendingActivation"), Some(version)) => staged = Reading::Known(version),
            (Some("PendingActivation"), None) => {
                staged = Reading::unknown("the bank that waits for activation is empty: an update erased it and failed");
            }
            _ => {}
        }
    }
    let running = match (running, &shown, &staged) {
        (Some(version), _, _) => Reading::Known(version),
        (None, Reading::Known(version), Reading::Known(waits)) if version == waits => {
            Reading::unknown(format!("the version shown ({version}) is the one that waits for activation"))
        }
        (None, _, _) => shown,
    };
    (running, staged)
}

/// Whether a resource says that this entry is the bank that runs; `None`: it says nothing of it.
fn bank(resource: &Value, item: &str) -> Option<bool> {
    let links = resource.get("Links").unwrap_or(&Value::Null);
    let active = json::link(links, "ActiveSoftwareImage").or_else(|| json::link(resource, "ActiveSoftwareImage"))?;
    if path::same(&active, item) {
        return Some(true);
    }
    let among = |of: &Value| json::list(of, "SoftwareImages").iter().filter_map(json::href).any(|image| path::same(&image, item));
    (among(links) || among(resource)).then_some(false)
}

/// The property by which a resource tells its own version.
fn own_version(resource: &Value) -> Option<&'static str> {
    let kind = json::word(resource, "@odata.type")?;
    if kind.starts_with("#Manager.") {
        Some("FirmwareVersion")
    } else if kind.starts_with("#ComputerSystem.") {
        Some("BiosVersion")
    } else {
        None
    }
}

impl Client {
    /// The entry of a component. `hint` is where it was before; it is believed only while it is still there and still this component's.
    pub(super) async fn item(
        &self,
        inventory: &str,
        component: &Component,
        hint: Option<&str>,
        deadline: Instant,
    ) -> Result<Item, BmcError> {
        if let Some(at) = hint {
            match self.look_slowly(at, deadline).await {
                Ok(resource) => match Item::view(at, &resource.value) {
                    Some((found, item)) if found == *component => return Ok(item),
                    _ => {}
                },
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) => return Err(e),
            }
        }
        let doing = format!("find {component} in {}", safe(inventory, 128));
        let (members, _) = self.members(inventory, deadline).await?;
        // By the link where that tells, which saves reading a hundred entries.
        let named = |at: &str| firmware::name(path::last(at), None).is_some_and(|name| name == component.as_str());
        let (by_link, rest): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| named(&member.path));
        let (mut known, mut trouble) = (Vec::new(), None);
        for member in by_link.into_iter().chain(rest) {
            match self.look_slowly(&member.path, deadline).await {
                Ok(resource) => match Item::view(&member.path, &resource.value) {
                    Some((found, item)) if found == *component => return Ok(item),
                    Some((other, _)) => known.push(other.to_string()),
                    None => {}
                },
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) if soft(&e) => trouble = Some(e),
                Err(e) => return Err(e),
            }
        }
        match trouble {
            // The entry that could not be read may be the one.
            Some(e) => Err(e),
            None => {
                let names = if known.is_empty() { "nothing".to_owned() } else { safe(&known.join(", "), 1_024) };
                Err(unsupported(&doing, format!("it is not listed; there is {names}")))
            }
        }
    }

    /// Reads an entry or a resource that may be as slow as the inventory.
    pub(super) async fn look_slowly(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        self.get_by(at, deadline.min(Instant::now() + self.limits.inventory)).await
    }

    /// Who beside the inventory says now what it says of this entry.
    pub(super) async fn witnesses(&self, item: &Item, deadline: Instant) -> Vec<Witness> {
        let Some(version) = item.running.known() else { return Vec::new() };
        let mut found = Vec::new();
        for at in &item.related {
            // One that cannot be read is no witness.
            let Ok(resource) = self.look(at, deadline).await else { continue };
            if let Some(key) = own_version(&resource.value)
                && json::text(&resource.value, key).as_deref() == Some(version.as_str())
            {
                found.push(Witness { at: at.clone(), key });
            }
        }
        found
    }

    /// What everybody says of `want`, now.
    pub(super) async fn ask_all(
        &self,
        service: &Service,
        component: &Component,
        want: &Version,
        before: &Item,
        witnesses: &[Witness],
        deadline: Instant,
    ) -> Result<Says, BmcError> {
        let Some(inventory) = &service.inventory else { return Ok(Says::Unknown("there is no firmware inventory".to_owned())) };
        let item = self.item(inventory, component, Some(&before.at), deadline).await?;
        let staged = item.staged.known() == Some(want);
        let running = match &item.running {
            Reading::Known(version) => version.clone(),
            _ if staged => return Ok(Says::Staged(format!("{component} {want} waits for activation"))),
            Reading::Absent => return Ok(Says::Unknown(format!("{component} is listed, but says that it is not there"))),
            Reading::Unknown { why } => return Ok(Says::Unknown(why.clone())),
        };
        if running != *want {
            return Ok(match staged {
                true => Says::Staged(format!("{component} {running} runs, {want} waits for activation")),
                false => Says::Other(running.clone(), format!("{component} {running} runs")),
            });
        }
        for at in &item.related {
            match self.look(at, deadline).await {
                Ok(resource) if bank(&resource.value, &item.at) == Some(false) => {
                    return Ok(Says::Staged(format!(
                        "{component} {want} lies in a bank that does not run, says {}",
                        safe(at, 128)
                    )));
                }
                Ok(resource) => {
                    let told = |w: &&Witness| w.at == *at && json::text(&resource.value, w.key).as_deref() != Some(want.as_str());
                    if let Some(witness) = witnesses.iter().find(told) {
                        let old = json::text(&resource.value, witness.key).unwrap_or_else(|| "nothing".to_owned());
                        let words = format!(
                            "the inventory shows {component} {want}, but {} of {} is {}",
                            witness.key,
                            safe(at, 128),
                            safe(&old, 128)
                        );
                        return Ok(Says::Staged(words));
                    }
                }
                // A witness that is silent now has not changed its word.
                Err(e) if soft(&e) && witnesses.iter().all(|w| w.at != *at) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Says::Runs(format!("{component} {want} runs")))
    }

    /// All entries, for people.
    pub(super) async fn items(&self, service: &Service) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        let Some(inventory) = &service.inventory else { return Ok(Reading::Absent) };
        let deadline = Instant::now() + self.limits.inventory;
        let (members, unusable) = self.members(inventory, deadline).await?;
        if unusable > 0 {
            return Ok(Reading::unknown(format!("{unusable} members of {} have no usable link", safe(inventory, 128))));
        }
        let mut items = Vec::new();
        for member in members {
            match self.look_slowly(&member.path, Instant::now() + self.limits.inventory).await {
                Ok(resource) => items.extend(Item::view(&member.path, &resource.value).map(|(name, item)| item.told(name))),
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) if soft(&e) => {
                    let Some(name) = firmware::name(path::last(&member.path), None) else { continue };
                    let Ok(component) = Component::new(safe(&name, 128)) else { continue };
                    let unknown = Reading::unknown(e.to_string());
                    items.push(FirmwareItem {
                        component,
                        running: unknown.clone(),
                        staged: unknown,
                        updateable: Reading::unknown(e.to_string()),
                    });
                }
                Err(e) => return Err(e),
            }
        }
        items.sort_by(|a, b| a.component.cmp(&b.component));
        Ok(Reading::Known(items))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn version(text: &str) -> Reading<Version> {
        Reading::Known(Version::new(text).unwrap())
    }

    #[test]
    fn banks_are_told_apart() {
        let slots = |active: Value, inactive: Value| json!({"Oem": {"Nvidia": {"ActiveFirmwareSlot": active, "InactiveFirmwareSlot": inactive}}});
        let slot = |state: &str, version: &str| json!({"FirmwareState": state, "Version": version, "SlotId": 0});
        let banks = |value: Value, shown: &str| banks(&value, version(shown));
        assert_eq!(banks(json!({}), "1"), (version("1"), Reading::Absent));
        assert_eq!(banks(slots(slot("Activated", "1"), slot("Inactive", "0")), "1"), (version("1"), Reading::Absent));
        // The inventory shows what was written, and the other bank runs.
        assert_eq!(banks(slots(slot("Activated", "1"), slot("PendingActivation", "2")), "2"), (version("1"), version("2")));
        assert_eq!(banks(slots(slot("PendingActivation", "2"), json!(null)), "1"), (version("1"), version("2")));
        assert!(banks(slots(slot("PendingActivation", "2"), json!({})), "2").0.why_unknown().is_some());
        let (running, staged) = banks(slots(slot("PendingActivation", ""), slot("Inactive", "1")), "1");
        assert_eq!(running, version("1"));
        assert!(staged.why_unknown().is_some_and(|why| why.contains("erased")));
    }

    #[test]
    fn a_resource_names_the_bank_that_runs() {
        let manager = |active: &str| json!({"Links": {"ActiveSoftwareImage": {"@odata.id": active}, "SoftwareImages": [{"@odata.id": "/a"}, {"@odata.id": "/b/"}]}});
        assert_eq!(bank(&manager("/a"), "/a"), Some(true));
        assert_eq!(bank(&manager("/a"), "/b"), Some(false));
        assert_eq!(bank(&manager("/a"), "/c"), None);
        assert_eq!(bank(&json!({"ActiveSoftwareImage": "/a"}), "/a"), Some(true));
        assert_eq!(bank(&json!({}), "/a"), None);
        assert_eq!(own_version(&json!({"@odata.type": "#Manager.v1_18_0.Manager"})), Some("FirmwareVersion"));
        assert_eq!(own_version(&json!({"@odata.type": "#Bios.v1_1_0.Bios"})), None);
    }

    proptest! {
        #[test]
        fn any_entry_is_viewed(value in super::super::super::json::any_json()) {
            let _ = Item::view("/redfish/v1/UpdateService/FirmwareInventory/x", &value);
            let _ = bank(&value, "/a");
            let _ = bank(&json!({"Links": value}), "/a");
            let _ = banks(&json!({"Oem": {"Nvidia": {"ActiveFirmwareSlot": value}}}), Reading::Absent);
        }
    }
}
