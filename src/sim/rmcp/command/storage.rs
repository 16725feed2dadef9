//! Storage commands (§31, §33, §34): FRU 0 as it is, an empty SEL, and an SDR repository that locates the BMC and
//! nothing else. (`ipmitool` tries to rebuild a repository without any record.)

use super::{Answer, State, code};
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::fru;

const FRU_INFO: u8 = 0x10;
const FRU_READ: u8 = 0x11;
const SDR_INFO: u8 = 0x20;
const SDR_RESERVE: u8 = 0x22;
const SDR_GET: u8 = 0x23;
const SEL_INFO: u8 = 0x40;
const SEL_RESERVE: u8 = 0x42;
const SEL_GET: u8 = 0x43;
const SEL_TIME: u8 = 0x48;

/// Most bytes of FRU data in one answer; with its wrapping it stays well below the smallest datagram that every BMC carries.
const READ: usize = 64;

pub(super) fn knows(command: u8) -> bool {
    [FRU_INFO, FRU_READ, SDR_INFO, SDR_RESERVE, SDR_GET, SEL_INFO, SEL_RESERVE, SEL_GET, SEL_TIME].contains(&command)
}

pub(super) fn run(machine: &MachineHandle, state: &mut State, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (FRU_INFO, [0]) => {
            let size = u16::try_from(fru::area(machine.identity()).len()).unwrap_or(u16::MAX);
            Ok([&size.to_le_bytes()[..], &[0x00]].concat())
        }
        (FRU_READ, [0, low, high, count]) => read(machine, u16::from_le_bytes([*low, *high]), *count),
        (FRU_INFO, [_]) | (FRU_READ, [_, _, _, _]) => Err(code::NOT_PRESENT),
        // Version 51h, one record, no free space, never changed, reserve is supported.
        (SDR_INFO, []) => Ok([&[0x51, 1, 0, 0, 0][..], &[0; 8], &[0x02]].concat()),
        // Version 51h, no entry.
        (SEL_INFO, []) => Ok([&[0x51, 0, 0, 0, 0][..], &[0; 8], &[0x02]].concat()),
        (SDR_RESERVE | SEL_RESERVE, []) => {
            state.reservation = state.reservation.wrapping_add(1).max(1);
            Ok(state.reservation.to_le_bytes().to_vec())
        }
        (SDR_GET, [_, _, record, 0, offset, count]) if *record <= 1 => sdr(*offset, *count),
        (SDR_GET, [_, _, 0xff, 0xff, offset, count]) => sdr(*offset, *count),
        (SDR_GET | SEL_GET, [_, _, _, _, _, _]) => Err(code::NOT_PRESENT),
        // Seconds since the BMC's epoch: its clock was never set.
        (SEL_TIME, []) => Ok(vec![0; 4]),
        _ => Err(code::LENGTH),
    }
}

fn read(machine: &MachineHandle, offset: u16, count: u8) -> Answer {
    let area = fru::area(machine.identity());
    let rest = area.get(usize::from(offset)..).filter(|rest| !rest.is_empty()).ok_or(code::RANGE)?;
    let part = rest.get(..usize::from(count).min(READ)).unwrap_or(rest);
    Ok([&[u8::try_from(part.len()).unwrap_or(0)], part].concat())
}

/// The one record: Management Controller Device Locator (§43.9), entity "system management module".
const LOCATOR: [u8; 19] =
    [0x01, 0x00, 0x51, 0x12, 0x0e, 0x20, 0x00, 0x00, 0x8e, 0x00, 0x00, 0x00, 0x06, 0x01, 0x00, 0xc3, b'B', b'M', b'C'];

/// A part of the record, after the id of the next one: FFFFh, there is none.
fn sdr(offset: u8, count: u8) -> Answer {
    let rest = LOCATOR.get(usize::from(offset)..).ok_or(code::RANGE)?;
    Ok([&[0xff, 0xff], rest.get(..usize::from(count)).unwrap_or(rest)].concat())
}
