//! Files on their way to a node: without a copy where the road allows it, in their turn, within the budget. When a file was changed while it
//! was sent, the answer is cut short, so that the node sees a broken transfer and not a wrong file. A boot medium is files and made bytes in turn.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::page;
use super::road::Road;
use super::wire::{STALLED, Wire, patient, stalled};
use crate::boot::artifact::Stamp;
use crate::boot::server::{BootLog, Seen};
use crate::boot::storm::{Lane, PACE, Pass, Storm};

/// Held back until the file has been looked at for the last time.
const LAST: u64 = 16 << 10;
/// A block in memory where copies must be made (TLS).
const BLOCK: usize = 64 << 10;
/// Files up to this length wait for nobody: scripts, loaders, stages. Debian's `ipxe.efi` has 1.1 MiB.
const SMALL: u64 = 2 << 20;
/// Who waits for its turn gets this much now and then: clients give up on a server that says nothing (EDK II after 5 s).
const CRUMB: usize = 512;
const CRUMB_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the kernel's own queue; the kernel gives a dead client up after a minute (`TCP_USER_TIMEOUT`).
const DRAIN: Duration = Duration::from_secs(15 * 60);

/// Tells the log when the sending ends, however it ends.
struct Tell<'a> {
    seen: Option<Seen>,
    sent: u64,
    log: &'a BootLog,
}

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if let Some(mut seen) = self.seen.take() {
            seen.bytes = self.sent;
            self.log.tell(seen);
        }
    }
}

/// Bytes of a file that must not change meanwhile.
pub(super) struct Part {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) left: u64,
    /// Of the file, when its digest was looked at.
    pub(super) stamp: Stamp,
}

impl Part {
    /// A file, or the slice of it that was asked for.
    pub(super) fn of(file: File, stamp: Stamp, slice: (u64, u64)) -> Self {
        Self { file: Arc::new(file), at: slice.0, left: slice.1, stamp }
    }
}

struct Trip<'a, S> {
    wire: &'a mut Wire<S>,
    lane: Lane,
    tell: Tell<'a>,
    pass: Option<Pass>,
    /// The file system has no `sendfile`, or the road is no bare socket.
    copies: bool,
    block: Vec<u8>,
}

/// A stretch of what is sent.
pub(super) enum Load {
    /// Of a file.
    File(Part),
    /// Made in memory.
    Bytes(Bytes),
}

impl Load {
    fn left(&self) -> u64 {
        match self {
            Self::File(part) => part.left,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// Sends the head, and then one load after the other.
pub(super) async fn send<S: Road>(
    wire: &mut Wire<S>,
    head: &[u8],
    mut loads: VecDeque<Load>,
    seen: Seen,
    log: &BootLog,
    storm: &Storm,
) -> io::Result<()> {
    let lane = storm.lane(seen.node.as_ref());
    let copies = wire.road.bare().is_none();
    let tell = Tell { seen: Some(seen), sent: 0, log };
    let mut trip = Trip { wire, lane, tell, pass: None, copies, block: Vec::new() };
    let all: u64 = loads.iter().map(Load::left).sum();
    if all == 0 {
        trip.wire.write(head).await?;
    } else {
        trip.wire.write_head(head).await?;
    }
    if all > SMALL
        && let Some(first) = loads.front_mut()
    {
        trip.turn(first, storm).await?;
    }
    while let Some(load) = loads.pop_front() {
        let more = loads.iter().any(|load| matches!(load, Load::File(_)));
        match load {
            Load::File(part) => trip.file(part, more).await?,
            Load::Bytes(bytes) => trip.bytes(bytes).await?,
        }
    }
    patient(trip.wire.road.flush()).await
}

impl<S: Road> Trip<'_, S> {
    fn count(&mut self, sent: usize) {
        self.lane.sent(sent);
        self.tell.sent = self.tell.sent.saturating_add(u64::try_from(sent).unwrap_or_default());
    }

    /// Waits for a place among those that are being sent.
    async fn turn(&mut self, first: &mut Load, storm: &Storm) -> io::Result<()> {
        let mut turn = std::pin::pin!(storm.turn());
        loop {
            match timeout(CRUMB_EVERY, turn.as_mut()).await {
                Ok(pass) => {
                    self.pass = Some(pass);
                    return Ok(());
                }
                Err(_) => match first {
                    Load::File(part) if part.left > SMALL => {
                        page::warm(&part.file, part.at, CRUMB).await?;
                        self.some(part, CRUMB).await?;
                    }
                    Load::Bytes(bytes) if bytes.len() > CRUMB => {
                        self.wire.write(&bytes.split_to(CRUMB)).await?;
                        self.count(CRUMB);
                    }
                    _ => {}
                },
            }
        }
    }

    async fn bytes(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let most = self.lane.take(bytes.len().min(BLOCK)).await;
            let now = bytes.split_to(most.clamp(1, bytes.len()));
            self.wire.write(&now).await?;
            self.count(now.len());
        }
        Ok(())
    }

    /// `more`: another file follows, and goes in the same turn.
    async fn file(&mut self, mut part: Part, more: bool) -> io::Result<()> {
        let (begun, mut warm) = (part.at, part.at);
        while part.left > LAST {
            let most = usize::try_from(part.left - LAST).unwrap_or(usize::MAX);
            let mut most = self.lane.take(most).await;
            if part.at >= warm {
                page::warm(&part.file, part.at, most).await?;
                warm = part.at.saturating_add(u64::try_from(most).unwrap_or_default());
            }
            most = usize::try_from(warm - part.at).unwrap_or(most).min(most);
            self.some(&mut part, most).await?;
        }
        if part.at > begun
            && !self.copies
            && let Some(socket) = self.wire.road.bare()
        {
            if !more {
                // The next in line need not wait for this client's network.
                self.pass = None;
            }
            timeout(DRAIN, page::drained(socket)).await.map_err(|_| stalled())??;
        }
        // The last look: all that is on the wire by then was the file's content.
        let length = usize::try_from(part.left).map_err(io::Error::other)?;
        let rest = page::read(&part.file, part.at, vec![0; length]).await?;
        if Stamp::of(&part.file.metadata()?) != part.stamp {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file was changed while it was sent"));
        }
        self.wire.write(&rest).await?;
        self.count(length);
        Ok(())
    }

    /// Sends up to so many bytes, which are in memory. Who takes them slowly while others wait gives up its place, and goes on beside them.
    async fn some(&mut self, part: &mut Part, most: usize) -> io::Result<()> {
        let (mut begun, since) = (Instant::now(), Instant::now());
        let sent = loop {
            match timeout(PACE, self.once(part, most)).await {
                Ok(sent) => break sent?,
                Err(_) if since.elapsed() >= STALLED => return Err(stalled()),
                Err(_) => {
                    if let Some(pass) = &mut self.pass {
                        pass.moved(0, begun.elapsed());
                    }
                    begun = Instant::now();
                }
            }
        };
        if let Some(pass) = &mut self.pass {
            pass.moved(sent, begun.elapsed());
        }
        self.count(sent);
        let sent = u64::try_from(sent).unwrap_or_default();
        (part.at, part.left) = (part.at.saturating_add(sent), part.left.saturating_sub(sent));
        Ok(())
    }

    /// May be dropped at any await: what was not returned as sent was not sent.
    async fn once(&mut self, part: &Part, most: usize) -> io::Result<usize> {
        if let Some(socket) = self.wire.road.bare().filter(|_| !self.copies) {
            match page::send(socket, &part.file, part.at, most).await {
                // Not every file system can (FUSE, some network file systems).
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    self.copies = true;
                }
                other => return other,
            }
        }
        self.block.resize(most.min(BLOCK), 0);
        part.file.read_exact_at(&mut self.block, part.at)?;
        match self.wire.road.write(&self.block).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }
}
