//! An active session: its keys, its sequence numbers, its privilege (§6.12, §13.28). It seals and opens packets; it runs no command.

use super::crypto::{self, Suite};
use super::odd::Memory;
use super::packet::{self, Plus, RMCP, payload};

/// How far ahead of, or behind, the highest number a packet may be (§6.12.13).
const WINDOW: u32 = 16;
/// Next header of a packet with an authentication code (§13.6).
const NEXT_HEADER: u8 = 0x07;

/// Privilege levels (§6.8).
pub(super) mod level {
    pub(in crate::sim::rmcp) const CALLBACK: u8 = 1;
    pub(in crate::sim::rmcp) const USER: u8 = 2;
    pub(in crate::sim::rmcp) const OPERATOR: u8 = 3;
    pub(in crate::sim::rmcp) const ADMIN: u8 = 4;
}

/// Keys and counters.
#[derive(Clone)]
pub(super) struct Session {
    suite: Suite,
    console: u32,
    k1: Vec<u8>,
    k2: [u8; 16],
    sent: u32,
    highest: u32,
    /// Bit n: the number `highest - n` was seen.
    seen: u32,
    /// Privilege now.
    pub(super) level: u8,
    /// Highest privilege that it may ask for.
    pub(super) limit: u8,
    /// What it remembers of the last request (IP-02).
    pub(super) memory: Memory,
}

impl Session {
    /// A session whose handshake has ended. It starts as USER, whatever it may become (§6.8).
    pub(super) fn new(suite: Suite, console: u32, sik: &[u8], limit: u8) -> Option<Self> {
        let k1 = suite.hmac(sik, &[&[1; 20]]);
        let k2 = suite.hmac(sik, &[&[2; 20]]).first_chunk().copied()?;
        Some(Self {
            suite,
            console,
            k1,
            k2,
            sent: 0,
            highest: 0,
            seen: 1,
            level: limit.min(level::USER),
            limit,
            memory: Memory::default(),
        })
    }

    /// Answers are numbered from just before the end of the numbers (IP-10).
    pub(super) fn begin_at_the_end(&mut self) {
        self.sent = u32::MAX - 2;
    }

    /// The message or console payload inside a packet of this session; `None` when it is not authentic, not fresh or not encrypted.
    pub(super) fn open(&mut self, packet: &Plus<'_>) -> Option<Vec<u8>> {
        if !packet.authenticated || !packet.encrypted || ![payload::IPMI, payload::SOL].contains(&packet.kind) {
            return None;
        }
        let keep = packet.covered.len().checked_sub(self.suite.code_length())?;
        let (covered, code) = packet.covered.split_at_checked(keep)?;
        let [.., pad, NEXT_HEADER] = covered else { return None };
        // 12 bytes of header, the payload, the pad, its length and the next header, in units of four.
        if covered.len() != 12 + packet.payload.len() + usize::from(*pad) + 2 || covered.len() % 4 != 0 {
            return None;
        }
        if !crypto::same(&self.suite.code(&self.k1, &[covered]), code) || !self.fresh(packet.sequence) {
            return None;
        }
        crypto::decrypt(&self.k2, packet.payload)
    }

    /// Takes a sequence number once, within the window.
    fn fresh(&mut self, number: u32) -> bool {
        let ahead = number.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(number);
        if number == 0 {
            false
        } else if (1..=WINDOW).contains(&ahead) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = number;
            true
        } else if behind < WINDOW && (self.seen >> behind) & 1 == 0 {
            self.seen |= 1 << behind;
            true
        } else {
            false
        }
    }

    /// Wraps an answer.
    pub(super) fn seal(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.seal_as(payload::IPMI, message)
    }

    /// Wraps something of the console.
    pub(super) fn seal_console(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.seal_as(payload::SOL, bytes)
    }

    fn seal_as(&mut self, kind: u8, message: &[u8]) -> Option<Vec<u8>> {
        self.sent = self.sent.wrapping_add(1).max(1);
        let secret = crypto::encrypt(&self.k2, rand::random(), message);
        let mut out = packet::plus_head(0xc0, kind, self.console, self.sent, &secret)?;
        let pad = (4 - (out.len() - RMCP + 2) % 4) % 4;
        out.extend(std::iter::repeat_n(0xff, pad));
        out.extend([u8::try_from(pad).ok()?, NEXT_HEADER]);
        let code = self.suite.code(&self.k1, &[out.get(RMCP..)?]);
        out.extend(code);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_and_within_the_window() {
        let mut session = Session::new(Suite::Three, 1, b"key", level::ADMIN).unwrap();
        let taken: Vec<bool> = [0, 1, 1, 3, 2, 2, 20, 19, 19, 4, 3, 36, 53].into_iter().map(|n| session.fresh(n)).collect();
        assert_eq!(taken, [false, true, false, true, true, false, false, true, false, true, false, false, false]);
        // Counted through: 20 is 17 ahead of 3 and falls out; 19 is 16 ahead; 4 is 15 behind 19; 36 is 17 ahead of 19.
        session.highest = u32::MAX;
        assert!(session.fresh(1), "the counter wraps past nought");
    }
}
