//! TLS of the wrong age (RC-02, RC-03) by the system's OpenSSL, for BMCs whose inventory allows it: RSA key exchange, finite-field Diffie-Hellman,
//! TLS 1.0 and 1.1, and whatever else this OpenSSL was built with. The certificate is judged as always ([`super::trust`]), and before a byte of
//! any request is sent. Only in builds with the feature `old-tls`.

use std::pin::Pin;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_openssl::SslStream;

use super::dial::Stream;
use super::transport::{Broke, Broken};
use super::trust::Trust;

/// Everything with a key and a cipher, at OpenSSL's lowest security level: this is for what nothing better can reach.
const CIPHERS: &str = "ALL:!aNULL:!eNULL:@SECLEVEL=0";

/// How an old BMC is connected to.
pub(super) struct OldTls(SslConnector);

impl OldTls {
    pub(super) fn new() -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        // OpenSSL judges nothing: names, dates and issuers are this program's own affair, below.
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_min_proto_version(Some(SslVersion::TLS1))?;
        builder.set_cipher_list(CIPHERS)?;
        Ok(Self(builder.build()))
    }

    /// Speaks TLS on a new connection and judges the certificate; nothing else is sent.
    pub(super) async fn connect(&self, tcp: TcpStream, trust: &Trust, until: Instant) -> Result<Box<dyn Stream>, Broken> {
        let failed = |e: ErrorStack| Broken::new(Broke::Tls, false, "OpenSSL cannot be used").because(e);
        let mut configured = self.0.configure().map_err(failed)?;
        configured.set_verify_hostname(false);
        configured.set_use_server_name_indication(false);
        let ssl = configured.into_ssl("bmc").map_err(failed)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(failed)?;
        match timeout_at(until, Pin::new(&mut stream).connect()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Broken::new(Broke::Tls, false, "no common TLS, not even with OpenSSL").because(e)),
            Err(_) => return Err(Broken::new(Broke::TimedOut, false, "the TLS handshake did not end before the deadline")),
        }
        let der = |certificate: &openssl::x509::X509Ref| certificate.to_der().ok();
        let leaf = stream.ssl().peer_certificate().as_deref().and_then(der);
        let chain =
            stream.ssl().peer_cert_chain().map(|chain| chain.iter().skip(1).filter_map(der).collect()).unwrap_or_default();
        let chain: Vec<Vec<u8>> = chain;
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let accepted = leaf.is_some_and(|leaf| trust.judge(&leaf, &chain, UnixTime::now()) && trust.completed(&leaf));
        if accepted { Ok(Box::new(stream)) } else { Err(Broken::new(Broke::Certificate, false, trust.refusal())) }
    }
}
