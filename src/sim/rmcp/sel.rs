//! The system event log (§31, §32): what happened to the machine as its BMC noted it. It is brought up to date when somebody asks, from what the machine
//! is by then.

use crate::sim::fault::Fault;
use crate::sim::handle::MachineHandle;

/// Entries at most; the oldest are kept, as by most BMCs, and what is more is thrown away and told as an overflow.
const ROOM: usize = 512;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 16;

/// The log.
#[derive(Debug, Default)]
pub(super) struct Sel {
    entries: Vec<[u8; ENTRY]>,
    next: u16,
    pub(super) added: u32,
    pub(super) erased: u32,
    pub(super) overflow: bool,
    /// Looks at an erasure that still finds it under way.
    pub(super) erasing: u8,
    boots: u64,
    began: bool,
}

/// Seconds since 1970, by the BMC's clock.
fn now() -> u32 {
    u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX)
}

impl Sel {
    /// Notes what has happened since the last time.
    pub(super) fn catch_up(&mut self, machine: &MachineHandle) {
        if !self.began {
            self.began = true;
            self.boots = machine.boots();
            // The BMC came to life; then what its faults would have left in the log.
            self.event(0x20, 0x12, 0x00, 0x6f, [0x01, 0xff, 0xff]);
            for fault in machine.faults() {
                match fault {
                    // Upper critical, going high: reading and threshold follow.
                    Fault::Hot(card, degrees) if degrees >= 92 => {
                        let number = 0x10u8.saturating_add(u8::try_from(card).unwrap_or(0));
                        self.event(0x20, 0x01, number, 0x01, [0x59, u8::try_from(degrees).unwrap_or(u8::MAX), 92]);
                    }
                    // Uncorrectable memory error, noted by the firmware.
                    Fault::GpuEcc(card) => {
                        self.event(0x01, 0x0c, 0x00, 0x6f, [0xa1, 0xff, u8::try_from(card).unwrap_or(0xff)]);
                    }
                    _ => {}
                }
            }
        }
        let boots = machine.boots();
        for _ in self.boots..boots.min(self.boots.saturating_add(16)) {
            // System boot initiated by power up; operating system booted.
            self.event(0x01, 0x1d, 0x60, 0x6f, [0x00, 0xff, 0xff]);
            self.event(0x41, 0x1f, 0x00, 0x6f, [0x01, 0xff, 0xff]);
        }
        self.boots = boots;
    }

    fn event(&mut self, generator: u8, kind: u8, number: u8, event: u8, data: [u8; 3]) {
        let [t0, t1, t2, t3] = now().to_le_bytes();
        let [a, b, c] = data;
        self.add([0, 0, 0x02, t0, t1, t2, t3, generator, 0x00, 0x04, kind, number, event, a, b, c]);
    }

    /// Adds an entry under a new id; 0 when there is no room.
    pub(super) fn add(&mut self, mut entry: [u8; ENTRY]) -> u16 {
        if self.entries.len() >= ROOM {
            self.overflow = true;
            return 0;
        }
        self.next = self.next.wrapping_add(1).max(1);
        let [low, high] = self.next.to_le_bytes();
        if let Some(id) = entry.first_chunk_mut() {
            *id = [low, high];
        }
        self.entries.push(entry);
        self.added = now();
        self.next
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

    /// Forgets all; a BMC that notes it begins again with that.
    pub(super) fn clear(&mut self, notes: bool) {
        self.entries.clear();
        self.overflow = false;
        self.erased = now();
        self.erasing = 1;
        if notes {
            // Log area cleared.
            self.event(0x20, 0x10, 0x00, 0x6f, [0x02, 0xff, 0xff]);
        }
    }

    /// The BMC's clock.
    pub(super) fn time() -> u32 {
        now()
    }
}
