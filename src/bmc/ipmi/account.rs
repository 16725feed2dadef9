//! Who logs in, and how. Checked before a packet is sent: IPMI has limits that other clients cut to silently.

use super::rakp::{BmcKey, MAX_PASSWORD, MAX_USER};
use super::suite::Suite;
use crate::bmc::Password;

/// An account on an IPMI BMC.
pub struct Account {
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) kg: Option<BmcKey>,
    pub(super) suite: Option<Suite>,
}

/// Why an account cannot be used over IPMI. Never repeats the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Too long for the protocol.
    #[error("the user name has {0} bytes; IPMI allows {MAX_USER}")]
    UserTooLong(usize),
    /// Too long for the protocol.
    #[error("the password has {0} bytes; IPMI allows {MAX_PASSWORD}")]
    PasswordTooLong(usize),
    /// A NUL byte would end the name or password early.
    #[error("the {0} holds a NUL byte")]
    Nul(&'static str),
    /// Neither 3 nor 17.
    #[error("cipher suite {0} is not supported; use 17 or 3")]
    Suite(u8),
}

impl Account {
    /// Checks an account. Without a `suite`, 17 is tried first, then 3.
    ///
    /// # Errors
    /// [`AccountError`] names the limit that is broken.
    pub fn new(user: &str, password: Password, suite: Option<u8>) -> Result<Self, AccountError> {
        if user.len() > MAX_USER {
            return Err(AccountError::UserTooLong(user.len()));
        }
        if password.expose().len() > MAX_PASSWORD {
            return Err(AccountError::PasswordTooLong(password.expose().len()));
        }
        if user.contains('\0') {
            return Err(AccountError::Nul("user name"));
        }
        if password.expose().contains('\0') {
            return Err(AccountError::Nul("password"));
        }
        let suite = suite.map(|id| Suite::from_id(id).ok_or(AccountError::Suite(id))).transpose()?;
        Ok(Self { user: user.to_owned(), password, kg: None, suite })
    }

    /// Sets the key of the BMC itself (K_G). Twenty noughts are no key (§22.25).
    #[must_use]
    pub fn with_bmc_key(mut self, key: BmcKey) -> Self {
        self.kg = (!key.is_none()).then_some(key);
        self
    }
}
