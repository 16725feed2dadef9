//! Entries of the system event log (IPMI v2.0 §31.6, §32). Reserving, clearing and the log's own account are `ipmi-rs-core`'s; its entries are not,
//! since it gives none for a record type or channel that it does not know, and a log with a hole is worse than one with an odd line.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Record id of the first entry.
pub const FIRST: u16 = 0x0000;
/// Record id of the last entry, whatever it is.
pub const LAST: u16 = 0xffff;

/// Get SEL Entry, whole.
pub struct GetEntry(pub u16);

/// Get SEL Time (§31.10): seconds since 1970 by the clock that gives entries their times.
pub struct GetTime;

impl From<GetTime> for Message {
    fn from(_: GetTime) -> Self {
        Self::new_request(NetFn::Storage, 0x48, Vec::new())
    }
}

impl IpmiCommand for GetTime {
    type Output = u32;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<u32, NotEnoughData> {
        data.first_chunk().map(|time| u32::from_le_bytes(*time)).ok_or(NotEnoughData)
    }
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Record id.
    pub id: u16,
    /// What it holds.
    pub body: Body,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// An event of a sensor (record type 02h).
    Event(Event),
    /// A vendor's own, with a time (C0h to DFh).
    Timed {
        /// Record type.
        kind: u8,
        /// When.
        time: u32,
        /// IANA enterprise number.
        maker: u32,
        /// The rest.
        data: [u8; 6],
    },
    /// A vendor's own without a time (E0h to FFh), or of a type that the standard does not define.
    Untimed {
        /// Record type.
        kind: u8,
        /// The rest.
        data: [u8; 13],
    },
}

/// An event of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds since 1970; FFFFFFFFh for no time.
    pub time: u32,
    /// Who sent it: slave address or software id, as a sensor's owner.
    pub generator: u8,
    /// Logical unit of the generator.
    pub lun: u8,
    /// Sensor type.
    pub kind: u8,
    /// Sensor number.
    pub number: u8,
    /// The state has ended.
    pub ended: bool,
    /// Event type: 1 thresholds, 2 to 12 generic, 6Fh the sensor type's own.
    pub event: u8,
    /// Event data 1 to 3.
    pub data: [u8; 3],
}

impl Event {
    /// Which state, or which threshold.
    #[must_use]
    pub fn offset(&self) -> u8 {
        self.data[0] & 0x0f
    }

    /// Reading and threshold that triggered a threshold event, where it carries them (§29.7).
    #[must_use]
    pub fn trigger(&self) -> (Option<u8>, Option<u8>) {
        let of = |shift: u8, value: u8| (self.event == 1 && (self.data[0] >> shift) & 3 == 1).then_some(value);
        (of(6, self.data[1]), of(4, self.data[2]))
    }
}

impl From<GetEntry> for Message {
    fn from(command: GetEntry) -> Self {
        let [low, high] = command.0.to_le_bytes();
        // Whole entries need no reservation.
        Self::new_request(NetFn::Storage, 0x43, vec![0, 0, low, high, 0, 0xff])
    }
}

impl IpmiCommand for GetEntry {
    /// Id of the next entry, and this one.
    type Output = (u16, Entry);
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<(u16, Entry), NotEnoughData> {
        let (next, rest) = data.split_first_chunk().ok_or(NotEnoughData)?;
        let entry = entry(rest.first_chunk().ok_or(NotEnoughData)?);
        Ok((u16::from_le_bytes(*next), entry))
    }
}

/// Reads an entry.
#[must_use]
pub fn entry(bytes: &[u8; 16]) -> Entry {
    let &[i0, i1, kind, data @ ..] = bytes;
    let [t0, t1, t2, t3, a, b, c, d, e, f, g, h, i] = data;
    let time = u32::from_le_bytes([t0, t1, t2, t3]);
    let body = match kind {
        0x02 => Body::Event(Event {
            time,
            generator: a,
            lun: b & 0x03,
            kind: d,
            number: e,
            ended: f & 0x80 != 0,
            event: f & 0x7f,
            data: [g, h, i],
        }),
        0xc0..=0xdf => Body::Timed { kind, time, maker: u32::from_le_bytes([a, b, c, 0]), data: [d, e, f, g, h, i] },
        _ => Body::Untimed { kind, data },
    };
    Entry { id: u16::from_le_bytes([i0, i1]), body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An upper critical temperature event as `ipmitool sel list` shows it: reading 95, threshold 90.
    #[test]
    fn a_threshold_event() {
        let bytes = [0x05, 0, 0x02, 0x10, 0x20, 0x30, 0x65, 0x20, 0, 0x04, 0x01, 0x30, 0x01, 0x59, 95, 90];
        let Body::Event(event) = entry(&bytes).body else { panic!("no event") };
        assert_eq!((event.time, event.generator, event.kind, event.number), (0x6530_2010, 0x20, 1, 0x30));
        assert_eq!((event.ended, event.event, event.offset(), event.trigger()), (false, 1, 9, (Some(95), Some(90))));
        let body = entry(&[1, 0, 0xc1, 1, 0, 0, 0, 0x57, 1, 0, 1, 2, 3, 4, 5, 6]).body;
        assert_eq!(body, Body::Timed { kind: 0xc1, time: 1, maker: 343, data: [1, 2, 3, 4, 5, 6] });
    }

    #[test]
    fn the_time_is_asked_without_data() {
        let message = Message::from(GetTime);
        assert_eq!((message.netfn_raw(), message.cmd(), message.data()), (0x0a, 0x48, &[][..]));
        assert_eq!(GetTime::parse_success_response(&[0x10, 0x20, 0x30, 0x65]).ok(), Some(0x6530_2010));
    }

    proptest! {
        #[test]
        fn any_answer_is_a_time_or_none(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            prop_assert_eq!(GetTime::parse_success_response(&bytes).is_ok(), bytes.len() >= 4);
        }

        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assert_eq!(GetEntry::parse_success_response(&bytes).is_ok(), bytes.len() >= 18);
        }
    }
}
