//! Requests that change something. Each is sent once; only an answer that promises that nothing was done (412 and 428: the BMC wants another
//! entity tag) lets it be sent again. What came of it is one of three things, and none of them is "probably fine".

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Ask, Client, certain_no, permit};
use super::error::{broken, hear, refused, safe};
use crate::bmc::BmcError;

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

fn wants_tag(sent: &Sent) -> bool {
    matches!(sent, Sent::No { status: Some(StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED), .. })
}
