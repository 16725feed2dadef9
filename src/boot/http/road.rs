//! What a connection runs on.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes to a client.
pub(in crate::boot) trait Road: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket itself, where what is written goes out unchanged: a file then needs no copy. TLS has none.
    fn bare(&self) -> Option<&TcpStream> {
        None
    }

    /// Nobody on the way can read it, and the far end knows whom it talks to.
    fn secure(&self) -> bool {
        false
    }
}

impl Road for TcpStream {
    fn bare(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Road for tokio_rustls::server::TlsStream<TcpStream> {
    fn secure(&self) -> bool {
        true
    }
}

#[cfg(test)]
impl Road for tokio::io::DuplexStream {}
