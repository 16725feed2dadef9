//! Files by HTTP beside nginx with sendfile, each as a process of its own, with the same client and the same file, in the same run, in turn:
//! bytes for each second of the server's processor time, and bytes each second, with 1, 16 and 64 connections. Asserts that every answer was
//! whole and nothing about time.
//!
//! `cargo bench --bench http`. nginx 1.22 is Debian's package `nginx-light`; it runs as one process, with `sendfile` and `tcp_nopush`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

// Each bench uses its part of it.
#[allow(dead_code)]
#[path = "boot_storm/lab.rs"]
mod lab;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::Server;

const ROUNDS: usize = 5;
const FILE: usize = 64 << 20;
/// Sent to all clients together in one measurement.
const TOGETHER: usize = 12 << 30;
const OURS: &str = "127.92.1.1:8092";
const NGINX: &str = "127.92.1.2:8092";

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::create_dir(dir.join("loader")).unwrap();
    let content: Vec<u8> = (0..FILE).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    std::fs::write(dir.join("loader/ipxe.efi"), &content).unwrap();
    lab::pin(&dir.join("loader"));
    let servers: Vec<(Server, SocketAddr)> = [ours(dir), nginx(dir)].into_iter().flatten().collect();
    println!(
        "a file of {} MiB, {} GiB in all for each figure, median of {ROUNDS} rounds, servers in turn",
        FILE >> 20,
        TOGETHER >> 30
    );
    for clients in [1, 16, 64] {
        let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for ((server, at), figures) in servers.iter().zip(&mut figures) {
                let before = server.cpu();
                let wall = fetch(*at, clients);
                let cpu = server.cpu().saturating_sub(before).max(Duration::from_millis(10));
                figures.push((TOGETHER as f64 / 1e9 / cpu.as_secs_f64(), TOGETHER as f64 / 1e9 / wall.as_secs_f64()));
            }
        }
        let ours = median(figures[0].iter().map(|f| f.0));
        for ((server, _), figures) in servers.iter().zip(&figures) {
            let (cpu, wall) = (median(figures.iter().map(|f| f.0)), median(figures.iter().map(|f| f.1)));
            println!(
                "  {clients:>2} connections {:8} {cpu:>6.2} GB per cpu second, {wall:>5.2} GB/s, ours/theirs {:.2} (target: >= 0.90), peak {:.1} MiB",
                server.name,
                ours / cpu,
                server.peak_mib()
            );
        }
    }
}

/// Each connection asks again and again, as a browser would; all threads block, so that nothing of the client's scheduling is measured.
fn fetch(at: SocketAddr, clients: usize) -> Duration {
    let each = TOGETHER / FILE / clients;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(at).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let mut buffer = vec![0; 256 << 10];
                for _ in 0..each {
                    stream.write_all(b"GET /loader/ipxe.efi HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                    let (mut here, end) = (0, 0);
                    let end = loop {
                        here += stream.read(&mut buffer[here..]).unwrap();
                        match buffer[..here].windows(4).position(|four| four == b"\r\n\r\n") {
                            Some(at) => break at + 4,
                            None => assert!(here > end, "the server hung up"),
                        }
                    };
                    assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..end]));
                    let mut left = FILE - (here - end);
                    while left > 0 {
                        let got = stream.read(&mut buffer).unwrap();
                        assert!(got > 0 && got <= left, "an answer that is not whole");
                        left -= got;
                    }
                }
            });
        }
    });
    begun.elapsed()
}

fn answers(at: &str) -> bool {
    TcpStream::connect(at).is_ok()
}

fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn ours(dir: &Path) -> Option<(Server, SocketAddr)> {
    let mut command = quiet(env!("CARGO_BIN_EXE_bringup"));
    command.args(["serve", "--listen", OURS, "--state"]).arg(dir.join("journal.db")).arg("--loaders").arg(dir.join("loader"));
    Some((Server::peer("bringup", &mut command, || answers(OURS))?, OURS.parse().unwrap()))
}

fn nginx(dir: &Path) -> Option<(Server, SocketAddr)> {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", dir.display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/error.log;\nevents {{ worker_connections 2048; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n{temporary}\
         server {{ listen {NGINX}; root {0}; }} }}\n",
        dir.display()
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut command = quiet(lab::program("nginx"));
    command.arg("-c").arg(dir.join("nginx.conf")).arg("-e").arg(dir.join("error.log"));
    Some((Server::peer("nginx", &mut command, || answers(NGINX))?, NGINX.parse().unwrap()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
