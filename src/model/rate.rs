//! How much a wire carries, as people write it: `10Gbit`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bits in a second; decimal units, as wires have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataRate(u64);

impl DataRate {
    /// Seconds that so many bytes take, rounded up.
    #[must_use]
    pub fn seconds_for(self, bytes: u64) -> u64 {
        let bits = u128::from(bytes) * 8;
        u64::try_from(bits.div_ceil(u128::from(self.0.max(1)))).unwrap_or(u64::MAX)
    }
}

impl FromStr for DataRate {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "a rate is a whole number with a unit, such as `100Mbit`, `10Gbit` or `400Gbit`";
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(number.len()..).ok_or(BAD)? {
            "Mbit" => 1_000_000,
            "Gbit" => 1_000_000_000,
            _ => return Err(BAD),
        };
        if number.is_empty() || number.starts_with('0') || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BAD);
        }
        let bits = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        bits.filter(|bits| *bits <= 10_000_000_000_000).map(Self).ok_or("no uplink carries more than `10000Gbit`")
    }
}

impl fmt::Display for DataRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits if bits % 1_000_000_000 == 0 => write!(f, "{}Gbit", bits / 1_000_000_000),
            bits => write!(f, "{}Mbit", bits / 1_000_000),
        }
    }
}

impl TryFrom<String> for DataRate {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DataRate> for String {
    fn from(rate: DataRate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_and_carry_bytes() {
        for text in ["1Mbit", "2500Mbit", "10Gbit", "400Gbit"] {
            assert_eq!(text.parse::<DataRate>().map(|r| r.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "10", "10G", "10Gb", "0Gbit", "-1Gbit", "1.5Gbit", "10 Gbit", "99999999999999Gbit", "Gbit"] {
            assert!(bad.parse::<DataRate>().is_err(), "{bad}");
        }
        let gigabit: DataRate = "1Gbit".parse().unwrap();
        assert_eq!((gigabit.seconds_for(0), gigabit.seconds_for(125_000_000), gigabit.seconds_for(125_000_001)), (0, 1, 2));
    }
}
