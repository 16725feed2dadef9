//! Sensor commands (§35), and DCMI's power reading (DCMI v1.5 §6.6.1).

use super::{Answer, code};
use crate::sim::handle::MachineHandle;
use crate::sim::rmcp::sensors::{self, Reads, Tells};

pub(super) const FACTORS: u8 = 0x23;
pub(super) const THRESHOLDS: u8 = 0x27;
pub(super) const READING: u8 = 0x2d;

/// Group of DCMI, and its commands.
const DCMI: u8 = 0xdc;
pub(super) const CAPABILITIES: u8 = 0x01;
pub(super) const POWER: u8 = 0x02;

pub(super) fn run(machine: &MachineHandle, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (READING, [number]) => reading(machine, *number),
        (THRESHOLDS, [number]) => thresholds(machine, *number),
        (FACTORS, [number, raw]) => sensors::curve(*number, *raw).map(Vec::from).ok_or(code::NOT_PRESENT),
        _ => Err(code::LENGTH),
    }
}

fn reading(machine: &MachineHandle, number: u8) -> Answer {
    // Events and scanning are on; bit 5: there is nothing to be read.
    Ok(match sensors::read(machine, number).ok_or(code::NOT_PRESENT)? {
        Reads::Raw(raw) => {
            let sensor = sensors::all(machine).into_iter().find(|sensor| sensor.number == number);
            vec![raw, 0xc0, 0xc0 | sensor.map_or(0, |sensor| sensors::passed(&sensor.tells, raw))]
        }
        Reads::States(states) => {
            let [low, high] = states.to_le_bytes();
            vec![0x00, 0xc0, low, 0x80 | high]
        }
        Reads::Nothing => vec![0x00, 0xe0, 0xc0],
    })
}

fn thresholds(machine: &MachineHandle, number: u8) -> Answer {
    let sensor = sensors::all(machine).into_iter().find(|sensor| sensor.number == number).ok_or(code::NOT_PRESENT)?;
    let Tells::Number { upper: [unc, uc, unr], lower: [lnc, lc, lnr], .. } = sensor.tells else { return Err(code::ILLEGAL) };
    Ok(vec![sensors::present(&[unc, uc, unr], &[lnc, lc, lnr]), lnc, lc, lnr, unc, uc, unr])
}

/// Group extension commands of DCMI; the group's number leads question and answer.
pub(super) fn dcmi(machine: &MachineHandle, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (POWER, [DCMI, 0x01, _, _]) => {
            let now = sensors::watts(machine).to_le_bytes();
            let least = 80u16.to_le_bytes();
            let time = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX).to_le_bytes();
            // Statistics over one second; measurement is active.
            Ok([&[DCMI][..], &now, &least, &now, &now, &time, &1000u32.to_le_bytes(), &[0x40]].concat())
        }
        // DCMI 1.5, parameter revision 2, then the parameter: what is supported.
        (CAPABILITIES, [DCMI, 1]) => Ok(vec![DCMI, 0x01, 0x05, 0x02, 0x00, 0x01, 0x07]),
        (POWER | CAPABILITIES, [DCMI, ..]) => Err(code::FIELD),
        _ => Err(code::INVALID_COMMAND),
    }
}
