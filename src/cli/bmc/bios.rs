//! `bmc bios`: BIOS attributes, in force and pending; with `--set`, checked against the BMC's registry, written in one request and read back. What takes
//! effect takes it at the next boot, which is not made here.

use std::collections::BTreeMap;

use crate::bmc::quirk::Glob;
use crate::bmc::settings::{Bios, BiosOrder, BiosValue};
use crate::cli::bmc::heard::hear;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::exit;
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::output::escape;
use crate::cli::{deed, site};
use crate::journal::{Journal, Touched};
use crate::model::{EvidenceNote, NodeId, Reading, Touch};

/// Shows or sets BIOS attributes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc bios a017-s03 --get 'Sriov*'\n  bringup bmc bios rack=a017 --set SriovGlobalEnable=Enabled --yes"
)]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Show the attributes whose names fit; `*` shows all
    #[arg(long, value_name = "PATTERN")]
    get: Option<String>,
    /// Show the attributes that wait for the next boot
    #[arg(long)]
    pending: bool,
    /// Set an attribute; it takes effect at the next boot (repeat for more)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair, conflicts_with_all = ["get", "pending"])]
    set: Vec<(String, String)>,
    /// Set them although others wait that bringup did not write: the next boot takes those too
    #[arg(long, requires = "set")]
    beside_pending: bool,
    /// Do not ask before a change
    #[arg(long, requires = "set")]
    yes: bool,
}

fn parse_pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed to the change. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    if args.set.is_empty() { show(args, global).await } else { set(args, global).await }
}

async fn show(args: Args, global: &Global) -> Result {
    let pattern = match &args.get {
        Some(pattern) => Some(Glob::new(pattern).map_err(|why| Failure::new(Exit::USAGE, why))?),
        None => None,
    };
    let heard = hear(global, args.nodes.as_deref(), &Trust::default(), "bios", |bmc| async move { bmc.bios().await }).await?;
    let named = |name: &str| pattern.as_ref().is_some_and(|p| p.fits(name));
    if args.pending || pattern.is_some() {
        heard.show(global, &["node", "attribute", "in force", "pending"], |node, bios| {
            let Reading::Known(bios) = bios else { return vec![vec![node.to_string(), "-".into(), unknown(bios), "-".into()]] };
            let wanted = |name: &&String| named(name) || (args.pending && bios.pending.contains_key(*name));
            let row = |name: &String| {
                let cell = |values: &BTreeMap<String, BiosValue>| {
                    values.get(name).map_or_else(|| "-".to_owned(), |v| escape(&v.to_string()))
                };
                vec![node.to_string(), escape(name), cell(&bios.current), cell(&bios.pending)]
            };
            let names: std::collections::BTreeSet<&String> = bios.current.keys().chain(bios.pending.keys()).collect();
            names.into_iter().filter(wanted).map(row).collect()
        });
    } else {
        heard.show(global, &["node", "registry", "attributes", "pending", "applied at", "last"], |node, bios| {
            vec![match bios {
                Reading::Known(bios) => summary(node, bios),
                other => vec![node.to_string(), unknown(other), "-".into(), "-".into(), "-".into(), "-".into()],
            }]
        });
    }
    Ok(heard.exit())
}

fn unknown(bios: &Reading<Bios>) -> String {
    match bios {
        Reading::Unknown { why } => format!("unknown: {}", escape(why)),
        _ => "none".to_owned(),
    }
}

fn summary(node: &NodeId, bios: &Bios) -> Vec<String> {
    let pending: Vec<String> = bios.pending.iter().take(4).map(|(name, value)| escape(&format!("{name}={value}"))).collect();
    let more = bios.pending.len().saturating_sub(pending.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    vec![
        node.to_string(),
        bios.registry.known().map_or_else(|| "not named".to_owned(), |name| escape(name)),
        bios.current.len().to_string(),
        if pending.is_empty() { "none".to_owned() } else { format!("{}{more}", pending.join(", ")) },
        bios.apply.known().map_or_else(|| "not told".to_owned(), |times| escape(&times.join(", "))),
        escape(&bios.last.join("; ")),
    ]
}

async fn set(args: Args, global: &Global) -> Result {
    let example = "bringup bmc bios SELECT --set NAME=VALUE";
    deed::must_name(global, args.nodes.as_deref(), "a change of BIOS attributes", example)?;
    let mut attributes = BTreeMap::new();
    for (name, value) in args.set {
        // It stands in the process list already; it must not go into the journal too.
        if name.to_ascii_lowercase().contains("passw") {
            return Err(Failure::new(
                Exit::USAGE,
                format!("{} is a password, which is not set as an attribute here", name.escape_debug()),
            ));
        }
        if attributes.insert(name.clone(), value).is_some() {
            return Err(Failure::new(Exit::USAGE, format!("{} is set twice", name.escape_debug())));
        }
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    deed::agree(global, &format!("BIOS attributes ({})", words(&attributes)), &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let written = earlier(global)?;
    let book = HandBook::open(global).await?;
    let touch = Touch::SetBios { attributes: attributes.clone() };
    let (hands, log, touch, attributes, written) = (&hands, &book, &touch, &attributes, &written);
    let told = deed::each(global, nodes, |node| async move {
        let order = BiosOrder {
            set: text(attributes),
            ours: written.get(&node.id).map(text).unwrap_or_default(),
            beside_others: args.beside_pending,
        };
        deed::touch(hands, log, node, touch, |bmc| async move { bmc.set_bios(&order).await }).await
    })
    .await;
    deed::show(global, "bios", "bios", &told);
    if told.values().any(|t| t.detail.as_deref().is_some_and(|d| d.contains("was not written by bringup"))) {
        global.talk("`bringup bmc bios SELECT --pending` shows what waits; --beside-pending writes beside it");
    }
    book.close()?;
    Ok(exit(&told))
}

fn words(attributes: &BTreeMap<String, String>) -> String {
    attributes.iter().map(|(name, value)| escape(&format!("{name}={value}"))).collect::<Vec<_>>().join(", ")
}

fn text(attributes: &BTreeMap<String, String>) -> BTreeMap<String, BiosValue> {
    attributes.iter().map(|(name, value)| (name.clone(), BiosValue::Text(value.clone()))).collect()
}

/// What this program wrote before, by the journal: by node, the newest value of each attribute. What was certainly not written does not count.
fn earlier(global: &Global) -> Result<BTreeMap<NodeId, BTreeMap<String, String>>> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let all = Journal::touched(&path, |touch| matches!(touch, Touch::SetBios { .. }))?;
    let newest = |touched: Vec<Touched>| {
        let mut values = BTreeMap::new();
        for one in touched {
            if let (Touch::SetBios { attributes }, false) = (one.touch, matches!(one.seen, Some(EvidenceNote::NotApplied(_)))) {
                values.extend(attributes);
            }
        }
        values
    };
    Ok(all.into_iter().map(|(node, touched)| (node, newest(touched))).collect())
}
