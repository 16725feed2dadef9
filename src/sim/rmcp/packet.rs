//! RMCP, ASF and both session wrappers as bytes (§13.1, §13.6). It checks lengths and fixed fields; keys and sequence numbers are not its.

/// RMCP version 1.0, no acknowledge, class IPMI.
const RMCP_IPMI: [u8; 4] = [0x06, 0x00, 0xff, 0x07];
/// The same with class ASF.
const RMCP_ASF: [u8; 4] = [0x06, 0x00, 0xff, 0x06];
/// IANA enterprise number of ASF: 4542.
const ASF: [u8; 4] = [0x00, 0x00, 0x11, 0xbe];

/// Payload types (table 13-16).
pub(super) mod payload {
    pub(in crate::sim::rmcp) const IPMI: u8 = 0x00;
    pub(in crate::sim::rmcp) const SOL: u8 = 0x01;
    pub(in crate::sim::rmcp) const OPEN: u8 = 0x10;
    pub(in crate::sim::rmcp) const OPENED: u8 = 0x11;
    pub(in crate::sim::rmcp) const RAKP1: u8 = 0x12;
    pub(in crate::sim::rmcp) const RAKP2: u8 = 0x13;
    pub(in crate::sim::rmcp) const RAKP3: u8 = 0x14;
    pub(in crate::sim::rmcp) const RAKP4: u8 = 0x15;
}

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// ASF presence ping.
    Ping { tag: u8 },
    /// IPMI 1.5 wrapper without a session.
    Plain { message: &'a [u8] },
    /// RMCP+ wrapper.
    Plus(Plus<'a>),
}

/// An RMCP+ packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plus<'a> {
    pub(super) kind: u8,
    pub(super) encrypted: bool,
    pub(super) authenticated: bool,
    pub(super) session: u32,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
    /// Everything that the authentication code covers, from the authentication type to the next header, and the code after it.
    pub(super) covered: &'a [u8],
}

/// Reads a datagram; `None` is silence.
pub(super) fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    let (header, rest) = datagram.split_first_chunk::<4>()?;
    match *header {
        RMCP_ASF => ping(rest),
        RMCP_IPMI if rest.first() == Some(&0x06) => plus(rest).map(Packet::Plus),
        RMCP_IPMI => plain(rest),
        _ => None,
    }
}

fn ping(rest: &[u8]) -> Option<Packet<'_>> {
    let (iana, rest) = rest.split_first_chunk::<4>()?;
    match rest {
        [0x80, tag, _, 0x00] if *iana == ASF => Some(Packet::Ping { tag: *tag }),
        _ => None,
    }
}

/// Authentication type none, session 0.
fn plain(rest: &[u8]) -> Option<Packet<'_>> {
    let (header, rest) = rest.split_first_chunk::<10>()?;
    let [kind, _, _, _, _, s0, s1, s2, s3, length] = *header;
    if kind != 0 || [s0, s1, s2, s3] != [0; 4] {
        return None;
    }
    // Some clients add the pad byte of §13.6 to messages of unlucky lengths.
    let message = rest.get(..usize::from(length))?;
    (rest.len() <= message.len() + 1).then_some(Packet::Plain { message })
}

fn plus(rest: &[u8]) -> Option<Plus<'_>> {
    let (header, body) = rest.split_first_chunk::<12>()?;
    let [_, kind, i0, i1, i2, i3, q0, q1, q2, q3, l0, l1] = *header;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let authenticated = kind & 0x40 != 0;
    let payload = body.get(..length)?;
    if !authenticated && body.len() != length {
        return None;
    }
    Some(Plus {
        kind: kind & 0x3f,
        encrypted: kind & 0x80 != 0,
        authenticated,
        session: u32::from_le_bytes([i0, i1, i2, i3]),
        sequence: u32::from_le_bytes([q0, q1, q2, q3]),
        payload,
        covered: rest,
    })
}

/// The answer to a ping: ASF 1.0, and IPMI when it is supported (ASF 2.0 §3.2.4.3).
pub(super) fn pong(tag: u8, ipmi: bool) -> Vec<u8> {
    let mut out = [RMCP_ASF, ASF].concat();
    out.extend([0x40, tag, 0x00, 0x10]);
    out.extend(ASF);
    let entities = if ipmi { 0x81 } else { 0x01 };
    out.extend([0, 0, 0, 0, entities, 0x00, 0, 0, 0, 0, 0, 0]);
    out
}

/// An IPMI 1.5 wrapper around an answer outside any session.
pub(super) fn plain_answer(message: &[u8]) -> Option<Vec<u8>> {
    let mut out = RMCP_IPMI.to_vec();
    out.extend([0; 9]);
    out.push(u8::try_from(message.len()).ok()?);
    out.extend(message);
    Some(out)
}

/// An RMCP+ packet up to its payload. `flags` are the two upper bits of the payload type.
pub(super) fn plus_head(flags: u8, kind: u8, session: u32, sequence: u32, payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = RMCP_IPMI.to_vec();
    out.extend([0x06, flags | kind]);
    out.extend(session.to_le_bytes());
    out.extend(sequence.to_le_bytes());
    out.extend(u16::try_from(payload.len()).ok()?.to_le_bytes());
    out.extend(payload);
    Some(out)
}

/// How much of a packet the RMCP header takes; the authentication code starts to count after it.
pub(super) const RMCP: usize = RMCP_IPMI.len();
