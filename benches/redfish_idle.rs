//! How much memory a waiting Redfish BMC costs: resident memory before and after 500 clients have logged in and kept their connection, over
//! TLS, against a server in another process (this program again, with `serve`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::{Bmc, Password};
use bringup::model::{BmcTrust, Digest, PowerState, Reading};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BMCS: usize = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::args().any(|arg| arg == "serve") {
        runtime.block_on(serve());
    } else {
        runtime.block_on(measure());
    }
}

async fn measure() {
    let mut server = Command::new(std::env::current_exe().unwrap()).arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (address, pin) = line.trim().split_once(' ').unwrap();
    let (address, pin): (SocketAddr, Digest) = (address.parse().unwrap(), pin.parse().unwrap());
    let client = || {
        let options = RedfishOptions::new(address, "admin", Password::new("password"), BmcTrust::Pinned(pin.clone()));
        Redfish::new(options).unwrap()
    };
    // What is paid once, whatever the number of BMCs.
    let warm = client();
    assert_eq!(warm.power().await.unwrap(), Reading::Known(PowerState::On));
    let (rss, sockets) = (resident(), open_sockets());
    let mut bmcs = Vec::with_capacity(BMCS);
    for _ in 0..BMCS {
        let bmc = client();
        assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::On));
        bmcs.push(bmc);
    }
    let cost = (resident() - rss) as f64 / BMCS as f64;
    assert_eq!(open_sockets() - sockets, BMCS, "every client keeps its connection");
    println!("redfish idle: {cost:.1} KiB per BMC (target < 20 KiB), {BMCS} BMCs, TLS, session and connection kept");
    drop(bmcs);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Resident memory of this process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn open_sockets() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        .count()
}

async fn serve() {
    let made = rcgen::generate_simple_self_signed(vec!["bmc".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pin: String = sha2::Sha256::digest(made.cert.der()).iter().map(|b| format!("{b:02x}")).collect();
    println!("{} {pin}", listener.local_addr().unwrap());
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(tcp).await else { return };
            let (mut buffer, mut chunk) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                buffer.extend_from_slice(&chunk[..n]);
                let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
                let length =
                    text.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse::<usize>().unwrap());
                if buffer.len() < head + 4 + length {
                    continue;
                }
                buffer.clear();
                let body = answer(text.lines().next().unwrap());
                let reply = format!("HTTP/1.1 200 OK\r\nx-auth-token: t\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(reply.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Root, sessions, systems and one system with some bulk: real ones have 4–16 KiB.
fn answer(line: &str) -> String {
    match line.split(' ').nth(1).unwrap() {
        "/redfish/v1/" => r#"{"Systems":{"@odata.id":"/s"},"Links":{"Sessions":{"@odata.id":"/sessions"}}}"#.to_owned(),
        "/sessions" => r#"{"@odata.id":"/sessions/1"}"#.to_owned(),
        "/s" => r#"{"Members":[{"@odata.id":"/s/1"}]}"#.to_owned(),
        _ => format!(r#"{{"@odata.id":"/s/1","PowerState":"On","Oem":{{"Filler":"{}"}}}}"#, "x".repeat(12_000)),
    }
}
