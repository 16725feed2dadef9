//! One node's shell over one SSH connection: opened when first needed, shared by all its commands, opened again after a reboot.
//! It never runs a command twice: only opening a channel, which runs nothing, is tried again on a fresh connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use russh::Channel;
use russh::client::{Handle, Msg};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::connect::connect;
use super::key::PrivateKeyText;
use super::trust::{FirstContact, Guard, HostKeys, Trust};
use super::{Pushed, Shell, ShellError, ShellTrouble, escape, push, run};
use crate::model::{Answer, Artifact, Probe};

/// Longest wait for a channel on a connection that is believed to be alive.
const OPEN: Duration = Duration::from_secs(10);
/// Commands at once on one connection. OpenSSH refuses the eleventh session (`MaxSessions 10`), and counts those that have ended until it has read
/// all that came with their end: five that just ended and five new ones are ten.
const AT_ONCE: usize = 5;
/// All but one.
const OTHERS: u32 = 4;
/// How long a refused session is asked for again when no command of ours has one; a server that allows fewer has a place again when one has ended.
const CROWDED: Duration = Duration::from_secs(5);
/// Between two such questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a node's shell is, how to open it, and whom to believe there. It has no `Debug`: it holds the key.
pub struct SshOptions {
    /// Address and port.
    pub address: SocketAddr,
    /// Account. Its login shell must be a POSIX shell.
    pub user: String,
    /// Private key.
    pub key: PrivateKeyText,
    /// Accepted host keys as `SHA256:…`; empty means first contact.
    pub host_keys: BTreeSet<String>,
    /// What to do at first contact.
    pub first_contact: FirstContact,
}

impl SshOptions {
    pub(super) fn doing(&self) -> String {
        format!("ssh {}@{}", escape::shown(self.user.as_bytes()), self.address)
    }
}

/// A [`Shell`] over SSH.
pub struct SshShell {
    pub(super) options: SshOptions,
    /// By the options alone.
    written: Arc<Trust>,
    /// Asked before each connection, and whom to believe by what it said last.
    asked: Option<Arc<dyn HostKeys>>,
    trust: Mutex<Arc<Trust>>,
    /// The cell makes callers that come at the same time share one connection attempt; it is replaced when its connection is dead.
    link: Mutex<Link>,
    slots: Semaphore,
    /// Sessions are opened one by one, in the order of asking: with a server that allows few, nobody is overtaken for ever.
    turn: tokio::sync::Mutex<()>,
}

type Link = Arc<OnceCell<Arc<Handle<Guard>>>>;

/// A channel on which nothing has been run yet, and the place that it takes.
pub(super) struct Line<'a> {
    pub(super) channel: Channel<Msg>,
    kept: Kept<'a>,
}

/// Keeps the connection open and the place taken while a channel is used.
pub(super) struct Kept<'a> {
    handle: Arc<Handle<Guard>>,
    _slot: SemaphorePermit<'a>,
}

impl<'a> Line<'a> {
    /// Another channel of the same connection; takes no place.
    pub(super) async fn beside(&self) -> Result<Channel<Msg>, russh::Error> {
        self.kept.handle.channel_open_session().await
    }

    pub(super) fn into_parts(self) -> (Channel<Msg>, Kept<'a>) {
        (self.channel, self.kept)
    }
}

impl SshShell {
    /// Makes no connection yet.
    #[must_use]
    pub fn new(options: SshOptions) -> Self {
        let written = Arc::new(Trust::new(&options.host_keys, options.first_contact));
        let trust = Mutex::new(Arc::clone(&written));
        Self {
            options,
            written,
            asked: None,
            trust,
            link: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The same for a node whose host key may be another one at each connection.
    #[must_use]
    pub fn asking(self, keys: Arc<dyn HostKeys>) -> Self {
        Self { asked: Some(keys), ..self }
    }

    /// Whom to believe at the connection that is made next.
    async fn trust(&self) -> Result<Arc<Trust>, ShellError> {
        let Some(asked) = &self.asked else { return Ok(Arc::clone(&self.written)) };
        let more = asked.now().await.map_err(|source| ShellError {
            doing: self.options.doing(),
            seen: "the host key that its boot brought cannot be looked up".into(),
            kind: ShellTrouble::Refused,
            source: Some(source),
        })?;
        let trust = match more {
            None => Arc::clone(&self.written),
            Some(more) => {
                let all = self.options.host_keys.union(&more).cloned().collect();
                Arc::new(Trust::new(&all, FirstContact::Refuse))
            }
        };
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&trust);
        Ok(trust)
    }

    /// Opens a channel, over the connection that is there or over a fresh one.
    pub(super) async fn line(&self) -> Result<Line<'_>, ShellError> {
        let doing = self.options.doing();
        let closed = |error| ShellError::lost(doing.clone(), "the shell was closed", error);
        let _turn = self.turn.lock().await;
        let slot = self.slots.acquire().await.map_err(closed)?;
        let mut last = None;
        // The connection that is there may have died unseen in a reboot; a fresh one may not.
        for _ in 0..2 {
            let handle = self.handle().await?;
            let error = match self.session(&handle).await {
                Ok(Ok(channel)) => return Ok(Line { channel, kept: Kept { handle, _slot: slot } }),
                Ok(Err(error @ russh::Error::ChannelOpenFailure(_))) => {
                    return Err(ShellError {
                        doing,
                        seen: "the node refused a session".into(),
                        kind: ShellTrouble::Refused,
                        source: Some(Box::new(error)),
                    });
                }
                Ok(Err(error)) => ShellError::lost(doing.clone(), "the connection is broken", error),
                Err(_) => ShellError::new(doing.clone(), ShellTrouble::TimedOut, "no session within 10 s"),
            };
            self.forget(&handle);
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| ShellError::new(doing, ShellTrouble::Unreachable, "no session")))
    }

    /// A session, which runs nothing yet; asked for again while the refusal may come from our own number.
    async fn session(&self, handle: &Handle<Guard>) -> Result<Result<Channel<Msg>, russh::Error>, Elapsed> {
        let mut until = Instant::now() + CROWDED;
        loop {
            match timeout(OPEN, handle.channel_open_session()).await {
                Ok(Err(russh::Error::ChannelOpenFailure(_))) if Instant::now() < until => sleep(PAUSE).await,
                end => return end,
            }
            // Whose turn it is has one place; who has another runs something, which has a deadline.
            if self.slots.available_permits() + 1 < AT_ONCE {
                until = Instant::now() + CROWDED;
            }
        }
    }

    /// Takes every place but the caller's own, when they are all free.
    pub(super) fn others(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.try_acquire_many(OTHERS).ok()
    }

    async fn handle(&self) -> Result<Arc<Handle<Guard>>, ShellError> {
        let cell = {
            let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            if link.get().is_some_and(|handle| handle.is_closed()) {
                *link = Link::default();
            }
            Arc::clone(&link)
        };
        let fresh = || async {
            let trust = self.trust().await?;
            connect(&self.options, &trust).await.map(Arc::new)
        };
        cell.get_or_try_init(fresh).await.cloned()
    }

    /// Drops a connection that does not answer, unless somebody has replaced it already.
    fn forget(&self, dead: &Arc<Handle<Guard>>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.get().is_some_and(|held| Arc::ptr_eq(held, dead)) {
            *link = Link::default();
        }
    }
}

#[async_trait]
impl Shell for SshShell {
    async fn boot_id(&self) -> Result<String, ShellError> {
        run::boot_id(self).await
    }

    async fn run(&self, probe: &Probe) -> Result<Answer, ShellError> {
        run::run(self, probe).await
    }

    async fn push(&self, artifact: &Artifact, to: &str, mode: u32) -> Result<Pushed, ShellError> {
        push::push(self, artifact, to, mode).await
    }

    fn host_key(&self) -> Option<String> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).accepted()
    }

    async fn close(&self) {
        let cell = std::mem::take(&mut *self.link.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(handle) = cell.get() {
            // The far end is told when it still listens; the connection ends either way when the handle is dropped.
            let bye = handle.disconnect(russh::Disconnect::ByApplication, "done", "");
            drop(timeout(Duration::from_secs(1), bye).await);
        }
    }
}
