//! A BMC's own self-signed certificate, derived from the farm's seed so that a fingerprint once recorded stays true. The key is as public as
//! the seed: it protects nothing and is never used outside the simulator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519, PublicKeyData as _, SerialNumber};
use rustls::pki_types::pem::PemObject as _;
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
        let chain = vec![CertificateDer::from(self.der.clone())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        config(chain, key).map_err(|e| TlsError::Config(self.name.clone(), e))
    }
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a BMC shows in its handshakes; it can be replaced while the BMC runs.
pub struct Shown(Mutex<Held>);

struct Held {
    now: Pair,
    /// Shown from the BMC's next start on, and how often it had been restarted when it was put there.
    next: Option<(u32, Pair)>,
    /// Key of the last signing request, as PKCS #8.
    requested: Option<Vec<u8>>,
    replaced: u32,
}

#[derive(Clone)]
struct Pair {
    config: Arc<rustls::ServerConfig>,
    leaf: CertificateDer<'static>,
}

impl Shown {
    /// Shows this certificate.
    ///
    /// # Errors
    /// As [`Certified::server`].
    pub fn new(certified: &Certified) -> Result<Self, TlsError> {
        let now = Pair { config: certified.server()?, leaf: CertificateDer::from(certified.der.clone()) };
        Ok(Self(Mutex::new(Held { now, next: None, requested: None, replaced: 0 })))
    }

    fn held(&self, restarts: u32) -> MutexGuard<'_, Held> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.next.as_ref().is_some_and(|(since, _)| restarts > *since)
            && let Some((_, pair)) = held.next.take()
        {
            held.now = pair;
        }
        held
    }

    /// The set-up for the next handshake of a BMC that was restarted so often.
    #[must_use]
    pub fn server(&self, restarts: u32) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.held(restarts).now.config)
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn pem(&self, restarts: u32) -> String {
        pem(&self.held(restarts).now.leaf)
    }

    /// How often another one was taken.
    #[must_use]
    pub fn replaced(&self) -> u32 {
        self.held(0).replaced
    }

    /// A signing request (PEM) with a new key, which is kept for the certificate that answers it.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] when the library refuses the names.
    pub fn request(&self, subject: &[(DnType, String)], names: Vec<String>) -> Result<String, TlsError> {
        let failed = |e| TlsError::Certificate("signing request".to_owned(), e);
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let mut params = CertificateParams::new(names).map_err(failed)?;
        for (kind, text) in subject {
            params.distinguished_name.push(kind.clone(), text.as_str());
        }
        let request = params.serialize_request(&pair).map_err(failed)?.pem().map_err(failed)?;
        self.held(0).requested = Some(pair.serialize_der());
        Ok(request)
    }

    /// Takes a chain, with its key in the same text or with that of the last signing request. `late`: it is shown from the next start on.
    /// `false` when it is no certificate, or the key is not its own.
    pub fn replace(&self, text: &str, restarts: u32, late: bool) -> bool {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let mut held = self.held(restarts);
        let own = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok();
        let requested = held.requested.clone().map(|key| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)));
        let (Ok(chain), Some(key)) = (chain, own.or(requested)) else { return false };
        let Some(leaf) = chain.first().cloned() else { return false };
        let Ok(config) = config(chain, key) else { return false };
        let pair = Pair { config, leaf };
        if late {
            held.next = Some((restarts, pair));
        } else {
            held.now = pair;
        }
        held.replaced += 1;
        true
    }
}

/// RFC 7468 text of a certificate.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
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

    #[test]
    fn another_certificate_is_shown_at_once_or_from_the_next_start_on() {
        let shown = Shown::new(&Certified::derive(Seed(7), "a001-s01").unwrap()).unwrap();
        let (first, other) = (shown.pem(0), Certified::derive(Seed(7), "other").unwrap());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(other.key.clone()), &PKCS_ED25519).unwrap();
        let text = format!("{}{}", pem(&other.der), key.serialize_pem());
        assert!(!shown.replace(&pem(&other.der), 0, false), "no key");
        assert!(!shown.replace("nothing", 0, false));
        assert!(shown.replace(&text, 0, true));
        assert_eq!(shown.pem(0), first);
        assert_eq!((shown.pem(1), shown.replaced()), (pem(&other.der), 1));
        let request = shown.request(&[(DnType::CommonName, "x".to_owned())], vec!["x.example".to_owned()]).unwrap();
        assert!(request.contains("CERTIFICATE REQUEST"));
        assert!(!shown.replace(&pem(&other.der), 1, false), "the request's key is not this one's");
    }
}
