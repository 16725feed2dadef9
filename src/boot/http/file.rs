//! A file on its way to a node: without a copy where the road allows it, in its turn, within the budget. When the file was changed while it
//! was sent, the answer is cut short, so that the node sees a broken transfer and not a wrong file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::page;
use super::road::Road;
use super::wire::{STALLED, Wire, patient, stalled};
use crate::boot::answer::Sending;
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

struct Way<'a, S> {
    wire: &'a mut Wire<S>,
    file: Arc<File>,
    at: u64,
    left: u64,
    /// Up to here the file was seen to be in memory.
    warm: u64,
    stamp: Stamp,
    lane: Lane,
    tell: Tell<'a>,
    /// This file system has no `sendfile`, or the road is no bare socket.
    copies: bool,
    block: Vec<u8>,
}

/// Sends the head, and then the file or the part of it that was asked for.
pub(super) async fn send<S: Road>(
    wire: &mut Wire<S>,
    head: &[u8],
    sending: Sending,
    log: &BootLog,
    storm: &Storm,
) -> io::Result<()> {
    let (at, left) = sending.slice.unwrap_or((0, sending.length));
    let lane = storm.lane(sending.seen.node.as_ref());
    let tell = Tell { seen: Some(sending.seen), sent: 0, log };
    let copies = wire.road.bare().is_none();
    let mut way = Way {
        wire,
        file: Arc::new(sending.file),
        at,
        left,
        warm: at,
        stamp: sending.stamp,
        lane,
        tell,
        copies,
        block: Vec::new(),
    };
    way.wire.write_head(head).await?;
    let mut pass = if left > SMALL { Some(way.turn(storm).await?) } else { None };
    while way.left > LAST {
        let most = usize::try_from(way.left - LAST).unwrap_or(usize::MAX);
        let most = way.lane.take(most).await;
        way.some(most, pass.as_mut()).await?;
    }
    way.last(pass).await
}

impl<S: Road> Way<'_, S> {
    /// Waits for a place among those that are being sent.
    async fn turn(&mut self, storm: &Storm) -> io::Result<Pass> {
        let mut turn = std::pin::pin!(storm.turn());
        loop {
            match timeout(CRUMB_EVERY, turn.as_mut()).await {
                Ok(pass) => return Ok(pass),
                Err(_) => self.some(CRUMB, None).await?,
            }
        }
    }

    /// Sends up to so many bytes. Who takes them slowly while others wait gives up its place, and goes on beside them.
    async fn some(&mut self, most: usize, mut pass: Option<&mut Pass>) -> io::Result<()> {
        if self.at >= self.warm {
            page::warm(&self.file, self.at, most).await?;
            self.warm = self.at.saturating_add(u64::try_from(most).unwrap_or_default());
        }
        let most = usize::try_from(self.warm.saturating_sub(self.at)).unwrap_or(most).min(most);
        let (mut begun, since) = (Instant::now(), Instant::now());
        let sent = loop {
            match timeout(PACE, self.once(most)).await {
                Ok(sent) => break sent?,
                Err(_) if since.elapsed() >= STALLED => return Err(stalled()),
                Err(_) => {
                    if let Some(pass) = pass.as_deref_mut() {
                        pass.moved(0, begun.elapsed());
                    }
                    begun = Instant::now();
                }
            }
        };
        if let Some(pass) = pass {
            pass.moved(sent, begun.elapsed());
        }
        self.lane.sent(sent);
        let sent = u64::try_from(sent).unwrap_or_default();
        (self.at, self.left) = (self.at.saturating_add(sent), self.left.saturating_sub(sent));
        self.tell.sent = self.tell.sent.saturating_add(sent);
        Ok(())
    }

    /// May be dropped at any await: what was not returned as sent was not sent.
    async fn once(&mut self, most: usize) -> io::Result<usize> {
        if let Some(socket) = self.wire.road.bare().filter(|_| !self.copies) {
            match page::send(socket, &self.file, self.at, most).await {
                // Not every file system can (FUSE, some network file systems).
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    self.copies = true;
                }
                other => return other,
            }
        }
        // It is in memory: `page::warm` saw to that.
        self.block.resize(most.min(BLOCK), 0);
        self.file.read_exact_at(&mut self.block, self.at)?;
        match self.wire.road.write(&self.block).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }

    /// The rest, after the last look at the file: all that is on the wire by then was the file's content.
    async fn last(mut self, pass: Option<Pass>) -> io::Result<()> {
        if self.tell.sent > 0
            && !self.copies
            && let Some(socket) = self.wire.road.bare()
        {
            // The next in line need not wait for this client's network.
            drop(pass);
            timeout(DRAIN, page::drained(socket)).await.map_err(|_| stalled())??;
        }
        let length = usize::try_from(self.left).map_err(io::Error::other)?;
        let rest = page::read(&self.file, self.at, vec![0; length]).await?;
        if Stamp::of(&self.file.metadata()?) != self.stamp {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file was changed while it was sent"));
        }
        self.wire.write(&rest).await?;
        self.lane.sent(length);
        self.tell.sent = self.tell.sent.saturating_add(self.left);
        patient(self.wire.road.flush()).await
    }
}
