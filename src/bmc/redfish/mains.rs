//! The node's mains through its BMC: standby power taken away and given back (RC-59). The action's answer proves nothing: it may be lost, and it
//! may be given without anything being done. What proves it is the BMC's own new start.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::power::{allowable, parameter, told, view};
use super::system::{is_called, soft};
use super::write::Sent;
use crate::bmc::quirk::{AcAction, AcCycle, ResourceKind};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{PowerState, Reading};

/// The word of the standard for it (`Resource.ResetType`, since 2020.4).
const FULL: &str = "FullPowerCycle";
/// Good reads in a row after which a BMC that came back is taken to stay (ironic `firmware.py:731`).
const STABLE: u32 = 3;

/// What a BMC tells of its own start.
struct Start {
    /// Its manager.
    manager: String,
    /// `LastResetTime`, when it tells it.
    told: Option<String>,
}

/// A request that cycles the mains.
struct Request {
    target: String,
    body: Value,
    host_off: bool,
}

impl Client {
    /// Cycles the mains and proves it before the deadline.
    pub(super) async fn mains(&self, system: &Resource, deadline: Instant) -> Written {
        let doing = format!("cycle the mains of {}", safe(&system.path, 256));
        let request = match self.mains_request(system, &doing, deadline).await {
            Ok(request) => request,
            Err(e) => return Written::NotApplied(e),
        };
        let start = match self.bmc_start(system).await {
            Ok(start) => start,
            Err(e) => return Written::NotApplied(e),
        };
        let mut words = String::new();
        if request.host_off {
            match self.leg(system, &["ForceOff"], PowerState::Off, deadline).await {
                Ok(off) => words = format!("{}; ", off.words),
                Err(written) => return written,
            }
        }
        // Looked at again: between a look and the deed somebody may have powered the node (infra-controller #909).
        let before = match self.look(&system.path, deadline).await {
            Ok(now) => view(&now),
            Err(e) => return half(&words, e),
        };
        if request.host_off && before != Reading::Known(PowerState::Off) {
            return Written::Ambiguous(format!(
                "{words}but now {}: somebody powers the node; the mains were not touched",
                told(&before)
            ));
        }
        match self.post(&request.target, &request.body, deadline).await {
            Sent::Taken(said) => words.push_str(&said),
            // The usual answer of a BMC that loses its own power.
            Sent::Unclear(e) => words.push_str(&format!("the answer was lost ({e})")),
            Sent::No { error, .. } => return half(&words, error),
        }
        self.watch_mains(system, &start, &before, words, deadline).await
    }

    /// How this make cycles its mains, as a request.
    async fn mains_request(&self, system: &Resource, doing: &str, deadline: Instant) -> Result<Request, BmcError> {
        match self.kin.habit(|habits| habits.ac_cycle.clone()) {
            AcCycle::Impossible => {
                Err(unsupported(doing, "this make of BMC cannot do it; use the PDU, or IPMI to the chassis where there is one"))
            }
            AcCycle::Action(action) => {
                let owner = self.owner(&action, system, doing).await?;
                let target = find(&owner.value, &action.name).or_else(|| {
                    (!action.path.is_empty()).then(|| format!("{}/{}", owner.path.trim_end_matches('/'), action.path))
                });
                let target = target.ok_or_else(|| {
                    unsupported(doing, format!("{} offers no {}", safe(&owner.path, 128), safe(&action.name, 128)))
                })?;
                let body: Map<String, Value> = action.body.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
                Ok(Request { target, body: Value::Object(body), host_off: action.host_off })
            }
            AcCycle::Standard => self.standard_request(system, doing, deadline).await,
        }
    }

    /// By `FullPowerCycle`, of the chassis or of the system, whichever allows it.
    async fn standard_request(&self, system: &Resource, doing: &str, deadline: Instant) -> Result<Request, BmcError> {
        let chassis = self.chassis(system).await;
        let mut all: Vec<(&Resource, &str)> = chassis.iter().map(|chassis| (chassis, "#Chassis.Reset")).collect();
        all.push((system, "#ComputerSystem.Reset"));
        for (owner, name) in all {
            let Some(action) = owner.value.get("Actions").and_then(|actions| actions.get(name)) else { continue };
            let allowed = match (allowable(action), views::link(action, "@Redfish.ActionInfo")) {
                (Some(allowed), _) => Some(allowed),
                (None, Some(info)) => self.look(&info, deadline).await.ok().and_then(|info| parameter(&info.value)),
                (None, None) => None,
            };
            // Only where it is allowed in so many words: another reset is another deed.
            if allowed.is_some_and(|allowed| allowed.iter().any(|kind| kind == FULL))
                && let Some(target) = action.get("target").and_then(views::href)
            {
                return Ok(Request { target, body: json!({ "ResetType": FULL }), host_off: false });
            }
        }
        Err(unsupported(
            doing,
            format!("neither chassis nor system allows {FULL}; use the PDU, or name the maker's action in quirks.yaml"),
        ))
    }

    /// The resource that offers the action.
    async fn owner(&self, action: &AcAction, system: &Resource, doing: &str) -> Result<Resource, BmcError> {
        match action.on {
            ResourceKind::System => self.get(&system.path).await,
            ResourceKind::Manager => self.manager(system).await?.ok_or_else(|| unsupported(doing, "the system names no manager")),
            ResourceKind::Chassis => {
                let called = self.kin.habit(|habits| habits.chassis_id.clone());
                let mut all = self.chassis(system).await;
                let named = all.iter().position(|chassis| is_called(&called, &chassis.path));
                let offering = all.iter().position(|chassis| find(&chassis.value, &action.name).is_some());
                match named.or(offering).or((all.len() == 1).then_some(0)) {
                    Some(at) => Ok(all.swap_remove(at)),
                    None => Err(unsupported(doing, format!("none of its {} chassis offers it", all.len()))),
                }
            }
        }
    }

    async fn bmc_start(&self, system: &Resource) -> Result<Start, BmcError> {
        match self.manager(system).await {
            Ok(Some(manager)) => Ok(Start { told: started(&manager.value), manager: manager.path }),
            Ok(None) => Err(unsupported("read the BMC's start", "the system names no manager, so that nothing would prove it")),
            Err(e) => Err(e),
        }
    }

    /// Looks until the BMC has started anew and stays, or the deadline passes.
    async fn watch_mains(
        &self,
        system: &Resource,
        start: &Start,
        before: &Reading<PowerState>,
        words: String,
        deadline: Instant,
    ) -> Written {
        let began = Instant::now();
        let mut pause = self.limits.poll.0;
        let (mut away, mut good, mut proof) = (false, 0_u32, None::<String>);
        let mut last;
        loop {
            match self.look(&start.manager, deadline).await {
                Ok(manager) => {
                    let now = started(&manager.value);
                    match (&start.told, &now) {
                        (Some(old), Some(new)) if newer(old, new) => {
                            let text = format!("the BMC's start went from {} to {}", safe(old, 40), safe(new, 40));
                            proof = Some(text);
                        }
                        // It tells no start; that it was gone and is back is all there is.
                        (None, _) if away => proof = Some("the BMC was away and is back".to_owned()),
                        _ => {}
                    }
                    good += 1;
                    last = format!(
                        "the BMC answers, started {}",
                        now.map_or_else(|| "it does not say when".to_owned(), |at| safe(&at, 40))
                    );
                }
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Written::Ambiguous(format!("{words}; then {e}"));
                }
                Err(e) if soft(&e) => last = e.to_string(),
                Err(e) => {
                    away = true;
                    good = 0;
                    last = e.to_string();
                }
            }
            if let Some(proof) = proof.as_ref().filter(|_| good >= STABLE) {
                let power = self.look(&system.path, deadline).await.map(|now| told(&view(&now)));
                let power = power.unwrap_or_else(|e| e.to_string());
                let waited = began.elapsed().as_secs_f32();
                let was = told(before);
                return Written::Applied(format!("{words}; {proof}, seen after {waited:.1} s; before: {was}, now: {power}"));
            }
            let next = Instant::now() + pause;
            if next >= deadline {
                let waited = began.elapsed().as_secs_f32();
                let away = if away { "it was away meanwhile" } else { "it was never away" };
                if proof.is_none() {
                    self.kin.showed("RC-59", format!("{words}; no new start of the BMC"));
                }
                return Written::Ambiguous(format!(
                    "{words}; no new start of the BMC was seen within {waited:.1} s, {away}, last: {last}"
                ));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1.max(Duration::from_millis(1)));
        }
    }
}

/// A refusal after the host was powered off for it is no "certainly no effect".
fn half(words: &str, error: BmcError) -> Written {
    if words.is_empty() {
        Written::NotApplied(error)
    } else {
        Written::Ambiguous(format!("{words}then the mains were not cycled: {error}"))
    }
}

fn started(manager: &Value) -> Option<String> {
    views::text(manager, "LastResetTime").filter(|text| !text.starts_with("1970-"))
}

/// Later, where both can be read; else another one.
fn newer(old: &str, new: &str) -> bool {
    match (old.parse::<jiff::Timestamp>(), new.parse::<jiff::Timestamp>()) {
        (Ok(old), Ok(new)) => new > old,
        _ => new != old,
    }
}

/// The target of an action, wherever makers put theirs: `Actions`, `Actions.Oem`, `Actions.Oem.*`, `Oem.*.Actions`.
fn find(resource: &Value, name: &str) -> Option<String> {
    let actions = resource.get("Actions");
    let oem = actions.and_then(|actions| actions.get("Oem"));
    let inner = |of: Option<&Value>| of.and_then(Value::as_object).into_iter().flat_map(Map::values).cloned().collect::<Vec<_>>();
    let mut places: Vec<Value> = [actions, oem].into_iter().flatten().cloned().collect();
    places.extend(inner(oem));
    places.extend(inner(resource.get("Oem")).iter().filter_map(|oem| oem.get("Actions").cloned()));
    places.iter().find_map(|place| place.get(name)?.get("target").and_then(views::href))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_actions_are_found_where_they_put_them() {
        let action = json!({"#X.Y": {"target": "/a/b"}});
        for resource in [
            json!({"Actions": action}),
            json!({"Actions": {"Oem": action}}),
            json!({"Actions": {"Oem": {"Dell": action}}}),
            json!({"Oem": {"Hpe": {"Actions": action}}}),
        ] {
            assert_eq!(find(&resource, "#X.Y").as_deref(), Some("/a/b"), "{resource}");
            assert_eq!(find(&resource, "#X.Z"), None);
        }
        assert!(newer("2026-04-14T23:21:01+00:00", "2026-04-14T23:21:02+00:00"));
        assert!(!newer("2026-04-14T23:21:01+00:00", "2024-01-01T00:00:00+00:00"), "a clock that was reset proves nothing");
    }

    proptest::proptest! {
        #[test]
        fn any_resource_is_looked_through(value in super::super::json::any_json()) {
            let _ = (find(&value, "#X.Y"), started(&value));
        }
    }
}
