//! Firmware inventory by links: UpdateService → FirmwareInventory → members. A member that cannot be read is named, never left out in silence.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::collection::Member;
use super::error::safe;
use super::json;
use super::system::soft;
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::{Component, Reading, Version};

/// The inventory as the BMC told it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirmwareInventory {
    /// Each component's version, or why it is not known. Absent: listed, but there is no such thing.
    pub components: BTreeMap<Component, Reading<Version>>,
    /// Components whose entry could not be read at all, as against those that the BMC lists without a version.
    pub unread: Vec<Component>,
}

impl Client {
    /// The inventory with a reading for each component.
    pub(super) async fn inventory(&self) -> Result<Reading<FirmwareInventory>, BmcError> {
        let Some(update) = self.root().await?.update else { return Ok(Reading::Absent) };
        let deadline = Instant::now() + self.limits.inventory;
        let service = match self.get_by(&update, deadline).await {
            Ok(service) => service,
            Err(e) if soft(&e) => return Ok(Reading::unknown(e.to_string())),
            Err(e) => return Err(e),
        };
        let Some(at) = json::link(&service.value, "FirmwareInventory") else { return Ok(Reading::Absent) };
        let (members, unusable) = match self.members_whole(&at, deadline).await {
            Ok(found) => found,
            Err(e) if soft(&e) => return Ok(Reading::unknown(e.to_string())),
            Err(e) => return Err(e),
        };
        if unusable > 0 {
            return Ok(Reading::unknown(format!("{unusable} members of {} have no usable link", safe(&at, 128))));
        }
        let mut entries = futures_util::stream::iter(members).map(|member| self.entry(member)).buffered(2);
        let mut inventory = FirmwareInventory::default();
        while let Some(entry) = entries.next().await {
            let (entry, read) = entry?;
            if let Some((component, version)) = entry {
                if !read {
                    inventory.unread.push(component.clone());
                }
                let agreed = match (inventory.components.remove(&component), version) {
                    (None, version) => version,
                    (Some(Reading::Known(a)), Reading::Known(b)) if a == b => Reading::Known(a),
                    (Some(Reading::Known(a)), Reading::Known(b)) => Reading::unknown(format!("listed twice, as {a} and as {b}")),
                    (Some(Reading::Known(a)), _) | (Some(_), Reading::Known(a)) => Reading::Known(a),
                    (Some(first), _) => first,
                };
                inventory.components.insert(component, agreed);
            }
        }
        self.transport.trim(1);
        Ok(Reading::Known(inventory))
    }

    /// One member, `None` when it is not what runs on the node; and whether it could be read. Each has the inventory's time: DGX needs up to
    /// 180 s for one.
    async fn entry(&self, member: Member) -> Result<(Option<Entry>, bool), BmcError> {
        let id = super::path::last(&member.path);
        let inline = member.inline.filter(|value| value.get("Version").is_some());
        let value = match inline {
            Some(value) => value,
            None => match self.get_by(&member.path, Instant::now() + self.limits.inventory).await {
                Ok(resource) => resource.value,
                Err(e) => {
                    let Some(component) = name(id, None).and_then(|name| Component::new(name).ok()) else {
                        return Ok((None, true));
                    };
                    return match e.kind {
                        // Listed, but the BMC says that there is no such thing: dangling links are common (573 in one capture).
                        BmcTrouble::Unsupported => Ok((Some((component, Reading::Absent)), true)),
                        _ if soft(&e) => Ok((Some((component, Reading::unknown(e.to_string()))), false)),
                        _ => Err(e),
                    };
                }
            },
        };
        if value.get("Version").is_some() && json::text(&value, "Version").is_none() {
            self.kin.showed(
                "RC-28",
                format!(
                    "{} says Version {}",
                    safe(&member.path, 128),
                    value.get("Version").map_or_else(String::new, |v| safe(&v.to_string(), 32))
                ),
            );
        }
        Ok((judge(id, &value), true))
    }
}

type Entry = (Component, Reading<Version>);

pub(super) fn judge(link_id: &str, value: &Value) -> Option<Entry> {
    let id = json::text(value, "Id").unwrap_or_else(|| link_id.to_owned());
    let name = name(&id, json::text(value, "Name").as_deref())?;
    let component = Component::new(safe(&name, 128)).ok()?;
    let version = match json::text(value, "Version") {
        Some(text) if text.eq_ignore_ascii_case("not present") => Reading::Absent,
        Some(text) => Version::new(safe(&text, 128)).map_or_else(|e| Reading::unknown(e.to_string()), Reading::Known),
        None => Reading::unknown(format!("{} says no Version", safe(&id, 128))),
    };
    Some((component, version))
}

/// What a component is called, stable over updates. `None`: it is not what runs.
///
/// The Id where it says something. Evidence from captures: iDRAC's Ids are `Current-<software>-<version>__<FQDD>` and the FQDD alone is stable,
/// its `Previous-` and `Available-` entries are what could run; iLO's are bare numbers and Supermicro GB300's partly UUIDs, with the Name telling.
pub(super) fn name(id: &str, name: Option<&str>) -> Option<String> {
    if id.starts_with("Previous-") || id.starts_with("Available-") {
        return None;
    }
    if let Some((head, fqdd)) = id.split_once("__")
        && (head.starts_with("Current-") || head.starts_with("Installed-"))
    {
        return Some(fqdd.to_owned());
    }
    let hex = id.chars().filter(char::is_ascii_hexdigit).count();
    let opaque = id.chars().all(|c| c.is_ascii_digit())
        || (hex == 32 && id.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | '_')));
    Some(name.filter(|name| opaque && !name.trim().is_empty()).unwrap_or(id).to_owned())
}

/// The trait's inventory: what is known, without the components that are absent or listed without a version; Unknown, naming them, when
/// entries could not be read.
pub(super) fn strict(inventory: FirmwareInventory) -> Reading<BTreeMap<Component, Version>> {
    let FirmwareInventory { components, unread } = inventory;
    if unread.is_empty() {
        return Reading::Known(components.into_iter().filter_map(|(c, r)| r.known().cloned().map(|v| (c, v))).collect());
    }
    let why = |component: &Component| components.get(component).and_then(Reading::why_unknown).unwrap_or("not read").to_owned();
    let named: Vec<String> = unread.iter().take(8).map(|c| format!("{c}: {}", why(c))).collect();
    let more = unread.len().saturating_sub(named.len());
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    Reading::unknown(format!("{}{rest}", named.join("; ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn components_keep_their_name_over_updates() {
        for (id, given, want) in [
            ("Current-159-1.8.2__BIOS.Setup.1-1", Some("BIOS"), Some("BIOS.Setup.1-1")),
            ("Previous-159-1.2.4__BIOS.Setup.1-1", Some("BIOS"), None),
            ("1", Some("iLO 5"), Some("iLO 5")),
            ("7", None, Some("7")),
            ("AB86B73D_8D56_41E4_971E_B11DB71F2E33", Some("BIOS Firmware"), Some("BIOS Firmware")),
            ("CX8_0", Some("Software Inventory"), Some("CX8_0")),
        ] {
            assert_eq!(name(id, given).as_deref(), want, "{id}");
        }
        let (component, version) = judge("x", &json!({"Id": "Backup_BMC", "Version": "Not Present"})).unwrap();
        assert_eq!((component.as_str(), version), ("Backup_BMC", Reading::Absent));
        assert!(judge("x", &json!({"Version": null})).unwrap().1.why_unknown().is_some());
    }

    proptest! {
        #[test]
        fn any_member_is_judged(value in super::super::json::any_json(), id in ".{0,40}") {
            let _ = judge(&id, &value);
        }
    }
}
