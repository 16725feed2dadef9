//! What a search found, for people and machines: the new folded, the different one by one, strangers apart.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::Standing;
use super::probe::{Met, Stranger};
use crate::cli::folded::{Told, rows};
use crate::cli::global::Global;
use crate::cli::output::Format;
use crate::model::{NodeId, Reading};
use crate::spec::fold;

/// Everything that a search found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Addresses asked.
    pub asked: usize,
    /// Nodes of the inventory whose BMC's address lies in the ranges.
    pub met: Vec<Met>,
    /// BMCs where the inventory expects none.
    pub strangers: Vec<Stranger>,
}

#[derive(Serialize)]
struct Report<'a> {
    format_version: u32,
    #[serde(flatten)]
    found: &'a Found,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Node(&'a Met),
    Stranger(&'a Stranger),
}

/// Shows it in the format that was asked for.
pub fn all(global: &Global, found: &Found, replace: bool) {
    match global.out.format {
        Format::Json => global.out.json(&Report { format_version: 1, found }),
        Format::Ndjson => {
            let lines = found.met.iter().map(Line::Node).chain(found.strangers.iter().map(Line::Stranger));
            lines.filter_map(|line| serde_json::to_string(&line).ok()).for_each(|line| global.out.line(line));
        }
        _ => text(global, found, replace),
    }
}

fn text(global: &Global, found: &Found, replace: bool) {
    let mut groups: BTreeMap<(Standing, String), Vec<&NodeId>> = BTreeMap::new();
    let mut differences = Vec::new();
    for met in &found.met {
        for standing in [Standing::Same, Standing::New] {
            let columns: Vec<&str> = met.facts.iter().filter(|f| f.standing == standing).map(|f| f.column).collect();
            if !columns.is_empty() {
                groups.entry((standing, columns.join(", "))).or_default().push(&met.node);
            }
        }
        differences.extend(met.facts.iter().filter(|f| f.standing == Standing::Differs).map(|f| (met, f)));
    }
    let table = groups.into_iter().map(|((standing, columns), nodes)| {
        vec![fold(nodes.iter().map(|n| n.as_str())), nodes.len().to_string(), standing.word().to_owned(), columns]
    });
    let table: Vec<_> = table.collect();
    if !table.is_empty() {
        global.out.table(&["nodes", "count", "is", "facts"], table);
    }
    if !differences.is_empty() {
        let rows = differences.iter().map(|(met, f)| {
            vec![met.node.to_string(), f.column.to_owned(), f.recorded.clone().unwrap_or_default(), f.found.clone()]
        });
        global.out.table(&["node", "differs in", "recorded", "found"], rows.collect());
        if !replace {
            global.talk("what differs is not written: another machine may stand there; `--replace` takes it over");
        }
    }
    let stopped: BTreeMap<NodeId, Told> =
        found.met.iter().filter_map(|met| Some((met.node.clone(), met.stopped.clone()?))).collect();
    if !stopped.is_empty() {
        global.out.table(&["nodes", "count", "trouble", "seen"], rows(&stopped));
    }
    if !found.strangers.is_empty() {
        global.out.table(
            &["address", "speaks", "vendor", "model", "serial", "certificate", "in the inventory"],
            found.strangers.iter().map(row).collect(),
        );
        for stranger in found.strangers.iter().filter(|s| s.trouble.is_some()) {
            let why = stranger.trouble.as_deref().unwrap_or_default();
            global.talk(crate::cli::output::escape(&format!("{}: {why}", stranger.address)));
        }
    }
}

fn row(stranger: &Stranger) -> Vec<String> {
    let told = stranger.identity.as_ref();
    let greeting = stranger.greeting.as_ref();
    let word = |logged_in: Option<&Reading<String>>, greeted: Option<&Reading<String>>| {
        let known = logged_in.and_then(Reading::known).or_else(|| greeted.and_then(Reading::known));
        known.cloned().unwrap_or_else(|| "unknown".to_owned())
    };
    let certificate = greeting.and_then(|g| g.certificate.as_ref()).map_or_else(|| "-".to_owned(), |c| c.short().to_owned());
    vec![
        stranger.address.to_string(),
        stranger.protocol.clone(),
        word(told.map(|t| &t.vendor), greeting.map(|g| &g.vendor)),
        word(told.map(|t| &t.model), greeting.map(|g| &g.product)),
        word(told.map(|t| &t.serial), None),
        certificate,
        match &stranger.known_as {
            Some(node) => format!("{node}, elsewhere"),
            None => "unknown".to_owned(),
        },
    ]
}
