//! Accounts of a BMC (IPMI v2.0 §22.26 to §22.31): names, passwords of 20 bytes, privilege on a channel. Encoding and bounded decoding only.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};
use zeroize::Zeroizing;

/// Bytes of a user name (§22.28).
pub const NAME: usize = 16;
/// Bytes of a password over IPMI 2.0 (§22.30).
pub const PASSWORD: usize = 20;
/// "The channel that this comes in on" (§6.3).
pub const THIS_CHANNEL: u8 = 0x0e;

/// Get User Name.
pub struct GetName(pub u8);

impl From<GetName> for Message {
    fn from(command: GetName) -> Self {
        Self::new_request(NetFn::App, 0x46, vec![command.0 & 0x3f])
    }
}

impl IpmiCommand for GetName {
    /// The name, escaped; empty when the slot has none.
    type Output = String;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<String, NotEnoughData> {
        // At most 16 bytes, ended by a NUL or by the end. Some BMCs send fewer.
        let name = data.get(..data.len().min(NAME)).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).escape_debug().collect())
    }
}

/// Get User Access of one account on this channel.
pub struct GetAccess(pub u8);

/// What an account may on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// How many accounts the BMC has room for.
    pub most: u8,
    /// Whether the account is enabled; `None`: the BMC does not say (0).
    pub enabled: Option<bool>,
    /// May log in over this channel with IPMI messages.
    pub messaging: bool,
    /// Link authentication, for serial links.
    pub link: bool,
    /// Only when it is called back.
    pub callback_only: bool,
    /// Privilege limit: 1 callback, 2 user, 3 operator, 4 administrator, 5 OEM, 15 no access.
    pub privilege: u8,
}

impl From<GetAccess> for Message {
    fn from(command: GetAccess) -> Self {
        Self::new_request(NetFn::App, 0x44, vec![THIS_CHANNEL, command.0 & 0x3f])
    }
}

impl IpmiCommand for GetAccess {
    type Output = Access;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Access, NotEnoughData> {
        let &[most, enabled, _fixed, access, ..] = data else { return Err(NotEnoughData) };
        Ok(Access {
            most: most & 0x3f,
            enabled: match enabled >> 6 {
                1 => Some(true),
                2 => Some(false),
                _ => None,
            },
            callback_only: access & 0x40 != 0,
            link: access & 0x20 != 0,
            messaging: access & 0x10 != 0,
            privilege: access & 0x0f,
        })
    }
}

/// A privilege in the standard's words.
#[must_use]
pub fn privilege_word(privilege: u8) -> &'static str {
    match privilege {
        1 => "callback",
        2 => "user",
        3 => "operator",
        4 => "administrator",
        5 => "oem",
        15 => "no access",
        _ => "reserved",
    }
}

/// Set User Access on this channel: as `access` says, privilege included.
#[must_use]
pub fn set_access(user: u8, access: &Access) -> Message {
    let bit = |on: bool, mask: u8| if on { mask } else { 0 };
    // Bit 7: the three bits beside it are to be changed.
    let first = 0x80 | bit(access.callback_only, 0x40) | bit(access.link, 0x20) | bit(access.messaging, 0x10) | THIS_CHANNEL;
    Message::new_request(NetFn::App, 0x43, vec![first, user & 0x3f, access.privilege & 0x0f])
}

/// Set User Name; a longer name is refused before this is called.
#[must_use]
pub fn set_name(user: u8, name: &str) -> Message {
    let mut data = vec![user & 0x3f];
    data.extend(name.bytes().chain(std::iter::repeat(0)).take(NAME));
    Message::new_request(NetFn::App, 0x45, data)
}

/// What Set User Password does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordDeed {
    /// Disable the account.
    Disable,
    /// Enable the account.
    Enable,
    /// Set the password.
    Set,
    /// Ask whether this is the password.
    Test,
}

/// Set User Password, with the 20-byte form of IPMI 2.0; `None` for the deeds that need none.
#[must_use]
pub fn set_password(user: u8, deed: PasswordDeed, password: Option<&str>) -> Message {
    let deed = match deed {
        PasswordDeed::Disable => 0,
        PasswordDeed::Enable => 1,
        PasswordDeed::Set => 2,
        PasswordDeed::Test => 3,
    };
    // Bit 7: 20 bytes.
    let mut data = Zeroizing::new(vec![0x80 | (user & 0x3f), deed]);
    if let Some(password) = password {
        data.extend(password.bytes().chain(std::iter::repeat(0)).take(PASSWORD));
    }
    Message::new_request(NetFn::App, 0x47, data.to_vec())
}

/// Completion codes of Set User Password's test (§22.30).
pub const WRONG_PASSWORD: u8 = 0x80;
/// The same, because it was stored with the other length.
pub const WRONG_SIZE: u8 = 0x81;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As `ipmitool user set password 3 secret 20` and `ipmitool user set name 3 ops` send them.
    #[test]
    fn golden() {
        let message = set_password(3, PasswordDeed::Set, Some("secret"));
        assert_eq!((message.netfn_raw(), message.cmd()), (6, 0x47));
        assert_eq!(message.data(), [&[0x83, 2][..], b"secret", &[0; 14]].concat());
        assert_eq!(set_password(3, PasswordDeed::Disable, None).data(), [0x83, 0]);
        assert_eq!(set_name(3, "ops").data(), [&[3][..], b"ops", &[0; 13]].concat());
        let read = GetAccess::parse_success_response(&[0x0a, 0x42, 0x01, 0x34]).unwrap_or_else(|_| panic!("long enough"));
        assert_eq!((read.most, read.enabled, read.messaging, read.link, read.privilege), (10, Some(true), true, true, 4));
        assert_eq!(set_access(2, &read).data(), [0xbe, 2, 4]);
    }

    #[test]
    fn a_hostile_name_is_escaped() {
        let name = |bytes: &[u8]| GetName::parse_success_response(bytes).unwrap_or_default();
        assert_eq!(name(b"admin\0\0\0\0\0\0\0\0\0\0\0"), "admin");
        assert_eq!(name(b"\x1b[2Jx"), "\\u{1b}[2Jx");
        assert_eq!(name(&[b'a'; 40]).len(), 16);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            drop(GetName::parse_success_response(&bytes));
            let _ = GetAccess::parse_success_response(&bytes);
        }
    }
}
