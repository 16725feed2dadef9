//! Address ranges as people write them: `10.1.0.0/24`, `10.1.0.7`, `10.1.0.10-10.1.0.99`, IPv6 likewise. Bounded, so that a typing error does not
//! ask half the Internet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most addresses of one call: a /16.
pub const MOST: u128 = 65_536;

/// Why a range could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not an address, network or range.
    #[error("`{0}` is no address, network (10.1.0.0/24) or range (10.1.0.10-10.1.0.99)")]
    Unreadable(String),
    /// More than this program asks at once.
    #[error("`{0}` holds {1} addresses, and at most {MOST} are asked at once")]
    TooMany(String, u128),
}

/// The addresses of all ranges. An IPv4 network's first and last address are left out (RFC 1122 §3.2.1.3), except in /31 and /32 (RFC 3021).
///
/// # Errors
/// [`RangeError`], for the first range that is wrong, or when all together are too many.
pub fn addresses(ranges: &[String]) -> Result<BTreeSet<IpAddr>, RangeError> {
    let mut all = BTreeSet::new();
    for text in ranges {
        let shown = || text.chars().take(80).collect::<String>().escape_debug().to_string();
        let (v4, first, last) = bounds(text).ok_or_else(|| RangeError::Unreadable(shown()))?;
        let count = (last - first).saturating_add(1);
        if count > MOST || all.len() as u128 + count > MOST {
            return Err(RangeError::TooMany(shown(), count));
        }
        all.extend((first..=last).map(|number| address(v4, number)));
    }
    Ok(all)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn address(v4: bool, number: u128) -> IpAddr {
    match u32::try_from(number) {
        Ok(short) if v4 => Ipv4Addr::from(short).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

/// IPv4 or not, first and last address.
fn bounds(text: &str) -> Option<(bool, u128, u128)> {
    let text = text.trim();
    if let Some((first, last)) = text.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first.is_ipv4() == last.is_ipv4() && first <= last).then(|| (first.is_ipv4(), number(first), number(last)));
    }
    let Some((ip, prefix)) = text.split_once('/') else {
        let ip: IpAddr = text.parse().ok()?;
        return Some((ip.is_ipv4(), number(ip), number(ip)));
    };
    let ip: IpAddr = ip.parse().ok()?;
    let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
    let prefix: u32 = prefix.parse().ok().filter(|p| *p <= bits)?;
    let host = bits - prefix;
    let mask = if host == 128 { u128::MAX } else { (1 << host) - 1 };
    let (first, last) = (number(ip) & !mask, number(ip) | mask);
    Some(if ip.is_ipv4() && host > 1 { (true, first + 1, last - 1) } else { (ip.is_ipv4(), first, last) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, RangeError> {
        addresses(&[text.to_owned()]).map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn networks_ranges_and_addresses() {
        assert_eq!(read("10.1.0.0/30").unwrap(), ["10.1.0.1", "10.1.0.2"]);
        assert_eq!(read("10.1.0.5/31").unwrap(), ["10.1.0.4", "10.1.0.5"]);
        assert_eq!(read("10.1.0.7").unwrap(), ["10.1.0.7"]);
        assert_eq!(read("10.1.0.254-10.1.1.1").unwrap(), ["10.1.0.254", "10.1.0.255", "10.1.1.0", "10.1.1.1"]);
        assert_eq!(read("fd00::/127").unwrap(), ["fd00::", "fd00::1"]);
        assert_eq!(read("::1").unwrap(), ["::1"]);
    }

    #[test]
    fn what_is_wrong_or_too_much_is_said() {
        for bad in ["", "10.1.0", "10.1.0.0/33", "10.1.0.9-10.1.0.1", "10.1.0.1-::1", "a\u{1b}b", "/8"] {
            assert!(matches!(read(bad), Err(RangeError::Unreadable(_))), "{bad}");
        }
        for much in ["10.0.0.0/8", "::/0", "0.0.0.0/0", "::-ffff::"] {
            assert!(matches!(read(much), Err(RangeError::TooMany(..))), "{much}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_ranges_or_an_error(text in "[0-9a-f.:/-]{0,40}|.{0,20}") {
            if let Ok(all) = addresses(&[text]) {
                proptest::prop_assert!((1..=65_536).contains(&all.len()));
            }
        }
    }
}
