//! Keys of the simulated farm: one host key per node, one fleet key that lets in. All derived from the seed: they protect a simulation and
//! nothing else.

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};

use crate::sim::seed::Seed;

/// An Ed25519 key for a label.
///
/// # Errors
/// When the SSH library refuses the key, which it has no reason to.
pub fn derive(seed: Seed, label: &str) -> Result<PrivateKey, russh::keys::ssh_key::Error> {
    let pair = Ed25519Keypair::from_seed(&seed.bytes(&format!("{label}/ssh-key")));
    PrivateKey::new(KeypairData::from(pair), label)
}

/// `SHA256:…` of a key's public half, as `ssh-keygen -l` prints it.
#[must_use]
pub fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}
