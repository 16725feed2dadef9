//! Who the BMC and its node are: Get Device ID, Get System GUID, FRU 0. What a BMC does not hold stays unknown, with its own words.

use ipmi_rs_core::app::{DeviceId, GetDeviceId};

use super::command::fru::Area;
use super::command::guid::{self, GetSystemGuid};
use super::fru::{Fields, Reader};
use super::turn::{Need, Turn};
use crate::bmc::BmcError;
use crate::model::{BmcFacts, Reading, Version};

/// FRU device 0 is the node itself (§34).
const NODE: u8 = 0;

pub(super) async fn device(turn: &mut Turn<'_>) -> Result<DeviceId, BmcError> {
    turn.read(Need::User, || GetDeviceId).await.map_err(|fault| fault.into_error("get device id"))
}

/// `major.minor` as every IPMI tool prints it: the minor number is two decimal digits (§20.1).
pub(super) fn version(id: &DeviceId) -> Reading<Version> {
    match Version::new(format!("{}.{:02}", id.major_fw_revision, id.minor_fw_revision)) {
        Ok(version) => Reading::Known(version),
        Err(error) => Reading::unknown(error.to_string()),
    }
}

pub(super) async fn read(turn: &mut Turn<'_>) -> Result<BmcFacts, BmcError> {
    let bmc_version = version(&device(turn).await?);
    let uuid = match turn.read(Need::User, || GetSystemGuid).await {
        Ok(sent) => guid::text(sent).map_or_else(Reading::unknown, Reading::Known),
        Err(fault) => Reading::unknown(fault.into_error("get system GUID").to_string()),
    };
    let nothing = |why: String| BmcFacts {
        vendor: Reading::unknown(why.clone()),
        model: Reading::unknown(why.clone()),
        serial: Reading::unknown(why),
        uuid: uuid.clone(),
        bmc_version: bmc_version.clone(),
    };
    let mut reader = match Reader::open(turn, NODE).await {
        Ok(reader) => reader,
        Err(why) => return Ok(nothing(why)),
    };
    let areas = match reader.areas().await {
        Ok(areas) => areas,
        Err(why) => return Ok(nothing(format!("FRU 0: {why}"))),
    };
    let product = reader.area(Area::Product, areas.product).await;
    let board = reader.area(Area::Board, areas.board).await;
    let chassis = reader.area(Area::Chassis, areas.chassis).await;
    // The board's serial is that of a part that gets replaced, not of the node: it never stands in for it.
    Ok(BmcFacts {
        vendor: first(&[(&product, 0), (&board, 0)]),
        model: first(&[(&product, 1), (&board, 1)]),
        serial: first(&[(&product, 4), (&chassis, 1)]),
        uuid,
        bmc_version,
    })
}

/// The first of these fields that is filled in, or why none is known.
fn first(places: &[(&Fields, usize)]) -> Reading<String> {
    let mut whys = Vec::new();
    for (fields, at) in places {
        match fields {
            Ok(fields) => match fields.get(*at).cloned().flatten() {
                Some(text) => return Reading::Known(text),
                None => whys.push("the field is empty".to_owned()),
            },
            Err(why) => whys.push(why.clone()),
        }
    }
    whys.dedup();
    Reading::unknown(format!("FRU 0: {}", whys.join("; ")))
}
