//! Which version of a component runs, and which one waits: by its entry in the inventory, the banks in it, and what the resources that it
//! belongs to say (RC-54). A version in the inventory alone is not yet one that runs. Pure.

use serde_json::Value;

use super::super::client::Resource;
use super::super::error::safe;
use super::super::{firmware, json, path};
use crate::bmc::updating::FirmwareItem;
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

/// A resource beside the inventory that knows which version runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    /// Where it is.
    pub(super) at: String,
    /// The property by which it tells its own version.
    key: Option<&'static str>,
    /// That said the same as the inventory before the update, letter for letter.
    agreed: bool,
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

    /// Takes back what the entry says of the version that runs where somebody knows better.
    pub(super) fn confront(&mut self, known: &[Resource]) {
        let Some(shown) = self.running.known().cloned() else { return };
        let why =
            known.iter().find_map(|resource| Witness::of(resource, self)?.contradicts(&resource.value, &self.at, shown.as_str()));
        if let Some(why) = why {
            self.running = Reading::unknown(why);
            self.staged = Reading::Known(shown);
        }
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

/// True for two versions that are written alike, so that a difference between them is one: one word each, with digits and points. iLO's
/// `iLO 5 v2.72` says nothing against `2.72 Sep 04 2022`.
fn alike(a: &str, b: &str) -> bool {
    let plain = |text: &str| {
        text.contains('.')
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    plain(a) && plain(b)
}

impl Witness {
    /// What a resource knows of an entry, if it knows anything.
    pub(super) fn of(resource: &Resource, item: &Item) -> Option<Self> {
        let key = own_version(&resource.value);
        let told = key.and_then(|key| json::text(&resource.value, key));
        let agreed = told.is_some() && told.as_deref() == item.running.known().map(Version::as_str);
        let related = item.related.iter().any(|at| path::same(at, &resource.path));
        let knows = bank(&resource.value, &item.at).is_some() || (related && key.is_some());
        knows.then(|| Self { at: resource.path.clone(), key, agreed })
    }

    /// Why the entry that shows `want` is not what runs, by this resource now.
    pub(super) fn contradicts(&self, now: &Value, item: &str, want: &str) -> Option<String> {
        if bank(now, item) == Some(false) {
            return Some(format!("{} says that another image runs", safe(&self.at, 128)));
        }
        let key = self.key?;
        let told = json::text(now, key)?;
        (told != want && (self.agreed || alike(&told, want)))
            .then(|| format!("{key} of {} is {}", safe(&self.at, 128), safe(&told, 128)))
    }
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
        for (a, b, want) in [
            ("7.10.50.00", "99.01.02", true),
            ("11.01.01", "01.00.26", true),
            ("iLO 5 v2.72", "2.72 Sep 04 2022", false),
            ("1.4", "BIOS Date: 08/04/2023 Ver 1.4", false),
            ("3", "4", false),
        ] {
            assert_eq!(alike(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn a_witness_is_heard_when_it_can_know() {
        let item = |version: &str, related: &str| {
            let value = json!({"Version": version, "RelatedItem": [{"@odata.id": related}]});
            Item::view("/i/BMC", &value).unwrap().1
        };
        let manager = |version: &str, more: Value| {
            let mut value = json!({"@odata.type": "#Manager.v1_1_0.Manager", "FirmwareVersion": version});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Resource { path: "/m".into(), value, etag: None }
        };
        // It never said what the inventory says, and writes versions its own way: it contradicts nothing.
        let ilo = Witness::of(&manager("iLO 5 v2.72", json!({})), &item("2.72 Sep 04 2022", "/m")).unwrap();
        assert_eq!(ilo.contradicts(&manager("iLO 5 v2.72", json!({})).value, "/i/BMC", "3.01 Jan 01 2025"), None);
        // It said the same before, in whatever form.
        let bios = Witness::of(&manager("A42 v2.60 (08/11/2022)", json!({})), &item("A42 v2.60 (08/11/2022)", "/m")).unwrap();
        assert!(bios.contradicts(&manager("A42 v2.60 (08/11/2022)", json!({})).value, "/i/BMC", "A42 v2.70").is_some());
        assert!(bios.contradicts(&manager("A42 v2.70", json!({})).value, "/i/BMC", "A42 v2.70").is_none());
        // Not related, and no images: it knows nothing of this entry.
        assert_eq!(Witness::of(&manager("1.0", json!({})), &item("1.0", "/x")), None);
        // Dell's entries are linked from the manager only.
        let images = json!({"Links": {"ActiveSoftwareImage": {"@odata.id": "/i/BMC"}}});
        let dell = Witness::of(&manager("1.0", images.clone()), &item("1.0", "/x")).unwrap();
        assert!(dell.contradicts(&manager("1.0", images).value, "/i/BMC", "2.0").is_some());
        let mut golden = item("01.00.26", "/m");
        golden.confront(&[manager("11.01.01", json!({}))]);
        assert!(golden.running.why_unknown().is_some() && golden.staged == version("01.00.26"));
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
