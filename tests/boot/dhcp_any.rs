//! The rules of the DHCP server that hold for whatever arrives: any bytes, any options, real packets bent.

use std::net::Ipv4Addr;

use bringup::boot::dhcp::{Door, Mode, Registry, To, answer};
use bringup::model::Inventory;
use proptest::prelude::*;

use super::dhcp_rules::{ADDRESS, ANYBODY, NODE, Question, ask, me, read, site};

/// Iron rules for whatever arrives.
fn holds(packet: &[u8], inventory: &Inventory) {
    let registry = Registry::of(inventory);
    for mode in [Mode::Reserve, Mode::Proxy] {
        for door in [Door::Server, Door::BootServer, Door::Client] {
            let answer = answer(packet, ANYBODY, door, &registry, &me(mode));
            assert!(answer.sights.len() <= 2);
            for sight in &answer.sights {
                assert!(!sight.line().chars().any(char::is_control), "{:?}", sight.line());
            }
            let Some(reply) = answer.reply else { continue };
            assert!(door != Door::Client && reply.bytes.len() <= 1472);
            let mac: [u8; 6] = packet[28..34].try_into().unwrap();
            let node = inventory.nodes.values().find(|n| n.boot.mac.is_some_and(|m| m.octets() == mac)).expect("a node's MAC");
            let yours = Ipv4Addr::new(reply.bytes[16], reply.bytes[17], reply.bytes[18], reply.bytes[19]);
            assert!(yours.is_unspecified() || (mode == Mode::Reserve && std::net::IpAddr::V4(yours) == node.boot.ip));
            if let To::Client(address) = reply.to {
                assert_eq!(std::net::IpAddr::V4(address), node.boot.ip);
            }
        }
    }
}

/// What iPXE sent from a QEMU machine (Debian's 1.0.0+git-20190125), with the MAC of a node put in.
fn real() -> Vec<u8> {
    let text: String = include_str!("dhcp_ipxe.hex").split_whitespace().collect();
    let mut bytes: Vec<u8> = (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16).unwrap()).collect();
    bytes[28..34].copy_from_slice(&NODE);
    bytes
}

#[test]
fn a_real_machine_is_understood() {
    let answer = answer(&real(), ANYBODY, Door::Server, &Registry::of(&site()), &me(Mode::Reserve));
    let bytes = answer.reply.unwrap().bytes;
    assert_eq!(bytes[16..20], ADDRESS.octets());
    assert!(bytes.windows(31).any(|w| w == b"http://10.77.0.1:8088/boot.ipxe"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packet in proptest::collection::vec(any::<u8>(), 0..1600)) {
        holds(&packet, &site());
    }

    /// Behind a good header, so that the options are reached.
    #[test]
    fn any_options_are_survived(options in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20), kind in 1_u8..9, known: bool) {
        let mut question = Question { mac: if known { NODE } else { [2, 9, 9, 9, 9, 9] }, ..ask(kind) };
        question.options.extend(options);
        holds(&question.bytes(), &site());
    }

    /// Those that go back to whoever sent them, in many parts (RFC 3396), to a client that takes a whole frame.
    #[test]
    fn what_is_echoed_fits_or_is_refused(parts in proptest::collection::vec((prop_oneof![Just(61_u8), Just(82), Just(97), Just(60), Just(55)], 0_usize..256), 0..8), room in 0_u16..2000) {
        let mut question = ask(1).pxe(7).with(57, &room.to_be_bytes());
        question.options.extend(parts.into_iter().map(|(code, length)| (code, vec![7; length])));
        holds(&question.bytes(), &site());
        let answer = question.reserved();
        if let Some(reply) = &answer.reply {
            prop_assert!(reply.bytes.len() <= usize::from(room.max(576)) - 28);
            let got = read(&answer);
            for code in [61, 82] {
                let sent: Vec<u8> = question.options.iter().filter(|(c, _)| *c == code).flat_map(|(_, data)| data.clone()).collect();
                prop_assert_eq!(got.options.get(&code).cloned().unwrap_or_default(), sent);
            }
        }
    }

    #[test]
    fn a_real_packet_with_bytes_changed_is_survived(changes in proptest::collection::vec((0_usize..600, any::<u8>()), 1..12), cut in 0_usize..600) {
        let mut packet = real();
        for (at, byte) in changes {
            let length = packet.len();
            packet[at % length] = byte;
        }
        packet.truncate(packet.len().saturating_sub(cut / 4).max(1));
        holds(&packet, &site());
    }
}
