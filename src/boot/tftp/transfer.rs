//! One transfer as a machine without socket and clock: an ACK or a passing of time goes in, packets come out.
//!
//! Blocks are counted from 1 without wrapping; on the wire the number is taken modulo 65,536. Whatever is not the ACK of something in flight
//! is never answered with data by itself (the Sorcerer's Apprentice rule, RFC 1123 §4.2.3.1); two exceptions are bounded below.

use std::sync::Arc;
use std::time::Duration;

use super::files::VirtualFile;
use super::option::Agreed;
use super::packet::{self, HEADER};

/// A client that has acknowledged nothing is forgotten after this; it asks again by itself. Until then it got one packet for each of its own.
const UNHEARD: Duration = Duration::from_secs(10);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Tries after the first without any progress.
const TRIES: u32 = 6;
/// The rest of a burst makes a client repeat its ACK at once; a window goes out again only when it has had the time to arrive.
const SETTLED: Duration = Duration::from_millis(10);
/// A client that made progress this recently did not start anew; its request is a copy that was late.
const BUSY: Duration = Duration::from_millis(500);

/// Packets to send to one client: equal in length but for the last. The buffer is used again and again.
#[derive(Debug, Default)]
pub(super) struct Burst {
    pub(super) bytes: Vec<u8>,
    /// Bytes of each packet but the last, which may be shorter.
    pub(super) each: usize,
}

impl Burst {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.each = 0;
    }

    /// One packet, written by `write`.
    pub(super) fn one(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        write(&mut self.bytes);
        self.each = self.bytes.len();
    }

    #[cfg(test)]
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.each.max(1))
    }
}

/// Where a transfer stands after what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// The last block was acknowledged.
    Done,
    /// The client said nothing at all after its request.
    Unheard,
    /// The client fell silent.
    GaveUp,
}

/// One transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    file: Arc<VirtualFile>,
    agreed: Agreed,
    /// Number of the last block; a file that is a multiple of the block size ends with an empty one.
    last: u64,
    /// All blocks up to here have arrived.
    acked: u64,
    /// Last block of the newest burst.
    sent: u64,
    /// Last block that was ever sent.
    highest: u64,
    /// The client has acknowledged something, so it is where it says it is.
    heard: bool,
    /// The window was sent once more for a repeated ACK since the last progress.
    repeated: bool,
    /// The same request came again in the middle; the client may have started anew.
    asked_again: bool,
    tries: u32,
    burst_at: Duration,
    progress_at: Duration,
    due: Duration,
    again: u64,
}

impl Transfer {
    /// Begins; what goes out is one packet: the OACK, or block 1.
    pub(super) fn begin(file: Arc<VirtualFile>, agreed: Agreed, now: Duration, out: &mut Burst) -> Self {
        let last = file.bytes().len() as u64 / agreed.block as u64 + 1;
        let first = u64::from(agreed.oack.is_none());
        let transfer = Self {
            file,
            agreed,
            last,
            acked: 0,
            sent: first,
            highest: first,
            heard: false,
            repeated: false,
            asked_again: false,
            tries: 0,
            burst_at: now,
            progress_at: now,
            due: now + UNHEARD,
            again: 0,
        };
        transfer.first(out);
        transfer
    }

    /// When [`Self::wake`] has something to do.
    #[cfg(test)]
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    pub(super) fn file(&self) -> &VirtualFile {
        &self.file
    }

    /// The last block was sent, so that only its ACK may be missing.
    pub(super) fn all_sent(&self) -> bool {
        self.sent == self.last
    }

    /// False until the client has acknowledged something.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// Bytes that have arrived.
    pub(super) fn arrived(&self) -> u64 {
        (self.acked * self.agreed.block as u64).min(self.file.bytes().len() as u64)
    }

    /// Packets that were sent more than once.
    pub(super) fn again(&self) -> u64 {
        self.again
    }

    /// The same request once more: answered once more, with one packet, and nothing is forgotten.
    pub(super) fn asked_again(&mut self, now: Duration, out: &mut Burst) {
        if self.heard && now < self.progress_at + BUSY {
            return;
        }
        if self.heard {
            self.asked_again = true;
        } else {
            self.due = now + UNHEARD;
        }
        self.again += 1;
        self.first(out);
    }

    /// An ACK arrived.
    pub(super) fn ack(&mut self, number: u16, now: Duration, out: &mut Burst) -> Standing {
        let first = u64::from(self.agreed.oack.is_none());
        if !self.heard && first == 0 && number == 0 {
            return self.progress(0, now, out);
        }
        // The number counts from what has arrived; everything that is not in flight is old.
        let block = self.acked + u64::from(number.wrapping_sub(wire(self.acked)));
        if block > self.acked && block <= self.highest && (self.heard || block == first) {
            return self.progress(block, now, out);
        }
        if self.asked_again && u64::from(number) == first {
            // It did start anew. What was sent before stays known, so that an ACK of the older life still counts.
            return self.progress(first, now, out);
        }
        let lost = block == self.acked && self.heard && self.agreed.window > 1;
        if lost && !self.repeated && now >= self.burst_at + SETTLED {
            // RFC 7440: an ACK of what was acknowledged before says that the block after it was lost.
            self.repeated = true;
            self.burst(now, out);
        }
        Standing::Open
    }

    fn progress(&mut self, block: u64, now: Duration, out: &mut Burst) -> Standing {
        (self.acked, self.heard, self.repeated, self.asked_again, self.tries) = (block, true, false, false, 0);
        self.progress_at = now;
        if block == self.last {
            return Standing::Done;
        }
        self.burst(now, out);
        Standing::Open
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Duration, out: &mut Burst) -> Standing {
        if now < self.due {
            return Standing::Open;
        }
        if !self.heard {
            return Standing::Unheard;
        }
        if self.tries == TRIES {
            return Standing::GaveUp;
        }
        self.tries += 1;
        self.burst(now, out);
        Standing::Open
    }

    /// Sends the window after what has arrived.
    fn burst(&mut self, now: Duration, out: &mut Burst) {
        let before = self.highest;
        self.sent = (self.acked + self.agreed.window).min(self.last);
        out.clear();
        out.each = HEADER + self.agreed.block;
        for block in self.acked + 1..=self.sent {
            self.write(block, &mut out.bytes);
        }
        self.again += self.sent.min(before).saturating_sub(self.acked);
        self.highest = before.max(self.sent);
        self.burst_at = now;
        let wait = self.agreed.wait;
        self.due = now + (wait * (1 << self.tries.min(8))).min(LONGEST_WAIT.max(wait));
    }

    fn first(&self, out: &mut Burst) {
        out.one(|bytes| match &self.agreed.oack {
            Some(oack) => bytes.extend_from_slice(oack),
            None => self.write(1, bytes),
        });
    }

    fn write(&self, block: u64, into: &mut Vec<u8>) {
        let start = usize::try_from(block.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(self.agreed.block);
        let rest = self.file.bytes().get(start..).unwrap_or_default();
        packet::data(into, wire(block), rest.get(..self.agreed.block).unwrap_or(rest));
    }
}

/// A block's number on the wire.
fn wire(block: u64) -> u16 {
    (block & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::super::option::agree;
    use super::*;

    fn begin(length: usize, asked: &[(&str, &str)]) -> (Transfer, Burst) {
        let mut files = Files::default();
        files.put("f", (0..length).map(|n| (n % 251) as u8).collect(), None).unwrap();
        let asked: Vec<_> = asked.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        let mut out = Burst::default();
        let agreed = agree(&asked, length as u64, || 65_536);
        (Transfer::begin(files.find(b"f").unwrap(), agreed, Duration::ZERO, &mut out), out)
    }

    /// Numbers of the blocks that go out for an ACK.
    fn after(transfer: &mut Transfer, number: u16, at_ms: u64) -> (Standing, Vec<u16>) {
        let mut out = Burst::default();
        let standing = transfer.ack(number, Duration::from_millis(at_ms), &mut out);
        (standing, numbers(&out))
    }

    fn numbers(out: &Burst) -> Vec<u16> {
        out.packets().map(|p| u16::from_be_bytes([p[2], p[3]])).collect()
    }

    #[test]
    fn lock_step_and_the_apprentice() {
        let (mut transfer, out) = begin(1024, &[]);
        assert_eq!((out.packets().count(), out.bytes.len()), (1, 516));
        assert_eq!(after(&mut transfer, 0, 1), (Standing::Open, vec![]), "nothing was acknowledged yet");
        assert_eq!(after(&mut transfer, 2, 1), (Standing::Open, vec![]), "never sent");
        assert_eq!(after(&mut transfer, 1, 1), (Standing::Open, vec![2]));
        assert_eq!(after(&mut transfer, 1, 500), (Standing::Open, vec![]), "a second ACK of a block brings no second block");
        assert_eq!(after(&mut transfer, 2, 501), (Standing::Open, vec![3]), "a full last block is followed by an empty one");
        assert_eq!(transfer.arrived(), 1024);
        assert_eq!(after(&mut transfer, 3, 502), (Standing::Done, vec![]));
    }

    #[test]
    fn a_window_goes_on_after_what_has_arrived() {
        let (mut transfer, out) = begin(512 * 100, &[("windowsize", "4")]);
        assert_eq!(out.bytes, b"\0\x06windowsize\x004\0");
        assert_eq!(after(&mut transfer, 0, 1).1, [1, 2, 3, 4]);
        assert_eq!(after(&mut transfer, 4, 2).1, [5, 6, 7, 8]);
        assert_eq!(after(&mut transfer, 6, 3).1, [7, 8, 9, 10], "7 was lost");
        assert_eq!(after(&mut transfer, 6, 4).1, [0_u16; 0], "said again because of 9 and 10 of the burst before");
        assert_eq!(after(&mut transfer, 6, 20).1, [7, 8, 9, 10], "7 was lost again");
        assert_eq!(after(&mut transfer, 6, 40).1, [0_u16; 0], "and not a third time but by the clock");
        assert_eq!(transfer.again(), 6);
    }

    #[test]
    fn numbers_wrap() {
        let (mut transfer, _) = begin(8 * 200_000, &[("blksize", "8")]);
        let mut number = 0_u16;
        for _ in 0..=200_000 {
            let (standing, next) = after(&mut transfer, number, 1);
            assert_eq!((standing, next.len()), (Standing::Open, 1));
            number = number.wrapping_add(1);
            assert_eq!(next[0], number);
        }
        assert_eq!(after(&mut transfer, number, 1).0, Standing::Done);
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let mut out = Burst::default();
        let (mut unheard, _) = begin(5000, &[("blksize", "1000")]);
        assert_eq!(unheard.wake(UNHEARD - Duration::from_millis(1), &mut out), Standing::Open);
        assert!(out.bytes.is_empty(), "nothing goes to a client that has acknowledged nothing");
        assert_eq!(unheard.wake(UNHEARD, &mut out), Standing::Unheard);
        let (mut silent, _) = begin(5000, &[("blksize", "1000"), ("timeout", "2")]);
        silent.ack(0, Duration::ZERO, &mut out);
        let (mut waits, mut before) = (Vec::new(), Duration::ZERO);
        loop {
            let due = silent.due();
            waits.push((due - before).as_secs());
            before = due;
            out.clear();
            if silent.wake(due, &mut out) == Standing::GaveUp {
                break;
            }
            assert_eq!(numbers(&out), [1]);
        }
        assert_eq!(waits, [2, 4, 8, 8, 8, 8, 8]);
    }

    #[test]
    fn a_machine_that_was_switched_off_and_on_asks_from_the_same_port() {
        let (mut transfer, _) = begin(512 * 300, &[("blksize", "512")]);
        let mut out = Burst::default();
        for number in 0..=100 {
            assert_eq!(after(&mut transfer, number, 1).1, [number + 1]);
        }
        transfer.asked_again(Duration::from_millis(2), &mut out);
        assert!(out.bytes.is_empty(), "a late copy of the request");
        transfer.asked_again(Duration::from_secs(9), &mut out);
        assert_eq!(out.bytes, b"\0\x06blksize\x00512\0");
        assert_eq!(after(&mut transfer, 0, 9_001).1, [1]);
        assert_eq!(after(&mut transfer, 1, 9_002).1, [2]);
        assert_eq!(after(&mut transfer, 0, 9_003).1, [0_u16; 0], "once");
        // The older life's ACK: both may go on.
        assert_eq!(after(&mut transfer, 101, 9_004).1, [102]);
    }
}
