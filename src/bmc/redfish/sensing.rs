//! The measuring and remembering half of the hand, over Redfish. Each question is answered by a file of its own.

use async_trait::async_trait;

use super::Redfish;
use super::system::soft;
use crate::bmc::follow::{Follow, FollowHow};
use crate::bmc::sensing::{Drawn, EventLog, Fru, Listing, LogInfo, SeenAccelerator, Sensing, Sensor};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// Trouble with one resource is a reading that is not known; trouble with the BMC is an error.
fn soften<T>(answer: Result<Reading<T>, BmcError>) -> Result<Reading<T>, BmcError> {
    match answer {
        Err(e) if soft(&e) => Ok(Reading::unknown(e.to_string())),
        other => other,
    }
}

#[async_trait]
impl Sensing for Redfish {
    async fn sensors(&self) -> Result<Reading<Listing<Sensor>>, BmcError> {
        soften(self.client.all_sensors().await)
    }

    async fn logs(&self) -> Result<Reading<Listing<LogInfo>>, BmcError> {
        soften(self.list_logs().await)
    }

    async fn log(&self, which: Option<&str>, most: usize) -> Result<Reading<EventLog>, BmcError> {
        let mut again = true;
        loop {
            // A log that was named and is not there is an error of the question, not a reading.
            let place = match self.find_log(which).await {
                Ok(Reading::Known(place)) => place,
                Ok(Reading::Absent) => return Ok(Reading::Absent),
                Ok(Reading::Unknown { why }) => return Ok(Reading::Unknown { why }),
                Err(e) if which.is_none() => return soften(Err(e)),
                Err(e) => return Err(e),
            };
            match self.entries(&place, most).await {
                Err(e) if e.kind == BmcTrouble::Unsupported && again => {
                    again = false;
                    self.forget_log(which);
                }
                other => return soften(other.map(Reading::Known)),
            }
        }
    }

    async fn clock_skew(&self) -> Result<Reading<i64>, BmcError> {
        let system = self.system().await?;
        match self.client.manager(&system).await {
            Ok(Some(manager)) => self.client.kin.note_manager(&manager.value),
            Ok(None) => return Ok(Reading::unknown("the system names no manager")),
            Err(e) => return soften(Err(e)),
        }
        Ok(self.client.kin.skew().map_or_else(|| Reading::unknown("its manager tells no time"), Reading::Known))
    }

    async fn clear_log(&self, which: Option<&str>) -> Written {
        self.empty_log(which).await
    }

    async fn follow<'a>(&'a self, which: Option<&'a str>, how: &FollowHow) -> Result<Box<dyn Follow + Send + 'a>, BmcError> {
        Ok(Box::new(self.follow_log(which, how).await?))
    }

    async fn unsubscribe(&self, mark: &str) -> Written {
        self.client.end_marked(mark).await
    }

    async fn frus(&self) -> Result<Reading<Listing<Fru>>, BmcError> {
        soften(self.client.all_frus().await)
    }

    async fn accelerators(&self) -> Result<Reading<Listing<SeenAccelerator>>, BmcError> {
        soften(self.client.all_accelerators().await)
    }

    async fn drawn(&self) -> Result<Reading<Drawn>, BmcError> {
        self.read_drawn().await
    }
}
