//! What `rbln-smi -j` prints for ATOM-Max cards: each card is four devices that share one `sid`, and each repeats the whole card's power.

use serde_json::{Value, json};

use super::Card;

/// Firmware of every device.
pub(super) const FIRMWARE: &str = "3.0.0";

/// `rbln-smi -j`.
#[must_use]
pub fn listing(cards: &[Card], driver: &str) -> Value {
    let devices: Vec<Value> = cards
        .iter()
        .filter(|c| !c.missing)
        .flat_map(|card| (0..4).map(move |part| (card, part)))
        .map(|(card, part)| {
            let number = card.slot * 4 + part;
            let (head, tail) = card.uuid.split_at(card.uuid.len().saturating_sub(1));
            let last = tail.chars().next().and_then(|c| c.to_digit(16)).unwrap_or(0);
            json!({
                "npu": number.to_string(),
                "name": "RBLN-CA25",
                "sid": card.serial,
                "uuid": format!("{head}{:x}", (last + part) % 16),
                "device": format!("rbln{number}"),
                "status": "normal",
                "fw_ver": FIRMWARE,
                "pci": {
                    "dev": format!("0x{:04x}", 0xf0 + number),
                    "bus_id": format!("0000:{:02x}:00.0", card.bus + part),
                    "numa_node": (card.slot / 4).to_string(),
                    "link_speed": "32.0GT/s",
                    "link_width": card.width.to_string(),
                },
                "temperature": format!("{}C", card.temperature_c),
                "card_power": "76000000uW",
                "pstate": "P14",
                "memory": { "used": "0", "total": "17179869184" },
                "util": "0.0",
                "board_info": "",
                "location": card.slot.to_string(),
            })
        })
        .collect();
    json!({ "KMD_version": driver, "devices": devices, "contexts": [] })
}
