//! Which certificate a BMC may show. One trust, one TLS configuration and one record per BMC: nothing is shared, so no pin can leak to another
//! BMC. What is checked:
//!
//! | trust | the certificate | name and dates |
//! |---|---|---|
//! | pinned | is the recorded one, byte for byte | not looked at: a BMC's are wrong as a rule |
//! | pinned key | any over the recorded key, so a renewed one passes | not looked at |
//! | authority | chains up to the site's authority | dates always; the name when the inventory gives one |
//! | first contact | the first that is seen, when allowed, and from then on only that | not looked at |
//!
//! In every case the handshake is signed with the certificate's key. It never sends a credential.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::authority::Authority;
use super::certificate::{Shown, hex, signed};
use crate::model::{BmcTrust, Digest};

/// What to do when the inventory records no fingerprint yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstContact {
    /// Fail and report the fingerprint; nothing but the handshake is sent.
    Refuse,
    /// Accept what is shown, and from then on only that. The caller records it.
    Accept,
}

/// What is accepted.
#[derive(Debug, Clone)]
enum Wanted {
    /// This certificate.
    Leaf([u8; 32]),
    /// Any certificate over this key.
    Key([u8; 32]),
    /// What the site's authority vouches for.
    Authority(Arc<Authority>),
    /// Whatever comes first.
    Anything,
    /// Nothing.
    Nothing,
}

#[derive(Debug)]
struct Record {
    wanted: Wanted,
    /// What was accepted last, its handshake completed.
    accepted: Option<Shown>,
    /// What was shown last, accepted or not.
    seen: Option<Shown>,
    /// Why the authority's check failed.
    why: Option<String>,
}

/// The trust in one BMC. Cheap to clone; clones share the record.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    record: Arc<Mutex<Record>>,
    /// False for plain HTTP.
    tls: bool,
}

impl Trust {
    /// The trust that the inventory asks for. `authority` is the site's, for [`BmcTrust::Authority`]; without it nothing is accepted.
    pub(super) fn new(trust: &BmcTrust, first_contact: FirstContact, authority: Option<Authority>) -> Self {
        let wanted = match (trust, first_contact) {
            (BmcTrust::Pinned(digest), _) => unhex(digest).map_or(Wanted::Nothing, Wanted::Leaf),
            (BmcTrust::PinnedKey(digest), _) => unhex(digest).map_or(Wanted::Nothing, Wanted::Key),
            (BmcTrust::Authority { .. }, _) => authority.map_or(Wanted::Nothing, |a| Wanted::Authority(Arc::new(a))),
            // A recorded pin leaves nothing to a first contact.
            (BmcTrust::FirstContact, FirstContact::Accept) => Wanted::Anything,
            (BmcTrust::FirstContact, FirstContact::Refuse) | (BmcTrust::Plaintext, _) => Wanted::Nothing,
        };
        let record = Record { wanted, accepted: None, seen: None, why: None };
        Self { record: Arc::new(Mutex::new(record)), tls: *trust != BmcTrust::Plaintext }
    }

    /// True when TLS is to be spoken.
    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    /// By what a certificate is accepted, for people.
    pub(super) fn kind(&self) -> &'static str {
        self.with(|r| match r.wanted {
            Wanted::Leaf(_) => "the recorded certificate",
            Wanted::Key(_) => "a certificate over the recorded key",
            Wanted::Authority(_) => "a certificate of the site's authority",
            Wanted::Anything => "the certificate of a first contact",
            Wanted::Nothing => "no certificate",
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Record) -> T) -> T {
        f(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The fingerprint shown last, as hex.
    pub(super) fn seen(&self) -> Option<String> {
        self.with(|r| r.seen.map(|shown| hex(&shown.leaf)))
    }

    /// What was shown last, accepted or not.
    pub(super) fn last(&self) -> Option<Shown> {
        self.with(|r| r.seen)
    }

    /// The accepted fingerprint, once a handshake has completed with it.
    pub(super) fn certificate(&self) -> Option<Digest> {
        self.with(|r| r.accepted).map(|shown| Digest::from_bytes(&shown.leaf))
    }

    /// The accepted key, once a handshake has completed with it.
    pub(super) fn key(&self) -> Option<Digest> {
        self.with(|r| r.accepted).and_then(|shown| shown.key).map(|key| Digest::from_bytes(&key))
    }

    /// Why a certificate that is to be put on this BMC would not be accepted afterwards; `None` when it would be, or when the pin moves with it.
    pub(super) fn would_refuse(&self, leaf: &[u8], intermediates: &[CertificateDer<'_>]) -> Option<String> {
        match self.with(|r| r.wanted.clone()) {
            Wanted::Authority(authority) => authority
                .vouches(leaf, intermediates, UnixTime::now())
                .err()
                .map(|why| format!("{authority} does not accept it: {why}")),
            Wanted::Leaf(_) | Wanted::Key(_) | Wanted::Anything | Wanted::Nothing => None,
        }
    }

    /// The BMC's certificate was replaced by this one, and that was seen: a pin moves to it.
    pub(super) fn replaced(&self, leaf: &[u8]) {
        let shown = Shown::of(leaf);
        self.with(|r| {
            r.wanted = match (&r.wanted, shown.key) {
                (Wanted::Authority(authority), _) => Wanted::Authority(Arc::clone(authority)),
                (Wanted::Key(_), Some(key)) => Wanted::Key(key),
                _ => Wanted::Leaf(shown.leaf),
            };
            (r.accepted, r.seen) = (Some(shown), Some(shown));
        });
    }

    /// Judges a certificate that is shown. Nothing is recorded but that it was seen.
    pub(super) fn judge(&self, leaf: &[u8], intermediates: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let shown = Shown::of(leaf);
        let wanted = self.with(|r| {
            (r.seen, r.why) = (Some(shown), None);
            r.wanted.clone()
        });
        match wanted {
            Wanted::Leaf(pin) => shown.leaf == pin,
            Wanted::Key(pin) => shown.key == Some(pin),
            Wanted::Anything => true,
            Wanted::Nothing => false,
            Wanted::Authority(authority) => match authority.vouches(leaf, intermediates, now) {
                Ok(()) => true,
                Err(why) => {
                    self.with(|r| r.why = Some(why));
                    false
                }
            },
        }
    }

    /// Called when a handshake has completed, its signature verified: only now does a first contact become the record.
    /// False when the certificate is not the accepted one after all (two first contacts that saw different certificates).
    pub(super) fn completed(&self, leaf: &[u8]) -> bool {
        let shown = Shown::of(leaf);
        self.with(|r| {
            r.seen = Some(shown);
            let accepted = match &r.wanted {
                Wanted::Leaf(pin) => shown.leaf == *pin,
                Wanted::Key(pin) => shown.key == Some(*pin),
                // The chain was checked in the handshake that has just completed.
                Wanted::Authority(_) => true,
                Wanted::Anything => true,
                Wanted::Nothing => false,
            };
            if accepted {
                r.accepted = Some(shown);
                if matches!(r.wanted, Wanted::Anything) {
                    r.wanted = Wanted::Leaf(shown.leaf);
                }
            }
            accepted
        })
    }

    /// Why the certificate that was shown last is not accepted, and what to do: one text for people, with both fingerprints.
    pub(super) fn refusal(&self) -> String {
        self.with(|r| {
            let Some(seen) = r.seen else { return "it showed no certificate".to_owned() };
            let shown = match seen.key {
                Some(key) => format!("{} (key spki:{})", hex(&seen.leaf), hex(&key)),
                None => format!("{} (whose key cannot be found)", hex(&seen.leaf)),
            };
            let changed = match r.accepted {
                Some(before) => format!("; it was {} when this program connected before, so it changed just now", hex(&before.leaf)),
                None => String::new(),
            };
            let act = "if its firmware was updated or its certificate replaced, compare it with the BMC's own page or console and \
                       record it in the facts (bmc_cert_sha256); if nobody did that, somebody else may be answering";
            match &r.wanted {
                Wanted::Leaf(pin) => format!("it showed certificate {shown}; the recorded certificate is {}{changed}; {act}", hex(pin)),
                Wanted::Key(pin) => {
                    format!("it showed certificate {shown}; the recorded key is spki:{}{changed}; {act}", hex(pin))
                }
                Wanted::Authority(authority) => {
                    let why = r.why.as_deref().unwrap_or("it is not vouched for");
                    format!("it showed certificate {shown}; {authority} does not accept it: {why}{changed}")
                }
                Wanted::Anything | Wanted::Nothing => format!(
                    "it showed certificate {shown}; none is recorded and first contact was not allowed; compare it with the BMC's own \
                     and record it in the facts (bmc_cert_sha256), or allow first contact"
                ),
            }
        })
    }

    /// A TLS configuration for this BMC alone. No resumption cache: it costs memory per BMC and a ticket would outlive the check.
    pub(super) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = provider();
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge { trust: self.clone(), provider }))
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

/// Asks the trust about every certificate.
#[derive(Debug)]
struct Judge {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trust.judge(end_entity, intermediates, now) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms).or_else(|error| {
            if signed(algorithms, message, cert, dss, false) { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms).or_else(|error| {
            if signed(algorithms, message, cert, dss, true) { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) }
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
