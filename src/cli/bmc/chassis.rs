//! `bmc chassis`: what the chassis can do beside power and boot, over IPMI: its lamp, why it was last started, what it does when the mains come back.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;

use crate::bmc::ipmi::chassis::{ChassisView, Lamp, RestorePolicy};
use crate::bmc::{Bmc as _, Written};
use crate::cli::failure::Result;
use crate::cli::folded::{Told, exit, rows};
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::lanes::lanes;
use crate::cli::output::{Format, escape};
use crate::cli::{deed, site};
use crate::model::{Node, NodeId, Reading, Touch};

/// Shows or sets the lamp by which a node is found, and what it does when the mains come back (IPMI)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc chassis rack=a017\n  bringup bmc chassis a017-s03 --lamp 60s\n  \
    bringup bmc chassis rack=a017 --restore previous --yes")]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// The lamp: `on`, `off`, or a time up to 255s
    #[arg(long, value_name = "LAMP", value_parser = lamp, conflicts_with = "restore")]
    lamp: Option<Lamp>,
    /// What the node does when the mains come back
    #[arg(long, value_enum, value_name = "WHAT")]
    restore: Option<Restore>,
    /// UDP port of the IPMI service of a BMC that the inventory reaches by Redfish
    #[arg(long, value_name = "PORT", default_value_t = 623)]
    ipmi_port: u16,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Restore {
    /// Stay off
    Off,
    /// Go back to what it was
    Previous,
    /// Power up
    On,
}

impl Restore {
    fn policy(self) -> RestorePolicy {
        match self {
            Self::Off => RestorePolicy::Off,
            Self::Previous => RestorePolicy::Previous,
            Self::On => RestorePolicy::On,
        }
    }
}

fn lamp(text: &str) -> std::result::Result<Lamp, String> {
    match text {
        "on" => Ok(Lamp::On),
        "off" => Ok(Lamp::Off),
        time => {
            let seconds = crate::cli::global::parse_duration(time)?.as_secs();
            match u8::try_from(seconds) {
                Ok(seconds @ 1..) => Ok(Lamp::For(seconds)),
                _ => Err("a lamp burns for 1s to 255s, or `on` or `off`".to_owned()),
            }
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed to a change. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    let change = match (args.lamp, args.restore) {
        (Some(lamp), _) => Some((Change::Lamp(lamp), format!("lamp {}", lamp_words(lamp)))),
        (None, Some(restore)) => Some((Change::Restore(restore.policy()), format!("restore {}", restore.policy().name()))),
        (None, None) => None,
    };
    if let Some((_, what)) = &change {
        deed::must_name(global, args.nodes.as_deref(), &format!("chassis: {what}"), "bringup bmc chassis SELECT --lamp on")?;
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    if let Some((change, what)) = &change {
        // A lamp hurts nobody.
        deed::agree(global, &format!("chassis: {what}"), &selected, args.yes, matches!(change, Change::Lamp(_)))?;
    }
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let (hands, port) = (&hands, args.ipmi_port);
    let Some((change, what)) = change else { return show(global, hands, nodes, port).await };
    let book = HandBook::open(global).await?;
    let (log, touch) = (&book, &Touch::Chassis { what });
    let told = deed::each(global, nodes, |node| async move { one(hands, log, node, touch, change, port).await }).await;
    deed::show(global, "chassis", "chassis", &told);
    book.close()?;
    Ok(exit(&told))
}

#[derive(Clone, Copy)]
enum Change {
    Lamp(Lamp),
    Restore(RestorePolicy),
}

fn lamp_words(lamp: Lamp) -> String {
    match lamp {
        Lamp::Off => "off".to_owned(),
        Lamp::On => "on".to_owned(),
        Lamp::For(seconds) => format!("for {seconds} s"),
    }
}

async fn one(hands: &Hands, book: &HandBook, node: &Node, touch: &Touch, change: Change, port: u16) -> Told {
    let bmc = match hands.ipmi(node, port) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    if let Some(refusal) = deed::stranger(&bmc, node).await {
        bmc.close().await;
        return refusal;
    }
    if !book.announce(&node.id, touch).await {
        bmc.close().await;
        return deed::not_journaled();
    }
    let written: Written = match change {
        Change::Lamp(lamp) => bmc.set_lamp(lamp).await,
        Change::Restore(policy) => bmc.set_restore_policy(policy).await,
    };
    book.tell(&node.id, touch, deed::note(&written)).await;
    bmc.close().await;
    Told::written(&written)
}

async fn show(global: &Global, hands: &Hands, nodes: Vec<&Node>, port: u16) -> Result {
    let mut ends = std::pin::pin!(lanes(nodes, deed::AT_ONCE, |node: &Node| async move {
        let answer = match hands.ipmi(node, port) {
            Ok(bmc) => {
                let answer = bmc.chassis().await.map_err(|error| Told::error(&error));
                bmc.close().await;
                answer
            }
            Err(failure) => Err(Told::unclear("no hand", failure.error.to_string())),
        };
        (node.id.clone(), answer)
    }));
    let mut answers: BTreeMap<NodeId, std::result::Result<ChassisView, Told>> = BTreeMap::new();
    while let Some((node, answer)) = ends.next().await {
        if global.out.format == Format::Ndjson {
            global.out.line(line(&node, &answer).to_string());
        }
        answers.insert(node, answer);
    }
    match global.out.format {
        Format::Json => {
            let nodes: Vec<_> = answers.iter().map(|(node, answer)| line(node, answer)).collect();
            global.out.json(&serde_json::json!({ "format_version": 1, "nodes": nodes }));
        }
        Format::Ndjson => {}
        _ => text(global, &answers),
    }
    let ends =
        answers.into_iter().map(|(node, answer)| (node, answer.map_or_else(|told| told, |_| Told::well("heard")))).collect();
    Ok(exit(&ends))
}

fn line(node: &NodeId, answer: &std::result::Result<ChassisView, Told>) -> serde_json::Value {
    serde_json::json!({ "node": node, "chassis": answer.as_ref().ok(), "error": answer.as_ref().err() })
}

fn text(global: &Global, answers: &BTreeMap<NodeId, std::result::Result<ChassisView, Told>>) {
    let word = |reading: &Reading<String>| match reading {
        Reading::Known(text) => escape(text),
        Reading::Absent => "none".to_owned(),
        Reading::Unknown { .. } => "not told".to_owned(),
    };
    let told: Vec<Vec<String>> = answers
        .iter()
        .filter_map(|(node, answer)| {
            let view = answer.as_ref().ok()?;
            let policy = word(&view.policy.clone().map(|policy| policy.name().to_owned()));
            Some(vec![node.to_string(), policy, word(&view.lamp), word(&view.restart_cause), view.troubles.join(", ")])
        })
        .collect();
    if !told.is_empty() {
        global.out.table(&["node", "mains restored", "lamp", "last started by", "troubles"], told);
    }
    let whys: BTreeMap<NodeId, Told> =
        answers.iter().filter_map(|(node, answer)| Some((node.clone(), answer.as_ref().err()?.clone()))).collect();
    if !whys.is_empty() {
        global.out.table(&["nodes", "count", "trouble", "seen"], rows(&whys));
    }
}
