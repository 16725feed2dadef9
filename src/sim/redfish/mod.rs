//! A BMC's Redfish service (DMTF DSP0266) over HTTPS with the BMC's own certificate, or over plain HTTP for clients that cannot pin one. One
//! task per listener and one per open connection; connections are few and short-lived by limit.

pub mod account;
pub mod answer;
pub mod bios;
pub mod certificate;
pub mod kept;
pub mod media;
pub mod restart;
pub mod route;
pub mod session;
pub mod system;
pub mod task;
pub mod tree;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::answer::{Answer, Message};
use self::route::{Asked, Service};
use super::handle::{MachineHandle, Mood};
use super::tls::Shown;

/// Connections that a BMC keeps open at once (RC-06).
const CONNECTIONS: usize = 16;
/// Longest body that it reads.
const BODY: usize = 64 * 1024;
/// Longest wait for a handshake, or for the next request on an open connection (bmcweb: 15 s).
const IDLE: Duration = Duration::from_secs(15);

/// Serves a machine's BMC until the returned future is dropped; its connections end with it.
pub async fn serve(machine: MachineHandle, listener: TcpListener, shown: Option<Shown>) {
    let service = Arc::new(Service::new(machine, shown));
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others the time to close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let machine = service.machine();
        if machine.dead() || machine.bmc_away() || connections.len() >= CONNECTIONS {
            continue;
        }
        let service = Arc::clone(&service);
        let tls = service.shown().map(|shown| tokio_rustls::TlsAcceptor::from(shown.server(service.machine().bmc_restarts())));
        connections.spawn(async move {
            match tls {
                None => converse(service, stream).await,
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(IDLE, acceptor.accept(stream)).await {
                        converse(service, stream).await;
                    }
                }
            }
        });
    }
}

async fn converse(service: Arc<Service>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let each = service_fn(move |request| respond(Arc::clone(&service), request));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), each)
        .await;
    // A client that hangs up in the middle is its own affair.
    drop(served);
}

/// The BMC died in the middle: the connection closes without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated BMC is dead")]
struct Dead;

async fn respond(service: Arc<Service>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dead> {
    if service.machine().bmc_away() {
        return Err(Dead);
    }
    match service.machine().request() {
        Mood::Dead => return Err(Dead),
        Mood::Busy => return Ok(wire(Answer::error(503, &Message::busy()).with("Retry-After", "1"), false)),
        Mood::Well => {}
    }
    let (head, body) = request.into_parts();
    let Ok(Ok(body)) = tokio::time::timeout(IDLE, Limited::new(body, BODY).collect()).await else {
        return Ok(wire(Answer::status(413), false));
    };
    let body = body.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
    let asked = Asked {
        method: head.method.as_str(),
        path: head.uri.path(),
        authorization: header("authorization"),
        token: header("x-auth-token"),
        if_match: header("if-match"),
        body: &body,
    };
    Ok(wire(service.answer(&asked), head.method == http::Method::HEAD))
}

fn wire(answer: Answer, head_only: bool) -> Response<Full<Bytes>> {
    let (kind, text) = match (&answer.body, answer.xml) {
        (Some(value), _) => ("application/json; charset=utf-8", value.to_string()),
        (None, Some(xml)) => ("application/xml", xml.to_owned()),
        (None, None) => ("", String::new()),
    };
    let body = if head_only { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("OData-Version", HeaderValue::from_static("4.0"));
    headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
    if !kind.is_empty() {
        headers.insert("Content-Type", HeaderValue::from_static(kind));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
