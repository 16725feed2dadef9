//! One caller at a time on the one session that a BMC has with us: opened when first needed, kept between calls, replaced when the BMC has lost it.

use std::sync::{Mutex, PoisonError};

use ipmi_rs_core::connection::{IpmiCommand, Message};
use tokio::sync::SemaphorePermit;
use tokio::time::{Duration, Instant};

use super::client::IpmiBmc;
use super::connection::Connection;
use super::fault::Fault;
use super::login::{ADMINISTRATOR, OPERATOR_OR_LESS};

/// A kept session that idled longer is not trusted to live: BMCs end one after 60 s ± 3 s (§6.12.15).
const STALE: Duration = Duration::from_secs(45);

/// What a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// What every session has.
    User,
    /// Power and boot.
    Operator,
    /// Accounts, and the BMC's own restart.
    Administrator,
}

/// The right to speak with the BMC. Gives the session back when dropped.
pub(super) struct Turn<'a> {
    home: &'a IpmiBmc,
    connection: Option<Connection>,
    /// When the caller's patience ends.
    pub(super) deadline: Instant,
    /// Roles that a new session asks for.
    roles: &'static [u8],
    _permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Turn<'a> {
    /// Waits for the right to speak.
    pub(super) async fn begin(home: &'a IpmiBmc, deadline: Instant) -> Result<Self, Fault> {
        let began = Instant::now();
        let permit =
            tokio::time::timeout_at(deadline, home.turn.acquire()).await.map_err(|_| Fault::NoAnswer(began.elapsed()))?;
        let mut connection = take(&home.kept);
        if connection.as_ref().is_some_and(|c| c.idle() > STALE) {
            connection = None;
        }
        Ok(Self { home, connection, deadline, roles: OPERATOR_OR_LESS, _permit: permit.ok() })
    }

    /// The session, opened when there is none.
    pub(super) async fn connection(&mut self) -> Result<&mut Connection, Fault> {
        let home = self.home;
        let open = match self.connection.take() {
            Some(open) => open,
            None => home.connect(self.roles, self.deadline).await?,
        };
        Ok(self.connection.insert(open))
    }

    async fn ready(&mut self, need: Need) -> Result<&mut Connection, Fault> {
        let deadline = self.deadline;
        if need == Need::Administrator && !self.connection.as_ref().is_some_and(Connection::is_administrator) {
            // A session cannot be raised beyond the role that it was opened with (§22.18).
            self.roles = ADMINISTRATOR;
            if let Some(operator) = self.connection.take() {
                operator.close().await;
            }
        }
        let connection = self.connection().await?;
        if need != Need::User {
            connection.raise(deadline).await?;
        }
        Ok(connection)
    }

    /// Asks; once more on a new session when the BMC has forgotten this one.
    pub(super) async fn read<C: IpmiCommand>(&mut self, need: Need, make: impl Fn() -> C) -> Result<C::Output, Fault> {
        let data = self.repeat(need, &make().into()).await?;
        C::parse_success_response(&data).map_err(|_| Fault::Malformed("an answer that is cut short"))
    }

    /// As `read`, for a message whose answer has no content. Only for what repeating does not change.
    pub(super) async fn repeat(&mut self, need: Need, message: &Message) -> Result<Vec<u8>, Fault> {
        let deadline = self.deadline;
        let known = self.connection.is_some();
        let first = match self.ready(need).await {
            Ok(connection) => connection.repeat(message, deadline).await,
            Err(fault) if !known => return Err(fault),
            Err(fault) => Err(fault),
        };
        match first {
            Err(silence) if silence.is_silence() => {
                // It may have ended without a word; whoever asks next begins anew.
                self.connection = None;
                if Instant::now() >= deadline {
                    return Err(silence);
                }
                let again = match self.ready(need).await {
                    Ok(connection) => connection.repeat(message, deadline).await,
                    Err(fault) => Err(fault),
                };
                again.map_err(|fault| fault.after(silence))
            }
            other => other,
        }
    }

    /// Which session this is; changes when it had to be replaced.
    pub(super) fn session_id(&self) -> Option<u32> {
        self.connection.as_ref().map(Connection::id)
    }

    /// Ends the session and opens another one: what was sent in the old one and never answered cannot be done any more.
    pub(super) async fn renew(&mut self) -> Result<(), Fault> {
        if let Some(old) = self.connection.take() {
            old.close().await;
        }
        self.connection().await.map(drop)
    }

    /// Gives the session the operator privilege that a write needs.
    pub(super) async fn prepare_write(&mut self) -> Result<&mut Connection, Fault> {
        self.prepare_write_as(Need::Operator).await
    }

    /// Gives the session the privilege that this write needs.
    pub(super) async fn prepare_write_as(&mut self, need: Need) -> Result<&mut Connection, Fault> {
        self.ready(need).await
    }

    /// Hands the session over; the next question opens another.
    pub(super) fn part_with(&mut self) -> Option<Connection> {
        self.connection.take()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.home.kept.lock().unwrap_or_else(PoisonError::into_inner) = self.connection.take();
    }
}

/// Takes what is kept.
pub(super) fn take(kept: &Mutex<Option<Connection>>) -> Option<Connection> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).take()
}
