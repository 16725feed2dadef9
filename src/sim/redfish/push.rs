//! One push of one event to one subscriber, over HTTPS as BMCs do it: the certificate of the other side is not looked at, and the answer is waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;

/// Longest time for one push.
const LONGEST: Duration = Duration::from_secs(5);

/// Why a push did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The destination cannot be read.
    #[error("the destination is no https address")]
    Destination,
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// It broke on the way.
    #[error("the push broke")]
    Broke(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn broke(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PushError {
    PushError::Broke(error.into())
}

/// Pushes one event; gives the status of the answer.
///
/// # Errors
/// [`PushError`].
pub async fn push(destination: &str, body: String) -> Result<u16, PushError> {
    tokio::time::timeout(LONGEST, send(destination, body)).await.map_err(|_| PushError::Late)?
}

async fn send(destination: &str, body: String) -> Result<u16, PushError> {
    let rest = destination.strip_prefix("https://").ok_or(PushError::Destination)?;
    let (authority, path) = rest.split_once('/').map_or((rest, String::from("/")), |(a, p)| (a, format!("/{p}")));
    let (host, _) = authority.rsplit_once(':').ok_or(PushError::Destination)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| PushError::Destination)?;
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(broke)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind))
        .with_no_client_auth();
    let tcp = TcpStream::connect(authority).await.map_err(broke)?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(broke)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(broke)?;
    let request = Request::post(path)
        .header("Host", authority)
        .header("Content-Type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(broke)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => Ok(answer.map_err(broke)?.status().as_u16()),
        ended = &mut connection => {
            ended.map_err(broke)?;
            Ok(answer.await.map_err(broke)?.status().as_u16())
        }
    }
}

/// Looks at no certificate.
#[derive(Debug)]
struct Blind;

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
