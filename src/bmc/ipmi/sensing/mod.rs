//! What a BMC measures and remembers, over IPMI: the sensors that its repository describes, its event log, its field-replaceable units, the watts that
//! DCMI tells.
//!
//! ```text
//! repository  sensor data records, read once and kept while they stay the same
//! sensors     reading each of them     convert  raw byte to number and unit     words  states, entities, how bad they are
//! log         the event log            frus     field-replaceable units
//! ```

mod convert;
mod frus;
mod log;
pub(super) mod repository;
mod sensors;
mod words;

use std::time::Duration;

use async_trait::async_trait;

use super::client::IpmiBmc;
use super::command::dcmi::GetPower;
use super::fault::Fault;
use super::turn::Need;
use crate::bmc::sensing::{Drawn, EventLog, Fru, Listing, LogInfo, Sensing, Sensor};
use crate::bmc::{BmcError, Written};
use crate::model::Reading;

/// A list takes many questions, two or three a sensor: so many times the patience for one call.
const LISTS: u32 = 8;

impl IpmiBmc {
    fn patience_for_lists(&self) -> Duration {
        self.patience() * LISTS
    }
}

#[async_trait]
impl Sensing for IpmiBmc {
    async fn sensors(&self) -> Result<Reading<Listing<Sensor>>, BmcError> {
        let mut turn = self.begin(self.patience_for_lists(), "sensors").await?;
        sensors::all(&mut turn, &self.repository).await
    }

    async fn logs(&self) -> Result<Reading<Listing<LogInfo>>, BmcError> {
        let mut turn = self.begin(self.patience(), "the event log").await?;
        log::list(&mut turn).await
    }

    async fn log(&self, which: Option<&str>, most: usize) -> Result<Reading<EventLog>, BmcError> {
        log::known(which)?;
        let mut turn = self.begin(self.patience_for_lists(), "the event log").await?;
        log::read(&mut turn, &self.repository, most).await
    }

    async fn clock_skew(&self) -> Result<Reading<i64>, BmcError> {
        let mut turn = self.begin(self.patience(), "the log's clock").await?;
        log::skew(&mut turn).await
    }

    async fn clear_log(&self, which: Option<&str>) -> Written {
        if let Err(error) = log::known(which) {
            return Written::NotApplied(error);
        }
        match self.begin(self.patience_for_lists(), "clearing the event log").await {
            Ok(mut turn) => log::clear(&mut turn).await,
            Err(error) => Written::NotApplied(error),
        }
    }

    async fn frus(&self) -> Result<Reading<Listing<Fru>>, BmcError> {
        let mut turn = self.begin(self.patience_for_lists(), "field-replaceable units").await?;
        frus::all(&mut turn, &self.repository).await
    }

    async fn drawn(&self) -> Result<Reading<Drawn>, BmcError> {
        let mut turn = self.begin(self.patience(), "the power drawn").await?;
        match turn.read(Need::User, || GetPower).await {
            Ok(power) if power.active => Ok(Reading::Known(Drawn { watts: power.now.into(), from: "DCMI".to_owned() })),
            Ok(_) => Ok(Reading::unknown("the BMC does not measure power now (DCMI: measurement not active)")),
            // A BMC without DCMI does not know the group extension, or not this group (§5.2: C1h, C2h, CCh; some say D5h).
            Err(Fault::Code(0xc1 | 0xc2)) => Ok(Reading::Absent),
            Err(fault @ Fault::Code(_)) => Ok(Reading::unknown(fault.into_error("get DCMI power reading").to_string())),
            Err(fault) => Err(fault.into_error("get DCMI power reading")),
        }
    }
}
