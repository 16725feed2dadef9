//! All sensors of a node: chassis by chassis, the `Sensors` collection first, the subsystems where that is missing or empty, and what the older
//! `Thermal` and `Power` say beside it. And the power that the node draws.

mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::view::{SUPPLIES, THERMAL, VOLTAGES};
use super::Redfish;
use super::client::{Client, Resource};
use super::error::safe;
use super::system::soft;
use super::walk::{Walk, called, number, short};
use super::{json, path};
use crate::bmc::BmcError;
use crate::bmc::sensing::{Drawn, Listing, Sensor};
use crate::model::Reading;

/// Most chassis above one another that are looked at for the power of the whole.
const ABOVE: usize = 4;

/// Sensors that measure the whole node where no resource says so: DGX H100 (AMI) lists a `PowerControl` without a number, and `PWR_SYSTEM` (1,950 W
/// in the captured tree, with six supplies of 340 W each).
const WHOLE_NODE: &[&str] = &["PWR_SYSTEM"];

impl Client {
    /// All sensors.
    pub(super) async fn all_sensors(&self) -> Result<Reading<Listing<Sensor>>, BmcError> {
        let Some(chassis) = self.root().await?.chassis else { return Ok(Reading::Absent) };
        let walk = Walk::begin(self);
        let mut sensors = Vec::new();
        for part in walk.collection(&chassis).await? {
            match part.value {
                Ok(value) => sensors.extend(of_chassis(&walk, &part.path, &value).await?),
                Err(why) => walk.miss(why),
            }
        }
        distinct(&mut sensors);
        Ok(told(walk.listing(sensors)))
    }

    /// The power that the node draws, by the outermost chassis that holds this system and no other.
    pub(super) async fn power_drawn(&self, system: &Resource) -> Result<Reading<Drawn>, BmcError> {
        let links = system.value.get("Links");
        let mut at: Vec<String> =
            links.map(|l| json::list(l, "Chassis").iter().filter_map(json::href).take(4).collect()).unwrap_or_default();
        if at.is_empty() {
            return Ok(Reading::unknown(format!("{} names no chassis", safe(&system.path, 128))));
        }
        let walk = Walk::begin(self);
        let (mut found, mut seen, mut alone) = (None, BTreeSet::new(), Vec::new());
        for _ in 0..ABOVE {
            let mut above = Vec::new();
            for at in at.iter().filter(|at| seen.insert(at.trim_end_matches('/').to_owned())).cloned().collect::<Vec<_>>() {
                let Some(chassis) = walk.get(&at).await? else { continue };
                let links = chassis.get("Links");
                // A chassis of several nodes says nothing of one.
                if links.is_some_and(|l| json::list(l, "ComputerSystems").len() > 1) {
                    continue;
                }
                if let Some(drawn) = said_by(&walk, &at, &chassis).await? {
                    found = Some(drawn);
                }
                above.extend(links.and_then(|l| json::link(l, "ContainedBy")));
                alone.push(chassis);
            }
            at = above;
        }
        for chassis in &alone {
            if found.is_none() {
                found = by_name(&walk, chassis).await?;
            }
        }
        Ok(match found {
            Some(drawn) => Reading::Known(drawn),
            None => {
                let unread = walk.unread();
                let rest = if unread.is_empty() { String::new() } else { format!("; {}", unread.join("; ")) };
                Reading::unknown(format!("no chassis of {} says its watts{rest}", safe(path::last(&system.path), 64)))
            }
        })
    }
}

impl Redfish {
    pub(super) async fn read_drawn(&self) -> Result<Reading<Drawn>, BmcError> {
        let system = self.system().await?;
        match self.client.power_drawn(&system).await {
            Err(e) if soft(&e) => Ok(Reading::unknown(e.to_string())),
            other => other,
        }
    }
}

/// Gives sensors of one place that share a name the last part of their id beside it (Dell: two `InputPowerSensor`; HPE: two `HpeServerPowerSupply`).
fn distinct(sensors: &mut [Sensor]) {
    let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
    for sensor in sensors.iter() {
        *times.entry((sensor.place.clone(), sensor.name.clone())).or_default() += 1;
    }
    for sensor in sensors {
        if times.get(&(sensor.place.clone(), sensor.name.clone())).is_some_and(|times| *times > 1) {
            let tail = sensor.id.rsplit_once("#/").map_or_else(|| path::last(&sensor.id), |(_, tail)| tail);
            sensor.name = format!("{} ({tail})", sensor.name);
        }
    }
}

/// Nothing but reasons is not a listing.
pub(super) fn told<T>(listing: Listing<T>) -> Reading<Listing<T>> {
    if listing.items.is_empty() && !listing.unread.is_empty() {
        return Reading::unknown(listing.unread.join("; "));
    }
    Reading::Known(listing)
}

/// Watts of a chassis in the resources for it.
async fn said_by(walk: &Walk<'_>, at: &str, chassis: &Value) -> Result<Option<Drawn>, BmcError> {
    if json::link(chassis, "EnvironmentMetrics").is_some()
        && let Some(metrics) = walk.follow(chassis, "EnvironmentMetrics").await?
        && let Some(watts) = metrics.get("PowerWatts").and_then(|power| number(power, "Reading"))
    {
        return Ok(Some(Drawn { watts, from: format!("{}/EnvironmentMetrics", short(at)) }));
    }
    if json::link(chassis, "Power").is_some()
        && let Some(power) = walk.follow(chassis, "Power").await?
        && let Some(watts) = json::list(&power, "PowerControl").iter().find_map(|control| number(control, "PowerConsumedWatts"))
    {
        return Ok(Some(Drawn { watts, from: format!("{}/Power", short(at)) }));
    }
    Ok(None)
}

/// Watts by a sensor whose name says that it measures the whole node.
async fn by_name(walk: &Walk<'_>, chassis: &Value) -> Result<Option<Drawn>, BmcError> {
    let Some(at) = json::link(chassis, "Sensors") else { return Ok(None) };
    let Some(links) = walk.links(&at).await? else { return Ok(None) };
    let Some(at) = links.iter().find(|at| WHOLE_NODE.contains(&path::last(at))) else { return Ok(None) };
    let Some(sensor) = walk.get(at).await? else { return Ok(None) };
    Ok(number(&sensor, "Reading").map(|watts| Drawn { watts, from: short(at) }))
}

/// The sensors of one chassis.
async fn of_chassis(walk: &Walk<'_>, at: &str, chassis: &Value) -> Result<Vec<Sensor>, BmcError> {
    let place = called(chassis, at);
    let mut found = Vec::new();
    let mut sources = BTreeSet::new();
    if let Some(at) = json::link(chassis, "Sensors") {
        for part in walk.collection(&at).await? {
            sources.insert(part.path.trim_end_matches('/').to_owned());
            found.push(match &part.value {
                Ok(value) => view::sensor(short(&part.path), &place, value),
                Err(why) => view::unreadable(short(&part.path), &place, path::last(&part.path), why),
            });
        }
    }
    if found.is_empty() {
        let new = |s: &Value| view::source(s).is_none_or(|source| !sources.contains(source.trim_end_matches('/')));
        found.extend(subsystems(walk, chassis, &place, &new).await?);
    }
    let powered = found.iter().any(|s| s.kind == "Power");
    if let Some(thermal) = walk.follow(chassis, "Thermal").await? {
        add(&mut found, view::older(&link(chassis, "Thermal"), &place, &thermal, THERMAL));
    }
    if let Some(power) = walk.follow(chassis, "Power").await? {
        add(&mut found, view::older(&link(chassis, "Power"), &place, &power, VOLTAGES));
        if !powered {
            add(&mut found, view::older(&link(chassis, "Power"), &place, &power, SUPPLIES));
        }
    }
    Ok(found)
}

fn link(chassis: &Value, key: &str) -> String {
    json::link(chassis, key).map_or_else(String::new, |at| short(&at))
}

/// Adds what is not there yet: the older resources list the same sensors by the same names.
fn add(found: &mut Vec<Sensor>, more: Vec<Sensor>) {
    let known: BTreeSet<String> = found.iter().map(|s| plain(&s.name)).collect();
    found.extend(more.into_iter().filter(|s| !known.contains(&plain(&s.name))));
}

/// A name as it is compared: `CPU1 Temp` and `CPU1_Temp` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What the thermal and power subsystems measure, where a chassis has no list of sensors.
async fn subsystems(
    walk: &Walk<'_>,
    chassis: &Value,
    place: &str,
    new: &(dyn Fn(&Value) -> bool + Sync),
) -> Result<Vec<Sensor>, BmcError> {
    let mut found = Vec::new();
    if let Some(thermal) = walk.follow(chassis, "ThermalSubsystem").await? {
        if let Some(metrics) = walk.follow(&thermal, "ThermalMetrics").await? {
            let at = link(&thermal, "ThermalMetrics");
            for (index, reading) in json::list(&metrics, "TemperatureReadingsCelsius").iter().enumerate().filter(|(_, r)| new(r))
            {
                let name = json::text(reading, "DeviceName").unwrap_or_else(|| format!("Temperature {index}"));
                let id = format!("{at}#/TemperatureReadingsCelsius/{index}");
                found.extend(view::excerpt(&id, place, &name, "Temperature", reading));
            }
        }
        found.extend(excerpts(walk, &thermal, "Fans", place, new, &[("SpeedPercent", "Percent", "")]).await?);
    }
    if let Some(power) = walk.follow(chassis, "PowerSubsystem").await? {
        found.extend(excerpts(walk, &power, "PowerSupplies", place, new, SUPPLY).await?);
    }
    Ok(found)
}

/// Excerpts of a supply's metrics: property, what it measures, and what stands behind the supply's name.
const SUPPLY: &[(&str, &str, &str)] = &[
    ("InputPowerWatts", "Power", " input"),
    ("OutputPowerWatts", "Power", " output"),
    ("InputVoltage", "Voltage", " line"),
    ("InputCurrentAmps", "Current", " input"),
    ("TemperatureCelsius", "Temperature", ""),
];

async fn excerpts(
    walk: &Walk<'_>,
    subsystem: &Value,
    list: &str,
    place: &str,
    new: &(dyn Fn(&Value) -> bool + Sync),
    keys: &[(&str, &str, &str)],
) -> Result<Vec<Sensor>, BmcError> {
    let mut found = Vec::new();
    let Some(at) = json::link(subsystem, list) else { return Ok(found) };
    for part in walk.collection(&at).await? {
        let unit = match part.value {
            Ok(unit) => unit,
            Err(why) => {
                found.push(view::unreadable(short(&part.path), place, path::last(&part.path), &why));
                continue;
            }
        };
        let name = json::text(&unit, "Name").unwrap_or_else(|| called(&unit, &part.path));
        // A supply keeps its numbers in a resource of its own.
        let metrics = walk.follow(&unit, "Metrics").await?;
        let from = metrics.as_ref().unwrap_or(&unit);
        for (key, kind, suffix) in keys {
            let Some(value) = from.get(key).filter(|value| new(value)) else { continue };
            let mut seen =
                view::excerpt(&format!("{}#/{key}", short(&part.path)), place, &format!("{name}{suffix}"), kind, value);
            if let Some(sensor) = &mut seen {
                sensor.health = super::walk::health(&unit);
            }
            found.extend(seen);
        }
    }
    Ok(found)
}
