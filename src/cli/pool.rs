//! `bringup pool`: who works, who does not and why. Nodes enter through the gate only.

use std::collections::BTreeMap;

use serde::Serialize;

use super::failure::{Exit, Failure, Result};
use super::gate::{Gated, examine_all, held};
use super::global::Global;
use super::handbook::HandBook;
use super::hands::{Hands, Trust};
use super::output::Format;
use super::site::{inventory, select, site};
use super::verify;
use crate::journal::Journal;
use crate::model::{DeviceVerdict, EvidenceNote, NodeId, Phase, Touch, Verdict};
use crate::pool::{Causes, Ledger, Member, Pool as _, Standing, capacity};
use crate::spec::fold;

/// Shows and changes which nodes work
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup pool capacity")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists every node that the pool knows
    #[command(after_help = "Example:\n  bringup pool list -o json")]
    List,
    /// Takes nodes out of work
    #[command(after_help = "Example:\n  bringup pool drain a001-s03 --why 'fan 2 rattles'")]
    Drain {
        /// Nodes: names, ranges and labels
        #[arg(value_name = "SELECT")]
        nodes: String,
        /// Reason, which `pool capacity` tells
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Asks the gate, and puts to work what it lets pass
    #[command(after_help = "Example:\n  bringup pool admit a001-s03")]
    Admit {
        /// Nodes: names, ranges and labels
        #[arg(value_name = "SELECT")]
        nodes: String,
    },
    /// Counts every accelerator that was bought: works, or is idle and why
    #[command(after_help = "Example:\n  bringup pool capacity")]
    Capacity,
}

/// Runs the verb.
///
/// # Errors
/// The pool cannot be opened, or the verb's own.
pub async fn run(args: Args, global: &Global) -> Result {
    match args.verb {
        Verb::List => list(global).await,
        Verb::Drain { nodes, why } => drain(global, &nodes, &why).await,
        Verb::Admit { nodes } => Box::pin(admit(global, &nodes)).await,
        Verb::Capacity => count(global).await,
    }
}

fn ledger(global: &Global) -> Result<Ledger> {
    Ok(Ledger::open(&global.state_dir()?.join("pool.db"))?)
}

#[derive(Serialize)]
struct Row<'a> {
    node: &'a NodeId,
    pool: &'a str,
    working: bool,
    devices: &'a [DeviceVerdict],
    withheld: &'a [DeviceVerdict],
    why: Option<&'a str>,
    since: String,
}

fn row(member: &Member) -> Row<'_> {
    let since =
        jiff::Timestamp::from_millisecond(member.since_ms).map_or_else(|_| "?".to_owned(), |t| t.strftime("%FT%TZ").to_string());
    let (working, devices, withheld, why) = match &member.standing {
        Standing::Working { devices, withheld } => (true, devices.as_slice(), withheld.as_slice(), None),
        Standing::Drained { why } => (false, &[][..], &[][..], Some(why.as_str())),
    };
    Row { node: &member.node, pool: &member.pool, working, devices, withheld, why, since }
}

async fn list(global: &Global) -> Result {
    let members = ledger(global)?.list().await?;
    let rows: Vec<Row<'_>> = members.iter().map(row).collect();
    if global.out.format != Format::Text {
        return documents(global, "members", &rows);
    }
    let cells = |r: &Row<'_>| {
        let standing = if !r.working {
            "drained"
        } else if r.withheld.is_empty() {
            "working"
        } else {
            "degraded"
        };
        let pool = if r.pool.is_empty() { "-" } else { r.pool };
        let withheld = || r.withheld.iter().map(|d| format!("{} {}", d.device, d.verdict)).collect::<Vec<_>>().join(", ");
        let why = r.why.map_or_else(withheld, str::to_owned);
        vec![r.node.to_string(), pool.to_owned(), standing.to_owned(), r.devices.len().to_string(), r.since.clone(), why]
    };
    global.out.table(&["node", "pool", "standing", "accelerators", "since", "why"], rows.iter().map(cells).collect());
    Ok(Exit::DONE)
}

fn documents<T: Serialize>(global: &Global, name: &str, rows: &[T]) -> Result {
    match global.out.format {
        Format::Json => global.out.json(&serde_json::json!({ "format_version": 1, name: rows })),
        Format::Ndjson => {
            for row in rows {
                global.out.line(serde_json::to_string(row)?);
            }
        }
        other => {
            return Err(Failure::new(Exit::USAGE, format!("the pool as {other:?} is not supported by this version"))
                .hint("use -o text, json or ndjson"));
        }
    }
    Ok(Exit::DONE)
}

async fn drain(global: &Global, nodes: &str, why: &str) -> Result {
    let why = why.trim();
    if why.is_empty() || why.len() > 500 {
        return Err(Failure::new(Exit::USAGE, "--why needs a reason of 1 to 500 bytes"));
    }
    let loaded = inventory(global)?;
    let ledger = ledger(global)?;
    let mut worked = Vec::new();
    let selected = select(global, &loaded.inventory, Some(nodes))?;
    // A run under way drains its nodes itself and does not mind that a person does.
    let (book, touch) = (HandBook::beside(global)?, Touch::Drain { why: why.to_owned() });
    for node in &selected {
        if !book.announce(node, &touch).await {
            break;
        }
        let did_work = ledger.drain(node, why).await?;
        book.tell(node, &touch, EvidenceNote::Applied(if did_work { "out of work" } else { "it did not work" }.to_owned())).await;
        if did_work {
            worked.push(node);
        }
    }
    book.close()?;
    if global.out.is_json() {
        let drained: Vec<_> = selected.iter().map(|n| serde_json::json!({ "node": n, "worked": worked.contains(&n) })).collect();
        return documents(global, "drained", &drained);
    }
    let rest = selected.len() - worked.len();
    if !worked.is_empty() {
        global.out.line(format!("drained: {}", fold(worked.iter().map(|n| n.as_str()))));
    }
    if rest > 0 {
        global.talk(format!("{rest} of {} nodes did not work; the reason is kept", selected.len()));
    }
    Ok(Exit::DONE)
}

async fn admit(global: &Global, nodes: &str) -> Result {
    // A run that provisions these nodes admits them itself, when it has ended with them.
    let book = HandBook::open(global).await?;
    let site = site(global)?;
    let selected = select(global, &site.inventory, Some(nodes))?;
    held(selected.iter().filter_map(|id| site.inventory.nodes.get(id)))?;
    let ledger = ledger(global)?;
    let hands = Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global);
    let mut gated = examine_all(global, &site, &hands, &selected).await?;
    let mut rows = Vec::new();
    let mut admitted = Vec::new();
    for one in &mut gated {
        let (devices, withheld) = one.admission.as_ref().map_or((0, 0), |key| (key.devices().len(), key.withheld().len()));
        let whole = one.whole();
        let outcome = match (one.admission.take(), whole) {
            (None, _) => "refused",
            (Some(key), whole) => {
                let note = format!("{} of {} accelerators work", key.devices().len(), one.bought);
                if !book.announce(&one.node, &Touch::Admit).await {
                    return book.close().map(|()| Exit::ERROR);
                }
                ledger.admit(key).await?;
                book.tell(&one.node, &Touch::Admit, EvidenceNote::Applied(note)).await;
                admitted.push(one.node.clone());
                if whole { "admitted" } else { "degraded" }
            }
        };
        rows.push((outcome, devices, withheld, one.worst().unwrap_or_default()));
    }
    book.close()?;
    if global.out.is_json() {
        let each = |(g, (outcome, devices, withheld, why)): (&Gated, &(&str, usize, usize, String))| {
            serde_json::json!({ "node": g.node, "outcome": outcome, "devices": devices, "withheld": withheld, "verdict": g.judged.verdict,
                                "why": why, "unreached": g.unreached })
        };
        let nodes: Vec<_> = gated.iter().zip(&rows).map(each).collect();
        global.out.json(&serde_json::json!({ "format_version": 1, "nodes": nodes }));
    } else {
        let cells = gated.iter().zip(&rows).map(|(g, (outcome, devices, _, why))| {
            let why = g.unreached.clone().unwrap_or_else(|| why.clone());
            vec![g.node.to_string(), (*outcome).to_owned(), format!("{devices}/{}", g.bought), why]
        });
        global.out.table(&["node", "outcome", "working", "why"], cells.collect());
    }
    if gated.iter().all(|g| g.unreached.is_some()) {
        return verify::finish(global, &gated);
    }
    let whole = rows.iter().all(|(outcome, ..)| *outcome == "admitted");
    Ok(if whole { Exit::DONE } else { Exit::GATE })
}

async fn count(global: &Global) -> Result {
    let loaded = inventory(global)?;
    let ledger = ledger(global)?;
    let mut causes = Causes { nodes: last_words(global), devices: BTreeMap::new() };
    for (node, device) in ledger.withheld().await? {
        let why = if device.verdict > Verdict::Note { device.why() } else { String::new() };
        let why = if why.is_empty() { "no finding is kept".to_owned() } else { why };
        causes.devices.insert((node, device.device), why);
    }
    let counted = capacity(&loaded.inventory, &ledger.list().await?, &causes);
    if global.out.format != Format::Text {
        return match global.out.format {
            Format::Json => {
                let mut value = serde_json::to_value(&counted)?;
                if let Some(object) = value.as_object_mut() {
                    object.insert("format_version".to_owned(), 1.into());
                }
                global.out.json(&value);
                Ok(Exit::DONE)
            }
            _ => documents(global, "idle", &counted.idle),
        };
    }
    let idle = counted.total - counted.working;
    global.out.line(format!("{} accelerators: {} work, {idle} are idle", counted.total, counted.working));
    if !counted.idle.is_empty() {
        let cells = counted
            .idle
            .iter()
            .map(|i| vec![i.accelerators.to_string(), fold(i.nodes.iter().map(NodeId::as_str)), i.why.clone()]);
        global.out.table(&["idle", "nodes", "why"], cells.collect());
    }
    if !counted.strangers.is_empty() {
        let names = fold(counted.strangers.iter().map(NodeId::as_str));
        global.talk(format!("warning: {names} work and are not in the inventory; they are in no number"));
    }
    Ok(Exit::DONE)
}

/// Why the newest run that touched a node left it out. Without a journal there is nothing to tell.
fn last_words(global: &Global) -> BTreeMap<NodeId, String> {
    let mut words = BTreeMap::new();
    let Ok(path) = global.journal_path() else { return words };
    for run in Journal::runs(&path).unwrap_or_default() {
        for (id, node) in run.state.nodes {
            if matches!(node.phase, Phase::Failed | Phase::Quarantined | Phase::Blocked) {
                let why = node.why.unwrap_or_else(|| "no reason is kept".to_owned());
                words.insert(id, format!("{} by {}: {why}", node.phase, run.id));
            }
        }
    }
    words
}
