//! Bytes to and from one BMC: TCP, TLS, HTTP/1.1, one exchange at a time per connection. It knows nothing of Redfish, never retries, never
//! follows a redirect, and says of every failure whether the request may have reached the BMC.
//!
//! Between exchanges only the TLS stream is kept, not HTTP's buffers (2 × 8 KiB in hyper): 12,500 waiting BMCs must fit in memory.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::limits::Limits;
use super::trust::Trust;

/// Anything that HTTP can be spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Pipe = Box<dyn Stream>;

/// A body that a request may have.
pub(super) trait Streamed:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static
{
}
impl<T: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static> Streamed for T {}

/// A whole answer.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// HTTP headers, at most 100 and 64 KiB.
    pub(super) headers: HeaderMap,
    /// The whole body.
    pub(super) body: Vec<u8>,
}

/// What broke an exchange.
#[derive(Debug)]
pub(super) enum Broke {
    /// No connection.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// The certificate was not accepted.
    Certificate,
    /// The connection ended before the answer did.
    Lost,
    /// A deadline passed.
    TimedOut,
    /// The answer is not HTTP, or over a limit.
    Malformed,
}

/// A failed exchange.
#[derive(Debug)]
pub(super) struct Broken {
    /// What broke.
    pub(super) how: Broke,
    /// True when the BMC may have acted on the request.
    pub(super) sent: bool,
    /// What was seen.
    pub(super) seen: String,
    /// The error beneath.
    pub(super) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Broken {
    fn new(how: Broke, sent: bool, seen: impl Into<String>) -> Self {
        Self { how, sent, seen: seen.into(), source: None }
    }

    /// A request that cannot be written down.
    pub(super) fn unaskable(source: http::Error) -> Self {
        Self::new(Broke::Malformed, false, "the link cannot be asked for").because(source)
    }

    fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// What an exchange may cost.
pub(super) struct Terms {
    /// When it must be over.
    pub(super) deadline: Instant,
    /// Use a kept connection only when it answered this recently.
    pub(super) reuse_within: Duration,
}

/// Most connections that wait. One waits as a rule; a second while two reads go on at once.
const KEPT: usize = 2;

struct Kept {
    pipe: Pipe,
    since: Instant,
}

/// The way to one BMC.
pub(super) struct Transport {
    address: SocketAddr,
    trust: Trust,
    tls: Option<tokio_rustls::TlsConnector>,
    limits: Limits,
    /// Connections that wait for the next request; the client's permits bound those in use.
    kept: Mutex<Vec<Kept>>,
}

impl Transport {
    /// A transport that has not connected yet.
    pub(super) fn new(address: SocketAddr, trust: Trust, limits: Limits) -> Result<Self, rustls::Error> {
        let tls = if trust.tls() { Some(Arc::new(trust.client_config()?).into()) } else { None };
        Ok(Self { address, trust, tls, limits, kept: Mutex::default() })
    }

    /// Keeps at most `most` waiting connections and closes the others.
    pub(super) fn trim(&self, most: usize) {
        self.waiting(|kept| kept.truncate(most));
    }

    fn waiting<T>(&self, f: impl FnOnce(&mut Vec<Kept>) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One request, one answer. The request is sent at most once; its body may be streamed.
    pub(super) async fn exchange<B: Streamed>(&self, request: Request<B>, terms: &Terms) -> Result<Answer, Broken> {
        let pipe = match self.take_kept(terms.reuse_within).await {
            Some(pipe) => pipe,
            None => self.connect(terms.deadline).await?,
        };
        let (answer, pipe) = timeout_at(terms.deadline, speak(pipe, request, &self.limits))
            .await
            .map_err(|_| Broken::new(Broke::TimedOut, true, "no whole answer before the deadline"))?;
        // The look also lets rustls shrink its buffer from a record's size (up to 18 KiB) to 4 KiB.
        if let Some(mut pipe) = pipe
            && silent(&mut pipe).await
        {
            self.waiting(|kept| {
                kept.push(Kept { pipe, since: Instant::now() });
                // The newest are the likeliest to be alive.
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            });
        }
        answer
    }

    /// The waiting connection, if it is fresh and silent. One that has been closed or has said something unasked is dropped, so that no
    /// request is written to a dead connection.
    async fn take_kept(&self, within: Duration) -> Option<Pipe> {
        let kept = self.waiting(Vec::pop)?;
        if kept.since.elapsed() > within {
            return None;
        }
        let mut pipe = kept.pipe;
        silent(&mut pipe).await.then_some(pipe)
    }

    async fn connect(&self, deadline: Instant) -> Result<Pipe, Broken> {
        let until = deadline.min(Instant::now() + self.limits.connect);
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
            Ok(Err(e)) => return Err(self.tls_trouble(e)),
            Err(_) => return Err(Broken::new(Broke::TimedOut, false, "the TLS handshake did not end before the deadline")),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if leaf.is_some_and(|leaf| self.trust.completed(leaf)) { Ok(Box::new(stream)) } else { Err(self.wrong_certificate()) }
    }

    fn wrong_certificate(&self) -> Broken {
        let seen = self.trust.seen().unwrap_or_else(|| "no certificate".to_owned());
        Broken::new(Broke::Certificate, false, format!("it showed certificate {seen}; {}", self.trust.wanted()))
    }

    fn tls_trouble(&self, e: std::io::Error) -> Broken {
        use rustls::{AlertDescription, CertificateError, Error};
        let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => self.wrong_certificate(),
            // rustls has no RSA key exchange and nothing older than TLS 1.2 (RC-02, RC-03).
            Some(
                Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
                | Error::PeerIncompatible(_),
            ) => Broken::new(
                Broke::Tls,
                false,
                "no common TLS: it may offer only TLS 1.1 or RSA key exchange, which are not spoken here",
            )
            .because(e),
            Some(Error::InvalidMessage(_)) => Broken::new(Broke::Tls, false, "what answers does not speak TLS").because(e),
            Some(_) => Broken::new(Broke::Tls, false, "the TLS handshake failed").because(e),
            None => Broken::new(Broke::Lost, false, "the connection ended during the TLS handshake").because(e),
        }
    }
}

/// True when the connection is open and says nothing.
async fn silent(pipe: &mut Pipe) -> bool {
    poll_fn(|cx| {
        let mut byte = [0_u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        Poll::Ready(std::pin::Pin::new(&mut *pipe).poll_read(cx, &mut buffer).is_pending())
    })
    .await
}

/// Speaks HTTP/1.1 over the pipe for one exchange and gives the pipe back when it can carry another.
async fn speak<B: Streamed>(pipe: Pipe, request: Request<B>, limits: &Limits) -> (Result<Answer, Broken>, Option<Pipe>) {
    let mut http = http1::Builder::new();
    http.max_buf_size(64 << 10);
    let (mut sender, mut connection) = match http.handshake::<_, B>(TokioIo::new(pipe)).await {
        Ok(pair) => pair,
        Err(e) => return (Err(Broken::new(Broke::Lost, false, "the connection was not ready").because(e)), None),
    };
    let mut over = false;
    let answer = {
        let mut work = pin!(ask(&mut sender, request, limits));
        poll_fn(|cx| {
            if !over && connection.poll_without_shutdown(cx).is_ready() {
                over = true;
            }
            if let Poll::Ready(answer) = work.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            // The work may have given the connection something to do.
            if !over && connection.poll_without_shutdown(cx).is_ready() {
                over = true;
                return work.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await
    };
    if answer.is_err() || over {
        return (answer, None);
    }
    let idle = poll_fn(|cx| {
        if connection.poll_without_shutdown(cx).is_ready() {
            return Poll::Ready(false);
        }
        sender.poll_ready(cx).map(|ready| ready.is_ok())
    });
    // Idle at once, or not worth keeping.
    if !timeout(Duration::from_millis(50), idle).await.unwrap_or(false) {
        return (answer, None);
    }
    let parts = connection.into_parts();
    (answer, parts.read_buf.is_empty().then(|| parts.io.into_inner()))
}

async fn ask<B: Streamed>(sender: &mut http1::SendRequest<B>, request: Request<B>, limits: &Limits) -> Result<Answer, Broken> {
    let response = sender.try_send_request(request).await.map_err(|mut e| {
        let unsent = e.take_message().is_some();
        let error = e.into_error();
        let (how, seen) = if error.is_parse() || error.is_parse_too_large() {
            (Broke::Malformed, "the answer is not HTTP/1.1")
        } else {
            (Broke::Lost, "the connection ended before an answer")
        };
        Broken::new(how, !unsent, seen).because(error)
    })?;
    let (head, mut body) = response.into_parts();
    let too_long = || Broken::new(Broke::Malformed, true, format!("the body is longer than {} bytes", limits.body));
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > limits.body as u64 {
        return Err(too_long());
    }
    let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(64 << 10));
    loop {
        let frame = timeout(limits.idle, body.frame()).await.map_err(|_| {
            Broken::new(Broke::TimedOut, true, format!("the body stood still for {} s", limits.idle.as_secs_f32()))
        })?;
        match frame {
            None => break,
            Some(Err(e)) => {
                return Err(Broken::new(Broke::Lost, true, format!("the body broke off after {} bytes", whole.len())).because(e));
            }
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                if whole.len() + data.len() > limits.body {
                    return Err(too_long());
                }
                whole.extend_from_slice(data);
            }
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: whole })
}
