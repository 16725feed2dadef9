//! The relay of all racks: one socket, and a mailbox for each question.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::lab::{RELAY, SERVER};
use crate::packet::{Answer, Question, read};

/// RFC 2131 §4.1: a machine asks again after 4 s.
const AGAIN: Duration = Duration::from_secs(4);

pub struct Relay {
    socket: UdpSocket,
    boxes: Mutex<HashMap<u32, mpsc::UnboundedSender<Answer>>>,
    ear: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Relay {
    /// Begins to listen.
    pub async fn start() -> Arc<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        // So many answers may come at once that the usual buffer would lose some, which would not be the server's fault.
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&format!("{RELAY}:67").parse::<SocketAddr>().unwrap().into()).unwrap();
        let relay = Arc::new(Self {
            socket: UdpSocket::from_std(socket.into()).unwrap(),
            boxes: Mutex::default(),
            ear: Mutex::default(),
        });
        let hearing = Arc::clone(&relay);
        let ear = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let length = hearing.socket.recv(&mut packet).await.unwrap();
                if let Some(answer) = read(&packet[..length])
                    && let Some(to) = hearing.boxes.lock().unwrap().get(&answer.number)
                {
                    drop(to.send(answer));
                }
            }
        });
        *relay.ear.lock().unwrap() = Some(ear);
        relay
    }

    /// Closes its socket, for the next one.
    pub async fn stop(&self) {
        let ear = self.ear.lock().unwrap().take();
        if let Some(ear) = ear {
            ear.abort();
            // Aborted on purpose: the join error says so and nothing else.
            drop(ear.await);
        }
    }

    /// DISCOVER to ACK; the ACK, and how often it had to ask again.
    pub async fn exchange(&self, number: u32, mac: [u8; 6], more: &[(u8, &[u8])]) -> (Answer, usize) {
        let (to, mut letters) = mpsc::unbounded_channel();
        self.boxes.lock().unwrap().insert(number, to);
        let relay = RELAY.parse::<std::net::Ipv4Addr>().unwrap().octets();
        let (mut kind, mut takes, mut again) = (1, None, 0);
        loop {
            let question = Question { kind, number, mac, relay, takes, more };
            self.socket.send_to(&question.bytes(), (SERVER, 67)).await.unwrap();
            match tokio::time::timeout(AGAIN, letters.recv()).await {
                Ok(Some(answer)) if answer.kind == 2 && kind == 1 => (kind, takes) = (3, Some((answer.address, answer.server))),
                Ok(Some(answer)) if answer.kind == 5 => {
                    self.boxes.lock().unwrap().remove(&number);
                    return (answer, again);
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    again += 1;
                    assert!(again < 30, "no DHCP");
                }
            }
        }
    }
}
