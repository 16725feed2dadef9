//! `power`: asks or changes the chassis power of many nodes at once. Every change is journaled before it is made and read back after it; a lost
//! answer is told as unclear.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::BufRead as _;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;

use super::failure::{Exit, Failure, Result};
use super::folded::{Told, Went, exit, rows};
use super::global::{Global, parse_duration};
use super::handbook::HandBook;
use super::hands::{Hands, Trust};
use super::lanes::lanes;
use super::output::Format;
use super::site;
use crate::bmc::{Bmc, Written};
use crate::model::{EvidenceNote, Inventory, Node, NodeId, PowerVerb, Reading, Touch};
use crate::spec::fold;

/// Most nodes that are asked at once, those that do not answer apart. More make a farm of 1,000 no faster on two cores.
const AT_ONCE: usize = 256;

/// Asks or changes the chassis power
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup power status rack=a017\n  bringup power cycle 'a017-s[01-04]' --yes")]
pub struct Args {
    /// What to do
    #[arg(value_enum, value_name = "VERB")]
    deed: Deed,
    /// Nodes; all of them for `status`, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
    /// Longest wait for a node to get there
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deed {
    /// Ask, change nothing
    Status,
    /// Power on
    On,
    /// Cut power now
    Off,
    /// Ask the operating system to shut down
    Graceful,
    /// Cut power, then power on
    Cycle,
}

impl Deed {
    fn verb(self) -> Option<PowerVerb> {
        match self {
            Self::Status => None,
            Self::On => Some(PowerVerb::On),
            Self::Off => Some(PowerVerb::Off),
            Self::Graceful => Some(PowerVerb::Graceful),
            Self::Cycle => Some(PowerVerb::Cycle),
        }
    }

    fn name(self) -> String {
        self.verb().map_or_else(|| "status".to_owned(), |verb| verb.to_string())
    }
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
    verb: String,
    nodes: Vec<Row<'a>>,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed to the change. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let verb = args.deed.verb();
    if verb.is_some() && args.nodes.is_none() && global.flags.select.is_none() {
        return Err(Failure::new(Exit::USAGE, "a power change needs to be told which nodes")
            .hint(format!("bringup power {} SELECT; `*` means every node", args.deed.name())));
    }
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    if let Some(verb) = verb {
        agree(global, verb, &selected, args.yes)?;
    }
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = reach(&loaded.inventory, &hands, &selected).await?;
    let Some(verb) = verb else {
        let told = each(global, nodes, |node| status(&hands, node)).await;
        show(global, args.deed, &told);
        return Ok(exit(&told));
    };
    let book = HandBook::open(global).await?;
    let told = each(global, nodes, |node| change(&hands, &book, node, verb, args.deadline)).await;
    show(global, args.deed, &told);
    book.close()?;
    Ok(exit(&told))
}

/// Asks a person, or goes on without one only where nothing is lost.
fn agree(global: &Global, verb: PowerVerb, nodes: &BTreeSet<NodeId>, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let count = nodes.len();
    let names = fold(nodes.iter().map(NodeId::as_str));
    if !global.interactive() {
        if verb == PowerVerb::On {
            return Ok(());
        }
        return Err(
            Failure::new(Exit::USAGE, format!("power {verb} of {count} nodes ({names}) was not agreed to")).hint("add --yes")
        );
    }
    global.talk(format!("power {verb} of {count} nodes: {names}\nType `yes` to go on:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::ERROR, "not agreed to; nothing was touched")) }
}

/// Every secret is resolved before the first packet: a missing one touches nothing.
async fn reach<'a>(inventory: &'a Inventory, hands: &Hands, selected: &BTreeSet<NodeId>) -> Result<Vec<&'a Node>> {
    let nodes: Vec<&Node> = selected.iter().filter_map(|id| inventory.nodes.get(id)).collect();
    hands.prepare_bmcs(nodes.iter().copied()).await;
    for node in &nodes {
        hands.bmc(node)?;
    }
    Ok(nodes)
}

/// Does it for each. As NDJSON, every answer is told when it comes: some nodes may take their whole deadline.
async fn each<'a, F: Future<Output = Told>>(
    global: &Global,
    nodes: Vec<&'a Node>,
    one: impl Fn(&'a Node) -> F,
) -> BTreeMap<NodeId, Told> {
    let one = &one;
    let mut ends = pin!(lanes(nodes, AT_ONCE, |node: &'a Node| async move { (node.id.clone(), one(node).await) }));
    let mut told = BTreeMap::new();
    while let Some((node, answer)) = ends.next().await {
        if global.out.format == Format::Ndjson
            && let Ok(line) = serde_json::to_string(&Row { node: &node, told: &answer })
        {
            global.out.line(line);
        }
        told.insert(node, answer);
    }
    told
}

async fn status(hands: &Hands, node: &Node) -> Told {
    let bmc = match hands.bmc(node) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    let told = match bmc.power().await {
        Ok(Reading::Known(state)) => Told::well(state.to_string()),
        Ok(Reading::Absent) => Told::unclear("unknown", "the BMC has no chassis power"),
        Ok(Reading::Unknown { why }) => Told::unclear("unknown", why),
        Err(error) => Told::error(&error),
    };
    bmc.close().await;
    told
}

/// Another machine than the facts record behind the address, or a BMC that cannot say who it is: it is not touched.
async fn stranger(bmc: &dyn Bmc, node: &Node) -> Option<Told> {
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

async fn change(hands: &Hands, book: &HandBook, node: &Node, verb: PowerVerb, deadline: Duration) -> Told {
    let bmc = match hands.bmc(node) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    if let Some(refusal) = stranger(bmc.as_ref(), node).await {
        bmc.close().await;
        return refusal;
    }
    let touch = Touch::Power(verb);
    if !book.announce(&node.id, &touch).await {
        return Told { went: Went::Failed, answer: "not journaled".to_owned(), detail: Some("so it was not touched".to_owned()) };
    }
    let written = bmc.set_power(verb, deadline).await;
    let told = Told::written(&written);
    let seen = told.detail.clone().unwrap_or_default();
    let note = match written {
        Written::Applied(_) => EvidenceNote::Applied(seen),
        Written::NotApplied(_) => EvidenceNote::NotApplied(seen),
        Written::Ambiguous(_) => EvidenceNote::Ambiguous(seen),
    };
    book.tell(&node.id, &touch, note).await;
    bmc.close().await;
    told
}

fn show(global: &Global, deed: Deed, told: &BTreeMap<NodeId, Told>) {
    let all = || told.iter().map(|(node, told)| Row { node, told });
    match global.out.format {
        Format::Json => {
            global.out.json(&Report { format_version: 1, verb: deed.name(), nodes: all().collect() });
        }
        Format::Ndjson => {}
        _ => global.out.table(&["nodes", "count", "power", "seen"], rows(told)),
    }
}
