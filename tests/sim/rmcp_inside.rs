//! Inside a session of a simulated BMC: any command with any data, and any change of a sealed packet. The console's side is the product's own codec,
//! which shares nothing with the simulator's.

use bringup::bmc::ipmi::handshake::{self, Attempt, Reply};
use bringup::bmc::ipmi::packet::{self, Payload};
use bringup::bmc::ipmi::rakp::Facts;
use bringup::bmc::ipmi::session::Session;
use bringup::bmc::ipmi::suite::Suite;
use bringup::sim::rmcp::Bench;
use ipmi_rs_core::connection::{Message, NetFn};
use proptest::prelude::*;

use super::rmcp_rig::{PASSWORD, USER, machine};

const ADMIN: u8 = 4;

/// Opens a session as administrator.
fn open(bench: &mut Bench, suite: Suite) -> Session {
    let attempt = Attempt { tag: 1, our_session: 0x0102_0304, nonce: [9; 16] };
    let mut ask = |kind, payload: &[u8]| bench.answer(&packet::encode_plain(kind, payload)).expect("an answer");
    let opened = ask(Payload::OpenRequest, &handshake::open_request(&attempt, suite, ADMIN));
    let data = packet::decode(&opened).unwrap().data;
    let Some(Reply::Next(id)) = handshake::open_response(data, &attempt, suite) else { panic!("{data:?}") };
    let named = ask(Payload::Rakp1, &handshake::rakp1(&attempt, id, ADMIN, USER.as_bytes()));
    let Some(Reply::Next(rakp2)) = handshake::rakp2(packet::decode(&named).unwrap().data, &attempt) else { panic!("RAKP 2") };
    let facts = Facts {
        suite,
        our_session: attempt.our_session,
        bmc_session: id,
        our_nonce: &attempt.nonce,
        bmc_nonce: &rakp2.nonce,
        guid: &rakp2.guid,
        role: ADMIN,
        user: USER.as_bytes(),
    };
    assert!(facts.rakp2(PASSWORD.as_bytes()).matches(suite.code_len(), rakp2.code));
    let proof = handshake::rakp3(&attempt, id, facts.rakp3(PASSWORD.as_bytes()).bytes());
    let proven = ask(Payload::Rakp3, &proof);
    assert!(matches!(handshake::rakp4(packet::decode(&proven).unwrap().data, &attempt), Some(Reply::Next(_))));
    let sik = facts.sik(PASSWORD.as_bytes());
    Session::new(suite, facts.keys(&sik), attempt.our_session, id)
}

fn suites() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::Three), Just(Suite::Seventeen)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every even network function below OEM, every command, any data, one after the other in one session: each is answered with a completion code
    /// under its own number, or the session has ended (Close Session was among them).
    #[test]
    fn any_command_with_any_data_is_answered(
        suite in suites(),
        asked in prop::collection::vec((0u8..0x18, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 1..24),
    ) {
        let mut bench = Bench::new(machine(&[]));
        let mut session = open(&mut bench, suite);
        let raise = Message::new_request(NetFn::App, 0x3b, vec![ADMIN]);
        let raised = bench.answer(&session.seal(&raise, 1)).unwrap();
        prop_assert_eq!(session.open(&raised).unwrap().code, 0);
        for (at, (half, command, data)) in (2u8..).zip(asked) {
            let message = Message::new_raw(half * 2, command, data);
            match bench.answer(&session.seal(&message, at & 0x3f)) {
                None => {
                    let alive = Message::new_request(NetFn::App, 0x01, Vec::new());
                    prop_assert_eq!(bench.answer(&session.seal(&alive, 0)), None, "{:?} was not answered", message);
                    break;
                }
                Some(bytes) => {
                    let answer = session.open(&bytes).map_err(|why| TestCaseError::fail(format!("{why:?}: {message:?}")))?;
                    prop_assert!(answer.answers(&message, at & 0x3f), "{message:?} got {answer:?}");
                }
            }
        }
    }

    /// A sealed packet with any one byte changed, or cut anywhere, is met with silence and changes nothing.
    #[test]
    fn a_changed_packet_is_met_with_silence(suite in suites(), at in 4usize..90, by in 1u8.., cut in 0usize..90) {
        let mut bench = Bench::new(machine(&[]));
        let mut session = open(&mut bench, suite);
        let message = Message::new_request(NetFn::Chassis, 0x01, Vec::new());
        let sealed = session.seal(&message, 1);
        let mut changed = sealed.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= by;
            prop_assert_eq!(bench.answer(&changed), None);
        }
        prop_assert_eq!(bench.answer(&sealed[..cut.min(sealed.len() - 1)]), None);
        prop_assert!(session.open(&bench.answer(&sealed).unwrap()).is_ok(), "the genuine one is still good");
        prop_assert_eq!(bench.answer(&sealed), None, "once");
    }
}
