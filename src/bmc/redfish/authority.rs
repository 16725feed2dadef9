//! The site's own certificate authority: a chain of signatures and dates, and the name when the inventory gives one. BMCs are misnamed as a rule,
//! so that without a written name any certificate of the authority speaks for any BMC of the site: give it BMCs alone to sign for.

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// Most certificates that a file may hold.
const MOST: usize = 64;

/// Why an authority cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuthorityError {
    /// Nothing in the text, or no PEM.
    #[error("it holds no certificate in PEM form")]
    Empty,
    /// A certificate that cannot be an anchor.
    #[error("its certificate {0} cannot be read")]
    Unusable(usize),
    /// Too many.
    #[error("it holds more than {MOST} certificates")]
    Many,
    /// The name cannot be in a certificate.
    #[error("`{0}` is neither a DNS name nor an address")]
    Name(String),
}

/// A certificate authority, and the name that it must vouch for.
pub struct Authority {
    /// What to call it in errors.
    called: String,
    roots: RootCertStore,
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.called)
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the certificate authority {}", self.called)
    }
}

impl Authority {
    /// Reads the PEM text of `called`; `name` is what the BMC's certificate must be made out to, a DNS name or an address.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn read(called: impl Into<String>, pem: &[u8], name: Option<&str>) -> Result<Self, AuthorityError> {
        let mut roots = RootCertStore::empty();
        for (at, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            if at == MOST {
                return Err(AuthorityError::Many);
            }
            let bad = || AuthorityError::Unusable(at + 1);
            roots.add(certificate.map_err(|_| bad())?).map_err(|_| bad())?;
        }
        if roots.is_empty() {
            return Err(AuthorityError::Empty);
        }
        let name = match name {
            Some(text) => Some(ServerName::try_from(text.to_owned()).map_err(|_| AuthorityError::Name(text.to_owned()))?),
            None => None,
        };
        Ok(Self { called: called.into(), roots, name })
    }

    /// Checks a certificate; says why it is not vouched for.
    pub(super) fn vouches(&self, leaf: &[u8], intermediates: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let der = CertificateDer::from(leaf);
        let parsed = ParsedCertificate::try_from(&der).map_err(|e| words(&e))?;
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms.all)
            .map_err(|e| words(&e))?;
        match &self.name {
            Some(name) => verify_server_name(&parsed, name).map_err(|_| format!("it is not made out to {}", name.to_str())),
            None => Ok(()),
        }
    }
}

/// The library's error in the words of this room.
fn words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "it has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
            Bad::UnknownIssuer => "it was signed by somebody else".to_owned(),
            Bad::BadSignature => "a signature in its chain is wrong".to_owned(),
            other => format!("{other:?}").chars().take(200).collect(),
        },
        other => other.to_string().chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_chain_is_checked_and_a_name_only_when_one_is_written() {
        let (ours, theirs) = (issuer("rack authority"), issuer("somebody"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a1-s1.bmc.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let leaf = params.signed_by(&key, &ours).unwrap();
        let (now, late) = (UnixTime::now(), UnixTime::since_unix_epoch(Duration::from_secs(2_500_000_000)));
        let read = |name| Authority::read("rack.pem", ours.pem().as_bytes(), name).unwrap();
        assert_eq!(read(None).vouches(leaf.der(), &[], now), Ok(()));
        assert_eq!(read(Some("a1-s1.bmc.example")).vouches(leaf.der(), &[], now), Ok(()));
        let why = |name, now| read(name).vouches(leaf.der(), &[], now).unwrap_err();
        assert_eq!(why(Some("a1-s2.bmc.example"), now), "it is not made out to a1-s2.bmc.example");
        assert_eq!(why(None, late), "it has expired");
        let other = Authority::read("rack.pem", theirs.pem().as_bytes(), None).unwrap();
        assert_eq!(other.vouches(leaf.der(), &[], now).unwrap_err(), "it was signed by somebody else");
        assert!(other.vouches(b"nothing", &[], now).is_err());
        assert_eq!(Authority::read("x", b"words", None).unwrap_err(), AuthorityError::Empty);
        assert_eq!(Authority::read("x", ours.pem().as_bytes(), Some("a b")).unwrap_err(), AuthorityError::Name("a b".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_an_authority_or_an_error(text in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Authority::read("x", &text, None));
            let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
            pem.extend(&text);
            pem.extend(b"\n-----END CERTIFICATE-----\n");
            drop(Authority::read("x", &pem, None));
        }
    }
}
