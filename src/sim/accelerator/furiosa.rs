//! What `furiosa-smi` prints for RNGD cards.

use serde_json::{Value, json};

use super::Card;

/// Firmware of every card.
pub(super) const FIRMWARE: &str = "2026.3.0, 2d3f72a";

fn present(cards: &[Card]) -> impl Iterator<Item = &Card> {
    cards.iter().filter(|c| !c.missing)
}

/// `furiosa-smi info --format json`.
#[must_use]
pub fn info(cards: &[Card]) -> Value {
    present(cards)
        .map(|card| {
            json!({
                "arch": "rngd",
                "dev_name": format!("npu{}", card.slot),
                "device_uuid": card.uuid.to_ascii_uppercase(),
                "device_sn": card.serial,
                "firmware": FIRMWARE,
                "temperature": format!("{}.40\u{b0}C", card.temperature_c),
                "power": "38.40 W",
                "core_clock": "1000 MHz",
                "governor": "OnDemand",
                "pci_bdf": format!("0000:{:02x}:00.0", card.bus),
                "pci_dev": format!("{}:0", 234 + card.slot),
            })
        })
        .collect()
}

/// `furiosa-smi status --format json`.
#[must_use]
pub fn status(cards: &[Card]) -> Value {
    present(cards)
        .map(|card| {
            let cores: Vec<Value> =
                (0..8).map(|core| json!({ "pe_core": core, "pe_occupancy": 0, "pe_utilization": 0.0 })).collect();
            json!({
                "device": format!("npu{}", card.slot),
                "liveness": true,
                "memory": { "DRAM": { "used_size": 0, "total_size": 51_539_607_552_u64, "used_ratio": 0.0 } },
                "pe_utilizations": cores,
            })
        })
        .collect()
}
