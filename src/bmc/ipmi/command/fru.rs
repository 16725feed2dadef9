//! FRU inventory: the two commands (IPMI v2.0 §34.1, §34.2) and the areas (Platform Management FRU Information Storage Definition v1.0 rev 1.3).
//! Everything in it comes from an EEPROM and is hostile: lengths are bounded, checksums compared, text escaped.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Get FRU Inventory Area Info of one FRU device.
pub struct GetFruInfo(pub u8);

/// Size of a FRU's inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FruInfo {
    /// Bytes in all.
    pub size: u16,
    /// Offsets and counts are in words.
    pub by_words: bool,
}

impl From<GetFruInfo> for Message {
    fn from(command: GetFruInfo) -> Self {
        Self::new_request(NetFn::Storage, 0x10, vec![command.0])
    }
}

impl IpmiCommand for GetFruInfo {
    type Output = FruInfo;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<FruInfo, NotEnoughData> {
        match data {
            [low, high, access, ..] => Ok(FruInfo { size: u16::from_le_bytes([*low, *high]), by_words: access & 1 != 0 }),
            _ => Err(NotEnoughData),
        }
    }
}

/// Read FRU Data.
pub struct ReadFru {
    /// FRU device.
    pub device: u8,
    /// Where, in bytes or words as [`FruInfo::by_words`] says.
    pub offset: u16,
    /// How many, likewise.
    pub count: u8,
}

impl From<ReadFru> for Message {
    fn from(command: ReadFru) -> Self {
        let [low, high] = command.offset.to_le_bytes();
        Self::new_request(NetFn::Storage, 0x11, vec![command.device, low, high, command.count])
    }
}

impl IpmiCommand for ReadFru {
    type Output = Vec<u8>;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Vec<u8>, NotEnoughData> {
        // The count is repeated in front; what really came is what counts.
        data.split_first().map(|(_count, bytes)| bytes.to_vec()).ok_or(NotEnoughData)
    }
}

/// Where the areas lie, in bytes from the start; `None` when absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// Chassis info area.
    pub chassis: Option<u16>,
    /// Board info area.
    pub board: Option<u16>,
    /// Product info area.
    pub product: Option<u16>,
    /// Multirecord area.
    pub multi: Option<u16>,
}

/// Bytes of the common header.
pub const HEADER_LEN: u16 = 8;

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) == 0
}

/// Reads the common header (§8).
///
/// # Errors
/// Says what is wrong with it.
pub fn areas(header: &[u8]) -> Result<Areas, &'static str> {
    let &[format, _internal, chassis, board, product, multi, _pad, _sum] = header else {
        return Err("the FRU header is cut short");
    };
    if format & 0x0f != 1 {
        return Err("the FRU inventory is empty or of an unknown format");
    }
    if !sums_to_zero(header) {
        return Err("the FRU header has a wrong checksum");
    }
    let at = |eighths: u8| (eighths != 0).then(|| u16::from(eighths) * 8);
    Ok(Areas { chassis: at(chassis), board: at(board), product: at(product), multi: at(multi) })
}

/// Length of an area in bytes, from its first two bytes; 0 when they are not there.
#[must_use]
pub fn area_len(start: &[u8]) -> u16 {
    start.get(1).map_or(0, |eighths| u16::from(*eighths) * 8)
}

/// Which area is read: each has other fixed bytes before its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Fields: part number, serial number.
    Chassis,
    /// Fields: manufacturer, product name, serial number, part number.
    Board,
    /// Fields: manufacturer, product name, part or model number, version, serial number, asset tag.
    Product,
}

/// The fields of an area, in order; an empty field is `None`.
///
/// # Errors
/// Says what is wrong with the area.
pub fn fields(area: Area, bytes: &[u8]) -> Result<Vec<Option<String>>, &'static str> {
    let bytes = bytes.get(..usize::from(area_len(bytes))).filter(|b| !b.is_empty()).ok_or("the FRU area is cut short")?;
    if !sums_to_zero(bytes) {
        return Err("the FRU area has a wrong checksum");
    }
    let fixed = match area {
        Area::Chassis | Area::Product => 3,
        Area::Board => 6,
    };
    let english = area == Area::Chassis || bytes.get(2).is_some_and(|language| matches!(language, 0 | 25));
    let mut rest = bytes.get(fixed..).unwrap_or_default();
    let mut out = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        if kind == 0xc1 {
            return Ok(out);
        }
        let (field, after) = after.split_at_checked(usize::from(kind & 0x3f)).ok_or("a FRU field runs over its area")?;
        out.push(field_text(kind >> 6, field, english));
        rest = after;
    }
    Err("the FRU area has no end mark")
}

/// Bytes of a multirecord's header (§16.1).
pub const MULTI_HEADER: u16 = 5;

/// The header of one multirecord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiHeader {
    /// Record type: 0 power supply, 1 and 2 DC output and load, 3 management access, C0h and above the vendor's.
    pub kind: u8,
    /// It is the last one.
    pub last: bool,
    /// Bytes behind the header.
    pub length: u8,
    sum: u8,
}

/// Reads a multirecord's header.
///
/// # Errors
/// Says what is wrong with it.
pub fn multi_header(bytes: &[u8]) -> Result<MultiHeader, &'static str> {
    let &[kind, flags, length, sum, _] = bytes else { return Err("a FRU multirecord is cut short") };
    if !sums_to_zero(bytes) {
        return Err("a FRU multirecord's header has a wrong checksum");
    }
    Ok(MultiHeader { kind, last: flags & 0x80 != 0, length, sum })
}

/// Watts that a power supply can give (§18.1), when this record says so.
///
/// # Errors
/// Says what is wrong with the record.
pub fn supply_watts(header: &MultiHeader, body: &[u8]) -> Result<Option<u16>, &'static str> {
    if body.len() != usize::from(header.length) {
        return Err("a FRU multirecord is cut short");
    }
    if body.iter().fold(header.sum, |sum, b| sum.wrapping_add(*b)) != 0 {
        return Err("a FRU multirecord has a wrong checksum");
    }
    let capacity = body.first_chunk().map(|low| u16::from_le_bytes(*low) & 0x0fff);
    Ok(capacity.filter(|watts| header.kind == 0 && *watts > 0 && *watts < 0x0fff))
}

/// Field encodings (§13): binary, BCD plus, packed 6-bit ASCII, language's own (Latin-1 for English).
pub(super) fn field_text(kind: u8, field: &[u8], english: bool) -> Option<String> {
    let text: String = match kind {
        0 => field.iter().map(|b| format!("{b:02x}")).collect(),
        1 => field
            .iter()
            .flat_map(|b| [b >> 4, b & 0x0f])
            .map(|d| *b"0123456789 -.   ".get(usize::from(d)).unwrap_or(&b' '))
            .map(char::from)
            .collect(),
        2 => six_bit(field),
        _ if english => field.iter().map(|b| char::from(*b)).collect(),
        // Two-byte characters in other languages (UTF-16, least significant byte first).
        _ => {
            let units = field.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    };
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.escape_debug().collect())
}

fn six_bit(field: &[u8]) -> String {
    let mut out = String::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in field {
        bits |= u32::from(*byte) << held;
        held += 8;
        while held >= 6 {
            out.push(char::from(u8::try_from(bits & 0x3f).unwrap_or(0) + 0x20));
            bits >>= 6;
            held -= 6;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Area, areas, fields, multi_header, supply_watts};

    proptest::proptest! {
        #[test]
        fn anything_is_a_multirecord_or_none(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            if let Ok(header) = multi_header(&bytes) {
                let _ = supply_watts(&header, &bytes);
            }
            let _ = (areas(&bytes).is_ok(), fields(Area::Board, &bytes).is_ok());
        }
    }

    #[test]
    fn a_power_supply_says_what_it_gives() {
        let body = [0x60, 0x09, 1, 2, 3];
        let sum = body.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg();
        let mut header = vec![0x00, 0x82, 5, sum];
        header.push(header.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg());
        let read = multi_header(&header).unwrap();
        assert!(read.last && read.kind == 0);
        assert_eq!(supply_watts(&read, &body), Ok(Some(2400)));
        assert!(supply_watts(&read, &body[..4]).is_err());
        assert!(supply_watts(&read, &[0x60, 0x09, 1, 2, 4]).is_err());
        header[2] = 6;
        assert!(multi_header(&header).is_err());
    }

    fn sealed(mut body: Vec<u8>) -> Vec<u8> {
        while body.len() % 8 != 7 {
            body.push(0);
        }
        body[1] = u8::try_from((body.len() + 1) / 8).unwrap();
        let sum = body.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg();
        body.push(sum);
        body
    }

    #[test]
    fn a_product_area() {
        let mut body = vec![1, 0, 25];
        for text in ["ACME", "GPU\x1b[2J", "", "v1", "SN-7"] {
            body.push(0xc0 | u8::try_from(text.len()).unwrap());
            body.extend(text.bytes());
        }
        body.push(0xc1);
        let area = sealed(body);
        let got = fields(Area::Product, &area).unwrap();
        assert_eq!(got[0].as_deref(), Some("ACME"));
        assert_eq!(got[1].as_deref(), Some("GPU\\u{1b}[2J"), "escaped");
        assert_eq!(got[2], None);
        assert_eq!(got[4].as_deref(), Some("SN-7"));
        let mut bad = area.clone();
        bad[5] ^= 1;
        assert_eq!(fields(Area::Product, &bad), Err("the FRU area has a wrong checksum"));
        assert_eq!(fields(Area::Product, &area[..9]), Err("the FRU area is cut short"));
    }

    /// The example of the FRU definition §13: "IPMI" in packed 6-bit ASCII is 29h DCh A6h.
    #[test]
    fn packed_ascii_and_bcd() {
        let area = sealed(vec![1, 0, 25, 0x83, 0x29, 0xdc, 0xa6, 0x42, 0x12, 0x3b, 0xc1]);
        let got = fields(Area::Product, &area).unwrap();
        assert_eq!(got, [Some("IPMI".to_owned()), Some("123-".to_owned())]);
    }

    #[test]
    fn headers() {
        assert!(areas(&[0xff; 8]).is_err());
        assert!(areas(&[1, 0, 1]).is_err());
        let got = areas(&[1, 0, 1, 2, 3, 0, 0, 0xf9]).unwrap();
        assert_eq!((got.chassis, got.board, got.product), (Some(8), Some(16), Some(24)));
    }
}
