//! Requests that change something. Each is sent once; only an answer that promises that nothing was done (412 and 428: the BMC wants another
//! entity tag) lets it be sent again. What came of it is one of three things, and none of them is "probably fine".

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::client::{Ask, Client, certain_no, permit};
use super::error::{broken, hear, refused, safe};
use super::ladder::{steps, steps_of_action, value};
use crate::bmc::BmcError;
use crate::bmc::quirk::{Learned, TagStep};

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
        let first = self.kin.learned().action_tag.unwrap_or_else(|| self.kin.habit(|habits| habits.action_tag));
        let bytes = Bytes::from(body.to_string());
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
            let sent = self.write(Method::POST, at, bytes.clone(), if_match, deadline).await;
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
        let bytes = Bytes::from(body.to_string());
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
        self.write(Method::PATCH, at, Bytes::from(body.to_string()), star, deadline).await
    }

    async fn write(&self, method: Method, at: &str, body: Bytes, if_match: Option<HeaderValue>, deadline: Instant) -> Sent {
        let doing = format!("{method} {}", safe(at, 256));
        let deadline = deadline.min(Instant::now() + self.limits.request);
        let auth = match self.authorise(deadline).await {
            Ok(auth) => auth,
            Err(error) => return Sent::No { status: None, error },
        };
        let _permit = match permit(&self.writes, deadline, &doing).await {
            Ok(permit) => permit,
            Err(error) => return Sent::No { status: None, error },
        };
        let ask = Ask { method, path: at, body: Some(body), auth: Some(auth.clone()), if_match, deadline };
        match self.once(ask).await {
            Err(gone) if gone.sent => Sent::Unclear(broken(&doing, gone, self.trust.seen())),
            Err(gone) => Sent::No { status: None, error: broken(&doing, gone, self.trust.seen()) },
            Ok(answer) if answer.status.is_success() => {
                let said = hear(&answer.body);
                let words = if said.messages.is_empty() || !said.ids.iter().any(|id| id != "Success") {
                    answer.status.to_string()
                } else {
                    format!("{}: {said}", answer.status)
                };
                Sent::Taken(format!("{doing} was answered {words}"))
            }
            Ok(answer) => {
                if answer.status == StatusCode::UNAUTHORIZED {
                    if auth.0 == header::AUTHORIZATION {
                        self.refuse(answer.status.as_str());
                    } else {
                        self.forget(&auth.1);
                    }
                }
                let error = refused(&doing, answer.status, &answer.body);
                if certain_no(answer.status) { Sent::No { status: Some(answer.status), error } } else { Sent::Unclear(error) }
            }
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

fn no_step() -> Sent {
    Sent::No { status: None, error: super::error::malformed("PATCH", "no way to send it was found") }
}

fn wants_tag(sent: &Sent) -> bool {
    matches!(sent, Sent::No { status: Some(StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED), .. })
}
