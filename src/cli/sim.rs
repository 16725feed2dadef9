//! `sim up`: a simulated rack on loopback, with the inventory that describes it. It runs until it is interrupted and touches no real machine.

use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Failure, Global, Result};
use crate::model::{BmcProtocol, NodeId};
use crate::sim::{Farm, FarmSpec, Fault, Seed};

/// A simulated rack or fleet on loopback: BMCs, boot ROMs, SSH, accelerators, seeded faults
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup sim up --racks 1 --nodes 4 --dir sim")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Start it, write its inventory and run until interrupted
    Up(Up),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup sim up --racks 2 --nodes 8 --seed 7 --fault a001-s02=dead-bmc --dir sim\n  \
                        bringup -i sim/inventory -p sim/playbooks/sim.yaml plan")]
struct Up {
    /// Racks
    #[arg(long, default_value_t = 2, value_name = "N")]
    racks: u32,
    /// Nodes in each rack
    #[arg(long, default_value_t = 8, value_name = "N")]
    nodes: u32,
    /// Seed of identities and faults: the same seed gives the same rack
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Virtual seconds per real second
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// A fault of a node, such as `a001-s02=dead-bmc` (repeat for more)
    #[arg(long = "fault", value_name = "NODE=FAULT", value_parser = parse_fault)]
    faults: Vec<(NodeId, Fault)>,
    /// So many nodes get a fault that the seed picks
    #[arg(long, default_value_t = 0, value_name = "N")]
    random_faults: usize,
    /// Where inventory, playbook and keys are written
    #[arg(long, default_value = "sim", value_name = "DIR")]
    dir: PathBuf,
    /// Where the nodes reach the boot server
    #[arg(long, default_value = "http://127.0.0.1:8088", value_name = "URL")]
    boot_server: String,
    /// Where PXE chains to; the boot server's `boot.ipxe` when left out
    #[arg(long, value_name = "URL")]
    chain_url: Option<String>,
    /// The last node of every rack has a BMC that speaks IPMI only
    #[arg(long)]
    ipmi: bool,
    /// Redfish without TLS, for clients that cannot pin a certificate
    #[arg(long)]
    plain_http: bool,
}

#[derive(Debug, Serialize)]
struct Started<'a> {
    format_version: u32,
    inventory: String,
    playbook: String,
    speed: u32,
    nodes: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    node: &'a NodeId,
    accelerators: String,
    protocol: BmcProtocol,
    bmc: String,
    ssh: String,
    faults: Vec<String>,
}

fn parse_fault(text: &str) -> std::result::Result<(NodeId, Fault), String> {
    let (node, fault) = text.split_once('=').ok_or_else(|| "write NODE=FAULT, such as a001-s02=dead-bmc".to_owned())?;
    let node = node.parse::<NodeId>().map_err(|e| e.to_string())?;
    Ok((node, fault.parse::<Fault>().map_err(|e| e.to_string())?))
}

/// Runs the verb.
///
/// # Errors
/// When the farm cannot be started or its files not be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let What::Up(up) = args.what;
    let usage = |e| Failure::new(Exit::USAGE, e);
    let mut spec = FarmSpec::racks(up.racks, up.nodes, Seed(up.seed), up.ipmi).map_err(usage)?;
    spec.speed = up.speed;
    spec.plain_http = up.plain_http;
    let server = up.boot_server.trim_end_matches('/').to_owned();
    spec.chain_url = Some(up.chain_url.unwrap_or_else(|| format!("{server}/boot.ipxe")));
    for (node, fault) in up.faults {
        spec.fault(node.as_str(), fault).map_err(usage)?;
    }
    spec.seed_faults(up.random_faults);
    let farm = Farm::start(spec).await?;
    let written = farm.write_inventory(&up.dir, &server)?;
    let lines: Vec<Line<'_>> = farm.nodes().iter().map(line).collect();
    if global.out.format == super::output::Format::Text {
        let rows = lines
            .iter()
            .map(|l| vec![l.node.to_string(), l.accelerators.clone(), l.bmc.clone(), l.ssh.clone(), l.faults.join(", ")])
            .collect::<Vec<_>>();
        global.out.table(&["node", "accelerators", "bmc", "ssh", "faults"], rows);
    } else {
        let started = Started {
            format_version: 1,
            inventory: written.inventory.display().to_string(),
            playbook: written.playbook.display().to_string(),
            speed: up.speed,
            nodes: lines,
        };
        global.out.json(&started);
    }
    global.talk(format!("inventory {}, playbook {}", written.inventory.display(), written.playbook.display()));
    global.talk("running; interrupt to stop");
    let interrupted = tokio::signal::ctrl_c().await;
    farm.stop().await;
    interrupted?;
    Ok(Exit::DONE)
}

fn line(node: &crate::sim::farm::SimNode) -> Line<'_> {
    let id = node.machine.identity();
    let scheme = match (node.protocol, &node.certificate) {
        (BmcProtocol::Redfish, Some(_)) => "https",
        (BmcProtocol::Redfish, None) => "http",
        (BmcProtocol::Ipmi, _) => "ipmi",
    };
    Line {
        node: &id.node,
        accelerators: format!("{} x {}", id.fitted.count, id.fitted.model),
        protocol: node.protocol,
        bmc: format!("{scheme}://{}", node.bmc),
        ssh: node.ssh.to_string(),
        faults: node.machine.faults().iter().map(ToString::to_string).collect(),
    }
}
