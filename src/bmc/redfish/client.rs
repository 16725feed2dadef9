//! Requests to one BMC with its rules: bounded time, at most two reads and one write at once, reads retried, writes sent once. It never
//! follows a link to another host and never decides what a resource means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::acquaint::Acquaintance;
use super::error::{broken, malformed, refused};
use super::limits::{Limits, REDIRECTS, TRIES};
use super::session::{Auth, Login, Root};
use super::transport::{Answer, Broke, Broken, Terms, Transport};
use super::trust::Trust;
use super::update::Turn;
use super::{json, path};
use crate::bmc::{BmcError, BmcTrouble};

/// Reads at once per BMC.
const READS: u32 = 2;

/// A resource as it was read.
pub(super) struct Resource {
    /// Where it was read.
    pub(super) path: String,
    /// Its JSON.
    pub(super) value: Value,
    /// Its entity tag, from the header or from `@odata.etag`.
    pub(super) etag: Option<HeaderValue>,
}

/// The client of one BMC.
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) trust: Trust,
    pub(super) limits: Limits,
    pub(super) login: Login,
    pub(super) auth: Mutex<Auth>,
    pub(super) root: OnceLock<Root>,
    /// Who this BMC is, and its habits.
    pub(super) kin: Acquaintance,
    host: HeaderValue,
    reads: Semaphore,
    pub(super) writes: Semaphore,
    pub(super) logins: Semaphore,
    /// Whose turn it is to update this BMC.
    pub(super) turn: Turn,
    /// Set when the BMC answered 406 to `Accept-Encoding: identity` (HPE Gen10+, RC-10).
    no_identity: AtomicBool,
}

/// What a request carries.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<Bytes>,
    pub(super) auth: Option<(HeaderName, HeaderValue)>,
    pub(super) if_match: Option<HeaderValue>,
    pub(super) deadline: Instant,
}

impl Client {
    pub(super) fn new(
        transport: Transport,
        trust: Trust,
        limits: Limits,
        login: Login,
        host: HeaderValue,
        kin: Acquaintance,
    ) -> Self {
        Self {
            transport,
            trust,
            limits,
            login,
            auth: Mutex::new(Auth::None),
            root: OnceLock::new(),
            kin,
            host,
            // The recommended default of firmware.md §1.2: 2 reads and 1 write at once per BMC.
            reads: Semaphore::new(READS as usize),
            writes: Semaphore::new(1),
            logins: Semaphore::new(1),
            turn: Turn::default(),
            no_identity: AtomicBool::new(false),
        }
    }

    /// Reads a resource within the usual time.
    pub(super) async fn get(&self, at: &str) -> Result<Resource, BmcError> {
        self.get_by(at, Instant::now() + self.limits.request).await
    }

    /// Reads a resource within the usual time and before `deadline`.
    pub(super) async fn look(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        self.get_by(at, deadline.min(Instant::now() + self.limits.request)).await
    }

    /// Reads a resource before `deadline`.
    pub(super) async fn get_by(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        let doing = reading(at);
        let _permit = permit(&self.reads, deadline, &doing).await?;
        let (path, answer) = self.read(at, deadline, true, &doing).await?;
        resource(path, &answer, &doing)
    }

    /// The whole answer to a read, for what is not always a resource.
    pub(super) async fn answer(&self, at: &str, deadline: Instant) -> Result<Answer, BmcError> {
        let doing = reading(at);
        let deadline = deadline.min(Instant::now() + self.limits.request);
        let _permit = permit(&self.reads, deadline, &doing).await?;
        Ok(self.read(at, deadline, true, &doing).await?.1)
    }

    /// Reads a resource without credentials and without a permit: the read that waits for this one holds it. Boxed, since that read's login
    /// is what asks for it.
    pub(super) fn get_open<'a>(&'a self, at: &'a str, deadline: Instant) -> BoxFuture<'a, Result<Resource, BmcError>> {
        Box::pin(async move {
            let doing = reading(at);
            let (path, answer) = self.read(at, deadline, false, &doing).await?;
            resource(path, &answer, &doing)
        })
    }

    /// The loop of a read: every way in which the same question may be asked again, each of them bounded.
    async fn read(&self, at: &str, deadline: Instant, with_auth: bool, doing: &str) -> Result<(String, Answer), BmcError> {
        let mut at = at.to_owned();
        let (mut tries, mut redirects, mut relogged) = (0, 0, false);
        loop {
            let auth = if with_auth { Some(self.authorise(deadline).await?) } else { None };
            let ask = Ask { method: Method::GET, path: &at, body: None, auth: auth.clone(), if_match: None, deadline };
            let answer = match self.once(ask).await {
                Ok(answer) => answer,
                Err(gone) => {
                    tries += 1;
                    let again = Instant::now() + self.limits.pause * 2_u32.pow(tries.min(8) - 1);
                    if matches!(gone.how, Broke::Lost) && tries < TRIES && again < deadline {
                        sleep_until(again).await;
                        continue;
                    }
                    return Err(broken(doing, gone, self.trust.seen()));
                }
            };
            match answer.status.as_u16() {
                200..=299 => return Ok((at, answer)),
                301 | 302 | 303 | 307 | 308 => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        return Err(malformed(doing, format!("more than {REDIRECTS} redirects")));
                    }
                    at = self.redirect(&answer, doing)?;
                }
                401 => match auth {
                    Some((name, token)) if name != header::AUTHORIZATION && !relogged => {
                        relogged = true;
                        self.forget(&token);
                    }
                    auth => {
                        let mut error = refused(doing, answer.status, &answer.body);
                        match auth {
                            Some((name, _)) if name == header::AUTHORIZATION => self.refuse(&error.seen),
                            // The password was taken a moment ago: this is about rights or a broken session table.
                            Some(_) => error.kind = BmcTrouble::Refused,
                            None => {}
                        }
                        return Err(error);
                    }
                },
                406 if !self.no_identity.swap(true, Ordering::Relaxed) => {}
                429 | 503 => {
                    tries += 1;
                    let again = Instant::now() + self.retry_after(&answer.headers);
                    if tries >= 8 || again >= deadline {
                        return Err(refused(doing, answer.status, &answer.body));
                    }
                    sleep_until(again).await;
                }
                _ => return Err(refused(doing, answer.status, &answer.body)),
            }
        }
    }

    /// Where a redirect leads, if that is this BMC.
    fn redirect(&self, answer: &Answer, doing: &str) -> Result<String, BmcError> {
        let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.ok_or_else(|| malformed(doing, format!("{} without a Location", answer.status)))?;
        let (authority, path) = path::split(to).map_err(|why| malformed(doing, format!("redirected badly: {why}")))?;
        let host = |authority: &str| authority.rsplit_once('@').map_or(authority, |(_, h)| h).to_ascii_lowercase();
        let own = self.host.to_str().unwrap_or_default();
        match authority.map(host) {
            Some(other) if strip_port(&other) != strip_port(&own.to_ascii_lowercase()) => Err(BmcError {
                doing: doing.to_owned(),
                seen: format!("redirected to another host ({}), which is not followed", super::error::safe(&other, 128)),
                kind: BmcTrouble::Refused,
                source: None,
            }),
            _ => Ok(path),
        }
    }

    /// How long a busy BMC asks to wait, clamped; a date is taken against this machine's clock, nonsense as 5 s.
    pub(super) fn retry_after(&self, headers: &HeaderMap) -> Duration {
        let asked = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::trim);
        let asked = asked.and_then(|text| match text.parse::<u32>() {
            Ok(seconds) => Some(Duration::from_secs(seconds.into())),
            Err(_) => {
                let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
                Some(Duration::try_from(until.duration_since(jiff::Timestamp::now())).unwrap_or_default())
            }
        });
        let (least, most) = self.limits.retry_after;
        asked.unwrap_or(Duration::from_secs(5)).clamp(least, most)
    }

    /// The headers that every request carries.
    pub(super) fn dress(&self, headers: &mut HeaderMap) {
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("bringup/", env!("CARGO_PKG_VERSION"))));
        headers.insert("odata-version", HeaderValue::from_static("4.0"));
        if !self.no_identity.load(Ordering::Relaxed) {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// Every permit at once: nothing else is asked of this BMC while they are held (RC-50).
    pub(super) async fn quiet(&self, deadline: Instant, doing: &str) -> Result<[SemaphorePermit<'_>; 2], BmcError> {
        let writes = permit(&self.writes, deadline, doing).await?;
        Ok([writes, permits(&self.reads, READS, deadline, doing).await?])
    }

    /// Sends one request once.
    pub(super) async fn once(&self, ask: Ask<'_>) -> Result<Answer, Broken> {
        let write = ask.method != Method::GET;
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        if let Some(headers) = request.headers_mut() {
            self.dress(headers);
            if ask.body.is_some() {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            if let Some((name, value)) = ask.auth {
                headers.insert(name, value);
            }
            if let Some(tag) = ask.if_match {
                headers.insert(header::IF_MATCH, tag);
            }
        }
        let request = request.body(Full::new(ask.body.unwrap_or_default())).map_err(Broken::unaskable)?;
        let reuse_within = if write { self.limits.reuse } else { Duration::MAX };
        self.transport.exchange(request, &Terms { deadline: ask.deadline, reuse_within }).await
    }
}

fn reading(at: &str) -> String {
    format!("GET {}", super::error::safe(at, 256))
}

/// Judges a whole answer by its content: 200 is not yet a resource.
fn resource(path: String, answer: &Answer, doing: &str) -> Result<Resource, BmcError> {
    if let Some(encoding) = answer.headers.get(header::CONTENT_ENCODING).filter(|e| e.as_bytes() != b"identity") {
        return Err(malformed(doing, format!("the body is encoded as {encoding:?}, which was not asked for")));
    }
    let value = json::parse(&answer.body).map_err(|seen| malformed(doing, format!("{}: {seen}", answer.status)))?;
    if !value.is_object() {
        return Err(malformed(doing, "the body is not a JSON object"));
    }
    // RC-30: a 200 whose body is only an error is an error.
    if value.get("error").is_some() && value.get("@odata.id").is_none() && value.get("@odata.type").is_none() {
        return Err(refused(doing, answer.status, &answer.body));
    }
    let etag = answer.headers.get(header::ETAG).cloned();
    let etag = etag.or_else(|| json::word(&value, "@odata.etag").and_then(|tag| HeaderValue::from_str(tag).ok()));
    Ok(Resource { path, value, etag: etag.filter(|tag| !tag.is_empty()) })
}

/// A permit before the deadline.
pub(super) async fn permit<'a>(from: &'a Semaphore, deadline: Instant, doing: &str) -> Result<SemaphorePermit<'a>, BmcError> {
    permits(from, 1, deadline, doing).await
}

async fn permits<'a>(from: &'a Semaphore, count: u32, deadline: Instant, doing: &str) -> Result<SemaphorePermit<'a>, BmcError> {
    match timeout_at(deadline, from.acquire_many(count)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(BmcError {
            doing: doing.to_owned(),
            seen: "earlier requests to this BMC did not end before the deadline".to_owned(),
            kind: BmcTrouble::TimedOut,
            source: None,
        }),
    }
}

/// A host without its port.
fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    }
}

/// True for a status that says no and promises that nothing was done.
pub(super) fn certain_no(status: StatusCode) -> bool {
    status.is_redirection() || status.is_client_error() || matches!(status.as_u16(), 501 | 503)
}
