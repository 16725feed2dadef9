//! Sends an image in the form that its BMC wants. It is sent again only after a refusal that promises that nothing was done, and after a look
//! that confirms it; an answer that is lost ends the sending for good.

use std::sync::PoisonError;
use std::time::Duration;

use http::header::{self, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::super::write::Sent;
use super::find::Named;
use super::load::{Image, Load};
use super::multipart::{Field, Parts, boundary, frame};
use super::refusal::Meaning;
use super::service::{self, Form};
use super::upload::{Push, Pushed, classed};
use super::walk::Walk;
use crate::bmc::BmcError;
use crate::bmc::updating::{UpdateClass, UpdateProgress};

/// What came of the sending.
pub(super) enum Sending {
    /// The BMC took it; what its answer named, and its words.
    Taken(Named, String),
    /// It may have taken it: the answer was lost.
    Unclear(BmcError),
    /// It says that this image runs already.
    Current(BmcError),
    /// Refused for now, with the promise that nothing was done; how long it asks to wait.
    Later(BmcError, Duration),
    /// It has nothing of it.
    No(BmcError),
}

/// A body that can be made again for every sending.
enum Body<'a> {
    /// The image in the form's own frame.
    Image(&'a Form),
    /// JSON.
    Json(&'a Value),
}

impl Walk<'_> {
    /// Sends the image. Lenovo: whoever pushes claims the service first, and gives it back.
    pub(super) async fn send(&self, form: &Form) -> Sending {
        if !self.habits.upload_claim || !self.service.claimable {
            return self.send_form(form).await;
        }
        if let Err(e) = self.claim(true).await {
            return Sending::No(e);
        }
        let sending = self.send_form(form).await;
        match (self.claim(false).await, sending) {
            (Err(e), Sending::Taken(named, words)) => {
                Sending::Taken(named, format!("{words}; HttpPushUriTargetsBusy could not be given back: {e}"))
            }
            (_, sending) => sending,
        }
    }

    async fn send_form(&self, form: &Form) -> Sending {
        match form {
            Form::Multipart(at) | Form::Bare(at) | Form::Hpe(at) => self.send_body(at, &Body::Image(form), None).await,
            Form::Simple(at) => self.send_body(at, &Body::Json(&self.simple(self.image.url.unwrap_or_default())), None).await,
            Form::ThenSimple { at, simple } => {
                // iDRAC wants the inventory's own tag (firmware.md §1.1).
                let tag = match self.client.look(at, self.deadline).await {
                    Ok(inventory) => inventory.etag,
                    Err(e) => return Sending::No(classed(UpdateClass::Transient, e)),
                };
                let (named, words) = match self.send_body(at, &Body::Image(form), tag).await {
                    Sending::Taken(named, words) => (named, words),
                    // An image that lies in the inventory has no effect yet.
                    Sending::Unclear(e) => return Sending::No(classed(UpdateClass::Transient, e)),
                    other => return other,
                };
                let Some(lies) = named.first() else {
                    let seen = format!("{words}, but the answer does not say where the image lies; nothing was started");
                    return Sending::No(UpdateClass::Rejected.error(&self.doing, seen));
                };
                self.send_body(simple, &Body::Json(&self.simple(lies)), None).await
            }
        }
    }

    /// Starts an image that was staged for it (Supermicro).
    pub(super) async fn start(&self) -> Sending {
        let Some(at) = &self.service.start else {
            return Sending::No(
                UpdateClass::Rejected.error(&self.doing, "the image is there, but the BMC offers no StartUpdate"),
            );
        };
        self.send_body(at, &Body::Json(&json!({})), None).await
    }

    fn simple(&self, url: &str) -> Value {
        service::simple(&self.habits, url, self.targets().as_deref())
    }

    fn targets(&self) -> Option<Vec<String>> {
        let related = self.item.related.first().map(String::as_str);
        service::targets(&self.habits, self.image.targets, &self.item.at, related)
    }

    async fn claim(&self, busy: bool) -> Result<(), BmcError> {
        let at = &self.service.at;
        let tag = self.client.look(at, self.deadline).await?.etag;
        match self.client.patch(at, &json!({ "HttpPushUriTargetsBusy": busy }), tag, self.deadline).await {
            Sent::Taken(_) => Ok(()),
            Sent::No { error, .. } | Sent::Unclear(error) => Err(classed(UpdateClass::Busy, error)),
        }
    }

    async fn send_body(&self, at: &str, body: &Body<'_>, tag: Option<HeaderValue>) -> Sending {
        let star = || Some(HeaderValue::from_static("*"));
        let mut if_match = tag.or_else(|| if self.habits.upload_star { star() } else { None });
        let mut tags = 0;
        loop {
            if let Err(e) = self.wait_gap().await {
                return Sending::No(e);
            }
            let push = match self.dress(at, body, if_match.clone()).await {
                Ok(push) => push,
                Err(e) => return Sending::No(e),
            };
            let pushed = self.client.push(push, self.deadline, self.tell).await;
            *self.client.turn.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let (meaning, wait, error) = match pushed {
                Pushed::Taken(answered) => {
                    return Sending::Taken(Named::of(&answered.headers, &answered.body), answered.words);
                }
                Pushed::Unclear(e) => return Sending::Unclear(e),
                Pushed::No { meaning, wait, error } => (meaning, wait, error),
            };
            match meaning {
                Meaning::AlreadyCurrent => return Sending::Current(error),
                // The other step of the ladder (RC-36): with `*` if it was without, and the other way round.
                Meaning::Tag if tags < 2 => {
                    tags += 1;
                    if_match = if if_match.is_none() { star() } else { None };
                }
                Meaning::Session => return Sending::Later(error, Duration::ZERO),
                Meaning::Class(UpdateClass::Busy) => return Sending::Later(error, wait),
                Meaning::Tag | Meaning::Class(_) => return Sending::No(error),
            }
        }
    }

    /// The last upload must be out of the BMC's memory (RC-50).
    async fn wait_gap(&self) -> Result<(), BmcError> {
        let last = *self.client.turn.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = last.map(|last| last + self.times.gap).filter(|until| *until > Instant::now()) else { return Ok(()) };
        if until >= self.deadline {
            return Err(UpdateClass::Busy.error(&self.doing, "the last upload is too fresh, and the deadline too near"));
        }
        (self.tell)(UpdateProgress::Waiting("the last upload ended a moment ago".to_owned()));
        sleep_until(until).await;
        Ok(())
    }

    /// One request, made anew: the file is opened each time.
    async fn dress<'a>(&self, at: &'a str, body: &Body<'_>, if_match: Option<HeaderValue>) -> Result<Push<'a>, BmcError> {
        let auth = self.client.authorise(self.deadline.min(Instant::now() + self.client.limits.request)).await?;
        let form = match body {
            Body::Json(value) => {
                let load = Load::bytes(value.to_string().into());
                return Ok(Push { at, kind: "application/json".to_owned(), cookie: None, if_match, auth, load });
            }
            Body::Image(form) => form,
        };
        let unreadable = |e: std::io::Error| {
            UpdateClass::Precondition.error(&self.doing, format!("the image {}: {e}", self.image.file.display()))
        };
        let image = Image::open(self.image.file).await.map_err(unreadable)?;
        let sha256 = self.image.sha256;
        let framed = |before: &[Field], name: &str, after: &[Field], image: Image| {
            let frame = frame(&boundary(), &Parts { before, image: name, file: self.image.name, after });
            (frame.content_type, Load::image(frame.before, image, sha256, frame.after))
        };
        let mut cookie = None;
        let (kind, load) = match form {
            Form::Multipart(_) => {
                let (before, after) = self.parts();
                framed(&before, "UpdateFile", &after, image)
            }
            Form::ThenSimple { .. } => framed(&[], "file", &[], image),
            Form::Hpe(_) => {
                let Some(token) = auth.1.to_str().ok().filter(|_| auth.0 != header::AUTHORIZATION) else {
                    return Err(UpdateClass::Precondition
                        .error(&self.doing, "iLO takes an image under a session only, and there is none"));
                };
                let token = Zeroizing::new(token.to_owned());
                cookie =
                    HeaderValue::from_str(&Zeroizing::new(format!("sessionKey={}", token.as_str()))).ok().map(|mut cookie| {
                        cookie.set_sensitive(true);
                        cookie
                    });
                framed(&hpe_fields(token), "files[]", &[], image)
            }
            Form::Bare(_) | Form::Simple(_) => {
                ("application/octet-stream".to_owned(), Load::image(bytes::Bytes::new(), image, sha256, bytes::Bytes::new()))
            }
        };
        Ok(Push { at, kind, cookie, if_match, auth, load })
    }

    /// The parts of a standard push: `UpdateParameters` before the image, the maker's own after it.
    fn parts(&self) -> (Vec<Field>, Vec<Field>) {
        let parameters = service::parameters(&self.habits, self.targets().as_deref());
        let own = |part: &crate::bmc::quirk::Part| Field::json(&part.name, &json!(part.json));
        (vec![Field::json("UpdateParameters", &parameters)], self.habits.upload_parts.iter().map(own).collect())
    }
}

/// iLO's fields before the image (fwupd `fu-redfish-hpe-device.c`): flash it now, keep no copy in the repository.
fn hpe_fields(token: Zeroizing<String>) -> [Field; 2] {
    let parameters = json!({ "UpdateRepository": false, "UpdateTarget": true, "ETag": "bringup" });
    [Field { name: "sessionKey".to_owned(), kind: None, text: token }, Field::json("parameters", &parameters)]
}
