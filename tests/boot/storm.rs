//! More nodes ask than are served at once: the others wait in order, what is small waits for nobody, and what was promised holds over a crash.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bringup::boot::{Gauge, Grants, Health, Storm, StormRules};
use sha2::{Digest as _, Sha256};

use super::site::{Site, base};
use crate::support::{Service, need_program, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

fn large() -> Vec<u8> {
    (0..40_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}

/// A site with a large root, and the path under which its files are.
fn site(test: &str, rules: StormRules) -> Option<(Site, String)> {
    let site = Site::start_in(test, Storm::new(rules))?;
    let mut spec = site.spec();
    spec.root = Some(site.file("root", &large()));
    let issued = site.issue(spec);
    let base = site.files_of(&issued);
    Some((site, base))
}

fn curl(site: &Site, path: &str, out: &str, words: &[&str]) -> Child {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "300", "-o"]).arg(site.dir.path().join(out)).args(words);
    command.arg(format!("http://{}{path}", site.address)).spawn().unwrap()
}

/// A client that takes 1.2 MB each second, ten times what counts as slow, and all the rest once it is let go.
struct Slow {
    hurry: std::sync::mpsc::Sender<()>,
    reader: std::thread::JoinHandle<Vec<u8>>,
}

impl Slow {
    fn start(site: &Site, path: &str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // So that the file does not end up in the kernel's buffers.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(&site.address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let (hurry, told) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let (mut all, mut block) = (Vec::new(), vec![0; 60_000]);
            let mut slow = true;
            loop {
                let got = stream.read(&mut block).unwrap();
                if got == 0 {
                    return all;
                }
                all.extend_from_slice(&block[..got]);
                match told.recv_timeout(Duration::from_millis(if slow { 50 } else { 0 })) {
                    Ok(()) => slow = false,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    // Switched off in the middle of it.
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return all,
                }
            }
        });
        Self { hurry, reader }
    }

    /// Takes the rest; what came, without the head.
    fn rest(self) -> Vec<u8> {
        self.hurry.send(()).unwrap();
        let keep = self.hurry;
        let all = self.reader.join().unwrap();
        drop(keep);
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        all[end + 4..].to_vec()
    }
}

fn gauge(site: &Site) -> Gauge {
    let health: Health = serde_json::from_str(site.get("/healthz").text()).unwrap();
    health.storm.unwrap()
}

#[test]
fn who_comes_later_waits_and_what_is_small_does_not() {
    let test = "boot::storm::who_comes_later_waits_and_what_is_small_does_not";
    let Some((site, base)) = site(test, StormRules { transfers: 1, ..StormRules::default() }) else { return };
    let root = format!("{base}/root");
    let first = Slow::start(&site, &root);
    wait_until("the first is sent", PATIENCE, || gauge(&site).sending == 1);
    let mut second = curl(&site, &root, "second", &[]);
    wait_until("the second waits", PATIENCE, || gauge(&site).waiting == 1);
    // Small files and scripts pass by.
    assert_eq!(site.get(&format!("{base}/initrd/1")).body, b"initrd one");
    assert_eq!(site.get(&format!("{base}/kernel")).body.len(), 700_001);
    // Who waits is told so by crumbs, so that its client is patient.
    let crumbs = || std::fs::metadata(site.dir.path().join("second")).map_or(0, |about| about.len());
    wait_until("crumbs", PATIENCE, || crumbs() > 0);
    let waits = gauge(&site);
    if waits.waiting == 1 {
        assert!(crumbs() < 1 << 20 && waits.sending == 1, "{waits:?}, {} bytes", crumbs());
    }
    assert!(first.rest() == large());
    assert!(second.wait().unwrap().success());
    assert!(std::fs::read(site.dir.path().join("second")).unwrap() == large());
    wait_until("nobody is left", PATIENCE, || gauge(&site).sending == 0);
    assert!(gauge(&site).bytes >= 80_000_002);
}

#[test]
fn who_hangs_up_gives_its_place_to_the_next() {
    let test = "boot::storm::who_hangs_up_gives_its_place_to_the_next";
    let Some((site, base)) = site(test, StormRules { transfers: 1, ..StormRules::default() }) else { return };
    let root = format!("{base}/root");
    let first = Slow::start(&site, &root);
    wait_until("the first is sent", PATIENCE, || gauge(&site).sending == 1);
    let mut second = curl(&site, &root, "second", &[]);
    wait_until("the second waits", PATIENCE, || gauge(&site).waiting == 1);
    drop(first);
    assert!(second.wait().unwrap().success());
    assert!(std::fs::read(site.dir.path().join("second")).unwrap() == large());
}

#[test]
fn a_budget_is_kept() {
    let test = "boot::storm::a_budget_is_kept";
    let rules = StormRules { budget: Some("160Mbit".parse().unwrap()), ..StormRules::default() };
    let Some((site, base)) = site(test, rules) else { return };
    let begun = Instant::now();
    let all: Vec<Child> = ["first", "second"].map(|name| curl(&site, &format!("{base}/root"), name, &[])).into();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    // 80 MB at 20 MB/s.
    assert!(begun.elapsed() > Duration::from_millis(3500), "{:?}", begun.elapsed());
    assert!(std::fs::read(site.dir.path().join("second")).unwrap() == large());
}

/// A client that others wrote, which fetches four ranges at once and puts them together.
#[test]
fn aria2_fetches_four_segments_at_once() {
    let test = "boot::storm::aria2_fetches_four_segments_at_once";
    if need_program(test, "aria2c").is_none() {
        return;
    }
    let Some((site, base)) = site(test, StormRules { transfers: 2, ..StormRules::default() }) else { return };
    let digest = Sha256::digest(large());
    let checksum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let done = Command::new("aria2c")
        .args(["-s4", "-x4", "-k1M", "--file-allocation=none", "--no-conf=true", "--summary-interval=0", "-o", "aria", "-d"])
        .arg(site.dir.path())
        .arg(format!("--checksum=sha-256={checksum}"))
        .arg(format!("http://{}{base}/root", site.address))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(std::fs::read(site.dir.path().join("aria")).unwrap() == large());
    let ranges = std::iter::from_fn(|| site.seen.lock().unwrap().try_recv().ok());
    let roots = ranges.filter(|seen| seen.of == 40_000_001 && seen.bytes > 0).count();
    assert!(roots >= 4, "{roots} requests: it fetched it in one piece");
}

struct Serve {
    service: Service,
    address: SocketAddr,
}

fn serve(site: &Site, words: &[&str]) -> Serve {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["serve", "--listen", "127.90.0.3:0", "--state"]).arg(site.dir.path().join("journal.db")).args(words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line.split_whitespace().find_map(|w| w.strip_prefix("http://")).unwrap_or_else(|| panic!("{line}"));
    let address = address.trim_end_matches(';').parse().unwrap();
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    Serve { service: Service::from(child), address }
}

/// Status and text, or `None` when the server was gone before the answer was whole.
fn ask(at: SocketAddr, from: &str, path: &str) -> Option<(u16, String)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&at.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    (text.len() == length).then(|| (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned()))
}

/// Many scripts share one write to the disk. Killed in the middle of it, the server has given nobody what could be given again.
#[test]
fn a_script_that_was_given_stays_given_over_kill_9() {
    let test = "boot::storm::a_script_that_was_given_stays_given_over_kill_9";
    let Some(site) = Site::start(test) else { return };
    let paths: Vec<String> = (0..60)
        .map(|n| {
            let mut spec = site.spec();
            spec.node = bringup::model::NodeId::new(format!("a{:03}-s01", n + 1)).unwrap();
            spec.mac = Some(format!("52:54:00:bb:00:{n:02x}").parse().unwrap());
            spec.root = None;
            site.issue(spec).script_path()
        })
        .collect();
    let first = serve(&site, &[]);
    let given = std::sync::atomic::AtomicUsize::new(0);
    let scripts: Vec<Option<(u16, String)>> = std::thread::scope(|scope| {
        let asked: Vec<_> = paths
            .iter()
            .enumerate()
            .map(|(n, path)| {
                let (given, at) = (&given, first.address);
                scope.spawn(move || {
                    let got = ask(at, &format!("127.90.2.{}", n + 1), path);
                    given.fetch_add(usize::from(got.is_some()), std::sync::atomic::Ordering::Relaxed);
                    got
                })
            })
            .collect();
        wait_until("some have theirs", PATIENCE, || given.load(std::sync::atomic::Ordering::Relaxed) >= 5);
        let pid = first.service.pid().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    drop(first);
    let again = serve(&site, &[]);
    for (n, (path, script)) in paths.iter().zip(scripts).enumerate() {
        let replay = ask(again.address, "127.90.3.1", path).unwrap();
        match script {
            Some((status, script)) => {
                assert_eq!((status, replay.0), (200, 410), "script {n} was given twice: {}", replay.1);
                let kernel = ask_status(again.address, &format!("{}/kernel", base(&script)));
                assert_eq!(kernel, 200, "what script {n} opens is open after the crash");
            }
            // Nobody has it: whether it was written down before the crash or not, there is at most one.
            None => assert!([200, 410].contains(&replay.0), "{replay:?}"),
        }
    }
    let grants = Grants::open(&site.dir.path().join("grants.db")).unwrap();
    assert_eq!(grants.store_id(), site.grants.store_id());
}

fn ask_status(at: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn budgets_that_cannot_be_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for (words, want) in [
        (&["--budget", "8"][..], "is not a rate from 512kbit to 10Tbit"),
        (&["--budget", "8Gbit", "--budget", "9Gbit"], "--budget is given twice for the whole"),
        (&["--transfers", "0"], "0 is not in 1..=65535"),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_bringup"))
            .args(["serve", "--listen", "127.90.0.4:0", "--state"])
            .arg(dir.path().join("journal.db"))
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(want), "{words:?}: {said}");
    }
}
