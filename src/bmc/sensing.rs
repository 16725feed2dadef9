//! What a BMC measures and remembers: sensors, its event log, field-replaceable units, accelerators as it sees them, power drawn. Reads, and one
//! write: clearing the log.

use async_trait::async_trait;

use super::{Bmc, BmcError, Written, lacks};
use crate::model::Reading;

/// How a sensor stands by the BMC's own thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Within its thresholds.
    Ok,
    /// Past a warning threshold.
    Warning,
    /// Past a critical threshold.
    Critical,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Sensor {
    /// Its name, escaped.
    pub name: String,
    /// What it measures, in the BMC's words, such as `Temperature`.
    pub kind: String,
    /// The value, or the states that a discrete sensor asserts.
    pub value: Reading<SensorValue>,
    /// How the BMC judges it.
    pub health: Reading<Health>,
}

/// What a sensor reads.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensorValue {
    /// A number with its unit as the BMC writes it (`Cel`, `V`, `RPM`, `W`).
    Analog {
        /// The number.
        value: f64,
        /// The unit.
        unit: String,
    },
    /// Asserted states, in words.
    Discrete(Vec<String>),
}

/// One line of the BMC's event log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogEntry {
    /// Its name in the log.
    pub id: String,
    /// When, as the BMC wrote it (its clock may be wrong); `None`: it did not say.
    pub when: Option<String>,
    /// How bad the BMC calls it.
    pub severity: Reading<Health>,
    /// What it is about (sensor or component), escaped.
    pub origin: String,
    /// What happened, escaped.
    pub message: String,
}

/// One field-replaceable unit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fru {
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
}

/// An accelerator as the BMC sees it, out of band.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SeenAccelerator {
    /// Its name on the BMC.
    pub name: String,
    /// Maker.
    pub maker: Reading<String>,
    /// Model.
    pub model: Reading<String>,
    /// Serial number.
    pub serial: Reading<String>,
    /// How the BMC judges it.
    pub health: Reading<Health>,
}

/// The measuring and remembering half of a BMC.
#[async_trait]
pub trait Sensing: Bmc {
    /// All sensors.
    async fn sensors(&self) -> Result<Reading<Vec<Sensor>>, BmcError> {
        Err(lacks("read sensors"))
    }
    /// The newest `most` entries of the event log, oldest first.
    async fn log(&self, _most: usize) -> Result<Reading<Vec<LogEntry>>, BmcError> {
        Err(lacks("read the event log"))
    }
    /// Empties the event log, and reads it back.
    async fn clear_log(&self) -> Written {
        Written::NotApplied(lacks("clear the event log"))
    }
    /// Field-replaceable units.
    async fn frus(&self) -> Result<Reading<Vec<Fru>>, BmcError> {
        Err(lacks("read field-replaceable units"))
    }
    /// Accelerators, out of band.
    async fn accelerators(&self) -> Result<Reading<Vec<SeenAccelerator>>, BmcError> {
        Err(lacks("read accelerators"))
    }
    /// Watts that the node draws now.
    async fn watts(&self) -> Result<Reading<f64>, BmcError> {
        Err(lacks("read the power drawn"))
    }
}
