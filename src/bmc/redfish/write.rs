//! Requests that change something. Each is sent once; only an answer that promises that nothing was done (412 and 428: the BMC wants another
//! entity tag) lets it be sent again. What came of it is one of three things, and none of them is "probably fine".

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::client::{Ask, Client, certain_no, permit};
use super::error::{Said, broken, hear, refused, safe, trouble};
use super::limits::TRIES;
use super::manners::Encoding;
use super::transport::{Answer, Broke, Broken};
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

/// The steps of the entity-tag ladder (RC-35 to RC-37).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    Read,
    Reread,
    Star,
    Bare,
}

impl Client {
    /// POST to an action's target. Without `If-Match` first: iDRAC10 refuses one on actions, AMI asks for `*` (RC-36).
    pub(super) async fn post(&self, at: &str, body: &Value, deadline: Instant) -> Sent {
        let bytes = Bytes::from(body.to_string());
        let first = self.write(Method::POST, at, bytes.clone(), None, deadline).await;
        if wants_tag(&first) {
            return self.write(Method::POST, at, bytes, Some(HeaderValue::from_static("*")), deadline).await;
        }
        first
    }

    /// PATCH with the entity tag just read; on 412 or 428 with the one read again, then `*`, then none.
    pub(super) async fn patch(&self, at: &str, body: &Value, tag: Option<HeaderValue>, deadline: Instant) -> Sent {
        let bytes = Bytes::from(body.to_string());
        let ladder: &[Rung] = if tag.is_some() {
            &[Rung::Read, Rung::Reread, Rung::Star, Rung::Bare]
        } else {
            &[Rung::Bare, Rung::Reread, Rung::Star]
        };
        let mut last = None;
        for rung in ladder {
            let tag = match rung {
                Rung::Read => tag.clone(),
                Rung::Reread => match self.get_by(at, deadline).await {
                    Ok(resource) if resource.etag.is_some() => resource.etag,
                    Ok(_) => continue,
                    Err(error) => return Sent::No { status: None, error },
                },
                Rung::Star => Some(HeaderValue::from_static("*")),
                Rung::Bare => None,
            };
            let sent = self.write(Method::PATCH, at, bytes.clone(), tag, deadline).await;
            if !wants_tag(&sent) {
                return sent;
            }
            last = Some(sent);
        }
        last.unwrap_or_else(|| Sent::No { status: None, error: super::error::malformed("PATCH", "no way to send it was found") })
    }

    async fn write(&self, method: Method, at: &str, body: Bytes, if_match: Option<HeaderValue>, deadline: Instant) -> Sent {
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
                self.forget(&auth.1);
                continue;
            }
            if answer.status == StatusCode::NOT_ACCEPTABLE && encoding != Encoding::Gzip {
                turned = Some(self.manners.next(encoding, at));
                continue;
            }
            return self.answered(&doing, &answer, &auth);
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
                self.refuse(&error);
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

fn wants_tag(sent: &Sent) -> bool {
    matches!(sent, Sent::No { status: Some(StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED), .. })
}
