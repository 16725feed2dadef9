//! One UDP socket per address family for all BMCs. A reader task sorts what comes in by (source address, our session id) into small mailboxes. It
//! opens no packet and answers none.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::packet::{self, COVERED_FROM, MAX_PACKET, Payload};
use super::rtt::{Fleet, Rtt};

/// What the kernel is asked to hold for us; it gives at most `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Packets that one session may have waiting. It has one request out, so more than two are duplicates.
const MAILBOX: usize = 16;
/// Requests that may be on their way at once before the receive buffer is known, and as many as fit it then: the answers must not overflow it,
/// which Debian's `rmem_max` of 208 KiB does at 277.
const IN_FLIGHT: usize = 256;
const MOST_IN_FLIGHT: usize = 4096;
/// What the kernel charges for one waiting answer: a small datagram with its bookkeeping takes 768 bytes, and up to twice that with some drivers.
const CHARGE: usize = 1536;
/// How long a question holds its place among them: what has not come by then fills no buffer, and a dead BMC must not keep the others waiting.
const PLACE: Duration = Duration::from_millis(60);

/// Packets that were not let through, by reason.
#[derive(Debug, Default)]
pub struct Dropped {
    /// From nobody that we wait for, or not RMCP+.
    pub strangers: AtomicU64,
    /// The mailbox was full.
    pub overflow: AtomicU64,
    /// Forged, replayed, garbled or for another session.
    pub refused: AtomicU64,
    /// Genuine answers to a question that is no longer open.
    pub late: AtomicU64,
}

/// The way out to all IPMI BMCs.
pub struct Lan {
    v4: OnceLock<Half>,
    v6: OnceLock<Half>,
    opening: Mutex<()>,
    table: Arc<Table>,
    window: Semaphore,
    fleet: Mutex<Fleet>,
}

struct Half {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[derive(Default)]
struct Table {
    /// By BMC: seldom more than one line each.
    lines: Mutex<HashMap<SocketAddr, Vec<Entry>>>,
    dropped: Dropped,
}

/// A line as the reader finds it.
struct Entry {
    session: u32,
    /// Finds refusals in which a BMC left our session id 0; gone when the handshake is over.
    tag: Option<u8>,
    mailbox: Weak<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    queue: Mutex<VecDeque<Box<[u8]>>>,
    arrived: Notify,
    /// Packets of this BMC's address that were for nobody here.
    astray: AtomicU32,
    /// The BMC has answered a greeting, in the wrapper of IPMI 1.5.
    greeted: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lan {
    /// A way out that opens its sockets when first needed.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            v4: OnceLock::new(),
            v6: OnceLock::new(),
            opening: Mutex::new(()),
            table: Arc::default(),
            window: Semaphore::new(IN_FLIGHT),
            fleet: Mutex::default(),
        })
    }

    /// How long to wait for a BMC of which nothing was heard yet: as the others of this network were measured.
    pub(super) fn rtt(&self) -> Rtt {
        lock(&self.fleet).stranger()
    }

    /// A BMC's first answer took so long.
    pub(super) fn measured(&self, took: Duration) {
        lock(&self.fleet).measured(took);
    }

    /// What was turned away so far.
    #[must_use]
    pub fn dropped(&self) -> &Dropped {
        &self.table.dropped
    }

    fn half(&self, to: SocketAddr) -> io::Result<&Half> {
        let cell = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(half) = cell.get() {
            return Ok(half);
        }
        let _one_at_a_time = lock(&self.opening);
        if let Some(half) = cell.get() {
            return Ok(half);
        }
        let any: SocketAddr = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let buffer = socket2::SockRef::from(&socket);
        // A smaller buffer than asked for lets fewer questions out at once, nothing else.
        let _granted = buffer.set_recv_buffer_size(RECEIVE_BUFFER);
        let fits = buffer.recv_buffer_size().unwrap_or(0) / CHARGE;
        self.window.add_permits(fits.min(MOST_IN_FLIGHT).saturating_sub(IN_FLIGHT));
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let reader = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&self.table))).abort_handle();
        Ok(cell.get_or_init(|| Half { socket, reader }))
    }

    /// A line to one BMC for one handshake attempt and the session that comes of it. Draws an id and a tag that nobody else at this address uses.
    pub(super) fn line(self: &Arc<Self>, to: SocketAddr) -> Line {
        let mailbox = Arc::new(Mailbox::default());
        let mut lines = lock(&self.table.lines);
        let entries = lines.entry(to).or_default();
        entries.retain(|entry| entry.mailbox.strong_count() > 0);
        let (session, tag) = loop {
            let (session, tag): (u32, u8) = (rand::random(), rand::random());
            if session != 0 && entries.iter().all(|entry| entry.session != session && entry.tag != Some(tag)) {
                break (session, tag);
            }
        };
        entries.push(Entry { session, tag: Some(tag), mailbox: Arc::downgrade(&mailbox) });
        drop(lines);
        Line { lan: Arc::clone(self), to, session, tag: Some(tag), mailbox }
    }
}

async fn read(socket: Arc<UdpSocket>, table: Arc<Table>) {
    let mut buffer = [0u8; MAX_PACKET + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => table.deliver(from, buffer.get(..len).unwrap_or_default()),
            // An ICMP error of some earlier packet (Linux reports those on the socket); the next call clears it.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

impl Table {
    fn deliver(&self, from: SocketAddr, bytes: &[u8]) {
        let Some(mailbox) = self.find(from, bytes) else {
            self.dropped.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut queue = lock(&mailbox.queue);
        if queue.len() >= MAILBOX {
            self.dropped.overflow.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.push_back(bytes.into());
        drop(queue);
        mailbox.arrived.notify_one();
    }

    /// Whose packet it is. Of a BMC that somebody speaks to, what is for nobody is told to all who do.
    fn find(&self, from: SocketAddr, bytes: &[u8]) -> Option<Arc<Mailbox>> {
        let lines = lock(&self.lines);
        let entries = lines.get(&from)?;
        let owner = packet::decode(bytes).and_then(|packet| {
            let get = |wanted: u32| entries.iter().find(|entry| entry.session == wanted);
            match packet.payload {
                Payload::Message | Payload::Sol => get(packet.session),
                Payload::OpenResponse | Payload::Rakp2 | Payload::Rakp4 => match packet.data {
                    // Both kinds of answer carry our session id at offset 4 (§13.18, §13.21).
                    [_, 0, _, _, a, b, c, d, ..] => get(u32::from_le_bytes([*a, *b, *c, *d])),
                    [tag, ..] => entries.iter().find(|entry| entry.tag == Some(*tag)),
                    [] => None,
                },
                Payload::OpenRequest | Payload::Rakp1 | Payload::Rakp3 => None,
            }
        });
        if let Some(mailbox) = owner.and_then(|entry| entry.mailbox.upgrade()) {
            return Some(mailbox);
        }
        // An answer in the wrapper of IPMI 1.5 is one to our own greeting before a handshake.
        let greeting = bytes.get(COVERED_FROM) == Some(&0);
        for mailbox in entries.iter().filter_map(|entry| entry.mailbox.upgrade()) {
            if greeting {
                mailbox.greeted.store(true, Ordering::Relaxed);
                mailbox.arrived.notify_one();
            } else {
                mailbox.astray.fetch_add(1, Ordering::Relaxed);
            }
        }
        None
    }
}

/// A line to one BMC. Dropping it takes its mailbox out of the table.
pub(super) struct Line {
    lan: Arc<Lan>,
    to: SocketAddr,
    session: u32,
    tag: Option<u8>,
    mailbox: Arc<Mailbox>,
}

impl Line {
    pub(super) fn session(&self) -> u32 {
        self.session
    }

    /// The tag of the handshake; 0 once the handshake is over.
    pub(super) fn tag(&self) -> u8 {
        self.tag.unwrap_or(0)
    }

    pub(super) fn lan(&self) -> &Arc<Lan> {
        &self.lan
    }

    /// Packets from this BMC's address that were for nobody here, since this was last asked.
    pub(super) fn astray(&self) -> u32 {
        self.mailbox.astray.swap(0, Ordering::Relaxed)
    }

    /// The handshake is over: its tag is free again and what still waits of it is thrown away.
    pub(super) fn established(&mut self) {
        if self.tag.take().is_some()
            && let Some(entries) = lock(&self.lan.table.lines).get_mut(&self.to)
        {
            entries.iter_mut().filter(|entry| entry.session == self.session).for_each(|entry| entry.tag = None);
        }
        *lock(&self.mailbox.queue) = VecDeque::new();
    }

    /// Sends one packet now.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.lan.half(self.to)?.socket.send_to(bytes, self.to).await.map(drop)
    }

    /// Sends if the socket takes it at once; for farewells, which nobody waits for.
    pub(super) fn send_if_ready(&self, bytes: &[u8]) {
        if let Ok(half) = self.lan.half(self.to) {
            let _lost_if_busy = half.socket.try_send_to(bytes, self.to);
        }
    }

    /// Sends a greeting and waits until the BMC has answered it; false when it has not within `patience`.
    pub(super) async fn greet(&self, bytes: &[u8], patience: Duration) -> io::Result<bool> {
        self.send(bytes).await?;
        let answered = async {
            while !self.mailbox.greeted.load(Ordering::Relaxed) {
                self.mailbox.arrived.notified().await;
            }
        };
        Ok(tokio::time::timeout(patience, answered).await.is_ok())
    }

    /// Sends, then gives each packet that comes in to `judge` until it answers `Some` or `patience` is over. The patience is looked at again and again:
    /// with a BMC of which nothing is known it shrinks as the others of its network answer.
    ///
    /// A place in the window is held for a moment, so a dead BMC delays nobody.
    pub(super) async fn ask<T>(
        &self,
        bytes: &[u8],
        patience: impl Fn() -> Duration,
        mut judge: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        // The semaphore is never closed; an error would only mean "no limit".
        let place = self.lan.window.acquire().await.ok();
        self.send(bytes).await?;
        let asked = Instant::now();
        let mut judged = std::pin::pin!(async {
            loop {
                if let Some(done) = judge(&self.receive().await) {
                    return done;
                }
            }
        });
        if let Ok(done) = tokio::time::timeout(PLACE.min(patience()), judged.as_mut()).await {
            return Ok(Some(done));
        }
        drop(place);
        loop {
            let left = patience().saturating_sub(asked.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if let Ok(done) = tokio::time::timeout(left.min(PLACE), judged.as_mut()).await {
                return Ok(Some(done));
            }
        }
    }

    /// The next packet that comes in. Dropping the wait loses none.
    pub(super) async fn receive(&self) -> Box<[u8]> {
        loop {
            let next = lock(&self.mailbox.queue).pop_front();
            match next {
                Some(packet) => return packet,
                None => self.mailbox.arrived.notified().await,
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = lock(&self.lan.table.lines);
        if let Some(entries) = lines.get_mut(&self.to) {
            entries.retain(|entry| entry.session != self.session);
            if entries.is_empty() {
                lines.remove(&self.to);
            }
        }
    }
}
