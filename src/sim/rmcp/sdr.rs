//! The sensor data repository as bytes (§43): one record a sensor, the BMC's own locator, and locators of the power supplies' FRUs.

use super::sensors::{self, SUPPLY_COUNT, Sensor, Tells, entity};
use crate::sim::handle::MachineHandle;

const FULL: u8 = 0x01;
const COMPACT: u8 = 0x02;
const EVENTS: u8 = 0x03;
const FRU: u8 = 0x11;
const CONTROLLER: u8 = 0x12;

/// All records, each with its header; ids count from 1.
pub(super) fn records(machine: &MachineHandle) -> Vec<Vec<u8>> {
    let mut out = vec![record(CONTROLLER, controller())];
    out.extend(sensors::all(machine).iter().map(|sensor| match &sensor.tells {
        Tells::Number { .. } => record(FULL, full(sensor)),
        Tells::States { .. } => record(COMPACT, compact(sensor)),
        Tells::Events => record(EVENTS, events(sensor)),
    }));
    out.extend((1..=SUPPLY_COUNT).map(|id| record(FRU, fru(id))));
    for (at, record) in out.iter_mut().enumerate() {
        let [low, high] = u16::try_from(at + 1).unwrap_or(0).to_le_bytes();
        if let Some(id) = record.first_chunk_mut() {
            *id = [low, high];
        }
    }
    out
}

fn record(kind: u8, body: Vec<u8>) -> Vec<u8> {
    [&[0, 0, 0x51, kind, u8::try_from(body.len()).unwrap_or(0)][..], &body].concat()
}

/// 8-bit ASCII, at most 16 characters as the standard recommends for sensors.
fn name(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().filter(u8::is_ascii).take(16).collect();
    [&[0xc0 | u8::try_from(text.len()).unwrap_or(0)][..], &text].concat()
}

/// The BMC itself: chassis, FRU, SEL, SDR and sensor device.
fn controller() -> Vec<u8> {
    [&[0x20, 0x00, 0x00, 0x8f, 0x00, 0x00, 0x00, 0x06, 0x01, 0x00][..], &name("BMC")].concat()
}

fn full(sensor: &Sensor) -> Vec<u8> {
    let Tells::Number { unit, scale, upper, lower } = &sensor.tells else { return Vec::new() };
    let there = sensors::present(upper, lower);
    // Thresholds can be read when there are any; the sensor arms itself again.
    let capabilities = if there == 0 { 0x40 } else { 0x44 };
    let mut out = vec![0x20, 0x00, sensor.number, sensor.entity.0, sensor.entity.1, 0x7f, capabilities, sensor.kind, 0x01];
    // Events when an upper threshold is passed going high and a lower one going low; then which can be read, and none can be set.
    out.extend([0x95, 0x0a, 0x95, 0x7a, there, 0x00]);
    let format = if scale.signed { 0x80 } else { 0x00 };
    out.extend([format, *unit, 0x00, scale.linear]);
    out.extend(sensors::factors(scale));
    // No nominal reading and no normal range are told; the sensor's own range is that of its byte.
    let (most, least) = if scale.signed { (0x7f, 0x80) } else { (0xff, 0x00) };
    out.extend([0x00, 0, 0, 0, most, least]);
    let [unc, uc, unr] = *upper;
    let [lnc, lc, lnr] = *lower;
    out.extend([unr, uc, unc, lnr, lc, lnc]);
    // Hysteresis of two steps; two reserved bytes; OEM.
    out.extend([0x02, 0x02, 0, 0, 0]);
    out.extend(name(&sensor.name));
    out
}

fn compact(sensor: &Sensor) -> Vec<u8> {
    let Tells::States { possible, sensors } = &sensor.tells else { return Vec::new() };
    let [low, high] = possible.to_le_bytes();
    let mut out = vec![0x20, 0x00, sensor.number, sensor.entity.0, sensor.entity.1, 0x63, 0x40, sensor.kind, 0x6f];
    out.extend([low, high, low, high, low, high]);
    // No unit; so many sensors share this, numbered from 1, each with its own entity instance.
    out.extend([0xc0, 0x00, 0x00, *sensors, 0x81]);
    out.extend([0, 0, 0, 0, 0, 0]);
    out.extend(name(&sensor.name));
    out
}

fn events(sensor: &Sensor) -> Vec<u8> {
    let mut out = vec![0x20, 0x00, sensor.number, sensor.entity.0, sensor.entity.1, sensor.kind, 0x6f];
    // Not shared; reserved; OEM.
    out.extend([0x01, 0x00, 0x00, 0x00]);
    out.extend(name(&sensor.name));
    out
}

/// A logical FRU device behind the BMC.
fn fru(id: u8) -> Vec<u8> {
    [&[0x20, id, 0x80, 0x00, 0x00, 0x10, 0x00, entity::SUPPLY, id, 0x00][..], &name(&format!("PSU{id}"))].concat()
}
