//! Emptying event logs: agreed to, journaled, sent once, read back.

use super::Args;
use crate::cli::failure::Result;
use crate::cli::folded::exit;
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, site};
use crate::model::Touch;

/// Empties the log of each named node.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or nobody agreed.
pub async fn run(args: Args, global: &Global) -> Result {
    deed::must_name(global, args.nodes.as_deref(), "emptying event logs", "bringup bmc sel SELECT --clear")?;
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    deed::agree(global, "emptying of the event logs", &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let book = HandBook::open(global).await?;
    let (hands, log, which) = (&hands, &book, args.log.as_deref());
    let touch = &Touch::ClearLog { log: args.log.clone() };
    let told =
        deed::each(global, nodes, |node| deed::touch(hands, log, node, touch, |bmc| async move { bmc.clear_log(which).await }))
            .await;
    deed::show(global, "clear", "log", &told);
    book.close()?;
    Ok(exit(&told))
}
