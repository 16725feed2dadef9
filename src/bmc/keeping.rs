//! The BMC as a thing to be kept: accounts, its own certificate, its restarts, and the node's mains. Every write is read back.

use std::time::Duration;

use async_trait::async_trait;

use super::{Bmc, BmcError, Password, Written, lacks};
use crate::model::Reading;

/// One account on a BMC.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BmcAccount {
    /// Its place in the BMC's table.
    pub slot: String,
    /// User name; empty slots are left out.
    pub user: String,
    /// Role or privilege, in the BMC's words.
    pub role: Reading<String>,
    /// Whether it may log in.
    pub enabled: Reading<bool>,
    /// Whether it is locked after wrong passwords.
    pub locked: Reading<bool>,
}

/// The keeping half of a BMC.
#[async_trait]
pub trait Keeping: Bmc {
    /// Accounts.
    async fn accounts(&self) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
        Err(lacks("read accounts"))
    }
    /// Sets the password of `user` and proves it by one login with the new one. The caller journals before and after: the old password may be
    /// the only way in until this is `Applied`.
    async fn set_password(&self, _user: &str, _new: &Password) -> Written {
        Written::NotApplied(lacks("set a password"))
    }
    /// Proves, by one login, which password the account has.
    async fn proves(&self, _user: &str, _password: &Password) -> Result<bool, BmcError> {
        Err(lacks("prove a password"))
    }
    /// Replaces the BMC's certificate with this chain and key (PEM), and proves it by a new connection that shows it.
    async fn replace_certificate(&self, _chain_pem: &str, _key_pem: Option<&Password>) -> Written {
        Written::NotApplied(lacks("replace the certificate"))
    }
    /// Asks the BMC for a certificate signing request (PEM) for this name.
    async fn signing_request(&self, _common_name: &str) -> Result<String, BmcError> {
        Err(lacks("make a signing request"))
    }
    /// Restarts the BMC and proves it: away or a new start time, then three stable reads.
    async fn reset_bmc(&self, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("restart the BMC"))
    }
    /// Takes the node's standby power away and gives it back; proved by the BMC's own restart (RC-59).
    async fn ac_cycle(&self, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("cycle the mains"))
    }
}
