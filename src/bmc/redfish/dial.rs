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

/// What is spoken over TCP.
enum Tls {
    /// None.
    Plain,
    /// TLS 1.2 and 1.3 with key exchanges that keep past traffic secret.
    Modern(tokio_rustls::TlsConnector),
    /// Anything, because the inventory allows it.
    #[cfg(feature = "old-tls")]
    Old(super::openssl::OldTls),
}

/// How one BMC is connected to.
pub(super) struct Dialer {
    address: SocketAddr,
    trust: Trust,
    tls: Tls,
    old: bool,
}

/// Why no connection can even be prepared.
pub(super) type Unprepared = Box<dyn std::error::Error + Send + Sync>;

impl Dialer {
    /// `old`: TLS of the wrong age is allowed.
    pub(super) fn new(address: SocketAddr, trust: Trust, old: bool) -> Result<Self, Unprepared> {
        let tls = if !trust.tls() {
            Tls::Plain
        } else if old {
            old_tls()?
        } else {
            Tls::Modern(Arc::new(trust.client_config()?).into())
        };
        Ok(Self { address, trust, tls, old })
    }

    /// Another one for the same BMC.
    pub(super) fn twin(&self) -> Result<Self, Unprepared> {
        self.under(self.trust.clone())
    }

    /// Another one for the same BMC under another trust.
    pub(super) fn under(&self, trust: Trust) -> Result<Self, Unprepared> {
        Self::new(self.address, trust, self.old)
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
        let tls = match &self.tls {
            Tls::Plain => return Ok(Box::new(tcp)),
            Tls::Modern(tls) => tls,
            #[cfg(feature = "old-tls")]
            Tls::Old(tls) => return tls.connect(tcp, &self.trust, until).await,
        };
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
                    "no common TLS: {old}; update the BMC's firmware or its TLS settings, allow old TLS for it (`bmc: {{old_tls: allowed, \
                     why: …}}`), or reach it by IPMI (`driver: ipmi`)"
                );
                of(Broke::Tls, seen).because(e)
            }
            Some(Error::InvalidMessage(_)) => of(Broke::Tls, "what answers does not speak TLS".to_owned()).because(e),
            Some(_) => of(Broke::Tls, "the TLS handshake failed".to_owned()).because(e),
            None => of(Broke::Lost, "the connection ended during the TLS handshake".to_owned()).because(e),
        }
    }
}

#[cfg(feature = "old-tls")]
fn old_tls() -> Result<Tls, Unprepared> {
    Ok(Tls::Old(super::openssl::OldTls::new()?))
}

#[cfg(not(feature = "old-tls"))]
fn old_tls() -> Result<Tls, Unprepared> {
    Err("old TLS is allowed for it, and this program was built without OpenSSL (cargo build --features old-tls)".into())
}
