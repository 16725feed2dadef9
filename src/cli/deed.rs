//! One change on each of many BMCs: the nodes are named and agreed to, nobody's machine is touched for another's, every change is journaled before it
//! is made and told after it. What the change is comes from the verb.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::BufRead as _;
use std::pin::pin;

use futures_util::StreamExt as _;
use serde::Serialize;

use super::failure::{Exit, Failure, Result};
use super::folded::{Told, Went, rows};
use super::global::Global;
use super::handbook::HandBook;
use super::hands::Hands;
use super::lanes::lanes;
use super::output::Format;
use crate::bmc::{Bmc, WholeBmc, Written};
use crate::model::{EvidenceNote, Inventory, Node, NodeId, Reading, Touch};
use crate::spec::fold;

/// Most nodes that are asked at once: so many that some dead BMCs, which hold a place until their deadline, do not keep the others waiting.
pub const AT_ONCE: usize = 1024;

/// Says that a change is never made on all nodes by default.
///
/// # Errors
/// Exit code 64 when no nodes were named.
pub fn must_name(global: &Global, nodes: Option<&str>, what: &str, example: &str) -> Result<()> {
    if nodes.is_some() || global.flags.select.is_some() {
        return Ok(());
    }
    Err(Failure::new(Exit::USAGE, format!("{what} needs to be told which nodes"))
        .hint(format!("{example}; `*` means every node")))
}

/// Asks a person whether to go on; without one only `--yes` does, unless nothing can be lost.
///
/// # Errors
/// Nobody agreed.
pub fn agree(global: &Global, what: &str, nodes: &BTreeSet<NodeId>, yes: bool, harmless: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let count = nodes.len();
    let names = fold(nodes.iter().map(NodeId::as_str));
    if !global.interactive() {
        if harmless {
            return Ok(());
        }
        return Err(Failure::new(Exit::USAGE, format!("{what} of {count} nodes ({names}) was not agreed to")).hint("add --yes"));
    }
    global.talk(format!("{what} of {count} nodes: {names}\nType `yes` to go on:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::ERROR, "not agreed to; nothing was touched")) }
}

/// The selected nodes, their hands made. Every secret is resolved before the first packet: a missing one touches nothing.
///
/// # Errors
/// A secret cannot be had, or an account cannot exist.
pub async fn reach<'a>(inventory: &'a Inventory, hands: &Hands, selected: &BTreeSet<NodeId>) -> Result<Vec<&'a Node>> {
    let nodes: Vec<&Node> = selected.iter().filter_map(|id| inventory.nodes.get(id)).collect();
    hands.prepare_bmcs(nodes.iter().copied()).await;
    for node in &nodes {
        hands.bmc(node)?;
    }
    Ok(nodes)
}

#[derive(Serialize)]
struct Row<'a> {
    node: &'a NodeId,
    #[serde(flatten)]
    told: &'a Told,
}

#[derive(Serialize)]
struct Report<'a> {
    format_version: u32,
    verb: &'a str,
    nodes: Vec<Row<'a>>,
}

/// Does it for each. As NDJSON, every answer is told when it comes: some nodes may take their whole deadline.
pub async fn each<'a, F: Future<Output = Told>>(
    global: &Global,
    nodes: Vec<&'a Node>,
    one: impl Fn(&'a Node) -> F,
) -> BTreeMap<NodeId, Told> {
    let one = &one;
    let mut ends = pin!(lanes(nodes, AT_ONCE, |node: &'a Node| async move { (node.id.clone(), one(node).await) }));
    let mut told = BTreeMap::new();
    while let Some((node, answer)) = ends.next().await {
        tell_line(global, &node, &answer);
        told.insert(node, answer);
    }
    told
}

/// As NDJSON, tells what became of one node when it is known; [`show`] tells the rest.
pub fn tell_line(global: &Global, node: &NodeId, told: &Told) {
    if global.out.format == Format::Ndjson
        && let Ok(line) = serde_json::to_string(&Row { node, told })
    {
        global.out.line(line);
    }
}

/// Another machine than the facts record behind the address, or a BMC that cannot say who it is: it is not touched.
pub async fn stranger(bmc: &dyn Bmc, node: &Node) -> Option<Told> {
    let recorded = node.serial.as_ref()?;
    match bmc.identity().await {
        Ok(facts) => match facts.serial {
            Reading::Known(seen) if !seen.trim().eq_ignore_ascii_case(recorded) => {
                let detail =
                    format!("its serial is {}, and the facts record {recorded}; it was not touched", seen.trim().escape_debug());
                Some(Told { went: Went::Failed, answer: "another machine".to_owned(), detail: Some(detail) })
            }
            // A BMC that keeps no serial (IPMI without FRU) cannot be told apart this way.
            _ => None,
        },
        Err(error) => Some(Told::error(&error)),
    }
}

/// What a journal line says of a write.
#[must_use]
pub fn note(written: &Written) -> EvidenceNote {
    let seen = Told::written(written).detail.unwrap_or_default();
    match written {
        Written::Applied(_) => EvidenceNote::Applied(seen),
        Written::NotApplied(_) => EvidenceNote::NotApplied(seen),
        Written::Ambiguous(_) => EvidenceNote::Ambiguous(seen),
    }
}

/// What is told of a node whose intent could not be written down.
#[must_use]
pub fn not_journaled() -> Told {
    Told { went: Went::Failed, answer: "not journaled".to_owned(), detail: Some("so it was not touched".to_owned()) }
}

/// One touch of one node: not a stranger's, announced, made, told.
pub async fn touch<F: Future<Output = Written>>(
    hands: &Hands,
    book: &HandBook,
    node: &Node,
    touch: &Touch,
    make: impl FnOnce(std::sync::Arc<dyn WholeBmc>) -> F,
) -> Told {
    let bmc = match hands.whole(node) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    if let Some(refusal) = stranger(bmc.as_ref(), node).await {
        bmc.close().await;
        return refusal;
    }
    if !book.announce(&node.id, touch).await {
        bmc.close().await;
        return not_journaled();
    }
    let written = make(std::sync::Arc::clone(&bmc)).await;
    book.tell(&node.id, touch, note(&written)).await;
    bmc.close().await;
    Told::written(&written)
}

/// Shows what became of each node, unless that was told line by line.
pub fn show(global: &Global, verb: &str, column: &str, told: &BTreeMap<NodeId, Told>) {
    match global.out.format {
        Format::Json => {
            let nodes = told.iter().map(|(node, told)| Row { node, told }).collect();
            global.out.json(&Report { format_version: 1, verb, nodes });
        }
        Format::Ndjson => {}
        _ => global.out.table(&["nodes", "count", column, "seen"], rows(told)),
    }
}
