//! A BMC password in memory: wiped when dropped, and impossible to print, compare or serialise by accident.

use zeroize::Zeroizing;

/// A password. Has no `Debug`, `Display` or `Serialize`, so that it cannot reach a log, an error or a journal.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the secret over.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret, for the one call that puts it on the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
