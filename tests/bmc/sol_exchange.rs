//! The console's automaton against a BMC that keeps the same rules, over a line that loses, doubles and delays; and against BMCs that do not keep them.

use std::collections::VecDeque;
use std::time::Duration;

use bringup::bmc::ipmi::sol::{Event, Exchange, Gap};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn events(exchange: &mut Exchange) -> Vec<Event> {
    std::iter::from_fn(|| exchange.event()).collect()
}

fn printed(events: &[Event]) -> Vec<u8> {
    events.iter().filter_map(|e| if let Event::Printed(bytes) = e { Some(bytes.clone()) } else { None }).flatten().collect()
}

/// A BMC that keeps §15.11 and never gives a packet up.
#[derive(Default)]
struct Bmc {
    out: VecDeque<u8>,
    number: u8,
    flight: Option<(u8, Vec<u8>, u64)>,
    last: Option<(u8, u8)>,
    got: Vec<u8>,
    /// Always says that it took none, as Intel's.
    never_counts: bool,
}

impl Bmc {
    fn heard(&mut self, dice: &mut StdRng, payload: &[u8]) -> Option<Vec<u8>> {
        let (head, characters) = payload.split_at(4);
        if head[1] != 0 && self.flight.as_ref().is_some_and(|(number, ..)| *number == head[1]) {
            let (_, bytes, _) = self.flight.take().unwrap();
            for byte in bytes[usize::from(head[2]).min(bytes.len())..].iter().rev() {
                self.out.push_front(*byte);
            }
        }
        if head[0] == 0 {
            return None;
        }
        if let Some((number, count)) = self.last.filter(|(number, _)| *number == head[0]) {
            return Some(vec![0, number, count, 0]);
        }
        let (count, status) = match dice.random_range(0..6) {
            0 if !self.never_counts => (dice.random_range(0..=characters.len()), 0x40),
            1 if !self.never_counts && !characters.is_empty() => (dice.random_range(1..=characters.len()), 0),
            _ => (characters.len(), 0),
        };
        self.got.extend(&characters[..count]);
        let told = if self.never_counts { 0 } else { count as u8 };
        self.last = Some((head[0], told));
        Some(vec![0, head[0], told, status])
    }

    fn tick(&mut self, now: u64) -> Option<Vec<u8>> {
        match &mut self.flight {
            Some((number, bytes, at)) if now >= *at + 150 => {
                *at = now;
                Some([&[*number, 0, 0, 0][..], bytes].concat())
            }
            None if !self.out.is_empty() => {
                self.number = self.number % 15 + 1;
                let bytes: Vec<u8> = self.out.drain(..self.out.len().min(50)).collect();
                self.flight = Some((self.number, bytes.clone(), now));
                Some([&[self.number, 0, 0, 0][..], &bytes].concat())
            }
            _ => None,
        }
    }
}

/// Runs both for two virtual minutes; packets are late by less than a resending, as on any real network.
fn together(seed: u64, loss: u32, twice: u32, never_counts: bool) {
    let mut dice = StdRng::seed_from_u64(seed);
    let prints: Vec<u8> = (0..4000).map(|_| dice.random()).collect();
    let types: Vec<u8> = (0..900).map(|_| dice.random()).collect();
    let mut bmc = Bmc { out: prints.iter().copied().collect(), never_counts, ..Bmc::default() };
    let mut ours = Exchange::new(60, ms(0));
    assert_eq!(ours.typed(ms(0), &types), types.len());
    let mut line: Vec<(u64, u32, bool, Vec<u8>)> = Vec::new();
    // A datagram that the network doubled is dropped by the session's replay window (§6.12.13), on both sides.
    let (mut sent, mut arrived) = (0u32, std::collections::BTreeSet::new());
    let mut seen = Vec::new();
    for now in (0..600_000).step_by(5) {
        let mut out: Vec<(bool, Vec<u8>)> = Vec::new();
        while let Some(packet) = ours.to_send(ms(now)) {
            out.push((true, packet));
        }
        out.extend(bmc.tick(now).map(|packet| (false, packet)));
        let due: Vec<_> = line.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, id, to_bmc, packet) in due {
            if !arrived.insert(id) {
                continue;
            }
            if to_bmc {
                out.extend(bmc.heard(&mut dice, &packet).map(|answer| (false, answer)));
            } else {
                ours.heard(ms(now), &packet);
            }
        }
        for (to_bmc, packet) in out {
            sent += 1;
            for _ in 0..if dice.random_range(0..100) < twice { 2 } else { 1 } {
                if dice.random_range(0..100) >= loss {
                    line.push((now + dice.random_range(1..60), sent, to_bmc, packet.clone()));
                }
            }
        }
        seen.extend(events(&mut ours));
        if bmc.out.is_empty() && bmc.flight.is_none() && ours.unconfirmed() == 0 && line.is_empty() {
            break;
        }
    }
    let others: Vec<&Event> = seen.iter().filter(|e| !matches!(e, Event::Printed(_))).collect();
    assert!(others.is_empty(), "seed {seed}: {others:?}");
    assert!(printed(&seen) == prints, "seed {seed}: what was printed is not what came");
    assert!(bmc.got == types, "seed {seed}: {} of {} typed bytes came", bmc.got.len(), types.len());
}

#[test]
fn every_byte_comes_once_and_in_order_over_a_bad_line() {
    for seed in 0..12 {
        together(seed, 15, 15, false);
    }
    together(99, 0, 0, false);
}

#[test]
fn a_bmc_that_never_counts_gets_each_key_once() {
    for seed in 0..4 {
        together(seed, 0, 10, true);
    }
}

#[test]
fn what_the_bmc_gave_up_is_a_gap() {
    let mut ours = Exchange::new(200, ms(0));
    ours.heard(ms(0), b"\x01\0\0\0one");
    assert_eq!(ours.to_send(ms(0)).unwrap(), [0, 1, 3, 0]);
    // Sent again with more behind it: only that is new.
    ours.heard(ms(1), b"\x01\0\0\0one two");
    assert_eq!(ours.to_send(ms(1)).unwrap(), [0, 1, 7, 0]);
    ours.heard(ms(2), b"\x04\0\0\0four");
    assert_eq!(
        events(&mut ours),
        [
            Event::Printed(b"one".to_vec()),
            Event::Printed(b" two".to_vec()),
            Event::Gap(Gap::Packets(2)),
            Event::Printed(b"four".to_vec())
        ]
    );
    // An old one that comes late is no gap and is not answered.
    assert!(ours.to_send(ms(2)).is_some());
    ours.heard(ms(3), b"\x03\0\0\0three");
    assert_eq!((events(&mut ours), ours.to_send(ms(3))), (vec![], None));
    // It comes again: the BMC has really gone so far ahead.
    ours.heard(ms(200), b"\x03\0\0\0three");
    assert_eq!(events(&mut ours), [Event::Gap(Gap::Packets(13)), Event::Printed(b"three".to_vec())]);
    // The same number with other characters: the numbers went round.
    ours.heard(ms(300), b"\x03\0\0\0other");
    assert_eq!(events(&mut ours), [Event::Gap(Gap::Packets(15)), Event::Printed(b"other".to_vec())]);
    ours.heard(ms(400), &[0, 0, 0, 0x08]);
    assert_eq!(events(&mut ours), [Event::Gap(Gap::Overrun)]);
    ours.heard(ms(400), &[0, 0, 0, 0x20]);
    ours.heard(ms(400), &[0, 0, 0, 0x20]);
    ours.heard(ms(400), &[0, 0, 0, 0x14]);
    assert_eq!(events(&mut ours), [Event::Takes(false), Event::Takes(true), Event::Break, Event::Ended]);
}

#[test]
fn refused_characters_wait_and_go_out_once() {
    let mut ours = Exchange::new(8, ms(0));
    ours.typed(ms(0), b"abcdef");
    assert_eq!(ours.to_send(ms(0)).unwrap(), b"\x01\0\0\0abcd");
    assert_eq!(ours.to_send(ms(1)), None, "one packet is out at a time");
    // Two taken, then a pause.
    ours.heard(ms(10), &[0, 1, 2, 0x40]);
    assert_eq!(ours.to_send(ms(11)), None);
    // It goes on.
    ours.heard(ms(50), &[0, 1, 2, 0]);
    assert_eq!(ours.to_send(ms(51)).unwrap(), b"\x02\0\0\0cdef");
    // Nothing heard: the same again, under the same number.
    assert_eq!(ours.to_send(ms(451)).unwrap(), b"\x02\0\0\0cdef");
    ours.heard(ms(460), &[0, 2, 4, 0]);
    assert_eq!(ours.unconfirmed(), 0);
    ours.make_break(ms(500));
    assert_eq!(ours.to_send(ms(500)).unwrap(), [3, 0, 0, 0x10]);
    ours.heard(ms(501), &[0, 3, 0, 0]);
    assert_eq!((ours.to_send(ms(5000)), events(&mut ours)), (None, vec![]));
}

#[test]
fn a_bmc_that_takes_nothing_is_told_and_does_not_hang() {
    let mut ours = Exchange::new(0x0400, ms(0));
    ours.typed(ms(0), &[b'x'; 100]);
    assert_eq!(ours.to_send(ms(0)).unwrap().len(), 4 + 64, "1024 cannot be; 64 is what every BMC takes");
    let (mut now, mut seen, mut sendings) = (0, Vec::new(), 1);
    while now < 60_000 && seen.is_empty() {
        now += 50;
        sendings += u32::from(ours.to_send(ms(now)).is_some());
        seen = events(&mut ours);
    }
    assert_eq!(seen, [Event::NotTaken(64), Event::Silent], "after {now} ms");
    assert_eq!(sendings, 8);
    let mut ours = Exchange::new(64, ms(0));
    ours.typed(ms(0), b"abc");
    let mut seen = Vec::new();
    for now in (0..60_000).step_by(50) {
        if let Some(packet) = ours.to_send(ms(now)) {
            ours.heard(ms(now), &[0, packet[0], 0, 0x40]);
        }
        seen.extend(events(&mut ours));
    }
    assert_eq!(seen, [Event::NotTaken(3)], "refused for twenty seconds");
    assert_eq!(ours.unconfirmed(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Heard(Vec<u8>),
    Typed(Vec<u8>),
    Break,
    Send,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..270).prop_map(Step::Heard),
        (0u8..16, 0u8..16, any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(a, b, c, d, e)| Step::Heard([&[a, b, c, d][..], &e].concat())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Typed),
        Just(Step::Break),
        Just(Step::Send),
        any::<u16>().prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes: no panic, a bounded queue, packets that a BMC can read, and no wake that lies behind what is due.
    #[test]
    fn anything_may_come(payload in any::<u16>(), steps in prop::collection::vec(step(), 0..120)) {
        let mut now = ms(0);
        let mut ours = Exchange::new(payload, now);
        for step in steps {
            match step {
                Step::Heard(bytes) => ours.heard(now, &bytes),
                Step::Typed(bytes) => prop_assert!(ours.typed(now, &bytes) <= bytes.len()),
                Step::Break => ours.make_break(now),
                Step::Wait(n) => now += ms(n.into()),
                Step::Send => {
                    let mut packets = 0;
                    while let Some(packet) = ours.to_send(now) {
                        packets += 1;
                        prop_assert!((4..=259).contains(&packet.len()) && packet[0] < 16 && packet[1] < 16);
                    }
                    prop_assert!(packets <= 3, "{packets} packets at once");
                    if let Some(wake) = ours.wake() {
                        prop_assert!(wake > now, "{wake:?} {now:?}");
                    }
                }
            }
            let told = events(&mut ours);
            prop_assert!(told.len() <= 8);
            prop_assert!(ours.unconfirmed() <= 17 * 1024);
        }
    }
}
