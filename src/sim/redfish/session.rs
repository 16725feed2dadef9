//! Who may speak to the BMC: Basic credentials, or a session's token. The table is as small as a BMC's, and forgets idle sessions. It holds the
//! faults of logging in (RC-17 … RC-23).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::answer::{Answer, Message};
use super::tree::second;
use crate::sim::fault::{BmcFault, Fault};
use crate::sim::handle::MachineHandle;
use crate::sim::profile::SessionsFull;

/// A session that nobody used for so long is forgotten. Real time: it is the client that is idle.
const IDLE: Duration = Duration::from_secs(1800);

/// Where sessions live.
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

struct Session {
    id: u64,
    user: String,
    token: String,
    used: Instant,
    created: jiff::Timestamp,
    from: Option<IpAddr>,
    requests: u32,
    /// Made up by a fault: it is of nobody's run.
    foreign: bool,
}

/// Sessions of one BMC.
#[derive(Default)]
pub struct Sessions {
    open: Vec<Session>,
    made: u64,
    /// Tokens that were given out.
    tokens: u64,
    /// Wrong passwords since the last right one.
    wrong: u32,
    /// The sessions that `auth.count` asks for are there.
    filled: bool,
}

impl Sessions {
    /// How many are open, without those that a fault made up.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.iter().filter(|session| !session.foreign).count()
    }

    /// The table of a BMC that starts anew. Tokens that were given out once are never given out again.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self { tokens: self.tokens, ..Self::default() }
    }

    /// Ids of the open sessions.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.open.iter().map(|s| s.id)
    }

    /// One open session as a resource; it never shows the token.
    #[must_use]
    pub fn resource(&self, machine: &MachineHandle, id: &str) -> Option<Value> {
        self.open.iter().find(|s| s.id.to_string() == id).map(|session| resource(machine, session))
    }

    /// Whose open session the token is of.
    pub fn knows(&mut self, machine: &MachineHandle, token: &str) -> Option<String> {
        self.settle(machine);
        let at = self.open.iter().position(|s| s.token == token)?;
        let session = self.open.get_mut(at)?;
        session.used = Instant::now();
        session.requests += 1;
        let over = machine.bends(BmcFault::AuthExpireAfter).is_some_and(|placed| session.requests > placed.arg());
        if over && machine.strikes(BmcFault::AuthExpireAfter).is_some() {
            self.open.remove(at);
            return None;
        }
        Some(session.user.clone())
    }

    /// True when account and password are right and the account is not locked. Counts.
    pub fn admits(&mut self, machine: &MachineHandle, user: &str, password: &str) -> bool {
        let right = machine.admits(user, password);
        let locked = machine.bends(BmcFault::AuthLockout).is_some_and(|placed| self.wrong >= placed.arg());
        if !right {
            self.wrong = self.wrong.saturating_add(1);
        } else if !locked {
            self.wrong = 0;
        }
        right && !locked
    }

    /// Logs in.
    pub fn create(&mut self, machine: &MachineHandle, body: &Value, from: Option<IpAddr>) -> Answer {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (Some(user), Some(password)) = (text("UserName"), text("Password")) else {
            let missing = if text("UserName").is_none() { "UserName" } else { "Password" };
            let message = Message::new(
                "PropertyMissing",
                format!("the property {missing} is required"),
                &[missing],
                "add the property and try again",
            );
            return Answer::error(400, &message);
        };
        if !self.admits(machine, user, password) {
            return Answer::error(401, &Message::unauthorized());
        }
        self.settle(machine);
        let most = machine.bends(BmcFault::AuthSessionsMax).map_or(machine.identity().profile.sessions, |p| p.arg() as usize);
        if self.open.len() >= most || machine.has(&Fault::SessionFull) {
            return full(machine);
        }
        let session = self.add(machine, user, from, false);
        let mut answer = Answer::ok(resource(machine, session))
            .with("X-Auth-Token", session.token.clone())
            .with("Location", format!("{SESSIONS}/{}", session.id));
        answer.status = 201;
        if let Some(placed) = machine.strikes(BmcFault::AuthLoginCode) {
            answer.status = u16::try_from(placed.arg()).unwrap_or(201);
            if answer.status == 204 {
                answer.body = None;
            }
        }
        if machine.bends(BmcFault::AuthPwchange).is_some()
            && let Some(body) = answer.body.as_mut().and_then(Value::as_object_mut)
        {
            // DSP0266 §13.2.7: the session is made, and good for changing the password only.
            body.insert("@Message.ExtendedInfo".to_owned(), json!([{ "MessageId": "Base.1.16.PasswordChangeRequired" }]));
        }
        answer
    }

    fn add(&mut self, machine: &MachineHandle, user: &str, from: Option<IpAddr>, foreign: bool) -> &Session {
        self.made += 1;
        self.tokens += 1;
        let identity = machine.identity();
        let session = Session {
            id: self.made,
            user: user.to_owned(),
            token: identity.seed.hex(&format!("{}/token/{}", identity.node, self.tokens), 32),
            used: Instant::now(),
            created: jiff::Timestamp::now(),
            from,
            requests: 0,
            foreign,
        };
        self.open.push(session);
        // Pushed above.
        &self.open[self.open.len() - 1]
    }

    /// Logs out.
    pub fn delete(&mut self, id: &str) -> Answer {
        let before = self.open.len();
        self.open.retain(|s| s.id.to_string() != id);
        if self.open.len() == before {
            return Answer::error(404, &Message::missing(&format!("{SESSIONS}/{id}")));
        }
        Answer::status(204)
    }

    /// Forgets idle sessions, and makes up those that a fault asks for.
    pub fn settle(&mut self, machine: &MachineHandle) {
        self.open.retain(|s| s.used.elapsed() < IDLE);
        if !self.filled
            && let Some(placed) = machine.bends(BmcFault::AuthCount)
        {
            self.filled = true;
            for _ in 0..placed.arg().min(64) {
                self.add(machine, machine.user(), Some(IpAddr::from([192, 0, 2, 77])), true);
            }
        }
    }
}

/// No slot is free, in the maker's words (RC-18).
fn full(machine: &MachineHandle) -> Answer {
    let limit = |text| Message::new("CreateLimitReachedForResource", text, &[], "delete a session and try again");
    match machine.identity().profile.sessions_full {
        SessionsFull::Rac => {
            let mut answer =
                Answer::error(503, &limit("The maximum number of user sessions is reached.")).with("Retry-After", "30");
            let id = "IDRAC.2.8.RAC0218";
            for pointer in ["/error/code", "/error/@Message.ExtendedInfo/0/MessageId"] {
                if let Some(at) = answer.body.as_mut().and_then(|body| body.pointer_mut(pointer)) {
                    *at = Value::from(id);
                }
            }
            answer
        }
        SessionsFull::BadRequest => Answer::error(400, &limit("no session slot is free")),
        SessionsFull::Unavailable => Answer::error(503, &limit("no session slot is free")).with("Retry-After", "30"),
    }
}

fn resource(machine: &MachineHandle, session: &Session) -> Value {
    let mut value = json!({
        "@odata.type": "#Session.v1_3_0.Session",
        "@odata.id": format!("{SESSIONS}/{}", session.id),
        "Id": session.id.to_string(),
        "Name": "User Session",
        "UserName": session.user,
    });
    if machine.identity().profile.sessions_tell
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("@odata.type".to_owned(), Value::from("#Session.v1_4_0.Session"));
        fields.insert("CreatedTime".to_owned(), Value::from(second(session.created)));
        if let Some(from) = session.from {
            fields.insert("ClientOriginIPAddress".to_owned(), Value::from(from.to_string()));
        }
    }
    value
}

/// Account and password of a `Basic` header (RFC 7617).
#[must_use]
pub fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
