//! The accelerators of a node as its BMC sees them: processors with their error counts, or PCIe devices with their class. Seeded faults show as a BMC
//! would see them: missing, narrow link, memory errors, heat.

use serde_json::{Value, json};

use super::sensor::chassis_path;
use super::system;
use super::tree::{collection, link};
use crate::model::{AcceleratorKind, PowerState};
use crate::sim::accelerator::{self, Card};
use crate::sim::handle::MachineHandle;
use crate::sim::history::HOT_C;

/// Maker, model, part number, and PCI vendor, device and class.
fn make(kind: AcceleratorKind) -> (&'static str, &'static str, &'static str, [&'static str; 3]) {
    match kind {
        AcceleratorKind::Nvidia => ("NVIDIA", "H100 80GB HBM3", "2330-885-A1", ["0x10de", "0x2330", "0x030200"]),
        AcceleratorKind::Furiosa => ("FuriosaAI", "RNGD", "FXA-RNGD-48", ["0x1ed2", "0x0001", "0x120000"]),
        AcceleratorKind::Rebellions => ("Rebellions", "RBLN-CA25", "RBLN-CA25-01", ["0x1eff", "0x1250", "0x120000"]),
        AcceleratorKind::Pci => ("Example", "Accelerator", "EX-1", ["0x209f", "0x0000", "0x120000"]),
    }
}

fn cards(machine: &MachineHandle) -> Vec<Card> {
    accelerator::cards(machine.identity(), &machine.faults())
}

fn name(machine: &MachineHandle, card: &Card) -> String {
    let word = if machine.identity().fitted.kind == AcceleratorKind::Nvidia { "GPU" } else { "NPU" };
    format!("{word}_{}", card.slot + 1)
}

/// Path of the accelerator in a slot, from 0.
#[must_use]
pub fn path(machine: &MachineHandle, slot: u32) -> Option<String> {
    let card = cards(machine).into_iter().find(|card| card.slot == slot)?;
    let name = name(machine, &card);
    let processors = machine.identity().profile.senses.processors;
    // A PCIe device that is not there has no resource.
    (processors || !card.missing).then(|| {
        if processors {
            format!("{}/Processors/{name}", system::path(machine))
        } else {
            format!("{}/PCIeDevices/{name}", chassis_path(machine))
        }
    })
}

fn status(machine: &MachineHandle, card: &Card) -> Value {
    if card.missing {
        return json!({ "State": "Absent" });
    }
    let on = machine.power_state() != PowerState::Off;
    let critical = card.uncorrectable > 0 || card.remap_failure || card.temperature_c >= HOT_C;
    let warning = card.remap_pending || card.width < 16;
    let health = if critical {
        "Critical"
    } else if warning {
        "Warning"
    } else {
        "OK"
    };
    json!({ "State": if on { "Enabled" } else { "StandbyOffline" }, "Health": health })
}

/// Paths of the processors that are accelerators.
pub fn processors(machine: &MachineHandle) -> Vec<String> {
    if !machine.identity().profile.senses.processors {
        return Vec::new();
    }
    cards(machine).iter().filter_map(|card| path(machine, card.slot)).collect()
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let all = cards(machine);
    if !machine.identity().profile.senses.processors && at == format!("{}/PCIeDevices", chassis_path(machine)) {
        return Some(collection(at, "PCIeDevice", all.iter().filter_map(|card| path(machine, card.slot))));
    }
    let (card, rest) = all.iter().find_map(|card| {
        let rest = at.strip_prefix(&path(machine, card.slot)?)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((card, rest))
    })?;
    let processors = machine.identity().profile.senses.processors;
    match rest {
        "" if processors => Some(processor(machine, card, at)),
        "/MemorySummary/MemoryMetrics" if processors && !card.missing => Some(json!({
            "@odata.type": "#MemoryMetrics.v1_7_0.MemoryMetrics",
            "@odata.id": at,
            "Id": "MemoryMetrics",
            "Name": "Memory Metrics",
            "LifeTime": { "CorrectableECCErrorCount": 0, "UncorrectableECCErrorCount": card.uncorrectable },
        })),
        "" => Some(device(machine, card, at)),
        "/PCIeFunctions" => Some(collection(at, "PCIeFunction", [format!("{at}/0")])),
        "/PCIeFunctions/0" => Some(function(machine, card, at)),
        _ => None,
    }
}

fn processor(machine: &MachineHandle, card: &Card, at: &str) -> Value {
    let (maker, model, part, _) = make(machine.identity().fitted.kind);
    let name = name(machine, card);
    let kind = if machine.identity().fitted.kind == AcceleratorKind::Nvidia { "GPU" } else { "Accelerator" };
    let mut value = json!({
        "@odata.type": "#Processor.v1_13_0.Processor",
        "@odata.id": at,
        "Id": name,
        "Name": name.replace('_', " "),
        "ProcessorType": kind,
        "Status": status(machine, card),
        "Location": { "PartLocation": { "ServiceLabel": format!("Slot {}", card.slot + 1), "LocationType": "Slot" } },
    });
    if !card.missing
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("Manufacturer".to_owned(), json!(maker));
        fields.insert("Model".to_owned(), json!(model));
        fields.insert("PartNumber".to_owned(), json!(part));
        fields.insert("SerialNumber".to_owned(), json!(card.serial));
        fields.insert("UUID".to_owned(), json!(card.uuid));
        fields.insert("FirmwareVersion".to_owned(), json!(accelerator::firmware(machine.identity().fitted.kind).1));
        fields.insert("MemorySummary".to_owned(), json!({ "Metrics": link(format!("{at}/MemorySummary/MemoryMetrics")) }));
        let lanes = json!({ "LanesInUse": card.width, "MaxLanes": 16, "PCIeType": "Gen5", "MaxPCIeType": "Gen5" });
        fields.insert("SystemInterface".to_owned(), json!({ "InterfaceType": "PCIe", "PCIe": lanes }));
    }
    value
}

fn device(machine: &MachineHandle, card: &Card, at: &str) -> Value {
    let (_, model, part, _) = make(machine.identity().fitted.kind);
    let name = name(machine, card);
    json!({
        "@odata.type": "#PCIeDevice.v1_9_0.PCIeDevice",
        "@odata.id": at,
        "Id": name,
        "Name": name.replace('_', " "),
        // As on a Supermicro board: the maker is known by its PCI vendor alone.
        "Manufacturer": null,
        "Model": model,
        "PartNumber": part,
        "SerialNumber": card.serial,
        "UUID": card.uuid,
        "FirmwareVersion": accelerator::firmware(machine.identity().fitted.kind).1,
        "DeviceType": "SingleFunction",
        "Status": status(machine, card),
        "PCIeInterface": { "LanesInUse": card.width, "MaxLanes": 16, "PCIeType": "Gen5", "MaxPCIeType": "Gen5" },
        "PCIeFunctions": link(format!("{at}/PCIeFunctions")),
        "Links": { "Chassis": [link(chassis_path(machine))] },
    })
}

fn function(machine: &MachineHandle, card: &Card, at: &str) -> Value {
    let (.., [vendor, device, class]) = make(machine.identity().fitted.kind);
    json!({
        "@odata.type": "#PCIeFunction.v1_5_0.PCIeFunction",
        "@odata.id": at,
        "Id": "0",
        "Name": "Function 0",
        "FunctionId": 0,
        "FunctionType": "Physical",
        "DeviceClass": if class.starts_with("0x03") { "DisplayController" } else { "ProcessingAccelerators" },
        "ClassCode": class,
        "VendorId": vendor,
        "DeviceId": device,
        "Status": status(machine, card),
        "Links": { "PCIeDevice": link(at.trim_end_matches("/PCIeFunctions/0")) },
    })
}
