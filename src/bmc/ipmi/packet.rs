//! The RMCP+ session header (IPMI v2.0 §13.6, table 13-8). It splits and joins bytes; whether a packet is genuine is decided by `session`.

use super::rmcp;

/// Largest packet that is looked at. The longest answer asked for is far below 256 bytes (§13.6 allows a 16-bit length).
pub const MAX_PACKET: usize = 1024;

/// Authentication type "RMCP+" of the session header.
const FORMAT_RMCP_PLUS: u8 = 0x06;
const ENCRYPTED: u8 = 0x80;
const AUTHENTICATED: u8 = 0x40;
/// Offset of the first byte that the integrity code covers: the authentication type after the RMCP header.
pub const COVERED_FROM: usize = rmcp::HEADER.len();
/// Authentication type, payload type, session id, sequence, payload length.
const HEADER_LEN: usize = 12;

/// Payload types (table 13-16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// An IPMI message.
    Message,
    /// Serial over LAN: the console.
    Sol,
    /// Open Session Request.
    OpenRequest,
    /// Open Session Response.
    OpenResponse,
    /// RAKP message 1.
    Rakp1,
    /// RAKP message 2.
    Rakp2,
    /// RAKP message 3.
    Rakp3,
    /// RAKP message 4.
    Rakp4,
}

impl Payload {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x00 => Self::Message,
            0x01 => Self::Sol,
            0x10 => Self::OpenRequest,
            0x11 => Self::OpenResponse,
            0x12 => Self::Rakp1,
            0x13 => Self::Rakp2,
            0x14 => Self::Rakp3,
            0x15 => Self::Rakp4,
            _ => return None,
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::Message => 0x00,
            Self::Sol => 0x01,
            Self::OpenRequest => 0x10,
            Self::OpenResponse => 0x11,
            Self::Rakp1 => 0x12,
            Self::Rakp2 => 0x13,
            Self::Rakp3 => 0x14,
            Self::Rakp4 => 0x15,
        }
    }
}

/// A packet cut at its header. Nothing in it is trusted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it carries.
    pub payload: Payload,
    /// The header says that the payload is encrypted.
    pub encrypted: bool,
    /// The header says that an integrity code follows.
    pub authenticated: bool,
    /// Session id of the receiver; 0 outside a session.
    pub session: u32,
    /// Session sequence number; 0 outside a session.
    pub sequence: u32,
    /// Payload.
    pub data: &'a [u8],
    /// What follows the payload: pad, pad length, next header, integrity code.
    pub trailer: &'a [u8],
    /// Everything from the authentication type on, for the integrity code.
    pub covered: &'a [u8],
}

/// Cuts a packet at its header; `None` for anything that is not a whole RMCP+ packet of a known payload type.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Packet<'_>> {
    if bytes.len() > MAX_PACKET {
        return None;
    }
    let covered = rmcp::body(bytes)?;
    let (header, rest) = covered.split_at_checked(HEADER_LEN)?;
    let &[format, kind, s0, s1, s2, s3, q0, q1, q2, q3, l0, l1] = header else { return None };
    if format != FORMAT_RMCP_PLUS {
        return None;
    }
    let (data, trailer) = rest.split_at_checked(usize::from(u16::from_le_bytes([l0, l1])))?;
    Some(Packet {
        payload: Payload::from_code(kind & 0x3f)?,
        encrypted: kind & ENCRYPTED != 0,
        authenticated: kind & AUTHENTICATED != 0,
        session: u32::from_le_bytes([s0, s1, s2, s3]),
        sequence: u32::from_le_bytes([q0, q1, q2, q3]),
        data,
        trailer,
        covered,
    })
}

/// A packet of the handshake: no session, no sequence, no protection.
#[must_use]
pub fn encode_plain(payload: Payload, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(COVERED_FROM + HEADER_LEN + data.len());
    header(&mut out, payload.code(), 0, 0, data);
    out
}

/// A packet inside a session, up to and including the "next header" byte; the caller appends the code over [`COVERED_FROM`]`..`.
///
/// The integrity pad brings what is covered to a multiple of four bytes (table 13-8, "Integrity PAD").
#[must_use]
pub fn encode_protected(payload: Payload, session: u32, sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(COVERED_FROM + HEADER_LEN + data.len() + 24);
    header(&mut out, payload.code() | ENCRYPTED | AUTHENTICATED, session, sequence, data);
    let mut pad: u8 = 0;
    while !(out.len() - COVERED_FROM + 2).is_multiple_of(4) {
        out.push(0xff);
        pad += 1;
    }
    out.extend([pad, 0x07]);
    out
}

fn header(out: &mut Vec<u8>, kind: u8, session: u32, sequence: u32, data: &[u8]) {
    out.extend(rmcp::HEADER);
    out.extend([FORMAT_RMCP_PLUS, kind]);
    out.extend(session.to_le_bytes());
    out.extend(sequence.to_le_bytes());
    // Payloads are built here and stay below 200 bytes.
    out.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(data);
}
