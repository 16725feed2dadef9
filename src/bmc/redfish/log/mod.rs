//! Which logs a BMC keeps, and which of them is the node's hardware event log: picked by what it is (its type, name and owner), never by its place in a
//! list. Evidence for each sort in the captured trees.

mod clear;
pub(super) mod entry;
mod window;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Redfish;
use super::client::Resource;
use super::error::{safe, unsupported};
use super::sensor::told;
use super::walk::{Walk, called, short};
use super::{json, path};
use crate::bmc::sensing::{Listing, LogInfo, LogKind};
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::Reading;

/// Logs that were found already, by what they were asked for.
#[derive(Default)]
pub(super) struct Found(Mutex<BTreeMap<Option<String>, Place>>);

impl Found {
    fn get(&self, which: Option<&str>) -> Option<Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&which.map(str::to_owned)).cloned()
    }

    fn put(&self, which: Option<&str>, place: Option<Place>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Some(place) => drop(all.insert(which.map(str::to_owned), place)),
            None => drop(all.remove(&which.map(str::to_owned))),
        }
    }
}

/// A log service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What is told of it.
    pub(super) info: LogInfo,
    /// Its entries.
    pub(super) entries: String,
    /// Target of its clearing, and where its parameters are described.
    pub(super) clear: Option<(String, Option<String>)>,
    rank: u8,
}

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    System,
    Manager,
    Chassis,
}

/// What a log service is for, and how likely it is the node's hardware event log (0: it is).
fn sort(owner: Owner, service: &Value, id: &str) -> (LogKind, u8) {
    let id = id.to_ascii_lowercase();
    let name = json::text(service, "Name").unwrap_or_default().to_ascii_lowercase();
    let sel = json::word(service, "LogEntryType") == Some("SEL");
    let has = |words: &[&str]| words.iter().any(|word| id.contains(word) || name.contains(word));
    if has(&["dump", "postcode", "post code", "journal", "debug", "fdr", "diagnostic", "decoded", "crash", "telemetry"]) {
        return (LogKind::Traces, 20);
    }
    if has(&["fault"]) {
        return (LogKind::Faults, 15);
    }
    // iDRAC `Sel`, AMI `SEL` (IPMI SEL), NVIDIA GB300 `SEL`.
    if id == "sel" || name == "ipmi sel" {
        return (LogKind::Hardware, 0);
    }
    // HPE's Integrated Management Log.
    if id == "iml" {
        return (LogKind::Hardware, 1);
    }
    // HPE `SL` and `IEL`, iDRAC `Lclog`, AMI `AuditLog`, Supermicro's Maintenance Event Log.
    if has(&["audit", "security", "lifecycle", "lclog", "iel", "maintenance", "ilo event"]) {
        return (LogKind::Manager, 12);
    }
    match owner {
        // AMI's BIOS log beside the SEL.
        Owner::System if id.contains("bios") => (LogKind::Hardware, 8),
        // Supermicro's Health Event Log (`Systems/1/LogServices/Log1`).
        Owner::System if sel => (LogKind::Hardware, 2),
        // OpenBMC.
        Owner::System if id == "eventlog" => (LogKind::Hardware, 3),
        // HPE `Event`: Redfish events of the system.
        Owner::System if id == "event" => (LogKind::Hardware, 6),
        Owner::System => (LogKind::Hardware, 5),
        Owner::Manager if sel => (LogKind::Hardware, 4),
        Owner::Manager => (LogKind::Manager, 10),
        Owner::Chassis if sel => (LogKind::Hardware, 7),
        // NVIDIA's XID logs of each GPU among them.
        Owner::Chassis => (LogKind::Hardware, 9),
    }
}

fn place(owner: Owner, at: &str, service: &Value) -> Option<Place> {
    let id = called(service, at);
    let (kind, rank) = sort(owner, service, &id);
    let clear = service.get("Actions").and_then(|actions| actions.get("#LogService.ClearLog"));
    let clear =
        clear.and_then(|action| Some((action.get("target").and_then(json::href)?, json::link(action, "@Redfish.ActionInfo"))));
    let info = LogInfo {
        id: short(at).replace("/LogServices/", "/"),
        name: json::text(service, "Name").map_or_else(|| id.clone(), |name| safe(&name, 128)),
        kind,
        clearable: clear.is_some(),
        room: service.get("MaxNumberOfRecords").and_then(Value::as_u64),
    };
    Some(Place { info, entries: json::link(service, "Entries")?, clear, rank })
}

/// The log that was asked for among those that were found: by its whole id, or by the last part of it when only one ends so.
fn pick<'a>(found: &'a [Place], which: Option<&str>) -> Result<Option<&'a Place>, String> {
    let Some(which) = which else {
        let events = found.iter().filter(|p| matches!(p.info.kind, LogKind::Hardware | LogKind::Manager));
        return Ok(events.min_by_key(|place| place.rank));
    };
    if let Some(exact) = found.iter().find(|p| p.info.id.eq_ignore_ascii_case(which.trim_matches('/'))) {
        return Ok(Some(exact));
    }
    let ends: Vec<&Place> = found.iter().filter(|p| path::last(&p.info.id).eq_ignore_ascii_case(which)).collect();
    match ends.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => {
            let names: Vec<&str> = several.iter().map(|p| p.info.id.as_str()).collect();
            Err(format!("several logs are called so: {}", names.join(", ")))
        }
    }
}

/// The logs of one owner.
async fn of(walk: &Walk<'_>, owner: Owner, value: &Value, found: &mut Vec<Place>) -> Result<(), BmcError> {
    let Some(at) = json::link(value, "LogServices") else { return Ok(()) };
    for part in walk.collection(&at).await? {
        match part.value {
            Ok(service) => found.extend(place(owner, &part.path, &service)),
            Err(why) => walk.miss(why),
        }
    }
    Ok(())
}

impl Redfish {
    /// Logs of the node's system and its managers.
    async fn near(&self, walk: &Walk<'_>, system: &Resource) -> Result<(Vec<Place>, Vec<String>), BmcError> {
        let (mut found, mut seen) = (Vec::new(), vec![system.path.trim_end_matches('/').to_owned()]);
        of(walk, Owner::System, &system.value, &mut found).await?;
        let managers = system.value.get("Links").map(|links| json::list(links, "ManagedBy")).unwrap_or_default();
        for at in managers.iter().filter_map(json::href).take(4) {
            if let Some(manager) = walk.get(&at).await? {
                of(walk, Owner::Manager, &manager, &mut found).await?;
            }
            seen.push(at.trim_end_matches('/').to_owned());
        }
        Ok((found, seen))
    }

    /// Logs of every other system, manager and chassis.
    async fn far(&self, walk: &Walk<'_>, seen: &[String], found: &mut Vec<Place>) -> Result<(), BmcError> {
        let root = self.client.root().await?;
        let lists = [(Owner::System, Some(root.systems)), (Owner::Manager, root.managers), (Owner::Chassis, root.chassis)];
        for (owner, at) in lists.into_iter().filter_map(|(owner, at)| Some((owner, at?))) {
            for part in walk.collection(&at).await? {
                if seen.iter().any(|seen| path::same(seen, &part.path)) {
                    continue;
                }
                match part.value {
                    Ok(value) => of(walk, owner, &value, found).await?,
                    Err(why) => walk.miss(why),
                }
            }
        }
        Ok(())
    }

    /// Every log.
    pub(super) async fn list_logs(&self) -> Result<Reading<Listing<LogInfo>>, BmcError> {
        let system = self.system().await?;
        let walk = Walk::begin(&self.client);
        let (mut found, seen) = self.near(&walk, &system).await?;
        self.far(&walk, &seen, &mut found).await?;
        let best = pick(&found, None).ok().flatten().map(|place| place.info.id.clone());
        // The one that is read when none is named stands first.
        found.sort_by_key(|place| (best.as_ref() != Some(&place.info.id), place.info.kind, place.rank));
        Ok(told(walk.listing(found.into_iter().map(|place| place.info).collect())))
    }

    /// The log that was asked for. `Absent`: there is none.
    pub(super) async fn find_log(&self, which: Option<&str>) -> Result<Reading<Place>, BmcError> {
        if let Some(known) = self.logs.get(which) {
            return Ok(Reading::Known(known));
        }
        let doing =
            which.map_or_else(|| "find the hardware event log".to_owned(), |which| format!("find the log {}", safe(which, 64)));
        let system = self.system().await?;
        let walk = Walk::begin(&self.client);
        let (mut found, seen) = self.near(&walk, &system).await?;
        let ambiguous = |why: String| BmcError { kind: BmcTrouble::Refused, ..unsupported(&doing, why) };
        // A log of a chassis, or of another board's manager, is the node's own only when nothing nearer is.
        let near = pick(&found, which).map_err(ambiguous)?.filter(|place| which.is_some() || place.rank < 6).cloned();
        let chosen = match near {
            Some(place) => Some(place),
            None => {
                self.far(&walk, &seen, &mut found).await?;
                pick(&found, which).map_err(ambiguous)?.cloned()
            }
        };
        if let Some(place) = chosen {
            self.logs.put(which, Some(place.clone()));
            return Ok(Reading::Known(place));
        }
        let unread = walk.unread();
        match which {
            Some(_) if !found.is_empty() => {
                let names: Vec<String> = found.into_iter().map(|place| place.info.id).take(32).collect();
                Err(unsupported(&doing, format!("there is none; there are: {}", names.join(", "))))
            }
            _ if unread.is_empty() => Ok(Reading::Absent),
            _ => Ok(Reading::unknown(format!("no log was found, and could not be read: {}", unread.join("; ")))),
        }
    }

    /// Forgets where a log is: it was not there any more.
    pub(super) fn forget_log(&self, which: Option<&str>) {
        self.logs.put(which, None);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn found(all: &[(Owner, &str, &str, Option<&str>)]) -> Vec<Place> {
        let one = |(owner, at, name, kind): &(Owner, &str, &str, Option<&str>)| {
            let service =
                json!({"Name": name, "LogEntryType": kind, "Entries": {"@odata.id": format!("/redfish/v1/{at}/Entries")}});
            place(*owner, &format!("/redfish/v1/{at}"), &service).unwrap()
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn the_hardware_log_is_picked_by_what_it_is() {
        use Owner::{Chassis, Manager, System};
        for (trees, want) in [
            // DGX H100 (AMI).
            (
                found(&[
                    (System, "Systems/DGX/LogServices/BIOS", "System BIOS Log Service", Some("SEL")),
                    (Manager, "Managers/BMC/LogServices/AuditLog", "Audit Log", Some("Event")),
                    (Manager, "Managers/BMC/LogServices/EventLog", "Event Log", Some("Event")),
                    (Manager, "Managers/BMC/LogServices/SEL", "IPMI SEL", Some("SEL")),
                    (Chassis, "Chassis/DGX/LogServices/Logs", "IPMI Chassis Logs", Some("SEL")),
                ]),
                "Managers/BMC/SEL",
            ),
            // ProLiant.
            (
                found(&[
                    (System, "Systems/1/LogServices/SL", "Security Log", None),
                    (System, "Systems/1/LogServices/Event", "Event", None),
                    (System, "Systems/1/LogServices/IML", "Integrated Management Log", None),
                    (Manager, "Managers/1/LogServices/IEL", "iLO Event Log", None),
                ]),
                "Systems/1/IML",
            ),
            // PowerEdge.
            (
                found(&[
                    (Manager, "Managers/iDRAC.Embedded.1/LogServices/Lclog", "LifeCycle Controller Log Service", Some("OEM")),
                    (Manager, "Managers/iDRAC.Embedded.1/LogServices/FaultList", "FaultListEntries", Some("SEL")),
                    (Manager, "Managers/iDRAC.Embedded.1/LogServices/Sel", "SEL Log Service", Some("SEL")),
                ]),
                "Managers/iDRAC.Embedded.1/Sel",
            ),
            // Supermicro.
            (
                found(&[
                    (Manager, "Managers/1/LogServices/Log1", "Maintenance Event Log Service", Some("OEM")),
                    (System, "Systems/1/LogServices/Log1", "Health Event Log Service", Some("SEL")),
                ]),
                "Systems/1/Log1",
            ),
            // OpenBMC.
            (
                found(&[
                    (Manager, "Managers/bmc/LogServices/Journal", "Open BMC Journal Log Service", None),
                    (System, "Systems/system/LogServices/PostCodes", "POST Code Log Service", None),
                    (System, "Systems/system/LogServices/EventLog", "Event Log Service", None),
                ]),
                "Systems/system/EventLog",
            ),
        ] {
            assert_eq!(pick(&trees, None).unwrap().unwrap().info.id, want);
        }
        let two =
            found(&[(System, "Systems/1/LogServices/Log1", "a", None), (Manager, "Managers/1/LogServices/Log1", "b", None)]);
        assert!(pick(&two, Some("log1")).unwrap_err().contains("Managers/1/Log1"));
        assert_eq!(pick(&two, Some("managers/1/log1")).unwrap().unwrap().info.name, "b");
        assert_eq!(pick(&two, Some("x")), Ok(None));
        let traces = found(&[(Manager, "Managers/1/LogServices/Dump", "BMC Dump", None)]);
        assert_eq!(pick(&traces, None), Ok(None), "a dump is no event log");
    }

    proptest! {
        #[test]
        fn any_service_is_sorted(value in crate::bmc::redfish::json::any_json(), id in ".{0,20}") {
            for owner in [Owner::System, Owner::Manager, Owner::Chassis] {
                let _ = (sort(owner, &value, &id), place(owner, "/redfish/v1/x", &value));
            }
        }
    }
}
