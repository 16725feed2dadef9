//! Virtual media: which drives there are, and what is in them. The views that inserting and ejecting rest on; nothing is written here.

use serde_json::Value;
use tokio::time::Instant;

use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::json as views;
use super::path;
use super::system::soft;
use crate::bmc::quirk::{Glob, Learned, MediaPlace};
use crate::bmc::settings::MediaSlot;
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::Reading;

/// Most drives of one BMC that are looked at; the most in the captured trees is 4.
const MOST: usize = 32;

/// What is in a drive, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// An image, connected.
    Image,
    /// Nothing.
    Nothing,
    /// It contradicts itself, or says nothing: `Inserted` lags on Supermicro and Lenovo.
    Unclear,
}

/// True for a place that says nothing.
fn silent(value: &Value, key: &str) -> bool {
    value.get(key).is_none_or(Value::is_null)
}

/// The image that a drive names.
pub(super) fn image(drive: &Value) -> Option<String> {
    views::word(drive, "Image").map(str::to_owned)
}

/// What is in a drive.
pub(super) fn holds(drive: &Value) -> Holds {
    let inserted = drive.get("Inserted").and_then(Value::as_bool);
    let connected = views::word(drive, "ConnectedVia").map(|via| via != "NotConnected");
    match (inserted, connected, image(drive).is_some()) {
        (Some(true), Some(true), _) | (Some(true), None, true) | (None, Some(true), true) => Holds::Image,
        (Some(false), Some(false) | None, false) | (None, Some(false), false) => Holds::Nothing,
        // sushy-tools says `URI` of an empty drive too.
        (Some(false), Some(true), false) => Holds::Nothing,
        // Nothing is named and nothing is connected: `Inserted` is the one that is late. Where an image is named, either may be (Lenovo).
        (Some(true), Some(false), false) => Holds::Nothing,
        (None, None, false) if silent(drive, "Image") => Holds::Nothing,
        _ => Holds::Unclear,
    }
}

/// A drive for people.
pub(super) fn view(drive: &Resource) -> MediaSlot {
    let value = &drive.value;
    let types = match value.get("MediaTypes") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).take(8).map(|t| safe(t, 32)).collect(),
        _ => Vec::new(),
    };
    let connected = views::word(value, "ConnectedVia").map(|via| safe(via, 32));
    MediaSlot {
        name: safe(path::last(&drive.path), 64),
        at: safe(&drive.path, 256),
        types,
        image: image(value).map_or(Reading::Absent, |image| Reading::Known(bare(&image))),
        inserted: match holds(value) {
            Holds::Image => Reading::Known(true),
            Holds::Nothing => Reading::Known(false),
            Holds::Unclear => Reading::unknown(format!("{} contradicts itself: {}", safe(&drive.path, 128), told(value))),
        },
        connected: connected.map_or_else(|| Reading::unknown("it says no ConnectedVia"), Reading::Known),
    }
}

/// An address for a text that is kept: without its query, in which signed addresses carry what lets anybody in.
pub(super) fn bare(url: &str) -> String {
    match url.split_once('?') {
        Some((place, _)) => format!("{}?…", safe(place, 512)),
        None => safe(url, 512),
    }
}

/// What a drive says, in its own words.
pub(super) fn told(drive: &Value) -> String {
    let of = |key: &str| match drive.get(key) {
        Some(Value::String(text)) => bare(text),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => "nothing".to_owned(),
    };
    format!("Image {}, Inserted {}, ConnectedVia {}", of("Image"), of("Inserted"), of("ConnectedVia"))
}

/// True for a drive that takes a CD. Some say `UsbCd`, which is no media type of the specification.
pub(super) fn takes_cd(drive: &Resource) -> bool {
    let slot = view(drive);
    let cd = |word: &str| word.to_ascii_lowercase().contains("cd") || word.eq_ignore_ascii_case("DVD");
    slot.types.iter().any(|word| cd(word)) || (slot.types.is_empty() && cd(&slot.name))
}

/// The target of one of its actions.
pub(super) fn action(drive: &Resource, name: &str) -> Option<String> {
    drive.value.get("Actions").and_then(|actions| actions.get(name)).and_then(|action| action.get("target")).and_then(views::href)
}

/// True when something can be put into it: it has the action, or it has no actions at all and is changed itself.
pub(super) fn can_insert(drive: &Resource) -> bool {
    let actions = drive.value.get("Actions").and_then(Value::as_object);
    action(drive, "#VirtualMedia.InsertMedia").is_some() || actions.is_none_or(|a| a.keys().all(|key| key == "Oem"))
}

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

/// The drives of a BMC.
#[derive(Default)]
pub(super) struct Drives {
    /// Those that were read.
    pub(super) read: Vec<Resource>,
    /// Places that are named and could not be read just now, and why: what is in them is not known. One that is not there (404) is not among them.
    pub(super) unread: Vec<(String, BmcError)>,
}

impl Drives {
    /// All of them for people; what could not be read is unknown, not left out.
    pub(super) fn views(&self) -> Vec<MediaSlot> {
        let unread = self.unread.iter().map(|(at, error)| MediaSlot {
            name: safe(path::last(at), 64),
            at: safe(at, 256),
            types: Vec::new(),
            image: Reading::unknown(error.to_string()),
            inserted: Reading::unknown(error.to_string()),
            connected: Reading::unknown(error.to_string()),
        });
        self.read.iter().map(view).chain(unread).collect()
    }
}

impl Client {
    /// The drives, those of the likelier place first, each once. `None` when neither the system nor its manager names any.
    pub(super) async fn drives(&self, system: &Resource) -> Result<Option<Drives>, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        let first = self.kin.learned().media_place.unwrap_or_else(|| self.kin.habit(|habits| habits.media_place));
        let not = self.kin.habit(|habits| Glob::new(&habits.media_not).ok());
        let (mut drives, mut trouble) = (Drives::default(), None);
        let mut skip = |at: &str, e: BmcError, drives: &mut Drives| match e.kind {
            BmcTrouble::Unsupported => trouble = Some(e),
            _ => drives.unread.push((at.to_owned(), e)),
        };
        let manager = match self.manager(system).await {
            Ok(manager) => manager,
            Err(e) if soft(&e) => {
                skip("Managers", e, &mut drives);
                None
            }
            Err(e) => return Err(e),
        };
        let of = |resource: &Resource| views::link(&resource.value, "VirtualMedia");
        let (at_system, at_manager) = (of(system), manager.as_ref().and_then(of));
        let places = match first {
            MediaPlace::System => [at_system, at_manager],
            MediaPlace::Manager => [at_manager, at_system],
        };
        if places.iter().all(Option::is_none) && drives.unread.is_empty() {
            return Ok(None);
        }
        for place in places.into_iter().flatten() {
            let members = match self.members(&place, deadline).await {
                Ok((members, _)) => members,
                Err(e) if soft(&e) => {
                    skip(&place, e, &mut drives);
                    continue;
                }
                Err(e) => return Err(e),
            };
            for member in members {
                let known = drives.read.iter().any(|drive| path::same(&drive.path, &member.path));
                if known || drives.read.len() >= MOST || not.as_ref().is_some_and(|not| not.fits(path::last(&member.path))) {
                    continue;
                }
                match self.get_by(&member.path, deadline).await {
                    Ok(drive) => drives.read.push(drive),
                    Err(e) if soft(&e) => skip(&member.path, e, &mut drives),
                    Err(e) => return Err(e),
                }
            }
        }
        if drives.read.is_empty() {
            trouble = drives.unread.pop().map(|(_, e)| e).or(trouble);
        }
        match trouble {
            Some(trouble) if drives.read.is_empty() => Err(trouble),
            _ => Ok(Some(drives)),
        }
    }

    /// The drives that a write is about: the one that is named, or those that fit, with what could not be read where none was named.
    pub(super) async fn pick_drives(
        &self,
        system: &Resource,
        name: Option<&str>,
        doing: &str,
        fit: impl Fn(&Resource) -> bool,
    ) -> Result<Drives, BmcError> {
        let Drives { read: drives, mut unread } = match self.drives(system).await? {
            Some(drives) if !drives.read.is_empty() => drives,
            Some(_) => return Err(unsupported(doing, "the BMC lists no virtual drive (some need a licence, or the host on)")),
            None => return Err(unsupported(doing, "neither the system nor its manager names virtual media")),
        };
        let listed = || {
            let one = |drive: &Resource| format!("{} ({})", safe(path::last(&drive.path), 64), view(drive).types.join(", "));
            drives.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let Some(name) = name else {
            let listed = listed();
            let fitting: Vec<Resource> = drives.into_iter().filter(|drive| fit(drive)).collect();
            return match unread.pop() {
                Some((_, error)) if fitting.is_empty() => Err(error),
                None if fitting.is_empty() => Err(unsupported(doing, format!("no virtual drive fits; there are: {listed}"))),
                last => {
                    unread.extend(last);
                    Ok(Drives { read: fitting, unread })
                }
            };
        };
        let listed = listed();
        let is = |at: &str| path::last(at) == name || path::same(at, name);
        // The same id under manager and system: the likelier place is first.
        if let Some(named) = drives.into_iter().find(|drive| is(&drive.path)) {
            return Ok(Drives { read: vec![named], unread: Vec::new() });
        }
        match unread.into_iter().find(|(at, _)| is(at)) {
            Some((_, error)) => Err(error),
            None => Err(refuse(doing, format!("no virtual drive is called `{}`; there are: {listed}", safe(name, 64)))),
        }
    }

    /// The drive that an image goes into.
    pub(super) async fn drive_for(&self, system: &Resource, name: Option<&str>, doing: &str) -> Result<Resource, BmcError> {
        let fit = |drive: &Resource| can_insert(drive) && takes_cd(drive);
        let mut fitting = self.pick_drives(system, name, doing, fit).await?.read;
        // An empty one, if there is one, so that nobody's image is thrown out without need.
        let empty = fitting.iter().position(|drive| holds(&drive.value) == Holds::Nothing).unwrap_or(0);
        Ok(fitting.swap_remove(empty))
    }

    /// Remembers where the drives of this make are.
    pub(super) fn learn_media_place(&self, drive: &Resource, system: &Resource) {
        let at_system = drive.path.starts_with(system.path.trim_end_matches('/'));
        let place = if at_system { MediaPlace::System } else { MediaPlace::Manager };
        self.kin.learn(Learned { media_place: Some(place), ..Learned::default() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signed_address_is_told_without_its_signature() {
        assert_eq!(bare("https://h/x.iso?X-Amz-Signature=abc"), "https://h/x.iso?…");
        let drive = json!({"Image": "https://h/x.iso?X-Amz-Signature=abc", "Inserted": true, "ConnectedVia": "URI"});
        assert_eq!(told(&drive), "Image https://h/x.iso?…, Inserted true, ConnectedVia URI");
    }

    #[test]
    fn a_drive_is_judged_by_all_that_it_says() {
        let judge = |inserted: Value, via: Value, image: Value| {
            holds(&json!({"Inserted": inserted, "ConnectedVia": via, "Image": image}))
        };
        assert_eq!(judge(true.into(), "URI".into(), "http://x/a.iso".into()), Holds::Image);
        assert_eq!(judge(true.into(), "URI".into(), Value::Null), Holds::Image, "some do not show the image");
        assert_eq!(judge(false.into(), "NotConnected".into(), Value::Null), Holds::Nothing);
        assert_eq!(judge(false.into(), "NotConnected".into(), "".into()), Holds::Nothing, "HPE");
        assert_eq!(judge(true.into(), "NotConnected".into(), Value::Null), Holds::Nothing, "a stale Inserted");
        assert_eq!(judge(true.into(), "NotConnected".into(), "http://x/a.iso".into()), Holds::Unclear, "community.general #6969");
        assert_eq!(
            judge(false.into(), "NotConnected".into(), "http://x/a.iso".into()),
            Holds::Unclear,
            "Inserted lags: Lenovo XCC"
        );
        assert_eq!(judge(false.into(), Value::Null, "http://x/a.iso".into()), Holds::Unclear);
        assert_eq!(judge(false.into(), "URI".into(), "http://x/a.iso".into()), Holds::Unclear);
        assert_eq!(judge(false.into(), "URI".into(), "".into()), Holds::Nothing, "sushy-tools");
        assert_eq!(holds(&json!({})), Holds::Nothing);
    }

    proptest! {
        #[test]
        fn any_drive_is_viewed(value in super::super::json::any_json()) {
            let drive = Resource { path: "/redfish/v1/x".to_owned(), value, etag: None };
            let slot = view(&drive);
            let _ = (holds(&drive.value), can_insert(&drive), takes_cd(&drive));
            let text = format!("{slot:?}");
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
