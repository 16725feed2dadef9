//! The update service as a BMC tells it, and which form of push follows from it and the BMC's habits. Pure; sends nothing.

use serde_json::{Map, Value, json};

use super::super::client::Resource;
use super::super::error::{safe, unsupported};
use super::super::{json as views, path};
use crate::bmc::BmcError;
use crate::bmc::quirk::{Habits, Push, UploadTargets};

/// What an update service offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// Where it was read.
    pub(super) at: String,
    /// The firmware inventory.
    pub(super) inventory: Option<String>,
    /// Whether it says that it takes updates; `None`: not told.
    pub(super) enabled: Option<bool>,
    /// `HttpPushUriTargetsBusy`, or an iLO that is at it.
    pub(super) busy: bool,
    /// `HttpPushUriTargetsBusy` is there to be claimed.
    pub(super) claimable: bool,
    /// Largest image in bytes, when it says.
    pub(super) most: Option<u64>,
    multipart: Option<String>,
    push: Option<String>,
    simple: Option<String>,
    /// `StartUpdate`.
    pub(super) start: Option<String>,
}

/// How an image goes to the BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// One multipart request.
    Multipart(String),
    /// The bare image.
    Bare(String),
    /// The image into the inventory, then `SimpleUpdate` with what came of it.
    ThenSimple {
        /// Where the image goes.
        at: String,
        /// `SimpleUpdate`.
        simple: String,
    },
    /// iLO's own form, with the session key in it.
    Hpe(String),
    /// The BMC fetches the image.
    Simple(String),
}

impl Form {
    /// In a word, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Multipart(_) => "multipart push",
            Self::Bare(_) => "bare push",
            Self::ThenSimple { .. } => "push, then SimpleUpdate",
            Self::Hpe(_) => "iLO form",
            Self::Simple(_) => "SimpleUpdate",
        }
    }
}

impl Service {
    /// Reads a service.
    pub(super) fn view(resource: &Resource) -> Self {
        let value = &resource.value;
        let action = |name: &str| value.get("Actions").and_then(|a| a.get(name)).and_then(|a| views::link(a, "target"));
        let hpe = value.get("Oem").and_then(|oem| oem.get("Hpe")).and_then(|hpe| views::word(hpe, "State"));
        let busy = value.get("HttpPushUriTargetsBusy").and_then(Value::as_bool);
        Self {
            at: resource.path.clone(),
            inventory: views::link(value, "FirmwareInventory"),
            enabled: value.get("ServiceEnabled").and_then(Value::as_bool),
            busy: busy == Some(true) || hpe.is_some_and(|state| !["Idle", "Complete", "Error"].contains(&state)),
            claimable: busy.is_some(),
            most: whole(value.get("MaxImageSizeBytes")).filter(|most| *most > 0),
            multipart: views::link(value, "MultipartHttpPushUri"),
            push: views::link(value, "HttpPushUri"),
            simple: action("#UpdateService.SimpleUpdate"),
            start: action("#UpdateService.StartUpdate"),
        }
    }

    /// How an image is pushed: as the habits say, else the best that is offered. `url`: the image can be fetched by the BMC too.
    pub(super) fn form(&self, habits: &Habits, url: bool) -> Result<Form, BmcError> {
        let doing = format!("push firmware through {}", safe(&self.at, 128));
        let lacks = |what: &str| unsupported(&doing, format!("it offers no {what}"));
        let own = || path::local(&habits.upload_path).ok().filter(|_| !habits.upload_path.is_empty());
        let simple = || self.simple.clone().ok_or_else(|| lacks("SimpleUpdate"));
        let fetched = |at: String| {
            let why = "it only fetches images by itself: give the address that it can fetch this one from (--url)";
            if url { Ok(Form::Simple(at)) } else { Err(unsupported(&doing, why)) }
        };
        match habits.upload {
            Push::Multipart => {
                self.multipart.clone().or_else(own).map(Form::Multipart).ok_or_else(|| lacks("MultipartHttpPushUri"))
            }
            Push::HttpPush => self.push.clone().or_else(own).map(Form::Bare).ok_or_else(|| lacks("HttpPushUri")),
            Push::PushThenSimple => {
                let at = self.push.clone().or_else(own).ok_or_else(|| lacks("HttpPushUri"))?;
                Ok(Form::ThenSimple { at, simple: simple()? })
            }
            Push::HpeForm => self.push.clone().or_else(own).map(Form::Hpe).ok_or_else(|| lacks("HttpPushUri")),
            Push::Simple => fetched(simple()?),
            Push::NotRedfish => Err(unsupported(&doing, "this make takes firmware through its web page only, not by Redfish")),
            Push::AsTold => match (&self.multipart, &self.push, &self.simple) {
                (Some(at), _, _) => Ok(Form::Multipart(at.clone())),
                // Who gives an address wants it fetched: what a bare push is for cannot be said in it.
                (None, _, Some(at)) if url => Ok(Form::Simple(at.clone())),
                (None, Some(at), _) => Ok(Form::Bare(at.clone())),
                (None, None, Some(at)) => fetched(at.clone()),
                (None, None, None) => Err(lacks("way to push or fetch an image")),
            },
        }
    }

    /// Largest image in bytes: what the service says, else what is known of its make.
    pub(super) fn largest(&self, habits: &Habits) -> Option<u64> {
        self.most.or(Some(habits.upload_max).filter(|most| *most > 0))
    }
}

/// A whole number, also one that is written as text.
fn whole(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// What an update is aimed at: the user's word, else by the habit. `item` is the inventory's entry, `related` what it belongs to.
/// `None`: left out.
pub(super) fn targets(habits: &Habits, given: Option<&[String]>, item: &str, related: Option<&str>) -> Option<Vec<String>> {
    if let Some(given) = given {
        return Some(given.to_vec());
    }
    match habits.upload_targets {
        UploadTargets::LeftOut => None,
        UploadTargets::Empty => Some(Vec::new()),
        UploadTargets::Item => Some(vec![item.to_owned()]),
        UploadTargets::Related => Some(vec![related.unwrap_or(item).to_owned()]),
    }
}

/// `UpdateParameters` (DSP0266 §12.6.2.2).
pub(super) fn parameters(habits: &Habits, targets: Option<&[String]>) -> Value {
    let mut all = Map::new();
    if let Some(targets) = targets {
        all.insert("Targets".to_owned(), json!(targets));
    }
    if !habits.apply_time.is_empty() {
        all.insert("@Redfish.OperationApplyTime".to_owned(), json!(habits.apply_time));
    }
    all.extend(habits.upload_parameters.clone());
    Value::Object(all)
}

/// What `SimpleUpdate` is told.
pub(super) fn simple(habits: &Habits, url: &str, targets: Option<&[String]>) -> Value {
    let mut all = Map::new();
    all.insert("ImageURI".to_owned(), json!(url));
    if let Some((scheme, _)) = url.split_once("://") {
        all.insert("TransferProtocol".to_owned(), json!(scheme.to_ascii_uppercase()));
    }
    if let Some(targets) = targets.filter(|targets| !targets.is_empty()) {
        all.insert("Targets".to_owned(), json!(targets));
    }
    if !habits.apply_time.is_empty() {
        all.insert("@Redfish.OperationApplyTime".to_owned(), json!(habits.apply_time));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(value: Value) -> Service {
        Service::view(&Resource { path: "/redfish/v1/UpdateService".into(), value, etag: None })
    }

    #[test]
    fn the_form_follows_from_what_is_offered_and_from_habits() {
        let all = service(json!({
            "MultipartHttpPushUri": "/m", "HttpPushUri": "/p",
            "Actions": {"#UpdateService.SimpleUpdate": {"target": "/s"}},
        }));
        let push = service(json!({"HttpPushUri": "/p", "Actions": {"#UpdateService.SimpleUpdate": {"target": "/s"}}}));
        let fetch = service(json!({"HttpPushUri": null, "Actions": {"#UpdateService.SimpleUpdate": {"target": "/s"}}}));
        let as_told = Habits::default();
        let form = |service: &Service, habits: &Habits, url| service.form(habits, url).map_err(|e| e.seen);
        assert_eq!(form(&all, &as_told, true), Ok(Form::Multipart("/m".into())));
        assert_eq!(form(&push, &as_told, false), Ok(Form::Bare("/p".into())));
        assert_eq!(form(&push, &as_told, true), Ok(Form::Simple("/s".into())));
        assert!(form(&fetch, &as_told, false).unwrap_err().contains("--url"));
        assert!(form(&service(json!({})), &as_told, true).unwrap_err().contains("no way to push"));
        for (upload, want) in [
            (Push::HpeForm, Ok(Form::Hpe("/p".into()))),
            (Push::PushThenSimple, Ok(Form::ThenSimple { at: "/p".into(), simple: "/s".into() })),
            (Push::HttpPush, Ok(Form::Bare("/p".into()))),
            (Push::Multipart, Err("it offers no MultipartHttpPushUri".to_owned())),
        ] {
            assert_eq!(form(&push, &Habits { upload, ..Habits::default() }, false), want, "{upload:?}");
        }
        let own = Habits { upload: Push::Multipart, upload_path: "/own".into(), ..Habits::default() };
        assert_eq!(form(&push, &own, false), Ok(Form::Multipart("/own".into())));
    }

    #[test]
    fn limits_and_business_are_read_in_all_clothes() {
        assert_eq!(service(json!({"MaxImageSizeBytes": 5})).most, Some(5));
        assert_eq!(service(json!({"MaxImageSizeBytes": "5"})).most, Some(5));
        for silent in [json!(null), json!(0), json!(-1), json!("x"), json!([])] {
            assert_eq!(service(json!({"MaxImageSizeBytes": silent})).most, None);
        }
        let dell = Habits { upload_max: 7, ..Habits::default() };
        assert_eq!(
            (service(json!({})).largest(&dell), service(json!({"MaxImageSizeBytes": 5})).largest(&dell)),
            (Some(7), Some(5))
        );
        assert!(service(json!({"HttpPushUriTargetsBusy": true})).busy);
        assert!(service(json!({"Oem": {"Hpe": {"State": "Verifying"}}})).busy);
        assert!(!service(json!({"Oem": {"Hpe": {"State": "Idle"}}})).busy);
    }

    #[test]
    fn targets_are_the_users_or_the_habits() {
        let by = |upload_targets| Habits { upload_targets, ..Habits::default() };
        let targets = |habits: &Habits| targets(habits, None, "/i", Some("/r"));
        assert_eq!(targets(&by(UploadTargets::LeftOut)), None);
        assert_eq!(targets(&by(UploadTargets::Empty)), Some(vec![]));
        assert_eq!(targets(&by(UploadTargets::Item)), Some(vec!["/i".into()]));
        assert_eq!(targets(&by(UploadTargets::Related)), Some(vec!["/r".into()]));
        let given = ["/g".to_owned()];
        assert_eq!(super::targets(&by(UploadTargets::Empty), Some(&given), "/i", None), Some(vec!["/g".into()]));
        let dell = Habits { apply_time: "Immediate".into(), ..Habits::default() };
        assert_eq!(
            simple(&dell, "https://x/y", Some(&given)),
            json!({"ImageURI": "https://x/y", "TransferProtocol": "HTTPS", "Targets": ["/g"], "@Redfish.OperationApplyTime": "Immediate"})
        );
    }

    proptest! {
        #[test]
        fn any_service_is_viewed(value in super::super::super::json::any_json()) {
            let _ = service(value.clone()).form(&Habits::default(), true);
            let _ = service(json!({"Actions": value, "MaxImageSizeBytes": value, "HttpPushUri": value, "Oem": value}));
        }
    }
}
