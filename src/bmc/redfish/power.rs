//! Chassis power: look, one touch, look until it is seen. A reset that cannot be seen in `PowerState` is not used: a cycle is off, seen off,
//! on, seen on.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::write::{Sent, passing};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{PowerState, PowerVerb, Reading};

/// How often a touch that was certainly refused is sent again (iDRAC10 refuses `On` for 60 s after off, RC-57; POST refuses changes, RC-64).
const REFUSALS: u32 = 24;

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

pub(super) fn told(reading: &Reading<PowerState>) -> String {
    match reading {
        Reading::Known(state) => format!("PowerState {state}"),
        Reading::Absent => "no PowerState".to_owned(),
        Reading::Unknown { why } => why.clone(),
    }
}

/// What came of one leg: the state that was asked for was seen, or how it ended instead.
pub(super) type Leg = Result<Seen, Written>;

/// A state that was seen.
pub(super) struct Seen {
    /// In what words it is told.
    pub(super) words: String,
    /// Something was sent for it.
    pub(super) touched: bool,
}

/// True while the power is on its way to `want`.
fn coming(now: &Reading<PowerState>, want: PowerState) -> bool {
    matches!(
        (now, want),
        (Reading::Known(PowerState::PoweringOn), PowerState::On) | (Reading::Known(PowerState::PoweringOff), PowerState::Off)
    )
}

impl Client {
    /// Changes the power of the system at `at` and proves it before the deadline.
    pub(super) async fn drive_power(&self, system: &Resource, verb: PowerVerb, deadline: Instant) -> Written {
        let done = match verb {
            PowerVerb::On => self.leg_on(system, deadline).await,
            PowerVerb::Off => self.leg(system, &["ForceOff"], PowerState::Off, deadline).await,
            PowerVerb::Graceful => self.leg(system, &["GracefulShutdown"], PowerState::Off, deadline).await,
            PowerVerb::Cycle => self.cycle(system, &["ForceOff"], Duration::ZERO, deadline).await,
            PowerVerb::Restart => self.host_restart(system, deadline).await,
            PowerVerb::Reset => self.host_reset(system, deadline).await,
            PowerVerb::Nmi => return self.host_interrupt(system, deadline).await,
        };
        done.map_or_else(|written| written, |seen| Written::Applied(seen.words))
    }

    /// Powers on.
    pub(super) async fn leg_on(&self, system: &Resource, deadline: Instant) -> Leg {
        self.leg(system, &["On", "ForceOn"], PowerState::On, deadline).await
    }

    /// Off by one of `down`, seen off, dark for at least so long, on, seen on.
    pub(super) async fn cycle(&self, system: &Resource, down: &[&str], dark: Duration, deadline: Instant) -> Leg {
        let off = self.leg(system, down, PowerState::Off, deadline).await?;
        if off.touched {
            // iDRAC10 refuses to power on for a minute (RC-57): waiting is kinder than being refused.
            let habit = Duration::from_secs(self.kin.habit(|habits| habits.wait_after_off_s).into());
            sleep_until(deadline.min(Instant::now() + dark.max(habit.min(self.limits.dark.1)))).await;
        }
        match self.leg_on(system, deadline).await {
            Ok(on) => Ok(Seen { words: format!("{}; then {}", off.words, on.words), touched: off.touched || on.touched }),
            Err(Written::NotApplied(e)) if !off.touched => Err(Written::NotApplied(e)),
            // The first half had its effect, so that "certainly no effect" would be untrue.
            Err(Written::NotApplied(e)) => Err(Written::Ambiguous(format!("{}; but powering on was refused: {e}", off.words))),
            Err(Written::Ambiguous(seen)) => Err(Written::Ambiguous(format!("{}; then {seen}", off.words))),
            Err(other) => Err(other),
        }
    }

    /// Look, touch once, look until `want` is seen. A touch is repeated only after the BMC has promised that nothing was done, and only when a
    /// look shows that nothing is on its way all the same.
    pub(super) async fn leg(&self, system: &Resource, types: &[&str], want: PowerState, deadline: Instant) -> Leg {
        let mut refusal: Option<BmcError> = None;
        for refusals in 1.. {
            let now = match self.look(&system.path, deadline).await {
                Ok(now) => now,
                Err(e) => return Err(Written::NotApplied(refusal.unwrap_or(e))),
            };
            let state = view(&now);
            if state == Reading::Known(want) {
                let words = match &refusal {
                    None => format!("{} was already so; nothing was sent", told(&state)),
                    Some(refusal) => format!("it was refused ({refusal}), but {} is seen", told(&state)),
                };
                return Ok(Seen { words, touched: refusal.is_some() });
            }
            if coming(&state, want) {
                let words = match &refusal {
                    None => format!("{} before any touch; nothing was sent", told(&state)),
                    Some(refusal) => format!("it was refused ({refusal}), but {} is seen", told(&state)),
                };
                return self.watch(&system.path, want, deadline, &words).await;
            }
            let (target, kind) = self.reset_target(&now, types, deadline).await.map_err(Written::NotApplied)?;
            let (status, error) = match self.post(&target, &json!({ "ResetType": kind }), deadline).await {
                Sent::Taken(words) => return self.watch(&system.path, want, deadline, &words).await,
                Sent::Unclear(e) => {
                    return self.watch(&system.path, want, deadline, &format!("the answer to {kind} was lost ({e})")).await;
                }
                Sent::No { status, error } => (status, error),
            };
            let wait = Instant::now() + self.limits.poll.1;
            // 400 and 409 may mean "already so" (RC-32), 409 also "not yet" (RC-57): only a look tells.
            if !(passing(status, &error) || status == Some(StatusCode::CONFLICT)) || refusals >= REFUSALS || wait >= deadline {
                let after = self.get_by(&system.path, deadline.max(Instant::now() + Duration::from_secs(1))).await;
                return match after.map(|now| view(&now)) {
                    Ok(after) if after == Reading::Known(want) => {
                        Ok(Seen { words: format!("{kind} was refused ({error}), but {} is seen", told(&after)), touched: true })
                    }
                    Ok(after) if coming(&after, want) => {
                        let words = format!("{kind} was refused ({error}), but {} is seen", told(&after));
                        self.watch(&system.path, want, deadline, &words).await
                    }
                    _ => Err(Written::NotApplied(error)),
                };
            }
            refusal = Some(error);
            sleep_until(wait).await;
        }
        Err(Written::NotApplied(unsupported("reset", "it was not sent")))
    }

    /// Looks until `want` is seen or the deadline passes.
    async fn watch(&self, at: &str, want: PowerState, deadline: Instant, taken: &str) -> Leg {
        let start = Instant::now();
        let mut pause = self.limits.poll.0;
        let mut seen: Option<String> = None;
        loop {
            let last = match self.look(at, deadline).await {
                Ok(now) if view(&now) == Reading::Known(want) => {
                    let words = format!("{taken}; PowerState {want} was seen after {:.1} s", start.elapsed().as_secs_f32());
                    return Ok(Seen { words, touched: true });
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
    pub(super) async fn reset_target<'a>(
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

pub(super) fn allowable(action: &Value) -> Option<Vec<String>> {
    words(views::list(action, "ResetType@Redfish.AllowableValues"))
}

pub(super) fn parameter(info: &Value) -> Option<Vec<String>> {
    let of_reset = |p: &&Value| views::word(p, "Name") == Some("ResetType");
    words(views::list(views::list(info, "Parameters").iter().find(of_reset)?, "AllowableValues"))
}
