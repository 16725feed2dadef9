//! Reading a sensor (IPMI v2.0 §35): the reading itself, its thresholds, and the factors of a sensor whose curve only the BMC knows.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

use super::sdr::{Factors, factors};

/// Get Sensor Reading.
pub struct GetReading(pub u8);

/// What a sensor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SensorReading {
    /// The raw byte of a sensor that measures.
    pub raw: u8,
    /// The BMC looks at it.
    pub scanned: bool,
    /// There is no reading now: the part is not there or has no power.
    pub unavailable: bool,
    /// For thresholds: which are passed, in the bits of §35.14. For states: which are asserted, 15 bits.
    pub states: u16,
}

impl From<GetReading> for Message {
    fn from(command: GetReading) -> Self {
        Self::new_request(NetFn::SensorEvent, 0x2d, vec![command.0])
    }
}

impl IpmiCommand for GetReading {
    type Output = SensorReading;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<SensorReading, NotEnoughData> {
        let (&[raw, flags], rest) = data.split_first_chunk().ok_or(NotEnoughData)?;
        // One or both of the bytes behind may be missing; a missing one asserts nothing.
        let low = rest.first().copied().unwrap_or(0);
        let high = rest.get(1).copied().unwrap_or(0);
        let states = u16::from_le_bytes([low, high & 0x7f]);
        Ok(SensorReading { raw, scanned: flags & 0x40 != 0, unavailable: flags & 0x20 != 0, states })
    }
}

/// Get Sensor Thresholds.
pub struct GetThresholds(pub u8);

/// Raw thresholds, in the order of §35.9: lower non-critical, critical, non-recoverable, then the upper ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawThresholds(pub [Option<u8>; 6]);

impl From<GetThresholds> for Message {
    fn from(command: GetThresholds) -> Self {
        Self::new_request(NetFn::SensorEvent, 0x27, vec![command.0])
    }
}

impl IpmiCommand for GetThresholds {
    type Output = RawThresholds;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<RawThresholds, NotEnoughData> {
        let (mask, values) = data.split_first().ok_or(NotEnoughData)?;
        let at = |n: usize| values.get(n).copied().filter(|_| mask & (1 << n) != 0);
        Ok(RawThresholds([at(0), at(1), at(2), at(3), at(4), at(5)]))
    }
}

/// Get Sensor Reading Factors, for one raw byte.
pub struct GetFactors {
    /// Sensor.
    pub number: u8,
    /// Raw byte.
    pub raw: u8,
}

impl From<GetFactors> for Message {
    fn from(command: GetFactors) -> Self {
        Self::new_request(NetFn::SensorEvent, 0x23, vec![command.number, command.raw])
    }
}

impl IpmiCommand for GetFactors {
    type Output = Factors;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Factors, NotEnoughData> {
        // The next raw byte for which the factors are others comes first.
        data.split_first().and_then(|(_next, rest)| rest.first_chunk()).map(factors).ok_or(NotEnoughData)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn readings_of_every_length() {
        let read = |bytes: &[u8]| GetReading::parse_success_response(bytes).ok();
        assert_eq!(read(&[45, 0xc0, 0xc8]), Some(SensorReading { raw: 45, scanned: true, unavailable: false, states: 0xc8 }));
        assert_eq!(read(&[0, 0xe0]), Some(SensorReading { raw: 0, scanned: true, unavailable: true, states: 0 }));
        assert_eq!(read(&[0, 0x40, 1, 0x81]).map(|r| r.states), Some(0x101));
        assert_eq!(read(&[1]), None);
        let thresholds = GetThresholds::parse_success_response(&[0x18, 1, 2, 3, 80, 90]).ok();
        assert_eq!(thresholds, Some(RawThresholds([None, None, None, Some(80), Some(90), None])));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = GetReading::parse_success_response(&bytes);
            let _ = GetThresholds::parse_success_response(&bytes);
            let _ = GetFactors::parse_success_response(&bytes);
        }
    }
}
