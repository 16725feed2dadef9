//! One SOL payload (IPMI v2.0 §15.9, table 15-2): who counts what, one byte of flags, the characters. Reads and writes bytes; decides nothing.

/// Bytes before the characters.
pub const HEADER: usize = 4;
/// Characters that one packet can carry at most: the accepted count is one byte.
pub const MOST: usize = 255;

/// "Not accepted" in either direction.
const NACK: u8 = 0x40;
/// Towards the BMC: make a break of 300 ms.
const BREAK: u8 = 0x10;

/// A payload towards the BMC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToBmc<'a> {
    /// Its number, 1 to 15; 0 is a mere acknowledgement, which is not acknowledged itself.
    pub number: u8,
    /// The BMC's packet that is acknowledged, and how many of its characters were taken; number 0 acknowledges nothing.
    pub taken: (u8, u8),
    /// Make a break.
    pub make_break: bool,
    /// What was typed.
    pub characters: &'a [u8],
}

impl ToBmc<'_> {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (acknowledged, count) = self.taken;
        let operation = if self.make_break { BREAK } else { 0 };
        let mut out = vec![self.number & 0x0f, acknowledged & 0x0f, count, operation];
        out.extend(self.characters);
        out
    }
}

/// A payload from the BMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromBmc<'a> {
    /// Its number, 1 to 15; 0 wants no acknowledgement.
    pub number: u8,
    /// Our packet that it answers; 0 for none.
    pub answers: u8,
    /// How many of our characters the BMC took.
    pub taken: u8,
    /// It did not take the rest and wants a pause.
    pub nack: bool,
    /// The node's serial port takes no characters now, as when it has no power.
    pub unavailable: bool,
    /// The console was taken away, or is about to be.
    pub ended: bool,
    /// The BMC lost characters of the node because they came too fast.
    pub overrun: bool,
    /// The node sent a break.
    pub broke: bool,
    /// What the node printed.
    pub characters: &'a [u8],
}

/// Reads a payload; `None` when it is shorter than its header.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<FromBmc<'_>> {
    let (&[number, answers, taken, status], characters) = bytes.split_first_chunk::<HEADER>()?;
    let flag = |bit: u8| status & bit != 0;
    Some(FromBmc {
        number: number & 0x0f,
        answers: answers & 0x0f,
        taken,
        nack: flag(NACK),
        unavailable: flag(0x20),
        ended: flag(0x10),
        overrun: flag(0x08),
        broke: flag(0x04),
        characters,
    })
}

/// The number after this one: 1 to 15, never 0.
#[must_use]
pub fn after(number: u8) -> u8 {
    number % 15 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As `ipmitool sol activate` sends an `a` as packet 3 and acknowledges 12 characters of the BMC's packet 9.
    #[test]
    fn golden() {
        let sent = ToBmc { number: 3, taken: (9, 12), make_break: false, characters: b"a" };
        assert_eq!(sent.encode(), [3, 9, 12, 0, b'a']);
        assert_eq!(ToBmc { make_break: true, number: 1, ..ToBmc::default() }.encode(), [1, 0, 0, 0x10]);
        let read = decode(&[4, 3, 1, 0x40 | 0x10 | 0x08, b'x', b'y']).unwrap();
        assert_eq!((read.number, read.answers, read.taken), (4, 3, 1));
        assert!(read.nack && read.ended && read.overrun && !read.broke && !read.unavailable);
        assert_eq!(read.characters, b"xy");
        assert_eq!(decode(&[1, 2, 3]), None);
    }

    #[test]
    fn numbers_go_round_without_nought() {
        let mut number = 0;
        let seen: Vec<u8> = (0..16)
            .map(|_| {
                number = after(number);
                number
            })
            .collect();
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1]);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let read = decode(&bytes);
            prop_assert_eq!(read.is_some(), bytes.len() >= HEADER);
        }
    }
}
