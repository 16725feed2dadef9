//! IPMI messages inside a payload (IPMI v2.0 §13.8, table 13-8 "IPMI LAN message format"): addresses, function, checksums.

use ipmi_rs_core::connection::Message;

/// Slave address of the BMC (§5.5).
const BMC: u8 = 0x20;
/// Software id of a remote console (§5.5): an odd number from 0x81.
const CONSOLE: u8 = 0x81;

/// Two's-complement checksum over the bytes (§13.8).
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg()
}

/// A request to the BMC. `seq` is its 6-bit request number, by which the answer is known.
#[must_use]
pub fn encode_request(message: &Message, seq: u8) -> Vec<u8> {
    let head = [BMC, message.netfn_raw() << 2];
    let mut out = Vec::with_capacity(7 + message.data().len());
    out.extend(head);
    out.push(checksum(&head));
    let body_from = out.len();
    out.extend([CONSOLE, seq << 2, message.cmd()]);
    out.extend(message.data());
    let sum = checksum(out.get(body_from..).unwrap_or_default());
    out.push(sum);
    out
}

/// An answer of the BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Network function of the answer (odd).
    pub netfn: u8,
    /// Request number that it answers.
    pub seq: u8,
    /// Command that it answers.
    pub cmd: u8,
    /// Completion code; 0 is success (§5.2).
    pub code: u8,
    /// What follows the completion code.
    pub data: Vec<u8>,
}

impl Answer {
    /// True when it answers this request.
    #[must_use]
    pub fn answers(&self, message: &Message, seq: u8) -> bool {
        self.netfn == message.netfn_raw() | 1 && self.cmd == message.cmd() && self.seq == seq
    }
}

/// Reads an answer; `None` when it is too short or a checksum is wrong.
#[must_use]
pub fn decode_answer(bytes: &[u8]) -> Option<Answer> {
    let (head, body) = bytes.split_at_checked(3)?;
    if head.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) != 0 || body.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) != 0 {
        return None;
    }
    let &[_console, netfn, _] = head else { return None };
    match body {
        [_bmc, seq, cmd, code, data @ .., _sum] => {
            Some(Answer { netfn: netfn >> 2, seq: seq >> 2, cmd: *cmd, code: *code, data: data.to_vec() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ipmi_rs_core::connection::{Message, NetFn};

    use super::{decode_answer, encode_request};

    /// Get Chassis Status as every client sends it: `20 00 e0 81 04 01 7a`.
    #[test]
    fn chassis_status_request() {
        let bytes = encode_request(&Message::new_request(NetFn::Chassis, 0x01, vec![]), 1);
        assert_eq!(bytes, [0x20, 0x00, 0xe0, 0x81, 0x04, 0x01, 0x7a]);
    }

    #[test]
    fn an_answer_with_a_wrong_checksum_is_none() {
        let good = [0x81, 0x04, 0x7b, 0x20, 0x04, 0x01, 0x00, 0x21, 0x10, 0x40, 0x6a];
        let answer = decode_answer(&good).unwrap();
        assert_eq!((answer.netfn, answer.seq, answer.cmd, answer.code), (1, 1, 1, 0));
        assert_eq!(answer.data, [0x21, 0x10, 0x40]);
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert_eq!(decode_answer(&bad), None, "byte {at}");
        }
        for cut in 0..good.len() {
            drop(decode_answer(&good[..cut]));
        }
    }
}
