//! The commands of PICMG HPM.1 R1.0 (§3, command numbers 2Eh to 37h of the PICMG group extension) and their answers. Encoding and bounded decoding
//! only.

use std::time::Duration;

use ipmi_rs_core::connection::{Message, NetFn};

use super::image::Revision;

/// Group extension, and PICMG's number in it.
const GROUP: u8 = 0x2c;
const PICMG: u8 = 0x00;
/// Times are told in steps of 5 s.
const STEP: Duration = Duration::from_secs(5);
/// Bytes of a component's description.
const DESCRIPTION: usize = 12;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Capabilities = 0x2e,
    Properties = 0x2f,
    Abort = 0x30,
    Initiate = 0x31,
    Block = 0x32,
    Finish = 0x33,
    Status = 0x34,
    Activate = 0x35,
    SelfTest = 0x36,
    Rollback = 0x37,
}

/// It has begun and goes on: Get Upgrade Status tells when it has ended.
pub(super) const IN_PROGRESS: u8 = 0x80;

impl Command {
    pub(super) fn with(self, data: &[u8]) -> Message {
        let mut all = vec![PICMG];
        all.extend(data);
        Message::new_request(NetFn::from(GROUP), self as u8, all)
    }

    /// What it does, for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Capabilities => "get target upgrade capabilities",
            Self::Properties => "get component properties",
            Self::Abort => "abort the firmware upgrade",
            Self::Initiate => "initiate an upgrade action",
            Self::Block => "upload a firmware block",
            Self::Finish => "finish the firmware upload",
            Self::Status => "get upgrade status",
            Self::Activate => "activate the firmware",
            Self::SelfTest => "query the self-test result",
            Self::Rollback => "query the rollback status",
        }
    }

    /// The command's own completion codes in words (§3, the tables of each command).
    pub(super) fn refusal(self, code: u8) -> Option<&'static str> {
        Some(match (self, code) {
            (_, IN_PROGRESS) => "it is still at it",
            (Self::Initiate, 0x81) => "it has no such component",
            (Self::Finish, 0x81) => "it has received another number of bytes",
            (Self::Block, 0x82) => "the block did not arrive as it was sent",
            (Self::Block, 0x83) | (Self::Finish, 0x82) => "the firmware did not arrive as it was sent",
            (Self::Finish, 0x83) => "the firmware is not for this component",
            (Self::Properties, 0x82) => "it has no such component",
            (Self::Properties, 0x83) => "it has no such property",
            (Self::Rollback | Self::Activate, 0x81) => "going back failed",
            _ => return None,
        })
    }
}

/// What comes after PICMG's number.
pub(super) fn body(answer: &[u8]) -> Option<&[u8]> {
    match answer {
        [PICMG, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// What a controller can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Not now, it says.
    pub(super) undesirable: bool,
    /// It goes back by itself when the new firmware fails.
    pub(super) goes_back: bool,
    pub(super) self_test: bool,
    /// Longest times: for a long command, for the self-test, for going back, for being away.
    pub(super) upgrade: Duration,
    pub(super) test: Duration,
    pub(super) back: Duration,
    pub(super) away: Duration,
    /// Components that it has, as bits.
    pub(super) components: u8,
}

pub(super) fn capabilities(body: &[u8]) -> Option<Capabilities> {
    let &[_version, flags, upgrade, test, back, away, components, ..] = body else { return None };
    Some(Capabilities {
        undesirable: flags & 0x80 != 0,
        goes_back: flags & 0x02 != 0,
        self_test: flags & 0x01 != 0,
        upgrade: STEP * upgrade.into(),
        test: STEP * test.into(),
        back: STEP * back.into(),
        away: STEP * away.into(),
        components,
    })
}

/// A time as an image tells it.
pub(super) fn time(steps: u8) -> Duration {
    STEP * steps.into()
}

/// What a component can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct General {
    /// Its old firmware is kept.
    pub(super) backup: bool,
    pub(super) prepare: bool,
    /// It tells which firmware waits.
    pub(super) deferred: bool,
    /// Its new firmware runs only after the node's power was cycled.
    pub(super) cold_reset: bool,
}

pub(super) fn general(body: &[u8]) -> Option<General> {
    let [flags, ..] = body else { return None };
    Some(General {
        backup: flags & 0x03 != 0,
        prepare: flags & 0x04 != 0,
        deferred: flags & 0x10 != 0,
        cold_reset: flags & 0x20 != 0,
    })
}

/// A version; `None` inside: there is none.
pub(super) fn revision(body: &[u8]) -> Option<Option<Revision>> {
    body.first_chunk::<6>().map(|bytes| Revision::of(*bytes))
}

/// A description: at most 12 bytes, filled up with NULs; escaped.
pub(super) fn description(body: &[u8]) -> String {
    let text = body.get(..body.len().min(DESCRIPTION)).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().escape_debug().collect()
}

/// Which part of the firmware comes next, where the controller says so: offset and length.
pub(super) fn section(body: &[u8]) -> Option<(u32, u32)> {
    let (offset, rest) = body.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*offset), u32::from_le_bytes(*rest.first_chunk::<4>()?)))
}

/// Result of a self-test in words (IPMI v2.0 §20.4, which HPM.1 takes over); `Ok` is a passed one, or none.
pub(super) fn self_test(body: &[u8]) -> Result<&'static str, String> {
    match body {
        [0x55, ..] => Ok("its self-test passed"),
        [0x56, ..] => Ok("it has no self-test"),
        [0x57, what, ..] => Err(format!("its self-test found corrupted or inaccessible data (57h {what:02x}h)")),
        [0x58, what, ..] => Err(format!("its self-test found a fatal hardware error (58h {what:02x}h)")),
        [code, what, ..] => Err(format!("its self-test failed ({code:02x}h {what:02x}h)")),
        _ => Err("the result of its self-test is cut short".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden() {
        let block = Command::Block.with(&[7, 0xaa, 0xbb]);
        assert_eq!((block.netfn_raw(), block.cmd(), block.data()), (0x2c, 0x32, &[0, 7, 0xaa, 0xbb][..]));
        let told = capabilities(body(&[0, 1, 0x83, 2, 1, 3, 4, 0x0f]).unwrap()).unwrap();
        assert!(told.undesirable && told.goes_back && told.self_test);
        let seconds = [told.upgrade, told.test, told.back, told.away].map(|time| time.as_secs());
        assert_eq!((seconds, told.components), ([10, 5, 15, 20], 0x0f));
        let can = general(&[0x35]).unwrap();
        assert!(can.backup && can.prepare && can.deferred && can.cold_reset);
        assert_eq!(revision(&[24, 9, 0x17, 0, 0, 0]).unwrap().unwrap().to_string(), "24.09.17");
        assert_eq!(revision(&[0xff; 6]), Some(None));
        assert_eq!(description(b"BMC\0\0\0\0\0\0\0\0\0"), "BMC");
        assert_eq!(description(b"\x1b[2J-and-more-than-twelve"), "\\u{1b}[2J-and-mor");
        assert_eq!(section(&[0, 1, 0, 0, 2, 0, 0, 0]), Some((256, 2)));
        assert_eq!((self_test(&[0x55, 0]).is_ok(), self_test(&[0x57, 2]).is_err()), (true, true));
        assert_eq!(body(&[0xdc, 1]), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (body(&bytes), capabilities(&bytes), general(&bytes), revision(&bytes), section(&bytes), self_test(&bytes));
            prop_assert!(description(&bytes).chars().all(|c| !c.is_control()));
        }
    }
}
