//! One node's BMC over IPMI: the `Bmc` trait. It holds one session, opened when first needed; `close` gives the slot back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::account::Account;
use super::command::chassis::GetChassisStatus;
use super::command::lan::GetMac;
use super::connection::Connection;
use super::fault::Fault;
use super::manner::Manner;
use super::sensing::repository;
use super::socket::Lan;
use super::turn::{Need, Turn, take};
use super::{boot, identity, power};
use crate::bmc::meeting::{Macs, Meeting};
use crate::bmc::{Bmc, BmcError, BmcTask, Written};
use crate::model::{BmcFacts, BootOverride, Component, Digest, Mac, PowerState, PowerVerb, Reading, Version};

/// How long one call may take unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A BMC that speaks IPMI 2.0 over LAN.
pub struct IpmiBmc {
    pub(super) lan: Arc<Lan>,
    pub(super) to: SocketAddr,
    pub(super) account: Account,
    /// One caller at a time: a BMC's session is a single line of questions and answers.
    pub(super) turn: Semaphore,
    pub(super) kept: Mutex<Option<Connection>>,
    /// The way to log in that worked last.
    pub(super) manner: Mutex<Option<Manner>>,
    /// Sensor data records, until the session is closed.
    pub(super) repository: repository::Kept,
    patience: Duration,
}

impl IpmiBmc {
    /// Speaks with the BMC at `to` over the shared `lan`; sends nothing yet.
    #[must_use]
    pub fn new(lan: Arc<Lan>, to: SocketAddr, account: Account) -> Self {
        Self {
            lan,
            to,
            account,
            turn: Semaphore::new(1),
            kept: Mutex::new(None),
            manner: Mutex::new(None),
            repository: Mutex::new(None),
            patience: PATIENCE,
        }
    }

    /// Sets how long one call may take, login included (10 s otherwise).
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Cipher suite that was agreed with the BMC, once there was a session.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<u8> {
        self.manner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).map(|manner| manner.suite.id())
    }

    /// The way to log in that worked last.
    pub(super) fn known_manner(&self) -> Option<Manner> {
        *self.manner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A session beside the kept one, for what occupies it for long.
    pub(super) async fn connect(&self, roles: &[u8], deadline: Instant) -> Result<Connection, Fault> {
        let known = self.known_manner();
        let open = Connection::open(&self.lan, self.to, &self.account, known, roles, deadline).await?;
        *self.manner.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(open.manner());
        Ok(open)
    }

    /// How long one call may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) async fn begin(&self, patience: Duration, doing: &str) -> Result<Turn<'_>, BmcError> {
        let mut turn = Turn::begin(self, Instant::now() + patience).await.map_err(|fault| fault.into_error(doing))?;
        let opening = format!("open an IPMI session for {doing}");
        // A list has more patience than one call; a BMC that does not even open a session is given none of that.
        let whole = turn.deadline;
        turn.deadline = whole.min(Instant::now() + self.patience);
        turn.connection().await.map_err(|fault| fault.into_error(opening))?;
        turn.deadline = whole;
        Ok(turn)
    }
}

#[async_trait]
impl Bmc for IpmiBmc {
    async fn identity(&self) -> Result<BmcFacts, BmcError> {
        let mut turn = self.begin(self.patience, "identity").await?;
        identity::read(&mut turn).await
    }

    async fn power(&self) -> Result<Reading<PowerState>, BmcError> {
        let mut turn = self.begin(self.patience, "power status").await?;
        match turn.read(Need::User, || GetChassisStatus).await {
            Ok(status) => Ok(Reading::Known(if status.on { PowerState::On } else { PowerState::Off })),
            Err(fault @ Fault::Code(0xc1 | 0xc2)) => Ok(Reading::unknown(fault.into_error("get chassis status").to_string())),
            Err(fault) => Err(fault.into_error("get chassis status")),
        }
    }

    async fn set_power(&self, verb: PowerVerb, deadline: Duration) -> Written {
        match self.begin(deadline, "power").await {
            Ok(mut turn) => power::set(&mut turn, verb).await,
            Err(error) => Written::NotApplied(error),
        }
    }

    async fn boot(&self) -> Result<Reading<BootOverride>, BmcError> {
        let mut turn = self.begin(self.patience, "boot options").await?;
        boot::get(&mut turn).await
    }

    async fn set_boot(&self, want: &BootOverride) -> Written {
        match self.begin(self.patience, "boot options").await {
            Ok(mut turn) => boot::set(&mut turn, want).await,
            Err(error) => Written::NotApplied(error),
        }
    }

    async fn firmware(&self) -> Result<Reading<BTreeMap<Component, Version>>, BmcError> {
        let mut turn = self.begin(self.patience, "firmware").await?;
        // IPMI names one firmware: its own. BIOS and devices are Redfish's.
        let version = identity::version(&identity::device(&mut turn).await?);
        Ok(match Component::new("BMC") {
            Ok(bmc) => version.map(|version| BTreeMap::from([(bmc, version)])),
            Err(error) => Reading::unknown(error.to_string()),
        })
    }

    async fn tasks(&self) -> Result<Reading<Vec<BmcTask>>, BmcError> {
        // IPMI has no such thing; an HPM.1 upgrade is followed by whoever began it.
        Ok(Reading::Absent)
    }

    fn certificate(&self) -> Option<Digest> {
        None
    }

    async fn close(&self) {
        // Waits for whoever speaks, then ends the session.
        let _permit = self.turn.acquire().await.ok();
        let kept = take(&self.kept);
        *self.repository.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        if let Some(connection) = kept {
            connection.close().await;
        }
    }
}

#[async_trait]
impl Meeting for IpmiBmc {
    async fn macs(&self) -> Result<Macs, BmcError> {
        let mut turn = self.begin(self.patience, "LAN configuration").await?;
        let bmc = match turn.read(Need::Operator, || GetMac).await {
            Ok([0, 0, 0, 0, 0, 0]) => Reading::unknown("the BMC says that its MAC is all zeros"),
            Ok(octets) => Reading::Known(vec![Mac::from_octets(octets)]),
            Err(fault @ Fault::Code(_)) => Reading::unknown(fault.into_error("get LAN configuration parameter 5").to_string()),
            Err(fault) => return Err(fault.into_error("get LAN configuration parameter 5")),
        };
        // IPMI has no word for the node's own interfaces.
        Ok(Macs { bmc, node: Reading::Absent })
    }
}

impl crate::bmc::settings::Settings for IpmiBmc {}
