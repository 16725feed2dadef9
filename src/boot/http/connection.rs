//! One connection: request, answer, and the next request. It decides nothing about what is given.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::file::{self, Load, Part};
use super::head::Head;
use super::medium;
use super::request::{self, Following};
use super::road::Road;
use super::wire::{HEADERS, READING, Wire};
use crate::boot::answer::{Method, Reply, Request, Sending, SendingMedium, answer};
use crate::boot::grant::now_ms;
use crate::boot::grants::Grants;
use crate::boot::media;
use crate::boot::server::ServeOptions;

/// Questions to the grants at once, each on a thread: more would only wait for the same disk.
const ANSWERING: usize = 128;
/// Longest body of a request that is read over; after a longer one the connection ends.
const BODY: u64 = 64 << 10;

/// What answers.
#[derive(Clone)]
pub(in crate::boot) struct Desk {
    grants: Grants,
    options: ServeOptions,
    places: Arc<Semaphore>,
}

impl Desk {
    pub(in crate::boot) fn new(grants: Grants, options: ServeOptions) -> Self {
        Self { grants, options, places: Arc::new(Semaphore::new(ANSWERING)) }
    }

    async fn answer(&self, asked: Request) -> io::Result<Reply> {
        let asked = Arc::new(asked);
        let store = &self.grants.0;
        // Read and hashed once for all who wait, and none of them holds a thread or a place meanwhile.
        match self.once(&asked).await? {
            Reply::NotYet(artifact) => store.artifacts.learn(&artifact).await,
            Reply::MediumNotYet(spec) => media::learn(&spec, &self.options.loaders, &store.artifacts, &store.media).await,
            reply => return Ok(reply),
        }
        self.once(&asked).await
    }

    async fn once(&self, asked: &Arc<Request>) -> io::Result<Reply> {
        let place = self.places.acquire().await.map_err(io::Error::other)?;
        let (asked, grants, loaders) = (Arc::clone(asked), self.grants.clone(), self.options.loaders.clone());
        let work = move || answer(&asked, &grants.0, &loaders, now_ms());
        let reply = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
        drop(place);
        reply
    }
}

/// Serves a connection until one of both ends it. How it ends is no concern of the server: what was sent has been told by then.
pub(in crate::boot) async fn connection<S: Road>(road: S, from: IpAddr, desk: &Desk, stop: &CancellationToken) {
    let mut wire = Wire::new(road);
    let mut silence = HEADERS;
    loop {
        let asked = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            asked = wire.request(silence) => asked,
        };
        let head = match asked {
            None => return,
            Some(Err((status, why))) => {
                if text(&mut wire, status, "text/plain; charset=utf-8", &format!("{why}\n"), false, false).await.is_ok() {
                    wire.close().await;
                }
                return;
            }
            Some(Ok(head)) => *head,
        };
        let (length, talks_on) = match head.body {
            Following::Nothing => (0, false),
            Following::Bytes(bytes) if bytes <= BODY => (usize::try_from(bytes).unwrap_or_default(), false),
            Following::Bytes(_) | Following::Unknown => (0, true),
        };
        if !wire.skip(length).await {
            return;
        }
        let keep = head.keep && !talks_on && !stop.is_cancelled();
        let look = head.method == Method::Head;
        let Ok(reply) = desk.answer(request(head, from, wire.road.secure(), desk)).await else { return };
        silence = if matches!(reply, Reply::File(_) | Reply::Medium(_)) { READING } else { HEADERS };
        if give(&mut wire, reply, look, keep, desk).await.is_err() {
            return;
        }
        if talks_on {
            return wire.close().await;
        }
        if !keep {
            drop(wire.road.shutdown().await);
            return;
        }
    }
}

fn request(head: request::Head, from: IpAddr, secure: bool, desk: &Desk) -> Request {
    let request::Head { method, path, query, host, range, if_range, .. } = head;
    // An IPv4 address in IPv6 clothes is the same machine.
    let door = desk.options.door.clone();
    Request { method, path, query, host, range, if_range, from: from.to_canonical(), secure, door }
}

async fn give<S: Road>(wire: &mut Wire<S>, reply: Reply, look: bool, keep: bool, desk: &Desk) -> io::Result<()> {
    match reply {
        Reply::Text { status, kind, text: body, seen } => {
            if let Some(seen) = seen {
                desk.options.log.tell(seen);
            }
            text(wire, status, kind, &body, look, keep).await
        }
        Reply::Health(mut health) => {
            health.storm = Some(desk.options.storm.gauge());
            let body = serde_json::to_string(&health).unwrap_or_default() + "\n";
            text(wire, 200, "application/json", &body, look, keep).await
        }
        Reply::NotYet(_) | Reply::MediumNotYet(_) => {
            text(wire, 503, "text/plain; charset=utf-8", "the file is being changed while it is read\n", look, keep).await
        }
        Reply::OutsideRange { length } => {
            let mut head = Head::new(416);
            head.put("content-range", &format!("bytes */{length}"));
            head.put("content-length", "0");
            wire.write(&head.end(keep)).await
        }
        Reply::File(sending) => {
            let Sending { file, length, slice, stamp, tag, kind, seen } = *sending;
            let head = described(length, slice, kind, tag.as_deref()).end(keep);
            if look {
                return wire.write(&head).await;
            }
            let part = Part::of(file, stamp, slice.unwrap_or((0, length)));
            file::send(wire, &head, [Load::File(part)].into(), seen, &desk.options.log, &desk.options.storm).await
        }
        Reply::Medium(sending) => {
            let SendingMedium { medium, slice, kind, seen } = *sending;
            let head = described(medium.length, slice, kind, Some(medium.sha256.as_str())).end(keep);
            if look {
                return wire.write(&head).await;
            }
            let (from, count) = slice.unwrap_or((0, medium.length));
            let loads = medium::loads(medium, from, count);
            file::send(wire, &head, loads, seen, &desk.options.log, &desk.options.storm).await
        }
    }
}

/// The head of an answer that holds a file, or a slice of it.
fn described(whole: u64, slice: Option<(u64, u64)>, kind: &str, tag: Option<&str>) -> Head {
    let mut head = Head::new(if slice.is_some() { 206 } else { 200 });
    if let Some((from, count)) = slice {
        head.put("content-range", &format!("bytes {from}-{}/{whole}", from + count - 1));
    }
    head.put("content-length", &slice.map_or(whole, |(_, count)| count).to_string());
    head.put("content-type", kind);
    head.put("accept-ranges", "bytes");
    if let Some(tag) = tag {
        head.put("etag", &format!("\"{tag}\""));
    }
    head
}

async fn text<S: Road>(wire: &mut Wire<S>, status: u16, kind: &str, body: &str, look: bool, keep: bool) -> io::Result<()> {
    let mut head = Head::new(status);
    head.put("content-type", kind);
    head.put("content-length", &body.len().to_string());
    if status == 405 {
        head.put("allow", "GET, HEAD");
    }
    let mut bytes = head.end(keep);
    if !look {
        bytes.extend_from_slice(body.as_bytes());
    }
    wire.write(&bytes).await
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::boot::loaders::{self, Loaders};

    /// A road that is no bare socket, as under TLS: the same bytes come by copies.
    #[tokio::test]
    async fn a_file_by_a_road_without_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let file: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 253) as u8).collect();
        std::fs::write(dir.path().join("ipxe.efi"), &file).unwrap();
        let found = loaders::look(dir.path(), None).unwrap().into_iter().filter(|l| l.name == "ipxe.efi").collect::<Vec<_>>();
        std::fs::write(dir.path().join("loaders.lock"), loaders::write_lock(&found)).unwrap();
        let loaders = Loaders::open(dir.path(), None).unwrap();
        let options = ServeOptions { loaders, ..ServeOptions::default() };
        let mut seen = options.log.watch();
        let desk = Desk::new(Grants::open(&dir.path().join("grants.db")).unwrap(), options);
        // So narrow that most writes are partial.
        let (mut client, server) = tokio::io::duplex(7000);
        let stop = CancellationToken::new();
        let served = tokio::spawn({
            let (desk, stop) = (desk.clone(), stop.clone());
            async move { connection(server, [127, 0, 0, 1].into(), &desk, &stop).await }
        });
        let ask = "GET /loader/ipxe.efi HTTP/1.1\r\nHost: x\r\n\r\nGET /loader/ipxe.efi HTTP/1.1\r\nRange: bytes=1-5\r\nConnection: close\r\n\r\n";
        client.write_all(ask.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        served.await.unwrap();
        let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(said.starts_with(b"HTTP/1.1 200 OK\r\n") && said[end..end + file.len()] == file);
        let rest = String::from_utf8(said[end + file.len()..].to_vec()).unwrap();
        assert!(rest.starts_with("HTTP/1.1 206 Partial Content\r\n") && rest.ends_with("\u{1}\u{2}\u{3}\u{4}\u{5}"), "{rest:?}");
        assert_eq!((seen.try_recv().unwrap().bytes, seen.try_recv().unwrap().bytes), (3_000_001, 5));
        assert_eq!(desk.options.storm.gauge().sending, 0);
    }
}
