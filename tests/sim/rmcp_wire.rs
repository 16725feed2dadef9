//! The wire itself: garbage gets no answer, nothing panics, and slots are bounded.

use bringup::sim::rmcp::Bench;
use proptest::prelude::*;

use super::rmcp_rig::machine;

fn open_session(console: u32, algorithms: [u8; 3], tag: u8) -> Vec<u8> {
    let mut payload = vec![tag, 0, 0, 0];
    payload.extend(console.to_le_bytes());
    for (kind, algorithm) in (0u8..).zip(algorithms) {
        payload.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    let mut out = vec![0x06, 0, 0xff, 0x07, 0x06, 0x10];
    out.extend([0; 8]);
    out.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
    out.extend(payload);
    out
}

/// Get Channel Authentication Capabilities in the IPMI 1.5 wrapper, as every client begins.
fn capabilities() -> Vec<u8> {
    vec![0x06, 0, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0x04, 0x38, 0x8e, 0x04, 0xb1]
}

#[test]
fn golden() {
    let mut bench = Bench::new(machine(&[]));
    let answer = bench.answer(&capabilities()).unwrap();
    assert_eq!(
        answer,
        [
            0x06, 0, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0x81, 0x1c, 0x63, 0x20, 0x04, 0x38, 0x00, 0x01, 0x80, 0x04, 0x02,
            0, 0, 0, 0, 0x1d
        ]
    );
    let opened = bench.answer(&open_session(0x1122_3344, [3, 4, 1], 0x5a)).unwrap();
    assert_eq!(opened[..6], [0x06, 0, 0xff, 0x07, 0x06, 0x11]);
    assert_eq!(opened[16..24], [0x5a, 0x00, 0x04, 0x00, 0x44, 0x33, 0x22, 0x11]);
    assert_eq!(opened[28..], [0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]);
    // No suite, a mixture, and suite 0: refused with "no cipher suite match".
    for algorithms in [[0, 0, 0], [1, 0, 1], [1, 1, 0], [1, 4, 1], [2, 2, 1]] {
        let refused = bench.answer(&open_session(7, algorithms, 1)).unwrap();
        assert_eq!(refused[16..], [0x01, 0x11, 0, 0, 7, 0, 0, 0], "{algorithms:?}");
    }
}

#[test]
fn slots_run_out_and_a_repeated_question_takes_none() {
    let mut bench = Bench::new(machine(&[]));
    let first = bench.answer(&open_session(1, [1, 1, 1], 0)).unwrap();
    assert_eq!(bench.answer(&open_session(1, [1, 1, 1], 0)).unwrap(), first, "the same again is the same slot");
    // This profile has 16 slots.
    for console in 2..=16 {
        assert_eq!(bench.answer(&open_session(console, [1, 1, 1], 0)).unwrap()[17], 0x00, "{console}");
    }
    assert_eq!(bench.answer(&open_session(17, [1, 1, 1], 0)).unwrap()[17], 0x01, "insufficient resources");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_gets_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(Bench::new(machine(&[])).answer(&bytes), None);
    }

    #[test]
    fn behind_a_true_header_nothing_panics(class in 6u8..8, kind in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bench = Bench::new(machine(&[]));
        let mut datagram = vec![0x06, 0, 0xff, class, 0x06, kind];
        datagram.extend(&bytes);
        drop(bench.answer(&datagram));
        // With a length that fits, so that the handshake itself reads it.
        let mut datagram = vec![0x06, 0, 0xff, 0x07, 0x06, 0x10 | (kind & 0x07), 0, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
        datagram.extend(&bytes);
        drop(bench.answer(&datagram));
    }

    #[test]
    fn any_change_of_a_message_is_noticed(at in 14usize..23, bit in 0u8..8) {
        let mut datagram = capabilities();
        datagram[at] ^= 1 << bit;
        // One changed bit breaks one of the two checksums.
        prop_assert_eq!(Bench::new(machine(&[])).answer(&datagram), None);
    }

    #[test]
    fn sessionless_commands_never_panic(netfn in any::<u8>(), command in any::<u8>(), data in prop::collection::vec(any::<u8>(), 0..40)) {
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg();
        let mut message = vec![0x20, netfn, sum(&[0x20, netfn])];
        let body = [&[0x81, 0x04, command][..], &data].concat();
        message.extend(&body);
        message.push(sum(&body));
        let mut datagram = vec![0x06, 0, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        datagram.extend(message);
        let answer = Bench::new(machine(&[])).answer(&datagram);
        // Requests have even network functions; outside a session nothing but three questions is allowed.
        if (netfn >> 2) & 1 == 1 {
            prop_assert_eq!(answer, None);
        } else if netfn >> 2 != 6 || ![0x37, 0x38, 0x54].contains(&command) {
            let code = answer.unwrap()[20];
            prop_assert!(code == 0xd4 || code == 0xc1, "{code:#x}");
        }
    }
}
