//! The sensors of a simulated node, and the sensor data records that describe them (§43). Values follow from the node's identity, its faults and its
//! power; nothing here is random at the time of asking.

use crate::sim::accelerator;
use crate::sim::fault::Fault;
use crate::sim::handle::MachineHandle;

/// Sensor types (table 42-3).
mod kind {
    pub(super) const TEMPERATURE: u8 = 0x01;
    pub(super) const VOLTAGE: u8 = 0x02;
    pub(super) const FAN: u8 = 0x04;
    pub(super) const POWER_SUPPLY: u8 = 0x08;
    pub(super) const OTHER_UNITS: u8 = 0x0b;
    pub(super) const FIRMWARE: u8 = 0x0f;
}

/// Entities (table 43-13).
pub(super) mod entity {
    pub(in crate::sim::rmcp) const PROCESSOR: u8 = 3;
    pub(in crate::sim::rmcp) const BOARD: u8 = 7;
    pub(in crate::sim::rmcp) const SUPPLY: u8 = 10;
    pub(in crate::sim::rmcp) const CARD: u8 = 11;
    pub(in crate::sim::rmcp) const FAN: u8 = 29;
    pub(in crate::sim::rmcp) const INLET: u8 = 55;
}

/// A curve that only the BMC knows (§36.2): the reading's factors must be asked for.
const CURVE: u8 = 0x70;

/// How raw bytes become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) m: i16,
    pub(super) b: i16,
    pub(super) b_exp: i8,
    pub(super) r_exp: i8,
    /// Two's complement.
    pub(super) signed: bool,
    pub(super) linear: u8,
}

/// What a sensor tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tells {
    /// A number: unit (table 43-15), scale, and upper thresholds raw: non-critical, critical, non-recoverable; 0 for none.
    Number { unit: u8, scale: Scale, upper: [u8; 3], lower: [u8; 3] },
    /// States; so many sensors share one record.
    States { possible: u16, sensors: u8 },
    /// Events only.
    Events,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sensor {
    pub(super) number: u8,
    pub(super) kind: u8,
    pub(super) entity: (u8, u8),
    pub(super) name: String,
    pub(super) tells: Tells,
}

const PLAIN: Scale = Scale { m: 1, b: 0, b_exp: 0, r_exp: 0, signed: false, linear: 0 };

/// Numbers of sensors, by what they are.
const CPU: u8 = 0x01;
const INLET: u8 = 0x08;
const GPU: u8 = 0x10;
const FANS: u8 = 0x30;
const RAIL: u8 = 0x40;
const POWER: u8 = 0x41;
const FLOW: u8 = 0x42;
const SUPPLIES: u8 = 0x50;
const POST: u8 = 0x60;

/// Processors, fans, supplies.
const CPUS: u8 = 2;
const FAN_COUNT: u8 = 8;
pub(super) const SUPPLY_COUNT: u8 = 4;

/// All sensors of a node.
pub(super) fn all(machine: &MachineHandle) -> Vec<Sensor> {
    let number = |number, kind, entity, name: String, unit, scale, upper, lower| Sensor {
        number,
        kind,
        entity,
        name,
        tells: Tells::Number { unit, scale, upper, lower },
    };
    let cards = u8::try_from(machine.identity().fitted.count).unwrap_or(u8::MAX).min(FANS - GPU);
    let model = machine.identity().fitted.model;
    let mut out = Vec::new();
    for cpu in 0..CPUS {
        let name = format!("CPU{} Temp", cpu + 1);
        out.push(number(CPU + cpu, kind::TEMPERATURE, (entity::PROCESSOR, cpu + 1), name, 1, PLAIN, [85, 95, 105], [0; 3]));
    }
    // Degrees below nought: two's complement.
    let signed = Scale { signed: true, ..PLAIN };
    out.push(number(INLET, kind::TEMPERATURE, (entity::INLET, 1), "Inlet Temp".into(), 1, signed, [40, 45, 50], [0xf6, 0xf1, 0]));
    for card in 0..cards {
        let name = format!("{model} {card} Temp").chars().take(16).collect();
        out.push(number(GPU + card, kind::TEMPERATURE, (entity::CARD, card + 1), name, 1, PLAIN, [85, 92, 100], [0; 3]));
    }
    let rpm = Scale { m: 100, ..PLAIN };
    for fan in 0..FAN_COUNT {
        let name = format!("FAN{}", fan + 1);
        out.push(number(FANS + fan, kind::FAN, (entity::FAN, fan + 1), name, 18, rpm, [220, 240, 0], [10, 5, 0]));
    }
    let volt = Scale { m: 63, r_exp: -3, ..PLAIN };
    out.push(number(RAIL, kind::VOLTAGE, (entity::BOARD, 1), "12V".into(), 4, volt, [206, 210, 0], [176, 170, 0]));
    let watt = Scale { m: 40, ..PLAIN };
    out.push(number(POWER, kind::OTHER_UNITS, (entity::BOARD, 1), "Total Power".into(), 6, watt, [0; 3], [0; 3]));
    if machine.identity().profile.curved_sensor {
        let flow = Scale { linear: CURVE, ..PLAIN };
        out.push(number(FLOW, kind::OTHER_UNITS, (entity::BOARD, 1), "Airflow".into(), 17, flow, [0; 3], [0; 3]));
    }
    out.push(Sensor {
        number: SUPPLIES,
        kind: kind::POWER_SUPPLY,
        entity: (entity::SUPPLY, 1),
        name: "PSU".into(),
        // Present; failed; input lost.
        tells: Tells::States { possible: 0b1011, sensors: SUPPLY_COUNT },
    });
    let post = "POST".into();
    out.push(Sensor { number: POST, kind: kind::FIRMWARE, entity: (entity::BOARD, 1), name: post, tells: Tells::Events });
    out
}

/// What one sensor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// A raw byte.
    Raw(u8),
    /// Asserted states.
    States(u16),
    /// Nothing now: it has no power.
    Nothing,
}

/// Watts that the node draws; a BMC and its fans draw some when it is off.
pub(super) fn watts(machine: &MachineHandle) -> u16 {
    if !machine.is_powered() {
        return 80;
    }
    let identity = machine.identity();
    let cards = u16::try_from(identity.fitted.count).unwrap_or(u16::MAX);
    let some = u16::try_from(identity.seed.below(&format!("{}/watts", identity.node), 200)).unwrap_or(0);
    1200u16.saturating_add(cards.saturating_mul(400)).saturating_add(some)
}

/// Reads a sensor; `None` when there is none with this number.
pub(super) fn read(machine: &MachineHandle, number: u8) -> Option<Reads> {
    let sensors = all(machine);
    let supplies = SUPPLIES..SUPPLIES + SUPPLY_COUNT;
    if !supplies.contains(&number) && !sensors.iter().any(|s| s.number == number && s.tells != Tells::Events) {
        return None;
    }
    let identity = machine.identity();
    let some = |label: &str, bound: u64| {
        u8::try_from(identity.seed.below(&format!("{}/{label}/{number}", identity.node), bound)).unwrap_or(0)
    };
    let on = machine.is_powered();
    Some(match number {
        INLET => Reads::Raw(if some("cold", 8) == 0 { 0xfe } else { 18 + some("inlet", 8) }),
        POWER => Reads::Raw(u8::try_from(watts(machine) / 40).unwrap_or(u8::MAX)),
        _ if supplies.contains(&number) => Reads::States(0b1),
        // All others have power with the node only.
        _ if !on => Reads::Nothing,
        RAIL => Reads::Raw(190 + some("rail", 5)),
        FLOW => Reads::Raw(100 + some("flow", 50)),
        FANS..RAIL => Reads::Raw(60 + some("fan", 20)),
        GPU..FANS => Reads::Raw(card(machine, u32::from(number - GPU)).unwrap_or(40)),
        _ => Reads::Raw(40 + some("cpu", 15)),
    })
}

/// Degrees of a card, as its own tool says; its fault makes it hot.
fn card(machine: &MachineHandle, index: u32) -> Option<u8> {
    let faults = machine.faults();
    let hot = faults.iter().find_map(|fault| match fault {
        Fault::Hot(at, degrees) if *at == index => Some(*degrees),
        _ => None,
    });
    let cool = || accelerator::cards(machine.identity(), &faults).get(usize::try_from(index).ok()?).map(|_| 34 + index % 8);
    u8::try_from(hot.or_else(cool)?).ok()
}

/// The thresholds that a raw value has passed, in the bits of §35.14; upper ones and lower ones that are 0 are not there.
pub(super) fn passed(tells: &Tells, raw: u8) -> u8 {
    let Tells::Number { scale, upper, lower, .. } = tells else { return 0 };
    let value = |raw: u8| if scale.signed { i16::from(i8::from_le_bytes([raw])) } else { i16::from(raw) };
    let mut bits = 0;
    for (bit, limit) in (0..).zip(lower) {
        bits |= u8::from(*limit != 0 && value(raw) <= value(*limit)) << bit;
    }
    for (bit, limit) in (3..).zip(upper) {
        bits |= u8::from(*limit != 0 && value(raw) >= value(*limit)) << bit;
    }
    bits
}

/// Which thresholds there are, in the same bits.
pub(super) fn present(upper: &[u8; 3], lower: &[u8; 3]) -> u8 {
    let bit = |limits: &[u8; 3]| (0..).zip(limits).fold(0u8, |bits, (n, limit)| bits | (u8::from(*limit != 0) << n));
    bit(lower) | (bit(upper) << 3)
}

/// Factors as a record carries them: M, M and tolerance, B, B and accuracy, accuracy, exponents.
pub(super) fn factors(scale: &Scale) -> [u8; 6] {
    let ten = |value: i16| {
        let [low, high] = value.to_le_bytes();
        (low, (high & 3) << 6)
    };
    let ((m0, m1), (b0, b1)) = (ten(scale.m), ten(scale.b));
    let nibble = |value: i8| value.to_le_bytes()[0] & 0x0f;
    [m0, m1, b0, b1, 0, (nibble(scale.r_exp) << 4) | nibble(scale.b_exp)]
}

/// The factors of the airflow sensor at a raw value: a curve of two straight pieces.
pub(super) fn curve(number: u8, raw: u8) -> Option<[u8; 7]> {
    let scale = if raw < 120 { Scale { m: 2, ..PLAIN } } else { Scale { m: 3, b: -120, ..PLAIN } };
    let [a, b, c, d, e, f] = factors(&scale);
    (number == FLOW).then_some([if raw < 120 { 120 } else { 255 }, a, b, c, d, e, f])
}
