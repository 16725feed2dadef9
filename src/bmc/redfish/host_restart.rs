//! Restarts that never darken the chassis, and the non-maskable interrupt. A restart is believed when the node's start time is a new one, its boot
//! goes through its stages again, or the power is seen off; what cannot be proved so is made of off and on instead (RC-58).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Resource};
use super::error::safe;
use super::json as views;
use super::power::{Leg, Seen, told, view};
use super::write::{Sent, passing};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{PowerState, Reading};

/// How often a restart that was certainly refused is sent again.
const REFUSALS: u32 = 6;

/// What a system tells of its last start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    started: Option<String>,
    progress: Option<String>,
}

impl Mark {
    fn of(system: &Resource) -> Self {
        let progress = system.value.get("BootProgress").and_then(|progress| views::word(progress, "LastState"));
        Self {
            started: views::text(&system.value, "LastResetTime").filter(|text| !text.starts_with("1970-")),
            progress: progress.filter(|word| *word != "None").map(|word| safe(word, 64)),
        }
    }

    /// True when a restart would show in it.
    fn shows(&self) -> bool {
        self.started.is_some() || self.ran()
    }

    fn ran(&self) -> bool {
        self.progress.as_deref().is_some_and(|word| matches!(word, "OSRunning" | "OSBootStarted"))
    }

    /// How `now` shows that the node has started again since.
    fn since(&self, now: &Self) -> Option<String> {
        if let (Some(before), Some(after)) = (&self.started, &now.started)
            && before != after
            && newer(before, after)
        {
            return Some(format!("LastResetTime went from {} to {}", safe(before, 40), safe(after, 40)));
        }
        let (before, after) = (self.progress.as_deref()?, now.progress.as_deref()?);
        (self.ran() && !now.ran()).then(|| format!("BootProgress went from {before} to {after}"))
    }
}

/// Times that cannot be read prove nothing but that they differ.
fn newer(before: &str, after: &str) -> bool {
    match (before.parse::<Timestamp>(), after.parse::<Timestamp>()) {
        (Ok(before), Ok(after)) => after > before,
        _ => true,
    }
}

impl Client {
    /// Asks the operating system to restart; where the BMC has no such request, to shut down, and powers on.
    pub(super) async fn host_restart(&self, system: &Resource, deadline: Instant) -> Leg {
        match self.started_anew(system, "GracefulRestart", deadline, deadline).await? {
            Anew::Seen(seen) => Ok(seen),
            Anew::Impossible => self.cycle(system, &["GracefulShutdown"], Duration::ZERO, deadline).await,
            // Force was not asked for.
            Anew::NotSeen(words) => Err(Written::Ambiguous(words)),
        }
    }

    /// Restarts by force. Where that hangs, cannot be asked for, or would show nowhere: off, a pause, on.
    pub(super) async fn host_reset(&self, system: &Resource, deadline: Instant) -> Leg {
        let dark = self.limits.dark.0;
        if self.kin.habit(|habits| habits.restart_hangs) {
            return self.cycle(system, &["ForceOff"], dark, deadline).await;
        }
        let patience = deadline.min(Instant::now() + self.limits.restart);
        match self.started_anew(system, "ForceRestart", patience, deadline).await? {
            Anew::Seen(seen) => Ok(seen),
            Anew::Impossible => self.cycle(system, &["ForceOff"], dark, deadline).await,
            Anew::NotSeen(words) => {
                self.kin.showed("RC-58", words.clone());
                match self.cycle(system, &["ForceOff"], dark, deadline).await {
                    Ok(seen) => Ok(Seen { words: format!("{words}; so: {}", seen.words), touched: true }),
                    Err(Written::NotApplied(e)) => Err(Written::Ambiguous(format!("{words}; then {e}"))),
                    Err(Written::Ambiguous(seen)) => Err(Written::Ambiguous(format!("{words}; then {seen}"))),
                    Err(other) => Err(other),
                }
            }
        }
    }

    /// Sends the interrupt. What it does is between the node's firmware and its operating system.
    pub(super) async fn host_interrupt(&self, system: &Resource, deadline: Instant) -> Written {
        let (target, kind) = match self.reset_target(system, &["Nmi"], deadline).await {
            Ok(found) => found,
            Err(e) => return Written::NotApplied(e),
        };
        match view(system) {
            Reading::Known(PowerState::On) => {}
            other => {
                return Written::NotApplied(BmcError {
                    doing: format!("send an NMI to {}", safe(&system.path, 256)),
                    seen: format!("{}; there is nothing to interrupt", told(&other)),
                    kind: BmcTrouble::Refused,
                    source: None,
                });
            }
        }
        match self.post(&target, &json!({ "ResetType": kind }), deadline).await {
            Sent::Taken(words) => {
                Written::Ambiguous(format!("{words}; nothing that a BMC shows proves an NMI: look at the node's console"))
            }
            Sent::Unclear(e) => Written::Ambiguous(format!("the answer was lost ({e})")),
            Sent::No { error, .. } => Written::NotApplied(error),
        }
    }

    /// Sends one kind of restart once, and looks until the node shows that it started anew, or `patience` ends.
    async fn started_anew(
        &self,
        system: &Resource,
        kind: &'static str,
        patience: Instant,
        deadline: Instant,
    ) -> Result<Anew, Written> {
        let mut refusal: Option<BmcError> = None;
        let first = self.look(&system.path, deadline).await.map_err(Written::NotApplied)?;
        if view(&first) == Reading::Known(PowerState::Off) {
            return self.leg_on(system, deadline).await.map(Anew::Seen);
        }
        let before = Mark::of(&first);
        if !before.shows() {
            return Ok(Anew::Impossible);
        }
        let (target, kind) = match self.reset_target(&first, &[kind], deadline).await {
            Ok(found) => found,
            Err(e) if e.kind == BmcTrouble::Unsupported => return Ok(Anew::Impossible),
            Err(e) => return Err(Written::NotApplied(e)),
        };
        for refusals in 1_u32.. {
            let words = match self.post(&target, &json!({ "ResetType": kind }), deadline).await {
                Sent::Taken(words) => words,
                Sent::Unclear(e) => format!("the answer to {kind} was lost ({e})"),
                Sent::No { status, error } => {
                    let wait = Instant::now() + self.limits.poll.1;
                    let passes = passing(status, &error) || status.is_some_and(|status| status.as_u16() == 409);
                    if wait < deadline {
                        sleep_until(wait).await;
                    }
                    // It may have been taken all the same (RC-32).
                    if let Ok(now) = self.look(&system.path, deadline).await
                        && let Some(shown) = before.since(&Mark::of(&now))
                    {
                        let words = format!("{kind} was refused ({error}), but {shown}");
                        return Ok(Anew::Seen(Seen { words, touched: true }));
                    }
                    if !passes || refusals >= REFUSALS || wait >= deadline {
                        return Err(Written::NotApplied(refusal.unwrap_or(error)));
                    }
                    refusal = Some(error);
                    continue;
                }
            };
            return self.shown_anew(system, &before, &words, patience, deadline).await;
        }
        Ok(Anew::NotSeen("it was not sent".to_owned()))
    }

    async fn shown_anew(
        &self,
        system: &Resource,
        before: &Mark,
        words: &str,
        patience: Instant,
        deadline: Instant,
    ) -> Result<Anew, Written> {
        let start = Instant::now();
        let mut pause = self.limits.poll.0;
        let mut dark = false;
        loop {
            let last = match self.look(&system.path, deadline).await {
                Ok(now) => {
                    let power = view(&now);
                    dark |= matches!(power, Reading::Known(PowerState::Off | PowerState::PoweringOff));
                    let shown = before.since(&Mark::of(&now)).or_else(|| dark.then(|| "the power was seen off".to_owned()));
                    if let (Some(shown), Reading::Known(PowerState::On)) = (shown, &power) {
                        let words = format!("{words}; {shown}, seen after {:.1} s", start.elapsed().as_secs_f32());
                        return Ok(Anew::Seen(Seen { words, touched: true }));
                    }
                    told(&power)
                }
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Err(Written::Ambiguous(format!("{words}; then {e}")));
                }
                Err(e) => e.to_string(),
            };
            let next = Instant::now() + pause;
            // A node that went dark is on its way; it has until the deadline.
            if next >= if dark { deadline } else { patience } {
                let waited = start.elapsed().as_secs_f32();
                let words = format!("{words}; no new start was seen within {waited:.1} s, last: {last}");
                return if dark { Err(Written::Ambiguous(words)) } else { Ok(Anew::NotSeen(words)) };
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }
}

/// What came of one restart.
enum Anew {
    /// The node started anew.
    Seen(Seen),
    /// The BMC cannot be asked for it, or would not show it; nothing was sent.
    Impossible,
    /// It was taken, and nothing shows it.
    NotSeen(String),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark(started: Option<&str>, progress: Option<&str>) -> Mark {
        let value = json!({ "LastResetTime": started, "BootProgress": { "LastState": progress } });
        Mark::of(&Resource { path: "/x".to_owned(), value, etag: None })
    }

    #[test]
    fn only_a_new_start_proves_a_restart() {
        let ran = mark(Some("2026-01-01T00:00:00+00:00"), Some("OSRunning"));
        assert!(ran.since(&ran).is_none());
        assert!(ran.since(&mark(Some("2026-01-01T00:00:01+00:00"), None)).is_some());
        assert!(
            ran.since(&mark(Some("2025-01-01T00:00:00+00:00"), Some("OSRunning"))).is_none(),
            "an older time is no new start"
        );
        assert!(ran.since(&mark(None, Some("PCIResourceConfigStarted"))).is_some());
        assert!(mark(None, Some("PCIResourceConfigStarted")).since(&mark(None, Some("OSRunning"))).is_none());
        // What was never set is no time (captures nvidia_viking and supermicro-gb300, HGX_Baseboard_0).
        assert!(!mark(Some("1970-01-01T00:00:00+00:00"), None).shows());
        assert!(!mark(None, None).shows() && !mark(None, Some("None")).shows());
    }

    proptest::proptest! {
        #[test]
        fn any_system_has_a_mark(value in super::super::json::any_json()) {
            let mark = Mark::of(&Resource { path: "/x".to_owned(), value, etag: None });
            proptest::prop_assert!(mark.since(&mark).is_none());
        }
    }
}
