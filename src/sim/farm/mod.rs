//! A whole simulated site: machines on their own loopback addresses, with BMC, boot ROM and SSH, and the inventory and playbook that describe
//! them. Everything stops when the farm is stopped or dropped.
//!
//! Addresses: the BMC of rack R, slot S is `127.(10+R).S.1`, the node itself `127.(10+R).S.2`, both on one high port that no other farm of
//! this machine holds. A dead BMC has no listener at all: its address refuses connections.

mod layout;
mod playbook;
mod site;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use russh::keys::PrivateKey;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

pub use self::layout::{FarmSpec, MAX_RACKS, MAX_SLOTS, NodeSpec};
pub use self::site::WrittenSite;
use super::bootrom::{self, ChainUrl};
use super::clock::Clock;
use super::fault::Fault;
use super::handle::MachineHandle;
use super::identity::Identity;
use super::seed::Seed;
use super::ssh::keys;
use super::tls::{Certified, Shown, TlsError};
use super::{redfish, rmcp, ssh};
use crate::model::{BmcProtocol, Digest};

/// Account of every simulated BMC.
pub const BMC_USER: &str = "admin";

/// Why a farm could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The numbers do not fit.
    #[error("cannot lay out the simulated racks: {0}")]
    Shape(String),
    /// A fault for a node that is not there.
    #[error("there is no simulated node `{0}`")]
    NoNode(String),
    /// No port could be had.
    #[error("listening on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// No port at all is free for a farm.
    #[error("no port between {FIRST_PORT} and {LAST_PORT} is free for a simulated farm")]
    NoPort,
    /// No certificate could be made.
    #[error("making a BMC's certificate")]
    Tls(#[from] TlsError),
    /// No key could be made.
    #[error("making an SSH key")]
    Key(#[from] russh::keys::ssh_key::Error),
    /// A file could not be written.
    #[error("writing {0}")]
    Write(std::path::PathBuf, #[source] std::io::Error),
}

/// Ports for farms: below the range that Linux gives to outgoing connections (32768 up), so that none of those is in the way.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 31_998;

/// One machine of a farm.
#[derive(Debug)]
pub struct SimNode {
    /// The machine.
    pub machine: MachineHandle,
    /// How its BMC is spoken to.
    pub protocol: BmcProtocol,
    /// Its BMC.
    pub bmc: SocketAddr,
    /// Its SSH port.
    pub ssh: SocketAddr,
    /// SHA-256 of the BMC certificate that the facts record; `None` without TLS.
    pub certificate: Option<Digest>,
    /// `SHA256:…` of the SSH host key that the facts record.
    pub host_key: String,
}

/// A running farm.
pub struct Farm {
    nodes: Vec<SimNode>,
    seed: Seed,
    clock: Clock,
    chain_url: ChainUrl,
    fleet: PrivateKey,
    password: String,
    plain_http: bool,
    tasks: Vec<AbortOnDropHandle<()>>,
    /// Keeps other farms off the port.
    _port: std::net::TcpListener,
}

impl Farm {
    /// Starts a farm; every listener is bound when this returns.
    ///
    /// # Errors
    /// [`FarmError`]; nothing is left running then.
    pub async fn start(spec: FarmSpec) -> Result<Self, FarmError> {
        let (claim, port) = claim_port()?;
        let clock = Clock::start(spec.speed);
        let chain_url = ChainUrl::default();
        chain_url.set(spec.chain_url.clone());
        let mut farm = Self {
            nodes: Vec::with_capacity(spec.nodes.len()),
            seed: spec.seed,
            clock,
            chain_url,
            fleet: keys::derive(spec.seed, "fleet")?,
            password: spec.seed.code("bmc-password", 16),
            plain_http: spec.plain_http,
            tasks: Vec::new(),
            _port: claim,
        };
        for node in &spec.nodes {
            farm.add(&spec, node, port).await?;
        }
        Ok(farm)
    }

    async fn add(&mut self, spec: &FarmSpec, node: &NodeSpec, port: u16) -> Result<(), FarmError> {
        let octet = |n: u32| u8::try_from(n).map_err(|_| FarmError::Shape(format!("{n} does not fit into an address")));
        let (rack, slot) = (octet(node.rack_number.saturating_add(10))?, octet(node.slot)?);
        let bmc = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, rack, slot, 1)), port);
        let ssh_address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, rack, slot, 2)), port);
        let identity = Arc::new(Identity::derive(
            spec.seed,
            node.id.clone(),
            node.rack.clone(),
            node.slot,
            node.profile,
            node.fitted.clone(),
            &node.faults,
        ));
        let account = (BMC_USER.to_owned(), self.password.clone());
        let machine = MachineHandle::new(self.clock, identity, node.faults.clone(), spec.durations, node.running, account);
        let mut certificate = None;
        match node.protocol {
            BmcProtocol::Redfish => {
                let recorded = Certified::derive(spec.seed, node.id.as_str())?;
                let shown = if machine.has(&Fault::WrongCert) {
                    Certified::derive(spec.seed, &format!("{}-other", node.id))?
                } else {
                    Certified::derive(spec.seed, node.id.as_str())?
                };
                let tls = if spec.plain_http { None } else { Some(Shown::new(&shown)?) };
                certificate = (!spec.plain_http).then(|| recorded.fingerprint());
                if !machine.has(&Fault::DeadBmc) {
                    let listener = TcpListener::bind(bmc).await.map_err(|e| FarmError::Listen(bmc, e))?;
                    self.spawn(redfish::serve(machine.clone(), listener, tls));
                }
            }
            BmcProtocol::Ipmi => {
                if !machine.has(&Fault::DeadBmc) {
                    let socket = UdpSocket::bind(bmc).await.map_err(|e| FarmError::Listen(bmc, e))?;
                    self.spawn(rmcp::serve(machine.clone(), socket));
                }
            }
        }
        let recorded_key = keys::derive(spec.seed, node.id.as_str())?;
        let host_key = keys::fingerprint(&recorded_key);
        let shown_key = if machine.has(&Fault::WrongHostKey) {
            keys::derive(spec.seed, &format!("{}-other", node.id))?
        } else {
            recorded_key
        };
        self.spawn(ssh::serve(machine.clone(), ssh_address, shown_key, self.fleet.public_key().clone()));
        let site = bootrom::Site { chain_url: self.chain_url.clone(), address: ssh_address.ip() };
        self.spawn(bootrom::run(machine.clone(), site));
        self.nodes.push(SimNode { machine, protocol: node.protocol, bmc, ssh: ssh_address, certificate, host_key });
        Ok(())
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    /// All machines, in the order of the specification.
    #[must_use]
    pub fn nodes(&self) -> &[SimNode] {
        &self.nodes
    }

    /// One machine by its node's name.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&SimNode> {
        self.nodes.iter().find(|n| n.machine.identity().node.as_str() == id)
    }

    /// Says where the site's DHCP chains to from now on.
    pub fn chain_to(&self, url: impl Into<String>) {
        self.chain_url.set(Some(url.into()));
    }

    /// Password of every BMC account. It protects a simulation and nothing else.
    #[must_use]
    pub fn bmc_password(&self) -> &str {
        &self.password
    }

    /// The SSH key that lets into every node. It protects a simulation and nothing else.
    #[must_use]
    pub fn fleet_key(&self) -> &PrivateKey {
        &self.fleet
    }

    /// Stops everything and waits until it has stopped, so that all ports are free again.
    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // Aborted on purpose: the join error says so and nothing else.
            drop(task.await);
        }
    }
}

/// A port that no other farm of this machine holds: whoever binds it on the last loopback address has it on all of the farm's addresses.
fn claim_port() -> Result<(std::net::TcpListener, u16), FarmError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = LAST_PORT - FIRST_PORT;
    let start = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + (start.wrapping_add(step)) % span;
        if let Ok(claim) = std::net::TcpListener::bind((Ipv4Addr::new(127, 255, 255, 253), port)) {
            return Ok((claim, port));
        }
    }
    Err(FarmError::NoPort)
}
