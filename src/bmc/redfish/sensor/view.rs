//! Sensors as Redfish writes them: the `Sensor` resource, the lists of the older `Thermal` and `Power`, and the excerpts of the subsystems. Pure views;
//! what a BMC leaves out stays unknown.

use serde_json::Value;

use super::super::error::safe;
use super::super::json;
use super::super::walk::{awake, health, number};
use crate::bmc::sensing::{Health, Sensor, SensorValue, Thresholds};
use crate::model::Reading;

/// Most asserted states or vendor words that are kept of one sensor.
const STATES: usize = 8;

/// The unit that a reading type implies (Redfish `Sensor` schema, `ReadingType`), for BMCs that leave `ReadingUnits` out (AMI, HGX).
fn unit_of(kind: &str) -> &'static str {
    match kind {
        "Temperature" => "Cel",
        "Humidity" | "Percent" | "ValvePosition" => "%",
        "Power" => "W",
        "EnergykWh" => "kW.h",
        "EnergyJoules" => "J",
        "EnergyWh" => "W.h",
        "Voltage" => "V",
        "Current" => "A",
        "Frequency" => "Hz",
        "Pressure" | "Altitude" => "Pa",
        "PressurekPa" => "kPa",
        "Rotational" => "{rev}/min",
        "ChargeAh" => "A.h",
        _ => "",
    }
}

/// What a unit measures, for BMCs that leave `ReadingType` out (DMTF's reference tree).
fn kind_of(unit: &str) -> &'static str {
    match unit {
        "Cel" => "Temperature",
        "V" => "Voltage",
        "A" => "Current",
        "W" => "Power",
        "Hz" => "Frequency",
        "RPM" | "{rev}/min" => "Rotational",
        _ => "",
    }
}

/// Limits of a `Sensor`.
fn thresholds(sensor: &Value) -> Thresholds {
    let all = sensor.get("Thresholds");
    let at = |key: &str| all.and_then(|all| all.get(key)).and_then(|limit| number(limit, "Reading"));
    Thresholds {
        lower_fatal: at("LowerFatal"),
        lower_critical: at("LowerCritical"),
        lower_caution: at("LowerCaution"),
        upper_caution: at("UpperCaution"),
        upper_critical: at("UpperCritical"),
        upper_fatal: at("UpperFatal"),
    }
}

/// Limits of an entry of `Thermal` or `Power`.
fn older_thresholds(entry: &Value) -> Thresholds {
    Thresholds {
        lower_fatal: number(entry, "LowerThresholdFatal"),
        lower_critical: number(entry, "LowerThresholdCritical"),
        lower_caution: number(entry, "LowerThresholdNonCritical"),
        upper_caution: number(entry, "UpperThresholdNonCritical"),
        upper_critical: number(entry, "UpperThresholdCritical"),
        upper_fatal: number(entry, "UpperThresholdFatal"),
    }
}

/// The BMC's own word, or else what the limits say of the value.
fn judged(entry: &Value, value: &Reading<SensorValue>, limits: &Thresholds) -> Reading<Health> {
    if *value == Reading::Absent {
        return Reading::Absent;
    }
    match (health(entry), value) {
        (Reading::Unknown { why }, Reading::Known(SensorValue::Analog { value, .. })) => {
            limits.judge(*value).map_or(Reading::Unknown { why }, Reading::Known)
        }
        (told, _) => told,
    }
}

/// Words of a vendor for a sensor that has no number (Supermicro: `Oem.Supermicro.SensorValue`).
fn vendor_words(sensor: &Value) -> Option<Vec<String>> {
    let oem = sensor.get("Oem")?.as_object()?;
    let words: Vec<String> =
        oem.values().filter_map(|vendor| json::text(vendor, "SensorValue")).take(STATES).map(|text| safe(&text, 128)).collect();
    (!words.is_empty()).then_some(words)
}

/// A `Sensor` resource.
pub(super) fn sensor(id: String, place: &str, value: &Value) -> Sensor {
    let kind = json::text(value, "ReadingType")
        .map_or_else(|| kind_of(&json::text(value, "ReadingUnits").unwrap_or_default()).to_owned(), |kind| safe(&kind, 32));
    let reading = if !awake(value) {
        Reading::Absent
    } else if let Some(analog) = number(value, "Reading") {
        let unit = json::text(value, "ReadingUnits").map_or_else(|| unit_of(&kind).to_owned(), |unit| safe(&unit, 32));
        Reading::Known(SensorValue::Analog { value: analog, unit })
    } else if let Some(words) = vendor_words(value) {
        Reading::Known(SensorValue::Discrete(words))
    } else {
        Reading::unknown("it says no Reading")
    };
    let limits = thresholds(value);
    Sensor {
        name: name(value, &["Name", "Id"], &id),
        place: place.to_owned(),
        kind,
        health: judged(value, &reading, &limits),
        value: reading,
        thresholds: limits,
        id,
    }
}

/// A sensor that is listed and could not be read.
pub(super) fn unreadable(id: String, place: &str, name: &str, why: &str) -> Sensor {
    Sensor {
        id,
        name: safe(name, 128),
        place: place.to_owned(),
        kind: String::new(),
        value: Reading::unknown(why),
        health: Reading::unknown(why),
        thresholds: Thresholds::default(),
    }
}

fn name(value: &Value, keys: &[&str], or: &str) -> String {
    keys.iter().find_map(|key| json::text(value, key)).map_or_else(|| or.to_owned(), |text| safe(&text, 128))
}

/// A number in a list of the older resources.
pub(super) struct Column {
    /// The list, such as `Temperatures`.
    pub(super) list: &'static str,
    /// The property with the number.
    pub(super) key: &'static str,
    /// What it measures.
    pub(super) kind: &'static str,
    /// Behind the entry's name, when an entry has several numbers.
    pub(super) suffix: &'static str,
}

const fn column(list: &'static str, key: &'static str, kind: &'static str, suffix: &'static str) -> Column {
    Column { list, key, kind, suffix }
}

/// Numbers of `Thermal` (DSP2046).
pub(super) const THERMAL: &[Column] =
    &[column("Temperatures", "ReadingCelsius", "Temperature", ""), column("Fans", "Reading", "Rotational", "")];
/// Voltages of `Power`.
pub(super) const VOLTAGES: &[Column] = &[column("Voltages", "ReadingVolts", "Voltage", "")];
/// What supplies and the whole take and give, in `Power`; Supermicro and HPE tell it nowhere else.
pub(super) const SUPPLIES: &[Column] = &[
    column("PowerControl", "PowerConsumedWatts", "Power", ""),
    column("PowerSupplies", "PowerInputWatts", "Power", " input"),
    column("PowerSupplies", "PowerOutputWatts", "Power", " output"),
    column("PowerSupplies", "LastPowerOutputWatts", "Power", " output"),
    column("PowerSupplies", "LineInputVoltage", "Voltage", " line"),
];

/// The sensors of one list of `Thermal` or `Power`. An entry of a list with one number is told even without it; of the others only what is there.
pub(super) fn older(at: &str, place: &str, resource: &Value, columns: &[Column]) -> Vec<Sensor> {
    let mut found: Vec<Sensor> = Vec::new();
    for column in columns {
        for (index, entry) in json::list(resource, column.list).iter().enumerate() {
            // Fans of Redfish before 1.1 have `FanName`; HPE's older ones `CurrentReading`.
            let analog = number(entry, column.key).or_else(|| {
                if column.list == "Fans" { number(entry, "CurrentReading").or_else(|| number(entry, "ReadingRPM")) } else { None }
            });
            if analog.is_none() && (!column.suffix.is_empty() || column.list == "PowerControl") {
                continue;
            }
            let entry_id = format!("{at}#/{}/{index}", column.list);
            let id = if column.suffix.is_empty() { entry_id } else { format!("{entry_id}/{}", column.key) };
            let own = name(entry, &["Name", "FanName", "MemberId"], column.list);
            let own = format!("{own}{}", column.suffix);
            if found.iter().any(|f| f.name == own && f.kind == column.kind && !column.suffix.is_empty() && same_entry(&f.id, &id))
            {
                continue;
            }
            let percent = json::text(entry, "ReadingUnits").is_some_and(|unit| unit.eq_ignore_ascii_case("percent"));
            let kind = if column.list == "Fans" && percent { "Percent" } else { column.kind };
            let value = match analog {
                _ if !awake(entry) => Reading::Absent,
                Some(value) => Reading::Known(SensorValue::Analog { value, unit: unit_of(kind).to_owned() }),
                None => Reading::unknown(format!("it says no {}", column.key)),
            };
            // `Status` of a supply judges the supply, not one of its numbers, and its limits are other numbers' limits.
            let limits = if column.suffix.is_empty() { older_thresholds(entry) } else { Thresholds::default() };
            let health = judged(entry, &value, &limits);
            found.push(Sensor {
                id,
                name: own,
                place: place.to_owned(),
                kind: kind.to_owned(),
                value,
                health,
                thresholds: limits,
            });
        }
    }
    found
}

/// True for two numbers of one entry.
fn same_entry(a: &str, b: &str) -> bool {
    a.rsplit_once('/').map(|(head, _)| head) == b.rsplit_once('/').map(|(head, _)| head)
}

/// A sensor's excerpt inside another resource (`{"Reading": …, "DataSourceUri": …}`).
pub(super) fn excerpt(at: &str, place: &str, name: &str, kind: &str, value: &Value) -> Option<Sensor> {
    let analog = number(value, "Reading")?;
    Some(Sensor {
        id: at.to_owned(),
        name: safe(name, 128),
        place: place.to_owned(),
        kind: kind.to_owned(),
        value: Reading::Known(SensorValue::Analog { value: analog, unit: unit_of(kind).to_owned() }),
        health: Reading::unknown("an excerpt says no Health"),
        thresholds: Thresholds::default(),
    })
}

/// The sensor behind an excerpt.
pub(super) fn source(value: &Value) -> Option<String> {
    json::link(value, "DataSourceUri")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn analog(sensor: &Sensor) -> (f64, &str) {
        match sensor.value.known() {
            Some(SensorValue::Analog { value, unit }) => (*value, unit),
            other => panic!("{other:?} of {sensor:?}"),
        }
    }

    #[test]
    fn a_sensor_says_what_it_says_and_no_more() {
        let ami = json!({"Name": "PWR_SYSTEM", "Reading": 1950, "ReadingType": "Power", "ReadingUnits": null,
            "Status": {"State": "Enabled", "Health": null}, "Thresholds": {"UpperCaution": {"Reading": 1900}, "UpperCritical": {"Reading": null}}});
        let seen = sensor("x".into(), "DGX", &ami);
        assert_eq!((analog(&seen), seen.health.known()), ((1950.0, "W"), Some(&Health::Warning)), "judged by its limits");
        let silent = json!({"Name": "a", "Reading": null, "Status": {"State": "Enabled", "Health": "OK"}});
        assert!(sensor("x".into(), "1", &silent).value.why_unknown().is_some());
        let gone = json!({"Name": "a", "Reading": 0, "Status": {"State": "Absent"}});
        assert_eq!(
            (sensor("x".into(), "1", &gone).value, sensor("x".into(), "1", &gone).health),
            (Reading::Absent, Reading::Absent)
        );
        let words = json!({"Name": "VBAT", "Oem": {"Supermicro": {"SensorValue": "Battery Presence Detected"}}});
        let words = sensor("x".into(), "1", &words).value;
        assert_eq!(words, Reading::Known(SensorValue::Discrete(vec!["Battery Presence Detected".to_owned()])));
    }

    #[test]
    fn older_lists_have_units_and_limits() {
        let thermal = json!({"Temperatures": [{"Name": "CPU1 Temp", "ReadingCelsius": 99.5, "UpperThresholdCritical": 99, "Status": {"State": "Enabled"}}],
            "Fans": [{"Name": "Fan 1", "Reading": 51, "ReadingUnits": "Percent", "Status": {"Health": "OK"}}, {"FanName": "F2", "Reading": 2240}]});
        let seen = older("Chassis/1/Thermal", "1", &thermal, THERMAL);
        assert_eq!(
            seen.iter().map(|s| (s.name.as_str(), analog(s))).collect::<Vec<_>>(),
            [("CPU1 Temp", (99.5, "Cel")), ("Fan 1", (51.0, "%")), ("F2", (2240.0, "{rev}/min"))]
        );
        assert_eq!(seen[0].health, Reading::Known(Health::Critical));
        assert_eq!(seen[0].id, "Chassis/1/Thermal#/Temperatures/0");
        let power = json!({"PowerControl": [{"Name": "System", "PowerConsumedWatts": null}],
            "PowerSupplies": [{"Name": "PSU1", "PowerInputWatts": 303, "PowerOutputWatts": 273, "LastPowerOutputWatts": 273, "LineInputVoltage": 240}]});
        let seen = older("Chassis/1/Power", "1", &power, SUPPLIES);
        let names: Vec<&str> = seen.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["PSU1 input", "PSU1 output", "PSU1 line"], "what is silent is left out, what is said twice told once");
        assert_eq!(seen.iter().map(|s| &s.id).collect::<std::collections::BTreeSet<_>>().len(), 3);
    }

    proptest! {
        #[test]
        fn any_json_is_viewed(value in crate::bmc::redfish::json::any_json()) {
            let _ = sensor("x".into(), "p", &value);
            let _ = (older("x", "p", &value, THERMAL), older("x", "p", &value, SUPPLIES), older("x", "p", &value, VOLTAGES));
            let _ = (excerpt("x", "p", "n", "Power", &value), source(&value));
        }
    }
}
