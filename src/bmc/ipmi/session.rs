//! An open session as a pure automaton: seals requests, opens answers, and turns away what is forged, replayed or not for it. No I/O, no clock.

use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use ipmi_rs_core::connection::Message;

use super::message::{self, Answer};
use super::packet::{self, COVERED_FROM, Packet, Payload};
use super::rakp::Keys;
use super::suite::Suite;

const BLOCK: usize = 16;

/// Why a packet was turned away. Counted, never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Not an RMCP+ packet of a known payload type, or not protected as the session demands.
    Shape,
    /// For another session.
    OtherSession,
    /// The integrity code is wrong.
    Forged,
    /// This sequence number was seen before, or is too old to tell.
    Replayed,
    /// Genuine, but its padding or checksums are wrong.
    Garbled,
}

/// What a genuine packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The answer to a question.
    Answer(Answer),
    /// Something of the console (§15.9), not yet read.
    Console(Vec<u8>),
}

/// An open session.
pub struct Session {
    suite: Suite,
    keys: Keys,
    our_id: u32,
    bmc_id: u32,
    sent: u32,
    window: Window,
}

impl Session {
    /// A session whose handshake is done.
    #[must_use]
    pub fn new(suite: Suite, keys: Keys, our_id: u32, bmc_id: u32) -> Self {
        Self { suite, keys, our_id, bmc_id, sent: 0, window: Window::default() }
    }

    /// Suite in use.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Session id of the BMC's side.
    #[must_use]
    pub fn bmc_id(&self) -> u32 {
        self.bmc_id
    }

    /// Seals a request under the next sequence number (§6.12.8: starts at 1, skips 0).
    pub fn seal(&mut self, request: &Message, seq: u8) -> Vec<u8> {
        self.seal_with(request, seq, &rand::random())
    }

    /// As [`Self::seal`] with a given initialisation vector, which must be random outside of tests of the bytes.
    pub fn seal_with(&mut self, request: &Message, seq: u8, vector: &[u8; BLOCK]) -> Vec<u8> {
        self.seal_payload(Payload::Message, &message::encode_request(request, seq), vector)
    }

    /// Seals something for the console under the next sequence number.
    pub fn seal_console(&mut self, payload: &[u8]) -> Vec<u8> {
        self.seal_payload(Payload::Sol, payload, &rand::random())
    }

    fn seal_payload(&mut self, kind: Payload, plain: &[u8], vector: &[u8; BLOCK]) -> Vec<u8> {
        self.sent = self.sent.checked_add(1).unwrap_or(1);
        let sealed = encrypt(&self.keys.aes, vector, plain);
        let mut out = packet::encode_protected(kind, self.bmc_id, self.sent, &sealed);
        let code = self.suite.keyed_hash(self.keys.integrity.bytes(), &[out.get(COVERED_FROM..).unwrap_or_default()]);
        out.extend(code.cut(self.suite.check_len()));
        out
    }

    /// Opens what came in.
    ///
    /// # Errors
    /// [`Dropped`] says why the packet is to be ignored.
    pub fn open(&mut self, bytes: &[u8]) -> Result<Answer, Dropped> {
        match self.open_any(bytes)? {
            Opened::Answer(answer) => Ok(answer),
            Opened::Console(_) => Err(Dropped::Shape),
        }
    }

    /// As [`Self::open`], for a session that has the console as well.
    ///
    /// # Errors
    /// [`Dropped`] says why the packet is to be ignored.
    pub fn open_any(&mut self, bytes: &[u8]) -> Result<Opened, Dropped> {
        let packet = packet::decode(bytes).ok_or(Dropped::Shape)?;
        let known = matches!(packet.payload, Payload::Message | Payload::Sol);
        if !known || !packet.encrypted || !packet.authenticated {
            return Err(Dropped::Shape);
        }
        if packet.session != self.our_id {
            return Err(Dropped::OtherSession);
        }
        self.check(&packet)?;
        // Only a genuine packet may move the window.
        if !self.window.accept(packet.sequence) {
            return Err(Dropped::Replayed);
        }
        let plain = decrypt(&self.keys.aes, packet.data).ok_or(Dropped::Garbled)?;
        if packet.payload == Payload::Sol {
            return Ok(Opened::Console(plain));
        }
        message::decode_answer(&plain).map(Opened::Answer).ok_or(Dropped::Garbled)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<(), Dropped> {
        let len = self.suite.check_len();
        let code_at = packet.covered.len().checked_sub(len).ok_or(Dropped::Shape)?;
        let (covered, claimed) = packet.covered.split_at_checked(code_at).ok_or(Dropped::Shape)?;
        let pad_at = packet.trailer.len().checked_sub(len).ok_or(Dropped::Shape)?;
        let pad = packet.trailer.get(..pad_at).unwrap_or_default();
        // Pad bytes, pad length, next header. Next header is 07h by the standard; it is covered by the code and not compared.
        let sound = matches!(pad, [bytes @ .., count, _next] if bytes.len() == usize::from(*count));
        if !sound {
            return Err(Dropped::Shape);
        }
        let code = self.suite.keyed_hash(self.keys.integrity.bytes(), &[covered]);
        if code.matches(len, claimed) { Ok(()) } else { Err(Dropped::Forged) }
    }
}

/// Which sequence numbers have come in (§6.12.13): the highest, and the 31 below it. Numbers go round past the end (IP-10), so that "higher" is
/// the shorter way round; 0 is never used (§6.12.8).
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// `None` until the first genuine packet: the standard lets a BMC begin anywhere.
    highest: Option<u32>,
    seen: u32,
}

impl Window {
    fn accept(&mut self, sequence: u32) -> bool {
        if sequence == 0 {
            return false;
        }
        let Some(highest) = self.highest else {
            *self = Self { highest: Some(sequence), seen: 1 };
            return true;
        };
        let ahead = sequence.wrapping_sub(highest);
        if (1..=u32::MAX / 2).contains(&ahead) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(sequence);
            return true;
        }
        let age = highest.wrapping_sub(sequence);
        let Some(bit) = 1u32.checked_shl(age) else { return false };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// AES-CBC-128 payload (§13.29): the vector, then the text padded with 1, 2, 3 … and the pad length, in whole blocks.
fn encrypt(key: &[u8; BLOCK], vector: &[u8; BLOCK], plain: &[u8]) -> Vec<u8> {
    let pad = (BLOCK - (plain.len() + 1) % BLOCK) % BLOCK;
    let mut text = plain.to_vec();
    text.extend((1u8..).take(pad));
    text.push(u8::try_from(pad).unwrap_or(0));
    let len = text.len();
    let sealed = cbc::Encryptor::<Aes128>::new(key.into(), vector.into()).encrypt_padded::<NoPadding>(&mut text, len);
    // `len` is a whole number of blocks, so the error arm is never reached; an empty payload is what the BMC would then drop.
    let sealed = sealed.unwrap_or_default();
    [vector.as_slice(), sealed].concat()
}

fn decrypt(key: &[u8; BLOCK], data: &[u8]) -> Option<Vec<u8>> {
    let (vector, sealed) = data.split_first_chunk::<BLOCK>()?;
    let mut text = sealed.to_vec();
    cbc::Decryptor::<Aes128>::new(key.into(), vector.into()).decrypt_padded::<NoPadding>(&mut text).ok()?;
    let pad = usize::from(*text.last()?);
    // At most 15 pad bytes; their values are not compared, since some BMCs leave zeros there.
    let len = text.len().checked_sub(pad + 1).filter(|_| pad < BLOCK)?;
    text.truncate(len);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{Window, decrypt, encrypt};

    #[test]
    fn the_window_takes_each_number_once_and_nothing_too_old() {
        let mut w = Window::default();
        assert!(!w.accept(0));
        assert!(w.accept(1));
        assert!(!w.accept(1));
        assert!(w.accept(5));
        assert!(w.accept(3), "late but new");
        assert!(!w.accept(3));
        assert!(w.accept(100));
        assert!(!w.accept(5), "95 behind");
        assert!(w.accept(69), "31 behind");
        assert!(!w.accept(68), "32 behind");
    }

    #[test]
    fn numbers_go_round_past_the_end() {
        let mut w = Window::default();
        assert!(w.accept(u32::MAX - 1), "a BMC may begin anywhere");
        assert!(w.accept(1), "past the end");
        assert!(w.accept(u32::MAX), "late but new");
        assert!(!w.accept(u32::MAX) && !w.accept(u32::MAX - 1), "seen before the end");
        assert!(w.accept(2) && !w.accept(1));
        assert!(!w.accept(0), "nought is no number");
        assert!(!w.accept(u32::MAX - 40), "too old, on the other side of the end");
    }

    proptest::proptest! {
        /// Whatever comes, no number is taken twice, and a number ahead of all others always is.
        #[test]
        fn no_number_is_taken_twice(start: u32, steps in proptest::collection::vec(0u32..40, 0..120)) {
            let mut w = Window::default();
            let mut taken = std::collections::BTreeSet::new();
            for step in steps {
                let number = start.wrapping_add(step);
                if w.accept(number) {
                    proptest::prop_assert!(number != 0 && taken.insert(number), "{number} twice");
                }
            }
            let ahead = start.wrapping_add(1000);
            proptest::prop_assert_eq!(w.accept(ahead), ahead != 0);
        }
    }

    #[test]
    fn every_length_round_trips_in_whole_blocks() {
        for len in 0..64 {
            let plain: Vec<u8> = (0..len).collect();
            let sealed = encrypt(&[7; 16], &[9; 16], &plain);
            assert_eq!(sealed.len() % 16, 0);
            assert_eq!(decrypt(&[7; 16], &sealed), Some(plain));
        }
        assert_eq!(decrypt(&[7; 16], &[0; 17]), None);
        assert_eq!(decrypt(&[7; 16], &[]), None);
    }
}
