//! `verify --cabling`: asks each BMC and each system who they are and what is at the far ends of their cables, and holds it against the facts. It
//! reads; what the files should say instead is printed as a patch, and a person applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::hands::{Hands, Trust};
use super::lanes::lanes;
use super::output::{Format, escape};
use super::site;
use crate::bmc::{BmcError, BmcTrouble, WholeBmc};
use crate::model::{Inventory, MachineReport, Node, NodeId, Reading};
use crate::planner::{Finding, Mixed, Place, Proof, Witness, prove};
use crate::shell::Shell;
use crate::spec::LoadedInventory;
use crate::survey;

/// Most nodes that are asked at once, those that do not answer apart: each holds one TLS and one SSH connection.
const AT_ONCE: usize = 256;

/// Runs the verb.
///
/// # Errors
/// Mistakes in the input, a secret that cannot be had, no node that answered, or a patch that cannot be written.
pub async fn run(nodes: Option<&str>, patch: Option<&Path>, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let nodes = site::select(global, &loaded.inventory, nodes)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let witnesses = ask_all(&loaded.inventory, &hands, &nodes).await?;
    let proof = prove(&loaded.inventory.nodes, &witnesses);
    let patched = Patched::of(&loaded, &proof.mixed);
    if let Some(file) = patch {
        std::fs::write(file, &patched.whole)
            .map_err(|e| Failure::new(Exit::ERROR, format!("write the patch {}: {e}", file.display())))?;
    }
    match global.out.format {
        Format::Text => text(global, &proof, &patched, patch),
        Format::Json => global.out.json(&json!({
            "format_version": 1,
            "nodes": by_node(&proof).into_iter().map(|(id, found)| node_json(id, &found)).collect::<Vec<_>>(),
            "mixed": proof.mixed.iter().zip(&patched.each).map(|(m, p)| mixed_json(m, p)).collect::<Vec<_>>(),
            "patch": patched.whole,
        })),
        Format::Ndjson => {
            for (id, found) in by_node(&proof) {
                global.out.line(node_json(id, &found).to_string());
            }
            for (mixed, patch) in proof.mixed.iter().zip(&patched.each) {
                global.out.line(mixed_json(mixed, patch).to_string());
            }
        }
        other => {
            return Err(Failure::new(Exit::USAGE, format!("verify as {other:?} is not supported by this version"))
                .hint("use -o text, json or ndjson"));
        }
    }
    finish(global, &loaded.inventory, &proof)
}

/// Asks every node.
///
/// # Errors
/// A secret cannot be had; nobody was asked anything.
async fn ask_all(inventory: &Inventory, hands: &Hands, nodes: &BTreeSet<NodeId>) -> Result<BTreeMap<NodeId, Witness>> {
    let written = || nodes.iter().filter_map(|id| inventory.nodes.get(id));
    hands.prepare_bmcs(written()).await;
    hands.prepare_shells(written()).await;
    let mut opened = Vec::new();
    for node in written() {
        opened.push((node, hands.whole(node)?, hands.shell(node)?));
    }
    use futures_util::StreamExt as _;
    let asked = lanes(opened, AT_ONCE, |(node, bmc, shell)| async move {
        let witness = ask(node, bmc.as_ref(), shell.as_ref()).await;
        hands.leave(&node.id).await;
        (node.id.clone(), witness)
    });
    Ok(asked.collect().await)
}

async fn ask(node: &Node, bmc: &dyn WholeBmc, shell: &dyn Shell) -> Witness {
    let (identity, report) = tokio::join!(bmc.identity(), survey::machine(shell));
    let (serial, uuid, certificate) = match identity {
        Ok(told) => (told.serial, told.uuid, bmc.certificate().map(|shown| shown.to_string())),
        Err(error) => {
            let why = || Reading::unknown(error_words(&error));
            // It was not logged in to, and showed who it is all the same.
            let shown = match &error.kind {
                BmcTrouble::Certificate { seen } => Some(seen.to_ascii_lowercase()),
                _ => None,
            };
            (why(), why(), shown)
        }
    };
    let (own_serial, own_uuid, nics) = match report {
        Reading::Known(MachineReport { system, nics, .. }) => (system.serial, system.uuid, Reading::Known(nics)),
        other => {
            // A system that is not the ramdisk says who it is, and nothing of its cables.
            let silent = || other.clone().map(|_| Vec::new());
            match survey::system(shell).await {
                Reading::Known(facts) => (facts.serial, facts.uuid, silent()),
                Reading::Absent => (Reading::Absent, Reading::Absent, silent()),
                Reading::Unknown { why } => (Reading::unknown(&why), Reading::Unknown { why }, silent()),
            }
        }
    };
    let bmc_certificate =
        certificate.map_or_else(|| Reading::unknown(format!("the BMC of {} showed none", node.id)), Reading::Known);
    Witness { bmc_serial: serial, bmc_uuid: uuid, bmc_certificate, serial: own_serial, uuid: own_uuid, nics }
}

fn error_words(error: &BmcError) -> String {
    super::folded::Told::error(error).detail.unwrap_or_else(|| error.to_string())
}

/// The change of the files, for each pair and for all.
pub(super) struct Patched {
    /// For each pair or ring, its own, or why there is none.
    pub each: Vec<std::result::Result<String, String>>,
    /// All of them in one.
    pub whole: String,
}

impl Patched {
    pub(super) fn of(loaded: &LoadedInventory, mixed: &[Mixed]) -> Self {
        let each: Vec<_> = mixed.iter().map(|m| loaded.can_move(&m.moves).map(|()| loaded.patch(&m.moves))).collect();
        let can = mixed.iter().zip(&each).filter(|(_, patch)| patch.is_ok());
        let whole = loaded.patch(can.flat_map(|(m, _)| &m.moves));
        Self { each, whole }
    }
}

/// The pairs for people: what is where, what hands could do, and why the files cannot be changed, where they cannot.
pub(super) fn pairs(mixed: &[Mixed], patched: &Patched) -> String {
    let mut text = String::new();
    for (mixed, patch) in mixed.iter().zip(&patched.each) {
        text.push_str(&format!("{} (by {})\n", mixed.says, mixed.by.join(", ")));
        match patch {
            Ok(_) => text.push_str(&format!("    the patch makes the facts say so; or {}\n", mixed.or)),
            Err(why) => text.push_str(&format!("    no patch: {why}; {}\n", mixed.or)),
        }
    }
    escape(&text)
}

fn by_node(proof: &Proof) -> BTreeMap<&NodeId, Vec<&Finding>> {
    let mut nodes: BTreeMap<&NodeId, Vec<&Finding>> = BTreeMap::new();
    for found in &proof.findings {
        nodes.entry(&found.node).or_default().push(found);
    }
    nodes
}

/// How a finding stands, as a word, and what else is to be said of it.
fn standing(found: &Finding) -> (&'static str, String) {
    let whose = |(node, what): &(NodeId, crate::planner::What)| match &found.what == what {
        true => node.to_string(),
        false => format!("{node}, {what}"),
    };
    match &found.place {
        Place::Right => ("right", String::new()),
        Place::Swapped(with) => ("swapped", format!("with {}", whose(with))),
        Place::Ring(ring) => ("ring", ring.iter().map(whose).collect::<Vec<_>>().join(" → ")),
        Place::Moved(home) => ("elsewhere", format!("it belongs to {}", whose(home))),
        Place::Twice(others) => ("twice", format!("also seen of {}", others.iter().map(whose).collect::<Vec<_>>().join(", "))),
        Place::Stranger => ("unknown", "it belongs to nobody in the inventory".to_owned()),
        Place::Unheard(why) => ("not heard", why.clone()),
    }
}

fn node_json(node: &NodeId, found: &[&Finding]) -> Value {
    let one = |f: &&Finding| {
        let (word, more) = standing(f);
        let more = (!more.is_empty()).then_some(more);
        json!({ "what": f.what, "standing": word, "wanted": f.wanted, "seen": f.seen, "detail": more })
    };
    json!({ "node": node, "right": found.iter().all(|f| f.place == Place::Right), "findings": found.iter().map(one).collect::<Vec<_>>() })
}

fn mixed_json(mixed: &Mixed, patch: &std::result::Result<String, String>) -> Value {
    json!({
        "kind": mixed.kind, "places": mixed.places, "by": mixed.by, "says": mixed.says, "or": mixed.or,
        "patch": patch.as_ref().ok(), "no_patch": patch.as_ref().err(),
    })
}

fn text(global: &Global, proof: &Proof, patched: &Patched, file: Option<&Path>) {
    let wrong: Vec<&Finding> = proof.findings.iter().filter(|f| f.place != Place::Right).collect();
    if !wrong.is_empty() {
        let row = |f: &&Finding| {
            let (word, more) = standing(f);
            let seen = f.seen.clone().unwrap_or_else(|| "?".to_owned());
            vec![f.node.to_string(), f.what.to_string(), word.to_owned(), f.wanted.clone(), seen, more]
        };
        global.out.table(&["node", "what", "standing", "wanted", "seen", "why"], wrong.iter().map(row).collect());
    }
    if !proof.mixed.is_empty() {
        global.out.line(format!("\n{}", pairs(&proof.mixed, patched).trim_end()));
    }
    match file {
        Some(file) if !patched.whole.is_empty() => {
            let file = file.display();
            global.talk(format!("\nsaved: {file}\nnext:  patch -p1 <{file}, or git apply {file}"));
        }
        None if !patched.whole.is_empty() => global.out.line(format!("\n{}", escape(patched.whole.trim_end()))),
        _ => {}
    }
}

/// The sum for people, and the exit code.
fn finish(global: &Global, inventory: &Inventory, proof: &Proof) -> Result {
    let unheard = proof.findings.iter().filter(|f| matches!(f.place, Place::Unheard(_))).count();
    let right = proof.findings.iter().filter(|f| f.place == Place::Right).count();
    let all = proof.findings.len();
    let cables =
        if inventory.nodes.values().any(|n| !n.cabling.is_empty()) { "" } else { "; no cable is written in cabling/*.csv" };
    global.talk(format!("{right} of {all} are where they are written, {unheard} were not heard{cables}"));
    if all > 0 && unheard == all {
        let why = proof.findings.iter().find_map(|f| match &f.place {
            Place::Unheard(why) => Some(why.as_str()),
            _ => None,
        });
        return Err(Failure::new(Exit::UNREACHABLE, format!("nothing was heard of any node: {}", why.unwrap_or_default()))
            .hint("bringup bmc info SELECT"));
    }
    Ok(if proof.whole() { Exit::DONE } else { Exit::SOME_FAILED })
}
