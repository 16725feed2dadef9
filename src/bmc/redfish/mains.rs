//! The node's mains through its BMC: standby power taken away and given back (RC-59). The action's answer proves nothing: it may be lost, and it
//! may be given without anything being done. What proves it is the BMC's own new start.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::power::{allowable, parameter, told, view};
use super::system::is_called;
use super::write::Sent;
use crate::bmc::quirk::{AcAction, AcCycle, ResourceKind};
use crate::bmc::{BmcError, Written};
use crate::model::{PowerState, Reading};

/// The word of the standard for it (`Resource.ResetType`, since 2020.4).
const FULL: &str = "FullPowerCycle";

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
        let start = match self.manager(system).await {
            Ok(Some(manager)) => self.before_restart(&manager),
            Ok(None) => {
                return Written::NotApplied(unsupported(&doing, "the system names no manager, so that nothing would prove it"));
            }
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
        match self.await_restart(&start, deadline).await {
            Ok(seen) => {
                let power = self.look(&system.path, deadline).await.map(|now| told(&view(&now)));
                let power = power.unwrap_or_else(|e| e.to_string());
                Written::Applied(format!("{words}; {seen}; before: {}, now: {power}", told(&before)))
            }
            Err(seen) => {
                self.kin.showed("RC-59", format!("{words}; {seen}"));
                Written::Ambiguous(format!("{words}; {seen}"))
            }
        }
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
}

/// A refusal after the host was powered off for it is no "certainly no effect".
fn half(words: &str, error: BmcError) -> Written {
    if words.is_empty() {
        Written::NotApplied(error)
    } else {
        Written::Ambiguous(format!("{words}then the mains were not cycled: {error}"))
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
    }

    proptest::proptest! {
        #[test]
        fn any_resource_is_looked_through(value in super::super::json::any_json()) {
            let _ = find(&value, "#X.Y");
        }
    }
}
