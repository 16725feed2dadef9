//! System GUID (IPMI v2.0 §22.14) and the three byte orders in which BMCs send it.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Get System GUID.
pub struct GetSystemGuid;

impl From<GetSystemGuid> for Message {
    fn from(_: GetSystemGuid) -> Self {
        Self::new_request(NetFn::App, 0x37, Vec::new())
    }
}

impl IpmiCommand for GetSystemGuid {
    type Output = [u8; 16];
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<[u8; 16], NotEnoughData> {
        data.first_chunk::<16>().copied().ok_or(NotEnoughData)
    }
}

/// The GUID as lower-case text in the order of RFC 9562, as SMBIOS tools print it.
///
/// The standard wants it reversed; most BMCs pass SMBIOS bytes on (the first three fields little-endian, SMBIOS §7.2.1), some send network order. The
/// version and variant fields of RFC 9562 §4 tell them apart: the orders are tried as SMBIOS, network, reversed, and the first in which both
/// fields make sense is taken.
///
/// # Errors
/// Says why no order can be told: nothing is guessed.
pub fn text(sent: [u8; 16]) -> Result<String, String> {
    if sent == [0; 16] || sent == [0xff; 16] {
        return Err("the BMC holds no GUID (all bytes are equal)".to_owned());
    }
    let [a, b, c, d, e, f, g, h, tail @ ..] = sent;
    let [i, j, k, l, m, n, o, p] = tail;
    let smbios = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
    let mut reversed = sent;
    reversed.reverse();
    let sound = |bytes: &[u8; 16]| (1..=8).contains(&(bytes[6] >> 4)) && bytes[8] >> 6 == 0b10;
    match [smbios, sent, reversed].into_iter().find(sound) {
        Some(bytes) => Ok(print(&bytes)),
        None => Err(format!("the BMC sent {} and no known byte order makes a UUID of it", print(&sent).replace('-', ""))),
    }
}

fn print(bytes: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    const RFC: [u8; 16] = [0x33, 0x6a, 0x1b, 0x2c, 0x5d, 0x0e, 0x4f, 0x60, 0x91, 0xa2, 0xb3, 0xc4, 0xd5, 0xe6, 0xf7, 0x08];
    const TEXT: &str = "336a1b2c-5d0e-4f60-91a2-b3c4d5e6f708";

    #[test]
    fn each_order_is_known_by_its_version_field() {
        let mut smbios = RFC;
        smbios[..4].reverse();
        smbios[4..6].reverse();
        smbios[6..8].reverse();
        assert_eq!(text(smbios).as_deref(), Ok(TEXT));
        // In network order byte 7 (60h) also passes for a version when read as SMBIOS; a byte that does not leaves one reading.
        let mut network = RFC;
        network[7] = 0xf0;
        assert_eq!(text(network).as_deref(), Ok("336a1b2c-5d0e-4ff0-91a2-b3c4d5e6f708"));
        let mut reversed = RFC;
        reversed.reverse();
        assert_eq!(text(reversed).as_deref(), Ok(TEXT));
    }

    #[test]
    fn nothing_is_guessed() {
        assert!(text([0; 16]).is_err());
        let sim = [0xa1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xa1, 0x23, 0x45, 0x67, 0, 0, 0, 0];
        assert!(text(sim).unwrap_err().contains("a123456789abcdefa123456700000000"));
    }
}
