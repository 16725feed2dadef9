//! The socket loop around [`answer`]: it decides nothing. Each packet gets at most one back, what is held back is bounded, and a slow disk
//! or listener never makes a node wait.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::advert;
use super::answer::{Answer, Door, Identity, Mode, Reply, To, answer};
use super::book::Book;
use super::packet::LONGEST;
use super::registry::Registry;
use super::sight::Sight;
use super::socket::{DhcpError, index, own_address, udp};
use crate::boot::grant::now_ms;
use crate::boot::grants::Grants;

/// Answers that are held back at once; a fleet of 1,250 nodes asks once a second or two.
const HELD_BACK: usize = 4096;
/// How often what was seen is written to the disk.
const WRITE_DOWN: Duration = Duration::from_secs(1);
/// Pause after a socket's trouble, such as an interface that is down.
const PAUSE: Duration = Duration::from_millis(500);

/// UDP ports; others than the well-known ones are for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Where machines ask.
    pub server: u16,
    /// Where they listen.
    pub client: u16,
    /// Where they ask boot servers.
    pub boot_server: u16,
}

impl Default for Ports {
    /// 67, 68 and 4011.
    fn default() -> Self {
        Self { server: 67, client: 68, boot_server: 4011 }
    }
}

/// Where the server tells what it sees. Listeners that fall behind lose the oldest; the server never waits for one.
#[derive(Clone)]
pub struct DhcpLog(broadcast::Sender<Sight>);

impl Default for DhcpLog {
    fn default() -> Self {
        Self(broadcast::Sender::new(4096))
    }
}

impl DhcpLog {
    /// Listens from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Sight> {
        self.0.subscribe()
    }
}

/// How to serve.
#[derive(Clone)]
pub struct DhcpOptions {
    /// Name of the interface.
    pub interface: String,
    /// What is done.
    pub mode: Mode,
    /// Where our HTTP half listens; without an address of its own it is reached at the interface's.
    pub http: SocketAddr,
    /// UDP ports.
    pub ports: Ports,
    /// Send router advertisements.
    pub advertise: bool,
    /// Where to tell what is seen.
    pub log: DhcpLog,
}

/// A server whose sockets are open.
pub struct DhcpServer {
    shared: Shared,
    server: UdpSocket,
    boot_server: Option<UdpSocket>,
    client: Option<UdpSocket>,
    advert: Option<advert::Advertiser>,
}

#[derive(Clone)]
struct Shared {
    registry: Arc<Registry>,
    me: Arc<Identity>,
    ports: Ports,
    log: DhcpLog,
    book: Arc<Mutex<Book>>,
    places: Arc<Semaphore>,
}

impl DhcpServer {
    /// Opens the sockets. Needs an asynchronous runtime around it.
    ///
    /// # Errors
    /// [`DhcpError`]: what is missing, and what to do about it.
    pub fn bind(options: &DhcpOptions, registry: Arc<Registry>) -> Result<Self, DhcpError> {
        let (name, ports) = (options.interface.as_str(), options.ports);
        let index = index(name)?;
        let address = own_address(name)?;
        let any = |port| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        let beside = options.mode == Mode::Proxy;
        // A DHCP server of the site may run on this very machine: beside it the port is shared. Two servers that both give addresses must
        // not share it: the kernel then says that it is taken.
        let server = udp(name, any(ports.server), beside)?;
        let boot_server = beside.then(|| udp(name, any(ports.boot_server), true)).transpose()?;
        // Bound to the broadcast address, so that no packet to this machine's own DHCP client is taken away from it.
        let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, ports.client);
        let client = (!beside).then(|| udp(name, everyone, true)).transpose()?;
        let advert = options.advertise.then(|| advert::Advertiser::open(name, index)).transpose()?;
        let http = match options.http {
            SocketAddr::V4(at) if !at.ip().is_unspecified() => at,
            other => SocketAddrV4::new(address, other.port()),
        };
        let me = Identity { mode: options.mode, address, http: format!("http://{http}") };
        let shared = Shared {
            registry,
            me: Arc::new(me),
            ports,
            log: options.log.clone(),
            book: Arc::default(),
            places: Arc::new(Semaphore::new(HELD_BACK)),
        };
        Ok(Self { shared, server, boot_server, client, advert })
    }

    /// Who answers.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.me
    }

    /// Serves until `stop` is cancelled, and writes what it saw beside the grants.
    pub async fn run(self, grants: Grants, stop: CancellationToken) {
        let shared = self.shared;
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(shared.clone(), self.server, Door::Server, stop.clone()));
        if let Some(socket) = self.boot_server {
            tasks.spawn(listen(shared.clone(), socket, Door::BootServer, stop.clone()));
        }
        if let Some(socket) = self.client {
            tasks.spawn(listen(shared.clone(), socket, Door::Client, stop.clone()));
        }
        if let Some(advert) = self.advert {
            let shared = shared.clone();
            let stop = stop.clone();
            tasks.spawn(async move { advert.run(&|what| shared.tell(Sight::Trouble(what)), stop).await });
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(WRITE_DOWN) => shared.write_down(&grants).await,
            }
        }
        while tasks.join_next().await.is_some() {}
        shared.write_down(&grants).await;
    }
}

impl Shared {
    fn tell(&self, sight: Sight) {
        let news = self.book.lock().unwrap_or_else(PoisonError::into_inner).note(&sight, now_ms());
        if news {
            // Nobody listening is no trouble.
            drop(self.log.0.send(sight));
        }
    }

    async fn write_down(&self, grants: &Grants) {
        let lost = self.book.lock().unwrap_or_else(PoisonError::into_inner).lost();
        if lost > 0 {
            // Before the rest is taken, so that it is written down with it.
            self.tell(Sight::Trouble("more was seen than can be kept: is something flooding this network?".into()));
        }
        let news = self.book.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms());
        if !news.is_empty()
            && let Err(error) = grants.saw(news).await
        {
            self.tell(Sight::Trouble(format!("what was seen could not be written down: {error}")));
        }
    }

    fn target(&self, to: To) -> SocketAddrV4 {
        match to {
            To::Everyone => SocketAddrV4::new(Ipv4Addr::BROADCAST, self.ports.client),
            To::Client(address) => SocketAddrV4::new(address, self.ports.client),
            To::Relay(address) => SocketAddrV4::new(address, self.ports.server),
            To::Sender(address) => address,
        }
    }

    /// Sends, and tells what was given only when it went out.
    async fn send(&self, socket: &UdpSocket, reply: &Reply, sights: Vec<Sight>) {
        let target = self.target(reply.to);
        match socket.send_to(&reply.bytes, target).await {
            Ok(_) => sights.into_iter().for_each(|sight| self.tell(sight)),
            Err(error) => self.tell(Sight::Trouble(format!("an answer to {target} could not be sent: {error}"))),
        }
    }
}

async fn listen(shared: Shared, socket: UdpSocket, door: Door, stop: CancellationToken) {
    let socket = Arc::new(socket);
    // One byte more than is read, so that a longer packet is seen to be longer.
    let mut buffer = [0; LONGEST + 1];
    loop {
        let got = tokio::select! {
            () = stop.cancelled() => return,
            got = socket.recv_from(&mut buffer) => got,
        };
        match got {
            Ok((length, SocketAddr::V4(from))) => {
                let packet = buffer.get(..length).unwrap_or_default();
                let Answer { reply, sights } = answer(packet, from, door, &shared.registry, &shared.me);
                match reply {
                    None => sights.into_iter().for_each(|sight| shared.tell(sight)),
                    Some(reply) if reply.delay.is_zero() => shared.send(&socket, &reply, sights).await,
                    Some(reply) => later(&shared, &socket, reply, sights, &stop),
                }
            }
            Ok(_) => {}
            Err(error) => {
                pause(&shared, door, &error).await;
            }
        }
    }
}

/// Holds an answer back. When too many are, this one is left out, which is told: the node asks again.
fn later(shared: &Shared, socket: &Arc<UdpSocket>, reply: Reply, sights: Vec<Sight>, stop: &CancellationToken) {
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        return shared.tell(Sight::Trouble(format!("{HELD_BACK} answers are held back by `reply_delay`, and more are left out")));
    };
    let (shared, socket, stop) = (shared.clone(), Arc::clone(socket), stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(reply.delay) => shared.send(&socket, &reply, sights).await,
        }
        drop(place);
    });
}

async fn pause(shared: &Shared, door: Door, error: &io::Error) {
    let port = match door {
        Door::Server => shared.ports.server,
        Door::BootServer => shared.ports.boot_server,
        Door::Client => shared.ports.client,
    };
    shared.tell(Sight::Trouble(format!("port {port}: {error}")));
    tokio::time::sleep(PAUSE).await;
}
