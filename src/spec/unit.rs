//! Quantities as people write them: `10m`, `2%`, `ring=canary`, `2026-12-31`. Text to value and nothing else.

use std::str::FromStr;

/// Longest time that a step may take: a day.
const LONGEST_S: u32 = 24 * 3600;

/// A length of time in whole seconds, from 1 s to 24 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl FromStr for Seconds {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "a time is a whole number with a unit, such as `90s`, `10m` or `2h`";
        let (digits, unit) = s.char_indices().last().map(|(at, _)| s.split_at(at)).ok_or(BAD)?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(BAD),
        };
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BAD);
        }
        let seconds = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(factor));
        seconds.filter(|n| *n <= LONGEST_S).map(Self).ok_or("no step may take longer than `24h`")
    }
}

/// A size in bytes: whole or with one decimal, and a unit as disks (`GB`, `TB`) or memory (`GiB`, `TiB`) are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "a size is a number with a unit, such as `480GB`, `3.8TB` or `512GiB`";
        let at = s.find(|c: char| c.is_ascii_alphabetic()).ok_or(BAD)?;
        let (number, unit) = s.split_at(at);
        let unit: u64 = match unit {
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(BAD),
        };
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.len() <= 6 && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(tenth) || tenth.len() > 1 {
            return Err(BAD);
        }
        let (whole, tenth) = (whole.parse::<u64>().map_err(|_| BAD)?, tenth.parse::<u64>().map_err(|_| BAD)?);
        let all = whole.checked_mul(unit).and_then(|n| n.checked_add(tenth * (unit / 10))).filter(|n| *n > 0);
        all.map(Self).ok_or(BAD)
    }
}

/// A share in percent, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "a share is a number from 0 to 100 with `%`, such as `2%`";
        let digits = s.strip_suffix('%').ok_or(BAD)?;
        // Rust reads `inf`, `1e9` and `-0` as numbers too.
        let honest = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = digits.parse::<f64>().ok().filter(|v| honest && (0.0..=100.0).contains(v));
        value.map(Self).ok_or(BAD)
    }
}

/// A label and the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelTest(pub String, pub String);

impl FromStr for LabelTest {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let word = |w: &str| !w.is_empty() && !w.chars().any(|c| c.is_whitespace() || c.is_control() || c == '=');
        match s.split_once('=') {
            Some((name, value)) if word(name) && word(value) => Ok(Self(name.to_owned(), value.to_owned())),
            _ => Err("a label and its value are expected, such as `ring=canary`"),
        }
    }
}

/// A day (UTC). Text form and order agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub jiff::civil::Date);

impl FromStr for Day {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // jiff reads more forms (week dates, times behind the date); a review should see one.
        let shaped =
            s.len() == 10 && s.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        let day = s.parse().ok().filter(|_| shaped);
        day.map(Self).ok_or("a day is written `YYYY-MM-DD`, such as `2026-12-31`")
    }
}

/// The name of a file without folder and `.yaml`. It is safe to put into a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(pub String);

impl FromStr for FileName {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let first = s.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if !first || !rest || s.len() > 64 {
            return Err("a name is lower-case letters, digits, `.`, `_` and `-`, at most 64, and starts with a letter or digit");
        }
        Ok(Self(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        assert_eq!("90s".parse(), Ok(Seconds(90)));
        assert_eq!("24h".parse(), Ok(Seconds(86_400)));
        for bad in ["", "s", "10", "0s", "-1s", "+1s", "1.5m", "25h", "9999999999s", "10 m", "１s", "10é"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in
            [("480GB", 480_000_000_000), ("3.8TB", 3_800_000_000_000), ("512GiB", 512 << 30), ("1.5MB", 1_500_000)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "GB", "480", "480 GB", "480gb", "-1GB", "0GB", "1.25TB", "1.TB", ".5TB", "99999999TB", "1e3GB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_end_at_a_hundred() {
        assert_eq!("2%".parse(), Ok(Percent(2.0)));
        assert_eq!("0.5%".parse(), Ok(Percent(0.5)));
        for bad in ["2", "%", "101%", "-1%", "inf%", "NaN%", "1e1%", ".%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn days_have_one_form() {
        assert!("2026-12-31".parse::<Day>().unwrap() > "2026-02-28".parse::<Day>().unwrap());
        for bad in ["2026-02-30", "20261231", "2026-12-31T00:00", "2026-W01-1", "", "2026-1-01"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_no_paths() {
        assert!("cuda-580.1".parse::<FileName>().is_ok());
        for bad in ["", "..", ".x", "a/b", "A", "a b", "a\0", "-x"] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }
}
