//! A BMC's own self-signed certificate, derived from the farm's seed so that a fingerprint once recorded stays true. The key is as public as
//! the seed: it protects nothing and is never used outside the simulator.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519, PublicKeyData as _, SerialNumber};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::seed::Seed;
use crate::model::Digest;

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate library said no.
    #[error("making a certificate for `{0}`")]
    Certificate(String, #[source] rcgen::Error),
    /// The TLS library said no.
    #[error("setting up TLS for `{0}`")]
    Config(String, #[source] rustls::Error),
}

/// A certificate and its key.
pub struct Certified {
    der: Vec<u8>,
    spki: Vec<u8>,
    key: Vec<u8>,
    name: String,
}

impl Certified {
    /// The certificate for a label; the same seed and label give the same bytes.
    ///
    /// # Errors
    /// [`TlsError`] when the library refuses.
    pub fn derive(seed: Seed, label: &str) -> Result<Self, TlsError> {
        Self::issue(seed, label, 0)
    }

    /// Another certificate over the key of [`Self::derive`]: what a BMC shows when it has renewed its own.
    ///
    /// # Errors
    /// [`TlsError`] when the library refuses.
    pub fn renewed(seed: Seed, label: &str) -> Result<Self, TlsError> {
        Self::issue(seed, label, 1)
    }

    fn issue(seed: Seed, label: &str, issue: u64) -> Result<Self, TlsError> {
        let failed = |e| TlsError::Certificate(label.to_owned(), e);
        let key = ed25519_pkcs8(&seed.bytes(&format!("{label}/tls-key")));
        let pair =
            KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key.clone()), &PKCS_ED25519).map_err(failed)?;
        debug_assert_eq!(pair.der_bytes().len(), 32);
        let mut params = CertificateParams::new(vec![label.to_owned()]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, format!("{label} BMC (simulated)"));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2049, 12, 31);
        params.serial_number = Some(SerialNumber::from(seed.below(&format!("{label}/tls-serial"), 1 << 62) + issue));
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Ok(Self { der: certificate.der().to_vec(), spki: pair.subject_public_key_info(), key, name: label.to_owned() })
    }

    /// SHA-256 of the certificate's DER: what an inventory pins.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let hash: [u8; 32] = Sha256::digest(&self.der).into();
        Digest::from_bytes(&hash)
    }

    /// SHA-256 of its SubjectPublicKeyInfo: what stays when it is renewed over the same key.
    #[must_use]
    pub fn key_fingerprint(&self) -> Digest {
        let hash: [u8; 32] = Sha256::digest(&self.spki).into();
        Digest::from_bytes(&hash)
    }

    /// A server set-up with this certificate. It keeps no session tickets: hundreds of them share one process.
    ///
    /// # Errors
    /// [`TlsError`] when the library refuses.
    pub fn server(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let failed = |e| TlsError::Config(self.name.clone(), e);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from(self.der.clone())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(failed)?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The PKCS #8 form of an Ed25519 key (RFC 8410 §7): a fixed head and the 32 bytes.
fn ed25519_pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(seed);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_label_has_the_same_fingerprint() {
        let one = Certified::derive(Seed(7), "a001-s01").unwrap();
        assert_eq!(one.fingerprint(), Certified::derive(Seed(7), "a001-s01").unwrap().fingerprint());
        assert_ne!(one.fingerprint(), Certified::derive(Seed(7), "a001-s02").unwrap().fingerprint());
        assert!(one.server().is_ok());
        let renewed = Certified::renewed(Seed(7), "a001-s01").unwrap();
        assert_ne!(one.fingerprint(), renewed.fingerprint());
        assert_eq!(one.key_fingerprint(), renewed.key_fingerprint());
    }
}
