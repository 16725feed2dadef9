//! Boot override: its words, and how far a read-back is what was wanted. BMCs keep the target and drop the rest, or the reverse (bmclib PR #459),
//! so that the text always says what the read-back showed. Writing it is `boot_write`'s.

use serde_json::{Map, Value, json};

use super::client::Resource;
use super::error::{safe, unsupported};
use super::json as views;
use crate::bmc::BmcError;
use crate::model::{BootMode, BootOverride, BootTarget, Reading};

/// The word of Redfish for a target (`ComputerSystem.BootSource`).
pub(super) fn target_word(target: BootTarget) -> &'static str {
    match target {
        BootTarget::None => "None",
        BootTarget::Pxe => "Pxe",
        BootTarget::UefiHttp => "UefiHttp",
        BootTarget::Disk => "Hdd",
        BootTarget::Cd => "Cd",
        BootTarget::Setup => "BiosSetup",
    }
}

fn target_of(word: &str) -> Option<BootTarget> {
    Some(match word {
        "None" => BootTarget::None,
        "Pxe" => BootTarget::Pxe,
        "UefiHttp" => BootTarget::UefiHttp,
        "Hdd" => BootTarget::Disk,
        "Cd" | "UsbCd" => BootTarget::Cd,
        "BiosSetup" => BootTarget::Setup,
        _ => return None,
    })
}

/// The override that a system holds.
pub(super) fn view(resource: &Resource) -> Reading<BootOverride> {
    let at = safe(&resource.path, 128);
    let Some(boot) = resource.value.get("Boot").filter(|boot| boot.is_object()) else { return Reading::Absent };
    let mode = match views::word(boot, "BootSourceOverrideMode") {
        Some("UEFI") => Some(BootMode::Uefi),
        Some("Legacy") => Some(BootMode::Legacy),
        _ => None,
    };
    let http_uri = views::text(boot, "HttpBootUri").map(|uri| safe(&uri, 1_024));
    let target = views::word(boot, "BootSourceOverrideTarget");
    let once = match (views::word(boot, "BootSourceOverrideEnabled"), target) {
        (Some("Disabled"), _) | (_, Some("None")) => {
            return Reading::Known(BootOverride { target: BootTarget::None, once: false, mode, http_uri });
        }
        (Some("Once"), _) => true,
        (Some("Continuous"), _) => false,
        (other, _) => {
            return Reading::unknown(format!("{at} says BootSourceOverrideEnabled `{}`", safe(other.unwrap_or("nothing"), 32)));
        }
    };
    match target.map(|word| (word, target_of(word))) {
        Some((_, Some(target))) => Reading::Known(BootOverride { target, once, mode, http_uri }),
        Some((word, None)) => Reading::unknown(format!("{at} says BootSourceOverrideTarget `{}`", safe(word, 32))),
        None => Reading::unknown(format!("{at} says no BootSourceOverrideTarget")),
    }
}

/// What the read-back showed, in the BMC's own words.
pub(super) fn told(resource: &Resource) -> String {
    let boot = resource.value.get("Boot").unwrap_or(&Value::Null);
    let word = |key: &str| views::word(boot, key).map_or_else(|| "nothing".to_owned(), |word| safe(word, 256));
    let mut text = format!(
        "read back: Target {}, Enabled {}, Mode {}",
        word("BootSourceOverrideTarget"),
        word("BootSourceOverrideEnabled"),
        word("BootSourceOverrideMode")
    );
    if boot.get("HttpBootUri").is_some() {
        text = format!("{text}, HttpBootUri {}", word("HttpBootUri"));
    }
    text
}

/// The body that asks for an override. `names_none` is false when the BMC does not list `None` among its targets: sushy-tools answers that
/// word with 500, and `Disabled` alone means the same (DSP0268, `Boot.BootSourceOverrideEnabled`). `mode` is sent when it is known.
pub(super) fn patch_body(want: &BootOverride, names_none: bool, mode: Option<BootMode>) -> Value {
    if want.target == BootTarget::None && !names_none {
        return json!({ "Boot": { "BootSourceOverrideEnabled": "Disabled" } });
    }
    let enabled = match (want.target, want.once) {
        (BootTarget::None, _) => "Disabled",
        (_, true) => "Once",
        (_, false) => "Continuous",
    };
    let mut boot = Map::new();
    boot.insert("BootSourceOverrideTarget".to_owned(), json!(target_word(want.target)));
    boot.insert("BootSourceOverrideEnabled".to_owned(), json!(enabled));
    if let Some(mode) = mode {
        boot.insert("BootSourceOverrideMode".to_owned(), json!(if mode == BootMode::Uefi { "UEFI" } else { "Legacy" }));
    }
    if let (BootTarget::UefiHttp, Some(uri)) = (want.target, &want.http_uri) {
        boot.insert("HttpBootUri".to_owned(), json!(uri));
    }
    json!({ "Boot": boot })
}

/// How far a read-back is what was wanted.
pub(super) enum Shown {
    /// It is, with a remark when a lesser part differs.
    Yes(Option<&'static str>),
    /// The target is, but a part that changes where the node boots is not.
    Partly(&'static str),
    /// It is not.
    No,
}

pub(super) fn compare(want: &BootOverride, seen: &Reading<BootOverride>) -> Shown {
    let Some(seen) = seen.known() else { return Shown::No };
    if seen.target != want.target {
        return Shown::No;
    }
    if want.target == BootTarget::None {
        return Shown::Yes(None);
    }
    if want.target == BootTarget::UefiHttp && want.http_uri.is_some() && seen.http_uri != want.http_uri {
        return Shown::Partly("the HttpBootUri is not the one that was written");
    }
    if want.mode.is_some() && seen.mode.is_some() && seen.mode != want.mode {
        return Shown::Partly("the mode is not the one that was written");
    }
    match (want.once, seen.once) {
        (true, false) => Shown::Yes(Some("the override stays until it is cleared: Once was not kept")),
        (false, true) => Shown::Yes(Some("the override holds for one boot only: Continuous was not kept")),
        _ => Shown::Yes(None),
    }
}

/// The targets that the BMC says it takes; empty when it does not say.
pub(super) fn allowed(boot: &Value) -> Vec<&str> {
    views::list(boot, "BootSourceOverrideTarget@Redfish.AllowableValues").iter().filter_map(Value::as_str).collect()
}

/// Refuses what the BMC says that it does not offer, before anything is touched.
pub(super) fn offered(now: &Resource, want: &BootOverride) -> Result<(), BmcError> {
    let doing = format!("set the boot override to {} at {}", want.target, safe(&now.path, 256));
    let Some(boot) = now.value.get("Boot").filter(|boot| boot.is_object()) else {
        return Err(unsupported(&doing, "the system has no Boot property"));
    };
    let allowed = allowed(boot);
    let word = target_word(want.target);
    if want.target == BootTarget::None || allowed.is_empty() || allowed.contains(&word) {
        return Ok(());
    }
    Err(unsupported(&doing, format!("it offers {}, but not {word}", safe(&allowed.join(", "), 512))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource(value: Value) -> Resource {
        Resource { path: "/redfish/v1/Systems/1".to_owned(), value, etag: None }
    }

    #[test]
    fn the_override_is_read_as_it_is_held() {
        let read = |boot: Value| view(&resource(json!({ "Boot": boot })));
        let disabled = read(json!({"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "Pxe"}));
        assert_eq!(disabled, Reading::Known(BootOverride::none()));
        let once = read(
            json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Hdd", "BootSourceOverrideMode": "UEFI"}),
        );
        assert_eq!(
            once,
            Reading::Known(BootOverride { target: BootTarget::Disk, once: true, mode: Some(BootMode::Uefi), http_uri: None })
        );
        for silent in [
            json!({}),
            json!({"BootSourceOverrideEnabled": "Once"}),
            json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "UefiTarget"}),
            json!({"BootSourceOverrideTarget": "Pxe"}),
        ] {
            assert!(read(silent.clone()).why_unknown().is_some(), "{silent}");
        }
        assert_eq!(view(&resource(json!({}))), Reading::Absent);
    }

    proptest! {
        #[test]
        fn any_system_is_viewed(value in super::super::json::any_json()) {
            let system = resource(value);
            let _ = (view(&system), told(&system), super::super::power::view(&system));
        }
    }
}
