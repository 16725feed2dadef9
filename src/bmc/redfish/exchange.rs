//! One HTTP/1.1 exchange over one open connection: a request out, an answer in, bounded in size and time. It says of every failure whether the
//! request may have reached the BMC, and keeps the head of an answer whose body broke off.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::dial::Stream;
use super::limits::Limits;
use super::transport::{Answer, Broke, Broken, Streamed};

/// Speaks for one exchange and gives the connection back when it can carry another. Without an answer's head within `stall` the exchange is
/// over.
pub(super) async fn speak<B: Streamed>(
    stream: Box<dyn Stream>,
    request: Request<B>,
    limits: &Limits,
    stall: Option<Duration>,
) -> (Result<Answer, Broken>, Option<Box<dyn Stream>>) {
    let mut http = http1::Builder::new();
    http.max_buf_size(64 << 10);
    let (mut sender, mut connection) = match http.handshake::<_, B>(TokioIo::new(stream)).await {
        Ok(pair) => pair,
        Err(e) => return (Err(Broken::new(Broke::Lost, false, "the connection was not ready").because(e)), None),
    };
    let mut over = false;
    let answer = {
        let mut work = pin!(ask(&mut sender, request, limits, stall));
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

async fn ask<B: Streamed>(
    sender: &mut http1::SendRequest<B>,
    request: Request<B>,
    limits: &Limits,
    stall: Option<Duration>,
) -> Result<Answer, Broken> {
    let sending = sender.try_send_request(request);
    let sent = match stall {
        None => sending.await,
        Some(stall) => timeout(stall, sending).await.map_err(|_| {
            Broken::new(Broke::Stalled, true, format!("no answer within {} s on a reused connection", stall.as_secs_f32()))
        })?,
    };
    let response = sent.map_err(|mut e| {
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
    let whole = match read(&mut body, limits).await {
        Ok(whole) => whole,
        Err(broken) => return Err(broken.after(head.status, head.headers)),
    };
    Ok(Answer { status: head.status, headers: head.headers, body: whole })
}

async fn read(body: &mut hyper::body::Incoming, limits: &Limits) -> Result<Vec<u8>, Broken> {
    let too_long = || Broken::new(Broke::Malformed, true, format!("the body is longer than {} bytes", limits.body));
    let announced = hyper::body::Body::size_hint(body).lower();
    if announced > limits.body as u64 {
        return Err(too_long());
    }
    let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(64 << 10));
    loop {
        let frame = timeout(limits.idle, body.frame()).await.map_err(|_| {
            Broken::new(Broke::TimedOut, true, format!("the body stood still for {} s", limits.idle.as_secs_f32()))
        })?;
        match frame {
            None => return Ok(whole),
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
}
