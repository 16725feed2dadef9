//! The ROM's HTTP client: plain HTTP/1.1 to an address, from the node's own address. It resolves no names, follows no redirect, keeps no body.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpSocket;

use crate::sim::system::Blob;

/// Longest wait for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a kernel or RAM disk: 8 GiB, more than a node would hold in one.
const MOST: u64 = 8 << 30;

/// Fetches a file whole, counts and hashes it, and keeps up to `keep` bytes of its beginning.
///
/// # Errors
/// What was tried and seen, for the machine's log.
pub async fn fetch(url: &str, from: IpAddr, keep: usize) -> Result<(Blob, Vec<u8>), String> {
    let shown: String = url.chars().take(200).collect::<String>().escape_debug().to_string();
    let failed = |what: &str| format!("{shown}: {what}");
    let uri: Uri = url.parse().map_err(|_| failed("not a URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(failed("this ROM speaks plain http only"));
    }
    let host = uri.host().ok_or_else(|| failed("no host"))?;
    let ip: IpAddr = match host.trim_matches(['[', ']']) {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        literal => literal.parse().map_err(|_| failed("this ROM resolves no names"))?,
    };
    let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
    let stream = tokio::time::timeout(PATIENCE, connect(address, from))
        .await
        .map_err(|_| failed("no connection in time"))?
        .map_err(|e| failed(&e.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e.to_string()))?;
    // The connection lives exactly as long as this fetch.
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let authority = uri.authority().map_or("", |a| a.as_str());
    let request = Request::get(path)
        .header("Host", authority)
        .header("User-Agent", "iPXE/1.21 (simulated)")
        .header("Connection", "close")
        .body(Empty::new())
        .map_err(|e| failed(&e.to_string()))?;
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request))
        .await
        .map_err(|_| failed("no answer in time"))?
        .map_err(|e| failed(&e.to_string()))?;
    if answer.status() != http::StatusCode::OK {
        return Err(failed(&format!("HTTP {}", answer.status().as_u16())));
    }
    let announced = answer.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut body = answer.into_body();
    let (mut bytes, mut hash, mut kept) = (0u64, Sha256::new(), Vec::new());
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(|_| failed("the answer stalled"))? {
        let frame = frame.map_err(|e| failed(&format!("the answer broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes = bytes.saturating_add(data.len() as u64);
        if bytes > MOST {
            return Err(failed("more than 8 GiB"));
        }
        hash.update(&data);
        let room = keep.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(data.get(..room).unwrap_or_default());
    }
    if announced.is_some_and(|n| n != bytes) {
        return Err(failed("shorter than announced"));
    }
    let hash: [u8; 32] = hash.finalize().into();
    let sha256 = hash.iter().map(|b| format!("{b:02x}")).collect();
    Ok((Blob { url: url.to_owned(), bytes, sha256 }, kept))
}

async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A boot server off this machine is not reached from a loopback address.
    if from.is_loopback() == to.ip().is_loopback() && from.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}
