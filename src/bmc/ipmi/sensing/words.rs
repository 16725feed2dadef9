//! Words for what a sensor asserts, what it belongs to, and how bad it is. The states' names are `ipmi-rs-core`'s (tables 42-2 and 42-3); which of them
//! is a failure is said here, since IPMI itself gives an event no severity.

use std::fmt;

use ipmi_rs_core::storage::sdr::{SensorType, decode_event};

use crate::bmc::sensing::Health;

/// A sensor type's name.
pub(super) fn sensor_type(kind: u8) -> String {
    SensorType::from(kind).to_string()
}

struct State {
    event: u8,
    kind: u8,
    offset: u8,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decode_event(f, self.event, SensorType::from(self.kind), self.offset)
    }
}

/// A state's name; a vendor's own, and those that the tables do not have, by number.
pub(super) fn state(kind: u8, event: u8, offset: u8) -> String {
    let known = State { event, kind, offset }.to_string();
    if known.is_empty() { format!("state {offset} of event type {event:02x}h") } else { known }
}

/// Names of all states that are asserted.
pub(super) fn states(kind: u8, event: u8, asserted: u16) -> Vec<String> {
    (0..15u8).filter(|offset| asserted & (1 << offset) != 0).map(|offset| state(kind, event, offset)).collect()
}

/// How bad the passed thresholds are (§35.14): bits 0 to 2 lower, 3 to 5 upper, each non-critical, critical, non-recoverable.
pub(super) fn passed(bits: u16) -> Option<Health> {
    if bits & 0b11_0110 != 0 {
        Some(Health::Critical)
    } else if bits & 0b00_1001 != 0 {
        Some(Health::Warning)
    } else {
        None
    }
}

/// How bad a state is; `None` where it depends, as with presence or a power-down.
pub(super) fn severity(kind: u8, event: u8, offset: u8) -> Option<Health> {
    use Health::{Critical, Ok, Warning};
    Some(match (event, kind, offset) {
        // Thresholds (table 42-2): lower non-critical, critical, non-recoverable, then the upper ones, each going low and going high.
        (0x01, _, 0 | 1 | 6 | 7) => Warning,
        (0x01, _, 2..=5 | 8..=11) => Critical,
        // Predictive failure; limit exceeded; performance lags.
        (0x04..=0x06, _, 0) => Ok,
        (0x04..=0x06, _, 1) => Warning,
        // Transitions of severity: to OK, to non-critical, to critical, to non-recoverable, to less …, monitor, informational.
        (0x07, _, 0 | 7 | 8) => Ok,
        (0x07, _, 1 | 4) => Warning,
        (0x07, _, 2 | 3 | 5 | 6) => Critical,
        // Redundancy: full; lost; degraded; the rest is not redundant, and some of it insufficient.
        (0x0b, _, 0) => Ok,
        (0x0b, _, 1 | 5) => Critical,
        (0x0b, _, 2 | 3 | 4 | 6 | 7) => Warning,
        (0x6f, 0x05, 0..=6) => Warning,
        (0x6f, 0x07, 0..=6 | 11) => Critical,
        (0x6f, 0x07, 10 | 12) => Warning,
        (0x6f, 0x08, 1 | 3 | 4 | 6) => Critical,
        (0x6f, 0x08, 2 | 5) => Warning,
        (0x6f, 0x09, 4..=6) => Critical,
        (0x6f, 0x09, 7) => Warning,
        (0x6f, 0x0c, 1..=3 | 10) => Critical,
        (0x6f, 0x0c, 0 | 5 | 7 | 9) => Warning,
        (0x6f, 0x0d, 1 | 5 | 6) => Critical,
        (0x6f, 0x0d, 2 | 8) => Warning,
        (0x6f, 0x0f, 0 | 1) => Critical,
        (0x6f, 0x10, 4 | 5) => Warning,
        (0x6f, 0x13, 0 | 1 | 4 | 5 | 8 | 9 | 10) => Critical,
        (0x6f, 0x13, 2 | 3 | 6 | 7 | 11) => Warning,
        (0x6f, 0x19, 0 | 1) => Critical,
        (0x6f, 0x1b, 1) => Warning,
        (0x6f, 0x1e, _) => Critical,
        (0x6f, 0x20, 0 | 1) => Critical,
        (0x6f, 0x21, 0) => Warning,
        (0x6f, 0x23, 1..=3) => Critical,
        (0x6f, 0x28, 0..=5) => Warning,
        (0x6f, 0x29, 1) => Critical,
        (0x6f, 0x29, 0) => Warning,
        _ => return None,
    })
}

/// What a sensor or a unit belongs to (table 43-13).
pub(super) fn entity((id, instance): (u8, u8)) -> String {
    let name = match id {
        0 => return String::new(),
        3 | 0x41 => "processor",
        4 | 26 => "disk bay",
        6 => "management module",
        7 | 0x42 => "system board",
        8 => "memory module",
        9 => "processor module",
        10 => "power supply",
        11 => "add-in card",
        12 => "front panel",
        13 => "back panel",
        14 => "power system board",
        15 => "drive backplane",
        16 => "expansion board",
        19 => "power unit",
        20 => "power module",
        21 => "power distribution",
        23 => "chassis",
        29 => "fan",
        30 => "cooling unit",
        31 => "cable",
        32 => "memory device",
        34 => "firmware",
        35 => "operating system",
        36 => "system bus",
        37 => "environment",
        38 => "battery",
        39 => "processing blade",
        41 => "processor and memory module",
        42 => "I/O module",
        44 => "management controller firmware",
        45 => "IPMI channel",
        46 => "PCI bus",
        47 => "PCIe bus",
        55 | 0x40 => "air inlet",
        _ => return format!("entity {id}.{}", instance & 0x7f),
    };
    // Instances from 60h on count within their device (§43.14).
    match instance & 0x7f {
        0 => name.to_owned(),
        relative @ 0x60.. => format!("{name} {}", relative - 0x60),
        absolute => format!("{name} {absolute}"),
    }
}

/// What a unit is, in one word, by its entity.
pub(super) fn fru_kind(entity: u8) -> &'static str {
    match entity {
        3 | 9 | 0x41 => "processor",
        4 | 26 => "drive",
        6 => "manager",
        7 | 0x42 => "board",
        8 | 32 => "memory",
        10 => "power-supply",
        11 => "pcie-device",
        23 => "chassis",
        29 | 30 => "fan",
        _ => "assembly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_names_and_severities() {
        assert_eq!(states(0x08, 0x6f, 0b11), ["Presence detected", "Power Supply Failure detected"]);
        assert_eq!(severity(0x08, 0x6f, 1), Some(Health::Critical));
        assert_eq!(severity(0x08, 0x6f, 0), None);
        assert_eq!(passed(0b01_1000), Some(Health::Critical));
        assert_eq!(passed(0b00_1000), Some(Health::Warning));
        assert_eq!(passed(0), None);
        assert_eq!(entity((10, 2)), "power supply 2");
        assert_eq!(entity((3, 0x61)), "processor 1");
        for (kind, event) in (0..=255u8).flat_map(|kind| [0, 1, 3, 0x0c, 0x6f, 0x70, 0x7f].map(|event| (kind, event))) {
            for offset in 0..16 {
                assert!(!state(kind, event, offset).is_empty());
                let _ = severity(kind, event, offset);
            }
        }
    }
}
