//! The farm's dice: bytes derived from (seed, label), so that nothing depends on the order in which it is asked. It holds no state.

use sha2::{Digest as _, Sha256};

/// Source of everything in a farm that looks random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// 32 bytes for a label; the same label gives the same bytes.
    #[must_use]
    pub fn bytes(self, label: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"bringup-sim\0");
        hash.update(self.0.to_le_bytes());
        hash.update(label.as_bytes());
        hash.finalize().into()
    }

    /// A number below `bound` (below 1 when `bound` is 0) for a label.
    #[must_use]
    pub fn below(self, label: &str, bound: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes(label);
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % bound.max(1)
    }

    /// `digits` decimal digits for a label (at most 18).
    #[must_use]
    pub fn digits(self, label: &str, digits: u32) -> String {
        let digits = digits.min(18);
        format!("{:0width$}", self.below(label, 10u64.pow(digits)), width = digits as usize)
    }

    /// Upper-case letters and digits for a label, without the look-alikes I and O (at most 32).
    #[must_use]
    pub fn code(self, label: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKLMNPQRSTUVWX";
        let pick = |b: &u8| ALPHABET.get(usize::from(b & 31)).copied().map_or('0', char::from);
        self.bytes(label).iter().take(length).map(pick).collect()
    }

    /// `length` lower-case hex digits for a label (at most 64).
    #[must_use]
    pub fn hex(self, label: &str, length: usize) -> String {
        let mut text: String = self.bytes(label).iter().map(|b| format!("{b:02x}")).collect();
        text.truncate(length);
        text
    }

    /// A version 4 UUID for a label, lower case.
    #[must_use]
    pub fn uuid(self, label: &str) -> String {
        let mut b = self.bytes(label);
        if let Some(version) = b.get_mut(6) {
            *version = (*version & 0x0f) | 0x40;
        }
        if let Some(variant) = b.get_mut(8) {
            *variant = (*variant & 0x3f) | 0x80;
        }
        let hex: String = b.iter().take(16).map(|b| format!("{b:02x}")).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_label_same_bytes_and_another_seed_others() {
        assert_eq!(Seed(7).uuid("a"), Seed(7).uuid("a"));
        assert_ne!(Seed(7).uuid("a"), Seed(8).uuid("a"));
        assert_eq!(Seed(7).uuid("a").len(), 36);
        assert_eq!(Seed(1).digits("x", 7).len(), 7);
        assert_eq!(Seed(1).code("x", 9).len(), 9);
    }
}
