//! `bmc reset`: restarts BMCs, journaled, and proves it: a new start time or away, then three stable reads. The nodes themselves go on running.

use std::time::Duration;

use crate::cli::failure::Result;
use crate::cli::folded::exit;
use crate::cli::global::{Global, parse_duration};
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, site};
use crate::model::Touch;

/// Restarts BMCs, and proves it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc reset a017-s03 --yes")]
pub struct Args {
    /// Nodes; never all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Longest wait for a BMC to be back and stable
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    deadline: Duration,
    /// Do not ask before
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    deed::must_name(global, args.nodes.as_deref(), "a restart of BMCs", "bringup bmc reset SELECT")?;
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    deed::agree(global, "restart of the BMCs", &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let book = HandBook::open(global).await?;
    let (hands, log) = (&hands, &book);
    let told = deed::each(global, nodes, |node| {
        deed::touch(hands, log, node, &Touch::ResetBmc, |bmc| async move { bmc.reset_bmc(args.deadline).await })
    })
    .await;
    deed::show(global, "reset", "BMC", &told);
    book.close()?;
    Ok(exit(&told))
}
