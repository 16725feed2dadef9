//! Storage commands (§31, §33, §34): FRU devices, the sensor data repository, the event log.

use super::{Answer, State, code};
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::sel::{ENTRY, Sel};
use crate::sim::rmcp::{fru, sdr};

const FRU_INFO: u8 = 0x10;
const FRU_READ: u8 = 0x11;
const SDR_INFO: u8 = 0x20;
const SDR_RESERVE: u8 = 0x22;
const SDR_GET: u8 = 0x23;
const SEL_INFO: u8 = 0x40;
const SEL_RESERVE: u8 = 0x42;
const SEL_GET: u8 = 0x43;
const SEL_ADD: u8 = 0x44;
const SEL_CLEAR: u8 = 0x47;
const SEL_TIME: u8 = 0x48;

/// Most bytes of FRU data in one answer; with its wrapping it stays well below the smallest datagram that every BMC carries.
const READ: usize = 64;
/// When the repository was last changed: it was made with the firmware.
const MADE: u32 = 0x6500_0000;

pub(super) fn knows(command: u8) -> bool {
    let asking = [FRU_INFO, FRU_READ, SDR_INFO, SDR_RESERVE, SDR_GET, SEL_INFO, SEL_RESERVE, SEL_GET, SEL_TIME];
    asking.contains(&command)
}

pub(super) fn changes(command: u8) -> bool {
    [SEL_ADD, SEL_CLEAR].contains(&command)
}

pub(super) fn run(machine: &MachineHandle, state: &mut State, command: u8, data: &[u8]) -> Answer {
    if (SEL_INFO..=SEL_TIME).contains(&command) {
        state.sel.catch_up(machine);
    }
    match (command, data) {
        (FRU_INFO, [device]) => {
            let area = fru::device(machine.identity(), *device).ok_or(code::NOT_PRESENT)?;
            let size = u16::try_from(area.len()).unwrap_or(u16::MAX);
            Ok([&size.to_le_bytes()[..], &[0x00]].concat())
        }
        (FRU_READ, [device, low, high, count]) => read(machine, *device, u16::from_le_bytes([*low, *high]), *count),
        (SDR_INFO, []) => {
            let [n0, n1] = u16::try_from(sdr::records(machine).len()).unwrap_or(u16::MAX).to_le_bytes();
            // Version 51h, no free space, reserve is supported.
            Ok([&[0x51, n0, n1, 0, 0][..], &MADE.to_le_bytes(), &MADE.to_le_bytes(), &[0x02]].concat())
        }
        (SDR_RESERVE, []) => {
            state.sdr_reservation = state.sdr_reservation.wrapping_add(1).max(1);
            Ok(state.sdr_reservation.to_le_bytes().to_vec())
        }
        (SDR_GET, [r0, r1, i0, i1, offset, count]) => {
            sdr_part(machine, state, u16::from_le_bytes([*r0, *r1]), u16::from_le_bytes([*i0, *i1]), *offset, *count)
        }
        (SEL_INFO, []) => Ok(sel_info(&state.sel)),
        (SEL_RESERVE, []) => {
            state.sel_reservation = state.sel_reservation.wrapping_add(1).max(1);
            Ok(state.sel_reservation.to_le_bytes().to_vec())
        }
        (SEL_GET, [_, _, i0, i1, offset, count]) => {
            let (next, entry) = state.sel.get(u16::from_le_bytes([*i0, *i1])).ok_or(code::NOT_PRESENT)?;
            let rest = entry.get(usize::from(*offset)..).ok_or(code::RANGE)?;
            let part = rest.get(..usize::from(*count)).unwrap_or(rest);
            Ok([&next.to_le_bytes()[..], part].concat())
        }
        (SEL_ADD, entry) => {
            let entry: [u8; ENTRY] = entry.try_into().map_err(|_| code::LENGTH)?;
            match state.sel.add(entry) {
                0 => Err(code::SPACE),
                id => Ok(id.to_le_bytes().to_vec()),
            }
        }
        (SEL_CLEAR, [r0, r1, b'C', b'L', b'R', deed]) => clear(machine, state, u16::from_le_bytes([*r0, *r1]), *deed),
        (SEL_TIME, []) => Ok(Sel::time().to_le_bytes().to_vec()),
        _ => Err(code::LENGTH),
    }
}

fn read(machine: &MachineHandle, device: u8, offset: u16, count: u8) -> Answer {
    let area = fru::device(machine.identity(), device).ok_or(code::NOT_PRESENT)?;
    let rest = area.get(usize::from(offset)..).filter(|rest| !rest.is_empty()).ok_or(code::RANGE)?;
    let part = rest.get(..usize::from(count).min(READ)).unwrap_or(rest);
    Ok([&[u8::try_from(part.len()).unwrap_or(0)], part].concat())
}

/// A part of a record, after the id of the next one. Behind the beginning it needs the reservation (§33.12).
fn sdr_part(machine: &MachineHandle, state: &State, reservation: u16, id: u16, offset: u8, count: u8) -> Answer {
    if offset != 0 && reservation != state.sdr_reservation {
        return Err(code::RESERVATION);
    }
    let records = sdr::records(machine);
    let at = match id {
        0 => 0,
        0xffff => records.len().saturating_sub(1),
        id => usize::from(id) - 1,
    };
    let record = records.get(at).ok_or(code::NOT_PRESENT)?;
    let rest = record.get(usize::from(offset)..).ok_or(code::RANGE)?;
    let part = rest.get(..usize::from(count)).unwrap_or(rest);
    if part.len() > machine.identity().profile.ipmi_part {
        return Err(code::TOO_MANY);
    }
    let next = u16::try_from(at + 2).ok().filter(|next| usize::from(*next) <= records.len()).unwrap_or(0xffff);
    Ok([&next.to_le_bytes()[..], part].concat())
}

fn sel_info(sel: &Sel) -> Vec<u8> {
    let [n0, n1] = u16::try_from(sel.len()).unwrap_or(u16::MAX).to_le_bytes();
    let [f0, f1] = sel.free().to_le_bytes();
    // Reserve is supported; bit 7: events were thrown away.
    let support = if sel.overflow { 0x82 } else { 0x02 };
    [&[0x51, n0, n1, f0, f1][..], &sel.added.to_le_bytes(), &sel.erased.to_le_bytes(), &[support]].concat()
}

/// Begins to erase, or says how far that is: 0 under way, 1 done.
fn clear(machine: &MachineHandle, state: &mut State, reservation: u16, deed: u8) -> Answer {
    if reservation != state.sel_reservation || reservation == 0 {
        return Err(code::RESERVATION);
    }
    match deed {
        0xaa => {
            state.sel.clear(machine);
            Ok(vec![0])
        }
        0x00 => {
            let under_way = state.sel.erasing > 0;
            state.sel.erasing = state.sel.erasing.saturating_sub(1);
            Ok(vec![u8::from(!under_way)])
        }
        _ => Err(code::FIELD),
    }
}
