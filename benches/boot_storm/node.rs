//! A node as it boots, with sockets of its own: the ROM's DHCP and TFTP, iPXE's DHCP, its scripts, kernel and initrd on one kept connection.
//! Every byte is compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::lab::{self, SERVER};
use crate::packet::{IPXE, ROM};
use crate::relay::Relay;

/// iPXE and EDK II ask a TFTP server again after a second or more.
const TFTP_AGAIN: Duration = Duration::from_secs(1);
/// Longest silence of the HTTP server before a client counts as left alone.
const SILENCE: Duration = Duration::from_secs(15);

pub struct Files {
    pub loader: Vec<u8>,
    pub kernel: Vec<u8>,
    pub initrd: Vec<u8>,
}

/// How long each part took, and how often something had to be asked again.
#[derive(Default)]
pub struct Booted {
    pub parts: Vec<(&'static str, Duration)>,
    pub again: usize,
}

impl Booted {
    fn part(&mut self, name: &'static str, since: &mut Instant) {
        self.parts.push((name, since.elapsed()));
        *since = Instant::now();
    }
}

pub async fn boot(n: usize, relay: Arc<Relay>, files: Arc<Files>) -> Booted {
    let (name, mac, own) = lab::node(n);
    let (begun, mut booted) = (Instant::now(), Booted::default());
    let mut since = begun;
    let number = u32::try_from(n).unwrap() * 2;
    let (ack, again) = relay.exchange(number, mac, ROM).await;
    assert_eq!((ack.address, ack.file.as_str()), (own, "snponly.efi"), "{name}");
    booted.part("DHCP of the ROM", &mut since);
    booted.again += again + tftp(own.into(), &files.loader).await;
    booted.part("loader by TFTP", &mut since);
    let (ack, again) = relay.exchange(number + 1, mac, IPXE).await;
    booted.again += again;
    assert!(ack.file.ends_with("/boot.ipxe"), "{}", ack.file);
    booted.part("DHCP of iPXE", &mut since);

    // By a thread of its own, that blocks: 1,250 tasks of this one process would wait for each other, which 1,250 machines do not.
    let asked = tokio::task::spawn_blocking(move || scripts(own.into(), mac)).await.unwrap();
    let (stream, script) = (asked.stream, asked.script);
    booted.parts.extend(asked.parts);
    let mut http = Http { stream: TcpStream::from_std(stream).unwrap(), buffer: vec![0; 16 << 10] };
    since = Instant::now();
    assert!(script.contains(&format!("{name} boots")), "{script}");
    let path = |which: &str| {
        let line = script.lines().find(|line| line.starts_with(which)).expect("a file");
        let url = line.split_whitespace().find(|word| word.contains("/g/")).expect("its path");
        url.split_at(url.find("/g/").unwrap())
    };
    let cache = path("kernel ").0.strip_prefix("http://");
    if let Some(cache) = cache {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((own, 0))).unwrap();
        http.stream = socket.connect(cache.parse().unwrap()).await.unwrap();
    }
    let path = |which: &str| path(which).1;
    http.file(path("kernel "), &files.kernel).await;
    booted.part("kernel", &mut since);
    http.file(path("initrd "), &files.initrd).await;
    booted.part("initrd", &mut since);
    booted.parts.push(("all of it", begun.elapsed()));
    booted
}

/// Lock-step with `blksize` 1468, as ROMs do; returns how often it had to repeat itself.
async fn tftp(own: Ipv4Addr, file: &[u8]) -> usize {
    let socket = UdpSocket::bind((own, 0)).await.unwrap();
    let mut said = b"\0\x01snponly.efi\0octet\0blksize\x001468\0".to_vec();
    let mut to: SocketAddr = format!("{SERVER}:69").parse().unwrap();
    let (mut packet, mut at, mut last, mut again) = ([0; 1500], 0, 0_u16, 0);
    loop {
        socket.send_to(&said, to).await.unwrap();
        let Ok(got) = timeout(TFTP_AGAIN, socket.recv_from(&mut packet)).await else {
            again += 1;
            assert!(again < 60, "no TFTP");
            continue;
        };
        let (length, from) = got.unwrap();
        to = from;
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        match packet[1] {
            6 => {}
            3 if number == last.wrapping_add(1) => {
                let bytes = &packet[4..length];
                assert!(file.get(at..at + bytes.len()) == Some(bytes), "wrong bytes by TFTP");
                (at, last) = (at + bytes.len(), number);
            }
            3 => {}
            other => panic!("TFTP packet {other}"),
        }
        said = [[0, 4], last.to_be_bytes()].concat();
        if packet[1] == 3 && length - 4 < 1468 {
            assert_eq!(at, file.len());
            socket.send_to(&said, to).await.unwrap();
            return again;
        }
    }
}

struct Asked {
    stream: std::net::TcpStream,
    script: String,
    parts: [(&'static str, Duration); 3],
}

/// iPXE's two scripts on one connection, which is kept for the files.
fn scripts(own: Ipv4Addr, mac: [u8; 6]) -> Asked {
    let begun = Instant::now();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
    socket.connect(&format!("{SERVER}:8088").parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let chain = text(&mut stream, "/boot.ipxe");
    let first = begun.elapsed();
    assert!(chain.contains("chain "), "{chain}");
    let begun = Instant::now();
    let script = text(&mut stream, &format!("/boot.ipxe?mac={}&arch=x86_64", lab::mac(mac).replace(':', "-")));
    let second = begun.elapsed();
    stream.set_nonblocking(true).unwrap();
    Asked {
        stream,
        script,
        parts: [("connect, first script", first), ("script of the grant", second), ("both scripts", first + second)],
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nConnection: keep-alive\r\nUser-Agent: iPXE\r\nHost: {SERVER}:8088\r\n\r\n")
}

fn text(stream: &mut std::net::TcpStream, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    stream.write_all(request(path).as_bytes()).unwrap();
    let (mut said, mut block) = (Vec::new(), [0; 4096]);
    loop {
        let got = stream.read(&mut block).expect("the server left a client alone");
        assert!(got > 0, "the server hung up");
        said.extend_from_slice(&block[..got]);
        let all = std::str::from_utf8(&said).unwrap();
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {all}");
        if body.len() == length(head) {
            return body.to_owned();
        }
    }
}

fn length(head: &str) -> usize {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length")).expect("a length").1.trim().parse().unwrap()
}

struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Http {
    async fn read(&mut self, from: usize) -> usize {
        let room = &mut self.buffer[from..];
        let got = timeout(SILENCE, self.stream.read(room)).await.expect("the server left a client alone").unwrap();
        assert!(got > 0, "the server hung up");
        got
    }

    /// Asks; returns length, and how much of the body is in the buffer from where on.
    async fn ask(&mut self, path: &str) -> (usize, std::ops::Range<usize>) {
        self.stream.write_all(request(path).as_bytes()).await.unwrap();
        let mut here = 0;
        loop {
            here += self.read(here).await;
            let Some(end) = self.buffer[..here].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]);
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
            return (length(&head), end + 4..here);
        }
    }

    async fn file(&mut self, path: &str, file: &[u8]) {
        let (length, there) = self.ask(path).await;
        assert_eq!(length, file.len());
        let mut at = there.len();
        assert!(self.buffer[there] == file[..at], "wrong bytes by HTTP");
        while at < length {
            let got = self.read(0).await;
            assert!(file.get(at..at + got) == Some(&self.buffer[..got]), "wrong bytes by HTTP");
            at += got;
        }
    }
}
