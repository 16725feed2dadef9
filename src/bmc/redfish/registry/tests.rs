//! Tests of the attribute registry.

use proptest::prelude::*;
use serde_json::json;

use super::super::json::any_json;
use super::*;

fn registry() -> Registry {
    Registry::read(&json!({
        "Id": "R",
        "RegistryEntries": {
            "Attributes": [
                {"AttributeName": "Mode", "Type": "Enumeration", "Value": [
                    {"ValueName": "Uefi", "ValueDisplayName": "UEFI"}, {"ValueName": "Bios", "ValueDisplayName": "BIOS"}]},
                {"AttributeName": "Delay", "Type": "Integer", "LowerBound": 60, "UpperBound": 600, "ScalarIncrement": 10},
                {"AttributeName": "Tag", "Type": "String", "MinLength": 2, "MaxLength": 4},
                {"AttributeName": "On", "Type": "Boolean"},
                {"AttributeName": "Secret", "Type": "Password"},
                {"AttributeName": "Fixed", "Type": "String", "ReadOnly": true},
                {"AttributeName": "Sriov_3C41", "Type": "Enumeration", "Value": [{"ValueName": "Enable"}, {"ValueName": "Disable"}]},
            ],
            "Dependencies": [
                {"DependencyFor": "Delay", "Type": "Map", "Dependency": {
                    "MapFrom": [{"MapFromAttribute": "Mode", "MapFromProperty": "CurrentValue", "MapFromCondition": "NEQ", "MapFromValue": "Uefi"}],
                    "MapToAttribute": "Delay", "MapToProperty": "ReadOnly", "MapToValue": true}},
                {"Dependency": {
                    "MapFrom": [{"MapFromAttribute": "On", "MapFromProperty": "CurrentValue", "MapFromCondition": "EQU", "MapFromValue": true}],
                    "MapToAttribute": "Tag", "MapToProperty": "CurrentValue", "MapToValue": "abcd"}},
            ],
        },
    }))
}

fn current() -> BTreeMap<String, BiosValue> {
    let text = |t: &str| BiosValue::Text(t.to_owned());
    [
        ("Mode", text("Bios")),
        ("Delay", BiosValue::Integer(60)),
        ("Tag", text("ab")),
        ("On", BiosValue::Boolean(false)),
        ("Secret", BiosValue::Null),
        ("Fixed", text("x")),
        ("Sriov_3C41", text("Disable")),
        ("Untold", BiosValue::Integer(3)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn judge(pairs: &[(&str, &str)]) -> Judged {
    let wish = pairs.iter().map(|(n, v)| ((*n).to_owned(), BiosValue::Text((*v).to_owned()))).collect();
    registry().judge(&wish, &current(), &current())
}

#[test]
fn values_are_sent_in_the_kind_that_the_attribute_has() {
    let judged = judge(&[("Mode", "Uefi"), ("Delay", "70"), ("Tag", "abc"), ("On", "TRUE"), ("Untold", "4")]);
    assert_eq!(judged.mistakes, Vec::<String>::new());
    assert_eq!(judged.send["Delay"], BiosValue::Integer(70));
    assert_eq!((&judged.send["On"], &judged.send["Untold"]), (&BiosValue::Boolean(true), &BiosValue::Integer(4)));
    assert_eq!(judged.remarks, ["On: by the registry Tag becomes abcd with it (On is true)"]);
}

#[test]
fn every_mistake_is_told_at_once() {
    let judged = judge(&[
        ("Mode", "Efi"),
        ("Delay", "65"),
        ("Tag", "abcdef"),
        ("On", "yes"),
        ("Secret", "hunter2"),
        ("Fixed", "y"),
        ("Tagg", "x"),
        ("Untold", "many"),
    ]);
    assert_eq!(
        judged.mistakes,
        [
            "Delay: 65 is not a step of 10 within 60 to 600",
            "Fixed: it is read-only",
            "Mode: `Efi` is not one of Uefi, Bios",
            "On: `yes` is neither true nor false",
            "Secret: it is a password, which is not set as an attribute here",
            "Tag: it takes 2 to 4 characters, and these are 6",
            "Tagg: this BIOS has no such attribute; it has Tag",
            "Untold: `many` is not a whole number, as it is now",
        ]
    );
    assert!(judge(&[("Delay", "601")]).mistakes[0].contains("not within 60 to 600"));
}

#[test]
fn other_spellings_are_taken_and_told() {
    let judged = judge(&[("Mode", "UEFI"), ("Sriov", "enable")]);
    assert_eq!(judged.mistakes, Vec::<String>::new());
    assert_eq!((judged.send["Mode"].to_string(), judged.send["Sriov_3C41"].to_string()), ("Uefi".into(), "Enable".into()));
    assert!(judged.remarks.contains(&"Sriov is called Sriov_3C41 in this BIOS".to_owned()), "{judged:?}");
    assert!(judged.remarks.contains(&"Mode: `UEFI` is written Uefi".to_owned()), "{judged:?}");
    // With the digits of another BIOS version.
    assert!(judge(&[("Sriov_0049", "Enable")]).send.contains_key("Sriov_3C41"));
}

#[test]
fn what_stands_in_the_way_is_told() {
    let judged = judge(&[("Delay", "70")]);
    assert_eq!(judged.remarks, ["Delay: by the registry it cannot be changed while Mode is not Uefi"]);
    assert_eq!(judge(&[("Delay", "70"), ("Mode", "Uefi")]).remarks, Vec::<String>::new());
}

#[test]
fn a_value_is_kept_as_it_is_or_escaped() {
    for text in ["", " a ", "C:\\x \"y\"", "ä"] {
        assert_eq!(value_of(&json!(text)), BiosValue::Text(text.to_owned()));
    }
    assert_eq!(value_of(&json!("a\u{1b}[31m")).to_string(), "a\\u{1b}[31m");
}

proptest! {
    #[test]
    fn any_registry_judges_any_wish(value in any_json(), name in ".{0,12}", wanted in ".{0,12}") {
        let registry = Registry::read(&json!({ "RegistryEntries": value }));
        let mut current = attributes(&value);
        current.insert("A".to_owned(), BiosValue::Null);
        let judged = registry.judge(&[(name, BiosValue::Text(wanted))].into(), &current, &current);
        for text in judged.mistakes.iter().chain(&judged.remarks) {
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn any_entries_are_read(takes in any_json(), rule in any_json()) {
        let entries = json!({ "Attributes": [{ "AttributeName": "A", "Type": "Enumeration", "Value": takes }], "Dependencies": [{ "Dependency": rule }] });
        let registry = Registry::read(&json!({ "RegistryEntries": entries }));
        drop(registry.judge(&[("A".to_owned(), BiosValue::Integer(1))].into(), &[("A".to_owned(), BiosValue::Null)].into(), &BTreeMap::new()));
    }
}
