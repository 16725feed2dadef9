//! The sensor data repository of a BMC, read record by record and part by part. What was read is kept until the BMC says that it has changed, or until
//! the session is closed: it is two requests a record.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bmc::BmcError;
use crate::bmc::ipmi::command::sdr::{self, FruLocator, GetInfo, GetPart, HEADER, LAST, Record, Reserve, Sensor, SensorKey};
use crate::bmc::ipmi::fault::Fault;
use crate::bmc::ipmi::turn::{Need, Turn};
use crate::model::Reading;

/// Bytes of a record that are asked for at once; halved when the BMC finds it too many.
const CHUNK: u8 = 64;
const LEAST_CHUNK: u8 = 8;
/// Codes by which a BMC says so (§5.2).
const TOO_MANY: [u8; 4] = [0xc7, 0xc8, 0xca, 0xff];
/// "The reservation is cancelled": somebody else read or changed the repository.
const CANCELLED: u8 = 0xc5;
/// How often a record is begun again because of that.
const BEGINNINGS: u32 = 6;
/// Records at most. The largest repository in the captured trees has 300.
const RECORDS: usize = 4096;

/// What a BMC's repository holds.
#[derive(Debug, Default)]
pub(in crate::bmc::ipmi) struct Repository {
    stamp: (u32, u32),
    /// Sensors, in the BMC's order.
    pub(super) sensors: Vec<Sensor>,
    /// FRU devices.
    pub(super) frus: Vec<FruLocator>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

impl Repository {
    /// The sensor with this key.
    pub(super) fn find(&self, key: SensorKey) -> Option<&Sensor> {
        self.sensors.iter().find(|sensor| sensor.key == key)
    }
}

/// Where a repository is kept.
pub(in crate::bmc::ipmi) type Kept = Mutex<Option<Arc<Repository>>>;

/// The repository as it is now; `Absent` when the BMC keeps none.
pub(super) async fn current(turn: &mut Turn<'_>, kept: &Kept) -> Result<Reading<Arc<Repository>>, BmcError> {
    let info = match turn.read(Need::User, || GetInfo).await {
        Ok(info) => info,
        Err(Fault::Code(0xc1 | 0xc2)) => return Ok(Reading::Absent),
        Err(fault) => return Err(fault.into_error("get SDR repository info")),
    };
    let known = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // A repository without times is never known to be the same.
    if let Some(known) = known.filter(|known| known.stamp == info.stamp && info.stamp != (0, 0) && known.unread.is_empty()) {
        return Ok(Reading::Known(known));
    }
    let mut repository = Repository { stamp: info.stamp, ..Repository::default() };
    let mut walk = Walk { turn, reservation: 0, chunk: CHUNK };
    walk.all(&mut repository).await?;
    let repository = Arc::new(repository);
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&repository));
    Ok(Reading::Known(repository))
}

struct Walk<'a, 'b> {
    turn: &'a mut Turn<'b>,
    reservation: u16,
    chunk: u8,
}

impl Walk<'_, '_> {
    async fn all(&mut self, into: &mut Repository) -> Result<(), BmcError> {
        let mut seen = BTreeSet::new();
        let mut at = 0;
        loop {
            if !seen.insert(at) || seen.len() > RECORDS {
                into.unread.push(format!("sensor data records: the list goes round or has no end ({} records)", seen.len()));
                return Ok(());
            }
            let (next, bytes) = match self.record(at).await {
                Ok(read) => read,
                // Without this record there is no way to the next one.
                Err(fault @ (Fault::Code(_) | Fault::Malformed(_))) => {
                    into.unread.push(format!("sensor data records from {at} on: {fault}"));
                    return Ok(());
                }
                Err(fault) => return Err(fault.into_error(format!("get SDR {at}"))),
            };
            match sdr::record(&bytes) {
                Some(Record::Sensors(sensors)) => into.sensors.extend(sensors),
                Some(Record::Fru(locator)) => into.frus.push(locator),
                Some(Record::Other(_)) => {}
                None => into.unread.push(format!("sensor data record {at}: it is cut short ({} bytes)", bytes.len())),
            }
            if next == LAST {
                return Ok(());
            }
            at = next;
        }
    }

    /// A whole record, and the id of the next.
    async fn record(&mut self, id: u16) -> Result<(u16, Vec<u8>), Fault> {
        let mut beginnings = 0;
        loop {
            match self.parts(id).await {
                Err(Fault::Code(CANCELLED)) if beginnings < BEGINNINGS => {
                    beginnings += 1;
                    self.reservation = self.turn.read(Need::User, || Reserve).await?;
                }
                other => return other,
            }
        }
    }

    async fn parts(&mut self, id: u16) -> Result<(u16, Vec<u8>), Fault> {
        let header = GetPart { reservation: self.reservation, record: id, offset: 0, count: HEADER };
        let (next, mut bytes) = self.turn.read(Need::User, || header).await?;
        let Some(length) = bytes.get(4).copied() else { return Err(Fault::Malformed("a record without a header")) };
        // Some BMCs give more than was asked for.
        bytes.truncate(usize::from(HEADER));
        let whole = usize::from(HEADER) + usize::from(length);
        while bytes.len() < whole {
            // A record has at most 260 bytes; what lies behind 255 cannot be asked for (§33.12) and is never needed.
            let Ok(offset) = u8::try_from(bytes.len()) else { break };
            let count = u8::try_from(whole - bytes.len()).unwrap_or(u8::MAX).min(self.chunk);
            let part = GetPart { reservation: self.reservation, record: id, offset, count };
            match self.turn.read(Need::User, || part).await {
                Ok((_, more)) if more.is_empty() => break,
                Ok((_, more)) => bytes.extend(more.into_iter().take(usize::from(count))),
                Err(Fault::Code(code)) if TOO_MANY.contains(&code) && self.chunk > LEAST_CHUNK => self.chunk /= 2,
                Err(fault) => return Err(fault),
            }
        }
        Ok((next, bytes))
    }
}
