//! Who may speak to the BMC: Basic credentials, or a session's token. The table is as small as a BMC's, and forgets idle sessions.

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::answer::{Answer, Message};
use crate::sim::fault::Fault;
use crate::sim::handle::MachineHandle;

/// A session that nobody used for so long is forgotten. Real time: it is the client that is idle.
const IDLE: Duration = Duration::from_secs(1800);

/// Where sessions live.
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

struct Session {
    id: u64,
    token: String,
    used: Instant,
}

/// Sessions of one BMC.
#[derive(Default)]
pub struct Sessions {
    open: Vec<Session>,
    made: u64,
}

impl Sessions {
    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Ids of the open sessions.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.open.iter().map(|s| s.id)
    }

    /// True when the token is that of an open session.
    pub fn knows(&mut self, token: &str) -> bool {
        self.forget_idle();
        match self.open.iter_mut().find(|s| s.token == token) {
            Some(session) => {
                session.used = Instant::now();
                true
            }
            None => false,
        }
    }

    /// Logs in.
    pub fn create(&mut self, machine: &MachineHandle, body: &Value) -> Answer {
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
        if !machine.admits(user, password) {
            return Answer::error(401, &Message::unauthorized());
        }
        self.forget_idle();
        if self.open.len() >= machine.identity().profile.sessions || machine.has(&Fault::SessionFull) {
            let message =
                Message::new("CreateLimitReachedForResource", "no session slot is free", &[], "delete a session and try again");
            return Answer::error(503, &message).with("Retry-After", "30");
        }
        self.made += 1;
        let identity = machine.identity();
        let token = identity.seed.hex(&format!("{}/token/{}", identity.node, self.made), 32);
        self.open.push(Session { id: self.made, token: token.clone(), used: Instant::now() });
        let mut answer = Answer::ok(resource(self.made, machine.user()))
            .with("X-Auth-Token", token)
            .with("Location", format!("{SESSIONS}/{}", self.made));
        answer.status = 201;
        answer
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

    fn forget_idle(&mut self) {
        self.open.retain(|s| s.used.elapsed() < IDLE);
    }
}

/// One session as a resource; it never shows the token.
#[must_use]
pub fn resource(id: u64, user: &str) -> Value {
    json!({
        "@odata.type": "#Session.v1_3_0.Session",
        "@odata.id": format!("{SESSIONS}/{id}"),
        "Id": id.to_string(),
        "Name": "User Session",
        "UserName": user,
    })
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
