//! What a BMC does wrong below its resources: connections, HTTP heads and bodies, links (RC-04 … RC-16). It asks its machine which fault is in
//! force and bends the exchange; what a resource says is others' affair.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header;
use http::request::Parts;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::sync::mpsc;

use super::answer::{Answer, Message};
use super::line::Open;
use super::manners;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// How a request is met before anybody reads it.
pub enum Met {
    /// As it should be.
    Well,
    /// The connection ends without an answer.
    Gone,
    /// Something is answered at once.
    Says(Answer),
}

/// Meets one request; `before` came on the same connection earlier. Nothing has been done yet when it says anything but [`Met::Well`].
pub async fn meets(machine: &MachineHandle, head: &Parts, open: &Open, before: u32) -> Met {
    let header = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    if before > 0 && machine.strikes(BmcFault::ConnRstOnReuse).is_some() {
        open.reset();
        return Met::Gone;
    }
    let unanswered = (before > 0 && machine.strikes(BmcFault::ConnStallKeepalive).is_some())
        || (header(header::EXPECT).is_some() && machine.strikes(BmcFault::HttpNo100).is_some());
    if unanswered {
        // Until the client gives the connection up; hyper drops this with it.
        std::future::pending::<()>().await;
    }
    if let Some(slow) = machine.strikes(BmcFault::Latency) {
        let clock = machine.clock();
        tokio::time::sleep(clock.until(clock.now().after_s(slow.arg()))).await;
    }
    let ported = header(header::HOST).is_none_or(|host| host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')));
    if (ported || header(header::REFERER).is_none()) && machine.strikes(BmcFault::HttpHostStrict).is_some() {
        return Met::Says(Answer::text(400, "text/html", "<html><body>Bad Request: unknown host</body></html>"));
    }
    if header(header::ACCEPT_ENCODING) == Some("identity") && machine.strikes(BmcFault::Http406Identity).is_some() {
        let message = Message::new("NotAcceptable", "this encoding is not to be had", &[], "leave Accept-Encoding out");
        return Met::Says(Answer::error(406, &message));
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) && machine.strikes(BmcFault::UploadNoChunked).is_some() {
        return Met::Says(Answer::text(411, "text/html", "<html><body>Length Required</body></html>"));
    }
    if machine.strikes(BmcFault::HttpBusy).is_some() {
        return Met::Says(Answer::error(503, &Message::busy()).with("Retry-After", "1"));
    }
    if let Some(odd) = machine.strikes(BmcFault::HttpRetryAfter) {
        let soon =
            (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let after = match odd.arg() {
            0 => "0".to_owned(),
            1 => soon,
            2 => "soon".to_owned(),
            _ => "4294967296000".to_owned(),
        };
        return Met::Says(Answer::error(503, &Message::busy()).with("Retry-After", after));
    }
    if head.method == http::Method::GET && head.uri.query().is_none_or(|query| !query.contains("moved=1")) {
        // 0 stands for what a proxy that knows no better would send.
        if let Some(moved) = machine.strikes(BmcFault::HttpRedirect) {
            let status = u16::try_from(moved.arg()).ok().filter(|status| (300..400).contains(status)).unwrap_or(301);
            return Met::Says(Answer::status(status).with("Location", format!("{}?moved=1", head.uri.path())));
        }
    }
    manners::refuses(machine, head).map_or(Met::Well, Met::Says)
}

/// Bends an answer that is on its way.
pub fn bends(machine: &MachineHandle, head: &Parts, mut answer: Answer) -> Answer {
    let identity = head.headers.get(header::ACCEPT_ENCODING).is_some_and(|value| value == "identity");
    for (name, value) in &mut answer.headers {
        if *name == "ETag" && !identity && machine.strikes(BmcFault::EtagGzip).is_some() {
            *value = format!("{}-gzip\"", value.trim_end_matches('"'));
        }
        if *name == "Location" && value.starts_with('/') {
            if machine.strikes(BmcFault::LocAbsolute).is_some() {
                // Another host and another port: nobody may follow it there.
                *value = format!("http://192.0.2.1:8123{value}");
            } else if machine.strikes(BmcFault::LocRelative).is_some() {
                *value = relative(head.uri.path(), value);
            }
        }
    }
    if let Some(body) = &mut answer.body
        && answer.status < 300
        && machine.strikes(BmcFault::SlashDouble).is_some()
    {
        double(body, 0);
    }
    if answer.status >= 400 && machine.strikes(BmcFault::BodyHtml).is_some() {
        // iLO answers refusals so.
        let page = concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">"#,
            "<html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>Not possible</title></head>",
            "<body><p>Zugriff verweigert \u{2014} \u{62d2}\u{5426}</p></body></html>"
        );
        let headers = std::mem::take(&mut answer.headers);
        answer = Answer { headers, ..Answer::text(answer.status, "application/xhtml+xml", page) };
    }
    manners::dress(head, answer)
}

/// A link as it is written from where the client stands (RFC 3986 §5.2), or, far from there, with its first slash forgotten.
fn relative(from: &str, to: &str) -> String {
    let folder = from.rfind('/').map_or("", |at| from.get(..=at).unwrap_or_default());
    to.strip_prefix(folder).filter(|_| folder != "/").unwrap_or(to.trim_start_matches('/')).to_owned()
}

/// Doubles the first slash of every link and hangs one behind it.
fn double(value: &mut Value, depth: usize) {
    match value {
        Value::Object(fields) if depth < 16 => {
            for (name, field) in fields {
                match field {
                    Value::String(link) if name == "@odata.id" && link.starts_with("/redfish/v1/") => {
                        *link = format!("/redfish//v1{}/", link.trim_start_matches("/redfish/v1").trim_end_matches('/'));
                    }
                    field => double(field, depth + 1),
                }
            }
        }
        Value::Array(items) if depth < 16 => items.iter_mut().for_each(|item| double(item, depth + 1)),
        _ => {}
    }
}

/// The path without doubled slashes: what such a BMC makes of its own links.
#[must_use]
pub fn single(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if !(c == '/' && out.ends_with('/')) {
            out.push(c);
        }
    }
    out
}

/// A body that is whole, or breaks off after its first half.
pub struct Sending {
    rest: Option<Bytes>,
    announced: u64,
    cut: bool,
    /// What was written is on its way.
    flushed: bool,
    /// Pieces that come as they come; nothing is announced then.
    flow: Option<mpsc::Receiver<Bytes>>,
}

impl Sending {
    /// All of it.
    #[must_use]
    pub fn whole(body: Bytes) -> Self {
        let announced = body.len() as u64;
        Self { announced, rest: Some(body).filter(|body| !body.is_empty()), cut: false, flushed: false, flow: None }
    }

    /// The first half, under the length of the whole.
    #[must_use]
    pub fn half(body: &Bytes) -> Self {
        Self { announced: body.len() as u64, rest: Some(body.slice(..body.len() / 2)), cut: true, flushed: false, flow: None }
    }

    /// Pieces, until there are no more.
    #[must_use]
    pub fn flow(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { announced: 0, rest: None, cut: false, flushed: false, flow: Some(pieces) }
    }
}

/// A body that breaks off on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the simulated BMC breaks off here")]
pub struct BrokenOff;

impl Body for Sending {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(flow) = &mut self.flow {
            return flow.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))));
        }
        if self.rest.is_none() && self.cut && !self.flushed {
            // A pause lets hyper send the head and the half; an error at once would throw them away.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match self.rest.take() {
            Some(part) => Some(Ok(Frame::data(part))),
            None if self.cut => Some(Err(BrokenOff)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && !self.cut && self.flow.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.flow.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.announced) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_are_written_from_where_the_client_stands() {
        assert_eq!(relative("/redfish/v1/SessionService/Sessions", "/redfish/v1/SessionService/Sessions/3"), "Sessions/3");
        assert_eq!(
            relative("/redfish/v1/Systems/1/Actions/X", "/redfish/v1/TaskService/Tasks/0"),
            "redfish/v1/TaskService/Tasks/0"
        );
    }

    #[test]
    fn links_are_doubled_and_made_single_again() {
        let mut value = json!({"@odata.id": "/redfish/v1/", "Members": [{"@odata.id": "/redfish/v1/Systems/1"}]});
        double(&mut value, 0);
        assert_eq!(value, json!({"@odata.id": "/redfish//v1/", "Members": [{"@odata.id": "/redfish//v1/Systems/1/"}]}));
        assert_eq!(single("/redfish//v1///Systems/1/"), "/redfish/v1/Systems/1/");
    }
}
