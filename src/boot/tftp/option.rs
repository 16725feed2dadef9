//! What a client asks for and what it gets: RFC 2348 `blksize`, RFC 2349 `tsize` and `timeout`, RFC 7440 `windowsize`.
//!
//! An option that is not understood, or whose value lies outside its RFC's range, is left out of the answer, which means "no" (RFC 2347).

use std::time::Duration;

use super::packet;

/// Block size without an option (RFC 1350).
const PLAIN: u64 = 512;
/// Largest block size (RFC 2348).
const MOST: u64 = 65_464;
/// Largest window given; more would only fill the buffers of a ROM.
const WINDOW: u64 = 64;
/// Bytes of a window: with jumbo blocks it has fewer of them.
const WINDOW_BYTES: u64 = 1 << 20;
/// IPv4, UDP and TFTP headers of a data packet.
const HEADERS: u64 = 20 + 8 + 4;
/// Waits that are taken from a client; RFC 2349 allows 255 s, which would hold a dead transfer for half an hour.
const PATIENCE: std::ops::RangeInclusive<u64> = 1..=30;
/// Wait for an ACK when the client says nothing, as other servers have it (tftpd-hpa: 1 s).
const WAIT: Duration = Duration::from_secs(1);

/// How a transfer will be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Bytes of a block.
    pub(super) block: usize,
    /// Blocks in flight.
    pub(super) window: u64,
    /// First wait for an ACK.
    pub(super) wait: Duration,
    /// The answer; `None` when no option was agreed to, then block 1 is the answer.
    pub(super) oack: Option<Vec<u8>>,
}

/// Agrees to what can be kept. `mtu` is the path's, in bytes, and asked for only when the client names a block size.
pub(super) fn agree(asked: &[(&[u8], &[u8])], size: u64, mtu: impl Fn() -> usize) -> Agreed {
    let (mut block, mut window, mut wait) = (None, None, None);
    let mut said: Vec<(&str, u64)> = Vec::new();
    for (key, value) in asked {
        let Some(value) = number(value) else { continue };
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        if is("blksize") && block.is_none() && value >= 8 {
            let fits = u64::try_from(mtu()).unwrap_or(MOST).saturating_sub(HEADERS).max(PLAIN);
            let given = value.min(MOST).min(fits);
            block = Some(given);
            said.push(("blksize", given));
        } else if is("tsize") && !said.iter().any(|(k, _)| *k == "tsize") {
            said.push(("tsize", size));
        } else if is("timeout") && wait.is_none() && PATIENCE.contains(&value) {
            wait = Some(Duration::from_secs(value));
            said.push(("timeout", value));
        } else if is("windowsize") && window.is_none() && (1..=65_535).contains(&value) {
            window = Some(value.min(WINDOW));
            said.push(("windowsize", value.min(WINDOW)));
        }
    }
    let block = block.unwrap_or(PLAIN);
    // The window is bounded in bytes too; the block size may come after it in the request.
    let window = window.unwrap_or(1).min((WINDOW_BYTES / block).max(1));
    if let Some((_, told)) = said.iter_mut().find(|(k, _)| *k == "windowsize") {
        *told = window;
    }
    let oack = (!said.is_empty()).then(|| packet::oack(&said));
    Agreed { block: usize::try_from(block).unwrap_or(512), window, wait: wait.unwrap_or(WAIT), oack }
}

/// Decimal digits and nothing else; a number that does not fit is the largest.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 20 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0_u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(asked: &[(&str, &str)], mtu: usize) -> Agreed {
        let asked: Vec<_> = asked.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        agree(&asked, 1000, || mtu)
    }

    #[test]
    fn options_are_agreed_to_in_their_ranges() {
        let plain = with(&[("multicast", ""), ("blksize", "7"), ("windowsize", "0"), ("timeout", "0"), ("tsize", "-1")], 1500);
        assert_eq!(plain, Agreed { block: 512, window: 1, wait: WAIT, oack: None });
        let full = with(&[("BLKSIZE", "65464"), ("tsize", "0"), ("timeout", "3"), ("windowsize", "65535")], 1500);
        assert_eq!((full.block, full.window, full.wait.as_secs()), (1468, 64, 3));
        assert_eq!(full.oack.unwrap(), b"\0\x06blksize\x001468\0tsize\x001000\0timeout\x003\0windowsize\x0064\0");
        for (asked, given) in [("8", 8), ("1000000000", 1468), ("99999999999999999999", 1468), ("1024", 1024)] {
            assert_eq!(with(&[("blksize", asked)], 1500).block, given, "{asked}");
        }
        assert_eq!(with(&[("blksize", "65464")], 65_536).block, 65_464);
        assert_eq!(with(&[("blksize", "65464")], 68).block, 512, "no path is narrower than the plain protocol");
        let jumbo = with(&[("windowsize", "64"), ("blksize", "65464")], 65_536);
        assert_eq!(jumbo.window, 16);
        assert_eq!(jumbo.oack.unwrap(), b"\0\x06windowsize\x0016\0blksize\x0065464\0");
        // Said twice: the first counts.
        assert_eq!(with(&[("blksize", "600"), ("blksize", "1400")], 1500).oack.unwrap(), b"\0\x06blksize\x00600\0");
    }

    proptest! {
        #[test]
        fn any_options(asked in proptest::collection::vec(("(blksize|tsize|timeout|windowsize|x)", "[0-9]{0,21}|.{0,4}"), 0..16), mtu in 0_usize..100_000) {
            let asked: Vec<_> = asked.iter().map(|(k, v): &(String, String)| (k.as_bytes(), v.as_bytes())).collect();
            let agreed = agree(&asked, 7, || mtu);
            prop_assert!((8..=65_464).contains(&agreed.block) && (1..=64).contains(&agreed.window));
            prop_assert!(agreed.block <= 512.max(mtu.saturating_sub(32)) && agreed.wait.as_secs() <= 30);
            prop_assert!(agreed.oack.is_none_or(|oack| oack.len() <= 100));
        }
    }
}
