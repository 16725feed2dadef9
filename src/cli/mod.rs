//! The command line: wires the rooms. The only room that prints or exits.

pub mod account;
pub mod apply;
pub mod bench;
pub mod bmc;
pub mod bootkeys;
pub mod bootserver;
pub mod cabling;
pub mod console;
mod deed;
pub mod demo;
mod descriptors;
pub mod diff;
pub mod discover;
pub mod doctor;
pub mod each;
pub mod events;
pub mod exec;
pub mod failure;
pub mod farewell;
pub mod firmware;
pub mod fit;
pub mod folded;
pub mod gate;
pub mod gate_words;
pub mod global;
pub mod handbook;
pub mod hands;
pub mod image;
pub mod init;
pub mod lanes;
pub mod loaders;
pub mod look;
pub mod memory;
pub mod output;
pub mod plan;
pub mod pool;
pub mod power;
pub mod progress;
pub mod push;
pub mod quirks;
pub mod record;
pub mod resume;
pub mod revision;
pub mod runner;
pub mod schema;
pub mod secret;
pub mod serve;
mod serve_dhcp;
mod serve_https;
mod serve_storm;
mod serve_tftp;
pub mod sessionfiles;
pub mod shellfiles;
pub mod show;
pub mod sim;
pub mod site;
pub mod states;
pub mod summary;
pub mod validate;
pub mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use failure::{Exit, Failure, Result};
pub use global::Global;

const EXIT_CODES: &str = "Exit codes:
  0 done or no change · 1 error · 2 changes pending · 3 input invalid
  4 some nodes failed, budget kept · 5 held: budget breached · 6 locked by another run
  7 stale plan · 8 accelerators refused by the gate · 9 refused by policy
  10 unreachable or wrong credentials before any change · 64 usage · 130 interrupted, resumable";

/// Turns a written rack into a proven one.
#[derive(Debug, Parser)]
#[command(name = "bringup", version, about, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    flags: global::Flags,
    #[command(subcommand)]
    verb: Verb,
}

/// One variant a verb; each is a file of this room.
#[derive(Debug, Subcommand)]
enum Verb {
    // In the order of the contract.
    Init(init::Args),
    Validate(validate::Args),
    Show(show::Args),
    Schema(schema::Args),
    Diff(diff::Args),
    Discover(discover::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Resume(resume::ResumeArgs),
    Abort(resume::AbortArgs),
    Release(resume::ReleaseArgs),
    Status(account::StatusArgs),
    History(account::HistoryArgs),
    Power(power::Args),
    Bmc(bmc::Args),
    Firmware(firmware::Args),
    Console(console::Args),
    Exec(exec::Args),
    Push(push::Args),
    Verify(verify::Args),
    Pool(pool::Args),
    Serve(serve::Args),
    Image(image::Args),
    Report(account::ReportArgs),
    Sim(sim::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Completions(shellfiles::CompletionsArgs),
    Man(shellfiles::ManArgs),
}

/// The command line as clap holds it: for completions, manual pages and tests.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

async fn dispatch(verb: Verb, global: &Global) -> Result {
    match verb {
        Verb::Init(args) => init::run(args, global).await,
        Verb::Validate(args) => validate::run(args, global).await,
        Verb::Show(args) => show::run(args, global).await,
        Verb::Schema(args) => schema::run(args, global).await,
        Verb::Diff(args) => diff::run(args, global).await,
        Verb::Discover(args) => discover::run(args, global).await,
        Verb::Plan(args) => plan::run(args, global).await,
        Verb::Apply(args) => apply::run(args, global).await,
        Verb::Resume(args) => resume::resume(args, global).await,
        Verb::Abort(args) => resume::abort(args, global).await,
        Verb::Release(args) => resume::release(args, global).await,
        Verb::Status(args) => account::status(&args, global),
        Verb::History(args) => account::history(&args, global),
        Verb::Power(args) => power::run(args, global).await,
        Verb::Bmc(args) => Box::pin(bmc::run(args, global)).await,
        Verb::Firmware(args) => Box::pin(firmware::run(args, global)).await,
        Verb::Console(args) => console::run(args, global).await,
        Verb::Exec(args) => exec::run(args, global).await,
        Verb::Push(args) => push::run(args, global).await,
        Verb::Verify(args) => verify::run(args, global).await,
        Verb::Pool(args) => pool::run(args, global).await,
        Verb::Serve(args) => serve::run(args, global).await,
        Verb::Image(args) => image::run(args, global).await,
        Verb::Report(args) => account::report(&args, global),
        Verb::Sim(args) => sim::run(args, global).await,
        Verb::Demo(args) => demo::run(args, global).await,
        Verb::Doctor(args) => doctor::run(args, global).await,
        Verb::Completions(args) => shellfiles::completions(&args, global),
        Verb::Man(args) => shellfiles::man(&args, global),
    }
}

/// Threads for disk work at most. Nodes queue for them instead of getting one each: tokio's own bound is 512, all of which a thousand nodes
/// would start only to wait for the same database.
const BLOCKING_THREADS: usize = 16;

/// Reads the arguments, runs the verb, prints its failure, returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::command().try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not failures.
            let code = if error.use_stderr() { Exit::USAGE.0 } else { Exit::DONE.0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let global = Global::new(cli.flags);
    descriptors::raise();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            global.out.complain(format!("error: cannot start the runtime: {error}"));
            return ExitCode::from(Exit::ERROR.0);
        }
    };
    // The others take signals themselves, or open nothing on a BMC.
    let guarded = match &cli.verb {
        Verb::Bmc(args) => !args.takes_signals(),
        Verb::Power(_) | Verb::Firmware(_) | Verb::Discover(_) | Verb::Plan(_) | Verb::Verify(_) | Verb::Pool(_) => true,
        _ => false,
    };
    let result = runtime.block_on(async {
        let verb = Box::pin(dispatch(cli.verb, &global));
        if guarded { global.farewells.guard(verb).await } else { verb.await }
    });
    // A blocking read that hangs must not keep the program from ending.
    runtime.shutdown_background();
    match result {
        Ok(exit) => ExitCode::from(exit.0),
        Err(failure) => {
            global.out.complain(failure.render(global.out.colour_err));
            ExitCode::from(failure.exit.0)
        }
    }
}
