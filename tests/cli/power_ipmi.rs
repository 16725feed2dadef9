//! `power` over simulated IPMI BMCs: the key of a BMC itself by the inventory, a soft shutdown that is ignored, and lines of JSON as they come.

use std::time::{Duration, Instant};

use bringup::model::{BmcProtocol, PowerState};
use bringup::sim::farm::WrittenSite;
use bringup::sim::{Farm, Seed};

struct Site {
    farm: Farm,
    dir: tempfile::TempDir,
    written: WrittenSite,
}

async fn site(nodes: u32, faults: &[(&str, &str)]) -> Site {
    let mut spec = bringup::sim::FarmSpec::racks(1, nodes, Seed(11), false).unwrap();
    spec.speed = 1000;
    for node in &mut spec.nodes {
        node.protocol = BmcProtocol::Ipmi;
        node.running = true;
    }
    for (node, fault) in faults {
        spec.fault(node, fault.parse().unwrap()).unwrap();
    }
    let farm = Farm::start(spec).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = farm.write_inventory(dir.path(), "http://127.0.0.1:1").unwrap();
    Site { farm, dir, written }
}

impl Site {
    async fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(args).arg("-i").arg(&self.written.inventory).current_dir(self.dir.path()).env("CI", "true");
        let out = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    }

    fn power(&self, node: &str) -> PowerState {
        self.farm.node(node).unwrap().machine.power_state()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_bmc_itself_is_read_from_the_inventory() {
    let site = site(2, &[("a001-s01", "ipmi.kg")]).await;
    let written = std::fs::read_to_string(site.written.inventory.join("site.yaml")).unwrap();
    assert!(written.contains("kg: \"file:"), "{written}");
    let (code, out, err) = site.run(&["power", "status"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("a001-s[01-02]"), "{out}");
    let key = std::fs::read_to_string(&site.written.bmc_key).unwrap();
    let (_, shown, _) = site.run(&["show", "a001-s01", "-o", "json"]).await;
    assert!(shown.contains("bmc_key") && !shown.contains(key.trim()), "the reference is shown, never the key: {shown}");
    // Another key, and no key at all: told before and after a packet is sent.
    for (content, code, words) in
        [("00".repeat(19), 3, "40 hexadecimal digits"), ("ab".repeat(20), 4, "another key of its own (K_G)")]
    {
        std::fs::write(&site.written.bmc_key, format!("{content}\n")).unwrap();
        let (ended, out, err) = site.run(&["power", "status"]).await;
        assert_eq!(ended, Some(code), "{out}{err}");
        assert!(format!("{out}{err}").split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words}: {out}{err}");
        assert!(!format!("{out}{err}").contains(&content));
    }
    site.farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_soft_shutdown_is_escalated_when_that_was_asked_for() {
    let site = site(2, &[("a001-s01", "power.soft-ignored")]).await;
    let (code, _, err) = site.run(&["power", "off", "*", "--yes", "--then-off"]).await;
    assert_eq!(code, Some(64), "{err}");
    let (code, out, err) = site.run(&["power", "graceful", "*", "--yes", "--deadline", "1s"]).await;
    assert_eq!(code, Some(4), "{out}{err}");
    assert_eq!((site.power("a001-s01"), site.power("a001-s02")), (PowerState::On, PowerState::Off));
    let (code, out, err) = site.run(&["power", "graceful", "*", "--yes", "--deadline", "1s", "--then-off"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(site.power("a001-s01"), PowerState::Off);
    let deeds = site.farm.node("a001-s01").unwrap().machine.deeds();
    assert_eq!((deeds.graceful_asked, deeds.off_asked), (2, 1), "{deeds:?}");
    // Both touches stand in the journal.
    let hands = bringup::journal::Journal::hands(&site.dir.path().join(".bringup/journal.db")).unwrap();
    let events = bringup::journal::Journal::events(&site.dir.path().join(".bringup/journal.db"), &hands[1].id).unwrap();
    let touches = events.iter().filter(|l| matches!(l.event, bringup::model::Event::HandTouched { .. })).count();
    assert_eq!(touches, 3, "graceful twice, off once: {events:?}");
    site.farm.stop().await;
}

/// The answers of the living do not wait for the dead; the dead is named with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_bmc_keeps_no_other_answer_back() {
    use tokio::io::AsyncBufReadExt as _;
    let site = site(8, &[("a001-s03", "dead-bmc")]).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["power", "status", "-o", "ndjson", "-i"]).arg(&site.written.inventory).current_dir(site.dir.path());
    let began = Instant::now();
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        seen.push((began.elapsed(), row));
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(4));
    assert_eq!(seen.len(), 8);
    let (last, dead) = seen.last().unwrap();
    assert_eq!((&dead["node"], &dead["answer"]), (&"a001-s03".into(), &"unreachable".into()), "{dead}");
    assert!(dead["detail"].as_str().unwrap().contains("no answer from udp/"), "{dead}");
    let living = seen[6].0;
    assert!(living + Duration::from_secs(2) < *last, "the living waited: {living:?} of {last:?}");
    site.farm.stop().await;
}
