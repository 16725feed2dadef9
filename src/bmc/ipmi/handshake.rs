//! The messages that open a session (IPMI v2.0 §13.17–§13.24). Encoding and decoding only; the codes are computed in `rakp`.

use super::suite::Suite;

/// Numbers of one attempt. Every attempt draws new ones, so that a late answer to an earlier one matches nothing.
#[derive(Clone, Copy)]
pub struct Attempt {
    /// Message tag, echoed by the BMC.
    pub tag: u8,
    /// Session id of our side, never 0.
    pub our_session: u32,
    /// Random number of our side.
    pub nonce: [u8; 16],
}

/// Open Session Request (§13.17): exactly one suite is proposed, at `role` or below.
#[must_use]
pub fn open_request(attempt: &Attempt, suite: Suite, role: u8) -> Vec<u8> {
    let [auth, integrity, secrecy] = suite.algorithms();
    let mut out = vec![attempt.tag, role, 0, 0];
    out.extend(attempt.our_session.to_le_bytes());
    for (kind, algorithm) in [(0u8, auth), (1, integrity), (2, secrecy)] {
        out.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    out
}

/// What a handshake answer says, once it is known to answer this attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<T> {
    /// It goes on.
    Next(T),
    /// A status code other than 0 (table 13-15).
    Refused(u8),
    /// It does not have the shape that the standard gives it.
    Malformed(&'static str),
}

impl<T> Reply<T> {
    /// Changes what goes on, keeps what stops.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Next(value) => Reply::Next(f(value)),
            Self::Refused(status) => Reply::Refused(status),
            Self::Malformed(what) => Reply::Malformed(what),
        }
    }
}

/// Reads an Open Session Response (§13.18); `None` when it answers another attempt. Gives the BMC's session id.
///
/// The three algorithms must be exactly those proposed: anything else is a downgrade.
#[must_use]
pub fn open_response(bytes: &[u8], attempt: &Attempt, suite: Suite) -> Option<Reply<u32>> {
    let (&tag, rest) = bytes.split_first()?;
    let (&status, rest) = rest.split_first()?;
    if tag != attempt.tag {
        return None;
    }
    if status != 0 {
        return Some(Reply::Refused(status));
    }
    let &[_privilege, _, c0, c1, c2, c3, b0, b1, b2, b3, ref algorithms @ ..] = rest else {
        return Some(Reply::Malformed("an Open Session Response that is cut short"));
    };
    if u32::from_le_bytes([c0, c1, c2, c3]) != attempt.our_session {
        return None;
    }
    if algorithms.len() < 24 {
        return Some(Reply::Malformed("an Open Session Response that is cut short"));
    }
    let exact = algorithms.chunks_exact(8).zip(suite.algorithms()).enumerate().all(|(kind, (record, wanted))| {
        matches!(record, [k, _, _, 8, algorithm, ..] if usize::from(*k) == kind && algorithm & 0x3f == wanted)
    });
    if !exact {
        return Some(Reply::Malformed("other algorithms than the one suite that was proposed (a downgrade)"));
    }
    match u32::from_le_bytes([b0, b1, b2, b3]) {
        0 => Some(Reply::Malformed("session id 0")),
        id => Some(Reply::Next(id)),
    }
}

/// RAKP message 1 (§13.20).
#[must_use]
pub fn rakp1(attempt: &Attempt, bmc_session: u32, role: u8, user: &[u8]) -> Vec<u8> {
    let mut out = vec![attempt.tag, 0, 0, 0];
    out.extend(bmc_session.to_le_bytes());
    out.extend(attempt.nonce);
    out.extend([role, 0, 0, u8::try_from(user.len()).unwrap_or(u8::MAX)]);
    out.extend(user);
    out
}

/// What RAKP message 2 brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rakp2<'a> {
    /// Random number of the BMC.
    pub nonce: [u8; 16],
    /// GUID of the BMC.
    pub guid: [u8; 16],
    /// Its authentication code, not yet checked.
    pub code: &'a [u8],
}

/// Reads RAKP message 2 (§13.21); `None` when it answers another attempt.
#[must_use]
pub fn rakp2<'a>(bytes: &'a [u8], attempt: &Attempt) -> Option<Reply<Rakp2<'a>>> {
    let rest = match preamble(bytes, attempt)? {
        Reply::Next(rest) => rest,
        Reply::Refused(status) => return Some(Reply::Refused(status)),
        Reply::Malformed(what) => return Some(Reply::Malformed(what)),
    };
    let parts = rest.split_first_chunk::<16>().and_then(|(nonce, rest)| {
        let (guid, code) = rest.split_first_chunk::<16>()?;
        Some(Rakp2 { nonce: *nonce, guid: *guid, code })
    });
    Some(parts.map_or(Reply::Malformed("a RAKP message 2 that is cut short"), Reply::Next))
}

/// RAKP message 3 (§13.22).
#[must_use]
pub fn rakp3(attempt: &Attempt, bmc_session: u32, code: &[u8]) -> Vec<u8> {
    let mut out = vec![attempt.tag, 0, 0, 0];
    out.extend(bmc_session.to_le_bytes());
    out.extend(code);
    out
}

/// RAKP message 3 of a console that ends the handshake (§13.22): a status other than 0 and no code.
#[must_use]
pub fn rakp3_given_up(attempt: &Attempt, bmc_session: u32, status: u8) -> Vec<u8> {
    let mut out = vec![attempt.tag, status, 0, 0];
    out.extend(bmc_session.to_le_bytes());
    out
}

/// Reads RAKP message 4 (§13.23); `None` when it answers another attempt. Gives its check value, not yet compared.
#[must_use]
pub fn rakp4<'a>(bytes: &'a [u8], attempt: &Attempt) -> Option<Reply<&'a [u8]>> {
    preamble(bytes, attempt)
}

/// Tag, status, two reserved bytes and our session id, common to RAKP 2 and 4. Some BMCs leave the id 0 when they refuse.
fn preamble<'a>(bytes: &'a [u8], attempt: &Attempt) -> Option<Reply<&'a [u8]>> {
    let (&tag, rest) = bytes.split_first()?;
    let (&status, rest) = rest.split_first()?;
    if tag != attempt.tag {
        return None;
    }
    if status != 0 {
        return Some(Reply::Refused(status));
    }
    match rest {
        [_, _, c0, c1, c2, c3, rest @ ..] if u32::from_le_bytes([*c0, *c1, *c2, *c3]) == attempt.our_session => {
            Some(Reply::Next(rest))
        }
        [_, _, _, _, _, _, ..] => None,
        _ => Some(Reply::Malformed("a RAKP message that is cut short")),
    }
}

/// What a status code of the handshake means (table 13-15).
#[must_use]
pub fn status_text(status: u8) -> &'static str {
    match status {
        0x01 => "no free session slot",
        0x02 => "invalid session id",
        0x03 => "invalid payload type",
        0x04 => "invalid authentication algorithm",
        0x05 => "invalid integrity algorithm",
        0x06 => "no matching authentication payload",
        0x07 => "no matching integrity payload",
        0x08 => "inactive session id",
        0x09 => "invalid role",
        0x0a => "the role is not allowed to this account",
        0x0b => "no free session slot at this role",
        0x0c => "invalid length of the user name",
        0x0d => "unknown or disabled user name",
        0x0e => "unauthorised GUID",
        0x0f => "invalid integrity check value (wrong password or K_g)",
        0x10 => "invalid confidentiality algorithm",
        0x11 => "no cipher suite matches",
        0x12 => "illegal parameter",
        _ => "a status that the standard does not define",
    }
}

/// True for the codes that the standard defines (table 13-15).
#[must_use]
pub fn is_defined(status: u8) -> bool {
    status <= 0x12
}

/// True for the codes by which a BMC turns a cipher suite down.
#[must_use]
pub fn is_suite_refusal(status: u8) -> bool {
    matches!(status, 0x04..=0x07 | 0x10 | 0x11)
}

/// True for the codes by which a BMC turns down the role and not the account.
#[must_use]
pub fn is_role_refusal(status: u8) -> bool {
    matches!(status, 0x09 | 0x0a)
}
