//! `bringup serve`: the boot server, until it is told to stop. It serves what `apply` grants and nothing else; with `--dhcp` or
//! `--proxy-dhcp` it also tells the nodes of the inventory where to boot from.

use std::net::{SocketAddr, SocketAddrV4};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms};
use super::loaders::LoaderFlags;
use super::output::Format;
use super::serve_dhcp::Dhcp;
use super::serve_https::{HttpsArgs, HttpsDoor};
use super::serve_storm::{Budget, Teller, rules};
use super::serve_tftp::Tftp;
use crate::boot::{BootLog, Grants, Seen, ServeOptions, Stage, Storm, serve_with};

/// Serves iPXE scripts and images to nodes under single-use grants
#[derive(Debug, clap::Args)]
#[command(after_help = "A site's own DHCP chains to it: filename \"http://ADDRESS:8088/boot.ipxe\".\n\
    With --dhcp no other DHCP server may be on that network; the words `network`, `router`, `dns` and `lease` under `boot:` of the\n\
    inventory say what nodes are told. Machines that the inventory does not know are told of and never answered.\n\
    With --tftp it also hands the iPXE loaders to boot ROMs, read only.\n\
    Images with `identity: grant` need --https: each boot fetches an SSH host key of its own there, once.\n\
    When more nodes ask than --transfers, the others wait in order, and a line says how many. --budget leaves room on an uplink.\n\n\
    Examples:\n  bringup serve --listen 10.77.0.1:8088 --tftp\n  bringup serve --dhcp eth1 --tftp\n  \
    bringup serve --dhcp eth1 --tftp --budget 8Gbit --budget a001=900Mbit")]
pub struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8088")]
    pub listen: SocketAddr,
    /// Serve the loaders by TFTP too; port 69 needs root
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "0.0.0.0:69")]
    pub tftp: Option<SocketAddrV4>,
    /// What nodes start with.
    #[command(flatten)]
    pub loaders: LoaderFlags,
    /// Give the nodes of the inventory their addresses on this interface, and what to boot
    #[arg(long, value_name = "IFACE", conflicts_with = "proxy_dhcp")]
    pub dhcp: Option<String>,
    /// Tell the nodes of the inventory what to boot, beside the DHCP server of the site
    #[arg(long, value_name = "IFACE")]
    pub proxy_dhcp: Option<String>,
    /// HTTPS.
    #[command(flatten)]
    pub https: HttpsArgs,
    /// Send no router advertisements (iPXE then waits 13 s for IPv6)
    #[arg(long)]
    pub no_ra: bool,
    /// Files over 2 MiB that are sent at once; other nodes wait in order, scripts and loaders never do
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    pub transfers: u16,
    /// Send no faster than this in all, or to the nodes of a rack: 8Gbit, a001=900Mbit; may be repeated
    #[arg(long, value_name = "[RACK=]RATE")]
    pub budget: Vec<Budget>,
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
    let loaders = args.loaders.open()?;
    let grants = Grants::open(&global.state_dir()?.join("grants.db"))?;
    let bound = tokio::net::TcpListener::bind(args.listen).await.and_then(|l| l.local_addr().map(|at| (l, at)));
    let (listener, address) = bound.map_err(|source| {
        Failure::new(Exit::ERROR, Listen { address: args.listen, source })
            .hint("is another boot server running? --listen takes another address")
    })?;
    let log = BootLog::default();
    let mut seen = log.watch();
    let stop = CancellationToken::new();
    let mut dhcp = Dhcp::start(&args, address, &grants, &stop, global)?;
    let mut tftp = Tftp::start(args.tftp, &loaders, &grants, &stop, global)?;
    let https = HttpsDoor::of_flags(&args.https, address.ip(), global).await?;
    let storm = Storm::new(rules(&args, global)?);
    let mut teller = Teller::new(storm.clone());
    let options = ServeOptions { loaders: loaders.clone(), log, door: https.as_ref().map(|h| h.door.clone()), storm };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let https = https.map(|h| h.serve(grants.clone(), options.clone(), stop.clone()));
    let server = tokio::spawn(serve_with(listener, grants, options, stop.clone()));
    global.talk(format!("serving on http://{address}; Ctrl-C stops"));
    args.loaders.tell(&loaders, global);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            heard = seen.recv() => match heard {
                Ok(seen) => line(global, &seen),
                Err(RecvError::Lagged(lost)) => global.talk(format!("{lost} lines were not printed; the grants have them all")),
                Err(RecvError::Closed) => break,
            },
            heard = dhcp.next() => if !Dhcp::tell(global, heard) {
                break;
            },
            news = teller.next() => Teller::tell(global, news),
            heard = tftp.next() => if !Tftp::tell(global, heard) {
                break;
            },
        }
    }
    stop.cancel();
    // The second signal does not wait for the transfers under way.
    tokio::select! {
        ended = async { server.await?; if let Some(https) = https { https.await?; } dhcp.end(global).await?; tftp.end(global).await } => ended?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    while let Ok(seen) = seen.try_recv() {
        line(global, &seen);
    }
    global.talk("stopped");
    Ok(Exit::DONE)
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
