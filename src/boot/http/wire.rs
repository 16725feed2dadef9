//! A connection, with what was read ahead and bounded patience: a node that lost power in the middle of a boot would hold its socket for a
//! quarter of an hour (`tcp_retries2`). A slow reader that does read is never limited.

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use nix::sys::socket::{MsgFlags, send};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::time::{Instant, timeout, timeout_at};

use super::request::{Head, Parsed, parse};
use super::road::Road;

/// Longest wait for the headers of a request, also between two requests of one connection.
pub(super) const HEADERS: Duration = Duration::from_secs(10);
/// The same behind a file: the kernels of both ends hold megabytes of it that the client still has to read.
pub(super) const READING: Duration = Duration::from_secs(60);
/// Longest time in which the far end may take nothing.
pub(super) const STALLED: Duration = Duration::from_secs(60);
/// What is read at a time.
const READ: usize = 2 << 10;
/// How long, and how much, is still read of a client that speaks on when it has been refused: closed at once, the answer could be lost to it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A connection.
pub(super) struct Wire<S> {
    pub(super) road: S,
    unread: BytesMut,
}

/// The far end took nothing in time.
pub(super) fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the far end takes nothing")
}

/// Waits for the far end to take something, but not for ever.
pub(super) async fn patient<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STALLED, work).await.map_err(|_| stalled())?
}

impl<S: Road> Wire<S> {
    pub(super) fn new(road: S) -> Self {
        Self { road, unread: BytesMut::new() }
    }

    /// The next request; `None` when there is none: closed, silent for too long, or not whole in time once it had begun.
    pub(super) async fn request(&mut self, silence: Duration) -> Option<Result<Box<Head>, (u16, &'static str)>> {
        let mut end = Instant::now() + silence;
        let mut begun = !self.unread.is_empty();
        loop {
            if !self.unread.is_empty() {
                match parse(&self.unread) {
                    Parsed::Head(length, head) => {
                        self.unread.advance(length);
                        return Some(Ok(head));
                    }
                    Parsed::Bad(status, why) => return Some(Err((status, why))),
                    Parsed::More => {}
                }
            }
            self.unread.reserve(READ);
            match timeout_at(end, self.road.read_buf(&mut self.unread)).await {
                Ok(Ok(1..)) if !begun => (begun, end) = (true, Instant::now() + HEADERS),
                Ok(Ok(1..)) => {}
                _ => return None,
            }
        }
    }

    /// Reads over a request's body; `false` when it does not come.
    pub(super) async fn skip(&mut self, mut bytes: usize) -> bool {
        let end = Instant::now() + HEADERS;
        loop {
            let here = bytes.min(self.unread.len());
            self.unread.advance(here);
            bytes -= here;
            if bytes == 0 {
                return true;
            }
            self.unread.reserve(READ);
            match timeout_at(end, self.road.read_buf(&mut self.unread)).await {
                Ok(Ok(1..)) => {}
                _ => return false,
            }
        }
    }

    /// Writes all of it.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match patient(self.road.write(bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => bytes = bytes.get(sent..).unwrap_or_default(),
            }
        }
        patient(self.road.flush()).await
    }

    /// Writes a head to which a body follows at once: both share a packet.
    pub(super) async fn write_head(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(socket) = self.road.bare() else { return self.write(bytes).await };
        // `MSG_MORE` (send(2)) is not among nix's names.
        let flags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE) | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        while !bytes.is_empty() {
            let once = || Ok(send(socket.as_raw_fd(), bytes, flags)?);
            let sent = patient(socket.async_io(Interest::WRITABLE, once)).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says goodbye, and lets a client that is still speaking hear it.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            self.road.shutdown().await?;
            let (mut left, mut scratch) = (LINGER_BYTES, vec![0; READ]);
            while left > 0 {
                match self.road.read(&mut scratch).await? {
                    0 => break,
                    got => left = left.saturating_sub(got),
                }
            }
            Ok::<(), io::Error>(())
        };
        // It ends here in any case.
        drop(timeout(LINGER, goodbye).await);
    }
}
