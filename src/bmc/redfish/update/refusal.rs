//! What a refusal of a push means, by status and message (firmware.md §3.3): the class decides what may be done next. Pure.

use http::StatusCode;

use super::super::error::hear;
use crate::bmc::updating::UpdateClass;

/// Messages that mean: this image is what runs already. Dell's SUP029 comes with 400 (dellemc-openmanage-ansible-modules #104).
const NOTHING_TO_DO: [&str; 1] = ["SUP029"];
/// Messages that mean: an update mode was entered and not left (Supermicro: bmclib `x12.go:106`).
const UPDATE_MODE: [&str; 2] = ["OemFirmwareAlreadyInUpdateMode", "FirmwareAlreadyInUpdateMode"];
/// Messages that mean: not now. `SYS518` is iDRAC's "not ready"; POST refuses changes on iLO (ironic bug 2136275).
const NOT_NOW: [&str; 5] =
    ["SYS518", "RAC0218", "UnableToModifyDuringSystemPOST", "ServiceTemporarilyUnavailable", "ServiceInUnknownState"];

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The BMC says that this image runs already: the version decides.
    AlreadyCurrent,
    /// Another entity tag is wanted; nothing was done.
    Tag,
    /// The session is over; nothing was done.
    Session,
    /// Of this class.
    Class(UpdateClass),
}

/// Judges a refusal.
pub(super) fn meaning(status: StatusCode, body: &[u8]) -> Meaning {
    let said = hear(body);
    let any = |ids: &[&str]| ids.iter().any(|id| said.ids.iter().any(|found| found == id) || found_in(&said.messages, id));
    if any(&UPDATE_MODE) {
        return Meaning::Class(UpdateClass::Stuck);
    }
    if any(&NOTHING_TO_DO) {
        return Meaning::AlreadyCurrent;
    }
    match status.as_u16() {
        401 => Meaning::Session,
        412 | 428 => Meaning::Tag,
        // 400 too: Lenovo's TSM and iLO answer so while they cannot be disturbed.
        _ if any(&NOT_NOW) => Meaning::Class(UpdateClass::Busy),
        408 | 409 | 423 | 425 | 429 | 503 => Meaning::Class(UpdateClass::Busy),
        _ => Meaning::Class(UpdateClass::Rejected),
    }
}

/// Dell writes its own ids with a registry before and a number behind: `IDRAC.2.8.SUP029`.
fn found_in(messages: &[String], id: &str) -> bool {
    messages.iter().any(|message| message.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_have_one_meaning_each() {
        let body = |id: &str| json!({"error": {"@Message.ExtendedInfo": [{"MessageId": id, "Message": "m"}]}}).to_string();
        for (status, id, want) in [
            (400, "IDRAC.2.8.SUP029", Meaning::AlreadyCurrent),
            (400, "IDRAC.2.8.SYS518", Meaning::Class(UpdateClass::Busy)),
            (400, "SMC.1.0.OemFirmwareAlreadyInUpdateMode", Meaning::Class(UpdateClass::Stuck)),
            (503, "SMC.1.0.OemFirmwareAlreadyInUpdateMode", Meaning::Class(UpdateClass::Stuck)),
            (400, "Base.1.0.PropertyValueError", Meaning::Class(UpdateClass::Rejected)),
            (413, "Base.1.0.PayloadTooLarge", Meaning::Class(UpdateClass::Rejected)),
            (415, "x", Meaning::Class(UpdateClass::Rejected)),
            (401, "x", Meaning::Session),
            (412, "x", Meaning::Tag),
            (428, "x", Meaning::Tag),
            (409, "x", Meaning::Class(UpdateClass::Busy)),
            (503, "x", Meaning::Class(UpdateClass::Busy)),
        ] {
            assert_eq!(meaning(StatusCode::from_u16(status).unwrap(), body(id).as_bytes()), want, "{status} {id}");
        }
        let words = json!({"error": {"message": "Update failed (SUP029): nothing is applicable"}}).to_string();
        assert_eq!(meaning(StatusCode::BAD_REQUEST, words.as_bytes()), Meaning::AlreadyCurrent);
    }

    proptest! {
        #[test]
        fn any_refusal_is_judged(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = meaning(StatusCode::from_u16(status).unwrap(), &body);
        }
    }
}
