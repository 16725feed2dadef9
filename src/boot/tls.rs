//! The same server over TLS 1.2 and 1.3. Its certificate is made here, once, and kept; no authority vouches for it: nodes know it by its
//! SHA-256, which stands on their kernel's command line.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::grants::Grants;
use super::server::{ServeOptions, listen};
use crate::model::Digest;

/// Where identities are handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Address; `None`: the one at which the script was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// TCP port.
    pub port: u16,
    /// SHA-256 of the certificate's DER: what a node trusts.
    pub sha256: Digest,
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate, or no private key.
    #[error("{} holds no {what} in PEM form", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// It could not be made.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("show the certificate of {}", path.display())]
    Unfit {
        /// Of which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Its time is over, or has not come.
    #[error("the certificate of {} {what} {when}", path.display())]
    Dates {
        /// Of which file.
        path: PathBuf,
        /// `expired at`, `is not valid before`.
        what: &'static str,
        /// The date that it names.
        when: jiff::Timestamp,
    },
}

/// A certificate with its key. It has no `Debug`: it holds the key.
#[derive(Clone)]
pub struct Shown {
    config: Arc<rustls::ServerConfig>,
    sha256: Digest,
    key_pin: String,
}

impl Shown {
    /// The server's own, from this file (key and certificate, mode 0600), which is made when it is not there. Several processes may ask at
    /// once: one makes it, all show it.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn own(path: &Path) -> Result<Self, TlsError> {
        let fail = |source| TlsError::File { path: path.to_owned(), source };
        if !path.try_exists().map_err(fail)? {
            let (certificate, key) = made().map_err(TlsError::Make)?;
            let part = path.with_extension(format!("{:016x}.part", rand::random::<u64>()));
            let written =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).and_then(|mut file| {
                    file.write_all(key.as_bytes())?;
                    file.write_all(certificate.as_bytes())?;
                    file.sync_all()
                });
            // A link, not a rename: who comes second must not replace what the first shows already.
            let linked = written.and_then(|()| std::fs::hard_link(&part, path));
            drop(std::fs::remove_file(&part));
            match linked {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(fail)?,
            }
        }
        Self::read(path, path).map(|(shown, _)| shown)
    }

    /// The site's own: a certificate with those that vouch for it, and its key, both in PEM form. Nodes look at no date, but a site's other clients do.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn of_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (shown, leaf) = Self::read(certificate, key)?;
        match dates(&leaf, UnixTime::now()) {
            Some((what, when)) => Err(TlsError::Dates { path: certificate.to_owned(), what, when }),
            None => Ok(shown),
        }
    }

    fn read(certificate: &Path, key: &Path) -> Result<(Self, CertificateDer<'static>), TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source });
        let no = |path: &Path, what| TlsError::Pem { path: path.to_owned(), what };
        let (pem, key_pem) = (read(certificate)?, zeroize::Zeroizing::new(read(key)?));
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no(certificate, "certificate"))?;
        let leaf = chain.first().ok_or_else(|| no(certificate, "certificate"))?.clone();
        let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| no(key, "private key"))?;
        let unfit = |source| TlsError::Unfit { path: certificate.to_owned(), source };
        let digest = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
        let spki = ParsedCertificate::try_from(&leaf).map_err(unfit)?.subject_public_key_info();
        let key_pin = format!("sha256//{}", base64::engine::general_purpose::STANDARD.encode(digest(&spki)));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unfit)?;
        // A node comes once; nothing is kept for a second time.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Self { config: Arc::new(config), sha256: Digest::from_bytes(&digest(&leaf)), key_pin }, leaf))
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// The same of its public key, as curl's `--pinnedpubkey` takes it (`sha256//…`).
    #[must_use]
    pub fn key_pin(&self) -> &str {
        &self.key_pin
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// What is wrong with the dates of a certificate at this time. The TLS library reads them first of all when it is asked to verify (rustls-webpki,
/// `check_issuer_independent_properties`); what else it finds wrong is nothing that a node cares about. Dates that cannot be read are none.
fn dates(leaf: &CertificateDer<'_>, now: UnixTime) -> Option<(&'static str, jiff::Timestamp)> {
    let mut roots = RootCertStore::empty();
    // Any will do, and none may not be.
    roots.add(leaf.clone().into_owned()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().ok()?;
    let name = ServerName::try_from("bringup.invalid").ok()?;
    let at = |time: UnixTime| jiff::Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok();
    match verifier.verify_server_cert(leaf, &[], &name, &[], now) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(("expired at", at(not_after)?))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Some(("is not valid before", at(not_before)?))
        }
        _ => None,
    }
}

/// A certificate over a fresh key on P-256, which every TLS library of a node knows; certificate and key as PEM. Its dates say nothing: a node's
/// clock may be years off, and the certificate is trusted by its digest.
fn made() -> Result<(String, zeroize::Zeroizing<String>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec!["bringup.invalid".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "bringup boot server");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((params.self_signed(&key)?.pem(), zeroize::Zeroizing::new(key.serialize_pem())))
}

/// Serves over TLS as [`super::serve_with`] does without; identities are handed out here alone.
pub async fn serve_https(listener: TcpListener, shown: Shown, grants: Grants, options: ServeOptions, stop: CancellationToken) {
    listen(listener, Some(shown.acceptor()), grants, options, stop).await;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot-server.pem");
        let many: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Shown::own(&path).unwrap().sha256().clone())
            })
            .collect();
        let first = Shown::own(&path).unwrap();
        assert!(many.into_iter().all(|t| t.join().unwrap() == *first.sha256()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no part is left");
        assert!(first.key_pin().starts_with("sha256//"));
    }

    #[test]
    fn files_that_do_not_fit_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, text) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("text"));
        drop((Shown::own(&a).unwrap(), Shown::own(&b).unwrap()));
        std::fs::write(&text, "no PEM").unwrap();
        assert!(matches!(Shown::of_files(&a, &b), Err(TlsError::Unfit { .. })), "another's key");
        assert!(matches!(Shown::of_files(&text, &a), Err(TlsError::Pem { what: "certificate", .. })));
        assert!(matches!(Shown::of_files(&a, &text), Err(TlsError::Pem { what: "private key", .. })));
        assert!(matches!(Shown::own(&dir.path().join("no/folder")), Err(TlsError::File { .. })));
    }

    #[test]
    fn dates_are_looked_at_of_a_sites_own_certificate_alone() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["boot.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 1, 2);
        params.not_after = rcgen::date_time_ymd(2025, 3, 4);
        let by = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let authority = rcgen::Issuer::new(CertificateParams::new(vec![]).unwrap(), &by);
        // Its own, and one that an authority vouches for.
        for leaf in [params.self_signed(&key).unwrap(), params.signed_by(&key, &authority).unwrap()] {
            let at = |text: &str| {
                let seconds = text.parse::<jiff::Timestamp>().unwrap().as_second();
                let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.unsigned_abs()));
                dates(leaf.der(), now).map(|(what, when)| format!("{what} {when}"))
            };
            assert_eq!(at("2024-01-01T23:59:59Z").unwrap(), "is not valid before 2024-01-02T00:00:00Z");
            assert_eq!((at("2024-01-02T00:00:00Z"), at("2025-03-04T00:00:00Z")), (None, None));
            assert_eq!(at("2025-03-04T00:00:01Z").unwrap(), "expired at 2025-03-04T00:00:00Z");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("pem");
            std::fs::write(&path, leaf.pem() + &key.serialize_pem()).unwrap();
            assert!(matches!(Shown::of_files(&path, &path), Err(TlsError::Dates { .. })));
            // The one that is made here is trusted by its digest alone, and a clock may be wrong.
            assert!(Shown::own(&path).is_ok());
        }
    }
}
