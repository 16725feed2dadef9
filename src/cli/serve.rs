//! `bringup serve`: the boot server, until it is told to stop. It serves what `apply` grants and nothing else; with `--dhcp` or
//! `--proxy-dhcp` it also tells the nodes of the inventory where to boot from.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms};
use super::output::Format;
use crate::boot::dhcp::{DhcpError, DhcpLog, DhcpOptions, DhcpServer, Mode, Ports, Registry, Sight};
use crate::boot::{BootLog, Grants, Seen, ServeOptions, Stage, serve_with};

/// Serves iPXE scripts and images to nodes under single-use grants
#[derive(Debug, clap::Args)]
#[command(after_help = "A site's own DHCP chains to it: filename \"http://ADDRESS:8088/boot.ipxe\".\n\
    With --dhcp no other DHCP server may be on that network; the words `network`, `router`, `dns` and `lease` under `boot:` of the\n\
    inventory say what nodes are told. Machines that the inventory does not know are told of and never answered.\n\n\
    Examples:\n  bringup serve --listen 10.77.0.1:8088\n  bringup serve --dhcp eth1")]
pub struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8088")]
    pub listen: SocketAddr,
    /// Folder of the UEFI loaders `ipxe.efi` and `snponly.efi`
    #[arg(long, value_name = "DIR", default_value = "/usr/lib/ipxe")]
    pub loaders: std::path::PathBuf,
    /// Give the nodes of the inventory their addresses on this interface, and what to boot
    #[arg(long, value_name = "IFACE", conflicts_with = "proxy_dhcp")]
    pub dhcp: Option<String>,
    /// Tell the nodes of the inventory what to boot, beside the DHCP server of the site
    #[arg(long, value_name = "IFACE")]
    pub proxy_dhcp: Option<String>,
    /// Send no router advertisements (iPXE then waits 13 s for IPv6)
    #[arg(long)]
    pub no_ra: bool,
}

/// Why the address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}")]
struct Listen {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// The address or the grants cannot be had.
pub async fn run(args: Args, global: &Global) -> Result {
    let grants = Grants::open(&global.state_dir()?.join("grants.db"))?;
    let bound = tokio::net::TcpListener::bind(args.listen).await.and_then(|l| l.local_addr().map(|at| (l, at)));
    let (listener, address) = bound.map_err(|source| {
        Failure::new(Exit::ERROR, Listen { address: args.listen, source })
            .hint("is another boot server running? --listen takes another address")
    })?;
    let dhcp = dhcp(&args, address, global)?;
    let (log, stop) = (BootLog::default(), CancellationToken::new());
    let mut seen = log.watch();
    let options = ServeOptions { loaders: args.loaders, log };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sightings = DhcpLog::default();
    let mut sights = dhcp.as_ref().map_or_else(|| sightings.watch(), |(_, log)| log.watch());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve_with(listener, grants.clone(), options, stop.clone()));
    if let Some((server, _)) = dhcp {
        tasks.spawn(server.run(grants, stop.clone()));
    }
    global.talk(format!("serving on http://{address}; Ctrl-C stops"));
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            heard = seen.recv() => match heard {
                Ok(seen) => line(global, &seen),
                Err(RecvError::Lagged(lost)) => global.talk(format!("{lost} lines were not printed; the grants have them all")),
                Err(RecvError::Closed) => break,
            },
            heard = sights.recv() => match heard {
                Ok(sight) => sighted(global, &sight),
                Err(RecvError::Lagged(lost)) => global.talk(format!("{lost} lines of DHCP were not printed")),
                Err(RecvError::Closed) => break,
            },
        }
    }
    stop.cancel();
    // The second signal does not wait for the transfers under way.
    tokio::select! {
        ended = async { while let Some(ended) = tasks.join_next().await { ended?; } Ok::<(), tokio::task::JoinError>(()) } => ended?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    while let Ok(seen) = seen.try_recv() {
        line(global, &seen);
    }
    while let Ok(sight) = sights.try_recv() {
        sighted(global, &sight);
    }
    global.talk("stopped");
    Ok(Exit::DONE)
}

/// The DHCP server, when one is asked for: its sockets are open, and what it cannot do is told before it begins.
fn dhcp(args: &Args, http: SocketAddr, global: &Global) -> Result<Option<(DhcpServer, DhcpLog)>> {
    let (interface, mode) = match (&args.dhcp, &args.proxy_dhcp) {
        (Some(interface), _) => (interface, Mode::Reserve),
        (None, Some(interface)) => (interface, Mode::Proxy),
        (None, None) => return Ok(None),
    };
    let inventory = super::site::inventory(global)?.inventory;
    let registry = Registry::of(&inventory);
    if registry.is_empty() {
        return Err(Failure::new(Exit::INVALID, "no node of the inventory has the fact `boot_mac`, so DHCP would serve nobody")
            .hint("write the MAC of the interface that boots into facts/*.csv; `bringup discover` can read it from live BMCs"));
    }
    let folded = |nodes: &[crate::model::NodeId]| -> String {
        crate::spec::fold(nodes.iter().map(|node| node.as_str())).chars().take(200).collect()
    };
    if !registry.without_mac().is_empty() {
        let (count, who) = (registry.without_mac().len(), folded(registry.without_mac()));
        global.talk(format!("{count} nodes have no fact `boot_mac` and are taken for strangers: {who}"));
    }
    if mode == Mode::Reserve && !registry.unaddressed().is_empty() {
        let (count, who) = (registry.unaddressed().len(), folded(registry.unaddressed()));
        global.talk(format!("{count} nodes have no `boot.network` and get no address: {who}"));
    }
    let (nodes, log) = (registry.len(), DhcpLog::default());
    let options = DhcpOptions {
        interface: interface.clone(),
        mode,
        http,
        ports: Ports::default(),
        advertise: !args.no_ra,
        log: log.clone(),
    };
    let server = DhcpServer::bind(&options, Arc::new(registry)).map_err(|error: DhcpError| {
        let hint = error.hint();
        Failure::new(Exit::ERROR, error).hint(hint)
    })?;
    let what = if mode == Mode::Reserve { "DHCP" } else { "proxyDHCP" };
    global.talk(format!("{what} for {nodes} nodes on {interface} as {}", server.identity().address));
    Ok(Some((server, log)))
}

fn sighted(global: &Global, sight: &Sight) {
    if matches!(global.out.format, Format::Json | Format::Ndjson) {
        return global.out.line(json!({"format_version": 1, "at_ms": now_ms(), "dhcp": sight}).to_string());
    }
    global.out.line(sight.line());
}

fn line(global: &Global, seen: &Seen) {
    let node = seen.node.as_ref().map_or("-", |n| n.as_str());
    if matches!(global.out.format, Format::Json | Format::Ndjson) {
        let value = json!({
            "format_version": 1, "at_ms": now_ms(), "from": seen.from, "node": seen.node, "grant": seen.grant,
            "stage": seen.stage, "bytes": seen.bytes, "of": seen.of, "why": seen.why,
        });
        return global.out.line(value.to_string());
    }
    let grant = seen.grant.as_deref().unwrap_or("-");
    let what = match seen.stage {
        Stage::Refused => format!("refused: {}", seen.why),
        stage if seen.bytes < seen.of => format!("{stage} {} of {} bytes", seen.bytes, seen.of),
        stage => format!("{stage} {} bytes", seen.bytes),
    };
    global.out.line(format!("{} {node} {grant} {what}", seen.from));
}
