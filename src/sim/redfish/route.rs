//! From request to answer: who asks, for what, and may it be. Pure but for the machine and the session table.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::answer::{Answer, Message};
use super::session::{self, SESSIONS, Sessions};
use super::task::{self, Tasks};
use super::{bend, boot_settings, event, kept, mains, privilege, senses, system, tags, tree, update};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::tls::Shown;

/// What of a request matters here.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Query.
    pub query: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `X-Auth-Token`.
    pub token: Option<&'a str>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `Content-Type`.
    pub kind: Option<&'a str>,
    /// Who asks.
    pub from: Option<std::net::IpAddr>,
    /// Body.
    pub body: &'a [u8],
}

/// One Redfish service.
pub struct Service {
    machine: MachineHandle,
    /// What its handshakes show; `None` without TLS.
    shown: Option<Shown>,
    state: Mutex<(Sessions, Tasks)>,
    /// The BMC's restarts that `state` has lived through.
    life: AtomicU32,
    pushes: update::UnderWay,
    subscriptions: event::Subscriptions,
}

const METADATA: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0"><edmx:DataServices>"#,
    r#"<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">"#,
    r#"<EntityContainer Name="Service" Extends="ServiceRoot.v1_15_0.ServiceContainer"/></Schema>"#,
    "</edmx:DataServices></edmx:Edmx>"
);

impl Service {
    /// The service of a machine's BMC.
    #[must_use]
    pub fn new(machine: MachineHandle, shown: Option<Shown>) -> Self {
        Self {
            machine,
            shown,
            state: Mutex::default(),
            life: AtomicU32::new(0),
            pushes: update::UnderWay::default(),
            subscriptions: event::Subscriptions::default(),
        }
    }

    /// What its handshakes show; `None` without TLS.
    #[must_use]
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// The machine behind it.
    #[must_use]
    pub fn machine(&self) -> &MachineHandle {
        &self.machine
    }

    /// Who is told of events.
    #[must_use]
    pub fn subscriptions(&self) -> &event::Subscriptions {
        &self.subscriptions
    }

    /// A request begins; `None` when the BMC cannot bear it beside an upload.
    pub fn begins(&self, pushes: bool) -> Option<update::AtIt<'_>> {
        self.pushes.begins(&self.machine, pushes)
    }

    /// Answers one request.
    pub fn answer(&self, asked: &Asked<'_>) -> Answer {
        let answer = bend::bends(&self.machine, asked, self.decide(asked));
        self.machine.holds_sessions(self.lock().0.open());
        answer
    }

    fn decide(&self, asked: &Asked<'_>) -> Answer {
        let Some(path) = bend::real_path(&self.machine, asked.path.trim_end_matches('/')) else {
            return Answer::error(404, &Message::missing(asked_path(asked.path)));
        };
        let path = path.as_str();
        if let Some(open) = self.open_to_all(asked, path) {
            return open;
        }
        let Some(user) = self.knows(asked) else {
            return Answer::error(401, &Message::unauthorized()).with("WWW-Authenticate", "Basic realm=\"Redfish\"");
        };
        if let Some(refused) = privilege::refuses(&self.machine, &user, asked.method, path) {
            return refused;
        }
        // Until it is changed, an account reads and changes nothing but itself and its sessions (DSP0266 §13.3.7.1).
        let itself = path.starts_with(SESSIONS) || kept::is_account(path);
        let unchanged = self.machine.accounts(|accounts| accounts.changes()) == 0;
        if !itself && unchanged && self.machine.strikes(BmcFault::AuthPwchange).is_some() {
            let own = kept::account_path(&self.machine);
            let text = format!("the password must be changed first, at {own}");
            let message = Message::new("PasswordChangeRequired", text, &[&own], "change the password");
            return Answer::error(403, &message);
        }
        if let Some(met) = bend::meets(&self.machine, asked, path) {
            return met;
        }
        match asked.method {
            "GET" | "HEAD" => self.get(asked, path),
            "PATCH" => self.patch(asked, path),
            "POST" => self.post(asked, path),
            "DELETE" => self.delete(path),
            _ => Answer::status(405).with("Allow", "GET, HEAD, POST, PATCH, DELETE"),
        }
    }

    /// What DSP0266 §13.3.2 leaves open: root, `$metadata`, `odata`, and logging in.
    fn open_to_all(&self, asked: &Asked<'_>, path: &str) -> Option<Answer> {
        match (asked.method, path) {
            ("GET" | "HEAD", "/redfish") => Some(Answer::ok(serde_json::json!({ "v1": "/redfish/v1/" }))),
            ("GET" | "HEAD", "/redfish/v1" | "/redfish/v1/odata") => self.resource(path).map(Answer::ok),
            ("GET" | "HEAD", "/redfish/v1/$metadata") => {
                let mut answer = Answer::status(200);
                answer.xml = Some(METADATA);
                Some(answer)
            }
            ("POST", SESSIONS | "/redfish/v1/SessionService/Sessions/Members") => Some(match body(asked) {
                Ok(body) => self.lock().0.create(&self.machine, &body, asked.from),
                Err(answer) => *answer,
            }),
            _ => None,
        }
    }

    /// The account that asks.
    fn knows(&self, asked: &Asked<'_>) -> Option<String> {
        if let Some(token) = asked.token {
            return self.lock().0.knows(&self.machine, token);
        }
        asked
            .authorization
            .and_then(session::basic)
            .filter(|(user, password)| self.lock().0.admits(&self.machine, user, password))
            .map(|(user, _)| user)
    }

    fn resource(&self, path: &str) -> Option<Value> {
        if let Some(kept) = kept::resource(&self.machine, self.shown(), path) {
            return Some(kept);
        }
        if let Some(sensed) = senses::resource(&self.machine, path) {
            return Some(sensed);
        }
        if let Some(settings) = boot_settings::resource(&self.machine, path) {
            return Some(settings);
        }
        if let Some(told) = event::resource(&self.machine, &self.subscriptions, path) {
            return Some(told);
        }
        let mut found = self.base(path)?;
        if let Some(fields) = found.as_object_mut() {
            kept::complete(&self.machine, self.shown(), path, fields);
            senses::complete(&self.machine, path, fields);
            mains::complete(&self.machine, path, fields);
            boot_settings::complete(&self.machine, path, fields);
            if path == tree::ROOT {
                event::add_to_root(fields);
            }
        }
        Some(found)
    }

    fn base(&self, path: &str) -> Option<Value> {
        if path == system::path(&self.machine) {
            return Some(system::resource(&self.machine));
        }
        if path == system::info_path(&self.machine) {
            return system::info(&self.machine);
        }
        if let Some(resource) = tree::resource(&self.machine, path) {
            return Some(resource);
        }
        let mut state = self.lock();
        if path == SESSIONS {
            return Some(tree::collection(path, "Session", state.0.ids().map(|id| format!("{SESSIONS}/{id}"))));
        }
        if let Some(id) = path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')) {
            return state.0.resource(&self.machine, id);
        }
        match path.strip_prefix(task::SERVICE)? {
            "" => Some(task::service()),
            "/Tasks" => Some(tree::collection(path, "Task", state.1.paths(&self.machine))),
            rest => state.1.resource(&self.machine, rest.strip_prefix("/Tasks/")?),
        }
    }

    fn get(&self, asked: &Asked<'_>, path: &str) -> Answer {
        if let Some(id) = path.strip_prefix(task::SERVICE).and_then(|rest| rest.strip_prefix("/TaskMonitors/")) {
            let monitor = self.lock().1.monitor(&self.machine, id);
            return monitor.unwrap_or_else(|| Answer::error(404, &Message::missing(asked_path(path))));
        }
        if let Some(stream) = event::stream(&self.machine, path) {
            return stream;
        }
        match senses::paged(&self.machine, path, asked.query).or_else(|| self.resource(path)) {
            Some(mut resource) => {
                let tag = tags::shown(&self.machine, &resource);
                if asked.query.is_some_and(|query| query.starts_with("$expand=")) && bend::offers_expand(&self.machine) {
                    self.expand(&mut resource);
                }
                Answer::ok(resource).with("ETag", tag)
            }
            None if path == system::reset_path(&self.machine) => Answer::status(405).with("Allow", "POST"),
            None => Answer::error(404, &Message::missing(asked_path(path))),
        }
    }

    /// Puts the members of a collection in the place of their links, one level deep (DSP0266 §7.3.2).
    fn expand(&self, collection: &mut Value) {
        for member in collection.get_mut("Members").and_then(Value::as_array_mut).into_iter().flatten() {
            let whole = member.get("@odata.id").and_then(Value::as_str).and_then(|at| self.resource(at));
            if let Some(whole) = whole {
                *member = whole;
            }
        }
    }

    fn patch(&self, asked: &Asked<'_>, path: &str) -> Answer {
        let Some(resource) = self.resource(path) else {
            return Answer::error(404, &Message::missing(asked_path(path)));
        };
        let own = path == system::path(&self.machine) || path == boot_settings::path(&self.machine);
        if !own && !kept::takes_patch(&self.machine, path) {
            return Answer::status(405).with("Allow", "GET, HEAD");
        }
        if let Some(refused) = tags::refuses_patch(&self.machine, asked, &resource) {
            return refused;
        }
        match body(asked) {
            Ok(body) => {
                if let Some(refused) = boot_settings::refuses(&self.machine, path, &body) {
                    return refused;
                }
                let kept = kept::patch(&self.machine, path, &body);
                let mut answer = kept.unwrap_or_else(|| system::patch(&self.machine, &body));
                if let (200, Some(resource)) = (answer.status, &answer.body)
                    && resource.get("@odata.id").is_some()
                {
                    let tag = tags::shown(&self.machine, resource);
                    answer = answer.with("ETag", tag);
                }
                answer
            }
            Err(answer) => *answer,
        }
    }

    fn post(&self, asked: &Asked<'_>, path: &str) -> Answer {
        if path.contains("/Actions/")
            && let Some(refused) = tags::refuses_action(&self.machine, asked)
        {
            return refused;
        }
        if update::takes(&self.machine, asked.method, path) {
            let pushed = update::Pushed { kind: asked.kind.unwrap_or_default(), if_match: asked.if_match, body: asked.body };
            return update::push(&self.machine, &mut self.lock().1, &pushed);
        }
        if self.machine.identity().profile.pushing.start && path == update::start_path() {
            return update::start(&self.machine, &mut self.lock().1);
        }
        if path != system::reset_path(&self.machine) {
            let kept = match body(asked) {
                Ok(body) => mains::post(&self.machine, path, &body)
                    .or_else(|| kept::post(&self.machine, self.shown(), path, &body))
                    .or_else(|| senses::post(&self.machine, path, &body))
                    .or_else(|| event::post(&self.machine, &self.subscriptions, path, &body)),
                Err(_) => None,
            };
            if let Some(answer) = kept {
                return answer;
            }
            return match self.resource(path) {
                Some(_) => Answer::status(405).with("Allow", "GET, HEAD"),
                None => Answer::error(404, &Message::missing(asked_path(path))),
            };
        }
        let answer = match body(asked) {
            Ok(body) => system::reset(&self.machine, &body),
            Err(answer) => return *answer,
        };
        if answer.status != 202 {
            return answer;
        }
        let mut state = self.lock();
        let location = state.1.start("Reset");
        let id = location.rsplit('/').next().unwrap_or_default().to_owned();
        let mut accepted = Answer::status(202).with("Location", location);
        accepted.body = state.1.resource(&self.machine, &id);
        accepted
    }

    fn delete(&self, path: &str) -> Answer {
        match path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')) {
            Some(id) => self.lock().0.delete(id),
            None if let Some(answer) = kept::delete(&self.machine, path) => answer,
            None if path.starts_with(event::SERVICE) && event::delete(&self.subscriptions, path) => Answer::status(204),
            None if self.resource(path).is_some() => Answer::status(405).with("Allow", "GET, HEAD"),
            None => Answer::error(404, &Message::missing(asked_path(path))),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Sessions, Tasks)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let life = self.machine.bmc_restarts();
        if self.life.swap(life, Ordering::Relaxed) != life {
            // A restart forgets sessions and tasks; the names of tasks begin anew (RC-42).
            *state = (state.0.restarted(), Tasks::default());
        }
        state
    }
}

/// The object that was sent. An action without parameters may come without a body (DSP0266 §7.11).
fn body(asked: &Asked<'_>) -> Result<Value, Box<Answer>> {
    if asked.body.is_empty() && asked.method == "POST" && asked.path.contains("/Actions/") {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice::<Value>(asked.body) {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(Box::new(Answer::error(400, &Message::malformed()))),
    }
}

fn asked_path(path: &str) -> &str {
    path.get(..200).unwrap_or(path)
}
