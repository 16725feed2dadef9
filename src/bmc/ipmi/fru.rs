//! Reads the inventory of one FRU device in the pieces that its BMC gives, within the bounds that it has told. What it means stands in `command::fru`.

use super::command::fru::{self, Area, Areas, GetFruInfo, ReadFru};
use super::fault::Fault;
use super::turn::{Need, Turn};

/// Bytes asked for at once; halved when the BMC finds it too many.
const CHUNK: u8 = 32;
const LEAST_CHUNK: u8 = 8;
/// Codes by which a BMC says so (§5.2).
const TOO_MANY: [u8; 4] = [0xc7, 0xc8, 0xca, 0xff];
/// Multirecords that are read of one device at most.
const MULTIRECORDS: usize = 32;

/// Fields of an area, or why there are none.
pub(super) type Fields = Result<Vec<Option<String>>, String>;

/// Reads one FRU device.
pub(super) struct Reader<'a, 'b> {
    turn: &'a mut Turn<'b>,
    device: u8,
    size: u16,
    unit: u16,
    chunk: u8,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(super) async fn open(turn: &'a mut Turn<'b>, device: u8) -> Result<Self, String> {
        let info = turn.read(Need::User, || GetFruInfo(device)).await;
        let info = info.map_err(|fault| fault.into_error(format!("get FRU {device} info")).to_string())?;
        Ok(Self { turn, device, size: info.size, unit: if info.by_words { 2 } else { 1 }, chunk: CHUNK })
    }

    /// Where the areas are.
    pub(super) async fn areas(&mut self) -> Result<Areas, String> {
        let header = self.bytes(0, fru::HEADER_LEN).await?;
        fru::areas(&header).map_err(str::to_owned)
    }

    /// The fields of an area.
    pub(super) async fn area(&mut self, area: Area, at: Option<u16>) -> Fields {
        let at = at.ok_or_else(|| format!("there is no {area:?} area").to_lowercase())?;
        let len = fru::area_len(&self.bytes(at, 2).await?);
        let bytes = self.bytes(at, len).await?;
        fru::fields(area, &bytes).map_err(str::to_owned)
    }

    /// Watts of a power supply, as the multirecords say.
    pub(super) async fn supply_watts(&mut self, at: Option<u16>) -> Result<Option<u16>, String> {
        let Some(mut at) = at else { return Ok(None) };
        for _ in 0..MULTIRECORDS {
            let header = fru::multi_header(&self.bytes(at, fru::MULTI_HEADER).await?)?;
            if header.kind == 0 {
                let body = self.bytes(at + fru::MULTI_HEADER, header.length.into()).await?;
                return Ok(fru::supply_watts(&header, &body)?);
            }
            if header.last {
                return Ok(None);
            }
            // `bytes` has bounded `at` by the size of the inventory, which has 16 bits.
            at = at.saturating_add(fru::MULTI_HEADER + u16::from(header.length));
        }
        Err(format!("more than {MULTIRECORDS} multirecords"))
    }

    /// Reads `len` bytes; each request asks for at most what is missing, and an answer without bytes ends it, so it always ends.
    async fn bytes(&mut self, at: u16, len: u16) -> Result<Vec<u8>, String> {
        let end = at.checked_add(len).filter(|end| *end <= self.size).ok_or("the FRU inventory is shorter than it says")?;
        let device = self.device;
        let mut out: Vec<u8> = Vec::new();
        while let Some(from) = u16::try_from(out.len()).ok().map(|done| at + done).filter(|from| *from < end) {
            let want = u16::from(self.chunk).min(end - from).next_multiple_of(self.unit);
            let count = u8::try_from(want / self.unit).unwrap_or(1);
            let offset = from / self.unit;
            match self.turn.read(Need::User, || ReadFru { device, offset, count }).await {
                Ok(bytes) if bytes.is_empty() => return Err("the BMC gave no bytes of the FRU inventory".to_owned()),
                Ok(bytes) => out.extend(bytes.into_iter().take(usize::from(end - from))),
                Err(Fault::Code(code)) if TOO_MANY.contains(&code) && self.chunk > LEAST_CHUNK => self.chunk /= 2,
                Err(fault) => return Err(fault.into_error(format!("read FRU {device}")).to_string()),
            }
        }
        Ok(out)
    }
}
