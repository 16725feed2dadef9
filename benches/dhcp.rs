//! DHCP beside dnsmasq: exchanges (DISCOVER, OFFER, REQUEST, ACK) of 1,250 known machines through a relay, with as many under way as each line
//! says. Each server is a process of its own in a network namespace, asked by the same generator, in turn, in the same run; dnsmasq is asked
//! once with its lease file and once without. Prints exchanges each second, what was lost, and processor time for each exchange.
//!
//! `cargo bench --bench dhcp`; needs root (network namespaces, port 67).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

// Each bench uses its part of them.
#[allow(dead_code)]
#[path = "boot_storm/lab.rs"]
mod lab;
#[allow(dead_code)]
#[path = "boot_storm/packet.rs"]
mod packet;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use lab::{NODES, RELAY, SERVER, Server, at_server, mac, node};
use packet::{Question, ROM, read};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// Relays and machines ask again after 4 s; a second is long on this wire.
const LOST: Duration = Duration::from_secs(1);

fn main() {
    let space = lab::enter();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    lab::inventory(dir);
    for under_way in [1, 64, 1250] {
        println!("{under_way} under way; median of {ROUNDS} rounds of {} s, servers in turn", ROUND.as_secs());
        let mut figures: Vec<(String, Vec<Took>)> = Vec::new();
        for _ in 0..ROUNDS {
            for which in 0..3 {
                let Some(server) = start(which, &space, dir) else { continue };
                // The first exchanges of all machines are not counted: leases are made then, and files read.
                round(under_way, Duration::from_millis(500));
                let before = server.cpu();
                let mut took = round(under_way, ROUND);
                took.cpu = server.cpu().saturating_sub(before);
                match figures.iter_mut().find(|(name, _)| *name == server.name) {
                    Some((_, all)) => all.push(took),
                    None => figures.push((server.name.clone(), vec![took])),
                }
            }
        }
        let ours = median(&figures[0].1, Took::rate);
        for (name, all) in &figures {
            let rate = median(all, Took::rate);
            let (lost, sum) = (all.iter().map(|t| t.lost).sum::<usize>(), all.iter().map(|t| t.whole).sum::<usize>());
            let cost = median(all, |took| took.cpu.as_secs_f64() * 1e6 / took.whole.max(1) as f64);
            println!(
                "  {name:28} {rate:>8.0} exchanges/s, lost {lost} of {sum}, server cpu {cost:>6.1} us each, ours/theirs {:.2}",
                ours / rate.max(1e-9)
            );
        }
    }
}

fn start(which: usize, space: &str, dir: &Path) -> Option<Server> {
    if which == 0 {
        return Some(Server::ours(space, dir, &dir.join("no-loaders"), &[]));
    }
    let hosts: String = (0..NODES)
        .map(|n| {
            let (name, octets, [a, b, c, d]) = node(n);
            format!("{},{a}.{b}.{c}.{d},{name}\n", mac(octets))
        })
        .collect();
    std::fs::write(dir.join("hosts"), hosts).unwrap();
    drop(std::fs::remove_file(dir.join("leases")));
    let mut command = at_server(space, &lab::program("dnsmasq").display().to_string());
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--interface=eth0",
        "--bind-interfaces",
    ]);
    command.args(["--dhcp-authoritative", "--no-ping", "--dhcp-lease-max=2000", "--quiet-dhcp", "--log-facility=/dev/null"]);
    command.args(["--dhcp-range=10.78.0.0,static,255.255.0.0,10m", "--dhcp-boot=snponly.efi,,10.78.0.1", "--pid-file"]);
    command.arg(format!("--dhcp-hostsfile={}", dir.join("hosts").display()));
    let name = if which == 1 {
        command.arg(format!("--dhcp-leasefile={}", dir.join("leases").display()));
        "dnsmasq"
    } else {
        command.arg("--leasefile-ro");
        "dnsmasq without a lease file"
    };
    Server::peer(name, &mut command, || round(1, Duration::from_millis(100)).whole > 0)
}

struct Took {
    whole: usize,
    lost: usize,
    wall: Duration,
    cpu: Duration,
}

impl Took {
    fn rate(&self) -> f64 {
        self.whole as f64 / self.wall.as_secs_f64()
    }
}

/// Asks for as long as that, with so many machines in the middle of an exchange.
fn round(under_way: usize, long: Duration) -> Took {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    // So many answers may come at once that the usual buffer would lose some, which would not be the server's fault. As root it may be so large.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20)).unwrap();
    socket.bind(&SocketAddr::from((RELAY.parse::<std::net::Ipv4Addr>().unwrap(), 67)).into()).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket.connect((SERVER, 67)).unwrap();
    let relay = RELAY.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let ask = |n: usize, kind, takes| {
        let (_, mac, _) = node(n);
        let question = Question { kind, number: n as u32, mac, relay, takes, more: ROM };
        drop(socket.send(&question.bytes()));
    };
    // When each machine of the window last asked; `None` when it is not in the middle of anything.
    let mut asked: Vec<Option<Instant>> = vec![None; NODES];
    let begun = Instant::now();
    let mut took = Took { whole: 0, lost: 0, wall: Duration::ZERO, cpu: Duration::ZERO };
    let mut next = 0;
    let start = |asked: &mut Vec<Option<Instant>>, next: &mut usize| {
        while asked[*next].is_some() {
            *next = (*next + 1) % NODES;
        }
        asked[*next] = Some(Instant::now());
        ask(*next, 1, None);
        *next = (*next + 1) % NODES;
    };
    for _ in 0..under_way {
        start(&mut asked, &mut next);
    }
    let (mut packet, mut swept) = ([0; 1500], Instant::now());
    while begun.elapsed() < long {
        if let Ok(length) = socket.recv(&mut packet)
            && let Some(answer) = read(&packet[..length])
        {
            let n = answer.number as usize;
            assert_eq!(answer.address, node(n).2, "another machine's address");
            match answer.kind {
                2 if asked[n].is_some() => {
                    asked[n] = Some(Instant::now());
                    ask(n, 3, Some((answer.address, answer.server)));
                }
                5 if asked[n].take().is_some() => {
                    took.whole += 1;
                    start(&mut asked, &mut next);
                }
                _ => {}
            }
        }
        if swept.elapsed() > LOST {
            swept = Instant::now();
            for (n, asked) in asked.iter_mut().enumerate().filter(|(_, asked)| asked.is_some_and(|at| at.elapsed() > LOST)) {
                took.lost += 1;
                *asked = Some(Instant::now());
                ask(n, 1, None);
            }
        }
    }
    took.wall = begun.elapsed();
    took
}

fn median(all: &[Took], of: impl Fn(&Took) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
