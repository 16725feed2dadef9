//! All transfers of one server, without a socket: who may begin one, how many there are, what is refused, and what is told of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::brake::Brake;
use super::files::Files;
use super::option::agree;
use super::packet::{self, Code, Malformed, Packet, Request, decode};
use super::told::{TftpEnd, TftpLog, TftpTold, shown};
use super::transfer::{Burst, Standing, Transfer};

/// How many transfers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TftpLimits {
    /// Of one client address.
    pub per_client: usize,
    /// In all. One takes about 1 KiB; the files are shared.
    pub in_all: usize,
}

impl Default for TftpLimits {
    /// 32 and 4,096: a fleet of 1,250 nodes with three NICs each asking at once.
    fn default() -> Self {
        Self { per_client: 32, in_all: 4096 }
    }
}

/// The two ends of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) client: SocketAddrV4,
    /// The address of ours that was asked; answers come from it.
    pub(super) here: Ipv4Addr,
}

struct Open {
    transfer: Transfer,
    /// The request as it came, to know it again.
    request: Vec<u8>,
    begun: Duration,
}

/// The transfers of a server.
pub(super) struct Desk {
    files: Files,
    limits: TftpLimits,
    log: TftpLog,
    open: HashMap<Ends, Open>,
    of_client: HashMap<Ipv4Addr, usize>,
    brake: Brake,
}

impl Desk {
    pub(super) fn new(files: Files, limits: TftpLimits, log: TftpLog) -> Self {
        Self { files, limits, log, open: HashMap::new(), of_client: HashMap::new(), brake: Brake::default() }
    }

    /// Transfers that are under way.
    pub(super) fn busy(&self) -> usize {
        self.open.len()
    }

    /// A datagram came in; `out` holds what goes back to where it came from. `mtu` is asked for the path's MTU when it matters.
    pub(super) fn hear(&mut self, ends: Ends, bytes: &[u8], now: Duration, mtu: impl Fn() -> usize, out: &mut Burst) {
        out.clear();
        // Port 0 cannot be answered; it comes from forgers only.
        if ends.client.port() == 0 {
            return;
        }
        match decode(bytes) {
            Ok(Packet::Ack(number)) => {
                let Some(open) = self.open.get_mut(&ends) else { return };
                if open.transfer.ack(number, now, out) == Standing::Done {
                    self.close(ends, now, TftpEnd::Whole);
                }
            }
            Ok(Packet::Read(request)) => self.read(ends, bytes, &request, now, mtu, out),
            Ok(Packet::Write(request)) => self.refuse(ends, request.name, Code::Access, "this server is read only", now, out),
            Ok(Packet::Error { code, text }) => {
                let Some(open) = self.open.get(&ends) else { return };
                let end = match open.transfer.heard() {
                    false => TftpEnd::Asked,
                    true => TftpEnd::Stopped(format!("error {code} {}", shown(text)).trim_end().to_owned()),
                };
                self.close(ends, now, end);
            }
            Err(Malformed::Request) => self.refuse(ends, b"", Code::Illegal, "the request does not end", now, out),
            // Never answered: two servers would answer each other for ever.
            Ok(Packet::Foreign) | Err(Malformed::Noise) => {}
        }
    }

    fn read(&mut self, ends: Ends, bytes: &[u8], request: &Request<'_>, now: Duration, mtu: impl Fn() -> usize, out: &mut Burst) {
        if let Some(open) = self.open.get_mut(&ends) {
            if open.request == bytes {
                return open.transfer.asked_again(now, out);
            }
            // ROMs use one port for all they fetch: the new wish ends the old transfer.
            self.close(ends, now, TftpEnd::Stopped("it asked for something else".to_owned()));
        }
        if !request.mode.eq_ignore_ascii_case(b"octet") {
            let why = "only mode octet is served: the files are programs";
            return self.refuse(ends, request.name, Code::SeeMessage, why, now, out);
        }
        let Some(file) = self.files.find(request.name) else {
            return self.refuse(ends, request.name, Code::NotFound, "no such file", now, out);
        };
        if let Some(why) = self.no_room(ends, now) {
            // Silence: an error would make a boot ROM give up, and it asks again by itself.
            return self.tell_refusal(ends, request.name, why.to_owned(), now);
        }
        let agreed = agree(&request.options, file.bytes().len() as u64, mtu);
        let transfer = Transfer::begin(file, agreed, now, out);
        self.open.insert(ends, Open { transfer, request: bytes.to_vec(), begun: now });
        *self.of_client.entry(*ends.client.ip()).or_default() += 1;
    }

    /// Makes room by forgetting the oldest request that nobody has acknowledged: a flood of forged requests must not lock out real machines.
    fn no_room(&mut self, ends: Ends, now: Duration) -> Option<&'static str> {
        let ip = *ends.client.ip();
        let own = self.of_client.get(&ip).is_some_and(|n| *n >= self.limits.per_client);
        if !own && self.open.len() < self.limits.in_all {
            return None;
        }
        let unheard = self.open.iter().filter(|(e, o)| !o.transfer.heard() && (!own || *e.client.ip() == ip));
        match unheard.min_by_key(|(_, o)| o.begun).map(|(ends, _)| *ends) {
            Some(oldest) => {
                self.close(oldest, now, TftpEnd::GaveUp("it acknowledged nothing, and others wait"));
                None
            }
            None if own => Some("it has as many transfers as one client may have"),
            None => Some("the server has as many transfers as it may have"),
        }
    }

    /// Looks after all whose wait is over; `send` takes what goes to whom.
    pub(super) fn sweep(&mut self, now: Duration, out: &mut Burst, mut send: impl FnMut(Ends, &Burst)) {
        let mut ended = Vec::new();
        for (ends, open) in &mut self.open {
            out.clear();
            let end = match open.transfer.wake(now, out) {
                Standing::Open | Standing::Done => None,
                Standing::Unheard => Some("it never acknowledged anything"),
                // Many clients start what they fetched and never repeat an ACK that was lost.
                Standing::GaveUp if open.transfer.all_sent() => Some("all was sent, but its end was not acknowledged"),
                Standing::GaveUp => Some("it fell silent"),
            };
            if let Some(end) = end {
                ended.push((*ends, end));
            } else if !out.bytes.is_empty() {
                send(*ends, out);
            }
        }
        for (ends, end) in ended {
            self.close(ends, now, TftpEnd::GaveUp(end));
        }
        if let Some(told) = self.brake.release(now) {
            self.log.tell(told);
        }
    }

    /// Ends all that is under way.
    pub(super) fn close_all(&mut self, now: Duration) {
        let all: Vec<Ends> = self.open.keys().copied().collect();
        for ends in all {
            self.close(ends, now, TftpEnd::GaveUp("the server was stopped"));
        }
    }

    fn close(&mut self, ends: Ends, now: Duration, end: TftpEnd) {
        let Some(open) = self.open.remove(&ends) else { return };
        let ip = *ends.client.ip();
        if let Some(count) = self.of_client.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&ip);
            }
        }
        let file = open.transfer.file();
        let told = TftpTold {
            from: ends.client,
            file: file.name().to_owned(),
            sha256: Some(file.sha256().clone()),
            end,
            bytes: open.transfer.arrived(),
            of: file.bytes().len() as u64,
            took: now.saturating_sub(open.begun),
            again: open.transfer.again(),
            others: 0,
        };
        // Of a request that nobody acknowledged there may be thousands, all of them forged.
        if open.transfer.heard() {
            self.log.tell(told);
        } else if let Some(told) = self.brake.pass(told, now) {
            self.log.tell(told);
        }
    }

    fn refuse(&mut self, ends: Ends, name: &[u8], code: Code, why: &str, now: Duration, out: &mut Burst) {
        out.one(|bytes| packet::error(bytes, code, why));
        self.tell_refusal(ends, name, why.to_owned(), now);
    }

    fn tell_refusal(&mut self, ends: Ends, name: &[u8], why: String, now: Duration) {
        let told = TftpTold {
            from: ends.client,
            file: shown(name),
            sha256: None,
            end: TftpEnd::Refused(why),
            bytes: 0,
            of: 0,
            took: Duration::ZERO,
            again: 0,
            others: 0,
        };
        if let Some(told) = self.brake.pass(told, now) {
            self.log.tell(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READ: &[u8] = b"\0\x01f\0octet\0windowsize\x0064\0";

    fn desk(limits: TftpLimits) -> (Desk, tokio::sync::broadcast::Receiver<TftpTold>) {
        let mut files = Files::default();
        files.put("f", vec![7; 100_000], None).unwrap();
        let log = TftpLog::default();
        let told = log.watch();
        (Desk::new(files, limits, log), told)
    }

    fn ends(ip: u8, port: u16) -> Ends {
        Ends { client: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, ip), port), here: Ipv4Addr::new(10, 0, 0, 254) }
    }

    fn hear(desk: &mut Desk, ends: Ends, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Burst::default();
        desk.hear(ends, bytes, Duration::from_millis(5), || 1500, &mut out);
        out.packets().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn what_is_refused_is_answered_once_and_told() {
        let (mut desk, mut told) = desk(TftpLimits::default());
        for (bytes, code, words, name) in [
            (&b"\0\x01../../etc/shadow\0octet\0"[..], 1, "no such file", "../../etc/shadow"),
            (b"\0\x01/etc/passwd\0octet\0", 1, "no such file", "/etc/passwd"),
            (b"\0\x01\x1b[31mf\0octet\0", 1, "no such file", "\\x1b[31mf"),
            (b"\0\x01f\0netascii\0", 0, "only mode octet", "f"),
            (b"\0\x01f\0mail\0", 0, "only mode octet", "f"),
            (b"\0\x02f\0octet\0", 2, "read only", "f"),
            (b"\0\x01f", 4, "does not end", ""),
        ] {
            let answer = hear(&mut desk, ends(1, 2070), bytes);
            assert_eq!(answer.len(), 1);
            assert_eq!(answer[0][..4], [0, 5, 0, code], "{bytes:?}");
            let heard = told.try_recv().unwrap();
            assert!(matches!(&heard.end, TftpEnd::Refused(why) if why.contains(words)), "{heard:?}");
            assert_eq!(heard.file, name);
        }
        assert_eq!(desk.busy(), 0);
        for silent in [&b"\0\x03\0\x01data"[..], b"\0\x06blksize\x008\0", b"\0\x04\0\0", b"\0\x05\0\0x\0", b"", b"\0\x09"] {
            assert!(hear(&mut desk, ends(1, 2070), silent).is_empty());
        }
        assert!(hear(&mut desk, ends(1, 0), READ).is_empty(), "nobody has port 0");
    }

    #[test]
    fn one_client_has_32_and_real_ones_are_not_locked_out() {
        let (mut desk, mut told) = desk(TftpLimits { per_client: 32, in_all: 40 });
        for port in 1..=32 {
            assert_eq!(hear(&mut desk, ends(1, port), READ).len(), 1);
            assert_eq!(hear(&mut desk, ends(1, port), b"\0\x04\0\0").len(), 64);
        }
        assert!(hear(&mut desk, ends(1, 33), READ).is_empty());
        assert!(matches!(told.try_recv().unwrap().end, TftpEnd::Refused(why) if why.contains("one client")));
        // Forged requests fill the rest, and give way to one who answers.
        for ip in 2..=200 {
            assert_eq!(hear(&mut desk, ends(ip, 7), READ).len(), 1, "{ip}");
            assert!(desk.busy() <= 40);
        }
        for ip in 201..=208 {
            assert_eq!(hear(&mut desk, ends(ip, 7), READ).len(), 1);
            assert_eq!(hear(&mut desk, ends(ip, 7), b"\0\x04\0\0").len(), 64);
        }
        assert!(hear(&mut desk, ends(209, 7), READ).is_empty(), "40 that are alive");
        hear(&mut desk, ends(1, 1), b"\0\x05\0\0enough\0");
        assert_eq!(hear(&mut desk, ends(1, 33), READ).len(), 1, "a place became free");
        assert_eq!((desk.open.len(), desk.of_client.values().sum::<usize>()), (40, 40));
    }

    #[test]
    fn a_flood_of_requests_fills_no_log() {
        let (mut desk, mut told) = desk(TftpLimits { per_client: 32, in_all: 40 });
        let mut out = Burst::default();
        let mut count = |desk: &mut Desk| {
            let (mut lines, mut others) = (0_u64, 0);
            desk.sweep(Duration::from_secs(3), &mut Burst::default(), |_, _| {});
            while let Ok(told) = told.try_recv() {
                (lines, others) = (lines + 1, others + told.others);
            }
            (lines, others)
        };
        for n in 0..5000_u16 {
            let [a, b] = n.to_be_bytes();
            let ends = Ends { client: SocketAddrV4::new(Ipv4Addr::new(10, 1, a, b), 7), here: Ipv4Addr::new(10, 0, 0, 254) };
            desk.hear(ends, b"\0\x01secret\0octet\0", Duration::from_secs(1), || 1500, &mut out);
        }
        let (lines, others) = count(&mut desk);
        assert!(lines <= 22 && lines + others == 5000, "{lines} lines, {others} others");
        for n in 0..5000_u16 {
            let [a, b] = n.to_be_bytes();
            let ends = Ends { client: SocketAddrV4::new(Ipv4Addr::new(10, 1, a, b), 7), here: Ipv4Addr::new(10, 0, 0, 254) };
            desk.hear(ends, READ, Duration::from_secs(2), || 1500, &mut out);
        }
        let (lines, others) = count(&mut desk);
        assert!(lines <= 22 && lines + others == 5000 - 40 && desk.busy() == 40, "{lines} lines, {others} others");
        // Who fetches a file is told of whatever else goes on.
        assert_eq!(hear(&mut desk, ends(1, 9), b"\0\x01f\0octet\0").len(), 1);
        hear(&mut desk, ends(1, 9), b"\0\x04\0\x01");
        hear(&mut desk, ends(1, 9), b"\0\x05\0\0enough\0");
        assert_eq!(count(&mut desk), (2, 0), "its own end, and the forged one that gave way to it");
    }

    #[test]
    fn a_rom_asks_for_the_length_first_and_from_one_port_all_along() {
        let (mut desk, mut told) = desk(TftpLimits::default());
        let answer = hear(&mut desk, ends(1, 2070), b"\0\x01f\0octet\0tsize\x000\0");
        assert_eq!(answer, [b"\0\x06tsize\x00100000\0"]);
        hear(&mut desk, ends(1, 2070), b"\0\x05\0\x08User aborted the transfer\0");
        assert_eq!(told.try_recv().unwrap().end, TftpEnd::Asked);
        assert_eq!(hear(&mut desk, ends(1, 2070), READ).len(), 1);
        assert_eq!(hear(&mut desk, ends(1, 2070), READ), [b"\0\x06windowsize\x0064\0"], "asked twice, answered twice");
        assert_eq!(hear(&mut desk, ends(1, 2070), b"\0\x01f\0octet\0blksize\x001468\0").len(), 1);
        assert!(matches!(told.try_recv().unwrap().end, TftpEnd::Stopped(why) if why.contains("something else")));
        assert_eq!(desk.busy(), 1);
    }

    proptest! {
        /// Whatever comes, nothing is sent that was not acknowledged for, and all is bounded.
        #[test]
        fn any_datagrams(all in proptest::collection::vec((0_u8..4, 0_u16..3, prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..540),
            (any::<u8>(), any::<u8>()).prop_map(|(a, b)| vec![0, 4, a % 2, b % 80]),
            "(f|g|\\.\\./f|f\u{0}octet\u{0}(blksize|windowsize|tsize|timeout)\u{0}[0-9]{0,6})\u{0}?(octet|netascii)?\u{0}?".prop_map(|s| [&[0, 1], s.as_bytes()].concat()),
            Just(READ.to_vec()),
        ], 0_u64..4000), 0..60)) {
            let (mut desk, _told) = desk(TftpLimits { per_client: 3, in_all: 6 });
            let (mut now, mut out) = (Duration::ZERO, Burst::default());
            for (ip, port, bytes, wait) in all {
                now += Duration::from_millis(wait);
                let ends = ends(ip, port);
                desk.hear(ends, &bytes, now, || 1500, &mut out);
                let acked = desk.open.get(&ends).is_some_and(|o| o.transfer.heard());
                let most = if acked { 64 } else { 1 };
                prop_assert!(out.packets().count() <= most);
                prop_assert!(out.packets().all(|p| p.len() <= 1472));
                desk.sweep(now, &mut out, |ends, burst| assert!(burst.packets().count() <= 64 && ends.client.port() != 0));
                prop_assert!(desk.busy() <= 6 && desk.of_client.values().all(|n| *n <= 3));
                prop_assert_eq!(desk.busy(), desk.of_client.values().sum::<usize>());
            }
            // Whatever was begun ends.
            for step in 1..=200 {
                desk.sweep(now + Duration::from_secs(step), &mut out, |_, _| {});
            }
            prop_assert_eq!(desk.busy(), 0);
        }
    }
}
