//! What a BMC measures, moving with its machine: off, everything behind the standby power sleeps; in self-test the fans run up; with a system the
//! accelerators have their own temperatures. Sensors of their own, and the older `Thermal` and `Power`.

use serde_json::{Map, Value, json};

use super::tree::{ROOT, collection, link};
use crate::model::PowerState;
use crate::sim::accelerator;
use crate::sim::handle::MachineHandle;
use crate::sim::history::HOT_C;
use crate::sim::machine::Stage;

/// What a node draws from its mains while its power is off, in watts.
const STANDBY_W: f64 = 18.0;
/// What it draws beside its accelerators, in watts.
const BASE_W: f64 = 410.0;
/// What an idle accelerator draws, in watts (H100: 68 to 75 in the captured trees).
const IDLE_W: f64 = 71.0;

/// What a sensor's value is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measured {
    Known(f64),
    /// It sleeps with the node.
    Asleep,
    /// There is no such thing.
    Missing,
}

/// One sensor.
struct Gauge {
    id: String,
    kind: &'static str,
    unit: &'static str,
    context: &'static str,
    value: Measured,
    caution: Option<f64>,
    critical: Option<f64>,
    low: Option<f64>,
}

impl Gauge {
    fn new(id: impl Into<String>, kind: &'static str, context: &'static str, value: Measured) -> Self {
        let unit = match kind {
            "Temperature" => "Cel",
            "Rotational" => "RPM",
            "Voltage" => "V",
            _ => "W",
        };
        Self { id: id.into(), kind, unit, context, value, caution: None, critical: None, low: None }
    }

    fn below(mut self, caution: f64, critical: f64) -> Self {
        (self.caution, self.critical) = (Some(caution), Some(critical));
        self
    }

    fn above(mut self, low: f64) -> Self {
        self.low = Some(low);
        self
    }

    fn reading(&self) -> Value {
        match self.value {
            Measured::Known(number) => json!((number * 10.0).round() / 10.0),
            Measured::Asleep | Measured::Missing => Value::Null,
        }
    }

    fn status(&self) -> Value {
        let Measured::Known(value) = self.value else {
            return json!({ "State": if self.value == Measured::Asleep { "StandbyOffline" } else { "Absent" } });
        };
        let over = |limit: Option<f64>| limit.is_some_and(|limit| value >= limit);
        let health = if over(self.critical) || self.low.is_some_and(|low| value <= low) {
            "Critical"
        } else if over(self.caution) {
            "Warning"
        } else {
            "OK"
        };
        json!({ "State": "Enabled", "Health": health })
    }
}

/// A slow wave between 0 and 1, other for each label: what is measured never stands quite still.
fn wave(machine: &MachineHandle, label: &str) -> f64 {
    let id = machine.identity();
    let phase = id.seed.below(&format!("{}/wave/{label}", id.node), 60);
    // Within 0 … 59, exact in any float.
    #[expect(clippy::cast_precision_loss)]
    let turn = ((machine.clock().now().0 / 1_000 + phase) % 60) as f64;
    (1.0 + (turn / 60.0 * std::f64::consts::TAU).sin()) / 2.0
}

fn gauges(machine: &MachineHandle) -> Vec<Gauge> {
    let (power, stage) = (machine.power_state(), machine.stage());
    let on = matches!(power, PowerState::On | PowerState::PoweringOff);
    let up = stage == Stage::Up;
    let awake = |value: f64| if on { Measured::Known(value) } else { Measured::Asleep };
    let busy = if stage == Stage::Post { 1.0 } else { 0.0 };
    let mut all = vec![
        Gauge::new("Inlet_Temp", "Temperature", "Intake", Measured::Known(21.0 + 2.0 * wave(machine, "inlet"))).below(38.0, 42.0),
        Gauge::new("CPU1_Temp", "Temperature", "CPU", awake(42.0 + 6.0 * wave(machine, "cpu1"))).below(88.0, 95.0),
        Gauge::new("CPU2_Temp", "Temperature", "CPU", awake(43.0 + 6.0 * wave(machine, "cpu2"))).below(88.0, 95.0),
        Gauge::new("P12V", "Voltage", "SystemBoard", awake(12.0 + 0.1 * wave(machine, "12v"))).below(13.0, 13.4).above(10.8),
        Gauge::new("P3V3_STBY", "Voltage", "SystemBoard", Measured::Known(3.3 + 0.05 * wave(machine, "3v3"))).above(3.0),
    ];
    for fan in 1..=6 {
        let speed = 4_800.0 + 7_000.0 * busy + 300.0 * wave(machine, &format!("fan{fan}"));
        all.push(Gauge::new(format!("FAN{fan}"), "Rotational", "Fan", awake(speed.round())).above(600.0));
    }
    let cards = accelerator::cards(machine.identity(), &machine.faults());
    let mut draw = if on { BASE_W + 150.0 * busy } else { STANDBY_W };
    for card in &cards {
        let number = card.slot + 1;
        let own =
            f64::from(card.temperature_c) + if card.temperature_c < HOT_C { wave(machine, &format!("gpu{number}")) } else { 0.0 };
        let temperature = if card.missing { Measured::Missing } else { awake(if up { own } else { 32.0 }) };
        let watts = if card.missing { Measured::Missing } else { awake(IDLE_W + 4.0 * wave(machine, &format!("gpu{number}/w"))) };
        if let Measured::Known(watts) = watts {
            draw += watts;
        }
        all.push(
            Gauge::new(format!("GPU_{number}_Temp"), "Temperature", "GPU", temperature)
                .below(f64::from(HOT_C), f64::from(HOT_C) + 5.0),
        );
        all.push(Gauge::new(format!("GPU_{number}_Power"), "Power", "GPU", watts));
    }
    for supply in 1..=2 {
        all.push(Gauge::new(format!("PSU{supply}_Input"), "Power", "PowerSupply", Measured::Known(draw / 2.0)));
    }
    all.push(Gauge::new("Total_Power", "Power", "Chassis", Measured::Known(draw)));
    all
}

/// Path of the chassis.
#[must_use]
pub fn chassis_path(machine: &MachineHandle) -> String {
    format!("{ROOT}/Chassis/{}", machine.identity().profile.chassis_id)
}

/// What the chassis says of its sensors.
pub fn add_to_chassis(machine: &MachineHandle, value: &mut Map<String, Value>) {
    let (at, senses) = (chassis_path(machine), &machine.identity().profile.senses);
    if senses.sensors {
        value.insert("Sensors".to_owned(), link(format!("{at}/Sensors")));
        value.insert("EnvironmentMetrics".to_owned(), link(format!("{at}/EnvironmentMetrics")));
    }
    if senses.older {
        value.insert("Thermal".to_owned(), link(format!("{at}/Thermal")));
        value.insert("Power".to_owned(), link(format!("{at}/Power")));
    }
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let chassis = chassis_path(machine);
    let senses = &machine.identity().profile.senses;
    match at.strip_prefix(&chassis)?.strip_prefix('/')? {
        "Sensors" if senses.sensors => {
            Some(collection(at, "Sensor", gauges(machine).into_iter().map(|gauge| format!("{at}/{}", gauge.id))))
        }
        "EnvironmentMetrics" if senses.sensors => {
            let total = gauges(machine).into_iter().find(|gauge| gauge.id == "Total_Power")?;
            Some(json!({
                "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
                "@odata.id": at,
                "Id": "EnvironmentMetrics",
                "Name": "Environment Metrics",
                "PowerWatts": { "DataSourceUri": format!("{chassis}/Sensors/Total_Power"), "Reading": total.reading() },
            }))
        }
        "Thermal" if senses.older => Some(thermal(machine, at)),
        "Power" if senses.older => Some(power(machine, at)),
        other => {
            let id = other.strip_prefix("Sensors/").filter(|_| senses.sensors)?;
            gauges(machine).iter().find(|gauge| gauge.id == id).map(|gauge| sensor(gauge, at))
        }
    }
}

fn sensor(gauge: &Gauge, at: &str) -> Value {
    let mut limits = Map::new();
    for (name, limit) in [("UpperCaution", gauge.caution), ("UpperCritical", gauge.critical), ("LowerCritical", gauge.low)] {
        if let Some(limit) = limit {
            limits.insert(name.to_owned(), json!({ "Reading": limit }));
        }
    }
    let mut value = json!({
        "@odata.type": "#Sensor.v1_7_0.Sensor",
        "@odata.id": at,
        "Id": gauge.id,
        "Name": gauge.id.replace('_', " "),
        "ReadingType": gauge.kind,
        "ReadingUnits": gauge.unit,
        "Reading": gauge.reading(),
        "PhysicalContext": gauge.context,
        "Status": gauge.status(),
    });
    if !limits.is_empty()
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("Thresholds".to_owned(), Value::Object(limits));
    }
    value
}

/// The entries of a list of the older resources.
fn entries(machine: &MachineHandle, at: &str, list: &str, kind: &str, key: &str) -> Vec<Value> {
    let all = gauges(machine);
    let of_kind = all.iter().filter(|gauge| gauge.kind == kind).enumerate();
    of_kind
        .map(|(index, gauge)| {
            let mut entry = json!({
                "@odata.id": format!("{at}#/{list}/{index}"),
                "MemberId": index.to_string(),
                "Name": gauge.id.replace('_', " "),
                "PhysicalContext": gauge.context,
                "Status": gauge.status(),
            });
            if let Some(fields) = entry.as_object_mut() {
                // `Reading` of a fan is a whole number in this schema.
                #[expect(clippy::cast_possible_truncation)]
                let reading = match gauge.value {
                    Measured::Known(speed) if kind == "Rotational" => json!(speed as i64),
                    _ => gauge.reading(),
                };
                fields.insert(key.to_owned(), reading);
                if kind == "Rotational" {
                    fields.insert("ReadingUnits".to_owned(), json!("RPM"));
                }
                let limits = [
                    ("UpperThresholdNonCritical", gauge.caution),
                    ("UpperThresholdCritical", gauge.critical),
                    ("LowerThresholdCritical", gauge.low),
                ];
                for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
                    #[expect(clippy::cast_possible_truncation)]
                    let limit = if kind == "Rotational" { json!(limit as i64) } else { json!(limit) };
                    fields.insert(name.to_owned(), limit);
                }
            }
            entry
        })
        .collect()
}

fn thermal(machine: &MachineHandle, at: &str) -> Value {
    json!({
        "@odata.type": "#Thermal.v1_7_1.Thermal",
        "@odata.id": at,
        "Id": "Thermal",
        "Name": "Thermal",
        "Temperatures": entries(machine, at, "Temperatures", "Temperature", "ReadingCelsius"),
        "Fans": entries(machine, at, "Fans", "Rotational", "Reading"),
    })
}

fn power(machine: &MachineHandle, at: &str) -> Value {
    let all = gauges(machine);
    let reading = |id: &str| all.iter().find(|gauge| gauge.id == id).map_or(Value::Null, Gauge::reading);
    let node = machine.identity();
    let supply = |number: u32| {
        json!({
            "@odata.id": format!("{at}#/PowerSupplies/{}", number - 1),
            "MemberId": (number - 1).to_string(),
            "Name": format!("Power Supply {number}"),
            "Manufacturer": "Delta",
            "Model": "DPS-3000AB",
            "PartNumber": "ECD16020137",
            "SerialNumber": node.seed.code(&format!("{}/supply/{number}", node.node), 12),
            "PowerSupplyType": "AC",
            "PowerCapacityWatts": 3000,
            "LineInputVoltage": 230,
            "PowerInputWatts": reading(&format!("PSU{number}_Input")),
            "Status": super::tree::well(),
        })
    };
    json!({
        "@odata.type": "#Power.v1_7_1.Power",
        "@odata.id": at,
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [{
            "@odata.id": format!("{at}#/PowerControl/0"),
            "MemberId": "0",
            "Name": "System Power Control",
            "PhysicalContext": "Chassis",
            "PowerConsumedWatts": reading("Total_Power"),
            "Status": super::tree::well(),
        }],
        "Voltages": entries(machine, at, "Voltages", "Voltage", "ReadingVolts"),
        "PowerSupplies": [supply(1), supply(2)],
    })
}
