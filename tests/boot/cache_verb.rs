//! `bringup serve --cache` as a process: a disk that is full, a boot server that is away, words that cannot be together.

use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::site::Site;
use crate::support::{Service, need_program, skip, wait_until};

struct Cache {
    service: Service,
    address: SocketAddr,
    said: String,
}

/// Starts one. `disk` is the size of a disk of its own, in KiB.
fn start(site: &Site, upstream: &str, disk: Option<u32>) -> Cache {
    let folder = site.dir.path().join("cache");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = match disk {
        None => Command::new(env!("CARGO_BIN_EXE_bringup")),
        Some(kib) => {
            let mut command = Command::new("unshare");
            let script = format!("mount -t tmpfs -o size={kib}k none \"$1\" && shift && exec \"$@\"");
            command.args(["-m", "sh", "-c", &script, "sh"]).arg(&folder).arg(env!("CARGO_BIN_EXE_bringup"));
            command
        }
    };
    command.args(["serve", "--listen", "127.90.0.5:0", "--state"]).arg(site.dir.path().join("cache.db"));
    command.args(["--cache", upstream, "--cache-size", "1", "--cache-dir"]).arg(&folder);
    let lines = std::fs::File::create(site.dir.path().join("lines")).unwrap();
    let mut child = command.stdout(lines).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let service = Service::from(child);
    let mut said = String::new();
    while !said.contains("serving on ") {
        assert!(talk.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    let address = said.rsplit_once("serving on http://").unwrap().1.split(';').next().unwrap().parse().unwrap();
    std::thread::spawn(move || talk.read_to_end(&mut Vec::new()));
    Cache { service, address, said }
}

impl Cache {
    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let done = Command::new("curl")
            .args(["-s", "--max-time", "120", "-w", "%{stderr}%{http_code}"])
            .arg(format!("http://{}{path}", self.address))
            .output()
            .unwrap();
        (String::from_utf8_lossy(&done.stderr).parse().unwrap(), done.stdout)
    }
}

#[test]
fn a_full_disk_makes_room_of_what_was_longest_unused_and_says_when_it_cannot() {
    let test = "boot::cache_verb::a_full_disk_makes_room_of_what_was_longest_unused_and_says_when_it_cannot";
    let Some(site) = Site::start(test) else { return };
    if need_program(test, "unshare").is_none() {
        return;
    }
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
        return skip(test, "the right to mount");
    }
    let mut spec = site.spec();
    spec.initrd = vec![site.file("one", &[1; 600_000]), site.file("two", &[2; 600_000]), site.file("big", &[3; 1_500_000])];
    let files = site.files_of(&site.issue(spec));
    let cache = start(&site, &format!("http://{}", site.address), Some(1000));
    assert!(cache.said.contains("a cache of http://127.90.0.1:"), "{}", cache.said);
    assert_eq!(cache.get(&format!("{files}/initrd/0")), (200, vec![1; 600_000]));
    assert_eq!(cache.get(&format!("{files}/initrd/1")), (200, vec![2; 600_000]), "the first made room");
    let (status, words) = cache.get(&format!("{files}/initrd/2"));
    let words = String::from_utf8(words).unwrap();
    assert!(
        status == 503 && words.contains("the disk of the cache is full") && words.contains("1500000 bytes"),
        "{status} {words}"
    );
    assert_eq!(cache.get(&format!("{files}/initrd/0")).0, 200, "it lives on");
    let lines = std::fs::read_to_string(site.dir.path().join("lines")).unwrap();
    assert!(lines.contains(" refused: the disk of the cache is full"), "{lines}");
    assert!(!lines.contains(files.trim_start_matches("/g/")), "no token is printed");
}

#[test]
fn a_boot_server_that_is_away_is_told_and_when_it_is_back_all_is_well() {
    let Some(site) = Site::start("boot::cache_verb::a_boot_server_that_is_away_is_told_and_when_it_is_back_all_is_well") else {
        return;
    };
    let files = site.files_of(&site.issue(site.spec()));
    let port = std::net::TcpListener::bind("127.90.0.6:0").unwrap().local_addr().unwrap().port();
    let mut cache = start(&site, &format!("http://127.90.0.6:{port}"), None);
    let (status, words) = cache.get(&format!("{files}/kernel"));
    let words = String::from_utf8(words).unwrap();
    assert!(status == 503 && words.contains(&format!("the boot server http://127.90.0.6:{port} cannot be asked")), "{words}");
    let listener = site.runtime.block_on(tokio::net::TcpListener::bind(("127.90.0.6", port))).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let served = site.runtime.spawn(bringup::boot::serve(listener, site.grants.clone(), stop.clone()));
    assert_eq!(cache.get(&format!("{files}/kernel")).0, 200);
    // Held, and yet not given without the boot server's word.
    stop.cancel();
    site.runtime.block_on(served).unwrap();
    assert_eq!(cache.get(&format!("{files}/kernel")).0, 503);
    assert!(Command::new("kill").args(["-INT", &cache.service.pid().to_string()]).status().unwrap().success());
    wait_until("the cache ends", Duration::from_secs(60), || !cache.service.alive());
    // Another life of it keeps the file.
    let again = start(&site, &format!("http://{}", site.address), None);
    assert!(again.said.contains(": 1 files, 0 MB"), "{}", again.said);
    assert_eq!(again.get(&format!("{files}/kernel")).0, 200);
    let (_, health) = again.get("/healthz");
    assert!(String::from_utf8(health).unwrap().contains("\"fetched\":0"));
}

#[test]
fn words_that_make_no_cache_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["serve", "--listen", "127.90.0.5:0", "--state"]).arg(dir.path().join("journal.db")).args(words);
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for (words, want) in [
        (&["--cache", "10.77.0.1:8088"][..], "is not of the form http://HOST:PORT"),
        (&["--cache", "http://user:pw@10.77.0.1"], "is not of the form http://HOST:PORT"),
        (&["--cache-dir", "x"], "--cache"),
        (&["--cache", "http://10.77.0.1:8088", "--dhcp", "lo"], "cannot be used with"),
        (&["--cache", "http://10.77.0.1:8088", "--https"], "cannot be used with"),
        (&["--cache", "http://10.77.0.1:8088", "--cache-size", "0"], "0 is not in 1..=100000"),
        (&["--cache", "http://10.77.0.1:8088", "--budget", "a001=1Gbit"], "a cache does not know the nodes of rack a001"),
        (&["--cache", "http://10.77.0.1:8088", "--cache-dir", "/proc/none"], "use the cache /proc/none"),
    ] {
        let (code, said) = run(words);
        assert!(code.is_some_and(|code| code != 0) && said.contains(want), "{words:?}: {code:?} {said}");
        assert!(!said.contains("pw@") || words[1].contains("pw@") && !said.contains("panicked"), "{said}");
    }
}
