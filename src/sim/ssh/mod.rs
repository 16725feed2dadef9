//! SSH into a simulated system: `exec` requests only, public-key only, on the node's own address. The port is open exactly while a system is up;
//! when the system goes, its connections break as they would.

pub mod files;
pub mod guest;
mod installer;
pub mod keys;
mod program;
pub mod words;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::guest::{Guest, Printed, Ran, Receive};
use super::fault::Fault;
use super::handle::MachineHandle;

/// Connections that one node takes (sshd's `MaxStartups` begins to drop at 10).
const CONNECTIONS: usize = 32;
/// Channels that one connection takes (sshd's `MaxSessions`).
const CHANNELS: usize = 10;
/// Longest command line.
const LINE: usize = 128 * 1024;

/// Serves a machine's systems, one after another, until dropped.
pub async fn serve(machine: MachineHandle, address: SocketAddr, host_key: PrivateKey, fleet: PublicKey) {
    let config = Arc::new(Config {
        server_id: SshId::Standard("SSH-2.0-bringup_sim".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(20),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        nodelay: true,
        ..Config::default()
    });
    let mut systems = machine.watch_system();
    if machine.has(&Fault::SshNever) {
        return;
    }
    loop {
        let system = systems.borrow_and_update().clone();
        let Some(system) = system else {
            if systems.changed().await.is_err() {
                return;
            }
            continue;
        };
        let guest = Arc::new(Mutex::new(Guest::new(machine.clone(), system)));
        // Whatever is under way ends here when the system goes: listener and connections are dropped together.
        tokio::select! {
            () = listen(&config, address, &guest, &fleet) => {}
            changed = systems.changed() => if changed.is_err() { return },
        }
    }
}

async fn listen(config: &Arc<Config>, address: SocketAddr, guest: &Arc<Mutex<Guest>>, fleet: &PublicKey) {
    let Ok(listener) = TcpListener::bind(address).await else {
        // Someone else's port; it may be given back.
        tokio::time::sleep(Duration::from_millis(200)).await;
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() < CONNECTIONS {
            let login =
                Login { guest: Arc::clone(guest), fleet: fleet.clone(), receiving: HashMap::new(), channels: HashSet::new() };
            connections.spawn(converse(Arc::clone(config), stream, login));
        }
    }
}

/// russh runs a session in a task of its own, which outlives whoever drops it. Between it and the socket lies a pipe that this task owns, so
/// that the connection ends with the system.
async fn converse(config: Arc<Config>, mut stream: TcpStream, login: Login) {
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let started = russh::server::run_stream(config, far, login);
    let session = async {
        if let Ok(running) = started.await {
            drop(running.await);
        }
    };
    let pipe = tokio::io::copy_bidirectional(&mut stream, &mut near);
    let (piped, ()) = tokio::join!(pipe, session);
    drop(piped);
}

struct Login {
    guest: Arc<Mutex<Guest>>,
    fleet: PublicKey,
    receiving: HashMap<ChannelId, Receive>,
    channels: HashSet<ChannelId>,
}

impl Login {
    fn guest(&self) -> MutexGuard<'_, Guest> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, line: &[u8]) -> Ran {
        let line = match std::str::from_utf8(line) {
            Ok(line) if line.len() <= LINE => line,
            _ => return Ran::Done(Printed::fail(126, "sh: the command line is too long or not UTF-8")),
        };
        match words::split(line) {
            Ok(argv) => self.guest().run(&argv),
            Err(why) => Ran::Done(Printed::fail(2, format!("sh: {why}"))),
        }
    }
}

fn print(printed: Printed, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
    if !printed.stdout.is_empty() {
        session.data(channel, printed.stdout)?;
    }
    if !printed.stderr.is_empty() {
        session.extended_data(channel, 1, printed.stderr.into_bytes())?;
    }
    session.exit_status_request(channel, printed.exit)?;
    session.eof(channel)?;
    session.close(channel)
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _user: &str, key: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if key.public_key.key_data() == self.fleet.key_data() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = key.public_key.key_data() == self.fleet.key_data();
        Ok(if known && user == "root" { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // A dropped reply is a refusal.
        if self.channels.len() < CHANNELS {
            self.channels.insert(channel.id());
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        match self.start(data) {
            Ran::Done(printed) => {
                // The side that closes first is not told of the other's close.
                self.channels.remove(&channel);
                print(printed, channel, session)
            }
            Ran::Waits(receive) => {
                self.receiving.insert(channel, *receive);
                Ok(())
            }
        }
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(receive) = self.receiving.get_mut(&channel) {
            receive.file.take(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        if let Some(receive) = self.receiving.remove(&channel) {
            let printed = self.guest().received(receive);
            self.channels.remove(&channel);
            print(printed, channel, session)?;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.receiving.remove(&channel);
        self.channels.remove(&channel);
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, _name: &str, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
