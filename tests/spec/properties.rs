//! What holds for every input.

use std::collections::BTreeSet;

use bringup::model::NodeId;
use bringup::spec::address::AddressRule;
use bringup::spec::expression::{Expression, Template, Variables};
use bringup::spec::range::Pattern;
use bringup::spec::{Diagnostics, fold, select, yaml};
use proptest::prelude::*;

use super::fixture::{FACTS, SITE, load};

/// Text that looks like YAML often enough to get past the first line.
fn yamlish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("a"),
        Just(": "),
        Just("\n"),
        Just("  "),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("&x "),
        Just("*x"),
        Just("\""),
        Just("'"),
        Just("|\n"),
        Just("<<: "),
        Just("!t "),
        Just("---\n"),
        Just("#"),
        Just("\t"),
        Just("é"),
        Just("? "),
        Just("password: x"),
        Just("\u{feff}"),
        Just("\r\n"),
        Just("racks"),
        Just("site"),
        Just("profiles"),
        Just("range")
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn names_survive_folding(names in proptest::collection::btree_set("[a-c]{1,2}[0-9]{0,3}(-s[0-9]{1,2})?", 1..40)) {
        let folded = fold(names.iter().map(String::as_str));
        let mut back = BTreeSet::new();
        let mut depth = 0;
        let pieces = folded.split(|c| { match c { '[' => depth += 1, ']' => depth -= 1, _ => {} } c == ',' && depth == 0 });
        for piece in pieces {
            let pattern: Pattern = piece.parse().map_err(|e| TestCaseError::fail(format!("{piece}: {e}")))?;
            for name in pattern.names().unwrap() {
                prop_assert!(pattern.matches(&name));
                prop_assert!(back.insert(name), "{folded} names one twice");
            }
        }
        prop_assert_eq!(back, names);
    }

    #[test]
    fn a_pattern_matches_exactly_its_names(low in 0u64..30, span in 0u64..12, width in 1usize..4, name in "[a-b][0-9]{1,4}") {
        let Ok(pattern) = format!("a[{low:0width$}-{:0width$}]", low + span).parse::<Pattern>() else { return Ok(()) };
        prop_assert_eq!(pattern.matches(&name), pattern.names().unwrap().contains(&name));
    }

    #[test]
    fn readers_of_small_languages_never_panic(text in "[ a-z0-9(){}\\[\\]+*/%:,=&|?.é-]{0,60}") {
        let variables = Variables { site: "s", rack: "a001", node: "n", row: Some(1), n: Some(i64::MAX), slot: Some(i64::MIN) };
        if let Ok(e) = Expression::parse(&text, 0) { let _ = e.value(&variables); }
        if let Ok(t) = Template::parse(&text, 0) { let _ = t.fill(&variables); }
        for rule in [text.clone(), format!("cidr({text})"), format!("cidr(10.0.0.0/8, {text})"), format!("cidr(fd00::/{text}, 1)")] {
            if let Ok(r) = AddressRule::parse(&rule) { let _ = r.address(&variables); }
        }
        if let Ok(p) = text.parse::<Pattern>() { let _ = p.names(); let _ = p.matches("a001-s01"); }
    }

    #[test]
    fn no_text_makes_the_yaml_reader_or_the_renderer_panic(text in prop_oneof![yamlish(), any::<String>()]) {
        let mut out = Diagnostics::new();
        let file = out.sources.add("x.yaml", &text);
        let tree = yaml::parse(file, &mut out);
        prop_assert!(tree.is_some() || out.refused());
        prop_assert_eq!(out.render(true).is_empty(), out.is_empty());
        prop_assert!(out.to_json()["errors"].is_u64());
    }

    #[test]
    fn no_site_makes_the_loader_panic(at in 0usize..SITE.len(), cut in 0usize..40, put in yamlish()) {
        let at = (0..=at).rev().find(|b| SITE.is_char_boundary(*b)).unwrap_or(0);
        let end = (at + cut).min(SITE.len());
        let site = format!("{}{put}{}", &SITE[..at], SITE.get(end..).unwrap_or(""));
        if let Err(d) = load(&site, FACTS) { prop_assert!(d.refused()); prop_assert!(!d.render(false).is_empty()); }
    }

    #[test]
    fn no_facts_make_the_loader_panic(facts in prop_oneof![any::<String>(), "[a-z0-9:,\"\r\n#-]{0,200}"]) {
        for facts in [facts.clone(), format!("node,serial,boot_mac\n{facts}")] {
            if let Err(d) = load(SITE, &facts) { prop_assert!(!d.render(false).is_empty()); }
        }
    }

    #[test]
    fn selection_is_set_algebra(a in term(), b in term()) {
        let inventory = load(SITE, FACTS).unwrap().inventory;
        let nodes = |e: &str| select(e, &inventory, &|_: &NodeId, _: &str| None).unwrap_or_else(|e| { assert!(e.empty, "{}", e.caret()); BTreeSet::new() });
        let (x, y) = (nodes(a), nodes(b));
        prop_assert_eq!(nodes(&format!("{a} | {b}")), x.union(&y).cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(nodes(&format!("{a} & {b}")), x.intersection(&y).cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(nodes(&format!("{a} - {b}")), x.difference(&y).cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(nodes(&format!("* - ({a} | {b})")), nodes(&format!("* - {a} - {b}")));
    }

    #[test]
    fn no_expression_makes_select_panic(text in prop_oneof![any::<String>(), "[a-z0-9 ()\\[\\]*?=&|,:-]{0,40}"]) {
        let inventory = load(SITE, FACTS).unwrap().inventory;
        if let Err(e) = select(&text, &inventory, &|_: &NodeId, _: &str| None) { prop_assert!(e.caret().contains("^ ")); }
    }
}

fn term() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("a*"),
        Just("rack=a001"),
        Just("slot=1"),
        Just("label:hold"),
        Just("accel=nvidia"),
        Just("ring=canary"),
        Just("b001-s01"),
        Just("a[001-002]-s02"),
        Just("pool=infer"),
        Just("*")
    ]
}
