//! `console`: a node's serial console over IPMI (SOL), shown, typed into and recorded. What was missed is marked in both; the terminal is given back
//! as it was, whatever happens.

pub mod escape;
pub mod guard;
pub mod record;
mod terminal;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::record::Record;
use self::view::{Ending, View};
use super::failure::{Exit, Failure, Result};
use super::global::{Global, parse_duration};
use super::handbook::HandBook;
use super::hands::{Hands, Trust};
use super::{output, site};
use crate::bmc::ipmi::sol::ConsoleOptions;
use crate::bmc::{Bmc as _, BmcError, BmcTrouble};
use crate::model::{EvidenceNote, Node, Touch};

/// Shows a node's serial console (IPMI SOL), and records it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keys, each at the beginning of a line: `~.` leaves, `~B` makes a break, `~?` tells these, `~~` types one `~`.\n\
    Without a terminal on standard input nothing is typed. Colours and cursor movements of the node reach the terminal;\n\
    what would set its title or clipboard, or make it type, does not. The record keeps every byte.\n\n\
    Example:\n  bringup console a017-s03\n  bringup console a017-s03 --record boot.log --for 5m < /dev/null"
)]
pub struct Args {
    /// Node
    #[arg(value_name = "NODE")]
    node: String,
    /// Where it is recorded, with times; appended to. By default a new file below the state directory
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Only look; keys are not sent
    #[arg(long)]
    no_write: bool,
    /// Take the console away from another client that has it
    #[arg(long)]
    take_over: bool,
    /// Leave after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
    /// How long it is tried to get a lost console back
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    patience: Duration,
    /// UDP port of the IPMI service of a BMC that the inventory reaches by Redfish; its `bmc.sol_port`, or 623, when left out
    #[arg(long, value_name = "PORT")]
    ipmi_port: Option<u16>,
}

/// Runs the verb.
///
/// # Errors
/// The selection is not one node; the console cannot be had, or was lost for good; the record or the journal cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, Some(&args.node))?;
    let node = match selected.iter().filter_map(|id| loaded.inventory.nodes.get(id)).collect::<Vec<_>>()[..] {
        [one] => one,
        ref several => {
            return Err(Failure::new(Exit::USAGE, format!("`{}` is {} nodes; a console is one", args.node, several.len())));
        }
    };
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default());
    hands.prepare_bmcs(std::iter::once(node)).await;
    let bmc = Arc::new(hands.ipmi(node, args.ipmi_port.or(node.bmc.sol_port).unwrap_or(623))?);
    let path = match &args.record {
        Some(path) => path.clone(),
        None => default_record(global, node)?,
    };
    let writes = terminal::has_keys() && !args.no_write;
    // A run may go on meanwhile: what a console is for.
    let book = HandBook::beside(global)?;
    let touch = Touch::Console { writes, take_over: args.take_over };
    if !book.announce(&node.id, &touch).await {
        book.close()?;
        return Err(Failure::new(Exit::ERROR, "the console was not opened, since it could not be journaled"));
    }
    let options = ConsoleOptions { take_over: args.take_over, patience: args.patience, ..ConsoleOptions::default() };
    let opened = match bmc.console(options).await {
        Ok(console) => Record::open(&path, &format!("console of {} begins", node.id)).map(|record| (console, record)),
        Err(error) => {
            book.tell(&node.id, &touch, EvidenceNote::NotApplied(error.to_string())).await;
            book.close()?;
            bmc.close().await;
            return Err(refused(error));
        }
    };
    let (console, record) = match opened {
        Ok(both) => both,
        Err(error) => {
            book.tell(&node.id, &touch, EvidenceNote::Applied("opened and closed: it could not be recorded".to_owned())).await;
            book.close()?;
            let what = format!("cannot record to {}: {error}", path.display());
            return Err(Failure::new(Exit::ERROR, what).hint("give another --record FILE"));
        }
    };
    greet(global, node, &path, writes, &args);
    let mut view = View::new(global, node, record);
    let ending = view.watch(console, writes, args.time).await;
    bmc.close().await;
    let account = view.account();
    global.talk(format!("\nconsole of {} closed: {account}; recorded in {}", node.id, path.display()));
    book.tell(&node.id, &touch, EvidenceNote::Applied(account)).await;
    book.close()?;
    match ending {
        Ending::Left => Ok(Exit::DONE),
        Ending::Lost(error) => Err(refused(error)),
        Ending::Terminal(error) => Err(Failure::new(Exit::ERROR, format!("cannot set the terminal to raw mode: {error}"))),
    }
}

fn refused(error: BmcError) -> Failure {
    match error.kind {
        BmcTrouble::Busy => Failure::new(Exit::ERROR, error).hint("add --take-over to take it away"),
        BmcTrouble::Unreachable | BmcTrouble::Credentials | BmcTrouble::TimedOut => Failure::new(Exit::UNREACHABLE, error),
        _ => Failure::new(Exit::ERROR, error),
    }
}

/// A new file for each console: `console/NODE-20261122-185726.log` beside the journal.
fn default_record(global: &Global, node: &Node) -> Result<PathBuf> {
    global.state_dir()?;
    let journal = global.journal_path()?;
    let dir = journal.parent().unwrap_or_else(|| Path::new(".")).join("console");
    std::fs::create_dir_all(&dir)
        .map_err(|e| Failure::new(Exit::ERROR, format!("cannot make {}: {e}", dir.display())).hint("give --record FILE"))?;
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Ok(dir.join(format!("{}-{time}.log", node.id)))
}

fn greet(global: &Global, node: &Node, path: &Path, writes: bool, args: &Args) {
    let keys = match (writes, args.no_write) {
        (true, _) => format!("keys go to the node; {}", escape::KEYS),
        (false, true) => "only looking (--no-write); Ctrl-C leaves".to_owned(),
        (false, false) => "only looking (standard input is no terminal); Ctrl-C leaves".to_owned(),
    };
    let name = output::escape(node.id.as_str());
    global.talk(format!("console of {name}, recorded in {}; {keys}", path.display()));
}
