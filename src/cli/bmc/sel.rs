//! `bmc sel`.

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::global::Global;

/// Shows or clears the event log of each BMC
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc sel rack=a017")]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// It is not built yet.
pub async fn run(args: Args, _global: &Global) -> Result {
    drop(args.nodes);
    Err(Failure::new(Exit::ERROR, "this verb is not built yet"))
}
