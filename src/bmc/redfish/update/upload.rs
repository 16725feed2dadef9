//! One push: one POST whose body goes over the wire once, with nothing else asked of the BMC meanwhile (RC-50). It says of every end whether the
//! BMC may have the whole image. It never decides what is done next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use tokio::time::{Instant, sleep};

use super::super::client::{Client, certain_no};
use super::super::error::{broken, hear, refused, safe};
use super::super::transport::{Answer, Broke, Broken, Terms};
use super::find::Answered;
use super::load::{Load, Sent};
use super::refusal::{Meaning, meaning};
use crate::bmc::BmcError;
use crate::bmc::updating::{UpdateClass, UpdateProgress};

/// A request with a body.
pub(super) struct Push<'a> {
    /// Where to.
    pub(super) at: &'a str,
    /// Its media type.
    pub(super) kind: String,
    /// iLO's session cookie.
    pub(super) cookie: Option<HeaderValue>,
    /// `If-Match`.
    pub(super) if_match: Option<HeaderValue>,
    /// The login.
    pub(super) auth: (HeaderName, HeaderValue),
    /// Its body.
    pub(super) load: Load,
}

/// What came of a push.
pub(super) enum Pushed {
    /// The BMC said that it took it.
    Taken(Answered),
    /// It does not have the whole image, or promised that nothing was done.
    No {
        /// What its refusal means.
        meaning: Meaning,
        /// How long it asked to wait.
        wait: Duration,
        /// The error to show.
        error: BmcError,
    },
    /// It may have the whole image.
    Unclear(BmcError),
}

/// An error with a class: its chain in one line, the class beneath.
pub(super) fn classed(class: UpdateClass, error: BmcError) -> BmcError {
    let mut seen = error.seen;
    let mut cause = error.source.as_deref().map(|e| e as &dyn std::error::Error);
    while let Some(under) = cause {
        seen.push_str(&format!(": {}", safe(&under.to_string(), 256)));
        cause = under.source();
    }
    BmcError { seen, source: Some(Box::new(class)), ..error }
}

impl Client {
    /// Pushes once.
    pub(super) async fn push(&self, push: Push<'_>, deadline: Instant, tell: &(dyn Fn(UpdateProgress) + Send + Sync)) -> Pushed {
        let doing = format!("POST {}", safe(push.at, 256));
        let no = |error| Pushed::No { meaning: Meaning::Class(UpdateClass::Transient), wait: Duration::ZERO, error };
        let _quiet = match self.quiet(deadline, &doing).await {
            Ok(permits) => permits,
            Err(error) => return no(classed(UpdateClass::Busy, error)),
        };
        let sent = push.load.sent();
        let mut request = Request::builder().method(Method::POST).uri(push.at);
        if let Some(headers) = request.headers_mut() {
            self.dress(headers);
            // Always, and never `Expect: 100-continue`: iDRAC takes no chunks (RC-11), others never answer 100 (RC-13).
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(sent.of()));
            if let Ok(kind) = HeaderValue::from_str(&push.kind) {
                headers.insert(header::CONTENT_TYPE, kind);
            }
            let (name, token) = push.auth.clone();
            headers.insert(name, token);
            for (name, value) in [(header::COOKIE, push.cookie), (header::IF_MATCH, push.if_match)] {
                headers.extend(value.map(|value| (name, value)));
            }
        }
        let told = AtomicU64::new(0);
        let answer = match request.body(push.load).map_err(Broken::unaskable) {
            Ok(request) => {
                // A fresh connection: nobody has grown tired of it.
                let terms = Terms { deadline, fresh: true, within: Duration::ZERO, stall: None };
                tokio::select! {
                    answer = self.transport.exchange(request, &terms) => answer,
                    gone = self.stands_still(&sent, &told, tell) => Err(gone),
                }
            }
            Err(gone) => Err(gone),
        };
        // However short it was, it is told.
        if sent.bytes() > told.into_inner() {
            tell(UpdateProgress::Uploading { sent: sent.bytes(), of: sent.of() });
        }
        match answer {
            Ok(answer) => self.judge_push(&doing, &push.auth, &sent, answer),
            Err(gone) => {
                let was_sent = gone.sent;
                let error = broken(&doing, gone, self.trust.seen());
                if let Some(trouble) = sent.trouble() {
                    return Pushed::No {
                        meaning: Meaning::Class(UpdateClass::Precondition),
                        wait: Duration::ZERO,
                        error: UpdateClass::Precondition.error(doing, trouble),
                    };
                }
                if was_sent && sent.whole() {
                    return Pushed::Unclear(error);
                }
                let mut error = classed(UpdateClass::Transient, error);
                if was_sent {
                    error.seen = format!("{} after {} of {} bytes", error.seen, sent.bytes(), sent.of());
                }
                no(error)
            }
        }
    }

    fn judge_push(&self, doing: &str, auth: &(HeaderName, HeaderValue), sent: &Sent, answer: Answer) -> Pushed {
        if answer.status.is_success() {
            let said = hear(&answer.body);
            let words = if said.messages.is_empty() { String::new() } else { format!(": {said}") };
            let words = format!("{doing} was answered {}{words}", answer.status);
            return Pushed::Taken(Answered { headers: answer.headers, body: answer.body.into(), words });
        }
        let error = refused(doing, answer.status, &answer.body);
        // What was not wholly sent had no effect, whatever the status.
        if sent.whole() && !certain_no(answer.status) {
            return Pushed::Unclear(error);
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            if auth.0 == header::AUTHORIZATION { self.refuse(&error.seen) } else { self.forget(&auth.1) }
        }
        let meaning = meaning(answer.status, &answer.body);
        let wait = self.retry_after(&answer.headers);
        let error = match meaning {
            Meaning::Class(class) => classed(class, error),
            Meaning::Session => classed(UpdateClass::Transient, error),
            Meaning::AlreadyCurrent | Meaning::Tag => classed(UpdateClass::Rejected, error),
        };
        Pushed::No { meaning, wait, error }
    }

    /// Ends when an upload stands still for too long, or its answer does not come.
    async fn stands_still(&self, sent: &Sent, told: &AtomicU64, tell: &(dyn Fn(UpdateProgress) + Send + Sync)) -> Broken {
        let limits = &self.limits.update;
        let (mut last, mut since) = (0, Instant::now());
        loop {
            sleep(self.limits.poll.0).await;
            let bytes = sent.bytes();
            if bytes != last {
                (last, since) = (bytes, Instant::now());
                told.store(bytes, Ordering::Relaxed);
                tell(UpdateProgress::Uploading { sent: bytes, of: sent.of() });
            }
            let (most, what) =
                if sent.whole() { (limits.answer, "no answer") } else { (limits.silent, "the upload stood still") };
            if since.elapsed() >= most {
                let seen = format!("{what} for {:.0} s", most.as_secs_f32());
                return Broken::new(Broke::TimedOut, true, seen);
            }
        }
    }
}
