//! The client that all servers get: RFC 1350 with `blksize` and `windowsize`, comparing every block with the file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one or many transfers took.
pub struct Took {
    pub wall: Duration,
    pub slowest: Duration,
    pub whole: usize,
    /// Packets that the clients had to repeat.
    pub repeats: usize,
}

/// One transfer in a thread that blocks: nothing of the client's own scheduling is measured.
pub fn fetch(at: SocketAddr, name: &str, block: usize, window: u16, file: &[u8]) -> Took {
    let begun = Instant::now();
    let socket = std::net::UdpSocket::bind("127.92.9.9:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(&request(name, block, window), at).unwrap();
    let mut packet = vec![0; 65_600];
    let (length, from) = socket.recv_from(&mut packet).unwrap();
    socket.connect(from).unwrap();
    let mut state = State::new(file, block, window);
    let mut say = state.hear(&packet[..length]).map(|last| ack(last).to_vec());
    let mut repeats = 0;
    loop {
        if let Some(packet) = say.take() {
            socket.send(&packet).unwrap();
        }
        if state.whole {
            return Took { wall: begun.elapsed(), slowest: begun.elapsed(), whole: 1, repeats };
        }
        say = match socket.recv(&mut packet) {
            Ok(length) => state.hear(&packet[..length]).map(|last| ack(last).to_vec()),
            Err(_) => {
                repeats += 1;
                assert!(repeats < 20, "no transfer");
                Some(ack(state.last).to_vec())
            }
        };
    }
}

/// Many at once, each with a socket of its own.
pub fn storm(at: SocketAddr, name: &'static str, block: usize, window: u16, clients: usize, file: &Arc<Vec<u8>>) -> Took {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let file = Arc::clone(file);
            all.spawn(async move { one(at, name, block, window, &file).await });
        }
        let mut took = Took { wall: Duration::ZERO, slowest: Duration::ZERO, whole: 0, repeats: 0 };
        while let Some(done) = all.join_next().await {
            let (whole, repeats, own) = done.unwrap();
            took.whole += usize::from(whole);
            took.repeats += repeats;
            took.slowest = took.slowest.max(own);
        }
        took.wall = begun.elapsed();
        took
    })
}

async fn one(at: SocketAddr, name: &str, block: usize, window: u16, file: &[u8]) -> (bool, usize, Duration) {
    let begun = Instant::now();
    // An address for each hundred: servers bound the transfers of one address.
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let own = format!("127.92.{}.{}:0", 10 + n / 250 % 200, 1 + n % 250);
    let socket = tokio::net::UdpSocket::bind(own).await.unwrap();
    let mut state = State::new(file, block, window);
    let (mut packet, mut repeats) = ([0; 2048], 0);
    let (mut to, mut said) = (at, request(name, block, window));
    drop(socket.send_to(&said, to).await);
    loop {
        match tokio::time::timeout(Duration::from_secs(1), socket.recv_from(&mut packet)).await {
            Ok(Ok((length, from))) => {
                if packet[1] == 5 {
                    return (false, repeats, begun.elapsed());
                }
                to = from;
                if let Some(last) = state.hear(&packet[..length]) {
                    said = ack(last).to_vec();
                    drop(socket.send_to(&said, to).await);
                }
                if state.whole {
                    return (true, repeats, begun.elapsed());
                }
            }
            _ => {
                repeats += 1;
                if begun.elapsed() > Duration::from_secs(60) {
                    return (false, repeats, begun.elapsed());
                }
                drop(socket.send_to(&said, to).await);
            }
        }
    }
}

struct State<'a> {
    file: &'a [u8],
    block: usize,
    window: u16,
    at: usize,
    last: u16,
    since: u16,
    whole: bool,
}

impl<'a> State<'a> {
    fn new(file: &'a [u8], block: usize, window: u16) -> Self {
        Self { file, block, window, at: 0, last: 0, since: 0, whole: false }
    }

    /// The block to acknowledge now, if any.
    fn hear(&mut self, packet: &[u8]) -> Option<u16> {
        if packet[1] == 6 {
            let oack = String::from_utf8_lossy(&packet[2..]);
            let block = format!("blksize\0{}\0", self.block);
            assert!(oack.to_lowercase().contains(&block) || self.block == 512, "unequal block size: {oack:?}");
            return (self.at == 0).then_some(0);
        }
        assert_eq!(packet[1], 3, "{packet:?}");
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        if number != self.last.wrapping_add(1) {
            return (self.since > 0 || self.window == 1).then(|| {
                self.since = 0;
                self.last
            });
        }
        let bytes = &packet[4..];
        assert!(self.file.get(self.at..self.at + bytes.len()) == Some(bytes), "wrong bytes");
        (self.at, self.last, self.since) = (self.at + bytes.len(), number, self.since + 1);
        self.whole = bytes.len() < self.block;
        if self.whole || self.since == self.window {
            self.since = 0;
            return Some(self.last);
        }
        None
    }
}

fn request(name: &str, block: usize, window: u16) -> Vec<u8> {
    let mut bytes = format!("\0\x01{name}\0octet\0blksize\0{block}\0").into_bytes();
    if window > 1 {
        bytes.extend_from_slice(format!("windowsize\0{window}\0").as_bytes());
    }
    bytes
}

fn ack(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [0, 4, high, low]
}
