//! A BMC's Redfish service (DMTF DSP0266) over HTTPS with the BMC's own certificate, or over plain HTTP for clients that cannot pin one. One
//! task per listener and one per open connection; connections are few and short-lived by limit.

pub mod accelerator;
pub mod account;
pub mod answer;
pub mod bend;
pub mod bios;
pub mod boot_settings;
pub mod certificate;
pub mod event;
pub mod fru;
pub mod kept;
pub mod line;
pub mod log;
pub mod mains;
pub mod manners;
pub mod media;
pub mod oldtls;
pub mod parts;
pub mod privilege;
pub mod push;
pub mod restart;
pub mod route;
pub mod senses;
pub mod sensor;
pub mod session;
pub mod system;
pub mod tags;
pub mod task;
pub mod tree;
pub mod update;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use self::answer::{Answer, Message};
use self::line::{Line, Open};
use self::oldtls::Age;
use self::route::{Asked, Service};
use self::wire::{Met, Sending};
use super::fault::BmcFault;
use super::handle::{MachineHandle, Mood};
use super::tls::{Certified, Shown};

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
    let _pushes = AbortOnDropHandle::new(tokio::spawn(event::deliver(Arc::clone(&service))));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others the time to close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let machine = service.machine();
        let most = machine.bends(BmcFault::ConnRefuseAfter).map_or(CONNECTIONS, |placed| placed.arg() as usize);
        if machine.dead() {
            continue;
        }
        if machine.bmc_away() || connections.len() >= most.min(CONNECTIONS) {
            line::reset(stream);
            continue;
        }
        let open = Open::new(Some(from.ip()), face(machine));
        let service = Arc::clone(&service);
        connections.spawn(async move { welcome(service, stream, open).await });
    }
}

async fn welcome(service: Arc<Service>, stream: TcpStream, open: Arc<Open>) {
    let tls = service.shown().map(|shown| shown.server(service.machine().bmc_restarts()));
    let Some(tls) = tls else { return converse(service, Line::new(stream, Arc::clone(&open)), open).await };
    let old = [(BmcFault::TlsRsaKexOnly, Age::RsaOnly), (BmcFault::TlsLegacy, Age::Legacy)];
    if let Some((_, age)) = old.into_iter().find(|(fault, _)| service.machine().bends(*fault).is_some()) {
        return oldtls::meet(stream, age).await;
    }
    let Some(tls) = shown(service.machine(), open.face, tls) else { return };
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    let line = Line::new(stream, Arc::clone(&open));
    if let Ok(Ok(stream)) = tokio::time::timeout(IDLE, acceptor.accept(line)).await {
        converse(service, stream, open).await;
    }
}

/// Which certificate a new connection sees: 0 the recorded one, 1 another one, 2 the recorded key in a new certificate.
fn face(machine: &MachineHandle) -> u32 {
    // The first connection is what they change after.
    if machine.requests() == 0 {
        return 0;
    }
    let faces = [(BmcFault::TlsRotate, 1), (BmcFault::TlsRenew, 2)];
    faces.into_iter().find(|(fault, _)| machine.bends(*fault).is_some()).map_or(0, |(_, face)| face)
}

fn shown(machine: &MachineHandle, face: u32, first: Arc<rustls::ServerConfig>) -> Option<Arc<rustls::ServerConfig>> {
    let (seed, node) = (machine.identity().seed, machine.identity().node.as_str());
    let other = match face {
        0 => return Some(first),
        1 => Certified::derive(seed, &format!("{node}-rotated")),
        _ => Certified::renewed(seed, node),
    };
    other.ok()?.server().ok()
}

async fn converse(service: Arc<Service>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, open: Arc<Open>) {
    let each = service_fn(move |request| respond(Arc::clone(&service), Arc::clone(&open), request));
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

async fn respond(service: Arc<Service>, open: Arc<Open>, request: Request<Incoming>) -> Result<Response<Sending>, Dead> {
    let before = open.ask();
    let mood = service.machine().request();
    let (head, body) = request.into_parts();
    let answer = match mood {
        Mood::Dead => return Err(Dead),
        Mood::Busy => Answer::error(503, &Message::busy()).with("Retry-After", "1"),
        Mood::Well => match wire::meets(service.machine(), &head, &open, before).await {
            Met::Gone => return Err(Dead),
            Met::Says(answer) => answer,
            Met::Well => {
                let path = wire::single(head.uri.path());
                let pushes = update::takes(service.machine(), head.method.as_str(), &path);
                let Some(at_it) = service.begins(pushes) else { return Err(Dead) };
                let most = if pushes { update::LARGEST } else { BODY };
                let Ok(Ok(body)) = tokio::time::timeout(IDLE, Limited::new(body, most).collect()).await else {
                    return sent(&service, &open, Answer::status(413), false);
                };
                let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
                if !at_it.dwells().await {
                    return Err(Dead);
                }
                let answer = service.answer(&Asked {
                    method: head.method.as_str(),
                    path: &path,
                    query: head.uri.query(),
                    authorization: header("authorization"),
                    token: header("x-auth-token"),
                    if_match: header("if-match"),
                    kind: header("content-type"),
                    from: open.from,
                    body: &body.to_bytes(),
                });
                let lost = pushes && answer.status < 300 && service.machine().strikes(BmcFault::UploadDropAfter).is_some();
                if lost { return Err(Dead) } else { answer }
            }
        },
    };
    let answer = wire::bends(service.machine(), &head, answer);
    if answer.text.as_ref().is_some_and(|(kind, _)| *kind == "text/event-stream") && head.method == http::Method::GET {
        let mut response = Response::new(Sending::flow(event::flow(&service)));
        response.headers_mut().insert("Content-Type", HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert("Cache-Control", HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    sent(&service, &open, answer, head.method == http::Method::HEAD)
}

fn sent(service: &Service, open: &Open, answer: Answer, head_only: bool) -> Result<Response<Sending>, Dead> {
    let (kind, text) = match (&answer.body, answer.xml, answer.text) {
        (Some(value), _, _) => ("application/json; charset=utf-8", value.to_string()),
        (None, Some(xml), _) => ("application/xml", xml.to_owned()),
        (None, None, Some((kind, text))) => (kind, text),
        (None, None, None) => ("", String::new()),
    };
    let body = if head_only { Bytes::new() } else { Bytes::from(text) };
    let cut = service.machine().strikes(BmcFault::BodyTruncate).is_some();
    if cut && body.is_empty() {
        // There is no body to break off: the whole answer is lost, after it was done.
        return Err(Dead);
    }
    let mut response = Response::new(if cut { Sending::half(&body) } else { Sending::whole(body) });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("OData-Version", HeaderValue::from_static("4.0"));
    headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
    if !kind.is_empty() {
        headers.insert("Content-Type", HeaderValue::from_static(kind));
    }
    if open.face != face(service.machine()) {
        // A service that has another certificate now was started anew; its old connections end.
        headers.insert("Connection", HeaderValue::from_static("close"));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}
