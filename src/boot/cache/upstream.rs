//! The boot server upstream, over plain HTTP/1.1, one connection a question. Nothing that it says is believed without a bound, and no file of it
//! without its digest.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::model::Digest;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the head of an answer: upstream may have to hash some gigabytes first (SHA-256 at 500 MB/s without hardware help).
const HEAD: Duration = Duration::from_secs(60);
/// Longest silence within a body.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest refusal that is passed on; ours have one line.
const TEXT: usize = 4 << 10;

/// Where a boot server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
}

/// A text that names no boot server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form http://HOST:PORT")]
pub struct UpstreamError(String);

/// Why a machine gets nothing, and the status that it is told so with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) status: u16,
    pub(super) why: String,
}

/// What upstream says of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    File { digest: Digest, length: u64 },
    Refused { status: u16, text: String },
}

impl FromStr for Upstream {
    type Err = UpstreamError;
    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let bad = || UpstreamError(text.escape_debug().take(80).collect());
        let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(bad)?;
        let authority: http::uri::Authority = authority.parse().map_err(|_| bad())?;
        // An account in it would be sent nowhere and kept in logs.
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(bad());
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => 80,
            None => return Err(bad()),
        };
        Ok(Self { host: authority.host().to_owned(), port })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// An answer whose body is still to come. The connection ends with it.
pub(super) struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = timeout(SILENCE, self.response.body_mut().frame()).await.map_err(|_| "it fell silent".to_owned())?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn text(mut self) -> Result<String, String> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
            if all.len() > TEXT {
                return Err("it says more than a cache passes on (4 KiB)".to_owned());
            }
        }
        String::from_utf8(all).map_err(|_| "it says what is no text".to_owned())
    }
}

impl Upstream {
    /// Asks whether a machine may have a file, and what it is. A look is one; what is to be fetched is asked for with its first byte, so that
    /// upstream knows that the machine has come so far.
    pub(super) async fn ask(&self, target: &str, look: bool) -> Result<Told, Trouble> {
        let range = (!look).then_some("bytes=0-0");
        let answer = self.send(if look { Method::HEAD } else { Method::GET }, target, range).await?;
        let status = answer.status();
        if !matches!(status, 200 | 206) {
            if !(400..600).contains(&status) {
                return Err(self.bad(&format!("it says {status}, which is no answer to this")));
            }
            let text = answer.text().await.map_err(|why| self.bad(&why))?;
            let text = if text.is_empty() { format!("the boot server says {status}\n") } else { text };
            return Ok(Told::Refused { status, text });
        }
        let headers = answer.response.headers();
        match (digest(headers), length(headers, status)) {
            (Some(digest), Some(length)) => Ok(Told::File { digest, length }),
            _ => Err(self.bad("it names no digest or length of the file")),
        }
    }

    /// A file from this byte on. It must still be the one that was asked about.
    pub(super) async fn fetch(&self, target: &str, from: u64, want: &Digest) -> Result<Answer, Trouble> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let answer = self.send(Method::GET, target, range.as_deref()).await?;
        let headers = answer.response.headers();
        match answer.status() {
            200 | 206 if digest(headers).as_ref() != Some(want) => {
                Err(self.bad("the file became another one while it was fetched"))
            }
            200 if from == 0 => Ok(answer),
            206 if begins(headers) == Some(from) => Ok(answer),
            other => Err(self.bad(&format!("it said {other} to what it had allowed before"))),
        }
    }

    async fn send(&self, method: Method, target: &str, range: Option<&str>) -> Result<Answer, Trouble> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = match timeout(CONNECT, TcpStream::connect((bare, self.port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.away(&error.to_string())),
            Err(_) => return Err(self.away("no connection within 5 s")),
        };
        drop(stream.set_nodelay(true));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.away(&e.to_string()))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let own = format!("{}:{}", self.host, self.port);
        let mut request = hyper::Request::builder().method(method).uri(target).header(header::HOST, own);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| Trouble { status: 400, why: e.to_string() })?;
        match timeout(HEAD, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(Answer { response, _connection: connection }),
            Ok(Err(error)) => Err(self.away(&error.to_string())),
            Err(_) => Err(self.away("no answer within 60 s")),
        }
    }

    /// 503: it may be back.
    fn away(&self, why: &str) -> Trouble {
        Trouble { status: 503, why: format!("the boot server {self} cannot be asked: {}", why.escape_debug()) }
    }

    /// 502: it is there and wrong.
    pub(super) fn bad(&self, why: &str) -> Trouble {
        Trouble { status: 502, why: format!("the boot server {self}: {}", why.escape_debug()) }
    }
}

/// The entity tag of a file is its digest.
fn digest(headers: &HeaderMap) -> Option<Digest> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    Digest::new(tag.strip_prefix('"')?.strip_suffix('"')?).ok()
}

/// Of the whole file, also when a part is sent.
fn length(headers: &HeaderMap, status: u16) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    match status {
        206 => text(header::CONTENT_RANGE)?.rsplit_once('/')?.1.parse().ok(),
        _ => text(header::CONTENT_LENGTH)?.parse().ok(),
    }
}

/// The first byte of the part that is sent.
fn begins(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_plain_address() {
        assert_eq!("http://10.77.0.1:8088/".parse::<Upstream>().map(|u| u.to_string()).as_deref(), Ok("http://10.77.0.1:8088"));
        assert_eq!("http://boot.example".parse::<Upstream>().map(|u| u.to_string()).as_deref(), Ok("http://boot.example:80"));
        assert_eq!("http://[fd00::1]:8088".parse::<Upstream>().map(|u| u.to_string()).as_deref(), Ok("http://[fd00::1]:8088"));
        for bad in [
            "",
            "10.77.0.1:8088",
            "https://10.77.0.1",
            "http://",
            "http://u:p@h",
            "http://h/path",
            "http://h:99999",
            "http://a b",
        ] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digest_and_length_are_read_or_not_known() {
        let mut headers = HeaderMap::new();
        assert!(digest(&headers).is_none() && length(&headers, 200).is_none() && length(&headers, 206).is_none());
        headers.insert(header::ETAG, format!("\"{}\"", "ab".repeat(32)).parse().unwrap());
        headers.insert(header::CONTENT_LENGTH, "1".parse().unwrap());
        headers.insert(header::CONTENT_RANGE, "bytes 0-0/4711".parse().unwrap());
        assert_eq!(
            (digest(&headers).unwrap().as_str(), length(&headers, 200), length(&headers, 206)),
            (&*"ab".repeat(32), Some(1), Some(4711))
        );
        headers.insert(header::ETAG, "\"../../etc\"".parse().unwrap());
        headers.insert(header::CONTENT_RANGE, "bytes 0-0/*".parse().unwrap());
        assert!(digest(&headers).is_none() && length(&headers, 206).is_none());
    }
}
