//! The DHCP half of `bringup serve`: what it needs before it starts, and a line for each thing that it saw.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms};
use super::output::Format;
use super::serve::Args;
use crate::boot::Grants;
use crate::boot::dhcp::{DhcpError, DhcpLog, DhcpOptions, DhcpServer, Mode, Ports, Registry, Sight};
use crate::model::NodeId;

/// A running DHCP server, or none.
pub struct Dhcp {
    running: Option<Running>,
}

struct Running {
    sights: Receiver<Sight>,
    server: JoinHandle<()>,
}

impl Dhcp {
    /// Starts it where an interface is named. What it cannot do is told before it begins.
    ///
    /// # Errors
    /// The inventory names nobody to serve, or the interface cannot be had.
    pub fn start(args: &Args, http: SocketAddr, grants: &Grants, stop: &CancellationToken, global: &Global) -> Result<Self> {
        let (interface, mode) = match (&args.dhcp, &args.proxy_dhcp) {
            (Some(interface), _) => (interface.clone(), Mode::Reserve),
            (None, Some(interface)) => (interface.clone(), Mode::Proxy),
            (None, None) => return Ok(Self { running: None }),
        };
        let registry = registry(mode, global)?;
        if http.ip().is_loopback() && registry.boots_here() {
            global.talk(format!(
                "nodes will be told to boot from http://{http}, which only this machine reaches: --listen changes it"
            ));
        }
        if args.tftp.is_none() && registry.fetches_here() {
            global.talk("PXE ROMs will be told to fetch their loader here by TFTP, and get none: --tftp is not given");
        }
        let (nodes, log) = (registry.len(), DhcpLog::default());
        let sights = log.watch();
        let options = DhcpOptions { interface, mode, http, ports: Ports::default(), advertise: !args.no_ra, log };
        let server = DhcpServer::bind(&options, Arc::new(registry)).map_err(|error: DhcpError| {
            let hint = error.hint();
            Failure::new(Exit::ERROR, error).hint(hint)
        })?;
        let what = if mode == Mode::Reserve { "DHCP" } else { "proxyDHCP" };
        global.talk(format!("{what} on {} as {}, known nodes: {nodes}", options.interface, server.identity().address));
        let server = tokio::spawn(server.run(grants.clone(), stop.clone()));
        Ok(Self { running: Some(Running { sights, server }) })
    }

    /// The next thing that it saw; waits for ever when it does not run.
    pub async fn next(&mut self) -> std::result::Result<Sight, RecvError> {
        match &mut self.running {
            Some(running) => running.sights.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Prints what [`Self::next`] heard; `false` when the server has ended by itself.
    pub fn tell(global: &Global, heard: std::result::Result<Sight, RecvError>) -> bool {
        match heard {
            Ok(sight) => line(global, &sight),
            Err(RecvError::Lagged(lost)) => global.talk(format!("{lost} lines of DHCP were not printed")),
            Err(RecvError::Closed) => return false,
        }
        true
    }

    /// Waits for its end, which the stop token brings, and prints what is left.
    ///
    /// # Errors
    /// It broke.
    pub async fn end(&mut self, global: &Global) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        (&mut running.server).await?;
        while let Ok(sight) = running.sights.try_recv() {
            line(global, &sight);
        }
        Ok(())
    }
}

/// Whom the inventory lets it serve.
fn registry(mode: Mode, global: &Global) -> Result<Registry> {
    let registry = Registry::of(&super::site::inventory(global)?.inventory);
    if registry.is_empty() {
        return Err(Failure::new(Exit::INVALID, "no node of the inventory has the fact `boot_mac`, so DHCP would serve nobody")
            .hint("write the MAC of the interface that boots into facts/*.csv; `bringup discover` can read it from live BMCs"));
    }
    let folded =
        |nodes: &[NodeId]| -> String { crate::spec::fold(nodes.iter().map(|node| node.as_str())).chars().take(200).collect() };
    if !registry.without_mac().is_empty() {
        global.talk(format!("without the fact `boot_mac`, so taken for strangers: {}", folded(registry.without_mac())));
    }
    if mode == Mode::Reserve && !registry.unaddressed().is_empty() {
        global.talk(format!("without `boot.network`, so without an address: {}", folded(registry.unaddressed())));
    }
    Ok(registry)
}

fn line(global: &Global, sight: &Sight) {
    if matches!(global.out.format, Format::Json | Format::Ndjson) {
        return global.out.line(json!({"format_version": 1, "at_ms": now_ms(), "dhcp": sight}).to_string());
    }
    global.out.line(sight.line());
}
