//! Sensor data records (IPMI v2.0 §33, §43): the commands that fetch them, and the records that say what a sensor is. A record comes from the BMC and is
//! hostile: every field is read within its bounds, and a record that is cut short is no record.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

use super::fru::field_text;

/// Bytes of a record's header: id, version, type, length.
pub const HEADER: u8 = 5;
/// "The last record", as an id of the next one.
pub const LAST: u16 = 0xffff;

/// Get SDR Repository Info: how many records there are, and when they were last changed.
pub struct GetInfo;

/// What a repository says of itself. `ipmi-rs-core` has this command too, and panics on short answers (crates.md §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryInfo {
    /// Records.
    pub records: u16,
    /// Time of the newest addition and the newest erasure: together they name a state of the repository.
    pub stamp: (u32, u32),
}

impl From<GetInfo> for Message {
    fn from(_: GetInfo) -> Self {
        Self::new_request(NetFn::Storage, 0x20, Vec::new())
    }
}

impl IpmiCommand for GetInfo {
    type Output = RepositoryInfo;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<RepositoryInfo, NotEnoughData> {
        let &[_version, n0, n1, _f0, _f1, a0, a1, a2, a3, e0, e1, e2, e3, ..] = data else { return Err(NotEnoughData) };
        let stamp = (u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([e0, e1, e2, e3]));
        Ok(RepositoryInfo { records: u16::from_le_bytes([n0, n1]), stamp })
    }
}

/// Reserve SDR Repository: what is read in parts is read under a reservation.
pub struct Reserve;

impl From<Reserve> for Message {
    fn from(_: Reserve) -> Self {
        Self::new_request(NetFn::Storage, 0x22, Vec::new())
    }
}

impl IpmiCommand for Reserve {
    type Output = u16;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<u16, NotEnoughData> {
        data.first_chunk().copied().map(u16::from_le_bytes).ok_or(NotEnoughData)
    }
}

/// Get SDR: a part of a record.
#[derive(Debug, Clone, Copy)]
pub struct GetPart {
    /// Reservation; 0 is enough from the beginning of a record.
    pub reservation: u16,
    /// Record; 0 is the first.
    pub record: u16,
    /// Where in the record.
    pub offset: u8,
    /// How many bytes.
    pub count: u8,
}

impl From<GetPart> for Message {
    fn from(command: GetPart) -> Self {
        let ([r0, r1], [i0, i1]) = (command.reservation.to_le_bytes(), command.record.to_le_bytes());
        Self::new_request(NetFn::Storage, 0x23, vec![r0, r1, i0, i1, command.offset, command.count])
    }
}

impl IpmiCommand for GetPart {
    /// Id of the next record, and the bytes.
    type Output = (u16, Vec<u8>);
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<(u16, Vec<u8>), NotEnoughData> {
        let (next, bytes) = data.split_first_chunk().ok_or(NotEnoughData)?;
        Ok((u16::from_le_bytes(*next), bytes.to_vec()))
    }
}

/// Which sensor: its owner on the message bus, the logical unit there, its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SensorKey {
    /// Owner: a slave address with bit 0 clear, a software id with it set.
    pub owner: u8,
    /// Logical unit.
    pub lun: u8,
    /// Number.
    pub number: u8,
}

/// How a raw byte becomes a number (§36.3): `L[(M·x + B·10^B_exp)·10^R_exp]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// M, 10 bits signed.
    pub m: i16,
    /// B, 10 bits signed.
    pub b: i16,
    /// Exponent of B, 4 bits signed.
    pub b_exp: i8,
    /// Exponent of the result, 4 bits signed.
    pub r_exp: i8,
}

/// What a threshold sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Analog {
    /// How the raw byte is to be read: 0 unsigned, 1 one's complement, 2 two's complement.
    pub format: u8,
    /// Units, as in the record: percentage, rate and modifier; base unit; modifier unit (§43.1, bytes 21 to 23).
    pub units: [u8; 3],
    /// Linearisation: 0 to 11, or 70h and above for a curve that only the BMC knows.
    pub linear: u8,
    /// Factors.
    pub factors: Factors,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// Id of the record.
    pub record: u16,
    /// Which one.
    pub key: SensorKey,
    /// Entity and its instance (table 43-13).
    pub entity: (u8, u8),
    /// Sensor type (table 42-3).
    pub kind: u8,
    /// Event/reading type (table 42-1): 1 thresholds, 2 to 12 generic states, 6Fh the sensor type's own states.
    pub event: u8,
    /// Thresholds that can be read, in the bits of §35.9: 0 lower non-critical to 5 upper non-recoverable. `None` for a sensor that has none.
    pub readable: Option<u8>,
    /// States that can be read, a bit each.
    pub states: u16,
    /// What it measures; `None` for a sensor that only asserts states.
    pub analog: Option<Analog>,
    /// It only sends events; there is nothing to be read.
    pub event_only: bool,
    /// Name, escaped.
    pub name: String,
}

/// A FRU device that the repository names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FruLocator {
    /// Address of the controller that has it, 20h for the BMC.
    pub owner: u8,
    /// FRU device id; `None` for an EEPROM that is read directly on its bus.
    pub device: Option<u8>,
    /// Entity and its instance.
    pub entity: (u8, u8),
    /// Name, escaped.
    pub name: String,
}

/// A record that says something here.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// One sensor, or several that share a record.
    Sensors(Vec<Sensor>),
    /// A FRU device.
    Fru(FruLocator),
    /// Anything else.
    Other(u8),
}

fn signed(value: u16, bits: u32) -> i16 {
    let shift = 16 - bits;
    // Shifted up and down again, so that the sign bit of the short number becomes that of the long one.
    i16::from_le_bytes((value << shift).to_le_bytes()) >> shift
}

fn signed_nibble(value: u8) -> i8 {
    i8::from_le_bytes([value << 4]) >> 4
}

/// Factors as a record and Get Sensor Reading Factors have them: M, M and tolerance, B, B and accuracy, accuracy, exponents.
#[must_use]
pub fn factors(bytes: &[u8; 6]) -> Factors {
    let &[m0, m1, b0, b1, _accuracy, exponents] = bytes;
    let ten = |low: u8, high: u8| signed(u16::from(low) | (u16::from(high >> 6) << 8), 10);
    Factors { m: ten(m0, m1), b: ten(b0, b1), b_exp: signed_nibble(exponents & 0x0f), r_exp: signed_nibble(exponents >> 4) }
}

/// An id string behind its type and length (§43.15), escaped.
fn id_string(bytes: &[u8], at: usize) -> String {
    let Some((&kind, text)) = bytes.get(at..).and_then(<[u8]>::split_first) else { return String::new() };
    let text = text.get(..text.len().min(usize::from(kind & 0x1f))).unwrap_or_default();
    // Type 0 is "Unicode" here and binary in a FRU; what BMCs send under it is ASCII.
    let kind = if kind >> 6 == 0 { 3 } else { kind >> 6 };
    field_text(kind, text, true).unwrap_or_default()
}

/// Reads a whole record, header included; `None` when it is cut short.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<Record> {
    let (&[i0, i1, _version, kind, length], body) = bytes.split_first_chunk::<5>()?;
    body.get(..usize::from(length))?;
    let id = u16::from_le_bytes([i0, i1]);
    Some(match kind {
        0x01 => Record::Sensors(vec![full(id, bytes)?]),
        0x02 => Record::Sensors(shared(compact(id, bytes)?, bytes.get(23..25)?)),
        0x03 => Record::Sensors(shared(event_only(id, bytes)?, bytes.get(12..14)?)),
        0x11 => Record::Fru(fru_locator(bytes)?),
        other => Record::Other(other),
    })
}

fn key(bytes: &[u8]) -> Option<SensorKey> {
    Some(SensorKey { owner: *bytes.get(5)?, lun: bytes.get(6)? & 0x03, number: *bytes.get(7)? })
}

fn full(record: u16, bytes: &[u8]) -> Option<Sensor> {
    let mut sensor = compact(record, bytes)?;
    let format = bytes.get(20)? >> 6;
    if format != 3 {
        let units = [*bytes.get(20)? & 0x3f, *bytes.get(21)?, *bytes.get(22)?];
        let linear = bytes.get(23)? & 0x7f;
        sensor.analog = Some(Analog { format, units, linear, factors: factors(bytes.get(24..30)?.first_chunk()?) });
    }
    sensor.name = id_string(bytes, 47);
    Some(sensor)
}

/// The part that full and compact records share, up to the units.
fn compact(record: u16, bytes: &[u8]) -> Option<Sensor> {
    let event = bytes.get(13)? & 0x7f;
    let word = |at: usize| bytes.get(at..at + 2).and_then(|two| two.first_chunk()).map(|two| u16::from_le_bytes(*two));
    let threshold = event == 1;
    Some(Sensor {
        record,
        key: key(bytes)?,
        entity: (*bytes.get(8)?, *bytes.get(9)?),
        kind: *bytes.get(12)?,
        event,
        // Bits 2 and 3 of the capabilities: whether thresholds can be read (1 and 2; 3 is "fixed and unreadable"); the mask says which.
        readable: (threshold && matches!(bytes.get(11)? & 0x0c, 0x04 | 0x08)).then_some(bytes.get(18)? & 0x3f),
        states: if threshold { 0 } else { word(18)? & 0x7fff },
        analog: None,
        event_only: false,
        name: id_string(bytes, 31),
    })
}

fn event_only(record: u16, bytes: &[u8]) -> Option<Sensor> {
    Some(Sensor {
        record,
        key: key(bytes)?,
        entity: (*bytes.get(8)?, *bytes.get(9)?),
        kind: *bytes.get(10)?,
        event: bytes.get(11)? & 0x7f,
        readable: None,
        states: 0,
        analog: None,
        event_only: true,
        name: id_string(bytes, 16),
    })
}

/// One record for several sensors with consecutive numbers (§43.2, "sensor record sharing").
fn shared(first: Sensor, sharing: &[u8]) -> Vec<Sensor> {
    let (count, modifier) = match sharing {
        [count, modifier] => (*count & 0x0f, *modifier),
        _ => (1, 0),
    };
    if count <= 1 {
        return vec![first];
    }
    let letters = sharing.first().is_some_and(|byte| byte & 0x30 == 0x10);
    (0..count)
        .map(|step| {
            let mut sensor = first.clone();
            sensor.key.number = first.key.number.wrapping_add(step);
            if modifier & 0x80 != 0 {
                sensor.entity.1 = first.entity.1.wrapping_add(step);
            }
            let instance = (modifier & 0x7f).wrapping_add(step);
            match (letters, instance) {
                (true, 0..=25) => sensor.name.push(char::from(b'A' + instance)),
                _ => sensor.name.push_str(&instance.to_string()),
            }
            sensor
        })
        .collect()
}

fn fru_locator(bytes: &[u8]) -> Option<FruLocator> {
    let logical = bytes.get(7)? & 0x80 != 0;
    Some(FruLocator {
        owner: *bytes.get(5)?,
        device: logical.then_some(*bytes.get(6)?),
        entity: (*bytes.get(12)?, *bytes.get(13)?),
        name: id_string(bytes, 15),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The record that OpenIPMI's documentation style gives a fan: threshold, RPM, M = 100.
    fn fan() -> Vec<u8> {
        let mut body = vec![
            0x20, 0, 3, 29, 1, 0x7f, 0x68, 4, 0x01, 0x95, 0x0a, 0x95, 0x7a, 0x3f, 0x3f, 0x00, 18, 0x00, 0x00, 100, 0, 0, 0, 0, 0,
            7, 40, 90, 10, 255, 0, 240, 220, 200, 0, 0, 0, 2, 2, 0, 0, 0,
        ];
        body.push(0xc4);
        body.extend(b"FAN1");
        [&[3, 0, 0x51, 1, u8::try_from(body.len()).unwrap()][..], &body].concat()
    }

    #[test]
    fn a_full_record() {
        let Some(Record::Sensors(sensors)) = record(&fan()) else { panic!("no sensor") };
        let sensor = &sensors[0];
        assert_eq!((sensor.record, sensor.key), (3, SensorKey { owner: 0x20, lun: 0, number: 3 }));
        assert_eq!((sensor.entity, sensor.kind, sensor.event, sensor.readable), ((29, 1), 4, 1, Some(0x3f)));
        let analog = sensor.analog.unwrap();
        assert_eq!((analog.units, analog.factors), ([0, 18, 0], Factors { m: 100, b: 0, b_exp: 0, r_exp: 0 }));
        assert_eq!(sensor.name, "FAN1");
        for cut in 0..fan().len() {
            assert_eq!(record(&fan()[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn factors_are_signed() {
        assert_eq!(factors(&[0xff, 0xc0, 0x00, 0x80, 0, 0xd2]), Factors { m: -1, b: -512, b_exp: 2, r_exp: -3 });
        assert_eq!(factors(&[0xff, 0x40, 0x01, 0x00, 0, 0x2d]), Factors { m: 511, b: 1, b_exp: -3, r_exp: 2 });
    }

    #[test]
    fn a_shared_record_is_several_sensors() {
        let mut body =
            vec![0x20, 0, 0x40, 32, 1, 0, 0x40, 0x0c, 0x6f, 0, 0, 0, 0, 3, 0, 0xc0, 0, 0, 0x04, 0x81, 0, 0, 0, 0, 0, 0];
        body.push(0xc4);
        body.extend(b"DIMM");
        let bytes = [&[9, 0, 0x51, 2, u8::try_from(body.len()).unwrap()][..], &body].concat();
        let Some(Record::Sensors(sensors)) = record(&bytes) else { panic!("no sensor") };
        let seen: Vec<_> = sensors.iter().map(|s| (s.key.number, s.entity.1, s.name.as_str())).collect();
        assert_eq!(seen, [(0x40, 1, "DIMM1"), (0x41, 2, "DIMM2"), (0x42, 3, "DIMM3"), (0x43, 4, "DIMM4")]);
        assert_eq!((sensors[0].states, sensors[0].event), (3, 0x6f));
    }

    proptest! {
        #[test]
        fn anything_is_a_record_or_none(kind in 0u8..0x15, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let length = u8::try_from(bytes.len()).unwrap();
            if let Some(Record::Sensors(sensors)) = record(&[&[1, 0, 0x51, kind, length][..], &bytes].concat()) {
                prop_assert!(!sensors.is_empty() && sensors.len() <= 15);
                prop_assert!(sensors.iter().all(|s| s.name.chars().all(|c| !c.is_control())));
            }
            drop(record(&bytes));
            let _ = GetInfo::parse_success_response(&bytes).map(|info| info.records);
            drop(GetPart::parse_success_response(&bytes));
        }
    }
}
