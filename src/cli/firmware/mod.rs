//! `firmware …`: what runs on the nodes, and one image pushed to chosen nodes by hand. One file a verb.

mod progress;
mod push;
mod show;

use super::failure::Result;
use super::global::Global;

/// Shows firmware, and pushes one image by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup firmware show rack=a017\n\n\
    Rollouts of firmware bundles (waves, gates, dependencies, activation) are not part of this program yet.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Show(show::Args),
    Push(push::Args),
}

/// Runs the verb.
///
/// # Errors
/// As the verb beneath says.
pub async fn run(args: Args, global: &Global) -> Result {
    match args.what {
        What::Show(args) => show::run(args, global).await,
        What::Push(args) => Box::pin(push::run(args, global)).await,
    }
}
