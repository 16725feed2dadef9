//! Writing the boot override: in the ways that BMCs take it, one after another, each only after a look has shown that the one before had no
//! effect (RC-60, RC-61). What stuck is remembered for the make.

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::boot::{Shown, allowed, compare, offered, patch_body, target_word, told, view};
use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::write::Sent;
use crate::bmc::quirk::{BootPlace, Learned};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{BootMode, BootOverride, BootTarget, Reading};

/// How often an override that does not show at once is looked for again; the pause doubles, 7.5 s in all with the usual limits.
const LOOKS: u32 = 4;
/// Most boot options that are looked through for what a `BootNext` stands for.
const OPTIONS: usize = 64;

/// One way of writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    place: BootPlace,
    /// The mode is sent although nobody asked for one.
    whole: bool,
    /// With `If-Match: *`, for a BMC that drops what comes without a tag (RC-35).
    star: bool,
}

impl Client {
    /// The override that the node will boot by: the system's, or the one that waits in its settings object where this make keeps it there.
    pub(super) async fn boot_view(&self, system: &Resource) -> Result<Reading<BootOverride>, BmcError> {
        let held = view(system);
        if self.boot_place() != BootPlace::Settings || held.known().is_none_or(|held| held.target != BootTarget::None) {
            return Ok(held);
        }
        let Some(at) = self.boot_settings(system) else { return Ok(held) };
        match self.get(&at).await {
            Ok(settings) => Ok(match view(&settings) {
                Reading::Absent => held,
                waiting => waiting,
            }),
            Err(e) if super::system::soft(&e) => Ok(held),
            Err(e) => Err(e),
        }
    }

    fn boot_place(&self) -> BootPlace {
        self.kin.learned().boot_place.unwrap_or_else(|| self.kin.habit(|habits| habits.boot_place))
    }

    /// The settings object of a system: by its link, else where the make's profile says.
    fn boot_settings(&self, system: &Resource) -> Option<String> {
        let named = system.value.get("@Redfish.Settings").and_then(|settings| views::link(settings, "SettingsObject"));
        named.or_else(|| {
            let below = self.kin.habit(|habits| habits.boot_settings.clone());
            let keeps = !below.is_empty() && self.boot_place() == BootPlace::Settings;
            keeps.then(|| format!("{}/{below}", system.path.trim_end_matches('/')))
        })
    }

    /// Writes the override and reads it back.
    pub(super) async fn write_boot(&self, system: &Resource, want: &BootOverride) -> Written {
        let deadline = Instant::now() + self.limits.post.max(self.limits.request);
        let now = match self.look(&system.path, deadline).await {
            Ok(now) => now,
            Err(e) => return Written::NotApplied(e),
        };
        if let Err(e) = self.takes(&now, want) {
            return Written::NotApplied(e);
        }
        let settings = match self.boot_settings(&now) {
            // Only a link is sure to lead somewhere; the profile's word is held against the BMC.
            Some(at) if now.value.get("@Redfish.Settings").is_none() => match self.look(&at, deadline).await {
                Ok(_) => Some(at),
                Err(e) if e.kind == BmcTrouble::Unsupported => None,
                Err(e) => return Written::NotApplied(e),
            },
            linked => linked,
        };
        let (mut first, mut taken): (Option<BmcError>, bool) = (None, false);
        for (turn, way) in self.ways(want, settings.is_some()).into_iter().enumerate() {
            let at = match (way.place, &settings) {
                (BootPlace::Settings, Some(at)) => at,
                _ => &now.path,
            };
            if way.star && !taken {
                // What was refused outright was refused with `*` as well: that is a step of the ladder.
                continue;
            }
            let (written, accepted) = self.write_boot_by(way, at, &now, want, deadline).await;
            taken |= accepted;
            match written {
                Written::Applied(seen) => {
                    if turn > 0 {
                        self.kin.showed("RC-60", format!("the override stuck only by {way:?}"));
                    }
                    let learned = Learned {
                        boot_place: Some(way.place).filter(|place| turn > 0 || *place != self.boot_place()),
                        boot_whole: (turn > 0 && way.whole).then_some(true),
                        ..Learned::default()
                    };
                    self.kin.learn(learned);
                    return Written::Applied(seen);
                }
                // A look has shown that it is not there: another way may be tried.
                Written::NotApplied(e) if matches!(e.kind, BmcTrouble::Refused | BmcTrouble::Unsupported) => {
                    first.get_or_insert(e);
                }
                other => return other,
            }
        }
        Written::NotApplied(first.unwrap_or_else(|| unsupported("set the boot override", "no way to write it was found")))
    }

    /// The ways to try, the likeliest first.
    fn ways(&self, want: &BootOverride, settings: bool) -> Vec<Way> {
        let whole = self.kin.learned().boot_whole.unwrap_or_else(|| self.kin.habit(|habits| habits.boot_whole));
        let place = if settings { self.boot_place() } else { BootPlace::System };
        let first = Way { place, whole, star: false };
        let mut ways = vec![first];
        if want.mode.is_none() && !whole && want.target != BootTarget::None {
            ways.push(Way { whole: true, ..first });
        }
        if settings {
            let other = if place == BootPlace::System { BootPlace::Settings } else { BootPlace::System };
            ways.push(Way { place: other, whole: true, star: false });
        }
        ways.push(Way { star: true, whole: true, ..first });
        ways
    }

    /// Writes it once, and says beside the end whether the BMC took it.
    async fn write_boot_by(&self, way: Way, at: &str, now: &Resource, want: &BootOverride, deadline: Instant) -> (Written, bool) {
        let boot = now.value.get("Boot").unwrap_or(&Value::Null);
        let names_none = allowed(boot).is_empty() || allowed(boot).contains(&"None");
        let held = match views::word(boot, "BootSourceOverrideMode") {
            Some("Legacy") => BootMode::Legacy,
            _ => BootMode::Uefi,
        };
        let mode = want.mode.or_else(|| (way.whole && want.target != BootTarget::None).then_some(held));
        let body = patch_body(want, names_none, mode);
        // The tag of the system is not that of its settings object, which the ladder reads by itself.
        let tag = now.etag.clone().filter(|_| at == now.path && !way.star);
        // No way before this one had an effect: what was read first still holds.
        let before = match at == now.path {
            true => told(now),
            false => match self.look(at, deadline).await {
                Ok(before) => told(&before),
                Err(e) => return (Written::NotApplied(e), false),
            },
        };
        let sent = if way.star { self.patch_any(at, &body, deadline).await } else { self.patch(at, &body, tag, deadline).await };
        let words = match sent {
            Sent::Taken(said) => said,
            // A refusal of one property may have kept the others: the read-back tells.
            Sent::No { error, .. } => return (self.refused_boot(at, &before, want, error).await, false),
            Sent::Unclear(e) => format!("the answer was lost ({e})"),
        };
        (self.read_back(at, want, &words).await, true)
    }

    /// After a refusal: applied all the same, or not applied if nothing changed.
    async fn refused_boot(&self, at: &str, before: &str, want: &BootOverride, error: BmcError) -> Written {
        match self.get(at).await {
            // Exactly what was asked for, and nothing near it: an override for one boot is not the lasting one that was refused.
            Ok(after) if matches!(self.shown(want, &after).await, Shown::Yes(None)) => {
                Written::Applied(format!("it was refused ({error}), but {}", told(&after)))
            }
            Ok(after) if told(&after) != before => Written::Ambiguous(format!("it was refused ({error}), yet {}", told(&after))),
            _ => Written::NotApplied(error),
        }
    }

    async fn read_back(&self, at: &str, want: &BootOverride, words: &str) -> Written {
        let mut last = None;
        for look in 0..=LOOKS {
            if let Some(before) = look.checked_sub(1) {
                sleep(self.limits.poll.0 * 2_u32.pow(before)).await;
            }
            last = Some(self.get(at).await);
            match &last {
                Some(Ok(now)) => match self.shown(want, now).await {
                    Shown::Yes(None) => return Written::Applied(format!("{words}; {}", told(now))),
                    Shown::Yes(Some(remark)) => return Written::Applied(format!("{words}; {}; {remark}", told(now))),
                    Shown::Partly(_) | Shown::No => {}
                },
                Some(Err(e)) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => break,
                _ => {}
            }
        }
        match last {
            Some(Ok(now)) => match self.shown(want, &now).await {
                Shown::Partly(remark) => Written::Ambiguous(format!("{words}; {}; {remark}", told(&now))),
                _ if words.starts_with("the answer was lost") => Written::Ambiguous(format!("{words}; {}", told(&now))),
                _ => Written::NotApplied(BmcError {
                    doing: format!("set the boot override to {}", want.target),
                    seen: format!("{words}, but {}", told(&now)),
                    kind: BmcTrouble::Refused,
                    source: None,
                }),
            },
            Some(Err(e)) => Written::Ambiguous(format!("{words}; the read-back failed: {e}")),
            None => Written::Ambiguous(format!("{words}; it was not read back")),
        }
    }

    /// How far a read-back is what was wanted. Supermicro turns `Pxe` into a `BootNext`: then the boot option tells what it stands for (RC-60).
    async fn shown(&self, want: &BootOverride, now: &Resource) -> Shown {
        let boot = now.value.get("Boot").unwrap_or(&Value::Null);
        if views::word(boot, "BootSourceOverrideTarget") != Some("UefiBootNext") || want.target == BootTarget::None {
            return compare(want, &view(now));
        }
        match (self.boot_next(boot).await, views::word(boot, "BootSourceOverrideEnabled")) {
            (Some(alias), Some("Once" | "Continuous")) if alias == target_word(want.target) => {
                self.kin.showed("RC-60", format!("{alias} reads back as UefiBootNext"));
                Shown::Yes(Some("it reads back as UefiBootNext, whose boot option stands for that target"))
            }
            _ => Shown::Partly("it reads back as UefiBootNext, and which boot option that is cannot be told"),
        }
    }

    /// What the boot option that is next stands for.
    async fn boot_next(&self, boot: &Value) -> Option<String> {
        let next = views::word(boot, "BootNext")?;
        let at = views::link(boot, "BootOptions")?;
        let deadline = Instant::now() + self.limits.request;
        for option in self.members_whole(&at, deadline).await.ok()?.0.into_iter().take(OPTIONS) {
            let value = match option.inline {
                Some(value) => value,
                None => self.look(&option.path, deadline).await.ok()?.value,
            };
            if views::word(&value, "BootOptionReference") == Some(next) {
                return views::word(&value, "Alias").map(str::to_owned);
            }
        }
        None
    }

    /// Refuses what the BMC is known not to take, before anything is touched.
    fn takes(&self, now: &Resource, want: &BootOverride) -> Result<(), BmcError> {
        offered(now, want)?;
        if want.target != BootTarget::None && !want.once && self.kin.habit(|habits| habits.boot_once_only) {
            let doing = format!("set the boot override to {} at {}", want.target, safe(&now.path, 256));
            return Err(unsupported(&doing, "this make of BMC takes Once and Disabled only, not Continuous"));
        }
        Ok(())
    }
}
