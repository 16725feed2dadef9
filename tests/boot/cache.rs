//! A rack cache between curl and a boot server: one fetch for all who ask, never a byte without upstream's word, and nothing wrong is ever kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bringup::boot::{Blobs, BootLog, Cache, GrantSpec, Grants, ServeOptions, Stage, serve_with};
use bringup::model::NodeId;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::site::{Got, Site, base, kernel};
use crate::support::need_program;

/// A cache of `upstream` that runs in the site's runtime.
struct Rack {
    address: SocketAddr,
    cache: Cache,
    folder: PathBuf,
}

impl Rack {
    fn start(site: &Site, name: &str, upstream: SocketAddr, limit: u64) -> Self {
        let folder = site.dir.path().join(name);
        let cache = Cache::new(Blobs::open(&folder, limit).unwrap(), format!("http://{upstream}").parse().unwrap());
        let listener = site.runtime.block_on(tokio::net::TcpListener::bind("127.90.0.2:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let grants = Grants::open(&site.dir.path().join(format!("{name}.db"))).unwrap();
        let options = ServeOptions { log: BootLog::default(), cache: Some(cache.clone()), ..ServeOptions::default() };
        site.runtime.spawn(serve_with(listener, grants, options, CancellationToken::new()));
        Self { address, cache, folder }
    }

    fn curl(&self, path: &str, more: &[&str]) -> Got {
        let dir = tempfile::tempdir().unwrap();
        let (head, body) = (dir.path().join("head"), dir.path().join("body"));
        let url = format!("http://{}{path}", self.address);
        let done = Command::new("curl")
            .args(["-sS", "--path-as-is", "--max-time", "120", "-D"])
            .arg(&head)
            .arg("-o")
            .arg(&body)
            .args(more)
            .arg(url)
            .output();
        let head = std::fs::read_to_string(head).unwrap_or_default();
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("curl: {}", String::from_utf8_lossy(&done.unwrap().stderr)));
        Got { status, head, body: std::fs::read(body).unwrap_or_default() }
    }

    fn files(&self) -> Vec<String> {
        files(&self.folder)
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sha(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

/// How often upstream sent a whole kernel.
fn whole_kernels(site: &Site) -> usize {
    let mut seen = site.seen.lock().unwrap();
    let mut count = 0;
    while let Ok(one) = seen.try_recv() {
        count += usize::from(one.stage == Stage::Kernel && one.bytes == one.of && one.of > 1);
    }
    count
}

#[test]
fn one_fetch_for_all_who_ask_and_upstreams_word_for_each() {
    let Some(site) = Site::start("boot::cache::one_fetch_for_all_who_ask_and_upstreams_word_for_each") else { return };
    let rack = Rack::start(&site, "rack", site.address, 1 << 30);
    let mut spec = site.spec();
    spec.files_from = Some(format!("http://{}", rack.address));
    let id = spec.id.clone();
    let issued = site.issue(spec);
    let script = site.get(&issued.script_path());
    let base = base(script.text());
    let token = base.strip_prefix(&format!("http://{}", rack.address)).unwrap_or_else(|| panic!("not by the cache: {base}"));
    assert!(
        script.text().contains(&format!(" bringup.root={base}/root "))
            && script.text().contains(&format!("http://{}/g/", site.address))
    );
    let path = format!("{token}/kernel");
    // A look uses nothing up and fetches nothing.
    let head = rack.curl(&path, &["-I"]);
    let tag = format!("\"{}\"", sha(&kernel()));
    assert_eq!((head.status, head.header("content-length"), head.header("etag")), (200, Some("700001"), Some(&*tag)));
    assert!(!site.status(&id).stages.contains_key(&Stage::Kernel) && rack.files().is_empty());

    let got: Vec<Got> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| rack.curl(&path, &[]))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(got.iter().all(|g| g.status == 200 && g.body == kernel()), "{:?}", got.iter().map(|g| g.status).collect::<Vec<_>>());
    assert_eq!(whole_kernels(&site), 1, "fetched once for all");
    assert!(site.status(&id).stages.contains_key(&Stage::Kernel), "upstream knows how far the node is");
    let held = rack.cache.held();
    assert_eq!((rack.files(), held.files, held.bytes, held.fetched), (vec![sha(&kernel())], 1, 700_001, 700_001));
    let part = rack.curl(&path, &["-r", "300000-500000"]);
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 300000-500000/700001")));
    assert_eq!(part.body, kernel()[300_000..=500_000]);
    // Another grant of the same image: its own word, no second copy.
    let mut second = site.spec();
    second.node = NodeId::new("a001-s02").unwrap();
    (second.mac, second.uuid, second.serial) = (Some("52:54:00:aa:00:02".parse().unwrap()), None, None);
    second.files_from = Some(format!("http://{}", rack.address));
    let second_id = second.id.clone();
    let second = base_of(&site, second);
    assert_eq!(rack.curl(&format!("{second}/kernel"), &[]).body, kernel());
    assert!(site.status(&second_id).stages.contains_key(&Stage::Kernel));
    assert_eq!((whole_kernels(&site), rack.cache.held().fetched), (0, 700_001));

    // What is held opens nothing without a grant that is open.
    assert!(site.runtime.block_on(site.grants.revoke(&id, "test")).unwrap());
    let over = rack.curl(&path, &[]);
    assert!(over.status == 410 && over.text().contains("revoked"), "{over:?}");
    assert_eq!(rack.curl(&format!("{second}/kernel"), &[]).status, 200, "the other's is open");
    assert_eq!(rack.curl(&format!("/g/{}/kernel", "0".repeat(32)), &[]).status, 404);
    for own in [
        issued.script_path(),
        issued.loader_path(),
        format!("{token}/identity"),
        format!("{token}/at/userspace"),
        "/boot.ipxe".into(),
    ] {
        let got = rack.curl(&own, &[]);
        assert!(got.status == 404 && got.text().contains("cache of files"), "{own}: {got:?}");
    }
    assert_eq!(rack.curl("/../etc/passwd", &[]).status, 404);
    assert!(rack.curl("/healthz", &[]).text().contains("\"service\":\"bringup-cache\""));
    for method in ["DELETE", "POST"] {
        assert_eq!(rack.curl(&path, &["-X", method]).status, 405);
    }
    // A cache of a cache.
    let far = Rack::start(&site, "far", rack.address, 1 << 30);
    assert_eq!(far.curl(&format!("{second}/kernel"), &[]).body, kernel());
    assert_eq!(whole_kernels(&site), 0);
}

/// The token part of where a grant's files lie.
fn base_of(site: &Site, spec: GrantSpec) -> String {
    let base = site.files_of(&site.issue(spec));
    base.find("/g/").map(|at| base[at..].to_owned()).unwrap()
}

#[test]
fn aria2_fetches_four_pieces_of_what_the_cache_has_not_yet() {
    let test = "boot::cache::aria2_fetches_four_pieces_of_what_the_cache_has_not_yet";
    if need_program(test, "aria2c").is_none() {
        return;
    }
    let Some(site) = Site::start(test) else { return };
    let rack = Rack::start(&site, "rack", site.address, 1 << 30);
    let large: Vec<u8> = (0..8_000_003_u32).map(|n| (n % 249) as u8).collect();
    let mut spec = site.spec();
    spec.root = Some(site.file("large", &large));
    let base = base_of(&site, spec);
    let done = Command::new("aria2c")
        .args(["-s4", "-x4", "-k1M", "--file-allocation=none", "--no-conf=true", "--summary-interval=0", "-o", "aria", "-d"])
        .arg(site.dir.path())
        .arg(format!("--checksum=sha-256={}", sha(&large)))
        .arg(format!("http://{}{base}/root", rack.address))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(std::fs::read(site.dir.path().join("aria")).unwrap() == large);
    assert_eq!(rack.cache.held().fetched, 8_000_003, "one copy by the uplink");
}

#[test]
fn a_cache_is_bounded_and_the_longest_unused_makes_room() {
    let Some(site) = Site::start("boot::cache::a_cache_is_bounded_and_the_longest_unused_makes_room") else { return };
    let rack = Rack::start(&site, "rack", site.address, 1_000_000);
    let mut spec = site.spec();
    spec.initrd = vec![site.file("one", &[1; 290_000]), site.file("two", &[2; 290_000]), site.file("big", &vec![3; 1_000_001])];
    let files = site.files_of(&site.issue(spec));
    let ask = |which: &str| rack.curl(&format!("{files}/{which}"), &[]).status;
    assert_eq!((ask("kernel"), ask("initrd/0")), (200, 200));
    assert_eq!(ask("kernel"), 200, "used later than the initrd");
    assert_eq!(ask("initrd/1"), 200);
    assert_eq!(rack.files().len(), 2, "{:?}", rack.files());
    assert!(rack.files().contains(&sha(&kernel())) && !rack.files().contains(&sha(&[1; 290_000])));
    let big = rack.curl(&format!("{files}/initrd/2"), &[]);
    assert!(big.status == 503 && big.text().contains("1000001 bytes"), "{big:?}");
    assert!(rack.cache.held().bytes <= 1_000_000);

    // A life later: what is half there is gone, what was changed is fetched anew, what is somebody else's stays.
    std::fs::write(rack.folder.join(format!("{}.part", sha(b"x"))), b"half").unwrap();
    std::fs::write(rack.folder.join("README"), b"mine").unwrap();
    let mut bad = kernel();
    bad[7] ^= 1;
    std::fs::write(rack.folder.join(sha(&kernel())), bad).unwrap();
    let later = Rack::start(&site, "rack", site.address, 1_000_000);
    while site.seen.lock().unwrap().try_recv().is_ok() {}
    assert_eq!(later.curl(&format!("{files}/initrd/1"), &[]).body, [2; 290_000]);
    assert_eq!(later.cache.held().fetched, 0, "what is whole is kept");
    let got = later.curl(&format!("{files}/kernel"), &[]);
    assert!(got.status == 200 && got.body == kernel());
    assert_eq!(later.cache.held().fetched, 700_001);
    assert_eq!(std::fs::read(rack.folder.join(sha(&kernel()))).unwrap(), kernel());
    assert!(
        later.files().contains(&"README".to_owned()) && !later.files().iter().any(|f| f.ends_with(".part")),
        "{:?}",
        later.files()
    );
}

/// A boot server that answers every request with these bytes.
fn impostor(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.90.0.3:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 4096];
            let count = stream.read(&mut asked).unwrap_or(0);
            drop(stream.write_all(&answer(&String::from_utf8_lossy(&asked[..count]))));
        }
    });
    address
}

#[test]
fn a_wrong_or_missing_upstream_is_told_and_nothing_of_it_is_kept() {
    let Some(site) = Site::start("boot::cache::a_wrong_or_missing_upstream_is_told_and_nothing_of_it_is_kept") else { return };
    let path = format!("/g/{}/kernel", "a".repeat(32));
    let answer = |what: &'static [u8], named: usize| {
        move |asked: &str| {
            let head = format!(
                "HTTP/1.1 {}\r\nETag: \"{}\"\r\n",
                if asked.to_lowercase().contains("range:") { "206 Partial" } else { "200 OK" },
                sha(b"good")
            );
            let rest = match asked.to_lowercase().contains("range:") {
                true => format!("Content-Range: bytes 0-0/{named}\r\nContent-Length: 1\r\nConnection: close\r\n\r\ng"),
                false => format!("Connection: close\r\n\r\n{}", String::from_utf8_lossy(what)),
            };
            (head + &rest).into_bytes()
        }
    };
    for (name, what, named, status, words) in [
        ("good", &b"good"[..], 4, 200, "good"),
        ("evil", b"evil", 4, 502, "it was thrown away"),
        ("long", b"good and more", 4, 502, "more than the 4 bytes"),
        ("short", b"go", 4, 502, "it said 206"),
    ] {
        let rack = Rack::start(&site, name, impostor(answer(what, named)), 1 << 20);
        let got = rack.curl(&path, &[]);
        assert!(got.status == status && got.text().contains(words), "{name}: {got:?}");
        assert_eq!(rack.files().len(), usize::from(status == 200), "{name}: {:?}", rack.files());
    }
    let mute = Rack::start(&site, "mute", impostor(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".to_vec()), 1 << 20);
    assert!(mute.curl(&path, &[]).text().contains("names no digest"));
    let noise = Rack::start(&site, "noise", impostor(|_| b"\xff\xfe no HTTP at all\r\n\r\n".to_vec()), 1 << 20);
    assert_eq!(noise.curl(&path, &[]).status, 503);
    let free = TcpListener::bind("127.90.0.4:0").unwrap().local_addr().unwrap();
    let away = Rack::start(&site, "away", free, 1 << 20);
    let got = away.curl(&path, &[]);
    assert!(got.status == 503 && got.text().contains("cannot be asked"), "{got:?}");
    let big = Rack::start(
        &site,
        "big",
        impostor(|_| [b"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n".to_vec(), vec![b'x'; 70_000]].concat()),
        1 << 20,
    );
    assert!(big.curl(&path, &[]).text().contains("more than a cache passes on"));
    let moved = Rack::start(
        &site,
        "moved",
        impostor(|_| b"HTTP/1.1 302 Go\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n".to_vec()),
        1 << 20,
    );
    let got = moved.curl(&path, &[]);
    assert!(got.status == 502 && got.text().contains("302"), "{got:?}");
    assert_eq!(away.curl("/healthz", &[]).status, 200, "it lives on");
}

/// A boot server that hangs up in the middle, and is away for a moment after it.
#[test]
fn a_fetch_that_breaks_off_goes_on_where_it_stood() {
    let Some(site) = Site::start("boot::cache::a_fetch_that_breaks_off_goes_on_where_it_stood") else { return };
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let upstream = impostor(move |text| {
        let range = text.lines().find_map(|l| l.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let mut heard = heard.lock().unwrap();
        heard.push(range.clone());
        let (head, body) = match (heard.len(), range.as_deref()) {
            (1, Some("0-0")) => ("206 Partial\r\nContent-Range: bytes 0-0/1000\r\nContent-Length: 1", vec![b'a']),
            (2, None) => ("200 OK\r\nContent-Length: 1000", vec![b'a'; 400]),
            (3, Some("400-")) => ("503 Not Now\r\nContent-Length: 0", vec![]),
            (4, Some("400-")) => ("206 Partial\r\nContent-Range: bytes 400-999/1000\r\nContent-Length: 600", vec![b'a'; 300]),
            (5, Some("700-")) => ("206 Partial\r\nContent-Range: bytes 700-999/1000\r\nContent-Length: 300", vec![b'a'; 300]),
            _ => ("500 Unexpected\r\nContent-Length: 0", vec![]),
        };
        let head = format!("HTTP/1.1 {head}\r\nETag: \"{}\"\r\nConnection: close\r\n\r\n", sha(&[b'a'; 1000]));
        [head.into_bytes(), body].concat()
    });
    let rack = Rack::start(&site, "rack", upstream, 1 << 20);
    let got = rack.curl(&format!("/g/{}/root", "a".repeat(32)), &[]);
    assert!(got.status == 200 && got.body == [b'a'; 1000], "{got:?} {:?}", asked.lock().unwrap());
    let ranges: Vec<Option<String>> = asked.lock().unwrap().clone();
    assert_eq!(ranges.iter().map(|r| r.as_deref().unwrap_or("all")).collect::<Vec<_>>(), ["0-0", "all", "400-", "400-", "700-"]);
}
