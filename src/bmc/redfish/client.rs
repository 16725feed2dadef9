//! Requests to one BMC with its rules: bounded time, at most two reads and one write at once, reads retried, writes sent once. It never
//! follows a link to another host and never decides what a resource means.

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, OnceLock, RwLock};
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
use super::decode::plain;
use super::error::{broken, malformed, refused};
use super::limits::{Limits, REDIRECTS, TRIES};
use super::manners::{Encoding, Manners, strip_port};
use super::pace::{Pace, Quiet};
use super::session::{Auth, Login, Root};
use super::slots::Attempts;
use super::transport::{Answer, Broke, Broken, Terms, Transport};
use super::trust::Trust;
use super::update::Turn;
use super::{json, path};
use crate::bmc::quirk::Learned;
use crate::bmc::{BmcError, BmcTrouble, Password};

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
    pub(super) login: RwLock<Login>,
    pub(super) auth: Mutex<Auth>,
    pub(super) root: OnceLock<Root>,
    /// Who this BMC is, and its habits.
    pub(super) kin: Acquaintance,
    pub(super) manners: Manners,
    pub(super) pace: Pace,
    pub(super) writes: Semaphore,
    pub(super) logins: Semaphore,
    /// Whose turn it is to update this BMC.
    pub(super) turn: Turn,
    pub(super) attempts: Attempts,
    /// Sessions of killed runs that were ended here.
    pub(super) ended: AtomicU32,
    /// Who held the session slots when none was free, if that could be read.
    pub(super) counted: OnceLock<Option<String>>,
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
        manners: Manners,
        pace: Pace,
        kin: Acquaintance,
    ) -> Self {
        Self {
            transport,
            trust,
            limits,
            login: RwLock::new(login),
            auth: Mutex::new(Auth::None),
            root: OnceLock::new(),
            kin,
            manners,
            pace,
            // One write at once per BMC, beside the reads that its pace allows.
            writes: Semaphore::new(1),
            logins: Semaphore::new(1),
            turn: Turn::default(),
            attempts: Attempts::default(),
            ended: AtomicU32::new(0),
            counted: OnceLock::new(),
        }
    }

    /// Another client of the same BMC, for another account or password: it shares the trust, and no session.
    pub(super) fn twin(&self, login: Login) -> Result<Self, BmcError> {
        let transport = self
            .transport
            .twin()
            .map_err(|e| BmcError { source: Some(e), ..malformed("prepare another client", "TLS cannot be set up") })?;
        let (manners, pace) = (self.manners.twin(), self.pace.twin());
        Ok(Self::new(transport, self.trust.clone(), self.limits.clone(), login, manners, pace, self.kin.twin()))
    }

    /// Another client of the same BMC under another trust. It has nobody's password.
    pub(super) fn under(&self, trust: Trust) -> Result<Self, BmcError> {
        let transport = self
            .transport
            .under(trust.clone())
            .map_err(|e| BmcError { source: Some(e), ..malformed("prepare another client", "TLS cannot be set up") })?;
        let login = Login { user: String::new(), password: Password::new(""), book: None, ..self.login() };
        let (manners, pace) = (self.manners.twin(), self.pace.twin());
        Ok(Self::new(transport, trust, self.limits.clone(), login, manners, pace, self.kin.twin()))
    }

    /// Reads a resource within the usual time.
    pub(super) async fn get(&self, at: &str) -> Result<Resource, BmcError> {
        self.get_by(at, Instant::now() + self.patience(at)).await
    }

    /// Reads a resource within the usual time and before `deadline`.
    pub(super) async fn look(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        self.get_by(at, deadline.min(Instant::now() + self.patience(at))).await
    }

    /// Reads a resource before `deadline`.
    pub(super) async fn get_by(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        let doing = reading(at);
        let _place = self.pace.enter(deadline).await.ok_or_else(|| crowded(&doing))?;
        let (path, answer) = self.read(at, deadline, true, &doing).await?;
        self.judged(path, &answer, &doing)
    }

    /// The whole answer to a read, for what is not always a resource.
    pub(super) async fn answer(&self, at: &str, deadline: Instant) -> Result<Answer, BmcError> {
        let doing = reading(at);
        let deadline = deadline.min(Instant::now() + self.limits.request);
        let _place = self.pace.enter(deadline).await.ok_or_else(|| crowded(&doing))?;
        Ok(self.read(at, deadline, true, &doing).await?.1)
    }

    /// Reads a resource without credentials and without a permit: the read that waits for this one holds it. Boxed, since that read's login
    /// is what asks for it.
    pub(super) fn get_open<'a>(&'a self, at: &'a str, deadline: Instant) -> BoxFuture<'a, Result<Resource, BmcError>> {
        Box::pin(async move {
            let doing = reading(at);
            let (path, answer) = self.read(at, deadline, false, &doing).await?;
            self.judged(path, &answer, &doing)
        })
    }

    /// A whole answer as a resource. One that says yes and is none is told (RC-30).
    fn judged(&self, path: String, answer: &Answer, doing: &str) -> Result<Resource, BmcError> {
        let judged = resource(path, answer, doing);
        if let Err(e) = &judged {
            self.kin.showed("RC-30", e.to_string());
        }
        judged
    }

    /// The loop of a read: every way in which the same question may be asked again, each of them bounded.
    async fn read(&self, at: &str, deadline: Instant, with_auth: bool, doing: &str) -> Result<(String, Answer), BmcError> {
        let mut at = at.to_owned();
        let (mut tries, mut redirects, mut relogged, mut breaks) = (0, 0, false, 0);
        let mut turned = None;
        loop {
            let auth = if with_auth { Some(self.authorise(deadline).await?) } else { None };
            let encoding = turned.unwrap_or_else(|| self.manners.encoding());
            let ask = Ask { method: Method::GET, path: &at, body: None, auth: auth.clone(), if_match: None, deadline };
            let answer = match self.once_as(ask, encoding, breaks > 0).await {
                Ok(answer) => answer,
                Err(gone) => {
                    self.note_break(doing, &gone);
                    if gone.reused && matches!(gone.how, Broke::Lost | Broke::Stalled) && breaks < BREAKS {
                        // The BMC had given that connection up; the question goes out anew on one of its own.
                        breaks += 1;
                        continue;
                    }
                    tries += 1;
                    let again = Instant::now() + self.limits.pause * 2_u32.pow(tries.min(8) - 1);
                    // One that was reached before is likely to be back in a moment; one that never was is likely to be dead.
                    let passing = match gone.how {
                        Broke::Lost | Broke::Stalled => true,
                        Broke::Connect => self.root.get().is_some(),
                        _ => false,
                    };
                    if passing && tries < TRIES && again < deadline {
                        sleep_until(again).await;
                        continue;
                    }
                    return Err(broken(doing, gone, self.trust.seen()));
                }
            };
            match answer.status.as_u16() {
                // RC-30: nothing at all is no resource; it may be one the next time.
                200 if answer.body.iter().all(u8::is_ascii_whitespace) && tries + 1 < TRIES => {
                    tries += 1;
                    self.kin.showed("RC-30", format!("{doing}: {} with nothing in it", answer.status));
                    sleep_until(deadline.min(Instant::now() + self.limits.pause)).await;
                }
                200..=299 => {
                    if !with_auth {
                        self.manners.settled();
                    }
                    return Ok((at, answer));
                }
                301 | 302 | 303 | 307 | 308 => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        return Err(malformed(doing, format!("more than {REDIRECTS} redirects")));
                    }
                    at = self.redirect(&at, &answer, doing)?;
                    self.kin.showed("RC-16", format!("{doing}: {} to {}", answer.status, super::error::safe(&at, 128)));
                }
                401 => match auth {
                    Some((name, token)) if name != header::AUTHORIZATION && !relogged => {
                        relogged = true;
                        self.kin.showed("RC-17", format!("{doing}: the session was not known any more"));
                        self.forget(&token);
                    }
                    auth => {
                        let mut error = refused(doing, answer.status, &answer.body);
                        match auth {
                            Some((name, _)) if name == header::AUTHORIZATION => self.refused_by(&error),
                            // The password was taken a moment ago: this is about rights or a broken session table.
                            Some(_) => error.kind = BmcTrouble::Refused,
                            None => {}
                        }
                        return Err(error);
                    }
                },
                406 if encoding != Encoding::Gzip => {
                    let to = if encoding == Encoding::Identity { "`Accept-Encoding: identity`" } else { "no Accept-Encoding" };
                    self.kin.showed("RC-10", format!("{doing}: 406 to {to}"));
                    turned = Some(self.turn(encoding, &at));
                }
                400 | 403 | 421 if !with_auth && self.manners.turn_strict() => {
                    self.kin.showed("RC-12", format!("{doing}: {} to a Host with its port", answer.status));
                }
                429 | 503 => {
                    tries += 1;
                    self.note_busy(doing, &answer);
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

    /// What to ask for after a 406, which is learned.
    pub(super) fn turn(&self, refused: Encoding, at: &str) -> Encoding {
        let next = self.manners.next(refused, at);
        if self.manners.encoding() != Encoding::Identity {
            self.kin.learn(Learned { no_identity: Some(true), ..Learned::default() });
        }
        next
    }

    /// Notes what a broken read shows, for people.
    fn note_break(&self, doing: &str, gone: &Broken) {
        let row = match gone.how {
            Broke::Lost if gone.head.is_some() => "RC-08",
            Broke::Lost if gone.reused => "RC-04",
            Broke::Stalled => "RC-05",
            _ => return,
        };
        self.kin.showed(row, format!("{doing}: {}", super::error::safe(&gone.seen, 128)));
    }

    /// Notes a busy answer, and a `Retry-After` that is no number of seconds between 1 and 120.
    fn note_busy(&self, doing: &str, answer: &Answer) {
        self.kin.showed("RC-47", format!("{doing}: {}", answer.status));
        let after = answer.headers.get(header::RETRY_AFTER).map(|after| String::from_utf8_lossy(after.as_bytes()).into_owned());
        if let Some(odd) = after.filter(|after| !after.trim().parse::<u32>().is_ok_and(|s| (1..=120).contains(&s))) {
            self.kin.showed("RC-46", format!("{doing}: Retry-After is `{}`", super::error::safe(&odd, 64)));
        }
    }

    /// Where a redirect leads, if that is this BMC.
    fn redirect(&self, from: &str, answer: &Answer, doing: &str) -> Result<String, BmcError> {
        let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.ok_or_else(|| malformed(doing, format!("{} without a Location", answer.status)))?;
        let (authority, path) = path::resolve(from, to).map_err(|why| malformed(doing, format!("redirected badly: {why}")))?;
        let host = |authority: &str| authority.rsplit_once('@').map_or(authority, |(_, h)| h).to_ascii_lowercase();
        let own = self.manners.host();
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
        self.manners.put(headers, self.manners.encoding());
    }

    /// Nothing else is asked of this BMC while this is held (RC-50).
    pub(super) async fn quiet(&self, deadline: Instant, doing: &str) -> Result<(SemaphorePermit<'_>, Quiet<'_>), BmcError> {
        let writes = permit(&self.writes, deadline, doing).await?;
        Ok((writes, self.pace.quiet(deadline).await.ok_or_else(|| crowded(doing))?))
    }

    /// Sends one request once. What acts on the machine has a connection of its own: a request that is lost to a connection which the BMC had
    /// given up already would leave its effect unknown for nothing (RC-04).
    pub(super) async fn once(&self, ask: Ask<'_>) -> Result<Answer, Broken> {
        let acts = ask.method != Method::GET && ask.auth.is_some();
        self.once_as(ask, self.manners.encoding(), acts).await
    }

    /// Sends one request once, on a new connection when `fresh`.
    pub(super) async fn once_as(&self, ask: Ask<'_>, encoding: Encoding, fresh: bool) -> Result<Answer, Broken> {
        self.heed();
        // Logging in and out may take its time; a read that stands still is asked again.
        let read = ask.method == Method::GET;
        let stall = if read { self.limits.stall } else { self.limits.stall * 2 };
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        if let Some(headers) = request.headers_mut() {
            self.manners.put(headers, encoding);
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
        let within = self.fresh_enough(read);
        let answer = self.transport.exchange(request, &Terms { deadline: ask.deadline, fresh, within, stall: Some(stall) }).await;
        match &answer {
            Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => self.slower(),
            Ok(_) => self.well(),
            Err(gone) => self.stumbled(gone),
        }
        let mut answer = answer?;
        match plain(&answer.headers, std::mem::take(&mut answer.body), self.limits.body) {
            Ok(body) => answer.body = body,
            Err(why) => return Err(Broken::new(Broke::Malformed, true, why).after(answer.status, answer.headers)),
        }
        Ok(answer)
    }
}

/// How often a read is asked anew because a reused connection failed: as many as may wait.
const BREAKS: u32 = 2;

fn reading(at: &str) -> String {
    format!("GET {}", super::error::safe(at, 256))
}

/// Judges a whole answer by its content: 200 is not yet a resource.
fn resource(path: String, answer: &Answer, doing: &str) -> Result<Resource, BmcError> {
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
    match timeout_at(deadline, from.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(crowded(doing)),
    }
}

fn crowded(doing: &str) -> BmcError {
    BmcError {
        doing: doing.to_owned(),
        seen: "earlier requests to this BMC did not end before the deadline".to_owned(),
        kind: BmcTrouble::TimedOut,
        source: None,
    }
}

/// True for a status that says no and promises that nothing was done.
pub(super) fn certain_no(status: StatusCode) -> bool {
    status.is_redirection() || status.is_client_error() || matches!(status.as_u16(), 501 | 503)
}
