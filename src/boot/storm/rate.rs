//! Bytes each second, as people write them: `8Gbit`, `900Mbit/s`, `100MB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Smallest rate that is taken: below it a boot takes hours, and the unit was forgotten.
const LEAST: u64 = 64_000;
/// Largest, 10 Tbit/s.
const MOST: u64 = 1_250_000_000_000;

/// Bytes each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate from 512kbit to 10Tbit: 8Gbit, 900Mbit/s, 100MB")]
pub struct RateError(String);

impl Rate {
    /// Bytes each second.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// How long so many bytes take.
    pub(super) fn time_for(self, bytes: usize) -> Duration {
        let nanos = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000) / u128::from(self.0.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError(text.escape_debug().take(40).collect());
        let each = text.strip_suffix("/s").unwrap_or(text);
        let unit = each.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = each.split_at(unit);
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "kbit" => 125.0,
            "mbit" => 125e3,
            "gbit" => 125e6,
            "tbit" => 125e9,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = (number * unit).round();
        // The bounds are far inside of what both types hold exactly.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rate = (bytes >= LEAST as f64 && bytes <= MOST as f64).then_some(Self(bytes as u64));
        rate.ok_or_else(wrong)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.saturating_mul(8);
        match bits {
            1_000_000_000.. => write!(f, "{}.{} Gbit/s", bits / 1_000_000_000, bits / 100_000_000 % 10),
            1_000_000.. => write!(f, "{} Mbit/s", bits / 1_000_000),
            _ => write!(f, "{} kbit/s", bits / 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, bytes, shown) in [
            ("8Gbit", 1_000_000_000, "8.0 Gbit/s"),
            ("2.5gbit/s", 312_500_000, "2.5 Gbit/s"),
            ("900 Mbit", 112_500_000, "900 Mbit/s"),
            ("100MB/s", 100_000_000, "800 Mbit/s"),
            ("512kbit", 64_000, "512 kbit/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.bytes(), rate.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "8", "Gbit", "-1Gbit", "8 Gibit", "1bit", "0Gbit", "99Tbit", "nanMbit", "1e9Gbit", "1..2Gbit", "8Gbit/h"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[0-9.]{0,8}[ a-zA-Z/]{0,6}|.{0,12}") {
            if let Ok(rate) = text.parse::<Rate>() {
                prop_assert!((LEAST..=MOST).contains(&rate.bytes()));
                prop_assert!(rate.time_for(1_000_000).as_secs_f64() <= 16.0);
            }
        }
    }
}
