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
#[command(after_help = "Examples:
  bringup power status rack=a017
  bringup power cycle 'a017-s[01-04]' --yes
  bringup power ac a017-s03 --yes --deadline 15m

`restart` asks the operating system, `reset` does not; both end on, and are proved by the node's new start. `ac` takes the
standby power away and gives it back: the BMC and every card in the node start anew, and firmware that waits for that
becomes active. It is proved by the BMC's own new start. Nothing that a BMC shows proves `nmi`: it ends as unclear.")]
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
    /// Longest wait for a node to get there [default: 2m; 10m for `reset`, `restart` and `ac`]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    deadline: Option<Duration>,
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
    /// Ask the operating system to restart
    Restart,
    /// Restart now
    Reset,
    /// Send a non-maskable interrupt, for a crash dump
    Nmi,
    /// Take the standby power away and give it back
    Ac,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Of the chassis power.
    Power(PowerVerb),
    /// Of the mains.
    Mains,
}

impl Want {
    /// What a person should know before agreeing; none where the verb says it all.
    fn risk(self) -> Option<&'static str> {
        match self {
            Self::Mains => Some(
                "`power ac` cuts the standby power: a node that runs is cut off, its BMC is away for minutes, every card starts anew, and \
                 firmware that waits becomes active. Never while anything is being flashed.",
            ),
            Self::Power(PowerVerb::Nmi) => Some("an NMI stops the operating system, with or without a dump, as it is set up."),
            Self::Power(_) => None,
        }
    }

    fn touch(self) -> Touch {
        match self {
            Self::Power(verb) => Touch::Power(verb),
            Self::Mains => Touch::CycleMains,
        }
    }

    /// A BMC needs 3–5 min until it is back, a large node as long until its start shows (firmware.md §1.2).
    fn patience(self) -> Duration {
        match self {
            Self::Mains | Self::Power(PowerVerb::Restart | PowerVerb::Reset) => Duration::from_secs(600),
            Self::Power(_) => Duration::from_secs(120),
        }
    }
}

impl Deed {
    fn want(self) -> Option<Want> {
        Some(match self {
            Self::Status => return None,
            Self::On => Want::Power(PowerVerb::On),
            Self::Off => Want::Power(PowerVerb::Off),
            Self::Graceful => Want::Power(PowerVerb::Graceful),
            Self::Cycle => Want::Power(PowerVerb::Cycle),
            Self::Restart => Want::Power(PowerVerb::Restart),
            Self::Reset => Want::Power(PowerVerb::Reset),
            Self::Nmi => Want::Power(PowerVerb::Nmi),
            Self::Ac => Want::Mains,
        })
    }

    fn name(self) -> String {
        match self.want() {
            None => "status".to_owned(),
            Some(Want::Power(verb)) => verb.to_string(),
            Some(Want::Mains) => "ac".to_owned(),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or nobody agreed to the change. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let (want, name) = (args.deed.want(), args.deed.name());
    if want.is_some() {
        let example = format!("bringup power {name} SELECT");
        deed::must_name(global, args.nodes.as_deref(), "a power change", &example)?;
    }
    if args.then_off && want != Some(Want::Power(PowerVerb::Graceful)) {
        return Err(Failure::new(Exit::USAGE, "--then-off goes with `power graceful` only")
            .hint("bringup power graceful SELECT --then-off"));
    }
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    if let Some(want) = want {
        if let Some(risk) = want.risk() {
            global.talk(risk);
        }
        deed::agree(global, &format!("power {name}"), &selected, args.yes, want == Want::Power(PowerVerb::On))?;
    }
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let Some(want) = want else {
        let leaving = Mutex::new(JoinSet::new());
        let told = deed::each(global, nodes, |node| status(&hands, &leaving, node)).await;
        leaving.into_inner().unwrap_or_else(PoisonError::into_inner).join_all().await;
        deed::show(global, &name, "power", &told);
        return Ok(exit(&told));
    };
    let book = HandBook::open(global).await?;
    let order = Order { want, then_off: args.then_off, deadline: args.deadline.unwrap_or_else(|| want.patience()) };
    let told = deed::each(global, nodes, |node| change(&hands, &book, node, order)).await;
    deed::show(global, &name, "power", &told);
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
    want: Want,
    then_off: bool,
    deadline: Duration,
}

async fn change(hands: &Hands, book: &HandBook, node: &Node, order: Order) -> Told {
    let told = touch(hands, book, node, order.want, order.deadline).await;
    if !order.then_off || told.went != Went::Unclear {
        return told;
    }
    // The system did not hear, or did not obey (IP-13): a second touch, journaled as one, that looks first and cuts nothing that is off.
    let graceful = told.detail.unwrap_or_default();
    let told = touch(hands, book, node, Want::Power(PowerVerb::Off), order.deadline).await;
    Told { detail: Some(format!("{graceful}; then {}", told.detail.unwrap_or_default())), ..told }
}

async fn touch(hands: &Hands, book: &HandBook, node: &Node, want: Want, deadline: Duration) -> Told {
    let set = |bmc: std::sync::Arc<dyn WholeBmc>| async move {
        match want {
            Want::Power(verb) => bmc.set_power(verb, deadline).await,
            Want::Mains => bmc.ac_cycle(deadline).await,
        }
    };
    deed::touch(hands, book, node, &want.touch(), set).await
}
