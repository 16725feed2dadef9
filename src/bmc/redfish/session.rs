//! Logging in and out. One login at a time, one attempt per password: after a refusal nothing more is sent for as long as this client lives,
//! because BMCs lock accounts. Sessions where the service has them, Basic where it has none; never from the one to the other midway.

use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;
use zeroize::{Zeroize as _, Zeroizing};

use super::client::{Ask, Client, Resource, permit};
use super::error::{broken, malformed, refused};
use super::transport::{Answer, Broke};
use super::{json, path};
use crate::bmc::{BmcError, BmcTrouble, Password};

/// The service root (DSP0266 §6.2), readable without credentials.
pub(super) const ROOT: &str = "/redfish/v1/";
/// Where sessions are when the root does not say (DSP0266 §13.3.4).
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
/// Where systems are when the root does not say.
const SYSTEMS: &str = "/redfish/v1/Systems";
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Who logs in.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Password,
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
    },
    /// The service has no sessions.
    Basic(HeaderValue),
    /// The password was refused, in these words.
    Refused(String),
}

/// Where the root says things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) systems: String,
    pub(super) update: Option<String>,
    pub(super) tasks: Option<String>,
    pub(super) managers: Option<String>,
    sessions: Option<String>,
}

impl Root {
    fn read(root: &Value) -> Self {
        let sessions = root.get("Links").and_then(|links| json::link(links, "Sessions"));
        let service = root.get("SessionService").map(|_| SESSIONS.to_owned());
        Self {
            systems: json::link(root, "Systems").unwrap_or_else(|| SYSTEMS.to_owned()),
            update: json::link(root, "UpdateService"),
            tasks: json::link(root, "Tasks"),
            managers: json::link(root, "Managers"),
            sessions: sessions.or(service),
        }
    }
}

impl Client {
    fn auth<T>(&self, f: impl FnOnce(&mut Auth) -> T) -> T {
        f(&mut self.auth.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops a token that the BMC no longer knows, unless another task has logged in since.
    pub(super) fn forget(&self, dead: &HeaderValue) {
        self.auth(|auth| {
            if matches!(auth, Auth::Session { token, .. } if token == dead) {
                *auth = Auth::None;
            }
        });
    }

    /// Remembers that the password was refused.
    pub(super) fn refuse(&self, seen: &str) {
        self.auth(|auth| *auth = Auth::Refused(seen.to_owned()));
    }

    fn header(&self) -> Option<Result<(HeaderName, HeaderValue), BmcError>> {
        self.auth(|auth| match auth {
            Auth::None => None,
            Auth::Session { token, .. } => Some(Ok((TOKEN, token.clone()))),
            Auth::Basic(value) => Some(Ok((header::AUTHORIZATION, value.clone()))),
            Auth::Refused(seen) => Some(Err(BmcError {
                doing: "log in".to_owned(),
                seen: format!("the credentials were refused before ({seen}) and are not tried again"),
                kind: BmcTrouble::Credentials,
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
        let auth = match &root {
            Some(Root { sessions: Some(at), .. }) => self.open_session(at, deadline).await?,
            // The root is closed to us: ask where sessions ought to be.
            None => self.open_session(SESSIONS, deadline).await?,
            Some(Root { sessions: None, .. }) => None,
        };
        let auth = match auth {
            Some(session) => session,
            None => self.prove_basic(root.as_ref().map_or(SYSTEMS, |root| &root.systems), deadline).await?,
        };
        self.auth(|slot| *slot = auth);
        self.header().unwrap_or_else(|| Err(malformed("log in", "the login ended before it was used")))
    }

    /// The root's links; `None` when the root itself wants credentials.
    async fn read_root(&self, deadline: Instant) -> Result<Option<Root>, BmcError> {
        if let Some(root) = self.root.get() {
            return Ok(Some(root.clone()));
        }
        match self.get_open(ROOT, deadline).await {
            Ok(Resource { value, .. }) => {
                self.kin.note_root(&value);
                Ok(Some(self.root.get_or_init(|| Root::read(&value)).clone()))
            }
            Err(e) if e.kind == BmcTrouble::Credentials => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Where things are, by the root.
    pub(super) async fn root(&self) -> Result<Root, BmcError> {
        if let Some(root) = self.root.get() {
            return Ok(root.clone());
        }
        let root = self.get(ROOT).await?;
        self.kin.note_root(&root.value);
        Ok(self.root.get_or_init(|| Root::read(&root.value)).clone())
    }

    /// Opens a session; `None` when the service has none.
    async fn open_session(&self, at: &str, deadline: Instant) -> Result<Option<Auth>, BmcError> {
        let doing = format!("POST {at} (log in)");
        let _permit = permit(&self.writes, deadline, &doing).await?;
        let ask = Ask { method: Method::POST, path: at, body: Some(self.credentials()?), auth: None, if_match: None, deadline };
        let answer = self.once(ask).await.map_err(|e| broken(&doing, e, self.trust.seen()))?;
        match answer.status.as_u16() {
            200..=299 => self.session_of(&doing, answer).map(Some),
            404 | 405 | 501 => Ok(None),
            _ => {
                let mut error = refused(&doing, answer.status, &answer.body);
                if answer.status.as_u16() == 403 {
                    error.kind = BmcTrouble::Credentials;
                }
                if error.kind == BmcTrouble::Credentials {
                    self.refuse(&error.seen);
                }
                Err(error)
            }
        }
    }

    /// The login as JSON, wiped when it has been sent.
    fn credentials(&self) -> Result<Bytes, BmcError> {
        let body = serde_json::json!({ "UserName": self.login.user, "Password": self.login.password.expose() });
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

    fn session_of(&self, doing: &str, answer: Answer) -> Result<Auth, BmcError> {
        let location = answer.headers.get(header::LOCATION).and_then(|at| at.to_str().ok()).and_then(|at| path::local(at).ok());
        let at = location.filter(|at| at != "/").or_else(|| json::parse(&answer.body).ok().as_ref().and_then(json::href));
        // A copy: the value that came is a slice of the 8 KiB that the answer was read into, and would hold all of it as long as the session.
        let token = answer.headers.get(TOKEN).and_then(|token| HeaderValue::from_bytes(token.as_bytes()).ok());
        let Some(mut token) = token else {
            return Err(malformed(doing, format!("{} without X-Auth-Token", answer.status)));
        };
        token.set_sensitive(true);
        Ok(Auth::Session { token, at })
    }

    /// Tries the password once by Basic, alone, before any other request may use it.
    async fn prove_basic(&self, at: &str, deadline: Instant) -> Result<Auth, BmcError> {
        let doing = format!("GET {at} (log in by Basic)");
        let pair = Zeroizing::new(format!("{}:{}", self.login.user, self.login.password.expose()));
        let text = Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|_| malformed(&doing, "the credentials cannot be sent"))?;
        value.set_sensitive(true);
        let auth = Some((header::AUTHORIZATION, value.clone()));
        let ask = Ask { method: Method::GET, path: at, body: None, auth, if_match: None, deadline };
        let answer = self.once(ask).await.map_err(|e| broken(&doing, e, self.trust.seen()))?;
        if matches!(answer.status.as_u16(), 401 | 403) {
            let mut error = refused(&doing, answer.status, &answer.body);
            error.kind = BmcTrouble::Credentials;
            self.refuse(&error.seen);
            return Err(error);
        }
        Ok(Auth::Basic(value))
    }

    /// Ends the session and the connection. A session that the BMC does not know any more is ended too.
    pub(super) async fn close(&self) {
        let deadline = Instant::now() + Duration::from_secs(10).min(self.limits.request);
        // A login under way may leave a session behind: wait for it first.
        let alone = permit(&self.logins, deadline, "log out").await;
        let session = self.auth(|auth| match std::mem::replace(auth, Auth::None) {
            Auth::Session { token, at } => at.map(|at| (token, at)),
            refused @ Auth::Refused(_) => {
                *auth = refused;
                None
            }
            Auth::None | Auth::Basic(_) => None,
        });
        if let Some((token, at)) = session {
            for _ in 0..2 {
                let auth = Some((TOKEN, token.clone()));
                let ask = Ask { method: Method::DELETE, path: &at, body: None, auth, if_match: None, deadline };
                match self.once(ask).await {
                    // Deleting twice does no harm: the second answer is 401 or 404.
                    Err(e) if matches!(e.how, Broke::Lost) => {}
                    _ => break,
                }
            }
        }
        drop(alone);
        self.transport.trim(0);
    }
}
