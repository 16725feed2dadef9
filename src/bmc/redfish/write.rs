//! Requests that change something. Each is sent once; only an answer that promises that nothing was done (412 and 428: the BMC wants another
//! entity tag) lets it be sent again. What came of it is one of three things, and none of them is "probably fine".

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::client::{Ask, Client, certain_no, permit};
use super::error::{Said, broken, hear, refused, safe, trouble};
use super::ladder::{steps, steps_of_action, value};
use super::limits::TRIES;
use super::manners::Encoding;
use super::transport::{Answer, Broke, Broken};
use crate::bmc::quirk::{Learned, TagStep};
use crate::bmc::{BmcError, BmcTrouble};

/// What came of a request that changes something.
pub(super) enum Sent {
    /// The BMC said that it took it, in these words. What it did is to be read.
    Taken(String),
    /// It was not sent, or the BMC promised that nothing was done.
    No {
        /// The refusal's status, when the BMC gave one.
        status: Option<StatusCode>,
        /// The error to show.
        error: BmcError,
    },
    /// The answer was lost, or says nothing about what was done.
    Unclear(BmcError),
}

/// How often a change that the BMC refuses for the time being is asked for again, with a pause that doubles (ironic bug 2136275; RC-64).
const PATIENCE: u32 = 6;

impl Client {
    /// POST to an action's target, by the ladder for actions.
    pub(super) async fn post(&self, at: &str, body: &Value, deadline: Instant) -> Sent {
        self.post_for(at, body, deadline, &mut Vec::new()).await
    }

    /// The same; `told` is the body of the answer when the action was taken.
    pub(super) async fn post_for(&self, at: &str, body: &Value, deadline: Instant, told: &mut Vec<u8>) -> Sent {
        let first = self.kin.learned().action_tag.unwrap_or_else(|| self.kin.habit(|habits| habits.action_tag));
        let bytes = sealed(body);
        let mut last = None;
        for (place, step) in steps_of_action(first).into_iter().enumerate() {
            // An action has no tag of its own; what it acts on has.
            let owner = at.split_once("/Actions/").map(|(owner, _)| owner);
            let tag = match (step, owner) {
                (TagStep::Given | TagStep::Strong, Some(owner)) => {
                    self.get_by(owner, deadline).await.ok().and_then(|resource| resource.etag)
                }
                _ => None,
            };
            let Ok(if_match) = value(step, tag.as_ref()) else { continue };
            let sent = self.write_for(Method::POST, at, bytes.clone(), if_match, deadline, told).await;
            if !wants_tag(&sent) {
                if place > 0 && matches!(sent, Sent::Taken(_)) {
                    self.kin.learn(Learned { action_tag: Some(step), ..Learned::default() });
                }
                return sent;
            }
            last = Some(sent);
        }
        last.unwrap_or_else(no_step)
    }

    /// DELETE once.
    pub(super) async fn delete(&self, at: &str, deadline: Instant) -> Sent {
        self.write(Method::DELETE, at, Bytes::new(), None, deadline).await
    }

    /// PATCH by the ladder, `tag` being the one just read. A BMC that refuses changes for the time being is asked again before the deadline.
    pub(super) async fn patch(&self, at: &str, body: &Value, tag: Option<HeaderValue>, deadline: Instant) -> Sent {
        let mut pause = self.limits.poll.1;
        let mut tag = tag;
        for _ in 0..PATIENCE {
            let sent = self.climb(at, body, tag.take(), deadline).await;
            let until = Instant::now() + pause;
            match &sent {
                Sent::No { status, error } if passing(*status, error) && until < deadline => sleep_until(until).await,
                _ => return sent,
            }
            pause *= 2;
        }
        self.climb(at, body, None, deadline).await
    }

    async fn climb(&self, at: &str, body: &Value, mut tag: Option<HeaderValue>, deadline: Instant) -> Sent {
        let first = self.kin.learned().patch_tag.unwrap_or_else(|| self.kin.habit(|habits| habits.patch_tag));
        let bytes = sealed(body);
        let mut last = None;
        for step in steps(first) {
            if tag.is_none() && matches!(step, TagStep::Given | TagStep::Strong) {
                tag = match self.get_by(at, deadline).await {
                    Ok(resource) => resource.etag,
                    Err(error) => return Sent::No { status: None, error },
                };
            }
            // A tag is used once: the next step reads it anew, for it may have changed meanwhile.
            let Ok(if_match) = value(step, tag.take().as_ref()) else { continue };
            let sent = self.write(Method::PATCH, at, bytes.clone(), if_match, deadline).await;
            if !wants_tag(&sent) {
                if last.is_some() && matches!(sent, Sent::Taken(_)) {
                    self.kin.learn(Learned { patch_tag: Some(step), ..Learned::default() });
                }
                return sent;
            }
            last = Some(sent);
        }
        last.unwrap_or_else(no_step)
    }

    /// PATCH once with `If-Match: *`: for a change that was taken and then shown not to be there, as AMI drops one without a tag (RC-35).
    pub(super) async fn patch_any(&self, at: &str, body: &Value, deadline: Instant) -> Sent {
        let star = Some(HeaderValue::from_static("*"));
        self.write(Method::PATCH, at, sealed(body), star, deadline).await
    }

    async fn write(&self, method: Method, at: &str, body: Bytes, if_match: Option<HeaderValue>, deadline: Instant) -> Sent {
        self.write_for(method, at, body, if_match, deadline, &mut Vec::new()).await
    }

    async fn write_for(
        &self,
        method: Method,
        at: &str,
        body: Bytes,
        if_match: Option<HeaderValue>,
        deadline: Instant,
        told: &mut Vec<u8>,
    ) -> Sent {
        let doing = format!("{method} {}", safe(at, 256));
        let deadline = deadline.min(Instant::now() + self.limits.request);
        let (mut tries, mut relogged, mut turned) = (0, false, None);
        loop {
            let auth = match self.authorise(deadline).await {
                Ok(auth) => auth,
                Err(error) => return Sent::No { status: None, error },
            };
            let permit = match permit(&self.writes, deadline, &doing).await {
                Ok(permit) => permit,
                Err(error) => return Sent::No { status: None, error },
            };
            let (body, if_match) = (Some(body.clone()), if_match.clone());
            let ask = Ask { method: method.clone(), path: at, body, auth: Some(auth.clone()), if_match, deadline };
            let encoding = turned.unwrap_or_else(|| self.manners.encoding());
            let answer = match self.once_as(ask, encoding, true).await {
                Ok(answer) => answer,
                Err(gone) => {
                    tries += 1;
                    let again = Instant::now() + self.limits.pause * 2_u32.pow(tries - 1);
                    // Not a byte of it was taken, so that it may go out again (RC-04).
                    let unsent = !gone.sent && matches!(gone.how, Broke::Connect | Broke::Lost);
                    if unsent && tries < TRIES && again < deadline {
                        drop(permit);
                        sleep_until(again).await;
                        continue;
                    }
                    return self.unanswered(&doing, gone);
                }
            };
            if answer.status == StatusCode::UNAUTHORIZED && auth.0 != header::AUTHORIZATION && !relogged {
                // The session has ended, and whoever is not known is not obeyed (DSP0266 §13.2.1): log in once and say it again (RC-17).
                relogged = true;
                self.kin.showed("RC-17", format!("{doing}: the session was not known any more"));
                self.forget(&auth.1);
                continue;
            }
            if answer.status == StatusCode::NOT_ACCEPTABLE && encoding != Encoding::Gzip {
                turned = Some(self.turn(encoding, at));
                continue;
            }
            let sent = self.answered(&doing, &answer, &auth);
            if matches!(sent, Sent::Taken(_)) {
                *told = answer.body;
            }
            return sent;
        }
    }

    /// What a whole answer means.
    fn answered(&self, doing: &str, answer: &Answer, auth: &(HeaderName, HeaderValue)) -> Sent {
        if answer.status.is_success() {
            let said = hear(&answer.body);
            let words = if said.messages.is_empty() || !said.ids.iter().any(|id| id != "Success") {
                answer.status.to_string()
            } else {
                format!("{}: {said}", answer.status)
            };
            return Sent::Taken(format!("{doing} was answered {words}"));
        }
        let mut error = refused(doing, answer.status, &answer.body);
        if answer.status == StatusCode::UNAUTHORIZED {
            if auth.0 == header::AUTHORIZATION {
                self.refused_by(&error);
            } else {
                // The password was taken a moment ago: this is about rights or a broken session table.
                error.kind = BmcTrouble::Refused;
                self.forget(&auth.1);
            }
        }
        if certain_no(answer.status) { Sent::No { status: Some(answer.status), error } } else { Sent::Unclear(error) }
    }

    /// What an exchange means that broke: its head, when that came, says what the BMC made of the request (RC-08).
    fn unanswered(&self, doing: &str, mut gone: Broken) -> Sent {
        let status = gone.head.take().map(|head| head.0);
        let sent = gone.sent;
        let error = broken(doing, gone, self.trust.seen());
        match status {
            Some(status) if status.is_success() => Sent::Taken(format!("{doing} was answered {status}, and the rest was lost")),
            Some(status) if certain_no(status) => {
                let kind = trouble(status, &Said::default());
                let error = BmcError { seen: format!("{status}: {}", error.seen), kind, ..error };
                Sent::No { status: Some(status), error }
            }
            _ if sent => Sent::Unclear(error),
            _ => Sent::No { status: None, error },
        }
    }
}

/// True for a refusal that passes by itself: the host is in POST (HPE, RC-64), the BMC is not ready yet (Dell's SYS518), or busy.
pub(super) fn passing(status: Option<StatusCode>, error: &BmcError) -> bool {
    const PASSING: [&str; 4] =
        ["UnableToModifyDuringSystemPOST", "InvalidOperationForSystemState", "SYS518", "ServiceTemporarilyUnavailable"];
    let Some(status) = status else { return false };
    matches!(status.as_u16(), 423 | 429 | 503) || PASSING.iter().any(|word| error.seen.contains(word))
}

/// A body that is wiped when it has been sent: some hold passwords.
fn sealed(body: &Value) -> Bytes {
    Bytes::from_owner(Zeroizing::new(body.to_string().into_bytes()))
}

fn no_step() -> Sent {
    Sent::No { status: None, error: super::error::malformed("PATCH", "no way to send it was found") }
}

fn wants_tag(sent: &Sent) -> bool {
    matches!(sent, Sent::No { status: Some(StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED), .. })
}
