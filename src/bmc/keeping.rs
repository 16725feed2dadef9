//! The BMC as a thing to be kept: accounts, its own certificate, its restarts, and the node's mains. Every write is read back.

use std::time::Duration;

use async_trait::async_trait;

use super::{Bmc, BmcError, Password, Written, lacks};
use crate::model::Reading;

/// One account on a BMC.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BmcAccount {
    /// Its place in the BMC's table.
    pub slot: String,
    /// User name; empty slots are left out.
    pub user: String,
    /// Role or privilege, in the BMC's words.
    pub role: Reading<String>,
    /// Whether it may log in.
    pub enabled: Reading<bool>,
    /// Whether it is locked after wrong passwords.
    pub locked: Reading<bool>,
}

/// The certificate that a BMC says it has, in its own words. What it really shows is [`ShownCertificate`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BmcCertificate {
    /// Where it is on the BMC.
    pub at: String,
    /// SHA-256 of its DER, where the BMC gives the certificate itself.
    pub sha256: Reading<crate::model::Digest>,
    /// Whom it is for.
    pub subject: Reading<String>,
    /// Who vouches for it.
    pub issuer: Reading<String>,
    /// Until when it is valid.
    pub until: Reading<String>,
}

/// The certificate that a BMC shows to whoever connects.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownCertificate {
    /// SHA-256 of its DER: what a pin records.
    pub sha256: crate::model::Digest,
    /// SHA-256 of its SubjectPublicKeyInfo: what a pin of the key records, and what stays when it is renewed over the same key.
    pub spki: Reading<crate::model::Digest>,
    /// The end of its validity (UTC, RFC 3339), as it says itself.
    pub until: Reading<String>,
    /// Whether what the inventory records accepts it. If not, nothing but the handshake was sent.
    pub accepted: bool,
}

/// SHA-256 of the first certificate of a PEM text: what a BMC will be known by when that is put on it.
///
/// # Errors
/// The text holds no certificate.
pub fn leaf_of(chain_pem: &str) -> Result<crate::model::Digest, &'static str> {
    use rustls::pki_types::pem::PemObject as _;
    use sha2::Digest as _;
    let leaf = rustls::pki_types::CertificateDer::from_pem_slice(chain_pem.as_bytes())
        .map_err(|_| "it holds no certificate in PEM text")?;
    let hash: [u8; 32] = sha2::Sha256::digest(&leaf).into();
    Ok(crate::model::Digest::from_bytes(&hash))
}

/// Whom a certificate is to be for. BMCs want every part (DSP0268, `GenerateCSR`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Common name.
    pub common_name: String,
    /// Organization.
    pub organization: String,
    /// Unit of the organization.
    pub unit: String,
    /// City or locality.
    pub city: String,
    /// State or province.
    pub state: String,
    /// Two letters.
    pub country: String,
    /// Further names and addresses.
    pub names: Vec<String>,
}

/// The keeping half of a BMC.
#[async_trait]
pub trait Keeping: Bmc {
    /// Accounts.
    async fn accounts(&self) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
        Err(lacks("read accounts"))
    }
    /// Sets the password of `user` and proves it by one login with the new one, and by one with the old where the new one is refused; never by
    /// more. The caller journals before and after: the old password may be the only way in until this is `Applied`.
    async fn set_password(&self, _user: &str, _new: &Password) -> Written {
        Written::NotApplied(lacks("set a password"))
    }
    /// Proves, by one login of its own, whether the account has this password.
    async fn proves(&self, _user: &str, _password: &Password) -> Result<bool, BmcError> {
        Err(lacks("prove a password"))
    }
    /// The certificate that a new connection shows, accepted or not; `Absent` without TLS. No credential is sent.
    async fn shown_certificate(&self) -> Result<Reading<ShownCertificate>, BmcError> {
        Err(lacks("read the certificate"))
    }
    /// The certificate that the BMC says it has.
    async fn own_certificate(&self) -> Result<Reading<BmcCertificate>, BmcError> {
        Err(lacks("read the certificate"))
    }
    /// Replaces the BMC's certificate with this chain (PEM, its own first), with its key or with that of the last signing request, and proves it
    /// by new connections until `deadline` (from now): one that shows it. From then on this hand trusts the new one.
    async fn replace_certificate(&self, _chain_pem: &str, _key_pem: Option<&Password>, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("replace the certificate"))
    }
    /// Asks the BMC for a certificate signing request (PEM).
    async fn signing_request(&self, _subject: &Subject) -> Result<String, BmcError> {
        Err(lacks("make a signing request"))
    }
    /// Restarts the BMC and proves it: away or a new start time, then three stable reads.
    async fn reset_bmc(&self, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("restart the BMC"))
    }
    /// Takes the node's standby power away and gives it back; proved by the BMC's own restart (RC-59).
    async fn ac_cycle(&self, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("cycle the mains"))
    }
}
