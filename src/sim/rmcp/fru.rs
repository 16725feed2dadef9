//! FRU 0 as bytes (Platform Management FRU Information Storage Definition 1.0 rev. 1.3): chassis, board and product area from the identity.

use super::sensors::SUPPLY_COUNT;
use crate::sim::identity::Identity;

/// English, ASCII.
const ENGLISH: u8 = 25;
/// No more fields.
const END: u8 = 0xc1;
/// Rack mount chassis (SMBIOS type 3).
const RACK: u8 = 0x17;

/// Watts that each power supply can give.
const SUPPLY_WATTS: u16 = 3000;

/// The inventory of a FRU device: 0 is the node, then come its power supplies.
pub(super) fn device(identity: &Identity, id: u8) -> Option<Vec<u8>> {
    match id {
        0 => Some(area(identity)),
        id if id <= SUPPLY_COUNT => Some(supply(identity, id)),
        _ => None,
    }
}

/// A power supply: a product area, and a multirecord that says what it gives (§18.1).
fn supply(identity: &Identity, id: u8) -> Vec<u8> {
    let serial = identity.seed.code(&format!("{}/psu/{id}", identity.node), 10);
    let product = section(&[ENGLISH], &["Sim Power", "PSU 3000 W", "SP-3000", "A1", &serial, "", ""]);
    let mut body = SUPPLY_WATTS.to_le_bytes().to_vec();
    // Peak VA, inrush, input ranges and the rest: not told.
    body.extend([0; 22]);
    let mut header = vec![0x00, 0x82, u8::try_from(body.len()).unwrap_or(0), checksum(&body)];
    header.push(checksum(&header));
    let multi = u8::try_from(1 + product.len() / 8).unwrap_or(0);
    let mut out = vec![0x01, 0x00, 0x00, 0x00, 0x01, multi, 0x00];
    out.push(checksum(&out));
    [out, product, header, body].concat()
}

/// The whole inventory area of the node.
fn area(identity: &Identity) -> Vec<u8> {
    let profile = identity.profile;
    let chassis = section(&[RACK], &[profile.model, &identity.serial]);
    // Bytes 1 to 3: no date of manufacture.
    let board = section(&[ENGLISH, 0, 0, 0], &[profile.manufacturer, profile.model, &identity.serial, profile.model, ""]);
    let product = section(
        &[ENGLISH],
        &[profile.manufacturer, profile.model, profile.model, "1.0", &identity.serial, identity.node.as_str(), ""],
    );
    let units = |bytes: usize| u8::try_from(bytes / 8).unwrap_or(0);
    let at = [8, 8 + chassis.len(), 8 + chassis.len() + board.len()].map(units);
    let mut out = vec![0x01, 0x00, at[0], at[1], at[2], 0x00, 0x00];
    out.push(checksum(&out));
    [out, chassis, board, product].concat()
}

/// Version, length in units of eight, fixed bytes, fields, end, pad, checksum.
fn section(fixed: &[u8], fields: &[&str]) -> Vec<u8> {
    let mut out = vec![0x01, 0x00];
    out.extend(fixed);
    for field in fields {
        let text: Vec<u8> = field.bytes().filter(|b| b.is_ascii_graphic() || *b == b' ').take(63).collect();
        // A one-byte text field would read as the end mark.
        let text = if text.len() == 1 { [text, b" ".to_vec()].concat() } else { text };
        out.push(0xc0 | u8::try_from(text.len()).unwrap_or(0));
        out.extend(text);
    }
    out.push(END);
    while out.len() % 8 != 7 {
        out.push(0);
    }
    let units = u8::try_from((out.len() + 1) / 8).unwrap_or(0);
    if let Some(length) = out.get_mut(1) {
        *length = units;
    }
    out.push(checksum(&out));
    out
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg()
}
