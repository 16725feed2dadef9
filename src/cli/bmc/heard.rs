//! One question to each of many BMCs, and its answers: as a table, or as data. Reads only.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bmc::{BmcError, WholeBmc};
use crate::cli::deed::AT_ONCE;
use crate::cli::failure::{Exit, Result};
use crate::cli::folded::{Told, exit, rows};
use crate::cli::global::Global;
use crate::cli::hands::{Hands, Trust};
use crate::cli::lanes::lanes;
use crate::cli::output::Format;
use crate::cli::{deed, site};
use crate::model::{Node, NodeId};

/// What every node answered.
pub struct Heard<T> {
    /// Key of an answer in data, such as `bios`.
    key: &'static str,
    /// By node.
    pub answers: BTreeMap<NodeId, std::result::Result<T, Told>>,
}

fn line<T: Serialize>(key: &str, node: &NodeId, answer: &std::result::Result<T, Told>) -> Value {
    let mut row = Map::new();
    let json = |value: serde_json::Result<Value>| value.unwrap_or(Value::Null);
    row.insert("node".to_owned(), Value::from(node.as_str()));
    row.insert(key.to_owned(), answer.as_ref().map_or(Value::Null, |answer| json(serde_json::to_value(answer))));
    row.insert("error".to_owned(), answer.as_ref().err().map_or(Value::Null, |told| json(serde_json::to_value(told))));
    Value::Object(row)
}

/// Asks every selected BMC. As NDJSON, every answer is told when it comes.
///
/// # Errors
/// The selection or inventory is wrong, or a secret is missing.
pub async fn hear<T: Serialize, F: Future<Output = std::result::Result<T, BmcError>>>(
    global: &Global,
    nodes: Option<&str>,
    trust: &Trust,
    key: &'static str,
    ask: impl Fn(Arc<dyn WholeBmc>) -> F,
) -> Result<Heard<T>> {
    hear_of(global, nodes, trust, key, |_, bmc| ask(bmc)).await
}

/// As [`hear`], with what is written of each node.
///
/// # Errors
/// As [`hear`].
pub async fn hear_of<T: Serialize, F: Future<Output = std::result::Result<T, BmcError>>>(
    global: &Global,
    nodes: Option<&str>,
    trust: &Trust,
    key: &'static str,
    ask: impl Fn(Node, Arc<dyn WholeBmc>) -> F,
) -> Result<Heard<T>> {
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, nodes)?;
    let hands = Hands::new(&global.flags.inventory, None, trust).remembering(global);
    deed::reach(&loaded.inventory, &hands, &selected).await?;
    let mut asked = Vec::new();
    for node in selected.iter().filter_map(|id| loaded.inventory.nodes.get(id)) {
        asked.push((node.clone(), hands.whole(node)?));
    }
    let ask = &ask;
    let mut ends = pin!(lanes(asked, AT_ONCE, |(node, bmc): (Node, Arc<dyn WholeBmc>)| async move {
        let id = node.id.clone();
        let answer = ask(node, Arc::clone(&bmc)).await;
        bmc.close().await;
        (id, answer.map_err(|error| Told::error(&error)))
    }));
    let mut answers = BTreeMap::new();
    while let Some((node, answer)) = ends.next().await {
        if global.out.format == Format::Ndjson {
            global.out.line(line(key, &node, &answer).to_string());
        }
        answers.insert(node, answer);
    }
    Ok(Heard { key, answers })
}

impl<T: Serialize> Heard<T> {
    /// Answers that were had elsewhere.
    #[cfg(test)]
    pub(crate) fn of(key: &'static str, answers: BTreeMap<NodeId, std::result::Result<T, Told>>) -> Self {
        Self { key, answers }
    }

    /// Shows the answers: as JSON whole, in a table as `cells` puts them. What could not be heard has a table of its own.
    pub fn show(&self, global: &Global, columns: &[&str], cells: impl Fn(&NodeId, &T) -> Vec<Vec<String>>) {
        match global.out.format {
            Format::Json => {
                let nodes: Vec<Value> = self.answers.iter().map(|(node, answer)| line(self.key, node, answer)).collect();
                global.out.json(&serde_json::json!({ "format_version": 1, "nodes": nodes }));
            }
            Format::Ndjson => {}
            _ => {
                let table: Vec<Vec<String>> = self.well().flat_map(|(node, answer)| cells(node, answer)).collect();
                self.show_rows(global, columns, table);
            }
        }
    }

    /// As [`Self::show`], with rows that were made of all answers together.
    pub fn show_rows(&self, global: &Global, columns: &[&str], table: Vec<Vec<String>>) {
        match global.out.format {
            Format::Json | Format::Ndjson => self.show(global, columns, |_, _| Vec::new()),
            _ => {
                if !table.is_empty() {
                    global.out.table(columns, table);
                }
                let whys: BTreeMap<NodeId, Told> = self
                    .answers
                    .iter()
                    .filter_map(|(node, answer)| Some((node.clone(), answer.as_ref().err()?.clone())))
                    .collect();
                if !whys.is_empty() {
                    global.out.table(&["nodes", "count", "trouble", "seen"], rows(&whys));
                }
            }
        }
    }

    /// Those that answered.
    pub fn well(&self) -> impl Iterator<Item = (&NodeId, &T)> {
        self.answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?)))
    }

    /// The exit code of the contract.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let told = |answer: &std::result::Result<T, Told>| answer.as_ref().map_or_else(Clone::clone, |_| Told::well("heard"));
        exit(&self.answers.iter().map(|(node, answer)| (node.clone(), told(answer))).collect())
    }
}
