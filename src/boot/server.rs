//! The socket loop around [`answer`]: HTTP/1.1 with bounded headers, bounded waits and a bounded number of connections. It decides nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::answer::{Method, Reply, Request, SendingMedium, answer};
use super::body::{self, Body, Tell};
use super::grant::{Stage, now_ms};
use super::grants::Grants;
use super::loaders::Loaders;
use super::media;
use super::stall::Stall;
use super::store::shown;
use super::tls::Door;
use crate::model::NodeId;

/// Connections at once; a fleet of 1,250 nodes holds two each at most.
const CONNECTIONS: usize = 4096;
/// Longest wait for the headers of a request, also between two requests of one connection.
const HEADERS: Duration = Duration::from_secs(10);
/// Longest time in which the far end may take nothing.
const STALLED: Duration = Duration::from_secs(60);
/// How long transfers may go on after the server was told to stop.
const GOODBYE: Duration = Duration::from_secs(5);

/// What `GET /healthz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `bringup`.
    pub service: String,
    /// [`Grants::store_id`] of the store that is served.
    pub state: String,
    /// Where it hands out identities; `None`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Door>,
}

/// One thing that the server gave or refused; for progress and logs, not for the journal (see [`Grants::events_since`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who asked.
    pub from: IpAddr,
    /// Grant, when known.
    pub grant: Option<String>,
    /// Node, when known.
    pub node: Option<NodeId>,
    /// What was given, or `Refused`.
    pub stage: Stage,
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes of the whole file; 0 for refusals.
    pub of: u64,
    /// Why it was refused.
    pub why: String,
}

impl Seen {
    pub(super) fn given(from: IpAddr, grant: &str, node: &NodeId, stage: Stage, of: u64) -> Self {
        Self { from, grant: Some(grant.to_owned()), node: Some(node.clone()), stage, bytes: of, of, why: String::new() }
    }

    /// A loader that was fetched without a grant.
    pub(super) fn loader(from: IpAddr, of: u64) -> Self {
        Self { from, grant: None, node: None, stage: Stage::Loader, bytes: of, of, why: String::new() }
    }

    pub(super) fn refused(from: IpAddr, grant: Option<String>, node: Option<NodeId>, why: String) -> Self {
        Self { from, grant, node, stage: Stage::Refused, bytes: 0, of: 0, why: shown(&why) }
    }
}

/// Where the server tells what it sees. Listeners that fall behind lose the oldest; the server never waits for one.
#[derive(Clone)]
pub struct BootLog(broadcast::Sender<Seen>);

impl Default for BootLog {
    fn default() -> Self {
        Self(broadcast::Sender::new(1024))
    }
}

impl BootLog {
    /// Listens from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Seen> {
        self.0.subscribe()
    }

    pub(super) fn tell(&self, seen: Seen) {
        // Nobody listening is no trouble.
        drop(self.0.send(seen));
    }
}

/// How to serve.
#[derive(Clone, Default)]
pub struct ServeOptions {
    /// What nodes start with; none of them by default.
    pub loaders: Loaders,
    /// Where to tell what is seen.
    pub log: BootLog,
    /// Where the same grants are served over TLS (see [`super::serve_https`]), for the scripts of nodes that fetch an identity there.
    pub door: Option<Door>,
}

/// Serves without loaders and without a log until `stop` is cancelled; transfers under way then have five seconds.
pub async fn serve(listener: TcpListener, grants: Grants, stop: CancellationToken) {
    serve_with(listener, grants, ServeOptions::default(), stop).await;
}

/// Serves until `stop` is cancelled; transfers under way then have five seconds. Trouble of one connection ends that connection only.
pub async fn serve_with(listener: TcpListener, grants: Grants, options: ServeOptions, stop: CancellationToken) {
    listen(listener, None, grants, options, stop).await;
}

/// The loop: each connection by itself, inside TLS when there is an acceptor.
pub(super) async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    grants: Grants,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Reaps what has ended; the set would grow for ever.
            Some(_) = open.join_next() => continue,
            accepted = listener.accept(), if places.available_permits() > 0 => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (grants, options, stop, tls) = (grants.clone(), options.clone(), stop.clone(), tls.clone());
                open.spawn(async move {
                    drop(stream.set_nodelay(true));
                    match tls {
                        None => connection(stream, peer, false, grants, options, stop).await,
                        // A far end that does not trust the certificate ends it here; it has told nothing yet.
                        Some(tls) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HEADERS, tls.accept(stream)).await {
                                connection(stream, peer, true, grants, options, stop).await;
                            }
                        }
                    }
                    drop(place);
                });
            }
            // The far end hung up first, or no file descriptor is left for now: the server lives on.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GOODBYE, all).await);
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    secure: bool,
    grants: Grants,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let io = TokioIo::new(Stall::new(stream, STALLED));
    let service = service_fn(|request| respond(request, peer.ip(), secure, grants.clone(), options.clone()));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10).max_headers(64);
    let mut served = pin!(http.serve_connection(io, service));
    // How a connection ends is no concern of the server: what was sent has been told by then.
    tokio::select! {
        ended = served.as_mut() => drop(ended),
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            drop(served.await);
        }
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    from: IpAddr,
    secure: bool,
    grants: Grants,
    options: ServeOptions,
) -> Result<Response<Body>, io::Error> {
    let said = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let asked = Request {
        method: match *request.method() {
            hyper::Method::GET => Method::Get,
            hyper::Method::HEAD => Method::Head,
            hyper::Method::POST => Method::Post,
            _ => Method::Other,
        },
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        host: said(header::HOST),
        range: said(header::RANGE),
        if_range: said(header::IF_RANGE),
        // An IPv4 address in IPv6 clothes is the same machine.
        from: from.to_canonical(),
        secure,
        door: options.door,
    };
    let head = asked.method == Method::Head;
    let loaders = options.loaders;
    let reply =
        tokio::task::spawn_blocking(move || answer(&asked, &grants.0, &loaders, now_ms())).await.map_err(io::Error::other)?;
    send(reply, head, options.log).await
}

async fn send(reply: Reply, head: bool, log: BootLog) -> Result<Response<Body>, io::Error> {
    let mut response = match reply {
        Reply::Text { status, kind, text, seen } => {
            if let Some(seen) = seen {
                log.tell(seen);
            }
            let length = text.len();
            let mut response = Response::new(if head { body::empty() } else { body::text(text) });
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            put(&mut response, header::CONTENT_TYPE, kind);
            put(&mut response, header::CONTENT_LENGTH, &length.to_string());
            response
        }
        Reply::OutsideRange { length } => {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            put(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            response
        }
        Reply::File(sending) => {
            let (whole, slice, kind, tag) = (sending.length, sending.slice, sending.kind, sending.tag.clone());
            let mut response = Response::new(if head { body::empty() } else { body::file(*sending, log).await? });
            describe(&mut response, whole, slice, kind, tag.as_deref());
            response
        }
        Reply::Medium(sending) => {
            let SendingMedium { medium, slice, kind, seen } = *sending;
            let (whole, tag) = (medium.length, medium.sha256.clone());
            let (from, count) = slice.unwrap_or((0, whole));
            let mut response =
                Response::new(if head { body::empty() } else { media::stream(medium, from, count, Tell::new(seen, log)) });
            describe(&mut response, whole, slice, kind, Some(tag.as_str()));
            response
        }
    };
    // What a token opens must not stay in a cache on the way.
    put(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// Says what of a file the answer holds.
fn describe(response: &mut Response<Body>, whole: u64, slice: Option<(u64, u64)>, kind: &str, tag: Option<&str>) {
    if let Some((from, count)) = slice {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        put(response, header::CONTENT_RANGE, &format!("bytes {from}-{}/{whole}", from + count - 1));
    }
    put(response, header::CONTENT_LENGTH, &slice.map_or(whole, |(_, count)| count).to_string());
    put(response, header::CONTENT_TYPE, kind);
    put(response, header::ACCEPT_RANGES, "bytes");
    if let Some(tag) = tag {
        put(response, header::ETAG, &format!("\"{tag}\""));
    }
}

fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
