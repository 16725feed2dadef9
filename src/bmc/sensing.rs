//! What a BMC measures and remembers: sensors, its event logs, field-replaceable units, accelerators as it sees them, power drawn. Reads, and one
//! write: clearing a log.

use async_trait::async_trait;

use super::follow::{Follow, FollowHow, Polling};
use super::{Bmc, BmcError, Written, lacks};
use crate::model::Reading;

/// How the BMC judges a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Well, or within its thresholds.
    Ok,
    /// Past a warning threshold, or in want of attention.
    Warning,
    /// Past a critical threshold, or broken.
    Critical,
}

/// What a question for many things found, and what could not be asked: never left out in silence.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Listing<T> {
    /// What was found, in the BMC's order.
    pub items: Vec<T>,
    /// Whole lists that could not be read, each with its reason, escaped. A single thing that could not be read stands in `items`, Unknown.
    pub unread: Vec<String>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { items: Vec::new(), unread: Vec::new() }
    }
}

/// Limits of a sensor, in its own unit; `None`: the BMC names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Thresholds {
    /// Below it: fatal (IPMI: non-recoverable).
    pub lower_fatal: Option<f64>,
    /// Below it: critical.
    pub lower_critical: Option<f64>,
    /// Below it: warning (IPMI: non-critical).
    pub lower_caution: Option<f64>,
    /// Above it: warning (IPMI: non-critical).
    pub upper_caution: Option<f64>,
    /// Above it: critical.
    pub upper_critical: Option<f64>,
    /// Above it: fatal (IPMI: non-recoverable).
    pub upper_fatal: Option<f64>,
}

impl Thresholds {
    /// How these limits judge a value; `None` when none is named. The BMC's own word counts for more.
    #[must_use]
    pub fn judge(&self, value: f64) -> Option<Health> {
        let over = |limit: Option<f64>| limit.is_some_and(|limit| value >= limit);
        let under = |limit: Option<f64>| limit.is_some_and(|limit| value <= limit);
        if over(self.upper_fatal) || over(self.upper_critical) || under(self.lower_fatal) || under(self.lower_critical) {
            Some(Health::Critical)
        } else if over(self.upper_caution) || under(self.lower_caution) {
            Some(Health::Warning)
        } else {
            (*self != Self::default()).then_some(Health::Ok)
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Sensor {
    /// What tells it from every other sensor of this BMC, such as `1/Sensors/ambient` or an SDR record id; equal over reads.
    pub id: String,
    /// Its name, escaped.
    pub name: String,
    /// Where it sits: a chassis, a board, an entity in words; empty when the BMC does not say.
    pub place: String,
    /// What it measures, in Redfish's words (`Temperature`, `Voltage`, `Current`, `Power`, `Rotational`, `Percent`, …), or the sensor type's name
    /// for one that asserts states.
    pub kind: String,
    /// The value, or the states that a discrete sensor asserts. `Absent`: listed, but not there or switched off.
    pub value: Reading<SensorValue>,
    /// How the BMC judges it.
    pub health: Reading<Health>,
    /// Its limits.
    pub thresholds: Thresholds,
}

/// What a sensor reads.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensorValue {
    /// A number with its unit in UCUM's letters, as Redfish writes them (`Cel`, `V`, `A`, `W`, `{rev}/min`, `%`).
    Analog {
        /// The number.
        value: f64,
        /// The unit.
        unit: String,
    },
    /// Asserted states, in words.
    Discrete(Vec<String>),
}

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// What happened to the node's hardware: the IPMI SEL, HPE's IML, OpenBMC's event log.
    Hardware,
    /// What the BMC itself did and was told: HPE's IEL, Dell's lifecycle log, audit logs.
    Manager,
    /// Faults that are open now (Dell's `FaultList`).
    Faults,
    /// POST codes, dumps, crash traces, journals of a program: not events.
    Traces,
}

/// One log that a BMC keeps.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogInfo {
    /// What it is picked by: unique on this BMC, short, escaped (`Managers/1/IEL`, `SEL`).
    pub id: String,
    /// Its name, escaped.
    pub name: String,
    /// What it is for.
    pub kind: LogKind,
    /// True when the BMC offers to clear it.
    pub clearable: bool,
    /// Most entries that it can hold, when the BMC says.
    pub room: Option<u64>,
}

/// One line of an event log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogEntry {
    /// Its name in the log.
    pub id: String,
    /// When, as the BMC wrote it (its clock may be wrong); `None`: it did not say.
    pub when: Option<String>,
    /// How bad the BMC calls it.
    pub severity: Reading<Health>,
    /// What it is about (sensor or component), escaped; empty when the BMC does not say.
    pub origin: String,
    /// What sort of message it is, such as `Base.1.8.ResourceUpdated` or a SEL event type, escaped.
    pub message_id: Option<String>,
    /// What happened, escaped.
    pub message: String,
    /// Whether the BMC calls the matter closed; `None`: it does not say.
    pub resolved: Option<bool>,
}

/// The newest part of a log.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct EventLog {
    /// Which log.
    pub log: LogInfo,
    /// How many entries it holds in all.
    pub held: Reading<u64>,
    /// The newest of them, oldest first.
    pub entries: Vec<LogEntry>,
    /// What could not be read of it, each with its reason.
    pub unread: Vec<String>,
}

/// One field-replaceable unit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fru {
    /// What tells it from every other unit of this BMC; equal over reads.
    pub id: String,
    /// What it is, in one word: `system`, `chassis`, `board`, `product`, `processor`, `memory`, `drive`, `pcie-device`, `network-adapter`,
    /// `power-supply`, `fan`, `assembly`, `manager`.
    pub kind: String,
    /// Where it sits or what it is called.
    pub name: String,
    /// Who made it.
    pub maker: Reading<String>,
    /// Product or model.
    pub model: Reading<String>,
    /// Part number.
    pub part: Reading<String>,
    /// Serial number.
    pub serial: Reading<String>,
    /// How the BMC judges it.
    pub health: Reading<Health>,
}

/// An accelerator as the BMC sees it, out of band.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SeenAccelerator {
    /// What tells it from every other accelerator of this BMC; equal over reads.
    pub id: String,
    /// Its name on the BMC.
    pub name: String,
    /// Maker.
    pub maker: Reading<String>,
    /// Model.
    pub model: Reading<String>,
    /// Part number.
    pub part: Reading<String>,
    /// Serial number.
    pub serial: Reading<String>,
    /// UUID, lower case.
    pub uuid: Reading<String>,
    /// How the BMC judges it. `Absent`: the BMC knows the place and says that nothing is in it.
    pub health: Reading<Health>,
    /// Uncorrectable memory errors over its life. `Absent`: the BMC does not count them.
    pub uncorrectable: Reading<u64>,
}

/// Power that the node draws.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Drawn {
    /// Watts now.
    pub watts: f64,
    /// What says so, such as `Chassis/1/Power` or `DCMI`.
    pub from: String,
}

/// The measuring and remembering half of a BMC.
#[async_trait]
pub trait Sensing: Bmc {
    /// All sensors.
    async fn sensors(&self) -> Result<Reading<Listing<Sensor>>, BmcError> {
        Err(lacks("read sensors"))
    }
    /// The logs that the BMC keeps.
    async fn logs(&self) -> Result<Reading<Listing<LogInfo>>, BmcError> {
        Err(lacks("list the logs"))
    }
    /// The newest `most` entries of a log, oldest first. `None`: the node's hardware event log.
    async fn log(&self, _which: Option<&str>, _most: usize) -> Result<Reading<EventLog>, BmcError> {
        Err(lacks("read the event log"))
    }
    /// How far the clock that gives a log its times is from this machine's now, in seconds; ahead is positive. A second or two are the way.
    async fn clock_skew(&self) -> Result<Reading<i64>, BmcError> {
        Err(lacks("read the BMC's clock"))
    }
    /// Empties a log, and reads it back. An entry that says so ("log cleared") may stand in it afterwards.
    async fn clear_log(&self, _which: Option<&str>) -> Written {
        Written::NotApplied(lacks("clear the event log"))
    }
    /// Follows a log from now on. By default the log is read again and again; a hand that can be told sooner does better.
    ///
    /// The caller ends it with [`Follow::end`]; what was left behind on the BMC otherwise is told by [`Follow::owes`].
    async fn follow<'a>(&'a self, which: Option<&'a str>, how: &FollowHow) -> Result<Box<dyn Follow + Send + 'a>, BmcError> {
        Ok(Box::new(Polling::start(self, which, how.every).await?))
    }
    /// Takes away the subscriptions that a killed run left behind under this mark, and reads back that they are gone.
    async fn unsubscribe(&self, _mark: &str) -> Written {
        Written::Applied("this protocol has no subscriptions".to_owned())
    }
    /// Field-replaceable units.
    async fn frus(&self) -> Result<Reading<Listing<Fru>>, BmcError> {
        Err(lacks("read field-replaceable units"))
    }
    /// Accelerators, out of band.
    async fn accelerators(&self) -> Result<Reading<Listing<SeenAccelerator>>, BmcError> {
        Err(lacks("read accelerators"))
    }
    /// Power that the node draws now.
    async fn drawn(&self) -> Result<Reading<Drawn>, BmcError> {
        Err(lacks("read the power drawn"))
    }
}
