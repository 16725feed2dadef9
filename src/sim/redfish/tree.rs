//! The resources of one BMC that do not change by themselves: root, services, manager, chassis, firmware. Pure: path in, JSON out.

use serde_json::{Value, json};

use super::session::SESSIONS;
use super::update;
use crate::model::PowerState;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::profile::SessionsFull;

/// Root of the service.
pub const ROOT: &str = "/redfish/v1";

/// A collection in DMTF shape.
#[must_use]
pub fn collection(path: &str, kind: &str, members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<Value> = members.into_iter().map(|m| json!({ "@odata.id": m })).collect();
    json!({
        "@odata.type": format!("#{kind}Collection.{kind}Collection"),
        "@odata.id": path,
        "Name": format!("{kind} Collection"),
        "Members@odata.count": members.len(),
        "Members": members,
    })
}

/// A link.
#[must_use]
pub fn link(path: impl AsRef<str>) -> Value {
    json!({ "@odata.id": path.as_ref() })
}

/// What BMCs of this farm call a power state.
#[must_use]
pub fn power_word(state: PowerState) -> &'static str {
    match state {
        PowerState::On => "On",
        PowerState::Off => "Off",
        PowerState::PoweringOn => "PoweringOn",
        PowerState::PoweringOff => "PoweringOff",
    }
}

/// A moment as BMCs write it: to the second, in UTC.
#[must_use]
pub fn second(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// `Status` of something that works.
#[must_use]
pub fn well() -> Value {
    json!({ "State": "Enabled", "Health": "OK" })
}

/// The resource at a path (without trailing slash), when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, path: &str) -> Option<Value> {
    let id = machine.identity();
    let p = id.profile;
    let rest = path.strip_prefix(ROOT)?;
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    Some(match parts.as_slice() {
        [] => root(machine),
        ["odata"] => json!({
            "@odata.context": "/redfish/v1/$metadata",
            "value": [
                { "name": "Service", "kind": "Singleton", "url": "/redfish/v1/" },
                { "name": "Systems", "kind": "Singleton", "url": "/redfish/v1/Systems" },
                { "name": "Chassis", "kind": "Singleton", "url": "/redfish/v1/Chassis" },
                { "name": "Managers", "kind": "Singleton", "url": "/redfish/v1/Managers" },
                { "name": "SessionService", "kind": "Singleton", "url": "/redfish/v1/SessionService" },
            ],
        }),
        ["Systems"] => collection(path, "ComputerSystem", [format!("{path}/{}", p.system_id)]),
        ["Managers"] => collection(path, "Manager", [format!("{path}/{}", p.manager_id)]),
        ["Chassis"] => collection(path, "Chassis", [format!("{path}/{}", p.chassis_id)]),
        ["Managers", m] if *m == p.manager_id => manager(machine, path),
        ["Managers", m, "EthernetInterfaces"] if *m == p.manager_id => {
            collection(path, "EthernetInterface", [format!("{path}/1")])
        }
        ["Managers", m, "EthernetInterfaces", "1"] if *m == p.manager_id => interface(path, "1", &id.bmc_mac.to_string()),
        ["Chassis", c] if *c == p.chassis_id => chassis(machine, path),
        ["Systems", s, "EthernetInterfaces"] if *s == p.system_id => {
            collection(path, "EthernetInterface", [format!("{path}/NIC.1")])
        }
        ["Systems", s, "EthernetInterfaces", "NIC.1"] if *s == p.system_id => interface(path, "NIC.1", &id.boot_mac.to_string()),
        ["SessionService"] => json!({
            "@odata.type": "#SessionService.v1_1_8.SessionService",
            "@odata.id": path,
            "Id": "SessionService",
            "Name": "Session Service",
            "ServiceEnabled": true,
            "SessionTimeout": 1800,
            "Status": well(),
            "Sessions": link(SESSIONS),
        }),
        ["UpdateService", ..] => update::resource(machine, path)?,
        _ => return None,
    })
}

fn root(machine: &MachineHandle) -> Value {
    let id = machine.identity();
    let expand = if super::bend::offers_expand(machine) {
        json!({ "ExpandAll": false, "Levels": true, "Links": false, "NoLinks": true, "MaxLevels": 1 })
    } else {
        json!({ "ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false })
    };
    let mut root = json!({
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
        "@odata.id": "/redfish/v1/",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.17.0",
        "UUID": id.seed.uuid(&format!("{}/service-uuid", id.node)),
        "Vendor": id.profile.manufacturer,
        "Product": format!("{} BMC (simulated)", id.profile.name),
        "ProtocolFeaturesSupported": {
            "ExcerptQuery": false,
            "FilterQuery": false,
            "OnlyMemberQuery": false,
            "SelectQuery": false,
            "ExpandQuery": expand,
        },
        "Systems": link("/redfish/v1/Systems"),
        "Managers": link("/redfish/v1/Managers"),
        "Chassis": link("/redfish/v1/Chassis"),
        "SessionService": link("/redfish/v1/SessionService"),
        "UpdateService": link("/redfish/v1/UpdateService"),
        "Tasks": link("/redfish/v1/TaskService"),
        "Links": { "Sessions": link(SESSIONS) },
    });
    if machine.bends(BmcFault::RootNoSessions).is_some()
        && let Some(fields) = root.as_object_mut()
    {
        // Each maker in its own way: no link, a wrong link (openbmc #3446), nothing about sessions at all.
        match id.profile.sessions_full {
            SessionsFull::Rac => drop(fields.insert("Links".to_owned(), json!({}))),
            SessionsFull::BadRequest => {
                drop(fields.insert("Links".to_owned(), json!({ "Sessions": link("/redfish/v1/Sessions") })));
            }
            SessionsFull::Unavailable => {
                fields.remove("SessionService");
                fields.remove("Links");
            }
        }
    }
    root
}

fn manager(machine: &MachineHandle, path: &str) -> Value {
    let id = machine.identity();
    json!({
        "@odata.type": "#Manager.v1_18_0.Manager",
        "@odata.id": path,
        "Id": id.profile.manager_id,
        "Name": "Manager",
        "ManagerType": "BMC",
        "UUID": id.seed.uuid(&format!("{}/manager-uuid", id.node)),
        "Manufacturer": id.profile.manufacturer,
        "Model": format!("{} BMC (simulated)", id.profile.name),
        "PowerState": "On",
        "DateTime": second(jiff::Timestamp::now()),
        "LastResetTime": second(machine.bmc_started()),
        "Status": well(),
        "EthernetInterfaces": link(format!("{path}/EthernetInterfaces")),
        "Links": {
            "ManagerForServers": [link(format!("{ROOT}/Systems/{}", id.profile.system_id))],
            "ManagerForChassis": [link(format!("{ROOT}/Chassis/{}", id.profile.chassis_id))],
        },
    })
}

fn chassis(machine: &MachineHandle, path: &str) -> Value {
    let id = machine.identity();
    json!({
        "@odata.type": "#Chassis.v1_23_0.Chassis",
        "@odata.id": path,
        "Id": id.profile.chassis_id,
        "Name": "Chassis",
        "ChassisType": "RackMount",
        "Manufacturer": id.profile.manufacturer,
        "Model": id.profile.board,
        "SerialNumber": id.serial,
        "PowerState": power_word(machine.power_state()),
        "Status": well(),
        "Links": {
            "ComputerSystems": [link(format!("{ROOT}/Systems/{}", id.profile.system_id))],
            "ManagedBy": [link(format!("{ROOT}/Managers/{}", id.profile.manager_id))],
        },
    })
}

fn interface(path: &str, name: &str, mac: &str) -> Value {
    json!({
        "@odata.type": "#EthernetInterface.v1_10_0.EthernetInterface",
        "@odata.id": path,
        "Id": name,
        "Name": format!("Ethernet Interface {name}"),
        "MACAddress": mac.to_ascii_uppercase(),
        "PermanentMACAddress": mac.to_ascii_uppercase(),
        "InterfaceEnabled": true,
        "Status": well(),
    })
}
