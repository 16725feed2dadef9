//! `discover`: finds BMCs in address ranges, holds what they say against the facts, shows the difference and writes what is new. What differs is
//! never overwritten unless a person says so, and a BMC at an address where the inventory expects none is listed, never guessed to be a node.

mod compare;
mod probe;
mod ranges;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use self::compare::Standing;
use self::probe::{Met, Stranger};
use self::show::Found;
use super::failure::{Exit, Failure, Result};
use super::global::{Global, parse_duration, today};
use super::hands::{Hands, Trust};
use super::record::{self, Cells};
use super::{secret, site};
use crate::bmc::ipmi::{self, Account, IpmiBmc, Lan};
use crate::bmc::redfish::{FirstContact, Redfish, RedfishOptions};
use crate::bmc::{Password, WholeBmc};
use crate::model::{BmcTrust, Inventory, Node, NodeId, Reading, SecretRef};
use crate::spec::{self, LoadedInventory};

/// Most addresses that are spoken with at once; each takes a TLS connection (65 KiB).
const AT_ONCE: usize = 256;

/// Longest wait for a presence pong: a BMC answers it without any cryptography.
const PONG: Duration = Duration::from_secs(2);

/// Finds BMCs in address ranges and writes what is new of them into the facts
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bringup discover 10.1.0.0/24\n  bringup discover 10.1.0.10-10.1.0.99 --accept-new --yes\n  \
                        bringup discover 10.1.0.0/24 --user root --password env:FACTORY --accept-new"
)]
pub struct Args {
    /// Networks (10.1.0.0/24), ranges (10.1.0.10-10.1.0.99) or addresses; 65,536 addresses at most
    #[arg(value_name = "CIDR", required = true)]
    ranges: Vec<String>,
    #[command(flatten)]
    trust: Trust,
    /// Account to ask BMCs with that the inventory does not know
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Reference to its password (env:NAME, file:PATH, exec:PROGRAM)
    #[arg(long, value_name = "REF", requires = "user")]
    password: Option<String>,
    /// Port of Redfish where the inventory knows no node
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    redfish_port: u16,
    /// Port of IPMI where the inventory knows no node
    #[arg(long, value_name = "PORT", default_value_t = 623)]
    ipmi_port: u16,
    /// Longest wait for an address to take a connection
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    wait: Duration,
    /// IPMI presence pings a second
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Overwrite facts that differ from what was found
    #[arg(long)]
    replace: bool,
    /// Write without asking
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// A range, the inventory or a secret is wrong, or the facts cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let addresses = ranges::addresses(&args.ranges).map_err(|e| Failure::new(Exit::USAGE, e))?;
    let account = account(&args, global)?;
    let loaded = site::accept(global, spec::load_inventory_without_facts(&global.flags.inventory, &today()))?;
    let hands = Hands::new(&global.flags.inventory, None, &args.trust).remembering(global);
    let found = search(&args, global, &loaded.inventory, &hands, addresses, account).await?;
    show::all(global, &found, args.replace);
    let new = to_write(&found, args.replace);
    if found.met.iter().all(|met| met.facts.is_empty()) && found.strangers.is_empty() {
        return Err(Failure::new(Exit::UNREACHABLE, format!("none of {} addresses answered as a BMC", found.asked))
            .hint("look at the route and the firewall, or give --redfish-port and --ipmi-port"));
    }
    if !new.is_empty() {
        if !agreed(global, &args, &new)? {
            return Ok(Exit::CHANGES);
        }
        write(global, &loaded, &new)?;
    }
    let differs = found.met.iter().flat_map(|met| &met.facts).any(|f| f.standing == Standing::Differs);
    Ok(match found.met.iter().any(|met| met.stopped.is_some()) {
        true => Exit::SOME_FAILED,
        false if differs && !args.replace => Exit::CHANGES,
        false => Exit::DONE,
    })
}

/// The account for strangers, its password resolved before the first packet.
fn account(args: &Args, global: &Global) -> Result<Option<(String, zeroize::Zeroizing<String>)>> {
    let (Some(user), Some(reference)) = (&args.user, &args.password) else { return Ok(None) };
    let reference: SecretRef = reference.parse().map_err(|e: crate::model::SecretRefError| Failure::new(Exit::INVALID, e))?;
    let text = secret::text(&reference, &global.flags.inventory).map_err(|e| {
        let hint = e.hint();
        Failure::new(Exit::INVALID, e).hint(hint)
    })?;
    Ok(Some((user.clone(), text)))
}

async fn search(
    args: &Args,
    global: &Global,
    inventory: &Inventory,
    hands: &Hands,
    addresses: BTreeSet<IpAddr>,
    account: Option<(String, zeroize::Zeroizing<String>)>,
) -> Result<Found> {
    let asked = addresses.len();
    let nodes: Vec<&Node> = inventory.nodes.values().filter(|node| addresses.contains(&node.bmc.address.ip())).collect();
    global.talk(format!("asking {asked} addresses, {} of them of nodes in the inventory", nodes.len()));
    hands.prepare_bmcs(nodes.iter().copied()).await;
    let expected: BTreeSet<IpAddr> = nodes.iter().map(|node| node.bmc.address.ip()).collect();
    let met = futures_util::stream::iter(nodes)
        .map(|node| probe::known(hands, node, args.trust.accept_new, args.wait))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<Met>>();
    let others: BTreeSet<IpAddr> = addresses.difference(&expected).copied().collect();
    let strangers = futures_util::stream::iter(others.iter().map(|ip| SocketAddr::new(*ip, args.redfish_port)))
        .map(|address| probe::stranger(address, args.wait))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect::<Vec<Stranger>>();
    let pinged: BTreeSet<SocketAddr> = others.iter().map(|ip| SocketAddr::new(*ip, args.ipmi_port)).collect();
    let (mut met, mut strangers, present) =
        tokio::join!(met, strangers, ipmi::roll_call(&pinged, args.rate, args.wait.min(PONG)));
    let present = present.map_err(|e| Failure::new(Exit::ERROR, e))?;
    // A BMC that speaks both is one BMC.
    let redfish: BTreeSet<IpAddr> = strangers.iter().map(|s| s.address.ip()).collect();
    for (address, _) in present.into_iter().filter(|(address, presence)| presence.ipmi && !redfish.contains(&address.ip())) {
        let protocol = "ipmi".to_owned();
        strangers.push(Stranger { address, protocol, greeting: None, identity: None, trouble: None, known_as: None });
    }
    if let Some((user, password)) = account {
        introduce_all(args, &mut strangers, &user, &password).await;
    }
    let serials: BTreeMap<String, &NodeId> =
        inventory.nodes.values().filter_map(|n| Some((n.serial.as_ref()?.trim().to_ascii_lowercase(), &n.id))).collect();
    for stranger in &mut strangers {
        if let Some(Reading::Known(serial)) = stranger.identity.as_ref().map(|told| &told.serial) {
            stranger.known_as = serials.get(&serial.trim().to_ascii_lowercase()).map(|id| (*id).clone());
        }
    }
    met.sort_by(|a, b| a.node.cmp(&b.node));
    strangers.sort_by_key(|s| s.address);
    Ok(Found { asked, met, strangers })
}

/// Asks strangers who they are, where that was allowed: a Redfish BMC is logged in to only under the certificate of its greeting, and only
/// with `--accept-new`. Each is tried once.
async fn introduce_all(args: &Args, strangers: &mut [Stranger], user: &str, password: &str) {
    let lan = Lan::new();
    let each = strangers.iter_mut().map(|stranger| {
        let lan = Arc::clone(&lan);
        async move {
            match hand_of(args, &lan, stranger, user, password) {
                Ok(hand) => probe::introduce(hand.as_ref(), stranger).await,
                Err(why) => stranger.trouble = Some(why),
            }
        }
    });
    futures_util::stream::iter(each).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

fn hand_of(
    args: &Args,
    lan: &Arc<Lan>,
    stranger: &Stranger,
    user: &str,
    password: &str,
) -> std::result::Result<Box<dyn WholeBmc>, String> {
    let password = Password::new(secret::first_line(password));
    if stranger.protocol == "ipmi" {
        let account = Account::new(user, password, None).map_err(|e| e.to_string())?;
        return Ok(Box::new(IpmiBmc::new(Arc::clone(lan), stranger.address, account).with_patience(args.wait * 3)));
    }
    if !args.trust.accept_new {
        return Err("not logged in: its certificate is not recorded, and first contact was not allowed (--accept-new)".to_owned());
    }
    let Some(shown) = stranger.greeting.as_ref().and_then(|greeting| greeting.certificate.clone()) else {
        return Err("not logged in: it showed no certificate".to_owned());
    };
    let mut options = RedfishOptions::new(stranger.address, user, password, BmcTrust::Pinned(shown));
    options.first_contact = FirstContact::Refuse;
    options.limits = probe::limits(args.wait);
    Redfish::new(options).map(|hand| Box::new(hand) as Box<dyn WholeBmc>).map_err(|e| e.to_string())
}

/// Facts to be written: what is new, and with `--replace` what differs. A certificate that differs is never taken over with the serial or UUID
/// unproven: it is written only when asked for, as every other difference.
fn to_write(found: &Found, replace: bool) -> BTreeMap<NodeId, Cells> {
    let wanted = |standing: Standing| standing == Standing::New || (replace && standing == Standing::Differs);
    let of = |met: &Met| {
        // First contact was not allowed: a fingerprint that nobody vouched for is shown, not recorded.
        let stopped = met.stopped.is_some() && !replace;
        let kept = met.facts.iter().filter(|f| wanted(f.standing) && !(stopped && f.column == record::CERTIFICATE));
        let cells: Cells = kept.map(|f| (f.column, f.found.clone())).collect();
        (!cells.is_empty()).then(|| (met.node.clone(), cells))
    };
    found.met.iter().filter_map(of).collect()
}

fn agreed(global: &Global, args: &Args, new: &BTreeMap<NodeId, Cells>) -> Result<bool> {
    if args.yes {
        return Ok(true);
    }
    let facts: usize = new.values().map(Cells::len).sum();
    if !global.interactive() {
        global.talk(format!("{facts} facts of {} nodes were not written: add --yes", new.len()));
        return Ok(false);
    }
    global.talk(format!("\nWrite {facts} facts of {} nodes? Only `yes` goes on:", new.len()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn write(global: &Global, loaded: &LoadedInventory, new: &BTreeMap<NodeId, Cells>) -> Result<()> {
    for (file, count) in record::facts(&global.flags.inventory, loaded.inputs.keys(), new)? {
        global.talk(format!("recorded facts of {count} nodes in {}", file.display()));
    }
    Ok(())
}
