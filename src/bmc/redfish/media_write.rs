//! Puts an image into a virtual drive and takes it out again (RC-63). What is in it is ejected first; the forms of the insertion are tried one
//! after another, each only after the BMC has promised that it did nothing; and only a drive that shows the image connected counts.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{Client, Resource};
use super::error::{malformed, safe};
use super::media::{Drives, Holds, action, bare, can_insert, holds, image, told};
use super::write::Sent;
use crate::bmc::quirk::{Learned, MediaForm};
use crate::bmc::settings::MediaOrder;
use crate::bmc::{BmcError, BmcTrouble, Password, Written};

/// How often a busy drive (5xx while an eject goes on) is asked again; the pause doubles up to the longest of the limits.
const BUSY: u32 = 40;
/// What is sent where user name and password are a must and the share wants none. sushy sends such words too.
const NOBODY: &str = "none";

/// One way of asking.
struct Way {
    form: MediaForm,
    credentials: bool,
}

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

/// The protocol of an address, in the words of `TransferProtocolType`.
fn protocol(url: &str) -> Option<&'static str> {
    let scheme = url.split_once("://")?.0.to_ascii_lowercase();
    Some(match scheme.as_str() {
        "http" => "HTTP",
        "https" => "HTTPS",
        "nfs" => "NFS",
        "cifs" | "smb" => "CIFS",
        "ftp" => "FTP",
        "tftp" => "TFTP",
        _ => return None,
    })
}

/// Checks an address before it is given to a BMC.
fn sound(url: &str) -> Result<(), String> {
    if protocol(url).is_none() {
        return Err("the image has no address such as https://host/path.iso".to_owned());
    }
    if url.len() > 1_024 || url.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("the image's address is longer than 1024 bytes, or holds spaces or non-ASCII characters".to_owned());
    }
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if host.contains('@') {
        return Err("the image's address holds credentials, which would be shown and logged; give them apart".to_owned());
    }
    Ok(())
}

/// True when a drive's image is the one that is wanted. Some show it without its scheme, some its name alone.
fn same_image(drive: &Value, url: &str) -> bool {
    let bare = |text: &str| text.split_once("://").map_or(text, |(_, rest)| rest).to_owned();
    let name = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    match image(drive) {
        Some(shown) if shown.contains('/') => bare(&shown) == bare(url),
        Some(shown) => shown == name(url),
        None => super::json::word(drive, "ImageName").is_none_or(|shown| name(shown) == name(url)),
    }
}

/// The body of an insertion.
fn body(way: &Way, order: &MediaOrder) -> Value {
    let mut body = Map::new();
    body.insert("Image".to_owned(), json!(order.url));
    if way.form != MediaForm::ImageOnly {
        body.insert("Inserted".to_owned(), json!(true));
    }
    if matches!(way.form, MediaForm::Whole | MediaForm::Transfer) {
        body.insert("WriteProtected".to_owned(), json!(true));
    }
    if way.form == MediaForm::Transfer {
        body.insert("TransferMethod".to_owned(), json!("Stream"));
        body.extend(protocol(&order.url).map(|protocol| ("TransferProtocolType".to_owned(), json!(protocol))));
    }
    let given = order.share.as_ref().map(|(user, password)| (user.as_str(), Password::expose(password)));
    if let Some((user, password)) = given.or(way.credentials.then_some((NOBODY, NOBODY))) {
        body.insert("UserName".to_owned(), json!(user));
        body.insert("Password".to_owned(), json!(password));
    }
    Value::Object(body)
}

/// Text in which neither the share's password nor the query of the address stands, should the BMC have repeated them.
fn scrub(text: String, order: &MediaOrder) -> String {
    let text = match order.url.split_once('?') {
        Some((_, query)) if !query.is_empty() => text.replace(query, "…"),
        _ => text,
    };
    match &order.share {
        Some((_, password)) if !password.expose().is_empty() => text.replace(password.expose(), "•••"),
        _ => text,
    }
}

impl Client {
    /// Inserts an image and proves it.
    pub(super) async fn insert(&self, system: &Resource, order: &MediaOrder) -> Written {
        let doing = format!("insert {}", bare(&order.url));
        if let Err(why) = sound(&order.url) {
            return Written::NotApplied(refuse("insert virtual media", why));
        }
        let drive = match self.drive_for(system, order.slot.as_deref(), &doing).await {
            Ok(drive) => drive,
            Err(e) => return Written::NotApplied(e),
        };
        let mut words = Vec::new();
        match holds(&drive.value) {
            Holds::Image if same_image(&drive.value, &order.url) => {
                return Written::Applied(format!(
                    "it was so already; nothing was sent; {}: {}",
                    safe(&drive.path, 256),
                    told(&drive.value)
                ));
            }
            Holds::Nothing => {}
            Holds::Image | Holds::Unclear => match self.eject_one(&drive).await {
                Written::Applied(seen) => words.push(seen),
                Written::NotApplied(e) => {
                    let seen =
                        format!("{} is in it, and the eject was refused: {e}", bare(&image(&drive.value).unwrap_or_default()));
                    return Written::NotApplied(BmcError { source: Some(e.into()), ..refuse(&doing, seen) });
                }
                Written::Ambiguous(seen) => return Written::Ambiguous(format!("the eject before is not certain: {seen}")),
            },
        }
        if !words.is_empty() {
            sleep(Duration::from_secs(u64::from(self.kin.habit(|habits| habits.media_gap_s)))).await;
        }
        let inserted = self.climb_forms(&drive, order, words).await;
        if matches!(inserted, Written::Applied(_)) {
            self.learn_media_place(&drive, system);
        }
        inserted
    }

    /// The forms, the one that worked last for this make first.
    fn forms(&self, drive: &Resource) -> Vec<MediaForm> {
        let mut forms = self.kin.habit(|habits| habits.media_forms.clone());
        for form in [MediaForm::Whole, MediaForm::ImageOnly, MediaForm::Transfer, MediaForm::Patch] {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        if let Some(learned) = self.kin.learned().media_form {
            forms.retain(|form| *form != learned);
            forms.insert(0, learned);
        }
        if action(drive, "#VirtualMedia.InsertMedia").is_none() {
            forms.retain(|form| *form == MediaForm::Patch);
        }
        forms
    }

    async fn climb_forms(&self, drive: &Resource, order: &MediaOrder, mut words: Vec<String>) -> Written {
        let touched = !words.is_empty();
        let mut credentials = self.kin.habit(|habits| habits.media_credentials);
        let forms = self.forms(drive);
        let (mut at, mut turned, mut refusals) = (0, false, Vec::new());
        while let Some(form) = forms.get(at) {
            let way = Way { form: *form, credentials };
            let said = match self.send_form(drive, &way, order).await {
                Sent::Taken(said) => said,
                Sent::Unclear(e) => format!("the answer was lost ({})", scrub(e.to_string(), order)),
                Sent::No { status, error } => {
                    let error = BmcError { seen: scrub(error.seen, order), ..error };
                    let seen = error.seen.to_ascii_lowercase();
                    if !turned && order.share.is_none() && (seen.contains("username") || seen.contains("password")) {
                        // The same form once more: with words for the credentials that it wants, or without those that it will not have (RC-63).
                        (credentials, turned) = (!credentials, true);
                        continue;
                    }
                    let other_form = matches!(status.map(|s| s.as_u16()), Some(400 | 404 | 405 | 501));
                    refusals.push(error);
                    if !other_form {
                        break;
                    }
                    (at, turned) = (at + 1, false);
                    continue;
                }
            };
            words.push(said);
            let proved = self.await_drive(&drive.path, |now| holds(now) == Holds::Image && same_image(now, &order.url)).await;
            return match proved {
                Ok(seen) => {
                    if at > 0 {
                        self.kin.learn(Learned { media_form: Some(*form), ..Learned::default() });
                    }
                    Written::Applied(format!("{}; {seen}", words.join("; ")))
                }
                Err(seen) => Written::Ambiguous(format!("{}, but it is not seen connected: {seen}", words.join("; "))),
            };
        }
        // The refusal of the first form says most; those of the others are about the form.
        let forms = refusals.len();
        let error = refusals.into_iter().next();
        let error = error.map(|e| {
            if forms > 1 { BmcError { seen: format!("{}; {} other forms were refused too", e.seen, forms - 1), ..e } } else { e }
        });
        let error = error.unwrap_or_else(|| refuse("insert virtual media", "the drive takes no form of the insertion"));
        if touched {
            return Written::Ambiguous(format!("{}; then the insertion was refused: {error}", words.join("; ")));
        }
        Written::NotApplied(error)
    }

    /// One form. A drive that is busy with an eject is asked again; it promised that it did nothing, or a look shows it empty.
    async fn send_form(&self, drive: &Resource, way: &Way, order: &MediaOrder) -> Sent {
        let body = body(way, order);
        let deadline = Instant::now() + self.limits.inventory;
        let mut pause = self.limits.poll.0;
        for _ in 0..BUSY {
            let sent = match (way.form, action(drive, "#VirtualMedia.InsertMedia")) {
                (MediaForm::Patch, _) | (_, None) => self.patch(&drive.path, &body, None, deadline).await,
                (_, Some(target)) => self.post(&target, &body, deadline).await,
            };
            let again = match &sent {
                Sent::No { status: Some(StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT), .. } => true,
                // iDRAC answers 500 while an eject goes on; only a look tells whether it took the image all the same.
                Sent::Unclear(e) if matches!(e.kind, BmcTrouble::Refused | BmcTrouble::Busy) => {
                    matches!(self.get(&drive.path).await, Ok(now) if holds(&now.value) == Holds::Nothing && image(&now.value).is_none())
                }
                _ => false,
            };
            let next = Instant::now() + pause;
            if !again || next >= deadline {
                return sent;
            }
            sleep_until(next).await;
            pause = (pause * 2).min(self.limits.poll.1);
        }
        Sent::No { status: None, error: refuse("insert virtual media", "the drive stayed busy") }
    }

    /// Ejects one drive, or every drive that holds something, and proves it.
    pub(super) async fn eject(&self, system: &Resource, name: Option<&str>) -> Written {
        let doing = "eject virtual media";
        let fit = |drive: &Resource| holds(&drive.value) != Holds::Nothing || can_insert(drive);
        let Drives { read: drives, unread } = match self.pick_drives(system, name, doing, fit).await {
            Ok(drives) => drives,
            Err(e) => return Written::NotApplied(e),
        };
        let mut words = Vec::new();
        for drive in drives.iter().filter(|drive| holds(&drive.value) != Holds::Nothing) {
            match self.eject_one(drive).await {
                Written::Applied(seen) => words.push(seen),
                Written::NotApplied(e) if words.is_empty() => return Written::NotApplied(e),
                Written::NotApplied(e) => {
                    return Written::Ambiguous(format!("{}; then an eject was refused: {e}", words.join("; ")));
                }
                Written::Ambiguous(seen) => {
                    words.push(seen);
                    return Written::Ambiguous(words.join("; "));
                }
            }
        }
        match (unread.into_iter().next(), words.is_empty()) {
            (None, true) => Written::Applied("nothing was in; nothing was sent".to_owned()),
            (None, false) => Written::Applied(words.join("; ")),
            // What is in it is not known, and nothing was sent.
            (Some((_, error)), true) => Written::NotApplied(error),
            (Some((at, error)), false) => {
                Written::Ambiguous(format!("{}; but {} could not be read: {error}", words.join("; "), safe(&at, 256)))
            }
        }
    }

    /// Ejects what is in one drive. HPE wants a body, if an empty one; a drive without the action is changed itself.
    async fn eject_one(&self, drive: &Resource) -> Written {
        let deadline = Instant::now() + self.limits.request;
        let sent = match action(drive, "#VirtualMedia.EjectMedia") {
            Some(target) => self.post(&target, &json!({}), deadline).await,
            None => {
                let body = json!({ "Inserted": false, "Image": null });
                self.patch(&drive.path, &body, drive.etag.clone(), deadline).await
            }
        };
        let said = match sent {
            Sent::Taken(said) => said,
            Sent::Unclear(e) => format!("the answer was lost ({e})"),
            Sent::No { error, .. } => {
                // "Nothing is in it" is a refusal too: only a look tells.
                return match self.get(&drive.path).await {
                    Ok(now) if holds(&now.value) == Holds::Nothing => {
                        Written::Applied(format!("the eject was refused ({error}), but {}", told(&now.value)))
                    }
                    _ => Written::NotApplied(error),
                };
            }
        };
        match self.await_drive(&drive.path, |now| holds(now) == Holds::Nothing).await {
            Ok(seen) => Written::Applied(format!("{said}; {seen}")),
            Err(seen) => Written::Ambiguous(format!("{said}, but it is not seen empty: {seen}")),
        }
    }

    /// Looks until a drive is as it should be, or the time for slow reads has passed; either way what it said last.
    async fn await_drive(&self, at: &str, so: impl Fn(&Value) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + self.limits.inventory;
        let mut pause = self.limits.poll.0;
        loop {
            let last = match self.look(at, deadline).await {
                Ok(now) if so(&now.value) => return Ok(format!("{} is read back: {}", safe(at, 256), told(&now.value))),
                Ok(now) => told(&now.value),
                Err(e) if matches!(e.kind, BmcTrouble::Credentials | BmcTrouble::Certificate { .. }) => return Err(e.to_string()),
                Err(e) => e.to_string(),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(last);
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(share: bool) -> MediaOrder {
        let share = share.then(|| ("bob".to_owned(), Password::new("s3cret")));
        MediaOrder { slot: None, url: "https://10.0.0.1/a/b.iso".to_owned(), share }
    }

    #[test]
    fn every_form_has_its_body() {
        let of = |form, credentials, share| body(&Way { form, credentials }, &order(share)).to_string();
        assert_eq!(of(MediaForm::ImageOnly, false, false), r#"{"Image":"https://10.0.0.1/a/b.iso"}"#);
        assert_eq!(of(MediaForm::Patch, false, false), r#"{"Image":"https://10.0.0.1/a/b.iso","Inserted":true}"#);
        assert!(of(MediaForm::Whole, true, false).contains(r#""Password":"none","UserName":"none","WriteProtected":true"#));
        let whole = of(MediaForm::Transfer, true, true);
        assert!(whole.contains(r#""TransferProtocolType":"HTTPS","UserName":"bob""#) && whole.contains("s3cret"), "{whole}");
    }

    #[test]
    fn an_image_is_known_by_its_address_or_its_name() {
        let shown = |image: &str| same_image(&json!({ "Image": image }), "https://10.0.0.1/a/b.iso");
        assert!(shown("https://10.0.0.1/a/b.iso") && shown("10.0.0.1/a/b.iso") && shown("b.iso"));
        assert!(!shown("https://10.0.0.2/a/b.iso") && !shown("c.iso"));
        assert!(same_image(&json!({ "ImageName": "b.iso" }), "https://10.0.0.1/a/b.iso"));
        assert!(!same_image(&json!({ "ImageName": "c.iso" }), "https://10.0.0.1/a/b.iso"));
    }

    #[test]
    fn an_address_with_credentials_or_without_a_protocol_is_refused() {
        assert!(sound("nfs://10.0.0.1/a/b.iso").is_ok());
        for bad in ["b.iso", "/a/b.iso", "http://u:p@h/x.iso", "http://h/ x", "file:///etc/passwd", ""] {
            assert!(sound(bad).is_err(), "{bad}");
        }
    }
}
