//! Logging in and out. One login at a time, one attempt per password: after a refusal nothing more is sent for as long as this client lives,
//! because BMCs lock accounts. Sessions where the service has them, Basic where it has none or the caller allows it; never from the one to the
//! other midway. Sessions are written down while they are open ([`super::book`]), so that none outlives a killed process for long.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;
use zeroize::{Zeroize as _, Zeroizing};

use super::book::{SessionBook, SessionNote};
use super::client::{Ask, Client, Resource, permit};
use super::error::{broken, malformed, refused};
use super::transport::{Answer, Broke};
use super::{json, path, slots};
use crate::bmc::{BmcError, BmcTrouble, Password};
use crate::model::BasicLogin;

/// The service root (DSP0266 §6.2), readable without credentials.
pub(super) const ROOT: &str = "/redfish/v1/";
/// Where sessions are when the root does not say (DSP0266 §13.3.4).
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
/// Where systems are when the root does not say.
const SYSTEMS: &str = "/redfish/v1/Systems";
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Who logs in.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) bmc: SocketAddr,
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) basic: BasicLogin,
    pub(super) book: Option<Arc<SessionBook>>,
    /// A password that was refused a moment ago is not tried; false for one that has just been set or is to be proved.
    pub(super) wary: bool,
}

/// What stands of the login.
pub(super) enum Auth {
    /// Nobody is logged in.
    None,
    /// A session.
    Session {
        /// `X-Auth-Token`.
        token: HeaderValue,
        /// The session's own path, to end it by.
        at: Option<String>,
        /// As it is written down.
        note: Option<SessionNote>,
    },
    /// The service has no sessions, or none free.
    Basic(HeaderValue),
    /// The password was refused, in these words.
    Refused(String, BmcTrouble),
}

/// Where the root says things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) systems: String,
    pub(super) update: Option<String>,
    pub(super) tasks: Option<String>,
    pub(super) chassis: Option<String>,
    pub(super) managers: Option<String>,
    pub(super) events: Option<String>,
    sessions: Option<String>,
    session_service: Option<String>,
    /// Vendor, product and version of the service: what BMCs of one class have in common.
    class: String,
}

impl Root {
    fn read(root: &Value) -> Self {
        let word = |key| json::text(root, key).map(|text| super::error::safe(&text, 64)).unwrap_or_default();
        Self {
            systems: json::link(root, "Systems").unwrap_or_else(|| SYSTEMS.to_owned()),
            update: json::link(root, "UpdateService"),
            tasks: json::link(root, "Tasks"),
            chassis: json::link(root, "Chassis"),
            managers: json::link(root, "Managers"),
            events: json::link(root, "EventService"),
            sessions: root.get("Links").and_then(|links| json::link(links, "Sessions")),
            session_service: json::link(root, "SessionService"),
            class: format!("{}/{}/{}", word("Vendor"), word("Product"), word("RedfishVersion")),
        }
    }
}

/// How an attempt to open a session ended.
enum Opened {
    /// It is open.
    Yes(Auth),
    /// There are no sessions at this place.
    Nowhere,
    /// It was refused at a place that may be the wrong one.
    Doubtful(BmcError),
}

impl Client {
    pub(super) fn auth<T>(&self, f: impl FnOnce(&mut Auth) -> T) -> T {
        f(&mut self.auth.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who logs in now.
    pub(super) fn login(&self) -> Login {
        self.login.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs in with another password from now on; gives the one before.
    pub(super) fn replace_password(&self, new: Password) -> Password {
        let mut login = self.login.write().unwrap_or_else(PoisonError::into_inner);
        login.wary = false;
        std::mem::replace(&mut login.password, new)
    }

    /// The token of the session that is open, if one is.
    pub(super) fn token(&self) -> Option<HeaderValue> {
        self.auth(|auth| if let Auth::Session { token, .. } = auth { Some(token.clone()) } else { None })
    }

    /// Forgets how the last login went: for a password that was never tried yet.
    pub(super) fn begin_again(&self) {
        self.auth(|auth| *auth = Auth::None);
    }

    /// Drops a token that the BMC no longer knows, unless another task has logged in since.
    pub(super) fn forget(&self, dead: &HeaderValue) {
        let note = self.auth(|auth| match auth {
            Auth::Session { token, note, .. } if token == dead => {
                let note = note.take();
                *auth = Auth::None;
                note
            }
            _ => None,
        });
        self.strike(note.as_ref());
    }

    fn strike(&self, note: Option<&SessionNote>) {
        if let (Some(book), Some(note)) = (&self.login().book, note) {
            book.ended(note);
        }
    }

    /// Remembers that the password is not to be tried again by this client.
    pub(super) fn refuse(&self, seen: &str) {
        self.auth(|auth| *auth = Auth::Refused(seen.to_owned(), BmcTrouble::Credentials));
    }

    /// The same, and other processes learn that this very password was refused.
    pub(super) fn refused_by(&self, error: &BmcError) {
        let login = self.login();
        if error.kind == BmcTrouble::Credentials
            && let Some(book) = &login.book
        {
            book.refused(login.bmc, &login.user, &login.password);
        }
        self.auth(|auth| *auth = Auth::Refused(error.seen.clone(), error.kind.clone()));
    }

    fn header(&self) -> Option<Result<(HeaderName, HeaderValue), BmcError>> {
        self.auth(|auth| match auth {
            Auth::None => None,
            Auth::Session { token, .. } => Some(Ok((TOKEN, token.clone()))),
            Auth::Basic(value) => Some(Ok((header::AUTHORIZATION, value.clone()))),
            Auth::Refused(seen, kind) => Some(Err(BmcError {
                doing: "log in".to_owned(),
                seen: format!("the credentials were refused before ({seen}) and are not tried again"),
                kind: kind.clone(),
                source: None,
            })),
        })
    }

    /// The header that carries the login; logs in when nobody is.
    pub(super) async fn authorise(&self, deadline: Instant) -> Result<(HeaderName, HeaderValue), BmcError> {
        if let Some(known) = self.header() {
            return known;
        }
        let _alone = permit(&self.logins, deadline, "log in").await?;
        if let Some(known) = self.header() {
            return known;
        }
        let root = self.read_root(deadline).await?;
        self.budget()?;
        self.end_left(deadline).await;
        let auth = self.log_in(root.as_ref(), deadline).await?;
        self.auth(|slot| *slot = auth);
        let login = self.login();
        if let Some(book) = &login.book {
            book.accepted(login.bmc, &login.user);
        }
        self.header().unwrap_or_else(|| Err(malformed("log in", "the login ended before it was used")))
    }

    /// Tries the places where sessions may be, then Basic (RC-20).
    async fn log_in(&self, root: Option<&Root>, deadline: Instant) -> Result<Auth, BmcError> {
        let linked = root.and_then(|root| root.sessions.clone());
        let mut doubt = None;
        let mut tried: Vec<String> = Vec::new();
        for place in [Place::Linked, Place::WellKnown, Place::Service] {
            let at = match place {
                Place::Linked => linked.clone(),
                Place::WellKnown => Some(SESSIONS.to_owned()),
                Place::Service => self.service_sessions(root, deadline).await,
            };
            let Some(at) = at.filter(|at| !tried.iter().any(|known| path::same(known, at))) else { continue };
            let sure = doubt.is_some() || path::same(&at, SESSIONS);
            let told = root.is_none_or(|root| root.sessions.is_some() || root.session_service.is_some());
            if !told && !self.takes_logins(&at, deadline).await? {
                continue;
            }
            match self.open_session(&at, sure, deadline).await? {
                Opened::Yes(auth) => {
                    if !matches!(place, Place::Linked) {
                        self.kin.showed(
                            "RC-20",
                            format!("sessions are at {}, and the root's Links say otherwise", super::error::safe(&at, 128)),
                        );
                    }
                    return Ok(auth);
                }
                Opened::Nowhere => {}
                Opened::Doubtful(error) => doubt = Some(error),
            }
            tried.push(at);
        }
        if let Some(error) = doubt {
            return Err(error);
        }
        if self.login().basic == BasicLogin::Never {
            return Err(BmcError {
                doing: "log in".to_owned(),
                seen: format!("it has no sessions at {}, and Basic is not allowed for it", tried.join(" or ")),
                kind: BmcTrouble::Unsupported,
                source: None,
            });
        }
        self.prove_basic(root.map_or(SYSTEMS, |root| &root.systems), deadline).await
    }

    /// Whether logins are taken at a place that the root does not name, without sending any: a service must hear a login from anybody (DSP0266
    /// §13.3.4), so that only one that knows none wants credentials for this or has no such place.
    async fn takes_logins(&self, at: &str, deadline: Instant) -> Result<bool, BmcError> {
        let doing = format!("POST {} (empty)", super::error::safe(at, 256));
        let body = Some(Bytes::from_static(b"{}"));
        let ask = Ask { method: Method::POST, path: at, body, auth: None, if_match: None, deadline };
        match self.once(ask).await {
            Ok(answer) => Ok(!matches!(answer.status.as_u16(), 401 | 403 | 404 | 405 | 501)),
            Err(gone) => match gone.head {
                Some(head) => Ok(!matches!(head.0.as_u16(), 401 | 403 | 404 | 405 | 501)),
                None => Err(broken(&doing, gone, self.trust.seen())),
            },
        }
    }

    /// Where the session service says sessions are, if it may be read by anybody.
    async fn service_sessions(&self, root: Option<&Root>, deadline: Instant) -> Option<String> {
        let at = root?.session_service.as_deref()?;
        json::link(&self.get_open(at, deadline).await.ok()?.value, "Sessions")
    }

    /// The root's links; `None` when the root itself wants credentials.
    async fn read_root(&self, deadline: Instant) -> Result<Option<Root>, BmcError> {
        if let Some(root) = self.root.get() {
            return Ok(Some(root.clone()));
        }
        match self.get_open(ROOT, deadline).await {
            Ok(root) => Ok(Some(self.keep_root(&root))),
            Err(e) if e.kind == BmcTrouble::Credentials => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn keep_root(&self, root: &Resource) -> Root {
        self.kin.note_root(&root.value);
        let root = self.root.get_or_init(|| Root::read(&root.value)).clone();
        self.pace.is_of(&root.class);
        root
    }

    /// Where things are, by the root.
    pub(super) async fn root(&self) -> Result<Root, BmcError> {
        if let Some(root) = self.root.get() {
            return Ok(root.clone());
        }
        let root = self.get(ROOT).await?;
        Ok(self.keep_root(&root))
    }

    /// Opens a session. `sure`: a refusal is meant for the password and not for the place.
    async fn open_session(&self, at: &str, sure: bool, deadline: Instant) -> Result<Opened, BmcError> {
        let doing = format!("POST {} (log in)", super::error::safe(at, 256));
        let login = self.login();
        if let Some(book) = &login.book {
            book.prepare(&login.password);
        }
        drop(login);
        let permit = permit(&self.writes, deadline, &doing).await?;
        let answer = self.send_login(at, &doing, deadline).await?;
        drop(permit);
        let error = match answer.status.as_u16() {
            200..=299 => return self.session_of(&doing, at, answer).map(Opened::Yes),
            404 | 405 | 501 => return Ok(Opened::Nowhere),
            _ => refused(&doing, answer.status, &answer.body),
        };
        if slots::full(&answer) {
            self.kin.showed("RC-18", format!("no session slot was free: {}", error.seen));
            return self.when_full(at, error, deadline).await.map(Opened::Yes);
        }
        let kind = match answer.status.as_u16() {
            403 if error.kind != BmcTrouble::PasswordChange => BmcTrouble::Credentials,
            _ => error.kind.clone(),
        };
        let error = BmcError { kind, ..error };
        match error.kind {
            // At the one place where sessions must be (DSP0266 §13.3.4) a refusal is one; a link to elsewhere may be wrong (openbmc #3446).
            BmcTrouble::Credentials if !sure => Ok(Opened::Doubtful(error)),
            BmcTrouble::Credentials | BmcTrouble::PasswordChange => {
                self.refused_by(&error);
                Err(error)
            }
            _ => Err(error),
        }
    }

    /// Sends the login, once more when a reused connection gave no answer at all, or when the answer is not to be had as `identity`. An answer
    /// whose body broke off is one: what matters stands in its head.
    async fn send_login(&self, at: &str, doing: &str, deadline: Instant) -> Result<Answer, BmcError> {
        let mut encoding = self.manners.encoding();
        let mut again = false;
        loop {
            let body = Some(self.credentials()?);
            let ask = Ask { method: Method::POST, path: at, body, auth: None, if_match: None, deadline };
            match self.once_as(ask, encoding, again).await {
                Ok(answer) if answer.status.as_u16() == 406 && !again => encoding = self.turn(encoding, at),
                Ok(answer) => {
                    self.attempts.answered();
                    return Ok(answer);
                }
                Err(mut gone) => match gone.head.take() {
                    Some(head) => {
                        self.attempts.answered();
                        let (status, headers) = *head;
                        return Ok(Answer { status, headers, body: Vec::new() });
                    }
                    None if gone.reused && matches!(gone.how, Broke::Lost | Broke::Stalled) && !again => {}
                    None => {
                        if gone.sent {
                            self.attempts.unanswered(Instant::now());
                        }
                        return Err(broken(doing, gone, self.trust.seen()));
                    }
                },
            }
            again = true;
        }
    }

    /// The login as JSON, wiped when it has been sent.
    fn credentials(&self) -> Result<Bytes, BmcError> {
        let login = self.login();
        let body = serde_json::json!({ "UserName": login.user, "Password": login.password.expose() });
        let text = serde_json::to_vec(&body)
            .map(Zeroizing::new)
            .map_err(|_| malformed("log in", "the user name cannot be written as JSON"));
        if let Value::Object(mut fields) = body
            && let Some(Value::String(secret)) = fields.get_mut("Password")
        {
            secret.zeroize();
        }
        text.map(Bytes::from_owner)
    }

    /// The session in an answer, whatever its status, wherever it says that the session lies (RC-21).
    fn session_of(&self, doing: &str, from: &str, answer: Answer) -> Result<Auth, BmcError> {
        let location = answer.headers.get(header::LOCATION).and_then(|at| at.to_str().ok());
        let location = location.and_then(|at| path::resolve(from, at).ok()).map(|(_, path)| path).filter(|at| at != "/");
        let body = json::parse(&answer.body).ok();
        let at = location.or_else(|| body.as_ref().and_then(json::href)).filter(|at| !path::same(at, from));
        // A copy: the value that came is a slice of the 8 KiB that the answer was read into, and would hold all of it as long as the session.
        let token = answer.headers.get(TOKEN).and_then(|token| HeaderValue::from_bytes(token.as_bytes()).ok());
        let inside = || body.as_ref().and_then(|body| json::word(body, "Token")).and_then(|t| HeaderValue::from_str(t).ok());
        let Some(mut token) = token.or_else(inside).filter(|token| !token.is_empty()) else {
            return Err(malformed(doing, format!("{} without X-Auth-Token", answer.status)));
        };
        token.set_sensitive(true);
        if answer.status.as_u16() != 201 {
            self.kin.showed("RC-21", format!("{doing}: {}, not 201", answer.status));
        }
        let login = self.login();
        let note = match (&login.book, &at) {
            (Some(book), Some(at)) => book.opened(login.bmc, &login.user, &login.password, at, token.as_bytes()),
            _ => None,
        };
        Ok(Auth::Session { token, at, note })
    }

    /// Tries the password once by Basic, alone, before any other request may use it.
    pub(super) async fn prove_basic(&self, at: &str, deadline: Instant) -> Result<Auth, BmcError> {
        let doing = format!("GET {} (log in by Basic)", super::error::safe(at, 256));
        let value = self.basic_header().ok_or_else(|| malformed(&doing, "the credentials cannot be sent"))?;
        let auth = Some((header::AUTHORIZATION, value.clone()));
        let ask = Ask { method: Method::GET, path: at, body: None, auth, if_match: None, deadline };
        let answer = match self.once(ask).await {
            Ok(answer) => answer,
            Err(gone) => {
                if gone.sent && gone.head.is_none() {
                    self.attempts.unanswered(Instant::now());
                }
                return Err(broken(&doing, gone, self.trust.seen()));
            }
        };
        self.attempts.answered();
        if matches!(answer.status.as_u16(), 401 | 403) {
            let mut error = refused(&doing, answer.status, &answer.body);
            if error.kind != BmcTrouble::PasswordChange {
                error.kind = BmcTrouble::Credentials;
            }
            self.refused_by(&error);
            return Err(error);
        }
        Ok(Auth::Basic(value))
    }

    pub(super) fn basic_header(&self) -> Option<HeaderValue> {
        let login = self.login();
        let pair = Zeroizing::new(format!("{}:{}", login.user, login.password.expose()));
        let text = Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Ends the session and the connection. A session that the BMC does not know any more is ended too.
    pub(super) async fn close(&self) {
        let deadline = Instant::now() + Duration::from_secs(10).min(self.limits.request);
        // A login under way may leave a session behind: wait for it first.
        let alone = permit(&self.logins, deadline, "log out").await;
        let session = self.auth(|auth| match std::mem::replace(auth, Auth::None) {
            Auth::Session { token, at, note } => at.map(|at| (token, at, note)),
            refused @ Auth::Refused(..) => {
                *auth = refused;
                None
            }
            Auth::None | Auth::Basic(_) => None,
        });
        if let Some((token, at, note)) = session
            && self.end_session(&at, token, deadline).await
        {
            self.strike(note.as_ref());
        }
        drop(alone);
        self.transport.trim(0);
    }
}

/// Where sessions are looked for, in this order.
#[derive(Clone, Copy)]
enum Place {
    Linked,
    WellKnown,
    Service,
}
