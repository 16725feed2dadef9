//! The words of a site: inventory, playbook and selection, loaded the same way for every verb.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure, Result};
use super::global::{Global, today};
use crate::model::{Digest, Inventory, NodeId, Playbook};
use crate::spec::{self, Diagnostics};

/// Everything that was written about a site.
#[derive(Debug)]
pub struct Site {
    /// Expanded inventory.
    pub inventory: Inventory,
    /// Playbook with everything that it names.
    pub playbook: Playbook,
    /// SHA-256 of every file that was read.
    pub inputs: BTreeMap<String, Digest>,
    /// Nodes that this call is about.
    pub selected: BTreeSet<NodeId>,
}

/// Turns mistakes into a failure after showing all of them.
///
/// # Errors
/// The mistakes, as exit code 3.
pub fn accept<T>(global: &Global, loaded: std::result::Result<T, Diagnostics>) -> Result<T> {
    loaded.map_err(|mistakes| {
        if global.out.is_json() {
            global.out.json(&mistakes.to_json());
        } else {
            global.out.complain(mistakes.render(global.out.colour_err));
        }
        let number = mistakes.errors();
        let plural = if number == 1 { "" } else { "s" };
        Failure::new(Exit::INVALID, format!("{number} mistake{plural} in the input; nothing was touched"))
    })
}

/// Loads the inventory.
///
/// # Errors
/// Exit code 3 with every mistake.
pub fn inventory(global: &Global) -> Result<spec::LoadedInventory> {
    let loaded = accept(global, spec::load_inventory(&global.flags.inventory, &today()))?;
    if !loaded.warnings.is_empty() {
        global.talk(loaded.warnings.render(global.out.colour_err));
    }
    Ok(loaded)
}

/// The playbook's file: the one given, or the only one in `playbooks/`.
///
/// # Errors
/// None or several are there and none was given.
pub fn playbook_file(global: &Global) -> Result<PathBuf> {
    if let Some(file) = &global.flags.playbook {
        return Ok(file.clone());
    }
    let dir = Path::new("playbooks");
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| entries.filter_map(std::result::Result::ok).map(|e| e.path()).collect())
        .unwrap_or_default();
    found.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    found.sort();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(Exit::USAGE, "no playbook was given and playbooks/ holds none").hint("give one with -p FILE")),
        several => {
            let names: Vec<_> = several.iter().map(|p| p.display().to_string()).collect();
            Err(Failure::new(Exit::USAGE, "several playbooks are there and none was given")
                .hint(format!("give one with -p: {}", names.join(", "))))
        }
    }
}

/// Loads inventory and playbook, takes the selection (`--select`, else all nodes), and holds the words against each other and against the gate.
///
/// # Errors
/// Exit code 3 with every mistake, or 64 for a bad selection.
pub fn site(global: &Global) -> Result<Site> {
    load(global, false)
}

/// As [`site`], and hashes every artifact that the playbook names: for verbs that would send them to nodes.
///
/// # Errors
/// As [`site`]; exit code 3 also for an artifact that is missing or differs.
pub fn site_with_artifacts(global: &Global) -> Result<Site> {
    load(global, true)
}

fn load(global: &Global, artifacts: bool) -> Result<Site> {
    let loaded = inventory(global)?;
    let file = playbook_file(global)?;
    let words = accept(global, spec::load_playbook(&file, &today()))?;
    let selected = select(global, &loaded.inventory, None)?;
    let mut found = words.check_nodes(selected.iter().filter_map(|id| loaded.inventory.nodes.get(id)));
    found.absorb(words.check_gate(&super::gate_words::gate()));
    if artifacts {
        found.absorb(words.check_artifacts());
    }
    found.absorb(words.warnings);
    if found.refused() {
        accept(global, Err::<(), _>(found))?;
    } else if !found.is_empty() {
        global.talk(found.render(global.out.colour_err));
    }
    let mut inputs = loaded.inputs;
    inputs.extend(words.playbook.inputs.iter().map(|(k, v)| (k.clone(), v.clone())));
    Ok(Site { inventory: loaded.inventory, playbook: words.playbook, inputs, selected })
}

/// Takes the selection: `expr` first, else `--select`, else all nodes.
///
/// # Errors
/// A selection that cannot be read or that selects nothing.
pub fn select(global: &Global, inventory: &Inventory, expr: Option<&str>) -> Result<BTreeSet<NodeId>> {
    let Some(expr) = expr.or(global.flags.select.as_deref()) else {
        return Ok(inventory.nodes.keys().cloned().collect());
    };
    let states = super::states::phases(global);
    let fact = |node: &NodeId, key: &str| if key == "state" { states.get(node).cloned() } else { None };
    spec::select(expr, inventory, &fact).map_err(|error| {
        Failure::new(Exit::USAGE, error)
            .hint("try `a[001-010]-s*`, `rack=a017 & accel=nvidia - label:hold` or `state=quarantined`")
    })
}
