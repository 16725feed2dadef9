//! Bytes: a session of `ipmitool` 1.8.19 with OpenIPMI `ipmi_sim` 2.0.33 (captured with `-vvvvv`), and hostile bytes for every decoder.

use bringup::bmc::Password;
use bringup::bmc::ipmi::command::{self, boot, chassis, fru, guid};
use bringup::bmc::ipmi::handshake::{self, Attempt, Reply};
use bringup::bmc::ipmi::packet::{self, Payload};
use bringup::bmc::ipmi::rakp::{BmcKey, Facts};
use bringup::bmc::ipmi::session::{Dropped, Session};
use bringup::bmc::ipmi::suite::Suite;
use bringup::bmc::ipmi::{Account, AccountError, message};
use ipmi_rs_core::app::GetDeviceId;
use ipmi_rs_core::connection::IpmiCommand;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

const OURS: u32 = 0xa0a2_a3a4;
const BMCS: u32 = 2;

fn attempt() -> Attempt {
    Attempt { tag: 0, our_session: OURS, nonce: hex("3761bdd5f430912d044b1970d6e46419").try_into().unwrap() }
}

fn facts<'a>(attempt: &'a Attempt, rakp2: &'a handshake::Rakp2<'a>) -> Facts<'a> {
    Facts {
        suite: Suite::Three,
        our_session: OURS,
        bmc_session: BMCS,
        our_nonce: &attempt.nonce,
        bmc_nonce: &rakp2.nonce,
        guid: &rakp2.guid,
        role: 0x14,
        user: b"admin",
    }
}

const RAKP2: &str = "0600ff07 0613 00000000 00000000 3c00 00000000 a4a3a2a0 e6476118e2ec141681c8108669e4e776
    336a1b2c5d0e4f6091a2b3c4d5e6f708 c11f2d8afef35a7666867c092d01c20096b49ebb";
/// Answer to Set Session Privilege Level: level 4.
const ANSWER: &str = "0600ff07 06c0 a4a3a2a0 01000000 2000 f1739056763c06161cf631c192321b5f
    7d151f8a40c7cb5766f91e72d95b5513 ffff0207 5531f06588de5dd496bba1b2";

fn session() -> Session {
    let attempt = attempt();
    let bytes = hex(RAKP2);
    let packet = packet::decode(&bytes).unwrap();
    let Some(Reply::Next(rakp2)) = handshake::rakp2(packet.data, &attempt) else { panic!("RAKP 2") };
    let facts = facts(&attempt, &rakp2);
    let keys = facts.keys(&facts.sik(b"password"));
    Session::new(Suite::Three, keys, OURS, BMCS)
}

#[test]
fn open_session_bytes() {
    // ipmitool asks for privilege 0 ("highest"), the rest is the same.
    let request = packet::encode_plain(Payload::OpenRequest, &handshake::open_request(&attempt(), Suite::Three, 0));
    let captured = "0600ff07 0610 00000000 00000000 2000 00000000 a4a3a2a0 0000000801000000 0100000801000000 0200000801000000";
    assert_eq!(request, hex(captured));
    let answer =
        hex("0600ff07 0611 00000000 00000000 2400 00000000 a4a3a2a0 02000000 0000000801000000 0100000801000000 0200000801000000");
    let packet = packet::decode(&answer).unwrap();
    assert_eq!(packet.payload, Payload::OpenResponse);
    assert_eq!(handshake::open_response(packet.data, &attempt(), Suite::Three), Some(Reply::Next(BMCS)));
    // Any other algorithm than the one proposed is a downgrade, in each of the three places.
    for (at, value) in [(16, 0), (24, 0), (24, 4), (32, 0), (32, 2), (16, 3)] {
        let mut lowered = packet.data.to_vec();
        lowered[at] = value;
        assert!(
            matches!(handshake::open_response(&lowered, &attempt(), Suite::Three), Some(Reply::Malformed(_))),
            "{at} {value}"
        );
    }
    let other = Attempt { tag: 1, ..attempt() };
    assert_eq!(handshake::open_response(packet.data, &other, Suite::Three), None, "answers another attempt");
}

#[test]
fn rakp_codes_of_a_captured_login() {
    let attempt = attempt();
    let rakp1 = packet::encode_plain(Payload::Rakp1, &handshake::rakp1(&attempt, BMCS, 0x14, b"admin"));
    let captured = "0600ff07 0612 00000000 00000000 2100 00000000 02000000 3761bdd5f430912d044b1970d6e46419 14000005 61646d696e";
    assert_eq!(rakp1, hex(captured));
    let bytes = hex(RAKP2);
    let packet = packet::decode(&bytes).unwrap();
    let Some(Reply::Next(rakp2)) = handshake::rakp2(packet.data, &attempt) else { panic!("RAKP 2") };
    let facts = facts(&attempt, &rakp2);
    assert!(facts.rakp2(b"password").matches(20, rakp2.code));
    assert!(!facts.rakp2(b"passwore").matches(20, rakp2.code));
    let rakp3 = packet::encode_plain(Payload::Rakp3, &handshake::rakp3(&attempt, BMCS, facts.rakp3(b"password").bytes()));
    assert_eq!(rakp3, hex("0600ff07 0614 00000000 00000000 1c00 00000000 02000000 aa0f04a98490c368eaa68f53d58a55508dae356f"));
    let sik = facts.sik(b"password");
    assert_eq!(sik.bytes(), hex("6a4f9ae9eea3914889481388 09d2fbebc5d3525e"));
    assert_eq!(facts.rakp4(&sik).cut(12), hex("917a9813772bad0637eecf46"));
    let keys = facts.keys(&sik);
    assert_eq!(keys.integrity.bytes(), hex("658e197f8bbfef19ae61b831ddbb48f8648efd3e"));
    assert_eq!(keys.aes.as_slice(), hex("f5a15c96d6beb01d8a42b98a3e236892"));
    assert!(BmcKey::new(&[]).is_none() && BmcKey::new(&[1; 21]).is_none() && BmcKey::new(&[1; 20]).is_some());
}

#[test]
fn a_captured_request_is_sealed_to_the_same_bytes() {
    let mut session = session();
    session.seal(&command::set_privilege(4), 1);
    session.seal(&command::set_privilege(4), 1);
    // ipmitool's first sequence number is 3.
    let vector = hex("f8d11d6da462a3548425b4db9d2a53f2").try_into().unwrap();
    let sealed = session.seal_with(&command::set_privilege(4), 1, &vector);
    let captured = "0600ff07 06c0 02000000 03000000 2000 f8d11d6da462a3548425b4db9d2a53f2 0c7dc8adfb99b27ddf4c6961ce6befd1
        ffff0207 80b49e354ba413bb0be6046a";
    assert_eq!(sealed, hex(captured));
}

#[test]
fn a_captured_answer_opens_once_and_forgeries_never() {
    let genuine = hex(ANSWER);
    let mut session = session();
    for at in 4..genuine.len() {
        let mut forged = genuine.clone();
        forged[at] ^= 0x01;
        assert!(session.open(&forged).is_err(), "byte {at}");
    }
    let mut other = genuine.clone();
    other[6] ^= 0xff;
    assert_eq!(session.open(&other), Err(Dropped::OtherSession));
    // A packet that says of itself that it is neither encrypted nor authenticated.
    let plain = packet::encode_plain(Payload::Message, &hex("811c6320043b00049d"));
    assert_eq!(session.open(&plain), Err(Dropped::Shape));
    let answer = session.open(&genuine).unwrap();
    assert_eq!((answer.netfn, answer.seq, answer.cmd, answer.code, answer.data.as_slice()), (7, 1, 0x3b, 0, &[4][..]));
    assert!(answer.answers(&command::set_privilege(4), 1) && !answer.answers(&command::set_privilege(4), 2));
    assert_eq!(session.open(&genuine), Err(Dropped::Replayed));
}

#[test]
fn accounts_that_ipmi_cannot_carry_are_refused_before_a_packet_is_sent() {
    let check = |user: &str, password: &str, suite| Account::new(user, Password::new(password), suite).err();
    assert_eq!(check("seventeen-letters", "p", None), Some(AccountError::UserTooLong(17)));
    assert_eq!(check("admin", "twenty-one-characters", None), Some(AccountError::PasswordTooLong(21)));
    assert_eq!(check("ad\0min", "p", None), Some(AccountError::Nul("user name")));
    assert_eq!(check("admin", "p\0", None), Some(AccountError::Nul("password")));
    assert_eq!(check("admin", "p", Some(0)), Some(AccountError::Suite(0)));
    assert_eq!(check("admin", "twenty-characters-ok", Some(17)), None);
}

/// Random bytes, and bytes that are almost right: a captured packet with some bytes changed and the end cut off.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let almost = (prop_oneof![Just(RAKP2), Just(ANSWER)], proptest::collection::vec((0usize..80, any::<u8>()), 0..4), 0usize..90);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        almost.prop_map(|(base, changes, keep)| {
            let mut bytes = hex(base);
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(keep);
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_decoder_panics(bytes in hostile()) {
        let _ = packet::decode(&bytes);
        let _ = message::decode_answer(&bytes);
        let _ = session().open(&bytes);
        let zero = Attempt { tag: bytes.first().copied().unwrap_or(0), our_session: OURS, nonce: [0; 16] };
        for suite in [Suite::Three, Suite::Seventeen] {
            let _ = handshake::open_response(&bytes, &zero, suite);
        }
        let _ = handshake::rakp2(&bytes, &zero);
        let _ = handshake::rakp4(&bytes, &zero);
        let _ = chassis::GetChassisStatus::parse_success_response(&bytes);
        if let Ok(flags) = boot::GetBootFlags::parse_success_response(&bytes) {
            let _ = (flags.as_override(), flags.describe());
        }
        if let Ok(sent) = guid::GetSystemGuid::parse_success_response(&bytes) {
            let _ = guid::text(sent);
        }
        let _ = fru::GetFruInfo::parse_success_response(&bytes);
        let _ = fru::ReadFru::parse_success_response(&bytes);
        let _ = GetDeviceId::parse_success_response(&bytes);
        let _ = fru::areas(&bytes);
    }

    /// A FRU area with a right checksum and anything inside: bounded text, no control characters.
    #[test]
    fn fru_areas_give_safe_text(mut body in proptest::collection::vec(any::<u8>(), 3..250), kind in 0..3) {
        while body.len() % 8 != 7 {
            body.push(0);
        }
        body[1] = ((body.len() + 1) / 8) as u8;
        body.push(body.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg());
        let area = [fru::Area::Chassis, fru::Area::Board, fru::Area::Product][kind as usize];
        if let Ok(fields) = fru::fields(area, &body) {
            prop_assert!(fields.len() <= 250);
            for text in fields.into_iter().flatten() {
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(text.len() <= 64 * 10);
            }
        }
    }
}
