//! The system event log as bytes (§31, §32): the machine's history, worded as IPMI words it, and what was added by hand. It is brought up to date when
//! somebody asks, and it is the same log that Redfish shows: cleared there, it is cleared here.

use crate::sim::handle::MachineHandle;
use crate::sim::history::{Happening, Trouble, What};

/// Entries at most; the oldest are kept, as by most BMCs, and what is more is thrown away and told as an overflow.
const ROOM: usize = 1024;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 16;
/// Upper critical threshold of a card's temperature, as its sensor's record has it.
const CARD_CRITICAL: u32 = 92;
/// Number of the first card's sensor.
const FIRST_CARD: u8 = 0x10;

/// The log.
#[derive(Debug, Default)]
pub(super) struct Sel {
    entries: Vec<[u8; ENTRY]>,
    /// Id of the newest.
    newest: u16,
    /// Number of the newest happening that is in it.
    seen: u64,
    pub(super) added: u32,
    pub(super) erased: u32,
    pub(super) overflow: bool,
    /// Looks at an erasure that still find it under way.
    pub(super) erasing: u8,
}

/// Seconds since 1970, by the BMC's clock.
fn now() -> u32 {
    u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX)
}

impl Sel {
    /// Takes in what has happened since the last time.
    pub(super) fn catch_up(&mut self, machine: &MachineHandle) {
        for happening in machine.history() {
            if happening.number <= self.seen {
                continue;
            }
            self.seen = happening.number;
            if happening.what == What::Cleared {
                self.entries.clear();
                self.overflow = false;
                self.erased = now();
                if !machine.identity().profile.notes_clearing {
                    continue;
                }
            }
            let clock = machine.clock();
            let ago = clock.now().0.saturating_sub(happening.at.0) / u64::from(clock.speed()) / 1000;
            let time = now().saturating_sub(u32::try_from(ago).unwrap_or(u32::MAX));
            self.add(worded(&happening, time));
        }
    }

    /// Adds an entry under a new id; 0 when there is no room.
    pub(super) fn add(&mut self, mut entry: [u8; ENTRY]) -> u16 {
        if self.entries.len() >= ROOM {
            self.overflow = true;
            return 0;
        }
        // 0 and FFFFh are no ids.
        self.newest = if self.newest >= 0xfffe { 1 } else { self.newest + 1 };
        let [low, high] = self.newest.to_le_bytes();
        if let Some(id) = entry.first_chunk_mut() {
            *id = [low, high];
        }
        self.entries.push(entry);
        self.added = now();
        self.newest
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> u16 {
        u16::try_from(ROOM.saturating_sub(self.entries.len()).saturating_mul(ENTRY)).unwrap_or(u16::MAX)
    }

    /// An entry and the id of the next one; FFFFh behind the last.
    pub(super) fn get(&self, id: u16) -> Option<(u16, &[u8; ENTRY])> {
        let number = |entry: &[u8; ENTRY]| u16::from_le_bytes([entry[0], entry[1]]);
        let at = match id {
            0 => 0,
            0xffff => self.entries.len().checked_sub(1)?,
            id => self.entries.iter().position(|entry| number(entry) == id)?,
        };
        let next = self.entries.get(at + 1).map_or(0xffff, number);
        Some((next, self.entries.get(at)?))
    }

    /// Begins to erase the machine's history, and with it this.
    pub(super) fn clear(&mut self, machine: &MachineHandle) {
        machine.clear_history();
        self.catch_up(machine);
        self.erasing = 1;
    }

    /// The BMC's clock.
    pub(super) fn time() -> u32 {
        now()
    }
}

/// A happening as an event: generator, sensor type, sensor number, event type, event data.
fn worded(happening: &Happening, time: u32) -> [u8; ENTRY] {
    const BMC: u8 = 0x20;
    const FIRMWARE: u8 = 0x01;
    const SYSTEM: u8 = 0x41;
    const SPECIFIC: u8 = 0x6f;
    // Bit 7: the state has ended.
    const ENDED: u8 = 0x80;
    let low = |number: u32| u8::try_from(number).unwrap_or(0xff);
    let (generator, kind, number, event, data) = match &happening.what {
        What::Cleared => (BMC, 0x10, 0, SPECIFIC, [0x02, 0xff, 0xff]),
        What::PowerOff => (BMC, 0x09, 0, SPECIFIC, [0x00, 0xff, 0xff]),
        What::PowerOn => (BMC, 0x09, 0, SPECIFIC | ENDED, [0x00, 0xff, 0xff]),
        // The network boot found no server.
        What::NetworkBootFailed(_) => (FIRMWARE, 0x1e, 0, SPECIFIC, [0x02, 0xff, 0xff]),
        // Initiated by power up.
        What::Boot(_) => (FIRMWARE, 0x1d, 0, SPECIFIC, [0x00, 0xff, 0xff]),
        What::Up => (SYSTEM, 0x1f, 0, SPECIFIC, [0x01, 0xff, 0xff]),
        What::Accelerator(slot, trouble) => match trouble {
            // A slot's fault; then which slot.
            Trouble::Missing => (FIRMWARE, 0x21, 0, SPECIFIC, [0xa0, 0x09, low(*slot)]),
            Trouble::NarrowLink(_) => (FIRMWARE, 0x13, 0, SPECIFIC, [0xa7, 0xff, low(*slot)]),
            Trouble::Uncorrectable(_) => (BMC, 0x0c, 0, SPECIFIC, [0xa1, 0xff, low(*slot)]),
            Trouble::RemapPending => (BMC, 0x0c, 0, SPECIFIC, [0xa0, 0xff, low(*slot)]),
            Trouble::RemapFailure => (BMC, 0x0c, 0, SPECIFIC, [0xa5, 0xff, low(*slot)]),
            Trouble::Hot(degrees) => {
                // Upper non-critical or critical, going high; reading and threshold follow.
                let (offset, limit) = if *degrees >= CARD_CRITICAL { (0x59, CARD_CRITICAL) } else { (0x57, 85) };
                (BMC, 0x01, FIRST_CARD.saturating_add(low(*slot)), 0x01, [offset, low(*degrees), low(limit)])
            }
        },
    };
    let [t0, t1, t2, t3] = time.to_le_bytes();
    let [a, b, c] = data;
    [0, 0, 0x02, t0, t1, t2, t3, generator, 0x00, 0x04, kind, number, event, a, b, c]
}
