//! Which rows of firmware.md §5 show only when they are met on the way of other reads, and which are not looked at, with what a look would take.

use std::collections::BTreeMap;

use crate::bmc::examining::{Examination, Sight};

/// Rows that are noted where the hand meets them (`Acquaintance::showed`), and what is said when it did not.
const MET: [(&str, &str, &str); 11] = [
    ("RC-04", "connections used again", "none broke"),
    ("RC-05", "connections that waited", "none stood still"),
    ("RC-08", "bodies", "each came whole"),
    ("RC-12", "the Host header", "it is taken as it is sent"),
    ("RC-17", "the session", "it was known to the end"),
    ("RC-24", "collections", "they are lists that count as they say"),
    ("RC-25", "pages of collections", "they end"),
    ("RC-28", "versions", "none is null, empty or N/A"),
    ("RC-33", "links between resources", "they are where they should be"),
    ("RC-46", "Retry-After", "no odd one was met"),
    ("RC-47", "busy answers", "none was met"),
];

const ACTION: &str = "an action on the node";
const UPDATE: &str = "an update of firmware";
const POWER: &str = "a change of the node's power";
const RESTART: &str = "a restart of the BMC";

/// What a look at the other rows would take.
const LEFT: [(&str, &str); 26] = [
    ("RC-06", "more connections than a BMC is asked to bear"),
    ("RC-07", RESTART),
    ("RC-11", UPDATE),
    ("RC-13", UPDATE),
    ("RC-19", "a run that is killed"),
    ("RC-23", "a wrong password"),
    ("RC-31", ACTION),
    ("RC-32", ACTION),
    ("RC-36", ACTION),
    ("RC-38", UPDATE),
    ("RC-39", UPDATE),
    ("RC-40", UPDATE),
    ("RC-41", UPDATE),
    ("RC-42", RESTART),
    ("RC-43", UPDATE),
    ("RC-44", UPDATE),
    ("RC-49", UPDATE),
    ("RC-50", UPDATE),
    ("RC-51", UPDATE),
    ("RC-53", UPDATE),
    ("RC-54", UPDATE),
    ("RC-55", UPDATE),
    ("RC-56", UPDATE),
    ("RC-57", POWER),
    ("RC-59", POWER),
    ("RC-64", POWER),
];

/// Rows that are looked at where there is something to look at.
const HANGS: [&str; 21] = [
    "RC-09", "RC-10", "RC-14", "RC-15", "RC-16", "RC-18", "RC-20", "RC-22", "RC-26", "RC-29", "RC-30", "RC-34", "RC-35", "RC-37",
    "RC-48", "RC-52", "RC-58", "RC-60", "RC-61", "RC-62", "RC-63",
];

/// Adds what was met on the way of all reads, and then what was not looked at, so that every row has its say.
pub(super) fn finish(exam: &mut Examination, met: BTreeMap<&'static str, String>) {
    for (row, example) in met {
        if !exam.shows(row) {
            let at = MET.iter().find(|known| known.0 == row).map_or("what was read anyway", |known| known.1);
            exam.note(row, at, Sight::Quirk(example));
        }
    }
    for (row, at, plain) in MET {
        if !exam.knows(row) {
            exam.note(row, at, Sight::Plain(plain.to_owned()));
        }
    }
    for row in HANGS {
        if !exam.knows(row) {
            exam.note(row, "where it would show", Sight::Unseen("it is not there, or could not be read".to_owned()));
        }
    }
    exam.leave(&LEFT);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_its_say_and_what_was_met_is_a_quirk() {
        let mut exam = Examination::default();
        finish(&mut exam, BTreeMap::from([("RC-08", "GET /x: it broke off".to_owned()), ("RC-40", "by chance".to_owned())]));
        assert!(exam.shows("RC-08") && exam.shows("RC-40") && !exam.shows("RC-04"), "{exam:?}");
        let said: BTreeSet<String> = exam.looks.iter().map(|look| look.row.to_owned()).collect();
        let all = (1..=64).map(|n| format!("RC-{n:02}"));
        let silent: Vec<String> = all.filter(|row| !said.contains(row)).collect();
        // The looks at these say something whatever they find.
        assert_eq!(silent, ["RC-01", "RC-02", "RC-03", "RC-21", "RC-27", "RC-45"]);
        assert_eq!(exam.looks.len(), said.len(), "one line a row: {exam:?}");
    }
}
