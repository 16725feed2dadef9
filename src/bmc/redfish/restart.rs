//! Restarts the BMC and proves it (RC-07). While it is away nothing that fails counts as a failure; it is back when it answers three times in a row;
//! and it was restarted when its start time is another one, or, where it tells none, when it was seen to be away.

use std::time::Duration;

use http::header::HeaderValue;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::json as views;
use super::session::ROOT;
use super::write::Sent;
use crate::bmc::{BmcError, BmcTrouble, Written};

/// Good reads in a row after which a BMC counts as back (ironic `drivers/modules/redfish/firmware.py:731`).
const STABLE: u32 = 3;
/// Failed reads in a row after which a BMC without a start time counts as having been away: one alone may be the network's, unless the session was
/// lost with it.
const AWAY: u32 = 2;

/// What a BMC was before it was restarted.
pub(super) struct Before {
    manager: String,
    /// Its start time, where it tells one.
    started: Option<String>,
    /// The session that is open: a restart loses it.
    token: Option<HeaderValue>,
}

fn started(manager: &Value) -> Option<String> {
    views::text(manager, "LastResetTime").map(|at| safe(&at, 64))
}

/// What was seen of a BMC while it was waited for.
#[derive(Default)]
struct Seen {
    failed: u32,
    missed: bool,
    away: bool,
    good: u32,
    last: String,
}

impl Seen {
    fn fails(&mut self, why: String) {
        self.failed += 1;
        self.missed = true;
        self.away |= self.failed >= AWAY;
        self.good = 0;
        self.last = why;
    }

    fn answers(&mut self) {
        self.failed = 0;
        self.good += 1;
    }
}

impl Client {
    /// Restarts the BMC that drives a system, and proves it before the deadline.
    pub(super) async fn restart(&self, system: &Resource, deadline: Instant) -> Written {
        let manager = match self.manager(system).await {
            Ok(Some(manager)) => manager,
            Ok(None) => {
                return Written::NotApplied(unsupported(
                    "restart the BMC",
                    format!("{} names no manager", safe(&system.path, 256)),
                ));
            }
            Err(e) => return Written::NotApplied(e),
        };
        let before = self.before_restart(&manager);
        let (target, kind) = match self.manager_reset(&manager).await {
            Ok(found) => found,
            Err(e) => return Written::NotApplied(e),
        };
        let said = match self.post(&target, &json!({ "ResetType": kind }), deadline).await {
            Sent::Taken(said) => said,
            // A BMC that restarts at once does not always answer first.
            Sent::Unclear(e) => format!("the answer to {kind} was lost ({e})"),
            Sent::No { error, .. } => return Written::NotApplied(error),
        };
        match self.await_restart(&before, deadline).await {
            Ok(seen) => Written::Applied(format!("{said}; {seen}")),
            Err(seen) => Written::Ambiguous(format!("{said}; {seen}")),
        }
    }

    /// What the BMC is before it is restarted, by its manager.
    pub(super) fn before_restart(&self, manager: &Resource) -> Before {
        Before { manager: manager.path.clone(), started: started(&manager.value), token: self.token() }
    }

    /// The manager's reset action and the gentlest type that it allows.
    async fn manager_reset(&self, manager: &Resource) -> Result<(String, String), BmcError> {
        let doing = format!("restart the BMC by {}", safe(&manager.path, 256));
        let action = manager.value.get("Actions").and_then(|actions| actions.get("#Manager.Reset"));
        let target = action.and_then(|action| action.get("target")).and_then(views::href);
        let (Some(action), Some(target)) = (action, target) else {
            return Err(unsupported(&doing, "it offers no Manager.Reset action"));
        };
        let words =
            |list: &[Value]| -> Vec<String> { list.iter().filter_map(Value::as_str).take(16).map(str::to_owned).collect() };
        let mut allowed = words(views::list(action, "ResetType@Redfish.AllowableValues"));
        if allowed.is_empty()
            && let Some(info) = views::link(action, "@Redfish.ActionInfo")
            && let Ok(info) = self.get(&info).await
        {
            let of_type = |p: &&Value| views::word(p, "Name") == Some("ResetType");
            let parameter = views::list(&info.value, "Parameters").iter().find(of_type);
            allowed = parameter.map(|p| words(views::list(p, "AllowableValues"))).unwrap_or_default();
        }
        let wanted = ["GracefulRestart", "ForceRestart"];
        match wanted.into_iter().find(|kind| allowed.is_empty() || allowed.iter().any(|a| a == kind)) {
            Some(kind) => Ok((target, kind.to_owned())),
            None => Err(unsupported(&doing, format!("it allows {}, but no restart", safe(&allowed.join(", "), 256)))),
        }
    }

    /// Waits until a BMC that was told to restart has done so and is stable; says what proves it, or what was seen instead.
    pub(super) async fn await_restart(&self, before: &Before, deadline: Instant) -> Result<String, String> {
        let begun = Instant::now();
        let (mut seen, mut proof) = (Seen::default(), None);
        let mut pause = self.limits.poll.0;
        loop {
            match self.glance(before, &seen, deadline).await {
                Ok(None) => seen.answers(),
                Ok(Some(now)) => {
                    seen.answers();
                    match (&before.started, now.started) {
                        (Some(old), Some(new)) if *old != new => proof = Some(format!("its start time is {new}, and was {old}")),
                        (Some(_), _) => {}
                        (None, _) if seen.away => proof = Some("it was away, and tells no start time".to_owned()),
                        (None, _) if seen.missed && before.token.is_some() && self.token() != before.token => {
                            proof = Some("it was away and its sessions are gone; it tells no start time".to_owned());
                        }
                        (None, _) => {}
                    }
                    if seen.good >= STABLE
                        && let Some(proof) = proof
                    {
                        let took = begun.elapsed().as_secs_f32();
                        return Ok(format!(
                            "the BMC was restarted: {proof}; it answered {STABLE} times in a row after {took:.1} s"
                        ));
                    }
                }
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Err(format!("then {e}"));
                }
                Err(e) => seen.fails(e.to_string()),
            }
            let next = Instant::now() + pause;
            if next >= deadline {
                let waited = begun.elapsed().as_secs_f32();
                let how = match (seen.away, seen.good) {
                    (_, 0) => format!("it does not answer: {}", seen.last),
                    (true, _) => "it was away and came back, but its start time is the one before".to_owned(),
                    (false, _) if before.started.is_some() => {
                        "it was never away, and its start time is the one before".to_owned()
                    }
                    (false, _) => "it was never away".to_owned(),
                };
                return Err(format!("a restart was not seen within {waited:.1} s: {how}"));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }

    /// One look: at the open root until that is stable, so that no credential is shown to a BMC that is still starting; then at the manager too.
    async fn glance(&self, before: &Before, seen: &Seen, deadline: Instant) -> Result<Option<Now>, BmcError> {
        let until = deadline.min(Instant::now() + self.limits.connect);
        self.transport.trim(0);
        self.get_open(ROOT, until).await?;
        if seen.missed && seen.good < STABLE {
            return Ok(None);
        }
        let manager = self.look(&before.manager, deadline).await?;
        Ok(Some(Now { started: started(&manager.value) }))
    }
}

struct Now {
    started: Option<String>,
}

/// How long a restart may take when nobody says: three to five minutes on real BMCs, and as much again.
pub(super) fn deadline_of(deadline: Duration) -> Result<Instant, BmcError> {
    Instant::now().checked_add(deadline).ok_or_else(|| malformed("restart the BMC", "the deadline is too far away"))
}
