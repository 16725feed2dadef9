//! Dossiers for people: what many nodes have in common stands on one line with their names. It reads dossiers and asks nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::bmc::examining::Sight;
use crate::cli::bmc::dossier::{Answers, Dossier};
use crate::model::NodeId;
use crate::spec::fold;

/// Columns of [`overview`].
pub const OVERVIEW: &[&str] = &["nodes", "known as", "answers", "quirks", "not looked at", "ms"];
/// Columns of [`looks`].
pub const LOOKS: &[&str] = &["nodes", "row", "looked at", "seen"];
/// Columns of [`supports`].
pub const SUPPORTS: &[&str] = &["nodes", "asked for", "answers", "seen"];
/// Columns of [`untried`].
pub const UNTRIED: &[&str] = &["rows", "not looked at, since that takes"];

/// A line of a table: what nodes must have in common to share it, and what was seen of each.
type Lines<'a> = BTreeMap<(Vec<String>, String), Vec<(&'a NodeId, String)>>;

/// Each dossier in a few words.
#[must_use]
pub fn overview(dossiers: &[&Dossier]) -> Vec<Vec<String>> {
    let mut shared: BTreeMap<Vec<String>, Vec<&Dossier>> = BTreeMap::new();
    for dossier in dossiers {
        let rows = |of: fn(&Sight) -> bool| -> BTreeSet<&str> {
            dossier.looks.iter().filter(|look| of(&look.seen)).map(|look| look.row).collect()
        };
        let quirks = rows(|seen| matches!(seen, Sight::Quirk(_)));
        let untried = rows(|seen| matches!(seen, Sight::Untried(_))).len();
        let yes = dossier.supports.iter().filter(|support| support.answer == Answers::Yes).count();
        let known = match &dossier.profile {
            Some(profile) => profile.name(),
            None => dossier.protocol.clone(),
        };
        let line = vec![
            known,
            format!("{yes} of {}", dossier.supports.len()),
            if quirks.is_empty() { "none".to_owned() } else { fold(quirks) },
            format!("{untried} rows"),
        ];
        shared.entry(line).or_default().push(dossier);
    }
    shared
        .into_iter()
        .map(|(mut line, those)| {
            let times = || those.iter().filter_map(|dossier| dossier.latencies);
            line.push(match (times().map(|l| l.least_ms).min(), times().map(|l| l.most_ms).max()) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                _ => "unknown".to_owned(),
            });
            line.insert(0, fold(those.iter().map(|dossier| dossier.node.as_str())));
            line
        })
        .collect()
}

/// What the looks showed: quirks, and what could not be seen; with `all` also what is plain.
#[must_use]
pub fn looks(dossiers: &[&Dossier], all: bool) -> Vec<Vec<String>> {
    let mut lines = Lines::new();
    for (dossier, look) in dossiers.iter().flat_map(|dossier| dossier.looks.iter().map(move |look| (dossier, look))) {
        let (kind, seen) = match &look.seen {
            Sight::Quirk(seen) => ("quirk: ", seen),
            Sight::Unseen(why) => ("not seen: ", why),
            Sight::Plain(seen) if all => ("", seen),
            Sight::Plain(_) | Sight::Untried(_) => continue,
        };
        let key = (vec![look.row.to_owned(), look.at.to_owned()], format!("{kind}{}", shape(seen)));
        lines.entry(key).or_default().push((&dossier.node, format!("{kind}{seen}")));
    }
    folded(lines)
}

/// What was asked for: what is not answered with a yes; with `all` everything.
#[must_use]
pub fn supports(dossiers: &[&Dossier], all: bool) -> Vec<Vec<String>> {
    let mut lines = Lines::new();
    for (dossier, support) in dossiers.iter().flat_map(|dossier| dossier.supports.iter().map(move |support| (dossier, support))) {
        if all || support.answer != Answers::Yes {
            let key = (vec![support.what.to_owned(), support.answer.word().to_owned()], shape(&support.seen));
            lines.entry(key).or_default().push((&dossier.node, support.seen.clone()));
        }
    }
    folded(lines)
}

/// Rows that were not looked at, by what that would take.
#[must_use]
pub fn untried(dossiers: &[&Dossier]) -> Vec<Vec<String>> {
    let mut by_need: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for look in dossiers.iter().flat_map(|dossier| &dossier.looks) {
        if let Sight::Untried(needs) = &look.seen {
            by_need.entry(needs).or_default().insert(look.row);
        }
    }
    by_need.into_iter().map(|(needs, rows)| vec![fold(rows), needs.to_owned()]).collect()
}

/// The lines with their nodes. What was seen is the first node's, by its name, where they differ.
fn folded(lines: Lines<'_>) -> Vec<Vec<String>> {
    let mut table = Vec::new();
    for ((mut line, _), those) in lines {
        line.insert(0, fold(those.iter().map(|(node, _)| node.as_str())));
        if let Some((node, seen)) = those.first() {
            let all = those.iter().all(|(_, other)| other == seen);
            line.push(if all { seen.clone() } else { format!("{node}: {seen}") });
        }
        table.push(line);
    }
    table
}

/// A text without its numbers and quoted words: what differs from node to node where the same thing was seen.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        } else if !quoted {
            let digit = c.is_ascii_digit();
            if !digit || !shape.ends_with('0') {
                shape.push(if digit { '0' } else { c });
            }
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_numbers_alone_shares_a_line() {
        assert_eq!(shape("it is 3999 s ahead"), shape("it is 17 s ahead"));
        assert_eq!(shape("W/\"0d06\" is weak"), shape("W/\"2c15fc\" is weak"));
        assert_ne!(shape("\"1\" is weak"), shape("\"1\", and a moment later \"2\""));
        let node = |name: &str| NodeId::new(name).unwrap();
        let (one, two) = (node("a1-s1"), node("a1-s2"));
        let key = || (vec!["RC-34".to_owned()], "it is 0 s off".to_owned());
        let both = |words: [&str; 2]| Lines::from([(key(), vec![(&one, words[0].to_owned()), (&two, words[1].to_owned())])]);
        assert_eq!(folded(both(["it is 5 s off", "it is 5 s off"])), [["a1-s[1-2]", "RC-34", "it is 5 s off"]]);
        assert_eq!(folded(both(["it is 5 s off", "it is 6 s off"])), [["a1-s[1-2]", "RC-34", "a1-s1: it is 5 s off"]]);
    }
}
