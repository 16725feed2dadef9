//! The boot server of a run: the one that runs already, or one inside this process when the address is ours.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::boot::{self, Grants, ServeOptions};
use crate::model::{ActionSpec, Inventory, Plan};

/// Servers that run inside this process for as long as the run does.
pub struct BootServers {
    stop: tokio_util::sync::CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl BootServers {
    /// Stops them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Makes sure that every boot server that the plan needs is there and serves our grants.
///
/// # Errors
/// One that is neither running nor ours to start, or that serves other grants.
pub async fn ensure(global: &Global, plan: &Plan, inventory: &Inventory, grants: &Grants, loaders: &Path) -> Result<BootServers> {
    let mut servers = BootServers { stop: tokio_util::sync::CancellationToken::new(), tasks: tokio::task::JoinSet::new() };
    for url in urls(plan, inventory) {
        let address = address(&url)?;
        match boot::ask(address).await {
            Ok(store) if store == grants.store_id() => global.talk(format!("boot server {url} is running")),
            Ok(_) => {
                return Err(Failure::new(Exit::ERROR, format!("the boot server at {url} serves other grants"))
                    .hint("start it with the same --state as this run, or stop it and let the run start its own"));
            }
            Err(boot::AskError::Silent) => {
                let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
                    Failure::new(
                        Exit::UNREACHABLE,
                        format!("no boot server answers at {url}, and it cannot be started here: {error}"),
                    )
                    .hint(format!("on the machine that owns {}: bringup serve --listen {address}", address.ip()))
                })?;
                global.talk(format!("boot server {url} runs inside this process"));
                let (grants, stop) = (grants.clone(), servers.stop.clone());
                let options = ServeOptions { loaders: loaders.to_path_buf(), ..ServeOptions::default() };
                servers.tasks.spawn(boot::serve_with(listener, grants, options, stop));
            }
            Err(error) => {
                return Err(Failure::new(Exit::ERROR, error).hint("is another program listening there?"));
            }
        }
    }
    Ok(servers)
}

fn urls(plan: &Plan, inventory: &Inventory) -> BTreeSet<String> {
    let boots = |n: &&crate::model::NodePlan| {
        n.steps.iter().any(|s| matches!(s.action, ActionSpec::Netboot { .. } | ActionSpec::InstallImage { .. }))
    };
    let nodes = plan.nodes.iter().filter(boots).filter_map(|n| inventory.nodes.get(&n.node));
    nodes.filter_map(|n| n.boot.server.as_deref()).map(|s| s.trim_end_matches('/').to_owned()).collect()
}

/// The address of a boot server.
///
/// # Errors
/// It is not written as `http://ADDRESS:PORT`.
pub fn address(url: &str) -> Result<SocketAddr> {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    authority.parse().or_else(|_| format!("{authority}:80").parse()).map_err(|_| {
        Failure::new(Exit::INVALID, format!("the boot server `{url}` is not of the form http://ADDRESS:PORT"))
            .hint("set boot.server in site.yaml to the address at which nodes reach this machine")
    })
}
