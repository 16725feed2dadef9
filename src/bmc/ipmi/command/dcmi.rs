//! DCMI power reading (Data Center Manageability Interface v1.5 §6.6.1): watts of the whole node as its BMC measures them.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Group extension of DCMI, and its group.
const GROUP: u8 = 0x2c;
const DCMI: u8 = 0xdc;

/// Get Power Reading, statistics since the beginning.
pub struct GetPower;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power {
    /// Watts now.
    pub now: u16,
    /// Fewest watts over the time of the statistics.
    pub least: u16,
    /// Most watts.
    pub most: u16,
    /// Mean watts.
    pub mean: u16,
    /// The BMC measures at present.
    pub active: bool,
}

impl From<GetPower> for Message {
    fn from(_: GetPower) -> Self {
        Self::new_request(NetFn::from(GROUP), 0x02, vec![DCMI, 0x01, 0x00, 0x00])
    }
}

impl IpmiCommand for GetPower {
    type Output = Power;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Power, NotEnoughData> {
        let &[DCMI, n0, n1, l0, l1, m0, m1, a0, a1, _, _, _, _, _, _, _, _, state, ..] = data else {
            return Err(NotEnoughData);
        };
        let word = |low: u8, high: u8| u16::from_le_bytes([low, high]);
        Ok(Power { now: word(n0, n1), least: word(l0, l1), most: word(m0, m1), mean: word(a0, a1), active: state & 0x40 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden() {
        let message = Message::from(GetPower);
        assert_eq!((message.netfn_raw(), message.cmd(), message.data()), (0x2c, 2, &[0xdc, 1, 0, 0][..]));
        let answer = [0xdc, 0xd0, 0x07, 100, 0, 0x10, 0x27, 0xf4, 0x01, 1, 2, 3, 4, 0xe8, 3, 0, 0, 0x40];
        let read = GetPower::parse_success_response(&answer).ok();
        assert_eq!(read, Some(Power { now: 2000, least: 100, most: 10_000, mean: 500, active: true }));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = GetPower::parse_success_response(&bytes);
        }
    }
}
