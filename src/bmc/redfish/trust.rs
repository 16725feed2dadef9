//! Which certificate a BMC may show. One trust, one TLS configuration and one record per BMC: nothing is shared, so no pin can leak to another
//! BMC. It checks the leaf certificate by its SHA-256 and the handshake signature by the ring provider; it never looks at names, dates or
//! issuers (a BMC's certificate is self-signed, misnamed and expired as a rule), and it never sends a credential.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::model::{BmcTrust, Digest};

/// What to do when the inventory records no fingerprint yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstContact {
    /// Fail and report the fingerprint; nothing but the handshake is sent.
    Refuse,
    /// Accept what is shown, and from then on only that. The caller records it.
    Accept,
}

/// SHA-256 of a certificate's DER.
fn fingerprint(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// Lower-case hex of a fingerprint.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Debug, Default)]
struct Record {
    /// The only certificate that is accepted, once there is one.
    accepted: Option<[u8; 32]>,
    /// The certificate shown last, accepted or not.
    seen: Option<[u8; 32]>,
}

/// The trust in one BMC. Cheap to clone; clones share the record.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    record: Arc<Mutex<Record>>,
    first_contact: FirstContact,
    /// False for plain HTTP.
    tls: bool,
}

impl Trust {
    /// The trust that the inventory asks for.
    pub(super) fn new(trust: &BmcTrust, first_contact: FirstContact) -> Self {
        let (accepted, tls) = match trust {
            BmcTrust::Pinned(digest) => (unhex(digest), true),
            BmcTrust::FirstContact => (None, true),
            BmcTrust::Plaintext => (None, false),
        };
        // A recorded pin leaves nothing to a first contact.
        let first_contact = if matches!(trust, BmcTrust::Pinned(_)) { FirstContact::Refuse } else { first_contact };
        Self { record: Arc::new(Mutex::new(Record { accepted, seen: None })), first_contact, tls }
    }

    /// True when TLS is to be spoken.
    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    fn with<T>(&self, f: impl FnOnce(&mut Record) -> T) -> T {
        f(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The fingerprint shown last, as hex.
    pub(super) fn seen(&self) -> Option<String> {
        self.with(|r| r.seen.as_ref().map(hex))
    }

    /// The accepted fingerprint, once a handshake has completed with it.
    pub(super) fn certificate(&self) -> Option<Digest> {
        self.with(|r| r.accepted.filter(|a| r.seen == Some(*a))).and_then(|a| Digest::new(hex(&a)).ok())
    }

    /// Called when a handshake has completed, its signature verified: only now does a first contact become the record.
    /// False when the certificate is not the accepted one after all (two first contacts that saw different certificates).
    pub(super) fn completed(&self, leaf: &[u8]) -> bool {
        let shown = fingerprint(leaf);
        let first = self.first_contact == FirstContact::Accept;
        self.with(|r| {
            r.seen = Some(shown);
            match r.accepted {
                Some(accepted) => accepted == shown,
                None if first => {
                    r.accepted = Some(shown);
                    true
                }
                None => false,
            }
        })
    }

    /// What is accepted, in words for an error.
    pub(super) fn wanted(&self) -> String {
        match self.with(|r| r.accepted) {
            Some(accepted) => format!("the recorded certificate is {}", hex(&accepted)),
            None => "none is recorded and first contact was not allowed".to_owned(),
        }
    }

    /// A TLS configuration for this BMC alone. No resumption cache: it costs memory per BMC and a ticket would outlive the check.
    pub(super) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = provider();
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(LeafPin { trust: self.clone(), provider }))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// The algorithms, which hold no trust and are the same for every BMC.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}

/// The 32 bytes of a digest; a [`Digest`] is 64 hex digits by construction, and anything else would match nothing.
fn unhex(digest: &Digest) -> Option<[u8; 32]> {
    let mut out = [0_u8; 32];
    let text = digest.as_str();
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = text.get(2 * i..2 * i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())?;
    }
    Some(out)
}

/// Accepts exactly one leaf certificate.
#[derive(Debug)]
struct LeafPin {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LeafPin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = fingerprint(end_entity);
        let first = self.trust.first_contact == FirstContact::Accept;
        let ok = self.trust.with(|r| {
            r.seen = Some(shown);
            r.accepted.map_or(first, |accepted| accepted == shown)
        });
        if ok { Ok(ServerCertVerified::assertion()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
