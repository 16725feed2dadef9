//! One connection as a BMC sees it: its socket, how often it was asked, and whether it ends by a reset. It knows nothing of HTTP.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is known of an open connection.
#[derive(Debug)]
pub struct Open {
    /// Who connected.
    pub from: Option<IpAddr>,
    /// Which of the BMC's certificates it was opened under.
    pub face: u32,
    asked: AtomicU32,
    resets: AtomicBool,
}

impl Open {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(from: Option<IpAddr>, face: u32) -> Arc<Self> {
        Arc::new(Self { from, face, asked: AtomicU32::new(0), resets: AtomicBool::new(false) })
    }

    /// Counts a request; gives how many came before it.
    pub fn ask(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on its end is a reset, not a farewell.
    pub fn reset(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }
}

/// A socket that ends as its [`Open`] says.
pub struct Line {
    tcp: TcpStream,
    open: Arc<Open>,
}

impl Line {
    /// Takes a socket over.
    #[must_use]
    pub fn new(tcp: TcpStream, open: Arc<Open>) -> Self {
        Self { tcp, open }
    }
}

/// Ends a socket by RST: closing with a linger time of zero throws away what is queued (socket(7)).
pub fn reset(tcp: TcpStream) {
    // Without it the end is a FIN, which clients must bear too.
    drop(tcp.set_zero_linger());
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.open.resets.load(Ordering::Relaxed) {
            drop(self.tcp.set_zero_linger());
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.open.resets.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
