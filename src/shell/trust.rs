//! Which host keys are believed: the recorded fingerprints, or the first one ever seen when the user allowed that. It never asks a
//! `known_hosts` file, and it never forgets within the life of a shell.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use russh::keys::HashAlg;
use russh::keys::PublicKeyOrCertificate;

/// What to do when no host key is recorded for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstContact {
    /// Send no credential; say which key was shown.
    Refuse,
    /// Believe the first key and hold the node to it for the life of the shell.
    Accept,
}

/// Host keys that change while a program runs: asked before each connection is made.
#[async_trait]
pub trait HostKeys: Send + Sync {
    /// Keys (`SHA256:…`) that count beside the recorded ones. `Some`, even of none, rules first contact out.
    async fn now(&self) -> Result<Option<BTreeSet<String>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Judge of host keys for one node.
pub(super) struct Trust {
    recorded: BTreeSet<String>,
    first: FirstContact,
    accepted: OnceLock<String>,
}

impl Trust {
    pub(super) fn new(recorded: &BTreeSet<String>, first: FirstContact) -> Self {
        Self { recorded: recorded.iter().map(|r| bare(r).to_owned()).collect(), first, accepted: OnceLock::new() }
    }

    /// True when the key may be believed; remembers it.
    pub(super) fn judge(&self, shown: &str) -> bool {
        let believed = if self.recorded.is_empty() {
            self.accepted.get().map_or(self.first == FirstContact::Accept, |known| known == shown)
        } else {
            self.recorded.contains(shown)
        };
        if believed {
            // A node with several recorded keys may show another one later; the first shown is the one told.
            drop(self.accepted.set(shown.to_owned()));
        }
        believed
    }

    /// The key that was believed.
    pub(super) fn accepted(&self) -> Option<String> {
        self.accepted.get().cloned()
    }

    /// True when a key of another kind may still be one of the recorded ones.
    pub(super) fn may_try_another(&self) -> bool {
        !self.recorded.is_empty()
    }
}

/// The fingerprint alone: a line of `ssh-keygen -l` also holds the length, a comment and the kind.
fn bare(line: &str) -> &str {
    line.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap_or(line).trim_end_matches('=')
}

/// russh's callbacks for one connection.
pub(super) struct Guard {
    trust: Arc<Trust>,
    refused: Arc<OnceLock<Shown>>,
}

/// A host key that was shown and not believed.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) fingerprint: String,
    pub(super) algorithm: russh::keys::Algorithm,
}

impl Guard {
    pub(super) fn new(trust: Arc<Trust>) -> (Self, Arc<OnceLock<Shown>>) {
        let refused = Arc::new(OnceLock::new());
        (Self { trust, refused: Arc::clone(&refused) }, refused)
    }
}

impl russh::client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        // The fingerprint covers the key alone, so a comment cannot make two equal keys differ. Certificates are never offered.
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let believed = shown.certificate().is_none() && self.trust.judge(fingerprint.trim_end_matches('='));
        if !believed {
            drop(self.refused.set(Shown { fingerprint, algorithm: key.algorithm() }));
        }
        Ok(believed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|k| (*k).to_owned()).collect()
    }

    #[test]
    fn only_recorded_keys_are_believed() {
        let trust = Trust::new(&recorded(&["256 SHA256:abc root@a (ED25519)", "SHA256:def="]), FirstContact::Accept);
        assert!(trust.judge("SHA256:abc") && trust.judge("SHA256:def"));
        assert!(!trust.judge("SHA256:xyz"), "first contact counts only when nothing is recorded");
        assert_eq!(trust.accepted().as_deref(), Some("SHA256:abc"));
    }

    #[test]
    fn a_recorded_line_that_is_no_fingerprint_is_not_an_empty_set() {
        assert!(!Trust::new(&recorded(&["MD5:aa:bb"]), FirstContact::Accept).judge("SHA256:abc"));
    }

    #[test]
    fn first_contact_binds_for_life() {
        assert!(!Trust::new(&recorded(&[]), FirstContact::Refuse).judge("SHA256:abc"));
        let trust = Trust::new(&recorded(&[]), FirstContact::Accept);
        assert!(trust.judge("SHA256:abc") && trust.judge("SHA256:abc"));
        assert!(!trust.judge("SHA256:def"));
    }
}
