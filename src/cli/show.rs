//! `bringup show`: the expanded inventory, and which line of which file set a field. Touches no machine and changes no file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::output::Format;
use super::{Exit, Failure, Global, Result, site};
use crate::model::{Node, NodeId};
use crate::spec::{LoadedInventory, fold, why::nearest_field};

/// Most nodes that are listed one by one; more are folded into groups of equal nodes.
const ONE_BY_ONE: usize = 20;

/// Shows the expanded inventory, and which line set a field
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup show
  bringup show 'rack=a017 & accel=nvidia - label:hold' -o json
  bringup show a017-s03 --why bmc.driver")]
pub struct Args {
    /// Nodes to show (see --select)
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Which lines had a say in this field, such as `bmc.user` or `labels`
    #[arg(long, value_name = "FIELD")]
    why: Option<String>,
}

/// Loads, selects and prints.
///
/// # Errors
/// The inventory is invalid, the selection is bad, or nothing set the field.
pub async fn run(args: Args, global: &Global) -> Result {
    if !matches!(global.out.format, Format::Text | Format::Json | Format::Ndjson) {
        return Err(Failure::new(Exit::USAGE, "an inventory is shown as text, json or ndjson"));
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    let nodes: Vec<&Node> = selected.iter().filter_map(|id| loaded.inventory.nodes.get(id)).collect();
    match &args.why {
        Some(field) => why(global, &loaded, &nodes, field),
        None => {
            show(global, &loaded, &nodes);
            Ok(Exit::DONE)
        }
    }
}

fn show(global: &Global, loaded: &LoadedInventory, nodes: &[&Node]) {
    let inventory = &loaded.inventory;
    match global.out.format {
        Format::Json => {
            let racks: BTreeMap<_, _> = inventory.racks.iter().filter(|(id, _)| nodes.iter().any(|n| n.rack == **id)).collect();
            global.out.json(&json!({
                "format_version": 1, "site": inventory.site, "digest": inventory.digest, "inputs": loaded.inputs,
                "racks": racks, "nodes": nodes,
            }));
        }
        Format::Ndjson => {
            for node in nodes {
                let mut value = serde_json::to_value(node).unwrap_or(Value::Null);
                value["format_version"] = json!(1);
                global.out.line(value.to_string());
            }
        }
        _ if nodes.len() <= ONE_BY_ONE => {
            let rows = nodes.iter().map(|n| {
                let [accelerators, bmc, _, pool, state] = summary(n);
                vec![n.id.to_string(), accelerators, format!("{bmc} {}", n.bmc.address), n.ssh.address.to_string(), pool, state]
            });
            global.out.table(&["node", "accelerators", "bmc", "ssh", "pool", "state"], rows.collect());
        }
        _ => {
            let mut groups: BTreeMap<[String; 5], Vec<&str>> = BTreeMap::new();
            for node in nodes {
                groups.entry(summary(node)).or_default().push(node.id.as_str());
            }
            // Lines and not a table: a folded list of names must not be broken inside its brackets.
            for (same, ids) in &groups {
                global.out.line(format!("{:>6}  {}", ids.len(), super::output::escape(&same.join(" · "))));
                global.out.line(format!("        {}", fold(ids.iter().copied())));
            }
            global.talk(format!("{}: {} nodes; `-o json` has every field", inventory.site, nodes.len()));
        }
    }
}

/// What nodes of one group share.
fn summary(node: &Node) -> [String; 5] {
    let state = node.hold.as_ref().map_or_else(|| "may be planned".to_owned(), |why| format!("held: {why}"));
    let protocol = match node.bmc.protocol {
        crate::model::BmcProtocol::Redfish => "redfish",
        crate::model::BmcProtocol::Ipmi => "ipmi",
    };
    [
        format!("{} {} {}", node.accelerator.count, node.accelerator.kind, node.accelerator.model),
        protocol.to_owned(),
        node.stack.clone().unwrap_or_else(|| "the playbook's stack".to_owned()),
        node.pool.clone(),
        state,
    ]
}

/// Nodes for which the same lines decided are told together.
fn why(global: &Global, loaded: &LoadedInventory, nodes: &[&Node], field: &str) -> Result {
    let mut groups: Vec<(Vec<crate::spec::Provenance>, Vec<&NodeId>)> = Vec::new();
    let mut index: BTreeMap<Vec<(String, usize, usize, String)>, usize> = BTreeMap::new();
    for node in nodes {
        let lines = loaded.why(&node.id, field);
        let key = lines.iter().map(|p| (p.file.clone(), p.line, p.column, p.field.clone())).collect();
        let place = *index.entry(key).or_insert_with(|| {
            groups.push((lines, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, ids)) = groups.get_mut(place) {
            ids.push(&node.id);
        }
    }
    if groups.iter().all(|(lines, _)| lines.is_empty()) {
        let shown = crate::spec::diagnostic::quote(field);
        let failure = Failure::new(Exit::USAGE, format!("no line sets `{shown}` for these nodes"));
        return Err(match nearest_field(field).filter(|near| near != field) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => {
                failure.hint("it has its built-in value, or there is no such field; `bringup show NODE -o json` lists the fields")
            }
        });
    }
    match global.out.format {
        Format::Json => {
            let all: Vec<Value> = groups.iter().map(|(lines, ids)| json!({"nodes": ids, "lines": lines})).collect();
            global.out.json(&json!({"format_version": 1, "field": field, "groups": all}));
        }
        Format::Ndjson => {
            for (lines, ids) in &groups {
                global.out.line(json!({"format_version": 1, "field": field, "nodes": ids, "lines": lines}).to_string());
            }
        }
        _ => {
            for (lines, ids) in &groups {
                global.out.line(fold(ids.iter().map(|id| id.as_str())));
                if lines.is_empty() {
                    global.out.line("  no line: built-in value, or none");
                }
                for p in lines {
                    let mark = if p.decides { "→" } else { " " };
                    global.out.line(format!("  {mark} {}  {}:{}:{}  ({})", p.field, p.file, p.line, p.column, p.layer));
                    global.out.line(format!("      {}", super::output::escape(&p.text)));
                }
            }
        }
    }
    Ok(Exit::DONE)
}
