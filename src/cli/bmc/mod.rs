//! `bmc …`: what the BMCs say of themselves, and how they are kept. One file a verb.

mod accounts;
mod bios;
mod chassis;
mod fru;
pub mod heard;
mod info;
mod media;
mod raw;
mod reset;
mod sensors;

use super::failure::Result;
use super::global::Global;

/// Asks and keeps the BMCs themselves
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc info rack=a017")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Info(info::Args),
    Sensors(sensors::Args),
    Fru(fru::Args),
    Bios(bios::Args),
    Media(media::Args),
    Accounts(accounts::Args),
    Reset(reset::Args),
    Chassis(chassis::Args),
    Raw(raw::Args),
}

/// Runs the verb.
///
/// # Errors
/// As the verb beneath says.
pub async fn run(args: Args, global: &Global) -> Result {
    match args.what {
        What::Info(args) => info::run(args, global).await,
        What::Sensors(args) => sensors::run(args, global).await,
        What::Fru(args) => fru::run(args, global).await,
        What::Bios(args) => bios::run(args, global).await,
        What::Media(args) => media::run(args, global).await,
        What::Accounts(args) => accounts::run(args, global).await,
        What::Reset(args) => reset::run(args, global).await,
        What::Chassis(args) => chassis::run(args, global).await,
        What::Raw(args) => raw::run(args, global).await,
    }
}
