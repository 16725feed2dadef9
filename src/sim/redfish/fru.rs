//! What can be replaced in a node: processors, memory, drives and boards, with numbers derived from the farm's seed.

use serde_json::{Map, Value, json};

use super::sensor::chassis_path;
use super::tree::{collection, link, well};
use super::{accelerator, system};
use crate::sim::handle::MachineHandle;

const SOCKETS: u32 = 2;
const DIMMS: u32 = 16;

fn number(machine: &MachineHandle, what: &str, length: usize) -> String {
    let id = machine.identity();
    id.seed.code(&format!("{}/{what}", id.node), length)
}

/// Adds what the system links to.
pub fn add_to_system(machine: &MachineHandle, value: &mut Map<String, Value>) {
    let at = system::path(machine);
    value.insert("PartNumber".to_owned(), json!(format!("{}-SYS", machine.identity().profile.model)));
    value.insert("Processors".to_owned(), link(format!("{at}/Processors")));
    value.insert("Memory".to_owned(), link(format!("{at}/Memory")));
    value.insert("ProcessorSummary".to_owned(), json!({ "Count": SOCKETS, "Status": well() }));
    value.insert("MemorySummary".to_owned(), json!({ "TotalSystemMemoryGiB": DIMMS * 64, "Status": well() }));
}

/// Adds what the chassis links to.
pub fn add_to_chassis(machine: &MachineHandle, value: &mut Map<String, Value>) {
    let at = chassis_path(machine);
    value.insert("PartNumber".to_owned(), json!(format!("{}-CHS", machine.identity().profile.model)));
    value.insert("Assembly".to_owned(), link(format!("{at}/Assembly")));
    if !machine.identity().profile.senses.processors {
        value.insert("PCIeDevices".to_owned(), link(format!("{at}/PCIeDevices")));
    }
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    if at == format!("{}/Assembly", chassis_path(machine)) {
        return Some(assembly(machine, at));
    }
    let (list, rest) =
        at.strip_prefix(&system::path(machine))?.strip_prefix('/').map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    match (list, rest) {
        ("Processors", "") => {
            let sockets = (1..=SOCKETS).map(|n| format!("{at}/CPU{n}"));
            Some(collection(at, "Processor", sockets.chain(accelerator::processors(machine))))
        }
        ("Processors", id) => {
            let socket = id.strip_prefix("CPU")?.parse::<u32>().ok().filter(|n| (1..=SOCKETS).contains(n))?;
            Some(json!({
                "@odata.type": "#Processor.v1_13_0.Processor",
                "@odata.id": at,
                "Id": id,
                "Name": format!("Processor {socket}"),
                "ProcessorType": "CPU",
                "Socket": format!("CPU {socket}"),
                "Manufacturer": "Intel(R) Corporation",
                "Model": "Intel(R) Xeon(R) Platinum 8480C",
                "SerialNumber": number(machine, &format!("cpu/{socket}"), 16),
                "TotalCores": 56,
                "TotalThreads": 112,
                "Status": well(),
            }))
        }
        ("Memory", "") => Some(collection(at, "Memory", (1..=DIMMS).map(|n| format!("{at}/DIMM{n}")))),
        ("Memory", id) => {
            let slot = id.strip_prefix("DIMM")?.parse::<u32>().ok().filter(|n| (1..=DIMMS).contains(n))?;
            Some(json!({
                "@odata.type": "#Memory.v1_16_0.Memory",
                "@odata.id": at,
                "Id": id,
                "Name": format!("Memory {slot}"),
                "DeviceLocator": id,
                "MemoryDeviceType": "DDR5",
                "CapacityMiB": 65_536,
                "Manufacturer": "Micron",
                "PartNumber": "MTC40F2046S1RC48BA1",
                "SerialNumber": number(machine, &format!("dimm/{slot}"), 8),
                "Status": well(),
            }))
        }
        _ => None,
    }
}

fn assembly(machine: &MachineHandle, at: &str) -> Value {
    let maker = machine.identity().profile.manufacturer;
    let board = |index: u32, name: &str, part: &str| {
        json!({
            "@odata.id": format!("{at}#/Assemblies/{index}"),
            "MemberId": index.to_string(),
            "Name": name,
            "Vendor": maker,
            "PartNumber": part,
            "SerialNumber": number(machine, &format!("board/{index}"), 12),
        })
    };
    json!({
        "@odata.type": "#Assembly.v1_4_0.Assembly",
        "@odata.id": at,
        "Id": "Assembly",
        "Name": "Assembly",
        "Assemblies": [board(0, "System Board", "SB-9680-A01"), board(1, "Backplane", "BP-2408-A03")],
    })
}
