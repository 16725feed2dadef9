//! Redfish (DMTF DSP0266): the [`Bmc`] trait over one BMC's service. Links are followed, paths are never composed; every write is read back.
//!
//! | file | one idea |
//! |---|---|
//! | `trust` `certificate` `authority` | which certificate is accepted |
//! | `dial` `oldtls` `openssl` | a connection, and what a BMC speaks that does not speak today's TLS |
//! | `exchange` `transport` | one exchange, sent at most once, and which connection carries it |
//! | `client` `manners` `pace` `heed` | reads, with every bounded way of asking again; headers; how many at once; what of it the make teaches |
//! | `acquaint` | who is at the other end: its habits by the quirks, and what was learned of its make |
//! | `write` | writes, with three ends and no blind retry |
//! | `ladder` | which entity tag a write goes with |
//! | `session` `slots` `book` `seal` | logging in once, and out; few slots; sessions written down |
//! | `path` `json` `decode` `error` `limits` | hostile links, bodies and messages made safe, and the bounds |
//! | `update` | firmware: pushed once, followed, proved by the version that runs |
//! | `greet` | what the root tells everybody; hardware addresses |
//! | `signpost` | where the root says that a service is |
//! | `registry` `bios` `bios_job` | BIOS attributes: what they take, what waits, and the job that applies them |
//! | `media` `media_write` | virtual drives: what is in them, and what is put in and taken out |
//! | `account` | accounts, and a password's change with its proof |
//! | `tls_place` `tls_certificate` | the BMC's own certificate: where it is, and its replacement with the proof |
//! | `host_restart` | restarts of the node that darken nothing, and NMI |
//! | `mains` | standby power cycled, proved by the BMC's own start |
//! | `boot_write` | the boot override, in every way that BMCs take it |
//! | `restart` | the BMC's own restart, proved |
//! | `settings` `keeping` | those halves of the hand |
//! | `collection` `system` `power` `boot` `firmware` `task` | views of resources |
//! | `walk` | many resources in one question, bounded |
//! | `sensor` `log` `fru` `accelerator` `sensing` | what the BMC measures and remembers |
//! | `examine` and its shape, settings, way, left | looks for `bmc doctor`: nothing is changed |
//! | `event` | following a log: streamed, pushed or read again |

mod accelerator;
mod account;
mod acquaint;
mod authority;
mod bios;
mod bios_job;
mod book;
mod boot;
mod boot_write;
mod certificate;
mod client;
mod collection;
mod decode;
mod dial;
mod error;
mod event;
mod examine;
mod examine_left;
mod examine_settings;
mod examine_shape;
mod examine_way;
mod exchange;
mod firmware;
mod fru;
mod greet;
mod heed;
mod host_restart;
mod json;
mod keeping;
mod ladder;
mod limits;
mod log;
mod mains;
mod manners;
mod media;
mod media_write;
mod oldtls;
#[cfg(feature = "old-tls")]
mod openssl;
mod options;
mod pace;
mod path;
mod power;
mod registry;
mod restart;
mod seal;
mod sensing;
mod sensor;
mod session;
mod settings;
mod signpost;
mod slots;
mod system;
mod task;
mod tls_certificate;
mod tls_place;
mod transport;
mod trust;
mod update;
mod walk;
mod write;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

pub use self::authority::{Authority, AuthorityError};
pub use self::book::{RefusalNote, SessionBook, SessionNote, SessionStore};
use self::client::{Client, Resource};
pub use self::event::{Doorbell, DoorbellError};
pub use self::firmware::FirmwareInventory;
pub use self::limits::{Limits, UpdateLimits};
pub use self::options::RedfishOptions;
pub use self::pace::Paces;
use self::system::Expected;
pub use self::trust::FirstContact;
use super::quirk::Profile;
use super::{Bmc, BmcError, BmcTask, BmcTrouble, Written};
use crate::model::{BmcFacts, BootOverride, Component, Digest, PowerState, PowerVerb, Reading, Version};

/// One BMC that speaks Redfish. Connects when first asked; call [`Bmc::close`] when done, or a session stays behind on the BMC until its
/// own timeout.
pub struct Redfish {
    client: Client,
    expected: Expected,
    /// Path of the node's system, once it is known.
    system: OnceLock<String>,
    /// Logs that were found, by what they were asked for.
    logs: log::Found,
}

impl Redfish {
    /// The node's system, read now.
    async fn system(&self) -> Result<Resource, BmcError> {
        if let Some(at) = self.system.get() {
            match self.client.get(at).await {
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                known => return known,
            }
        }
        let system = self.client.pick_system(&self.expected).await?;
        self.client.kin.note_system(&system.value);
        // Another task may have picked it meanwhile; the choice is the same.
        drop(self.system.set(system.path.clone()));
        Ok(system)
    }

    /// The node's system, read now and not contradicting the facts: what a write may touch.
    async fn writable(&self) -> Result<Resource, BmcError> {
        let system = self.system().await?;
        self.client.must_be(&self.expected, &system).await?;
        self.client.acquaint(&system).await?;
        Ok(system)
    }

    /// Firmware inventory with a reading for each component; [`Bmc::firmware`] is the strict form of it.
    ///
    /// # Errors
    /// When the BMC cannot be asked at all; trouble with single entries is told in the inventory.
    pub async fn firmware_detail(&self) -> Result<Reading<FirmwareInventory>, BmcError> {
        self.client.inventory().await
    }
}

#[async_trait]
impl Bmc for Redfish {
    async fn identity(&self) -> Result<BmcFacts, BmcError> {
        let system = self.system().await?;
        let facts = self.client.facts(&system).await?;
        self.client.acquaint(&system).await?;
        Ok(facts)
    }

    async fn power(&self) -> Result<Reading<PowerState>, BmcError> {
        Ok(power::view(&self.system().await?))
    }

    async fn set_power(&self, verb: PowerVerb, deadline: Duration) -> Written {
        let deadline = Instant::now() + deadline;
        match timeout_at(deadline, self.writable()).await {
            Ok(Ok(system)) => self.client.drive_power(&system, verb, deadline).await,
            Ok(Err(e)) => Written::NotApplied(e),
            Err(_) => Written::NotApplied(late(format!("look before power {verb}"))),
        }
    }

    async fn boot(&self) -> Result<Reading<BootOverride>, BmcError> {
        let system = self.system().await?;
        self.client.boot_view(&system).await
    }

    async fn set_boot(&self, want: &BootOverride) -> Written {
        match self.writable().await {
            Ok(system) => self.client.write_boot(&system, want).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn firmware(&self) -> Result<Reading<BTreeMap<Component, Version>>, BmcError> {
        Ok(match self.firmware_detail().await? {
            Reading::Known(inventory) => firmware::strict(inventory),
            Reading::Absent => Reading::Absent,
            Reading::Unknown { why } => Reading::Unknown { why },
        })
    }

    async fn tasks(&self) -> Result<Reading<Vec<BmcTask>>, BmcError> {
        self.client.task_list().await
    }

    fn certificate(&self) -> Option<Digest> {
        self.client.trust.certificate()
    }

    fn certificate_key(&self) -> Option<Digest> {
        self.client.trust.key()
    }

    fn profile(&self) -> Option<Profile> {
        Some(self.client.kin.told())
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

/// The deadline passed before a write.
fn late(doing: impl Into<String>) -> BmcError {
    BmcError {
        doing: doing.into(),
        seen: "the deadline passed before anything was sent".to_owned(),
        kind: BmcTrouble::TimedOut,
        source: None,
    }
}
