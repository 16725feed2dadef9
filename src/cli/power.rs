//! `power`: asks or changes the chassis power of many nodes at once. Every change is journaled before it is made and read back after it; a lost
//! answer is told as unclear.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::deed;
use super::failure::{Exit, Failure, Result};
use super::folded::{Told, Went, exit};
use super::global::{Global, parse_duration};
use super::handbook::HandBook;
use super::hands::{Hands, Trust};
use super::site;
use crate::bmc::WholeBmc;
use crate::model::{Node, PowerVerb, Reading, Touch};

/// Asks or changes the chassis power
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup power status rack=a017\n  bringup power cycle 'a017-s[01-04]' --yes")]
pub struct Args {
    /// What to do
    #[arg(value_enum, value_name = "VERB")]
    deed: Deed,
    /// Nodes; all of them for `status`, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
    /// With `graceful`: cut the power of a node that is still on when the deadline has passed
    #[arg(long)]
    then_off: bool,
    /// Longest wait for a node to get there
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deed {
    /// Ask, change nothing
    Status,
    /// Power on
    On,
    /// Cut power now
    Off,
    /// Ask the operating system to shut down
    Graceful,
    /// Cut power, then power on
    Cycle,
}

impl Deed {
    fn verb(self) -> Option<PowerVerb> {
        match self {
            Self::Status => None,
            Self::On => Some(PowerVerb::On),
            Self::Off => Some(PowerVerb::Off),
            Self::Graceful => Some(PowerVerb::Graceful),
            Self::Cycle => Some(PowerVerb::Cycle),
        }
    }

    fn name(self) -> String {
        self.verb().map_or_else(|| "status".to_owned(), |verb| verb.to_string())
    }
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed to the change. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let verb = args.deed.verb();
    if verb.is_some() {
        let example = format!("bringup power {} SELECT", args.deed.name());
        deed::must_name(global, args.nodes.as_deref(), "a power change", &example)?;
    }
    if args.then_off && verb != Some(PowerVerb::Graceful) {
        return Err(Failure::new(Exit::USAGE, "--then-off goes with `power graceful` only")
            .hint("bringup power graceful SELECT --then-off"));
    }
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    if let Some(verb) = verb {
        deed::agree(global, &format!("power {verb}"), &selected, args.yes, verb == PowerVerb::On)?;
    }
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let Some(verb) = verb else {
        let leaving = Mutex::new(JoinSet::new());
        let told = deed::each(global, nodes, |node| status(&hands, &leaving, node)).await;
        leaving.into_inner().unwrap_or_else(PoisonError::into_inner).join_all().await;
        deed::show(global, &args.deed.name(), "power", &told);
        return Ok(exit(&told));
    };
    let book = HandBook::open(global).await?;
    let order = Order { verb, then_off: args.then_off, deadline: args.deadline };
    let told = deed::each(global, nodes, |node| change(&hands, &book, node, order)).await;
    deed::show(global, &args.deed.name(), "power", &told);
    book.close()?;
    Ok(exit(&told))
}

/// Asks one; its session is ended beside, so that the answer need not wait for that.
async fn status(hands: &Hands, leaving: &Mutex<JoinSet<()>>, node: &Node) -> Told {
    let bmc = match hands.bmc(node) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    let told = match bmc.power().await {
        Ok(Reading::Known(state)) => Told::well(state.to_string()),
        Ok(Reading::Absent) => Told::unclear("unknown", "the BMC has no chassis power"),
        Ok(Reading::Unknown { why }) => Told::unclear("unknown", why),
        Err(error) => Told::error(&error),
    };
    leaving.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move { bmc.close().await });
    told
}

/// What is to be done to each node.
#[derive(Debug, Clone, Copy)]
struct Order {
    verb: PowerVerb,
    then_off: bool,
    deadline: Duration,
}

async fn change(hands: &Hands, book: &HandBook, node: &Node, order: Order) -> Told {
    let told = touch(hands, book, node, order.verb, order.deadline).await;
    if !order.then_off || told.went != Went::Unclear {
        return told;
    }
    // The system did not hear, or did not obey (IP-13): a second touch, journaled as one, that looks first and cuts nothing that is off.
    let graceful = told.detail.unwrap_or_default();
    let told = touch(hands, book, node, PowerVerb::Off, order.deadline).await;
    Told { detail: Some(format!("{graceful}; then {}", told.detail.unwrap_or_default())), ..told }
}

async fn touch(hands: &Hands, book: &HandBook, node: &Node, verb: PowerVerb, deadline: Duration) -> Told {
    let set = |bmc: std::sync::Arc<dyn WholeBmc>| async move { bmc.set_power(verb, deadline).await };
    deed::touch(hands, book, node, &Touch::Power(verb), set).await
}
