//! HTTP as others speak it: old clients, proxies, pipelines, bodies that nobody asked for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::site::{Site, kernel};

fn open(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends all of it and reads until the server closes.
fn talk(site: &Site, text: &str) -> String {
    let mut stream = open(site);
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_connection_is_kept_and_pipelines_are_answered_in_order() {
    let Some(site) = Site::start("boot::http::a_connection_is_kept_and_pipelines_are_answered_in_order") else { return };
    let said = talk(
        &site,
        "\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\nGET /nothing HTTP/1.1GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n\
         HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET http://other/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /boot.ipxe HTTP/1.1\r\n\r\n",
    );
    let lines: Vec<&str> = said.lines().filter(|l| l.contains("HTTP/1.1 ")).collect();
    assert_eq!(
        lines,
        ["HTTP/1.1 200 OK", "HTTP/1.1 405 Method Not Allowed", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK"],
        "{said}"
    );
    assert_eq!(said.matches("\"service\"").count(), 2, "the second of them was only looked at: {said}");
    assert_eq!(said.matches("connection: close").count(), 1);
}

#[test]
fn old_clients_and_bodies_without_end() {
    let Some(site) = Site::start("boot::http::old_clients_and_bodies_without_end") else { return };
    let old = talk(&site, "GET /healthz HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n") && old.contains("connection: close") && old.ends_with("}\n"), "{old}");
    for body in ["Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n", "Content-Length: 70000\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"]
    {
        let said = talk(&site, &format!("POST /healthz HTTP/1.1\r\nHost: x\r\n{body}"));
        assert!(said.starts_with("HTTP/1.1 405 ") && said.matches("HTTP/1.1").count() == 1, "{said}");
    }
    let said = talk(&site, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    let said = talk(&site, "GET /healthz HTTP/3.0\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 505 "), "{said}");
    // curl waits for `100 Continue` before a large body, and takes the answer instead.
    let got = site.curl("/healthz", &["-X", "POST", "-H", "Expect: 100-continue", "-d", "x"]);
    assert_eq!(got.status, 405);
    assert_eq!(site.get("/healthz").status, 200);
}

#[test]
fn many_files_on_one_connection() {
    let Some(site) = Site::start("boot::http::many_files_on_one_connection") else { return };
    let issued = site.issue(site.spec());
    let base = site.files_of(&issued);
    let url = |name: &str| format!("http://{}{base}/{name}", site.address);
    let out = |name: &str| site.dir.path().join(name);
    // Large by `sendfile`, small from memory, a part, and large again.
    let done = std::process::Command::new("curl")
        .args(["-sS", "-w", "%{num_connects} "])
        .args(["-o", out("1").to_str().unwrap(), &url("kernel"), "-o", out("2").to_str().unwrap(), &url("initrd/0")])
        .args(["-o", out("3").to_str().unwrap(), &url("kernel")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "1 0 0 ");
    assert!(std::fs::read(out("1")).unwrap() == kernel() && std::fs::read(out("3")).unwrap() == kernel());
    assert_eq!(std::fs::read(out("2")).unwrap(), b"initrd zero");
    // The first byte, the last, and what lies across the piece that is held back.
    for (range, want) in [("0-0", 0..1), ("700000-", 700_000..700_001), ("683000-690000", 683_000..690_001)] {
        assert_eq!(site.curl(&format!("{base}/kernel"), &["-r", range]).body, kernel()[want], "{range}");
    }
}
