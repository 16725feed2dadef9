//! The private key that opens a node's shell. It is never printed, logged or compared; its memory is wiped when the last shell lets go.

use std::sync::Arc;

use russh::keys::PrivateKey;
use zeroize::Zeroizing;

/// An OpenSSH private key as text. Cheap to clone: all shells of a site share one copy.
#[derive(Clone)]
pub struct PrivateKeyText(Arc<Zeroizing<String>>);

/// Why a private key cannot be used. Nothing of the key is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the format that `ssh-keygen` writes.
    #[error("the private key is not in OpenSSH format (`-----BEGIN OPENSSH PRIVATE KEY-----`)")]
    Format,
    /// It needs a passphrase.
    #[error("the private key is protected by a passphrase, which this version cannot ask for")]
    Encrypted,
}

impl PrivateKeyText {
    /// Wraps the text; it is read when a connection is made.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// Its public half, as a line of `authorized_keys` without a comment.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn public(&self) -> Result<String, KeyError> {
        let line = self.parse()?.public_key().to_openssh().map_err(|_| KeyError::Format)?;
        // The third word would be the comment.
        Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    /// Reads the key.
    pub(super) fn parse(&self) -> Result<PrivateKey, KeyError> {
        let key = PrivateKey::from_openssh(self.0.trim()).map_err(|_| KeyError::Format)?;
        if key.is_encrypted() { Err(KeyError::Encrypted) } else { Ok(key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_key_is_refused_without_repeating_it() {
        let error = PrivateKeyText::new("hunter2".into()).parse().unwrap_err();
        assert_eq!(error, KeyError::Format);
        assert!(!error.to_string().contains("hunter2"));
    }
}
