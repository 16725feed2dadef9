//! Entity tags as BMCs keep them: which tag a read shows, and which `If-Match` a write may carry (DSP0266 §6.5; RC-35 to RC-37). It changes
//! nothing itself.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::answer::{Answer, Message};
use super::route::Asked;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::profile::EtagRule;

/// A strong tag over the content.
fn strong(resource: &Value) -> String {
    let hash: [u8; 32] = Sha256::digest(resource.to_string()).into();
    let hex: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("\"{hex}\"")
}

/// The tag that a read of the resource shows.
pub fn shown(machine: &MachineHandle, resource: &Value) -> String {
    let tag = strong(resource);
    if machine.strikes(BmcFault::EtagDrift).is_some() {
        return format!("\"{}-{}\"", tag.trim_matches('"'), machine.requests());
    }
    if machine.strikes(BmcFault::EtagWeak).is_some() { format!("W/{tag}") } else { tag }
}

fn required() -> Answer {
    let message =
        Message::new("PreconditionRequired", "the request needs an If-Match header", &[], "send the ETag of the resource");
    Answer::error(428, &message)
}

fn failed() -> Answer {
    let message = Message::new("PreconditionFailed", "the ETag is not that of the resource", &[], "read the resource again");
    Answer::error(412, &message)
}

/// What a PATCH of this resource is answered when its tag is not in order; nothing is done then.
pub fn refuses_patch(machine: &MachineHandle, asked: &Asked<'_>, resource: &Value) -> Option<Answer> {
    if asked.if_match != Some("*") && machine.strikes(BmcFault::EtagStar).is_some() {
        return Some(failed());
    }
    let Some(tag) = asked.if_match else {
        if machine.strikes(BmcFault::EtagSilentDrop).is_some() {
            return Some(Answer::ok(resource.clone()));
        }
        let rule = machine.identity().profile.etag == EtagRule::Required;
        return (machine.strikes(BmcFault::EtagRequired).is_some() || rule).then(required);
    };
    if tag == "*" {
        return None;
    }
    // What was shown is not what is compared: it is another one by now, or not of the kind that may come back.
    let refused = machine.strikes(BmcFault::EtagDrift).is_some()
        || (tag.contains("W/") && machine.strikes(BmcFault::EtagWeak).is_some())
        || !tag.split(',').any(|tag| tag.trim() == strong(resource));
    refused.then(failed)
}

/// What an action is answered when its tag is not in order; nothing is done then.
pub fn refuses_action(machine: &MachineHandle, asked: &Asked<'_>) -> Option<Answer> {
    let refused = (asked.if_match.is_some() && machine.strikes(BmcFault::EtagRefuseOnPost).is_some())
        || (asked.if_match != Some("*") && machine.strikes(BmcFault::EtagStar).is_some());
    refused.then(failed)
}
