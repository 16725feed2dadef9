//! Opens a connection to one BMC: TCP, TLS, and the judgement on its certificate. Every failure here comes before a byte of any request.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::oldtls;
use super::transport::{Broke, Broken};
use super::trust::Trust;

/// Anything that HTTP can be spoken over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How one BMC is connected to.
pub(super) struct Dialer {
    address: SocketAddr,
    trust: Trust,
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Dialer {
    pub(super) fn new(address: SocketAddr, trust: Trust) -> Result<Self, Error> {
        let tls = if trust.tls() { Some(Arc::new(trust.client_config()?).into()) } else { None };
        Ok(Self { address, trust, tls })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// One connection, over which a credential may be sent.
    pub(super) async fn dial(&self, until: Instant) -> Result<Box<dyn Stream>, Broken> {
        let tcp = match timeout_at(until, TcpStream::connect(self.address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(e)) => return Err(Broken::new(Broke::Connect, false, "no connection").because(e)),
            Err(_) => return Err(Broken::new(Broke::Connect, false, "no connection before the deadline")),
        };
        // Small requests must not wait for Nagle; a failure here costs speed only.
        drop(tcp.set_nodelay(true));
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = match timeout_at(until, tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(self.trouble(e, until).await),
            Err(_) => return Err(Broken::new(Broke::TimedOut, false, "the TLS handshake did not end before the deadline")),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if leaf.is_some_and(|leaf| self.trust.completed(leaf)) { Ok(Box::new(stream)) } else { Err(self.wrong_certificate()) }
    }

    fn wrong_certificate(&self) -> Broken {
        Broken::new(Broke::Certificate, false, self.trust.refusal())
    }

    async fn trouble(&self, e: std::io::Error, until: Instant) -> Broken {
        let of = |how, seen: String| Broken::new(how, false, seen);
        match e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => self.wrong_certificate(),
            // rustls has no RSA key exchange and nothing older than TLS 1.2 (RC-02, RC-03); one look tells which of them it is.
            Some(
                Error::AlertReceived(
                    AlertDescription::HandshakeFailure
                    | AlertDescription::ProtocolVersion
                    | AlertDescription::InsufficientSecurity
                    | AlertDescription::IllegalParameter,
                )
                | Error::PeerIncompatible(_),
            ) => {
                let old = oldtls::ask(self.address, until).await;
                let seen = format!(
                    "no common TLS: {old}; update the BMC's firmware or its TLS settings, or reach it by IPMI (`driver: ipmi`)"
                );
                of(Broke::Tls, seen).because(e)
            }
            Some(Error::InvalidMessage(_)) => of(Broke::Tls, "what answers does not speak TLS".to_owned()).because(e),
            Some(_) => of(Broke::Tls, "the TLS handshake failed".to_owned()).because(e),
            None => of(Broke::Lost, "the connection ended during the TLS handshake".to_owned()).because(e),
        }
    }
}
