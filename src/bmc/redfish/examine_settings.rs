//! Looks at what can be set of a node, without setting it: BIOS attributes (RC-62) and virtual media (RC-63).

use serde_json::Value;

use super::client::{Client, Resource};
use super::error::safe;
use super::json;
use super::media::{Holds, action, holds, takes_cd, told};
use super::path;
use crate::bmc::examining::{Examination, Sight};
use crate::bmc::settings::Bios;
use crate::model::Reading;

impl Client {
    /// Looks at both.
    pub(super) async fn look_at_settings(&self, exam: &mut Examination, system: &Resource) {
        let bios = self.bios_view(system).await;
        exam.note(
            "RC-62",
            "BIOS attributes",
            match &bios {
                Ok(Reading::Known(bios)) => names(bios),
                Ok(Reading::Absent) => Sight::Unseen("the system names no Bios".to_owned()),
                Ok(Reading::Unknown { why }) => Sight::Unseen(why.clone()),
                Err(e) => Sight::Unseen(e.to_string()),
            },
        );
        match self.drives(system).await {
            Ok(Some(found)) => {
                if let (true, Some((at, error))) = (found.read.is_empty(), found.unread.first()) {
                    exam.note("RC-63", "virtual media", Sight::Unseen(format!("{}: {error}", safe(at, 256))));
                } else {
                    drives(exam, &found.read);
                }
            }
            Ok(None) => {
                exam.note("RC-63", "virtual media", Sight::Unseen("neither the system nor its manager names any".to_owned()))
            }
            Err(e) => exam.note("RC-63", "virtual media", Sight::Unseen(e.to_string())),
        }
    }
}

/// Whether the names may be others in the next BIOS: Supermicro's end in four hex digits of that BIOS (libredfish `supermicro.rs`).
fn names(bios: &Bios) -> Sight {
    let count = bios.current.len();
    let suffixed = |name: &&String| {
        name.rsplit_once('_')
            .is_some_and(|(_, end)| end.len() == 4 && end.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)))
    };
    let example = bios.current.keys().find(suffixed);
    match (&bios.registry, example) {
        (_, Some(name)) if bios.current.keys().filter(suffixed).count() * 2 >= count => {
            Sight::Quirk(format!("names end in digits of this BIOS: {}", safe(name, 64)))
        }
        (Reading::Known(registry), _) => Sight::Plain(format!("{count}, described by {registry}")),
        (Reading::Unknown { why }, _) => Sight::Quirk(format!("{count}, and {why}")),
        (Reading::Absent, _) => Sight::Quirk(format!("{count}, and no registry describes them")),
    }
}

/// What drives show: none for a CD, words of their own for it, no action to insert, contradictions.
fn drives(exam: &mut Examination, drives: &[Resource]) {
    let called = |drive: &Resource| safe(path::last(&drive.path), 40);
    if drives.is_empty() {
        return exam.note("RC-63", "virtual media", Sight::Unseen("no drive is listed".to_owned()));
    }
    let list: Vec<String> = drives.iter().take(8).map(called).collect();
    let odd_word = |drive: &&Resource| {
        json::list(&drive.value, "MediaTypes").iter().filter_map(Value::as_str).any(|word| word.eq_ignore_ascii_case("usbcd"))
    };
    let without = |drive: &&Resource| action(drive, "#VirtualMedia.InsertMedia").is_none();
    let unclear = |drive: &&Resource| holds(&drive.value) == Holds::Unclear;
    let quirk = if let Some(drive) = drives.iter().find(unclear) {
        Some(format!("{} contradicts itself: {}", called(drive), told(&drive.value)))
    } else if let Some(drive) = drives.iter().find(odd_word) {
        Some(format!("{} calls its CD UsbCd", called(drive)))
    } else if !drives.iter().any(takes_cd) {
        Some(format!("no drive takes a CD: {}", list.join(", ")))
    } else {
        drives
            .iter()
            .filter(|drive| takes_cd(drive))
            .find(without)
            .map(|drive| format!("{} has no action to insert, and is changed by PATCH", called(drive)))
    };
    exam.judge("RC-63", "virtual media", quirk, list.join(", "));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::bmc::settings::BiosValue;

    fn bios(names: &[&str]) -> Bios {
        Bios {
            current: names.iter().map(|name| ((*name).to_owned(), BiosValue::Null)).collect(),
            pending: BTreeMap::new(),
            registry: Reading::Known("R.1".to_owned()),
            apply: Reading::Absent,
            last: Vec::new(),
        }
    }

    #[test]
    fn names_that_change_with_the_bios_are_seen() {
        assert!(matches!(names(&bios(&["QuietBoot_00A1", "BootMode_01FF"])), Sight::Quirk(_)));
        // One that happens to end so is no habit, and neither are lower-case words.
        for plain in [&["QuietBoot", "BootMode", "Slot_0001"][..], &["a_face", "b_dead"], &[]] {
            assert!(matches!(names(&bios(plain)), Sight::Plain(_)), "{plain:?}");
        }
    }

    fn shown(values: &[Value]) -> Sight {
        let all: Vec<Resource> = values
            .iter()
            .enumerate()
            .map(|(n, value)| Resource {
                path: format!("/redfish/v1/Managers/1/VirtualMedia/{n}"),
                value: value.clone(),
                etag: None,
            })
            .collect();
        let mut exam = Examination::default();
        drives(&mut exam, &all);
        exam.looks.remove(0).seen
    }

    #[test]
    fn each_oddity_of_a_drive_is_seen() {
        let insert = json!({"#VirtualMedia.InsertMedia": {"target": "/redfish/v1/x"}});
        let cd = json!({"MediaTypes": ["CD"], "Actions": insert});
        let quirk = |values: &[Value]| match shown(values) {
            Sight::Quirk(words) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown(std::slice::from_ref(&cd)), Sight::Plain("0".to_owned()));
        assert!(quirk(&[json!({"MediaTypes": ["Floppy"], "Actions": insert})]).contains("no drive takes a CD"));
        assert_eq!(shown(&[]), Sight::Unseen("no drive is listed".to_owned()));
        assert!(quirk(&[json!({"MediaTypes": ["UsbCd"], "Actions": insert})]).contains("UsbCd"));
        assert!(quirk(&[json!({"MediaTypes": ["CD"]})]).contains("PATCH"));
        let stale = json!({"MediaTypes": ["CD"], "Actions": insert, "Image": "http://x/y.iso", "Inserted": true, "ConnectedVia": "NotConnected"});
        assert!(quirk(&[cd, stale]).contains("1 contradicts itself"));
    }
}
