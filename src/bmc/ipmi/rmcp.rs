//! The four bytes in front of every packet (DMTF DSP0136 §3.2.3.1, "RMCP message header"). It never looks behind them.

/// RMCP version 1.0, reserved, sequence 0xFF (no acknowledgement wanted), class 7 (IPMI).
pub const HEADER: [u8; 4] = [0x06, 0x00, 0xff, 0x07];

/// What follows the header of an IPMI-class packet; `None` when it is of another class, an acknowledgement or cut short.
///
/// The reserved byte and the sequence are not compared: BMCs echo whatever they like there.
#[must_use]
pub fn body(packet: &[u8]) -> Option<&[u8]> {
    match packet {
        [0x06, _, _, 0x07, rest @ ..] => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn only_ipmi_class_data_passes() {
        assert_eq!(body(&[6, 0, 0xff, 7, 1, 2]), Some(&[1, 2][..]));
        assert_eq!(body(&[6, 0, 0xff, 6, 1, 2]), None, "ASF class");
        assert_eq!(body(&[6, 0, 0xff, 0x87]), None, "an acknowledgement");
        assert_eq!(body(&[6, 0, 0xff]), None);
    }
}
