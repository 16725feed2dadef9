//! What a boot brings its node so that we know it again and it knows us: an SSH host key made for this one grant, and the keys that may log in.
//! The secret half lives in the grants store until the node has fetched it, once, over TLS; its fingerprint stays.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Most keys that may log in.
const KEYS: usize = 16;
/// First line of what the node gets.
const HEAD: &str = "bringup-identity/v1";
/// Its last line: what was cut short lacks it.
const END: &str = "end";

/// Why no identity can be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// With it nobody could log in.
    #[error("an identity needs 1 to {KEYS} keys that may log in, not {0}")]
    Keys(usize),
    /// Not a line of `authorized_keys`.
    #[error("a key that may log in is no SSH public key")]
    Key(#[source] russh::keys::ssh_key::Error),
    /// The key could not be made or written.
    #[error("make an SSH host key")]
    Make(#[source] russh::keys::ssh_key::Error),
}

/// What may be known of an identity by everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityNote {
    /// `SHA256:…` of the host key.
    pub host_key: String,
    /// `SHA256:…` of each key that may log in.
    pub let_in: Vec<String>,
    /// The one address that it is handed out to; `None`: any.
    pub address: Option<IpAddr>,
    /// When it was handed out, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_ms: Option<i64>,
}

/// An identity that was just made. It has no `Debug`: it holds the key.
pub struct Identity {
    pub(super) note: IdentityNote,
    pub(super) answer: Zeroizing<String>,
}

impl Identity {
    /// Makes a fresh host key for a node at this address, which lets in who holds one of these keys (lines of `authorized_keys`).
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn fresh(let_in: &[String], address: Option<IpAddr>) -> Result<Self, IdentityError> {
        if let_in.is_empty() || let_in.len() > KEYS {
            return Err(IdentityError::Keys(let_in.len()));
        }
        let keys: Vec<PublicKey> =
            let_in.iter().map(|line| PublicKey::from_openssh(line)).collect::<Result<_, _>>().map_err(IdentityError::Key)?;
        let mut lines = String::new();
        for key in &keys {
            // Without its comment, which is free text.
            let bytes = key.to_bytes().map_err(IdentityError::Key)?;
            lines.push_str(&format!("{} {}\n", key.algorithm(), STANDARD.encode(bytes)));
        }
        let host = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(IdentityError::Make)?;
        let openssh = host.to_openssh(LineEnding::LF).map_err(IdentityError::Make)?;
        let dropbear = dropbear(&host).ok_or(IdentityError::Make(russh::keys::ssh_key::Error::AlgorithmUnknown))?;
        let mut answer = Zeroizing::new(String::with_capacity(2048));
        answer.push_str(HEAD);
        for (name, bytes) in [
            ("openssh_host_key", openssh.as_bytes()),
            ("dropbear_host_key", &dropbear[..]),
            ("authorized_keys", lines.as_bytes()),
        ] {
            let coded = Zeroizing::new(STANDARD.encode(bytes));
            answer.push_str(&format!("\n{name} "));
            answer.push_str(&coded);
        }
        answer.push_str(&format!("\n{END}\n"));
        let print = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
        let note = IdentityNote {
            host_key: print(host.public_key()),
            let_in: keys.iter().map(print).collect(),
            address,
            given_ms: None,
        };
        Ok(Self { note, answer })
    }

    /// What may be known of it.
    #[must_use]
    pub fn note(&self) -> &IdentityNote {
        &self.note
    }
}

/// dropbear's own form (its signkey.c and ed25519.c): the kind, then 32 secret and 32 public bytes, each with its length before it.
fn dropbear(key: &PrivateKey) -> Option<Zeroizing<Vec<u8>>> {
    let KeypairData::Ed25519(pair) = key.key_data() else { return None };
    let pair = Zeroizing::new(pair.to_bytes());
    let mut form = Zeroizing::new(Vec::with_capacity(83));
    for part in [&b"ssh-ed25519"[..], &pair[..]] {
        form.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        form.extend_from_slice(part);
    }
    Some(form)
}

/// What is known of the host key of the system that a node's newest boot started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootKey {
    /// No boot of ours, or one whose image has keys of its own.
    Elsewhere,
    /// Its boot has begun and has not fetched its identity yet: nobody can be that node.
    Awaited,
    /// It was handed this one.
    Given(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine() -> String {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        key.public_key().to_openssh().unwrap() + " me@here"
    }

    fn field(identity: &Identity, name: &str) -> Vec<u8> {
        let line = identity.answer.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        STANDARD.decode(line).unwrap()
    }

    #[test]
    fn each_is_fresh_and_both_forms_are_one_key() {
        let (mine, other) = (mine(), mine());
        let made = Identity::fresh(&[mine.clone(), other], None).unwrap();
        let key = PrivateKey::from_openssh(field(&made, "openssh_host_key")).unwrap();
        assert_eq!(key.fingerprint(HashAlg::Sha256).to_string(), made.note.host_key);
        let form = field(&made, "dropbear_host_key");
        assert_eq!((form.len(), &form[..19]), (83, &b"\0\0\0\x0bssh-ed25519\0\0\0\x40"[..]));
        assert_eq!(form[51..], key.public_key().key_data().ed25519().unwrap().0);
        let let_in = String::from_utf8(field(&made, "authorized_keys")).unwrap();
        assert!(let_in.lines().count() == 2 && mine.starts_with(let_in.lines().next().unwrap()), "{let_in}");
        assert!(made.answer.ends_with("\nend\n") && made.answer.is_ascii());
        assert_ne!(Identity::fresh(&[mine], None).unwrap().note.host_key, made.note.host_key);
    }

    #[test]
    fn keys_that_would_not_work_are_refused() {
        assert!(matches!(Identity::fresh(&[], None), Err(IdentityError::Keys(0))));
        assert!(matches!(Identity::fresh(&["ssh-ed25519 AAAA".into()], None), Err(IdentityError::Key(_))));
    }
}
