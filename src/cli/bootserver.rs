//! The boot server of a run: the one that runs already, or one inside this process when the address is ours.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::loaders::LoaderFlags;
use super::serve_https::HttpsDoor;
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
pub async fn ensure(
    global: &Global,
    plan: &Plan,
    inventory: &Inventory,
    grants: &Grants,
    loaders: &LoaderFlags,
) -> Result<BootServers> {
    let mut servers = BootServers { stop: tokio_util::sync::CancellationToken::new(), tasks: tokio::task::JoinSet::new() };
    for (url, identity) in urls(plan, inventory) {
        let address = address(&url)?;
        match boot::health(address).await {
            Ok(health) if health.state == grants.store_id() && identity && health.https.is_none() => {
                return Err(Failure::new(
                    Exit::ERROR,
                    format!("the boot server at {url} has no HTTPS, and the image has no SSH host key but the one that each boot brings"),
                )
                .hint("start it with `bringup serve --https`, or stop it and let the run start its own"));
            }
            Ok(health) if health.state == grants.store_id() => global.talk(format!("boot server {url} is running")),
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
                let https = if identity { Some(HttpsDoor::beside(address.ip(), global).await?) } else { None };
                let door = https.as_ref().map(|h| h.door.clone());
                let pinned = loaders.open()?;
                loaders.tell(&pinned, global);
                let options = ServeOptions { loaders: pinned, door, ..ServeOptions::default() };
                if let Some(https) = https {
                    let served = https.serve(grants.clone(), options.clone(), stop.clone());
                    servers.tasks.spawn(async { drop(served.await) });
                }
                servers.tasks.spawn(boot::serve_with(listener, grants, options, stop));
            }
            Err(error) => {
                return Err(Failure::new(Exit::ERROR, error).hint("is another program listening there?"));
            }
        }
    }
    caches(global, plan).await;
    Ok(servers)
}

/// Says which caches of the plan are not heard from here. No error: the way from here to a rack's cache may be shut, and that of its nodes open.
async fn caches(global: &Global, plan: &Plan) {
    let from = |step: &crate::model::Step| step.action.files_from().map(str::to_owned);
    let all: std::collections::BTreeSet<String> = plan.nodes.iter().flat_map(|line| line.steps.iter().filter_map(from)).collect();
    for url in all {
        let authority = url.trim_start_matches("http://").to_owned();
        let name =
            if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) { authority } else { format!("{authority}:80") };
        let found = tokio::net::lookup_host(&name).await.ok().and_then(|mut found| found.next());
        let why = match found {
            None => "its name has no address here".to_owned(),
            Some(address) => match boot::cache_of(address).await {
                Ok(upstream) => {
                    global.talk(format!("cache {url} of {upstream} is running"));
                    continue;
                }
                Err(boot::AskError::Silent) => "nothing listens there".to_owned(),
                Err(boot::AskError::Stranger(_)) => "what answers there is no cache of bringup".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        global.talk(format!(
            "warning: no cache is heard at {url} ({why}); nodes of this plan that do not hear it either will ask the boot server itself; on that machine: bringup serve --cache"
        ));
    }
}

/// The boot servers of a plan, and whether one of their nodes is to be brought an identity.
fn urls(plan: &Plan, inventory: &Inventory) -> BTreeMap<String, bool> {
    let mut urls = BTreeMap::new();
    for line in &plan.nodes {
        let boots = line.steps.iter().any(|s| !matches!(s.action, ActionSpec::InstallStack { .. }));
        let server = inventory.nodes.get(&line.node).and_then(|n| n.boot.server.as_deref());
        if let (true, Some(server)) = (boots, server) {
            *urls.entry(server.trim_end_matches('/').to_owned()).or_default() |=
                line.steps.iter().any(|s| s.action.brings_identity());
        }
    }
    urls
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
