//! Field-replaceable units: device 0, which is the node itself, and every device that the repository names. Each area of a device is one item.

use super::repository::{self, Kept};
use super::words;
use crate::bmc::BmcError;
use crate::bmc::ipmi::command::fru::Area;
use crate::bmc::ipmi::fru::{Fields, Reader};
use crate::bmc::ipmi::turn::Turn;
use crate::bmc::sensing::{Fru, Listing};
use crate::model::Reading;

/// Devices that are read at most; ids have one byte.
const DEVICES: usize = 255;
/// The BMC's own address on the message bus.
const BMC: u8 = 0x20;

struct Device {
    id: u8,
    name: String,
    kind: &'static str,
}

pub(super) async fn all(turn: &mut Turn<'_>, kept: &Kept) -> Result<Reading<Listing<Fru>>, BmcError> {
    let mut listing = Listing::default();
    let mut devices = vec![Device { id: 0, name: "FRU 0".to_owned(), kind: "system" }];
    match repository::current(turn, kept).await? {
        Reading::Known(repository) => {
            listing.unread.clone_from(&repository.unread);
            for locator in &repository.frus {
                let place = if locator.name.is_empty() { words::entity(locator.entity) } else { locator.name.clone() };
                match locator.device {
                    Some(_) if locator.owner != BMC => {
                        listing
                            .unread
                            .push(format!("{place}: the controller at {:02x}h has it, which is not asked", locator.owner));
                    }
                    Some(0) => {
                        if let Some(first) = devices.first_mut() {
                            first.name = place;
                        }
                    }
                    Some(id) if devices.iter().all(|device| device.id != id) && devices.len() < DEVICES => {
                        devices.push(Device { id, name: place, kind: words::fru_kind(locator.entity.0) });
                    }
                    Some(_) => {}
                    None => listing.unread.push(format!("{place}: its memory is behind a bus that is not read")),
                }
            }
        }
        Reading::Absent => {}
        Reading::Unknown { why } => listing.unread.push(why),
    }
    for device in &devices {
        read(turn, device, &mut listing).await;
    }
    Ok(Reading::Known(listing))
}

async fn read(turn: &mut Turn<'_>, device: &Device, into: &mut Listing<Fru>) {
    let mut reader = match Reader::open(turn, device.id).await {
        Ok(reader) => reader,
        Err(why) => return into.unread.push(format!("{}: {why}", device.name)),
    };
    let areas = match reader.areas().await {
        Ok(areas) => areas,
        Err(why) => return into.unread.push(format!("{}: {why}", device.name)),
    };
    let watts = match reader.supply_watts(areas.multi).await {
        Ok(watts) => watts,
        Err(why) => {
            into.unread.push(format!("{}: {why}", device.name));
            None
        }
    };
    for (area, at) in [(Area::Product, areas.product), (Area::Board, areas.board), (Area::Chassis, areas.chassis)] {
        if at.is_none() {
            continue;
        }
        match reader.area(area, at).await {
            Ok(fields) => into.items.push(item(device, area, &Ok(fields), watts)),
            Err(why) => into.unread.push(format!("{}: {} area: {why}", device.name, word(area))),
        }
    }
}

fn word(area: Area) -> &'static str {
    match area {
        Area::Chassis => "chassis",
        Area::Board => "board",
        Area::Product => "product",
    }
}

fn item(device: &Device, area: Area, fields: &Fields, watts: Option<u16>) -> Fru {
    let at = |place: Option<usize>| -> Reading<String> {
        match (place, fields) {
            // The area has no such field at all.
            (None, _) => Reading::Absent,
            (Some(at), Ok(fields)) => match fields.get(at) {
                Some(Some(text)) => Reading::Known(text.clone()),
                _ => Reading::Absent,
            },
            (Some(_), Err(why)) => Reading::unknown(why.clone()),
        }
    };
    // Places of maker, model, part and serial number in each area (FRU Information Storage Definition §10 to §12).
    let (maker, model, part, serial) = match area {
        Area::Chassis => (None, None, Some(0), Some(1)),
        Area::Board => (Some(0), Some(1), Some(3), Some(2)),
        Area::Product => (Some(0), Some(1), Some(2), Some(4)),
    };
    let kind = if device.id == 0 || device.kind == "assembly" { word(area) } else { device.kind };
    let watts = watts.map(|watts| format!(", {watts} W")).unwrap_or_default();
    Fru {
        id: format!("{}/{}", device.id, word(area)),
        kind: kind.to_owned(),
        name: format!("{}{watts}", device.name),
        maker: at(maker),
        model: at(model),
        part: at(part),
        serial: at(serial),
        // A FRU's memory says nothing of its health.
        health: Reading::Absent,
    }
}
