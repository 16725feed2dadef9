//! The boot ROM against a tiny HTTP server: what it asks for, what it loads, and when it falls to the disk.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bringup::model::{AcceleratorKind, NodeId, RackId};
use bringup::sim::bootrom::{ChainUrl, Site, boot};
use bringup::sim::machine::RomSource;
use bringup::sim::{Fitted, Identity, Seed, profile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

type Pages = BTreeMap<&'static str, (u16, Vec<u8>)>;

/// Serves fixed pages, query ignored, and notes who asked for what.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<(IpAddr, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(pages: Pages) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, from) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = pages.get(path.split('?').next().unwrap()).cloned().unwrap_or((404, Vec::new()));
            notes.lock().unwrap().push((from.ip(), path));
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.write_all(&body).await);
        }
    });
    Server { base, asked, task }
}

fn identity() -> Identity {
    Identity::derive(
        Seed(7),
        NodeId::new("a001-s01").unwrap(),
        RackId::new("a001").unwrap(),
        1,
        &profile::DELL,
        Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
        &[],
    )
}

fn site(chain: Option<String>) -> Site {
    let chain_url = ChainUrl::default();
    chain_url.set(chain);
    Site { chain_url, address: "127.11.1.2".parse().unwrap() }
}

const SCRIPT: &[u8] =
    b"#!ipxe\nkernel --name kernel /k a=${serial} b || goto failed\ninitrd --name i /i || goto failed\nboot || goto failed\n\
:failed\nexit 1\n";

fn ok(body: &[u8]) -> (u16, Vec<u8>) {
    (200, body.to_vec())
}

#[tokio::test]
async fn pxe_chains_with_the_machines_identity_and_loads_everything() {
    let initrd = vec![7u8; 300_000];
    let server = serve(BTreeMap::from([("/boot.ipxe", ok(SCRIPT)), ("/k", ok(b"kernel")), ("/i", ok(&initrd))])).await;
    let id = identity();
    let loaded = boot(&id, &site(Some(format!("{}/boot.ipxe", server.base))), &RomSource::Chain).await.unwrap();
    assert_eq!(loaded.cmdline, format!("a={} b", id.serial));
    assert_eq!(loaded.kernel.bytes, 6);
    assert_eq!(loaded.kernel.sha256, sha(b"kernel"));
    assert_eq!(loaded.initrd.first().map(|b| (b.bytes, b.sha256.clone())), Some((300_000, sha(&initrd))));
    let asked = server.asked.lock().unwrap().clone();
    let mac = id.boot_mac.to_string().replace(':', "-");
    let want = format!("/boot.ipxe?mac={mac}&uuid={}&serial={}&arch=x86_64", id.uuid, id.serial);
    assert_eq!(asked.first().unwrap().1, want);
    assert!(asked.iter().all(|(from, _)| *from == "127.11.1.2".parse::<IpAddr>().unwrap()), "from the node's own address");
}

fn sha(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn uefi_http_takes_a_loader_and_its_autoexec() {
    let server = serve(BTreeMap::from([
        ("/g/t/ipxe.efi", ok(b"MZ...")),
        ("/g/t/autoexec.ipxe", ok(SCRIPT)),
        ("/k", ok(b"k")),
        ("/i", ok(b"i")),
    ]))
    .await;
    let source = RomSource::Uri(format!("{}/g/t/ipxe.efi", server.base));
    assert!(boot(&identity(), &site(None), &source).await.is_ok());
    // Without one beside it, iPXE does what the site's DHCP says.
    let server =
        serve(BTreeMap::from([("/g/t/ipxe.efi", ok(b"MZ...")), ("/c", ok(SCRIPT)), ("/k", ok(b"k")), ("/i", ok(b"i"))])).await;
    let source = RomSource::Uri(format!("{}/g/t/ipxe.efi", server.base));
    assert!(boot(&identity(), &site(Some(format!("{}/c", server.base))), &source).await.is_ok());
}

#[tokio::test]
async fn a_chain_is_followed_and_a_missing_file_is_not_booted() {
    let chain: &[u8] = b"#!ipxe\nchain --replace /two?mac=${netX/mac:hexhyp} || exit 1\n";
    let pages = [("/one", ok(chain)), ("/two", ok(SCRIPT)), ("/k", ok(b"k")), ("/i", ok(b"i"))];
    let server = serve(BTreeMap::from(pages.clone())).await;
    assert!(boot(&identity(), &site(Some(format!("{}/one", server.base))), &RomSource::Chain).await.is_ok());
    for gone in ["/i", "/k", "/two", "/one"] {
        for status in [404, 403, 503] {
            let mut pages = BTreeMap::from(pages.clone());
            pages.insert(gone, (status, b"no".to_vec()));
            let server = serve(pages).await;
            let booted = boot(&identity(), &site(Some(format!("{}/one", server.base))), &RomSource::Chain).await;
            assert!(booted.is_err(), "{gone} {status}");
        }
    }
}

#[tokio::test]
async fn nonsense_is_not_booted() {
    for body in [&b"<html>"[..], b"", b"#!ipxe\n", b"#!ipxe\nboot\n", b"#!ipxe\n:a\ngoto a\n", b"\xff\xfe", b"#!ipxe\nchain /c\n"]
    {
        let server = serve(BTreeMap::from([("/c", ok(body))])).await;
        let booted = boot(&identity(), &site(Some(format!("{}/c", server.base))), &RomSource::Chain).await;
        assert!(booted.is_err(), "{body:?}");
    }
    let booted = boot(&identity(), &site(None), &RomSource::Chain).await;
    assert_eq!(booted.unwrap_err(), "no DHCP server answered");
    for uri in ["ftp://127.0.0.1/x", "http://boot.example/x", "nonsense", "http://127.0.0.1:1/x"] {
        assert!(boot(&identity(), &site(None), &RomSource::Uri(uri.to_owned())).await.is_err(), "{uri}");
    }
}
