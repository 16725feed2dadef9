//! A rack that boots by a rack cache: what the plan says of it, and that the image passes the uplink once.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::bad_rig::Rig;
use crate::support::Service;

/// A cache of the rig's boot server, which runs for as long as this is held.
fn cache(rig: &Rig) -> (Service, String) {
    let site = rig.read("inventory/site.yaml");
    let server = site.split("server: \"").nth(1).unwrap().split('"').next().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.current_dir(rig.dir.path()).args([
        "--state",
        "rack/journal.db",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cache",
        server,
    ]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let service = Service::from(child);
    let mut said = String::new();
    while !said.contains("serving on ") {
        assert!(talk.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    let url = said.rsplit_once("serving on ").unwrap().1.split(';').next().unwrap().to_owned();
    std::thread::spawn(move || talk.read_to_end(&mut Vec::new()));
    (service, url)
}

fn health(url: &str) -> serde_json::Value {
    let address = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_rack_boots_by_its_cache_and_the_image_passes_the_uplink_once() {
    let rig = Rig::up(4, &[]);
    let (service, url) = cache(&rig);
    let before = rig.run(&["plan"]).ends(0, &[]);
    assert!(before.out.contains("how long is unknown: `boot.power`, `boot.post` and"), "{}", before.out);
    assert!(!before.out.contains("from the cache"));
    rig.edit("inventory/site.yaml", "boot: {", &format!("boot: {{cache: \"{url}\", uplink: 10Gbit, post: 90s, "));
    let planned = rig.run(&["plan", "--out", "p.json"]).ends(0, &[]);
    let told: String = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!(" by uefi-http, from the cache {url}: ")), "{told}");
    assert!(told.contains("the longest of what is known: POST; BMCs unknown (`boot.power` is not written); POST "), "{told}");
    assert!(told.contains("; uplink 10Gbit 1 s for ") && told.contains(" by 1 cache"), "{told}");
    let plan: serde_json::Value = serde_json::from_str(&rig.read("p.json")).unwrap();
    assert_eq!(plan["nodes"][0]["steps"][0]["action"]["netboot"]["files_from"], url.as_str(), "{plan:#}");
    rig.edit("inventory/site.yaml", "post: 90s, ", "post: 90s, power: 5s, ");
    println!("{}", planned.out);
    let whole = rig.run(&["plan", "--out", "p.json"]).ends(0, &[]).out;
    assert!(whole.contains("the bottleneck: POST; BMCs "), "{whole}");
    let why = rig.run(&["show", "a001-s01", "--why", "boot.cache"]).ends(0, &[]);
    assert!(why.out.contains(&url) && why.out.contains("site.yaml:"), "{why:#?}");

    rig.run(&["apply", "p.json", "--yes"]).ends(0, &[&format!("cache {url} of http://127.0.0.1:")]);
    assert!(rig.farm().nodes().iter().all(|node| node.machine.boots() == 1));
    let step = &plan["nodes"][0]["steps"][0]["action"]["netboot"];
    let files = std::iter::once(&step["kernel"]).chain(step["initrd"].as_array().unwrap());
    let one: u64 = files.map(|f| std::fs::metadata(rig.path(f["path"].as_str().unwrap())).unwrap().len()).sum();
    let held = health(&url);
    assert!(one > 0 && held["fetched"] == one, "four nodes, one copy of {one} bytes: {held}");
    drop(service);
}

#[test]
fn a_cache_that_is_not_there_is_told_and_the_boot_server_gives_its_files() {
    let rig = Rig::up(1, &[]);
    let (service, url) = cache(&rig);
    drop(service);
    rig.edit("inventory/site.yaml", "boot: {", &format!("boot: {{cache: \"{url}\", "));
    rig.edit("playbooks/sim.yaml", "attempts: 3", "attempts: 1");
    rig.run(&["apply", "--yes"])
        .ends(0, &[&format!("no cache is heard at {url} (nothing listens there)"), "will ask the boot server itself"]);
    assert!(rig.farm().nodes().iter().all(|node| node.machine.boots() == 1));
}
