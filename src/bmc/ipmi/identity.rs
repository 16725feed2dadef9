//! Who the BMC and its node are: Get Device ID, Get System GUID, FRU 0. What a BMC does not hold stays unknown, with its own words.

use ipmi_rs_core::app::{DeviceId, GetDeviceId};

use super::command::fru::{self, Area, GetFruInfo, ReadFru};
use super::command::guid::{self, GetSystemGuid};
use super::fault::Fault;
use super::turn::{Need, Turn};
use crate::bmc::BmcError;
use crate::model::{BmcFacts, Reading, Version};

/// FRU device 0 is the node itself (§34).
const NODE: u8 = 0;
/// Bytes asked for at once; halved when the BMC finds it too many.
const CHUNK: u8 = 32;
const LEAST_CHUNK: u8 = 8;
/// Codes by which a BMC says so (§5.2).
const TOO_MANY: [u8; 4] = [0xc7, 0xc8, 0xca, 0xff];

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
    let mut reader = match Reader::open(turn).await {
        Ok(reader) => reader,
        Err(why) => return Ok(nothing(why)),
    };
    let areas = match reader.bytes(0, fru::HEADER_LEN).await.and_then(|header| fru::areas(&header).map_err(str::to_owned)) {
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

type Fields = Result<Vec<Option<String>>, String>;

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

struct Reader<'a, 'b> {
    turn: &'a mut Turn<'b>,
    size: u16,
    unit: u16,
    chunk: u8,
}

impl<'a, 'b> Reader<'a, 'b> {
    async fn open(turn: &'a mut Turn<'b>) -> Result<Self, String> {
        let info =
            turn.read(Need::User, || GetFruInfo(NODE)).await.map_err(|fault| fault.into_error("get FRU 0 info").to_string())?;
        Ok(Self { turn, size: info.size, unit: if info.by_words { 2 } else { 1 }, chunk: CHUNK })
    }

    async fn area(&mut self, area: Area, at: Option<u16>) -> Fields {
        let at = at.ok_or_else(|| format!("there is no {area:?} area").to_lowercase())?;
        let len = fru::area_len(&self.bytes(at, 2).await?);
        let bytes = self.bytes(at, len).await?;
        fru::fields(area, &bytes).map_err(str::to_owned)
    }

    /// Reads `len` bytes; each request asks for at most what is missing, and an answer without bytes ends it, so it always ends.
    async fn bytes(&mut self, at: u16, len: u16) -> Result<Vec<u8>, String> {
        let end = at.checked_add(len).filter(|end| *end <= self.size).ok_or("the FRU inventory is shorter than it says")?;
        let mut out: Vec<u8> = Vec::new();
        while let Some(from) = u16::try_from(out.len()).ok().map(|done| at + done).filter(|from| *from < end) {
            let want = u16::from(self.chunk).min(end - from).next_multiple_of(self.unit);
            let count = u8::try_from(want / self.unit).unwrap_or(1);
            let offset = from / self.unit;
            match self.turn.read(Need::User, || ReadFru { device: NODE, offset, count }).await {
                Ok(bytes) if bytes.is_empty() => return Err("the BMC gave no bytes of the FRU inventory".to_owned()),
                Ok(bytes) => out.extend(bytes.into_iter().take(usize::from(end - from))),
                Err(Fault::Code(code)) if TOO_MANY.contains(&code) && self.chunk > LEAST_CHUNK => self.chunk /= 2,
                Err(fault) => return Err(fault.into_error("read FRU 0").to_string()),
            }
        }
        Ok(out)
    }
}
