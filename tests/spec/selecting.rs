//! The SELECT language.

use bringup::model::{Inventory, NodeId};
use bringup::spec::{SelectError, fold, select};

use super::fixture::{FACTS, SITE, load};

fn inventory() -> Inventory {
    load(SITE, FACTS).unwrap().inventory
}

fn ask(expression: &str) -> Result<String, SelectError> {
    let extra = |id: &NodeId, key: &str| {
        (key == "state").then(|| if id.as_str() == "a001-s01" { "quarantined" } else { "unknown" }.to_owned())
    };
    select(expression, &inventory(), &extra).map(|set| fold(set.iter().map(NodeId::as_str)))
}

#[test]
fn sets() {
    for (expression, expected) in [
        ("a*", "a[001-002]-s[01-02]"),
        ("a[001-002]-s01", "a[001-002]-s01"),
        ("a001-s01,b001-s01", "a001-s01,b001-s01"),
        ("a001-s01 | b001-s01", "a001-s01,b001-s01"),
        ("rack=a001", "a001-s[01-02]"),
        ("rack=a* & accel=nvidia - label:hold", "a001-s[01-02]"),
        ("accel=H100 - slot=1", "a[001-002]-s02"),
        ("ring=canary", "b001-s01"),
        ("label:ring=canary", "b001-s01"),
        ("label:hold", "a002-s[01-02]"),
        ("state=quarantined", "a001-s01"),
        ("pool=infer, (rack=a* & slot=2)", "a[001-002]-s02,b001-s01"),
        ("feed=a-1", "a[001-002]-s[01-02]"),
        ("* - a* | a001-s01", "a001-s01,b001-s01"),
        ("profile=[1],*", "a[001-002]-s[01-02],b001-s01"),
    ] {
        assert_eq!(ask(expression).as_deref(), Ok(expected), "{expression}");
    }
}

#[test]
fn mistakes_point_at_their_place() {
    for (expression, caret, hint) in [
        ("a001-s01 &", "a001-s01 &\n          ^ a node name, `key=value` or `label:key` is expected here", None),
        ("(a*", "(a*\n^ `(` is never closed", None),
        ("a* )", "a* )\n   ^ `)` was not expected here", None),
        ("a[2-1]-s01", "a[2-1]-s01\n  ^ the range runs backwards, from 2 to 1", None),
        ("a001-s03", "a001-s03\n^ no node is called `a001-s03`", Some("did you mean `a001-s01`?")),
        ("a001", "a001\n^ no node is called `a001`", Some("that is a rack: write `rack=a001`")),
        ("* -label:hold", "* -label:hold\n  ^ `-` was not expected here", Some("put spaces around `-` to take nodes away")),
        ("rak=a001", "rak=a001\n^ nothing here knows `rak`", Some("did you mean `rack`?")),
        ("rack=a001 - rack=a001", "rack=a001 - rack=a001\n^ no node is selected", None),
        ("", "\n^ a node name, `key=value` or `label:key` is expected here", None),
    ] {
        let error = ask(expression).unwrap_err();
        assert_eq!(error.caret(), caret);
        assert_eq!(error.hint.as_deref(), hint, "{expression}");
    }
    assert!(ask("rack=zzz").unwrap_err().empty);
    assert!(!ask("a[").unwrap_err().empty);
}
