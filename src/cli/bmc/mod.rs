//! `bmc …`: what the BMCs say of themselves, and how they are kept. One file a verb.

mod accounts;
mod bios;
mod cert;
mod chassis;
mod doctor;
mod dossier;
mod dossier_tables;
mod fru;
pub mod heard;
mod info;
mod media;
mod raw;
mod reset;
mod sel;
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
    Sel(Box<sel::Args>),
    Fru(fru::Args),
    Bios(bios::Args),
    Media(media::Args),
    Accounts(accounts::Args),
    Cert(cert::Args),
    Reset(reset::Args),
    Doctor(doctor::Args),
    Chassis(chassis::Args),
    Raw(raw::Args),
}

impl Args {
    /// The verb takes signals itself.
    #[must_use]
    pub fn takes_signals(&self) -> bool {
        matches!(&self.what, What::Sel(args) if args.takes_signals())
    }
}

/// Runs the verb.
///
/// # Errors
/// As the verb beneath says.
pub async fn run(args: Args, global: &Global) -> Result {
    match args.what {
        What::Info(args) => info::run(args, global).await,
        What::Sensors(args) => sensors::run(args, global).await,
        What::Sel(args) => sel::run(*args, global).await,
        What::Fru(args) => fru::run(args, global).await,
        What::Bios(args) => bios::run(args, global).await,
        What::Media(args) => media::run(args, global).await,
        What::Accounts(args) => accounts::run(args, global).await,
        What::Cert(args) => cert::run(args, global).await,
        What::Reset(args) => reset::run(args, global).await,
        What::Doctor(args) => doctor::run(args, global).await,
        What::Chassis(args) => chassis::run(args, global).await,
        What::Raw(args) => raw::run(args, global).await,
    }
}
