//! Reads every sensor of the repository: its reading, its thresholds, and the factors of one whose curve only the BMC knows.

use super::convert::{self, CURVE};
use super::repository::{self, Kept};
use super::words;
use crate::bmc::BmcError;
use crate::bmc::ipmi::command::sdr::{Analog, Factors, Sensor as Described};
use crate::bmc::ipmi::command::sensor::{GetFactors, GetReading, GetThresholds, RawThresholds, SensorReading};
use crate::bmc::ipmi::fault::Fault;
use crate::bmc::ipmi::turn::{Need, Turn};
use crate::bmc::sensing::{Health, Listing, Sensor, SensorValue, Thresholds};
use crate::model::Reading;

/// The BMC's own address on the message bus.
const BMC: u8 = 0x20;
/// "What was asked for is not present" (§5.2).
const NOT_PRESENT: u8 = 0xcb;

pub(super) async fn all(turn: &mut Turn<'_>, kept: &Kept) -> Result<Reading<Listing<Sensor>>, BmcError> {
    let repository = match repository::current(turn, kept).await? {
        Reading::Known(repository) => repository,
        Reading::Absent => return Ok(Reading::Absent),
        Reading::Unknown { why } => return Ok(Reading::Unknown { why }),
    };
    let mut listing = Listing { items: Vec::new(), unread: repository.unread.clone() };
    let mut before: Option<(u16, u8)> = None;
    for described in repository.sensors.iter().filter(|sensor| !sensor.event_only) {
        // Several sensors may share a record: its number alone would not tell them apart.
        let step = match before {
            Some((record, step)) if record == described.record => step.wrapping_add(1),
            _ => 0,
        };
        before = Some((described.record, step));
        let id = if step == 0 { described.record.to_string() } else { format!("{}+{step}", described.record) };
        listing.items.push(one(turn, described, id).await?);
    }
    Ok(Reading::Known(listing))
}

async fn one(turn: &mut Turn<'_>, described: &Described, id: String) -> Result<Sensor, BmcError> {
    let unit = described.analog.map(|analog| convert::unit(analog.units)).unwrap_or_default();
    let mut sensor = Sensor {
        id,
        name: described.name.clone(),
        place: words::entity(described.entity),
        kind: convert::kind(&unit, words::sensor_type(described.kind)),
        value: Reading::Absent,
        health: Reading::Absent,
        thresholds: Thresholds::default(),
    };
    let key = described.key;
    if key.owner != BMC || key.lun != 0 {
        let why = format!("it belongs to the controller at {:02x}h, unit {}, which is not asked", key.owner, key.lun);
        sensor.value = Reading::unknown(why.clone());
        sensor.health = Reading::unknown(why);
        return Ok(sensor);
    }
    let read = match turn.read(Need::User, || GetReading(key.number)).await {
        Ok(read) => read,
        Err(Fault::Code(NOT_PRESENT)) => return Ok(sensor),
        Err(fault @ (Fault::Code(_) | Fault::Malformed(_))) => {
            let why = fault.into_error(format!("get the reading of sensor {}", key.number)).to_string();
            sensor.value = Reading::unknown(why.clone());
            sensor.health = Reading::unknown(why);
            return Ok(sensor);
        }
        Err(fault) => return Err(fault.into_error(format!("get the reading of sensor {}", key.number))),
    };
    // Listed, but there is nothing to be read now: switched off, or the part has no power.
    if read.unavailable || !read.scanned {
        return Ok(sensor);
    }
    match described.analog {
        Some(analog) => measured(turn, described, &analog, &read, unit, &mut sensor).await?,
        None => {
            let states = asserted(described, &read);
            sensor.health = judged(described, states).map_or(Reading::Absent, Reading::Known);
            sensor.value = Reading::Known(SensorValue::Discrete(names(described, states)));
        }
    }
    Ok(sensor)
}

async fn measured(
    turn: &mut Turn<'_>,
    described: &Described,
    analog: &Analog,
    read: &SensorReading,
    unit: String,
    sensor: &mut Sensor,
) -> Result<(), BmcError> {
    let number = described.key.number;
    let asking = |fault: Fault| fault.into_error(format!("get the factors of sensor {number}"));
    let factors: Result<Factors, String> = if analog.linear < CURVE {
        Ok(analog.factors)
    } else {
        match turn.read(Need::User, || GetFactors { number, raw: read.raw }).await {
            Ok(factors) => Ok(factors),
            Err(fault @ (Fault::Code(_) | Fault::Malformed(_))) => Err(asking(fault).to_string()),
            Err(fault) => return Err(asking(fault)),
        }
    };
    sensor.value = match &factors {
        Ok(factors) => match convert::value(analog, factors, read.raw) {
            Some(value) => Reading::Known(SensorValue::Analog { value, unit }),
            None => Reading::unknown(format!("its formula gives no number for the raw reading {}", read.raw)),
        },
        Err(why) => Reading::unknown(why.clone()),
    };
    if let Some(readable) = described.readable.filter(|mask| *mask != 0)
        && analog.linear < CURVE
    {
        match turn.read(Need::User, || GetThresholds(number)).await {
            Ok(raw) => sensor.thresholds = thresholds(analog, &raw, readable),
            // The reading counts; a BMC that does not tell its thresholds has told whether they are passed.
            Err(Fault::Code(_) | Fault::Malformed(_)) => {}
            Err(fault) => return Err(fault.into_error(format!("get the thresholds of sensor {number}"))),
        }
    }
    sensor.health = match (words::passed(read.states & 0x3f), described.readable) {
        (Some(health), _) => Reading::Known(health),
        (None, Some(mask)) if mask != 0 => Reading::Known(Health::Ok),
        // It has no thresholds by which the BMC could judge it.
        _ => Reading::Absent,
    };
    Ok(())
}

fn thresholds(analog: &Analog, raw: &RawThresholds, readable: u8) -> Thresholds {
    let RawThresholds(raw) = raw;
    let at = |n: usize| {
        let raw = raw.get(n).copied().flatten().filter(|_| readable & (1 << n) != 0)?;
        convert::value(analog, &analog.factors, raw)
    };
    Thresholds {
        lower_caution: at(0),
        lower_critical: at(1),
        lower_fatal: at(2),
        upper_caution: at(3),
        upper_critical: at(4),
        upper_fatal: at(5),
    }
}

/// States that are asserted and that the record says can be.
fn asserted(described: &Described, read: &SensorReading) -> u16 {
    if described.event == 1 || described.states == 0 { read.states } else { read.states & described.states }
}

fn names(described: &Described, states: u16) -> Vec<String> {
    if described.event == 1 {
        // A threshold sensor that gives no number: which thresholds are passed is all that it says.
        let limits = [
            "lower non-critical",
            "lower critical",
            "lower non-recoverable",
            "upper non-critical",
            "upper critical",
            "upper non-recoverable",
        ];
        return (0..).zip(limits).filter(|(bit, _)| states & (1 << bit) != 0).map(|(_, name)| format!("past {name}")).collect();
    }
    words::states(described.kind, described.event, states)
}

/// The worst of what is asserted; `None` where nothing of it is good or bad by itself.
fn judged(described: &Described, states: u16) -> Option<Health> {
    if described.event == 1 {
        return words::passed(states & 0x3f);
    }
    (0..15u8).filter(|bit| states & (1 << bit) != 0).filter_map(|bit| words::severity(described.kind, described.event, bit)).max()
}
