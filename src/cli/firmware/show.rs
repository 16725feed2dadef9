//! `firmware show`: the version of every component that runs, and the one that waits. Equal answers of many nodes share a line.

use std::collections::BTreeMap;

use crate::bmc::quirk::Glob;
use crate::bmc::updating::FirmwareItem;
use crate::cli::bmc::heard::hear;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, escape};
use crate::model::{NodeId, Reading, Version};
use crate::spec::fold;

/// Shows which firmware runs, and which waits for an activation
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup firmware show rack=a017 --component 'BMC|BIOS*'\n  bringup firmware show '*' --waits"
)]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Only components whose name fits, such as `BIOS*`
    #[arg(long, value_name = "PATTERN")]
    component: Option<String>,
    /// Only components with a version that waits
    #[arg(long)]
    waits: bool,
}

/// Runs the verb.
///
/// # Errors
/// The pattern, the selection or the inventory is wrong, or a secret is missing.
pub async fn run(args: Args, global: &Global) -> Result {
    let glob = match &args.component {
        Some(pattern) => Some(Glob::new(pattern).map_err(|why| Failure::new(Exit::USAGE, why))?),
        None => None,
    };
    let (glob, waits) = (&glob, args.waits);
    let wanted = |item: &FirmwareItem| {
        glob.as_ref().is_none_or(|glob| glob.fits(item.component.as_str())) && (!waits || item.staged != Reading::Absent)
    };
    let heard = hear(global, args.nodes.as_deref(), &Trust::default(), "firmware", |bmc| async move {
        let items = bmc.firmware_items().await?;
        Ok(items.map(|items| items.into_iter().filter(wanted).collect::<Vec<_>>()))
    })
    .await?;
    let mut groups: BTreeMap<[String; 4], Vec<&NodeId>> = BTreeMap::new();
    for (node, items) in heard.well() {
        for item in items.known().into_iter().flatten() {
            let updateable = match item.updateable {
                Reading::Known(true) => "yes",
                Reading::Known(false) => "no",
                Reading::Absent | Reading::Unknown { .. } => "-",
            };
            let cells = [item.component.to_string(), word(&item.running), word(&item.staged), updateable.to_owned()];
            groups.entry(cells).or_default().push(node);
        }
    }
    let row = |([component, running, waits, updateable], nodes): ([String; 4], Vec<&NodeId>)| {
        let names = fold(nodes.iter().map(|node| node.as_str()));
        vec![component, running, waits, updateable, nodes.len().to_string(), names]
    };
    let table = groups.into_iter().map(row).collect();
    heard.show_rows(global, &["component", "runs", "waits", "updateable", "count", "nodes"], table);
    if !matches!(global.out.format, Format::Json | Format::Ndjson) {
        for (node, items) in heard.well() {
            tell(global, node, items);
        }
    }
    Ok(heard.exit())
}

fn word(version: &Reading<Version>) -> String {
    match version {
        Reading::Known(version) => version.to_string(),
        Reading::Absent => "-".to_owned(),
        Reading::Unknown { .. } => "unknown".to_owned(),
    }
}

/// What is not known, and why.
fn tell(global: &Global, node: &NodeId, items: &Reading<Vec<FirmwareItem>>) {
    let say = |what: &str, why: &str| global.talk(escape(&format!("{node}: {what}: {why}")));
    match items {
        Reading::Known(items) => {
            for item in items {
                for why in [item.running.why_unknown(), item.staged.why_unknown()].into_iter().flatten() {
                    say(item.component.as_str(), why);
                }
            }
        }
        Reading::Absent => say("firmware", "the BMC has no inventory of it"),
        Reading::Unknown { why } => say("firmware", why),
    }
}
