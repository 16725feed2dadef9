//! `bringup demo`: the main job on a simulated rack, start to end. It runs the same plan, engine, gate and journal as any other run; only
//! the far end of the wires is simulated.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::hands::{Hands, Trust};
use super::look::plan;
use super::runner::{self, RunFlags, Start};
use super::site::site;
use crate::journal::{Journal, RunSummary};
use crate::model::{NodeId, Phase};
use crate::pool::{Ledger, Pool as _};
use crate::report::{account, markdown};
use crate::sim::{Farm, FarmSpec, Fault, Seed};

/// Brings up two simulated racks, four nodes of which are broken on purpose
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup demo --seed 42")]
pub struct Args {
    /// Seed of identities: the same seed gives the same racks
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Virtual seconds per real second; real machines take three minutes for what takes three seconds here
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    speed: u32,
    /// Where inventory, journal and report are written; a new folder below `.bringup/demo` when left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A node that is broken on purpose, and how the run must end for it.
struct Seeded {
    node: &'static str,
    fault: Fault,
    about: &'static str,
    ends: Phase,
    /// A word that the stated reason must hold.
    reason: &'static str,
}

const SEEDED: [Seeded; 4] = [
    Seeded { node: "a001-s03", fault: Fault::DeadBmc, about: "its BMC is dead", ends: Phase::Blocked, reason: "BMC" },
    Seeded {
        node: "a001-s06",
        fault: Fault::BootLost,
        about: "its boot override does not stick",
        ends: Phase::Failed,
        reason: "does not carry the plan's mark",
    },
    Seeded {
        node: "a001-s07",
        fault: Fault::GpuRemapPending(4),
        about: "one GPU has a row remap pending",
        ends: Phase::Degraded,
        reason: "remap",
    },
    Seeded {
        node: "a002-s05",
        fault: Fault::Missing(2),
        about: "one NPU is missing",
        ends: Phase::Quarantined,
        reason: "missing",
    },
];

/// Runs the verb.
///
/// # Errors
/// The simulator cannot be started, or the run did not end as it was seeded.
pub async fn run(args: Args, global: &Global) -> Result {
    let dir = match args.dir {
        Some(dir) => dir,
        None => Path::new(".bringup/demo").join(jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()),
    };
    let mut spec = FarmSpec::racks(2, 8, Seed(args.seed), true).map_err(|e| Failure::new(Exit::USAGE, e))?;
    spec.speed = args.speed;
    for seeded in &SEEDED {
        spec.fault(seeded.node, seeded.fault.clone())?;
    }
    let server = format!("http://127.0.0.1:{}", free_port().await?);
    spec.chain_url = Some(format!("{server}/boot.ipxe"));
    let farm = Farm::start(spec).await?;
    let written = farm.write_inventory(&dir, &server)?;
    let mut inner = global.clone();
    inner.flags.inventory.clone_from(&written.inventory);
    inner.flags.playbook = Some(written.playbook.clone());
    inner.flags.state = dir.join("journal.db").display().to_string();
    global.talk("two simulated racks on loopback: real Redfish, IPMI, HTTP boot and SSH, and four faults:");
    for seeded in &SEEDED {
        global.talk(format!("  {}  {}", seeded.node, seeded.about));
    }
    let walked = Box::pin(walk(&inner, &written.loaders)).await;
    farm.stop().await;
    walked?;
    let journal = dir.join("journal.db");
    let run = Journal::load(&journal, &Journal::newest(&journal)?)?;
    let report = dir.join("report.md");
    std::fs::write(&report, markdown(&account(&run)))
        .map_err(|e| Failure::new(Exit::ERROR, format!("write the report {}: {e}", report.display())))?;
    global.talk(format!(
        "\ninventory  {}\njournal    {}\nreport     {}\nagain      bringup status --state {}",
        dir.join("inventory").display(),
        journal.display(),
        report.display(),
        journal.display()
    ));
    judge(global, &run)
}

/// Plans and applies, exactly as the verbs `plan` and `apply` do.
async fn walk(global: &Global, loaders: &Path) -> Result {
    let lock = runner::lock(global).await?;
    let site = site(global)?;
    let hands = Arc::new(Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()));
    let ledger = Ledger::open(&global.state_dir()?.join("pool.db"))?;
    let looked = plan(global, &site, &hands, &ledger.list().await?).await?;
    global.talk(format!(
        "\nlooked at {} nodes: {} to bring up, {} blocked",
        looked.observed.len(),
        looked.plan.nodes.len(),
        looked.plan.blocked.len()
    ));
    let flags = RunFlags {
        events: None,
        pace: Duration::from_millis(200),
        loaders: super::loaders::LoaderFlags::in_folder(loaders.to_path_buf()),
        no_console: false,
    };
    let id = runner::new_run_id()?;
    let start = Start { id, plan: looked.plan, state: None, inventory: site.inventory, hands, lock };
    Box::pin(runner::run(global, &flags, start)).await
}

/// Compares the end with the seed: every broken node must be out for its own reason, every other node in.
fn judge(global: &Global, run: &RunSummary) -> Result {
    let account = account(run);
    let mut wrong = Vec::new();
    for node in &account.nodes {
        let seeded = SEEDED.iter().find(|s| s.node == node.node.as_str());
        let (ends, reason) = seeded.map_or((Phase::Admitted, ""), |s| (s.ends, s.reason));
        let why = stated(&account, &node.node);
        if node.phase != ends || !why.contains(reason) {
            wrong.push(format!("{} was to end {ends} ({reason}) and is {}: {why}", node.node, node.phase));
        }
    }
    if wrong.is_empty() {
        global.talk("ended as seeded: every healthy accelerator works, every other one is out for its own reason");
        return Ok(Exit::DONE);
    }
    Err(Failure::new(Exit::ERROR, format!("the demo did not end as seeded: {}", wrong.join("; ")))
        .hint("this is a fault of bringup; please report it with the journal"))
}

/// Every reason that the account states for a node's idle accelerators.
fn stated(account: &crate::report::Account, node: &NodeId) -> String {
    let groups = account.idle.iter().filter(|g| g.nodes.contains(node));
    groups.map(|g| g.why.clone()).collect::<Vec<_>>().join("; ")
}

async fn free_port() -> Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port())
}
