//! The keeping half of the hand: accounts, the BMC's certificate, its restart. It passes on.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout_at;

use super::{Redfish, restart};
use crate::bmc::keeping::{BmcAccount, BmcCertificate, Keeping, ShownCertificate, Subject};
use crate::bmc::{BmcError, BmcTrouble, Password, Written};
use crate::model::Reading;

#[async_trait]
impl Keeping for Redfish {
    async fn accounts(&self) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
        self.client.account_views().await
    }

    async fn set_password(&self, user: &str, new: &Password) -> Written {
        match self.writable().await {
            Ok(_) => self.client.write_password(user, new).await,
            // An account whose password must be changed first may not look at the system.
            Err(e) if e.kind == BmcTrouble::PasswordChange => self.client.write_password(user, new).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn proves(&self, user: &str, password: &Password) -> Result<bool, BmcError> {
        self.client.try_login(user, password).await
    }

    async fn shown_certificate(&self) -> Result<Reading<ShownCertificate>, BmcError> {
        self.client.shown_certificate().await
    }

    async fn own_certificate(&self) -> Result<Reading<BmcCertificate>, BmcError> {
        self.client.certificate_view(&self.system().await?).await
    }

    async fn replace_certificate(&self, chain_pem: &str, key_pem: Option<&Password>, deadline: Duration) -> Written {
        let deadline = match restart::deadline_of(deadline) {
            Ok(deadline) => deadline,
            Err(e) => return Written::NotApplied(e),
        };
        match self.writable().await {
            Ok(system) => self.client.replace(&system, chain_pem, key_pem, deadline).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn signing_request(&self, subject: &Subject) -> Result<String, BmcError> {
        self.client.request_certificate(&self.writable().await?, subject).await
    }

    async fn reset_bmc(&self, deadline: Duration) -> Written {
        let deadline = match restart::deadline_of(deadline) {
            Ok(deadline) => deadline,
            Err(e) => return Written::NotApplied(e),
        };
        match self.writable().await {
            Ok(system) => self.client.restart(&system, deadline).await,
            Err(e) => Written::NotApplied(e),
        }
    }

    async fn ac_cycle(&self, deadline: Duration) -> Written {
        let deadline = match restart::deadline_of(deadline) {
            Ok(deadline) => deadline,
            Err(e) => return Written::NotApplied(e),
        };
        match timeout_at(deadline, self.writable()).await {
            Ok(Ok(system)) => self.client.mains(&system, deadline).await,
            Ok(Err(e)) => Written::NotApplied(e),
            Err(_) => Written::NotApplied(super::late("look before the mains are cycled")),
        }
    }
}
