//! The listening loop: a bounded number of connections, each served by `http`. It decides nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::grant::Stage;
use super::grants::Grants;
use super::http::{Desk, connection};
use super::loaders::Loaders;
use super::store::shown;
use super::storm::{Gauge, Storm};
use super::tls::Door;
use crate::model::NodeId;

/// Connections at once; a fleet of 1,250 nodes holds two each at most.
const CONNECTIONS: usize = 4096;
/// Longest wait for the far end to agree on a key.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time in which the far end may acknowledge nothing: the kernel then gives it up, what is written to it included.
const UNHEARD: Duration = Duration::from_secs(60);
/// How long transfers may go on after the server was told to stop.
const GOODBYE: Duration = Duration::from_secs(5);

/// What `GET /healthz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `bringup`.
    pub service: String,
    /// [`Grants::store_id`] of the store that is served.
    pub state: String,
    /// Where it hands out identities; `None`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Door>,
    /// Transfers of large files; absent in what older builds say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<Gauge>,
}

/// One thing that the server gave or refused; for progress and logs, not for the journal (see [`Grants::events_since`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who asked.
    pub from: IpAddr,
    /// Grant, when known.
    pub grant: Option<String>,
    /// Node, when known.
    pub node: Option<NodeId>,
    /// What was given, or `Refused`.
    pub stage: Stage,
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes of the whole file; 0 for refusals.
    pub of: u64,
    /// Why it was refused.
    pub why: String,
}

impl Seen {
    pub(super) fn given(from: IpAddr, grant: &str, node: &NodeId, stage: Stage, of: u64) -> Self {
        Self { from, grant: Some(grant.to_owned()), node: Some(node.clone()), stage, bytes: of, of, why: String::new() }
    }

    /// A loader that was fetched without a grant.
    pub(super) fn loader(from: IpAddr, of: u64) -> Self {
        Self { from, grant: None, node: None, stage: Stage::Loader, bytes: of, of, why: String::new() }
    }

    pub(super) fn refused(from: IpAddr, grant: Option<String>, node: Option<NodeId>, why: String) -> Self {
        Self { from, grant, node, stage: Stage::Refused, bytes: 0, of: 0, why: shown(&why) }
    }
}

/// Where the server tells what it sees. Listeners that fall behind lose the oldest; the server never waits for one.
#[derive(Clone)]
pub struct BootLog(broadcast::Sender<Seen>);

impl Default for BootLog {
    fn default() -> Self {
        Self(broadcast::Sender::new(1024))
    }
}

impl BootLog {
    /// Listens from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Seen> {
        self.0.subscribe()
    }

    pub(super) fn tell(&self, seen: Seen) {
        // Nobody listening is no trouble.
        drop(self.0.send(seen));
    }
}

/// How to serve.
#[derive(Clone, Default)]
pub struct ServeOptions {
    /// What nodes start with; none of them by default.
    pub loaders: Loaders,
    /// Where to tell what is seen.
    pub log: BootLog,
    /// Where the same grants are served over TLS (see [`super::serve_https`]), for the scripts of nodes that fetch an identity there.
    pub door: Option<Door>,
    /// How many transfers at once, and how fast.
    pub storm: Storm,
}

/// Serves without loaders and without a log until `stop` is cancelled; transfers under way then have five seconds.
pub async fn serve(listener: TcpListener, grants: Grants, stop: CancellationToken) {
    serve_with(listener, grants, ServeOptions::default(), stop).await;
}

/// Serves until `stop` is cancelled; transfers under way then have five seconds. Trouble of one connection ends that connection only.
pub async fn serve_with(listener: TcpListener, grants: Grants, options: ServeOptions, stop: CancellationToken) {
    listen(listener, None, grants, options, stop).await;
}

/// The loop: each connection by itself, inside TLS when there is an acceptor.
pub(super) async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    grants: Grants,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let desk = Desk::new(grants, options);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Reaps what has ended; the set would grow for ever.
            Some(_) = open.join_next() => continue,
            accepted = listener.accept(), if places.available_permits() > 0 => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (desk, stop, tls) = (desk.clone(), stop.clone(), tls.clone());
                open.spawn(async move {
                    tune(&stream);
                    match tls {
                        None => connection(stream, peer.ip(), &desk, &stop).await,
                        // A far end that does not trust the certificate ends it here; it has told nothing yet.
                        Some(tls) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                                connection(stream, peer.ip(), &desk, &stop).await;
                            }
                        }
                    }
                    drop(place);
                });
            }
            // The far end hung up first, or no file descriptor is left for now: the server lives on.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GOODBYE, all).await);
}

/// What cannot be set costs speed or patience and nothing else.
fn tune(stream: &TcpStream) {
    drop(stream.set_nodelay(true));
    drop(SockRef::from(stream).set_tcp_user_timeout(Some(UNHEARD)));
}
