//! The desk against clients that follow the RFCs, over a wire that loses, doubles and reorders, in virtual time: every transfer ends, and whoever
//! holds a file holds exactly its bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;

use super::desk::{Desk, Ends, TftpLimits};
use super::files::Files;
use super::told::{TftpEnd, TftpLog};
use super::transfer::Burst;

/// What a client asks for and how it behaves where the RFCs leave it a choice.
#[derive(Debug, Clone)]
struct Manner {
    block: Option<u16>,
    window: Option<u16>,
    tsize: bool,
    /// Acknowledges again for every packet that is out of order, and not only for the first.
    chatty: bool,
    /// Stays after the last block to repeat its ACK (RFC 1350 §6, "dallying").
    dallies: bool,
    /// Milliseconds until it repeats itself.
    patience: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Taking,
    Whole,
    Failed,
}

struct Client {
    manner: Manner,
    phase: Phase,
    block: usize,
    window: u16,
    got: Vec<u8>,
    /// Number of the last block in order.
    last: u16,
    since_ack: u16,
    gap_told: bool,
    said: Vec<u8>,
    tries: u32,
    due: u64,
}

impl Client {
    fn new(manner: Manner) -> Self {
        let mut said = b"\0\x01f\0octet\0".to_vec();
        let mut option = |key: &str, value: u64| said.extend_from_slice(format!("{key}\0{value}\0").as_bytes());
        if manner.tsize {
            option("tsize", 0);
        }
        if let Some(block) = manner.block {
            option("blksize", block.into());
        }
        if let Some(window) = manner.window {
            option("windowsize", window.into());
        }
        let due = manner.patience;
        Self {
            manner,
            phase: Phase::Asking,
            block: 512,
            window: 1,
            got: Vec::new(),
            last: 0,
            since_ack: 0,
            gap_told: false,
            said,
            tries: 0,
            due,
        }
    }

    fn acknowledge(&mut self) -> Option<Vec<u8>> {
        self.since_ack = 0;
        self.said = [[0, 4], self.last.to_be_bytes()].concat();
        Some(self.said.clone())
    }

    fn hear(&mut self, packet: &[u8], now: u64) -> Option<Vec<u8>> {
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        match (packet[1], self.phase) {
            (6, Phase::Asking) => {
                let text: Vec<&str> = std::str::from_utf8(&packet[2..]).unwrap().split('\0').collect();
                for pair in text.chunks(2).filter(|pair| pair.len() == 2) {
                    match pair[0] {
                        "blksize" => self.block = pair[1].parse().unwrap(),
                        "windowsize" => self.window = pair[1].parse().unwrap(),
                        "tsize" => assert!(self.manner.tsize),
                        other => panic!("{other} was not asked for"),
                    }
                }
                self.phase = Phase::Taking;
                self.calm(now);
                self.acknowledge()
            }
            (6, Phase::Taking) if self.got.is_empty() && self.last == 0 => self.acknowledge(),
            (3, Phase::Asking) => {
                assert!(
                    self.manner.block.is_none() && self.manner.window.is_none() && !self.manner.tsize,
                    "options were passed over"
                );
                self.phase = Phase::Taking;
                self.take(number, &packet[4..], now)
            }
            (3, Phase::Taking) => self.take(number, &packet[4..], now),
            (3, Phase::Whole) if self.manner.dallies && number == self.last => self.acknowledge(),
            (5, Phase::Asking | Phase::Taking) => {
                self.phase = Phase::Failed;
                None
            }
            _ => None,
        }
    }

    fn take(&mut self, number: u16, bytes: &[u8], now: u64) -> Option<Vec<u8>> {
        match number.wrapping_sub(self.last.wrapping_add(1)) {
            0 => {
                assert!(bytes.len() <= self.block);
                self.calm(now);
                (self.last, self.gap_told) = (number, false);
                self.since_ack += 1;
                self.got.extend_from_slice(bytes);
                if bytes.len() < self.block {
                    self.phase = Phase::Whole;
                    return self.acknowledge();
                }
                if self.since_ack == self.window { self.acknowledge() } else { None }
            }
            // Ahead: something was lost.
            1..0x8000 if self.window > 1 && (self.manner.chatty || !self.gap_told) => {
                self.gap_told = true;
                self.acknowledge()
            }
            1..0x8000 => None,
            // Behind: in lock-step the last is acknowledged again, as RFC 1350 has it.
            0xffff if self.window == 1 => self.acknowledge(),
            _ if self.manner.chatty => self.acknowledge(),
            _ => None,
        }
    }

    fn calm(&mut self, now: u64) {
        self.tries = 0;
        self.due = now + self.manner.patience;
    }

    fn wake(&mut self, now: u64) -> Option<Vec<u8>> {
        if now < self.due || matches!(self.phase, Phase::Whole | Phase::Failed) {
            return None;
        }
        self.tries += 1;
        self.due = now + self.manner.patience;
        if self.tries > 40 {
            self.phase = Phase::Failed;
            return None;
        }
        match self.phase {
            Phase::Taking => self.acknowledge(),
            _ => Some(self.said.clone()),
        }
    }
}

/// Parts of 1,000 that are lost and doubled; milliseconds by which packets are late at most.
#[derive(Debug, Clone)]
struct Weather {
    lost: u64,
    doubled: u64,
    late: u64,
    seed: u64,
}

impl Weather {
    fn dice(&mut self, sides: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}

/// When a packet arrives, its number, whether the server gets it, and its bytes.
type Flying = (u64, u64, bool, Vec<u8>);

struct Wire {
    weather: Weather,
    queue: BinaryHeap<Reverse<Flying>>,
    count: u64,
}

impl Wire {
    fn send(&mut self, now: u64, to_server: bool, packet: &[u8]) {
        let copies = if self.weather.dice(1000) < self.weather.lost {
            0
        } else {
            1 + u64::from(self.weather.dice(1000) < self.weather.doubled)
        };
        for _ in 0..copies {
            let at = now + 1 + self.weather.dice(self.weather.late + 1);
            self.count += 1;
            self.queue.push(Reverse((at, self.count, to_server, packet.to_vec())));
        }
    }
}

/// Runs to the end; returns the client, and what the server told of transfers that had an end.
fn transfer(file: &[u8], manner: Manner, weather: Weather) -> (Client, Vec<TftpEnd>) {
    let mut files = Files::default();
    files.put("f", file.to_vec(), None).unwrap();
    let log = TftpLog::default();
    let mut told = log.watch();
    let mut desk = Desk::new(files, TftpLimits::default(), log);
    let ends = Ends { client: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 2070), here: Ipv4Addr::new(10, 0, 0, 2) };
    let mut client = Client::new(manner);
    let mut wire = Wire { weather, queue: BinaryHeap::new(), count: 0 };
    let mut out = Burst::default();
    wire.send(0, true, &client.said);
    let (mut now, mut swept) = (0, 0);
    loop {
        let open = matches!(client.phase, Phase::Asking | Phase::Taking);
        if !open && desk.busy() == 0 && wire.queue.is_empty() {
            break;
        }
        let head = wire.queue.peek().map_or(u64::MAX, |Reverse(first)| first.0);
        now = head.min(swept + 50).min(if open { client.due } else { u64::MAX }).max(now);
        assert!(now < 24 * 3_600_000, "a transfer without end");
        let clock = Duration::from_millis(now);
        if head <= now
            && let Some(Reverse((_, _, to_server, packet))) = wire.queue.pop()
        {
            if to_server {
                desk.hear(ends, &packet, clock, || 1500, &mut out);
                for packet in out.packets() {
                    wire.send(now, false, packet);
                }
            } else if let Some(answer) = client.hear(&packet, now) {
                wire.send(now, true, &answer);
            }
        }
        if let Some(again) = client.wake(now) {
            wire.send(now, true, &again);
        }
        if now >= swept + 50 {
            swept = now;
            desk.sweep(clock, &mut out, |_, burst| {
                for packet in burst.packets() {
                    wire.send(now, false, packet);
                }
            });
        }
    }
    let mut ended = Vec::new();
    while let Ok(told) = told.try_recv() {
        ended.push(told.end);
    }
    (client, ended)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

fn manners() -> impl Strategy<Value = Manner> {
    let options = (proptest::option::of(8_u16..3000), proptest::option::of(1_u16..80), any::<bool>());
    let habits = (any::<bool>(), any::<bool>(), 300_u64..5000);
    (options, habits).prop_map(|((block, window, tsize), (chatty, dallies, patience))| Manner {
        block,
        window,
        tsize,
        chatty,
        dallies,
        patience,
    })
}

fn weathers(lost: u64) -> impl Strategy<Value = Weather> {
    (0..=lost, 0..=lost * 2, 0_u64..200, any::<u64>()).prop_map(|(lost, doubled, late, seed)| Weather {
        lost,
        doubled,
        late,
        seed,
    })
}

/// Blocks up to 300 whatever their size, and lengths beside a multiple of it.
fn length(manner: &Manner, blocks: usize, beside: i64) -> usize {
    let block = usize::from(manner.block.unwrap_or(512)).min(1468);
    (blocks * block).saturating_add_signed(beside as isize).max(1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn in_bad_weather_the_file_arrives(manner in manners(), weather in weathers(50), blocks in 0_usize..120, beside in -1_i64..2) {
        let file = bytes(length(&manner, blocks, beside));
        let dallies = manner.dallies;
        let (client, ended) = transfer(&file, manner, weather);
        prop_assert_eq!(client.phase, Phase::Whole, "{:?}", ended);
        prop_assert!(client.got == file, "{} of {} bytes", client.got.len(), file.len());
        prop_assert!(!dallies || ended.contains(&TftpEnd::Whole), "{:?}", ended);
    }

    #[test]
    fn in_a_storm_it_arrives_or_fails_and_is_never_another_file(manner in manners(), weather in weathers(600), blocks in 0_usize..40, beside in -1_i64..2) {
        let file = bytes(length(&manner, blocks, beside));
        let (client, ended) = transfer(&file, manner, weather);
        prop_assert!(file.starts_with(&client.got));
        prop_assert_eq!(client.phase == Phase::Whole, client.got == file, "an end that is none");
        prop_assert!(!ended.contains(&TftpEnd::Whole) || client.phase == Phase::Whole, "told as whole and is not: {:?}", ended);
    }
}

#[test]
fn on_a_calm_day_nothing_is_sent_twice() {
    let calm = Weather { lost: 0, doubled: 0, late: 0, seed: 1 };
    for (block, window) in [(None, None), (Some(1468), None), (Some(1468), Some(16)), (Some(8), Some(64))] {
        let manner = Manner { block, window, tsize: true, chatty: true, dallies: true, patience: 1000 };
        let file = bytes(100_000);
        let (client, ended) = transfer(&file, manner, calm.clone());
        assert!(client.got == file);
        assert_eq!(ended, [TftpEnd::Whole]);
        assert!(client.tries == 0);
    }
}

#[test]
fn more_than_65535_blocks_arrive() {
    let weather = Weather { lost: 2, doubled: 2, late: 3, seed: 7 };
    let manner = Manner { block: Some(8), window: Some(32), tsize: true, chatty: false, dallies: true, patience: 1000 };
    let file = bytes(8 * 150_000 + 3);
    let (client, ended) = transfer(&file, manner, weather);
    assert!(client.got == file && ended == [TftpEnd::Whole], "{} bytes, {ended:?}", client.got.len());
}
