//! A stream of events from one BMC: one request that is never fully answered, on a connection of its own. It ends when it is dropped.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::super::client::Client;
use super::super::error::{broken, malformed, refused, safe};
use super::super::transport::{Broke, Broken};
use super::sse::{Parser, Said};
use crate::bmc::{BmcError, BmcTrouble};

/// Most of a refusal's body that is read.
const REFUSAL: usize = 16 << 10;

/// An open stream.
pub(super) struct Stream {
    body: Incoming,
    parser: Parser,
    said: VecDeque<Said>,
    _driver: AbortOnDropHandle<()>,
    _socket: OwnedSemaphorePermit,
}

impl Client {
    /// Opens the stream at `at`. A session that has ended is opened once anew.
    pub(super) async fn open_stream(&self, at: &str) -> Result<Stream, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        match self.try_stream(at, deadline).await {
            Err((error, Some(token))) if error.kind == BmcTrouble::Credentials => {
                self.forget(&token);
                self.try_stream(at, deadline).await.map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    async fn try_stream(&self, at: &str, deadline: Instant) -> Result<Stream, (BmcError, Option<HeaderValue>)> {
        let doing = format!("GET {} (events)", safe(at, 256));
        let broke = |gone: Broken| (broken(&doing, gone, self.trust.seen()), None);
        let (name, value) = self.authorise(deadline).await.map_err(|e| (e, None))?;
        let token = (name != header::AUTHORIZATION).then(|| value.clone());
        let mut request = Request::builder().method(Method::GET).uri(at);
        if let Some(headers) = request.headers_mut() {
            self.dress(headers);
            headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
            headers.insert(name, value);
        }
        let request = request.body(Full::<Bytes>::default()).map_err(|e| broke(Broken::unaskable(e)))?;
        let (pipe, socket) = self.transport.lend(deadline).await.map_err(broke)?;
        let lost = |e: hyper::Error| broke(Broken::new(Broke::Lost, true, "the connection ended before an answer").because(e));
        let late = || broke(Broken::new(Broke::TimedOut, true, "no answer before the deadline"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(pipe)).await.map_err(lost)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let answer = timeout_at(deadline, sender.send_request(request)).await.map_err(|_| late())?.map_err(lost)?;
        let (head, mut body) = answer.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if head.status.is_success() && kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
            return Ok(Stream { body, parser: Parser::default(), said: VecDeque::new(), _driver: driver, _socket: socket });
        }
        if head.status.is_success() {
            let seen = format!("{}, and its content is `{}`, not an event stream", head.status, safe(kind, 64));
            return Err((malformed(&doing, seen), None));
        }
        let mut said = Vec::new();
        while let Ok(Some(Ok(frame))) = timeout(self.limits.idle, body.frame()).await {
            said.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if said.len() > REFUSAL {
                break;
            }
        }
        Err((refused(&doing, head.status, &said), token))
    }
}

impl Stream {
    /// The next event, or why there will be none. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Said, String> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Ok(said);
            }
            match self.body.frame().await {
                None => return Err("the BMC ended it".to_owned()),
                Some(Err(e)) => return Err(format!("the connection was lost ({e})")),
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let said = self.parser.push(data).map_err(|_| "an event is longer than 1 MiB".to_owned())?;
                    self.said.extend(said);
                }
            }
        }
    }
}
