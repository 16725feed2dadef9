//! Chassis power: look, one touch, look until it is seen. A reset that cannot be seen in `PowerState` is not used: a cycle is off, seen off,
//! on, seen on.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::write::Sent;
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{PowerState, PowerVerb, Reading};

/// How often a touch that was certainly refused is sent again (iDRAC10 refuses `On` for 60 s after off, RC-57; POST refuses changes, RC-64).
const REFUSALS: u32 = 12;

/// `PowerState` of a system or chassis.
pub(super) fn view(resource: &Resource) -> Reading<PowerState> {
    let at = safe(&resource.path, 128);
    match views::word(&resource.value, "PowerState") {
        Some("On") => Reading::Known(PowerState::On),
        Some("Off") => Reading::Known(PowerState::Off),
        Some("PoweringOn") => Reading::Known(PowerState::PoweringOn),
        Some("PoweringOff") => Reading::Known(PowerState::PoweringOff),
        Some(other) => Reading::unknown(format!("{at} says PowerState `{}`", safe(other, 32))),
        None => Reading::unknown(format!("{at} says no PowerState")),
    }
}

fn told(reading: &Reading<PowerState>) -> String {
    match reading {
        Reading::Known(state) => format!("PowerState {state}"),
        Reading::Absent => "no PowerState".to_owned(),
        Reading::Unknown { why } => why.clone(),
    }
}

/// What came of one leg: the state that was asked for was seen, or how it ended instead.
type Leg = Result<String, Written>;

impl Client {
    /// Changes the power of the system at `at` and proves it before the deadline.
    pub(super) async fn drive_power(&self, system: &Resource, verb: PowerVerb, deadline: Instant) -> Written {
        let done = match verb {
            PowerVerb::On => self.leg(system, &["On", "ForceOn"], PowerState::On, deadline).await,
            PowerVerb::Off => self.leg(system, &["ForceOff"], PowerState::Off, deadline).await,
            PowerVerb::Graceful => self.leg(system, &["GracefulShutdown"], PowerState::Off, deadline).await,
            PowerVerb::Cycle => self.cycle(system, deadline).await,
        };
        done.map_or_else(|written| written, Written::Applied)
    }

    async fn cycle(&self, system: &Resource, deadline: Instant) -> Leg {
        let off = self.leg(system, &["ForceOff"], PowerState::Off, deadline).await?;
        match self.leg(system, &["On", "ForceOn"], PowerState::On, deadline).await {
            Ok(on) => Ok(format!("{off}; then {on}")),
            // The first half had its effect, so that "certainly no effect" would be untrue.
            Err(Written::NotApplied(e)) => Err(Written::Ambiguous(format!("{off}; but powering on was refused: {e}"))),
            Err(Written::Ambiguous(seen)) => Err(Written::Ambiguous(format!("{off}; then {seen}"))),
            Err(other) => Err(other),
        }
    }

    /// Look, touch once, look until `want` is seen. A touch is repeated only after the BMC has promised that nothing was done.
    async fn leg(&self, system: &Resource, types: &[&str], want: PowerState, deadline: Instant) -> Leg {
        let mut refusals = 0;
        loop {
            let now = self.look(&system.path, deadline).await.map_err(Written::NotApplied)?;
            let before = view(&now);
            if before == Reading::Known(want) {
                let sent = if refusals == 0 { "nothing was sent" } else { "every touch was refused" };
                return Ok(format!("{} was already so; {sent}", told(&before)));
            }
            if before == Reading::Known(PowerState::PoweringOn) && want == PowerState::On {
                return self
                    .watch(&system.path, want, deadline, "PowerState powering-on before any touch; nothing was sent")
                    .await;
            }
            let (target, kind) = self.reset_target(&now, types, deadline).await.map_err(Written::NotApplied)?;
            let taken = match self.post(&target, &json!({ "ResetType": kind }), deadline).await {
                Sent::Taken(words) => words,
                Sent::Unclear(e) => format!("the answer to {kind} was lost ({e})"),
                Sent::No { status, error } => {
                    refusals += 1;
                    let wait = Instant::now() + self.limits.poll.1;
                    let passing = matches!(status.map(|s| s.as_u16()), Some(409 | 423 | 429 | 503))
                        || error.seen.contains("UnableToModifyDuringSystemPOST");
                    if passing && refusals < REFUSALS && wait < deadline {
                        sleep_until(wait).await;
                        continue;
                    }
                    // 400 and 409 may mean "already so" (RC-32): only a look tells.
                    let after = self.get_by(&system.path, deadline.max(Instant::now() + Duration::from_secs(1))).await;
                    return match after.map(|now| view(&now)) {
                        Ok(after) if after == Reading::Known(want) => {
                            Ok(format!("{kind} was refused ({error}), but {} is seen", told(&after)))
                        }
                        _ => Err(Written::NotApplied(error)),
                    };
                }
            };
            return self.watch(&system.path, want, deadline, &taken).await;
        }
    }

    /// Looks until `want` is seen or the deadline passes.
    async fn watch(&self, at: &str, want: PowerState, deadline: Instant, taken: &str) -> Leg {
        let start = Instant::now();
        let mut pause = self.limits.poll.0;
        let mut seen: Option<String> = None;
        loop {
            let last = match self.look(at, deadline).await {
                Ok(now) if view(&now) == Reading::Known(want) => {
                    return Ok(format!("{taken}; PowerState {want} was seen after {:.1} s", start.elapsed().as_secs_f32()));
                }
                Ok(now) => seen.insert(told(&view(&now))).clone(),
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Err(Written::Ambiguous(format!("{taken}; then {e}")));
                }
                // A BMC may be away for a moment; the deadline bounds the wait, and often cuts the last look short.
                Err(e) => seen.as_ref().map_or_else(|| e.to_string(), |seen| format!("{seen}, then {e}")),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                let waited = start.elapsed().as_secs_f32();
                return Err(Written::Ambiguous(format!(
                    "{taken}; PowerState {want} was not seen within {waited:.1} s, last: {last}"
                )));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }

    /// The reset action's target and the first of `types` that it allows.
    async fn reset_target<'a>(
        &self,
        system: &Resource,
        types: &[&'a str],
        deadline: Instant,
    ) -> Result<(String, &'a str), BmcError> {
        let doing = format!("reset {}", safe(&system.path, 256));
        let action = system.value.get("Actions").and_then(|actions| actions.get("#ComputerSystem.Reset"));
        let Some(action) = action else { return Err(unsupported(&doing, "it offers no ComputerSystem.Reset action")) };
        let target = action.get("target").and_then(views::href);
        let Some(target) = target else {
            return Err(unsupported(&doing, "its ComputerSystem.Reset action has no usable target"));
        };
        let allowed = match allowable(action) {
            Some(allowed) => Some(allowed),
            None => match views::link(action, "@Redfish.ActionInfo") {
                // An ActionInfo that cannot be read forbids nothing: the BMC judges the request itself.
                Some(info) => self.get_by(&info, deadline).await.ok().and_then(|info| parameter(&info.value)),
                None => None,
            },
        };
        let Some(first) = types.first() else { return Err(unsupported(&doing, "no reset type was asked for")) };
        match allowed {
            None => Ok((target, first)),
            Some(allowed) => match types.iter().find(|kind| allowed.iter().any(|a| a == *kind)) {
                Some(kind) => Ok((target, kind)),
                None => {
                    let allowed = safe(&allowed.join(", "), 512);
                    Err(unsupported(&doing, format!("it allows {allowed}, but not {}", types.join(" or "))))
                }
            },
        }
    }
}

fn words(list: &[Value]) -> Option<Vec<String>> {
    let words: Vec<String> = list.iter().filter_map(Value::as_str).take(64).map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

fn allowable(action: &Value) -> Option<Vec<String>> {
    words(views::list(action, "ResetType@Redfish.AllowableValues"))
}

fn parameter(info: &Value) -> Option<Vec<String>> {
    let of_reset = |p: &&Value| views::word(p, "Name") == Some("ResetType");
    words(views::list(views::list(info, "Parameters").iter().find(of_reset)?, "AllowableValues"))
}
