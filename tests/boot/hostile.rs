//! Requests that mean harm: bounded, refused, and the server lives on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bringup::boot::{Gauge, Health, Stage};

use super::site::{MAC, Site};

/// Sends raw bytes and reads until the server closes.
fn raw(site: &Site, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_path_reaches_a_file() {
    let Some(site) = Site::start("boot::hostile::no_path_reaches_a_file") else { return };
    let issued = site.issue(site.spec());
    let base = site.files_of(&issued);
    for path in [
        "/../../../../etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "//etc/passwd".to_owned(),
        "/grants.db".to_owned(),
        format!("{base}/../../grants.db"),
        format!("{base}/initrd/../../../grants.db"),
        format!("{base}/initrd/..%2f..%2fgrants.db"),
        format!("{base}/kernel/../root"),
        format!("/g/{}/kernel", "0".repeat(32)),
        format!("/g/{}/kernel", issued.token.expose()),
    ] {
        let got = site.get(&path);
        assert_eq!(got.status, 404, "{path}");
        assert!(!got.text().contains("root:"), "{path}");
    }
}

#[test]
fn malformed_requests_are_refused_and_the_server_lives_on() {
    let Some(site) = Site::start("boot::hostile::malformed_requests_are_refused_and_the_server_lives_on") else { return };
    assert_eq!(site.curl("/boot.ipxe", &["-X", "POST", "-d", "x"]).status, 405);
    assert_eq!(site.curl("/boot.ipxe", &["-X", "DELETE"]).status, 405);
    assert_eq!(site.get("/boot.ipxe?mac=zz").status, 400);
    assert_eq!(site.get("/boot.ipxe?serial=x").status, 400);
    assert_eq!(site.get(&format!("/boot.ipxe?mac={MAC}&serial=%0aboot")).status, 400);
    assert_eq!(site.get(&format!("/boot.ipxe?mac={MAC}&x={}", "y".repeat(5000))).status, 400);
    assert!(raw(&site, &[b'A'; 100_000]).starts_with("HTTP/1.1 4"));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1000));
    assert!(raw(&site, many.as_bytes()).starts_with("HTTP/1.1 431"));
    assert!(raw(&site, b"\x16\x03\x01\x02\x00\x01\x00").is_empty() || raw(&site, b"\x16\x03\x01").starts_with("HTTP/1.1 400"));
    let issued = site.issue(site.spec());
    let host = format!("GET {} HTTP/1.1\r\nHost: evil shell\r\nConnection: close\r\n\r\n", issued.script_path());
    assert!(raw(&site, host.as_bytes()).starts_with("HTTP/1.1 400"));
    assert!(!site.status(&issued.public_id).stages.contains_key(&Stage::Script), "a bad request uses nothing up");
    let health: Health = serde_json::from_str(site.get("/healthz").text()).unwrap();
    assert_eq!((&*health.service, &*health.state, health.storm), ("bringup", site.grants.store_id(), Some(Gauge::default())));
}

/// Many clients that never finish their headers hold neither the server nor their sockets.
#[test]
fn slow_headers_are_given_up() {
    let Some(site) = Site::start("boot::hostile::slow_headers_are_given_up") else { return };
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(site.address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-").unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(site.get("/healthz").status, 200);
    assert!(start.elapsed() < Duration::from_secs(9), "others are served meanwhile");
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
        let mut answer = Vec::new();
        // Closed, with or without a word; a time-out of the read would be an error here.
        match stream.read_to_end(&mut answer) {
            Ok(_) => assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

/// A scanner's guesses are not each a line on the disk.
#[test]
fn guesses_are_recorded_in_bounds() {
    let Some(site) = Site::start("boot::hostile::guesses_are_recorded_in_bounds") else { return };
    let mut stream = TcpStream::connect(site.address).unwrap();
    let requests: String = (0..500_u32).map(|n| format!("GET /g/{n:032x}/kernel HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    let start = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(requests.as_bytes()));
    let mut seen = 0;
    let mut buffer = vec![0; 64 << 10];
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    while seen < 500 {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0);
        seen += buffer[..n].windows(13).filter(|w| w == b"HTTP/1.1 404 ").count();
    }
    sending.join().unwrap().unwrap();
    let lines = site.events().len();
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 2;
    assert!((1..=20 * seconds).contains(&lines), "{lines} lines in {seconds} s");
}
