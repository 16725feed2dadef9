//! BIOS attributes: read, those in force and those that wait; written in one request to the object that the BIOS names for it; read back as
//! pending (RC-61, RC-62). What somebody else left pending is told, and stands in the way unless it is allowed. Nothing is rebooted here.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::bios_job::Jobs;
use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::json as views;
use super::registry::{Judged, Registry, attributes, json_of};
use super::system::soft;
use super::write::Sent;
use crate::bmc::settings::{Bios, BiosOrder, BiosValue};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// How often attributes that are not pending at once are looked for again; the pause doubles, 7.5 s in all with the usual limits.
const LOOKS: u32 = 4;
/// Most attributes that a text names.
const NAMED: usize = 16;

type Values = BTreeMap<String, BiosValue>;

/// The BIOS of a system as it is held.
struct Held {
    bios: Resource,
    /// The object that takes changes; `None`: the BIOS itself.
    settings: Option<Resource>,
    current: Values,
    /// What waits and differs from what is in force.
    pending: Values,
}

impl Held {
    fn new(bios: Resource, settings: Option<Resource>) -> Self {
        let current = attributes(&bios.value);
        let waiting = settings.as_ref().map(|s| attributes(&s.value)).unwrap_or_default();
        let pending = waiting.into_iter().filter(|(name, value)| current.get(name) != Some(value)).collect();
        Self { bios, settings, current, pending }
    }

    /// What takes changes.
    fn place(&self) -> &Resource {
        self.settings.as_ref().unwrap_or(&self.bios)
    }

    fn annotation(&self) -> Option<&Value> {
        self.bios.value.get("@Redfish.Settings")
    }

    /// Apply times that are offered; empty when nothing is said.
    fn apply_times(&self) -> Vec<&str> {
        let places = [self.annotation(), Some(&self.place().value)];
        let times =
            |place| views::list(place, "SupportedApplyTimes").iter().filter_map(Value::as_str).take(16).collect::<Vec<_>>();
        places.into_iter().flatten().map(times).find(|times| !times.is_empty()).unwrap_or_default()
    }

    /// What will be so after the next boot.
    fn planned(&self) -> Values {
        let mut planned = self.current.clone();
        planned.extend(self.pending.clone());
        planned
    }

    /// Of what is wanted: what is not to be seen, neither pending nor in force.
    fn missing(&self, want: &Values) -> Values {
        let planned = self.planned();
        want.iter().filter(|(name, value)| planned.get(*name) != Some(value)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

/// Attributes on one line, for people.
pub(super) fn words<'a>(values: impl ExactSizeIterator<Item = (&'a String, &'a BiosValue)>) -> String {
    let count = values.len();
    let mut all: Vec<String> =
        values.take(NAMED).map(|(name, value)| format!("{}={}", safe(name, 64), safe(&value.to_string(), 64))).collect();
    if count > NAMED {
        all.push(format!("and {} more", count - NAMED));
    }
    all.join(", ")
}

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

impl Client {
    /// The BIOS of a system; `None` when the system names none.
    async fn bios_held(&self, system: &Resource) -> Result<Option<Held>, BmcError> {
        let Some(at) = views::link(&system.value, "Bios") else { return Ok(None) };
        let bios = self.get(&at).await?;
        let settings = self.bios_settings(&bios).await?;
        Ok(Some(Held::new(bios, settings)))
    }

    /// The object that takes changes: the one that the BIOS names, else the one that this make is known to have (RC-33).
    async fn bios_settings(&self, bios: &Resource) -> Result<Option<Resource>, BmcError> {
        let named = bios.value.get("@Redfish.Settings").and_then(|settings| views::link(settings, "SettingsObject"));
        if let Some(at) = named {
            return self.get(&at).await.map(Some);
        }
        let known = self.kin.learned().bios_settings.unwrap_or_else(|| self.kin.habit(|habits| habits.bios_settings.clone()));
        if known.is_empty() {
            return Ok(None);
        }
        match self.get(&format!("{}/{known}", bios.path.trim_end_matches('/'))).await {
            Ok(settings) => Ok(Some(settings)),
            Err(e) if soft(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// BIOS attributes for people.
    pub(super) async fn bios_view(&self, system: &Resource) -> Result<Reading<Bios>, BmcError> {
        let Some(held) = self.bios_held(system).await? else { return Ok(Reading::Absent) };
        let registry = match views::text(&held.bios.value, "AttributeRegistry") {
            Some(name) => Reading::Known(safe(&name, 128)),
            None => Reading::unknown(format!("{} names no attribute registry", safe(&held.bios.path, 128))),
        };
        let apply: Vec<String> = held.apply_times().into_iter().map(|time| safe(time, 64)).collect();
        let apply = if apply.is_empty() {
            Reading::unknown(format!("{} does not say when settings are applied", safe(&held.bios.path, 128)))
        } else {
            Reading::Known(apply)
        };
        let messages = held.annotation().map(|a| views::list(a, "Messages")).unwrap_or_default();
        let said = |m: &Value| {
            let parts = [views::text(m, "MessageId"), views::text(m, "Message")];
            let about: Vec<&str> = match m.get("RelatedProperties") {
                Some(Value::Array(about)) => about.iter().filter_map(Value::as_str).take(4).collect(),
                _ => Vec::new(),
            };
            let mut text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
            if !about.is_empty() {
                text = format!("{text} ({})", about.join(", "));
            }
            safe(&text, 512)
        };
        let last = messages.iter().take(8).map(said).filter(|text| !text.is_empty()).collect();
        Ok(Reading::Known(Bios { current: held.current, pending: held.pending, registry, apply, last }))
    }

    /// Writes attributes and reads them back.
    pub(super) async fn write_bios(&self, system: &Resource, order: &BiosOrder) -> Written {
        let doing = format!("set BIOS attributes of {}", safe(&system.path, 256));
        let held = match self.bios_held(system).await {
            Ok(Some(held)) => held,
            Ok(None) => return Written::NotApplied(unsupported(&doing, "the system names no Bios")),
            Err(e) => return Written::NotApplied(e),
        };
        let (registry, mut remarks) = match self.registry_for(&held.bios, system).await {
            Ok(found) => found,
            Err(e) => return Written::NotApplied(e),
        };
        let judged = registry.judge(&order.set, &held.current, &held.planned());
        let ours = registry.judge(&order.ours, &held.current, &held.planned()).send;
        remarks.extend(judged.remarks.iter().cloned());
        if let Err(e) = sound(&doing, &held, &judged, &ours, order) {
            return Written::NotApplied(e);
        }
        let want = judged.send;
        let jobs = match self.bios_jobs(system).await {
            Ok(jobs) => jobs,
            Err(e) => return Written::NotApplied(e),
        };
        if held.missing(&want).is_empty() {
            let said = format!("{} was so already", words(want.iter()));
            return self.tell_bios(&held, &want, jobs, &said, &remarks).await;
        }
        let sent = self.send_bios(&held, &want).await;
        let lost = !matches!(sent, Sent::Taken(_));
        let said = match sent {
            Sent::Taken(said) => said,
            Sent::Unclear(e) => format!("the answer was lost ({e})"),
            Sent::No { error, .. } => return self.refused_bios(system, &held, &want, error).await,
        };
        let proved = self.prove_bios(system, &want, jobs.clone(), &said, &remarks).await;
        if lost || !matches!(proved, Written::NotApplied(_)) {
            return proved;
        }
        // Taken, and nothing of it is there: AMI drops a change without the tag that it likes (RC-35).
        match self.patch_any(&held.place().path, &bare(&want), Instant::now() + self.limits.request).await {
            Sent::Taken(said) => self.prove_bios(system, &want, jobs, &said, &remarks).await,
            Sent::Unclear(e) => Written::Ambiguous(format!("{said}; sent again with If-Match: *, the answer was lost ({e})")),
            Sent::No { .. } => proved,
        }
    }

    /// One request for all of them. An apply time is asked for where it is offered; a BMC that will not have it gets the attributes alone.
    async fn send_bios(&self, held: &Held, want: &Values) -> Sent {
        let deadline = Instant::now() + self.limits.request;
        let place = held.place();
        let bare = bare(want);
        if !held.apply_times().contains(&"OnReset") {
            return self.patch(&place.path, &bare, place.etag.clone(), deadline).await;
        }
        let mut timed = bare.clone();
        if let Some(fields) = timed.as_object_mut() {
            fields.insert("@Redfish.SettingsApplyTime".to_owned(), json!({ "ApplyTime": "OnReset" }));
        }
        match self.patch(&place.path, &timed, place.etag.clone(), deadline).await {
            Sent::No { status: Some(StatusCode::BAD_REQUEST), error } if error.seen.contains("ApplyTime") => {
                self.patch(&place.path, &bare, None, deadline).await
            }
            sent => sent,
        }
    }

    /// After a refusal: applied all the same, or in part, or not applied if nothing changed.
    async fn refused_bios(&self, system: &Resource, before: &Held, want: &Values, error: BmcError) -> Written {
        let Ok(Some(after)) = self.bios_held(system).await else { return Written::NotApplied(error) };
        let missing = after.missing(want);
        if missing.is_empty() {
            return Written::Applied(format!("it was refused ({error}), but {} is read back", words(want.iter())));
        }
        if missing.len() < before.missing(want).len() {
            return Written::Ambiguous(format!("it was refused ({error}), yet only {} is not read back", words(missing.iter())));
        }
        Written::NotApplied(error)
    }

    async fn prove_bios(&self, system: &Resource, want: &Values, jobs: Option<Jobs>, said: &str, remarks: &[String]) -> Written {
        let mut last = None;
        for look in 0..=LOOKS {
            if let Some(before) = look.checked_sub(1) {
                sleep(self.limits.poll.0 * 2_u32.pow(before)).await;
            }
            match self.bios_held(system).await {
                Ok(Some(held)) if held.missing(want).is_empty() => return self.tell_bios(&held, want, jobs, said, remarks).await,
                Ok(Some(held)) => last = Some(Ok(held)),
                Ok(None) => last = Some(Err("the system names no Bios any more".to_owned())),
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => {
                    return Written::Ambiguous(format!("{said}; the read-back failed: {e}"));
                }
                Err(e) => last = Some(Err(e.to_string())),
            }
        }
        match last {
            Some(Ok(held)) => {
                let missing = held.missing(want);
                let none = missing.len() == want.len();
                let seen = format!("{said}, but {} is neither pending nor in force", words(missing.iter()));
                if none && !said.starts_with("the answer was lost") {
                    return Written::NotApplied(refuse("set BIOS attributes", seen));
                }
                Written::Ambiguous(with(seen, remarks))
            }
            Some(Err(why)) => Written::Ambiguous(format!("{said}; the read-back failed: {why}")),
            None => Written::Ambiguous(format!("{said}; it was not read back")),
        }
    }

    /// What is wanted is held: told, with the job that will apply it where one must.
    async fn tell_bios(&self, held: &Held, want: &Values, jobs: Option<Jobs>, said: &str, remarks: &[String]) -> Written {
        let told = told(held, want);
        let waits = want.iter().any(|(name, value)| held.pending.get(name) == Some(value));
        let Some(jobs) = jobs.filter(|_| waits) else { return Written::Applied(with(format!("{said}; {told}"), remarks)) };
        match self.settle_job(jobs, &held.place().path).await {
            Ok(job) => Written::Applied(with(format!("{said}; {told}; {job}"), remarks)),
            Err(e) => Written::Ambiguous(with(format!("{said}; {told}; but no job would apply them: {e}"), remarks)),
        }
    }

    /// The registry that describes this BIOS, and what should be known of it. Without one the attributes in force are all there is to go by.
    async fn registry_for(&self, bios: &Resource, system: &Resource) -> Result<(Registry, Vec<String>), BmcError> {
        let name = views::text(&bios.value, "AttributeRegistry");
        let found = match self.find_registry(name.as_deref()).await {
            Ok(found) => found,
            Err(e) if soft(&e) => None,
            Err(e) => return Err(e),
        };
        let Some(registry) = found else {
            return Ok((
                Registry::default(),
                vec!["no attribute registry was found; only names and kinds were checked".to_owned()],
            ));
        };
        let version = views::text(&system.value, "BiosVersion");
        if let Some(version) = version.filter(|v| !registry.firmware.is_empty() && !registry.firmware.contains(&safe(v, 128))) {
            let seen = format!(
                "the attribute registry {} is for BIOS {} and the node runs {}; only names and kinds were checked",
                registry.id,
                registry.firmware.join(", "),
                safe(&version, 128)
            );
            return Ok((Registry::default(), vec![seen]));
        }
        Ok((registry, Vec::new()))
    }
}

/// The attributes as they are sent.
fn bare(want: &Values) -> Value {
    let all: Map<String, Value> = want.iter().map(|(name, value)| (name.clone(), json_of(value))).collect();
    json!({ "Attributes": all })
}

/// Refuses a wish that is wrong in itself, or that would go along with what others left pending.
fn sound(doing: &str, held: &Held, judged: &Judged, ours: &Values, order: &BiosOrder) -> Result<(), BmcError> {
    if !judged.mistakes.is_empty() {
        return Err(refuse(doing, format!("nothing was sent: {}", judged.mistakes.join("; "))));
    }
    if judged.send.is_empty() {
        return Err(refuse(doing, "nothing was sent: no attribute was named"));
    }
    let others: Values = held
        .pending
        .iter()
        .filter(|(name, value)| ours.get(*name) != Some(value) && judged.send.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if others.is_empty() || order.beside_others {
        return Ok(());
    }
    Err(refuse(
        doing,
        format!("nothing was sent: {} waits for the next boot already, and was not written by bringup", words(others.iter())),
    ))
}

/// What the read-back shows of what was wanted, and what else the next boot takes.
fn told(held: &Held, want: &Values) -> String {
    let (waits, others): (Vec<_>, Vec<_>) = held.pending.iter().partition(|(name, value)| want.get(*name) == Some(value));
    let in_force: Vec<_> = want.iter().filter(|(name, _)| !held.pending.contains_key(*name)).collect();
    let mut parts = Vec::new();
    if !waits.is_empty() {
        let times = held.apply_times();
        let by_boot = times.is_empty() || times.contains(&"OnReset");
        let when = if by_boot { "the next boot".to_owned() } else { safe(&times.join(", "), 128) };
        parts.push(format!("read back as pending until {when}: {}", words(waits.into_iter())));
    }
    if !in_force.is_empty() {
        parts.push(format!("in force: {}", words(in_force.into_iter())));
    }
    if !others.is_empty() {
        parts.push(format!("also pending: {}", words(others.into_iter())));
    }
    parts.join("; ")
}

fn with(text: String, remarks: &[String]) -> String {
    if remarks.is_empty() { text } else { format!("{text} ({})", remarks.join("; ")) }
}
