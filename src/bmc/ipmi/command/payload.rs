//! Payloads of a session, of which the console is one (IPMI v2.0 §24), and the questions by which it is found out who has it (§22.20, §22.29).

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Payload type "SOL" and its first instance, the only one that BMCs have in practice.
const SOL: [u8; 2] = [0x01, 0x01];
/// With encryption and authentication; alerts on the shared port are deferred; the BMC asserts CTS, DCD and DSR at once (table 24-2).
const AUXILIARY: u8 = 0x80 | 0x40 | 0x04;

/// Completion codes of Activate Payload (table 24-2).
pub mod refusal {
    /// Another session has it.
    pub const ACTIVE_ELSEWHERE: u8 = 0x80;
    /// The payload type is switched off.
    pub const DISABLED: u8 = 0x81;
    /// No more instances.
    pub const LIMIT: u8 = 0x82;
    /// Not with encryption.
    pub const NO_ENCRYPTION: u8 = 0x83;
}

/// Activate Payload, for the console.
pub struct Activate;

/// What the BMC says of an activated console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activated {
    /// Bytes of one payload towards the BMC; often wrong.
    pub inbound: u16,
    /// Bytes of one payload from the BMC.
    pub outbound: u16,
    /// UDP port on which it wants the payload; 0 when it did not say.
    pub port: u16,
}

impl From<Activate> for Message {
    fn from(_: Activate) -> Self {
        Self::new_request(NetFn::App, 0x48, [&SOL[..], &[AUXILIARY, 0, 0, 0]].concat())
    }
}

impl IpmiCommand for Activate {
    type Output = Activated;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Activated, NotEnoughData> {
        let word = |at: usize| data.get(at..at + 2).and_then(|two| two.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two));
        // The four auxiliary bytes come first. What is cut off behind them is taken as not said.
        if data.len() < 4 {
            return Err(NotEnoughData);
        }
        Ok(Activated { inbound: word(4), outbound: word(6), port: word(8) })
    }
}

/// Deactivate Payload, for the console.
#[must_use]
pub fn deactivate() -> Message {
    Message::new_request(NetFn::App, 0x49, [&SOL[..], &[0; 4]].concat())
}

/// Get Payload Instance Info, for the console: the session that has it.
pub struct GetHolder;

impl From<GetHolder> for Message {
    fn from(_: GetHolder) -> Self {
        Self::new_request(NetFn::App, 0x4b, SOL.to_vec())
    }
}

impl IpmiCommand for GetHolder {
    /// Session id; `None` when no session has it.
    type Output = Option<u32>;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Option<u32>, NotEnoughData> {
        let id = data.first_chunk().copied().map(u32::from_le_bytes).ok_or(NotEnoughData)?;
        Ok((id != 0).then_some(id))
    }
}

/// Get Session Info of the session with this id.
pub struct GetSession(pub u32);

/// Who a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOwner {
    /// Number of the account.
    pub user: u8,
    /// Address and port, when it came over LAN and the BMC says so.
    pub from: Option<(std::net::Ipv4Addr, u16)>,
}

impl From<GetSession> for Message {
    fn from(command: GetSession) -> Self {
        Self::new_request(NetFn::App, 0x3d, [&[0xff][..], &command.0.to_le_bytes()].concat())
    }
}

impl IpmiCommand for GetSession {
    /// `None` when the BMC knows no such session.
    type Output = Option<SessionOwner>;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Option<SessionOwner>, NotEnoughData> {
        match data {
            [_handle, _possible, _active, user, _level, _channel, a, b, c, d, _, _, _, _, _, _, p0, p1, ..] => {
                let from = (std::net::Ipv4Addr::new(*a, *b, *c, *d), u16::from_le_bytes([*p0, *p1]));
                Ok(Some(SessionOwner { user: user & 0x3f, from: (!from.0.is_unspecified()).then_some(from) }))
            }
            [_handle, _possible, _active, user, ..] => Ok(Some(SessionOwner { user: user & 0x3f, from: None })),
            [_, _, _] => Ok(None),
            _ => Err(NotEnoughData),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `ipmitool sol activate` with the handshake bit of its `intelplus` mode sends the same.
    #[test]
    fn golden() {
        let message = Message::from(Activate);
        assert_eq!((message.netfn_raw(), message.cmd(), message.data()), (6, 0x48, &[1, 1, 0xc4, 0, 0, 0][..]));
        let answer = [0, 0, 0, 0, 0x04, 0x01, 0x04, 0x01, 0x6f, 0x02, 0xff, 0xff];
        let read = Activate::parse_success_response(&answer).unwrap_or_else(|_| panic!("long enough"));
        assert_eq!(read, Activated { inbound: 260, outbound: 260, port: 623 });
    }

    #[test]
    fn who_has_it() {
        let parse = |data: &[u8]| GetSession::parse_success_response(data).ok();
        let whole = [3, 8, 2, 2, 4, 0x11, 10, 0, 0, 7, 1, 2, 3, 4, 5, 6, 0x40, 0x9c];
        let owner = SessionOwner { user: 2, from: Some(([10, 0, 0, 7].into(), 40000)) };
        assert_eq!(parse(&whole), Some(Some(owner)));
        assert_eq!(parse(&whole[..6]), Some(Some(SessionOwner { user: 2, from: None })));
        assert_eq!(parse(&[0, 8, 2]), Some(None));
        assert_eq!(parse(&[0]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Activate::parse_success_response(&bytes);
            let _ = GetHolder::parse_success_response(&bytes);
            let _ = GetSession::parse_success_response(&bytes);
        }
    }
}
