//! `bringup validate`: every mistake in every file, at once. Touches no machine and changes no file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::gate_words::gate;
use super::global::today;
use super::{Exit, Failure, Global, Result};
use crate::model::{Inventory, Node};
use crate::spec::{self, Diagnostics};

/// Checks inventory, facts, quirks, playbooks, images, stacks and policies; prints every mistake
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup validate
  bringup -i inventory/kr-ai-1 validate -o json
  bringup -i inventory/kr-ai-1 -p playbooks/gpu-bringup.yaml -s accel=nvidia validate

Playbooks, stacks and policies are looked for in playbooks/, images in images/, both in the working directory. With -p
the selected nodes (-s, else all) must also fit that playbook. Exit code 3 when anything is wrong.")]
pub struct Args {}

/// Checks and tells.
///
/// # Errors
/// Exit code 3 when anything is wrong, after all mistakes have been shown.
pub async fn run(_args: Args, global: &Global) -> Result {
    let (inventory, mut found) = match spec::load_inventory(&global.flags.inventory, &today()) {
        Ok(loaded) => (Some(loaded.inventory), loaded.warnings),
        Err(mistakes) => (None, mistakes),
    };
    found.absorb(spec::validate_words(Path::new(""), inventory.as_ref(), Some(&gate()), &today()));
    super::quirks::check(&global.flags.inventory, &mut found);
    if let Some(file) = &global.flags.playbook {
        let selected = inventory.as_ref().map(|i| super::site::select(global, i, None)).transpose()?.unwrap_or_default();
        let nodes: Vec<&Node> = inventory.iter().flat_map(|i| i.nodes.values()).filter(|n| selected.contains(&n.id)).collect();
        found.absorb(playbook(file, &nodes));
    }
    tell(global, inventory.as_ref(), &found);
    match found.errors() {
        0 => Ok(Exit::DONE),
        1 => Err(Failure::new(Exit::INVALID, "1 mistake in the input")),
        n => Err(Failure::new(Exit::INVALID, format!("{n} mistakes in the input"))),
    }
}

/// The playbook that was named, wherever it lies, held against the selected nodes. What lies in `playbooks/` was read already, so
/// that its own mistakes are not told twice.
fn playbook(file: &Path, nodes: &[&Node]) -> Diagnostics {
    let here = file.parent().is_some_and(|folder| folder == Path::new("playbooks"));
    match spec::load_playbook(file, &today()) {
        Ok(loaded) => {
            let mut found = loaded.check_nodes(nodes.iter().copied());
            if !here {
                found.absorb(loaded.check_gate(&gate()));
                found.absorb(loaded.warnings);
            }
            found
        }
        Err(_) if here && file.is_file() => Diagnostics::new(),
        Err(mistakes) => mistakes,
    }
}

fn tell(global: &Global, inventory: Option<&Inventory>, found: &Diagnostics) {
    if !found.is_empty() && !global.out.is_json() {
        let shown = found.render(global.out.colour_err);
        let shown = shown.trim_end();
        if found.refused() { global.out.complain(format!("{shown}\n")) } else { global.talk(format!("{shown}\n")) }
    }
    let files = found.sources.digests();
    if global.out.is_json() {
        let mut value = found.to_json();
        value["ok"] = json!(!found.refused());
        value["files"] = json!(files);
        value["inventory"] = inventory.map_or(json!(null), |i| {
            json!({"site": i.site, "racks": i.racks.len(), "nodes": i.nodes.len(), "accelerators": kinds(i), "digest": i.digest})
        });
        global.out.json(&value);
        return;
    }
    let Some(inventory) = inventory.filter(|_| !found.refused()) else { return };
    let kinds = kinds(inventory);
    let total: u64 = kinds.values().sum();
    let each: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let held = inventory.nodes.values().filter(|n| !n.admit).count();
    let held = if held > 0 { format!(", {held} held") } else { String::new() };
    global.out.line(format!(
        "ok: {}: {} racks, {} nodes{held}, {total} accelerators ({})",
        inventory.site,
        inventory.racks.len(),
        inventory.nodes.len(),
        each.join(", ")
    ));
    let under = |folder: &str| files.keys().filter(|name| Path::new(name).starts_with(folder)).count();
    global.talk(format!(
        "read {} files: {} under playbooks/, {} under images/; inventory {}",
        files.len(),
        under("playbooks"),
        under("images"),
        inventory.digest.short()
    ));
}

/// How many accelerators of each kind were bought.
fn kinds(inventory: &Inventory) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for node in inventory.nodes.values() {
        *kinds.entry(node.accelerator.kind.to_string()).or_default() += u64::from(node.accelerator.count);
    }
    kinds
}
