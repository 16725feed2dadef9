//! The rules by which characters go both ways (IPMI v2.0 §15.11): numbers, acknowledgements, pauses, resending. A pure automaton: it is given bytes
//! and the time, and gives bytes; it has no socket and no clock. What it could not get is told as a [`Gap`], what the BMC did not take as
//! [`Event::NotTaken`]; neither is passed over in silence.
//!
//! A packet that is not acknowledged is sent again under its own number, which a BMC takes at most once. What was typed is never sent again under
//! another number unless the BMC has said that it did not take it.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::{self, FromBmc, HEADER, MOST, ToBmc, after};

/// What is typed ahead at most; more is left with the caller.
const TYPED_AHEAD: usize = 16 * 1024;
/// Before a packet is sent again; half as long again each time.
const RESEND_AFTER: Duration = Duration::from_millis(400);
const RESEND_AT_MOST: Duration = Duration::from_secs(2);
/// Sendings of one packet before the link is doubted: about ten seconds.
const SENDINGS: u32 = 8;
/// After "not accepted", before the rest is sent if the BMC does not say earlier that it goes on.
const PAUSE: Duration = Duration::from_millis(300);
/// The BMC takes nothing for so long: what is typed is given up and told.
const TAKES_NOTHING: Duration = Duration::from_secs(20);
/// A packet that is so many numbers behind is an old one that comes late, not the end of a gap: a BMC has one packet out at a time.
const OLD: u8 = 8;

/// What the node's side told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The node printed.
    Printed(Vec<u8>),
    /// Something that the node printed is missing here.
    Gap(Gap),
    /// The node sent a break.
    Break,
    /// The node's serial port takes characters (again), or takes none.
    Takes(bool),
    /// The BMC does not take what is typed: so many characters were thrown away.
    NotTaken(usize),
    /// A packet was sent many times and never acknowledged.
    Silent,
    /// The BMC took the console away.
    Ended,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// So many packets never came; the BMC gave them up.
    Packets(u8),
    /// The BMC's own buffer ran over.
    Overrun,
}

/// A packet that is out and not acknowledged.
#[derive(Debug)]
struct Flight {
    number: u8,
    characters: Vec<u8>,
    make_break: bool,
    sent: u32,
    /// The BMC has answered it, with "none taken".
    answered: bool,
    resend_at: Duration,
}

/// One console.
#[derive(Debug)]
pub struct Exchange {
    /// Characters in one packet to the BMC.
    chunk: usize,
    typed: VecDeque<u8>,
    breaks: u8,
    number: u8,
    flight: Option<Flight>,
    /// Nothing new goes out before this moment, unless the BMC says earlier that it goes on.
    paused_until: Option<Duration>,
    /// When the BMC last took something, or there was nothing to take.
    took_at: Duration,
    /// Whether it says how many characters it took: Intel's firmware always says 0.
    counts: Option<bool>,
    /// Number and characters of the newest packet of the BMC.
    heard: Option<(u8, Vec<u8>)>,
    /// A number that seemed an old one. Comes it again, the BMC has gone that far ahead.
    suspect: Option<u8>,
    acknowledge: Option<(u8, u8)>,
    takes: bool,
    events: VecDeque<Event>,
}

impl Exchange {
    /// A console whose BMC takes payloads of `payload` bytes, as it says when the console is activated. BMCs say it wrong, with swapped bytes or
    /// 1024 (FreeIPMI knows some of AMI's and Intel's); only 5 to 259 can be (table 15-2), and for anything else 64 characters are sent at once.
    #[must_use]
    pub fn new(payload: u16, now: Duration) -> Self {
        let chunk = usize::from(payload).checked_sub(HEADER).filter(|chunk| (1..=MOST).contains(chunk)).unwrap_or(64);
        Self {
            chunk,
            typed: VecDeque::new(),
            breaks: 0,
            number: 0,
            flight: None,
            paused_until: None,
            took_at: now,
            counts: None,
            heard: None,
            suspect: None,
            acknowledge: None,
            takes: true,
            events: VecDeque::new(),
        }
    }

    /// Takes what was typed; gives how many of the bytes it took. The rest is to be offered again.
    pub fn typed(&mut self, now: Duration, bytes: &[u8]) -> usize {
        if self.idle() {
            self.took_at = now;
        }
        let room = TYPED_AHEAD.saturating_sub(self.typed.len()).min(bytes.len());
        self.typed.extend(bytes.iter().take(room));
        room
    }

    /// Makes a break on the node's serial port.
    pub fn make_break(&mut self, now: Duration) {
        if self.idle() {
            self.took_at = now;
        }
        self.breaks = self.breaks.saturating_add(1);
    }

    /// Characters that were typed and of which it is not known that the BMC took them.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.typed.len() + self.flight.as_ref().map_or(0, |flight| flight.characters.len())
    }

    fn idle(&self) -> bool {
        self.typed.is_empty() && self.breaks == 0 && self.flight.is_none()
    }

    /// Takes a payload of the BMC.
    pub fn heard(&mut self, now: Duration, payload: &[u8]) {
        let Some(heard) = packet::decode(payload) else { return };
        self.answered(now, &heard);
        let again = self.heard.as_ref().is_some_and(|(number, _)| *number == heard.number);
        if heard.unavailable == self.takes {
            self.takes = !heard.unavailable;
            self.events.push_back(Event::Takes(self.takes));
        }
        // A packet that comes again tells nothing new.
        if heard.overrun && !again {
            self.events.push_back(Event::Gap(Gap::Overrun));
        }
        self.printed(&heard);
        if heard.broke && !again {
            self.events.push_back(Event::Break);
        }
        if heard.ended {
            self.events.push_back(Event::Ended);
        }
    }

    fn answered(&mut self, now: Duration, heard: &FromBmc<'_>) {
        if heard.answers == 0 {
            return;
        }
        let Some(flight) = self.flight.take_if(|flight| flight.number == heard.answers) else {
            // It goes on after a pause: it names the packet that it had refused (§15.11).
            if !heard.nack && heard.answers == self.number && self.flight.is_none() {
                self.paused_until = None;
            }
            return;
        };
        if flight.make_break {
            self.breaks = self.breaks.saturating_add(u8::from(heard.nack));
        }
        let sent = flight.characters.len();
        let taken = usize::from(heard.taken).min(sent);
        if taken > 0 {
            self.counts = Some(true);
        } else if sent > 0 && !heard.nack && self.counts != Some(false) {
            if self.counts == Some(true) || !flight.answered {
                // None taken, or a BMC that never counts. The same number again does no harm in either case.
                self.flight = Some(Flight { resend_at: now + PAUSE, answered: true, ..flight });
                return;
            }
            self.counts = Some(false);
        }
        let all = taken == sent || (!heard.nack && self.counts == Some(false));
        if !all {
            for byte in flight.characters.iter().skip(taken).rev() {
                self.typed.push_front(*byte);
            }
        }
        if heard.nack {
            self.paused_until = Some(now + PAUSE);
        }
        if taken > 0 || (all && !heard.nack) {
            self.took_at = now;
        }
    }

    fn printed(&mut self, heard: &FromBmc<'_>) {
        if heard.number == 0 {
            return;
        }
        // More than a count can acknowledge is not taken; the BMC sends it again.
        let characters = heard.characters.get(..heard.characters.len().min(MOST)).unwrap_or_default();
        let (fresh, missed) = match &self.heard {
            // Sent again because our acknowledgement was lost; more may have been added at its end.
            Some((number, known)) if *number == heard.number => {
                if let Some(more) = characters.strip_prefix(known.as_slice()) {
                    (more, 0)
                } else if known.starts_with(characters) {
                    (&[][..], 0)
                } else {
                    // Another packet: the numbers have gone round once.
                    (characters, 15)
                }
            }
            Some((number, _)) => (characters, (heard.number + 15 - after(*number)) % 15),
            None => (characters, 0),
        };
        if (OLD..15).contains(&missed) && self.suspect != Some(heard.number) {
            // An old packet that comes late is not answered. If it is none, the BMC will send it again.
            self.suspect = Some(heard.number);
            return;
        }
        self.suspect = None;
        if missed > 0 {
            self.events.push_back(Event::Gap(Gap::Packets(missed)));
        }
        self.acknowledge = Some((heard.number, u8::try_from(characters.len()).unwrap_or(u8::MAX)));
        let again = self
            .heard
            .as_ref()
            .is_some_and(|(number, known)| *number == heard.number && missed == 0 && known.len() >= characters.len());
        if !fresh.is_empty() {
            self.events.push_back(Event::Printed(fresh.to_vec()));
        }
        if !again {
            self.heard = Some((heard.number, characters.to_vec()));
        }
    }

    /// The next payload to send now; to be asked again until there is none.
    pub fn to_send(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.idle() {
            self.took_at = now;
        } else if now.saturating_sub(self.took_at) >= TAKES_NOTHING && self.flight.is_none() {
            self.events.extend((!self.typed.is_empty()).then_some(Event::NotTaken(self.typed.len())));
            self.typed.clear();
            self.breaks = 0;
            self.took_at = now;
        }
        let taken = self.acknowledge.unwrap_or_default();
        if let Some(flight) = &mut self.flight {
            if flight.resend_at <= now {
                if flight.sent >= SENDINGS {
                    let (lost, answered) = (flight.characters.len(), flight.answered);
                    self.flight = None;
                    self.took_at = now;
                    self.events.extend((lost > 0).then_some(Event::NotTaken(lost)));
                    self.events.extend((!answered).then_some(Event::Silent));
                    return self.acknowledge.take().map(|taken| ToBmc { taken, ..ToBmc::default() }.encode());
                }
                let factor = (0..flight.sent).fold(RESEND_AFTER, |wait, _| (wait * 3 / 2).min(RESEND_AT_MOST));
                flight.sent += 1;
                flight.resend_at = now + factor;
                self.acknowledge = None;
                let Flight { number, make_break, .. } = *flight;
                return Some(ToBmc { number, taken, make_break, characters: &flight.characters }.encode());
            }
        } else if self.paused_until.is_none_or(|until| until <= now) && (self.breaks > 0 || !self.typed.is_empty()) {
            self.paused_until = None;
            self.number = after(self.number);
            let make_break = self.breaks > 0;
            self.breaks = self.breaks.saturating_sub(1);
            // A break stands alone: which of the characters it belongs to would not be known.
            let count = if make_break { 0 } else { self.chunk.min(self.typed.len()) };
            let characters: Vec<u8> = self.typed.drain(..count).collect();
            self.acknowledge = None;
            let out = ToBmc { number: self.number, taken, make_break, characters: &characters }.encode();
            self.flight = Some(Flight {
                number: self.number,
                characters,
                make_break,
                sent: 1,
                answered: false,
                resend_at: now + RESEND_AFTER,
            });
            return Some(out);
        }
        let taken = self.acknowledge.take()?;
        Some(ToBmc { taken, ..ToBmc::default() }.encode())
    }

    /// When [`Self::to_send`] may next have something, if nothing comes in before.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        match (&self.flight, self.paused_until) {
            (Some(flight), _) => Some(flight.resend_at),
            (None, Some(until)) if !self.idle() => Some(until),
            _ => None,
        }
    }

    /// What was told, in order.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
