//! Asks an address whether a boot server of ours is there, and which grants it serves. It believes nothing else that it hears.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Health;

/// Longest wait for each of connecting and answering.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read.
const LONGEST: u64 = 8 << 10;

/// Why no boot server was found.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("nothing listens at the boot server's address")]
    Silent,
    /// It cannot be reached, or broke off.
    #[error("ask {0} whether it is a boot server")]
    Unreachable(SocketAddr, #[source] std::io::Error),
    /// It took the connection and said nothing in time.
    #[error("ask {0} whether it is a boot server: no answer within 3 s")]
    TimedOut(SocketAddr),
    /// Something else is there.
    #[error("{0} answers, but not as a boot server of bringup")]
    Stranger(SocketAddr),
}

/// The store id of the boot server at an address.
///
/// # Errors
/// As [`health`].
pub async fn ask(address: SocketAddr) -> Result<String, AskError> {
    health(address).await.map(|health| health.state)
}

/// What the boot server at an address says of itself.
///
/// # Errors
/// [`AskError`]; `Silent` alone means that the address is free as far as can be seen from here.
pub async fn health(address: SocketAddr) -> Result<Health, AskError> {
    let gone = |error| AskError::Unreachable(address, error);
    let mut stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Err(AskError::Silent),
        // The address is not routed from here: a server of another network cannot be there for us.
        Ok(Err(error)) => return Err(gone(error)),
        Err(_) => return Err(AskError::TimedOut(address)),
    };
    let talk = async {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(PATIENCE, talk).await.map_err(|_| AskError::TimedOut(address))?.map_err(gone)?;
    read(&answer).ok_or(AskError::Stranger(address))
}

/// What an answer to `GET /healthz` says.
fn read(answer: &[u8]) -> Option<Health> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return None;
    }
    let health: Health = serde_json::from_str(body.trim()).ok()?;
    (health.service == "bringup").then_some(health)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_our_own_answer_counts() {
        let good = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"service\":\"bringup\",\"state\":\"s1\"}\n";
        assert_eq!(read(good).map(|h| h.state).as_deref(), Some("s1"));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n{\"service\":\"nginx\",\"state\":\"s1\"}"), None);
        assert_eq!(read(b"HTTP/1.1 404 No\r\n\r\n{\"service\":\"bringup\",\"state\":\"s1\"}"), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(answer in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read(&answer), None);
        }
    }
}
