//! A right inventory expands to what it says.

use bringup::model::{AcceleratorKind, Arch, BmcProtocol, BmcTrust, BootTarget, NodeId};

use super::fixture::{FACTS, SITE, facts_with, load, site_with};

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

#[test]
fn every_field_is_resolved() {
    let loaded = load(SITE, FACTS).unwrap_or_else(|d| panic!("{}", d.render(false)));
    let inventory = &loaded.inventory;
    assert_eq!(inventory.nodes.len(), 5);
    assert_eq!(inventory.racks.len(), 3);
    let node = &inventory.nodes[&id("a001-s02")];
    assert_eq!(node.bmc.protocol, BmcProtocol::Ipmi);
    assert_eq!(node.bmc.address.to_string(), "10.1.0.2:623");
    assert_eq!(node.ssh.address.to_string(), "10.101.0.2:22");
    assert_eq!(node.boot.method, BootTarget::UefiHttp);
    assert_eq!(node.boot.ip.to_string(), "10.101.0.2");
    assert_eq!(node.serial.as_deref(), Some("S102"));
    assert_eq!(node.bmc.trust, BmcTrust::FirstContact);
    let held = &inventory.nodes[&id("a002-s02")];
    assert!(!held.admit);
    assert_eq!(held.hold.as_deref(), Some("CDU work order 4471"));
    assert_eq!(held.labels["hold"], "liquid");
    assert_eq!(held.bmc.address.to_string(), "10.1.0.18:443");
    let npu = &inventory.nodes[&id("b001-s01")];
    assert_eq!(npu.accelerator.kind, AcceleratorKind::Furiosa);
    assert_eq!(npu.accelerator.count, 8, "inherited");
    assert_eq!(npu.pool, "infer");
    assert_eq!(npu.labels["ring"], "canary");
    assert_eq!(inventory.racks[&npu.rack].labels["ring"], "canary");
    assert_eq!(inventory.racks.values().next().unwrap().feed.as_deref(), Some("a-1"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
    assert_eq!(loaded.inputs.len(), 2);
}

#[test]
fn the_digest_follows_the_content_and_nothing_else() {
    let digest = |site: &str, facts: &str| load(site, facts).unwrap().inventory.digest;
    let first = digest(SITE, FACTS);
    assert_eq!(first, digest(&format!("# a comment\n{SITE}"), FACTS));
    assert_ne!(first, digest(SITE, &facts_with("S101", "S109")));
}

#[test]
fn traps_of_yaml_1_1_stay_strings() {
    let site =
        site_with("pool: train", "pool: no").replace("labels: {ring: canary}", "labels: {v: 010, e: 1e3, t: 52:54:00:12:34:56}");
    let loaded = load(&site, FACTS).unwrap();
    assert_eq!(loaded.inventory.nodes[&id("a001-s01")].pool, "no");
    let labels = &loaded.inventory.nodes[&id("b001-s01")].labels;
    assert_eq!((labels["v"].as_str(), labels["e"].as_str(), labels["t"].as_str()), ("010", "1e3", "52:54:00:12:34:56"));
}

#[test]
fn facts_may_know_the_address_better() {
    let facts = "node,serial,bmc_address,ssh_address,bmc_cert_sha256\n\
        a001-s01,S1,127.0.1.3:8443,127.0.2.3:2222,AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA\n\
        a001-s02,S2,,,\na002-s01,S3,,,\na002-s02,S4,,,\nb001-s01,S5,,[fd00::7]:443,\n";
    let loaded = load(SITE, facts).unwrap_or_else(|d| panic!("{}", d.render(false)));
    let node = &loaded.inventory.nodes[&id("a001-s01")];
    assert_eq!(node.bmc.address.to_string(), "127.0.1.3:8443");
    assert_eq!(node.ssh.address.to_string(), "127.0.2.3:2222");
    assert_eq!(node.boot.ip.to_string(), "127.0.2.3");
    assert!(matches!(&node.bmc.trust, BmcTrust::Pinned(d) if d.as_str() == "a".repeat(64)));
}

#[test]
fn one_service_may_drive_several_named_systems() {
    let site = site_with("bmc_ip: \"cidr(10.{row}.0.0/16, (n-1)*16+slot)\"", "bmc_ip: 127.0.0.1")
        .replace("user: prov, password", "system: \"{node}\", user: prov, password")
        .replace("bmc_mac, serial, bmc_ip, ip", "bmc_mac")
        .replace("bmc: {driver: ipmi}, ", "");
    let loaded = load(&site, FACTS).unwrap_or_else(|d| panic!("{}", d.render(false)));
    assert_eq!(loaded.inventory.nodes[&id("b001-s01")].bmc.system.as_deref(), Some("b001-s01"));
    let without = site.replace("system: \"{node}\", ", "");
    assert!(load(&without, FACTS).unwrap_err().render(false).contains("have the same address 127.0.0.1:443"));
}

#[test]
fn why_names_every_line_that_had_a_say() {
    let loaded = load(SITE, FACTS).unwrap();
    let why = loaded.why(&id("a001-s02"), "bmc.driver");
    let seen: Vec<_> = why.iter().map(|p| (p.layer.as_str(), p.line, p.decides)).collect();
    assert_eq!(seen, [("defaults", 4, false), ("override a001-s02", 27, true)]);
    let pool = loaded.why(&id("b001-s01"), "pool");
    assert_eq!(pool.iter().map(|p| p.layer.as_str()).collect::<Vec<_>>(), ["profile gpu", "profile npu"]);
    let serial = loaded.why(&id("a001-s01"), "serial");
    assert_eq!((serial[0].layer.as_str(), serial[0].line, serial[0].column), ("facts", 2, 10));
    assert_eq!(loaded.why(&id("a001-s01"), "accelerator.count").len(), 1);
    assert!(loaded.why(&id("a001-s01"), "nonsense").is_empty());
}

#[test]
fn overrides_in_files_of_their_own_come_later() {
    let dir = tempfile::tempdir().unwrap();
    super::fixture::write(dir.path(), SITE, FACTS);
    std::fs::create_dir(dir.path().join("overrides")).unwrap();
    std::fs::write(dir.path().join("overrides/a.yaml"), "a001-s02: {bmc: {driver: redfish}, why: fixed}\n").unwrap();
    let loaded = bringup::spec::load_inventory(dir.path(), super::fixture::TODAY).unwrap();
    assert_eq!(loaded.inventory.nodes[&id("a001-s02")].bmc.protocol, BmcProtocol::Redfish);
}

#[test]
fn twelve_thousand_five_hundred_nodes() {
    let site =
        site_with("a[001-002]", "a[0001-3125]").replace("slots: 2", "slots: 4").replace("b001", "b0001").replace("a001", "a0001");
    let site = site.replace("a002", "a0002").replace("require: [facts.serial], ", "");
    let mut facts = String::from("node,serial,bmc_mac,boot_mac\n");
    for rack in 1..=3125u32 {
        for slot in 1..=4u32 {
            let (hi, lo) = (rack >> 8, rack & 255);
            facts.push_str(&format!(
                "a{rack:04}-s{slot:02},S{rack}-{slot},02:00:{hi:02x}:{lo:02x}:00:{slot:02x},02:00:{hi:02x}:{lo:02x}:01:{slot:02x}\n"
            ));
        }
    }
    let start = std::time::Instant::now();
    let loaded = load(&site, &facts).unwrap_or_else(|d| panic!("{}", d.render(false)));
    println!("12,501 nodes expanded and validated in {:?} (unoptimised build)", start.elapsed());
    assert_eq!(loaded.inventory.nodes.len(), 12_501);
    let addresses: std::collections::HashSet<_> = loaded.inventory.nodes.values().map(|n| n.bmc.address).collect();
    assert_eq!(addresses.len(), 12_501);
}

#[test]
fn a_cache_and_what_forecasts_read_are_written_by_layer_and_filled_by_slot() {
    let site = site_with("boot: {", "boot: {cache: \"http://10.{row+100}.255.2:8088/\", uplink: 40Gbit, post: 5m, power: 20s, ")
        .replace("pool: infer", "pool: infer\n    boot: {post: 90s}");
    let loaded = load(&site, FACTS).unwrap_or_else(|d| panic!("{}", d.render(false)));
    let boot = |name: &str| loaded.inventory.nodes[&id(name)].boot.clone();
    assert_eq!(boot("a002-s01").cache.as_deref(), Some("http://10.101.255.2:8088"));
    assert_eq!(boot("b001-s01").cache.as_deref(), Some("http://10.102.255.2:8088"));
    assert_eq!((boot("a001-s01").post_s, boot("b001-s01").post_s, boot("b001-s01").power_s), (Some(300), Some(90), Some(20)));
    assert_eq!(boot("a001-s01").uplink.unwrap().to_string(), "40Gbit");
    let why = loaded.why(&id("b001-s01"), "boot.post_s");
    assert_eq!(why.iter().map(|p| p.layer.as_str()).collect::<Vec<_>>(), ["defaults", "profile npu"]);
    let plain = load(SITE, FACTS).unwrap().inventory;
    let text = serde_json::to_string(&plain).unwrap();
    assert!(
        ["cache", "uplink", "post_s", "power_s"].iter().all(|word| !text.contains(&format!("\"{word}\""))),
        "digests stay what they were"
    );
    for (bad, want) in [
        ("cache: \"https://10.1.1.1\"", "boot.cache of a001-s01 cannot be `https://10.1.1.1`: an address such as http://"),
        ("cache: \"http://10.1.1.1:99999\"", "boot.cache of a001-s01 cannot be `http://10.1.1.1:99999`"),
        ("cache: \"http://10.1.1.1/x\"", "plain HTTP, no path"),
        ("cache: \"http://{rock}\"", "rock"),
        ("uplink: 10G", "a rate is a whole number with a unit"),
        ("post: 2h", "a time from `1s` to `1h`"),
        ("power: fast", "a time from `1s` to `1h`"),
    ] {
        let told = load(&site_with("boot: {", &format!("boot: {{{bad}, ")), FACTS).unwrap_err().render(false);
        assert!(told.contains(want), "{bad}: {told}");
    }
}

#[test]
fn what_dhcp_tells_is_written_by_layer_and_filled_by_slot() {
    let site =
        site_with("boot: {", "boot: {network: \"10.{row+100}.0.0/16\", router: \"10.{row+100}.255.254\", dns: [10.1.1.1], ")
            .replace("pool: infer", "pool: infer\n    boot: {arch: aarch64, lease: 30m, next_server: 10.7.7.7}")
            .replace("admit: false", "admit: false, boot: {reply_delay: 2s, dns: []}");
    let loaded = load(&site, FACTS).unwrap_or_else(|d| panic!("{}", d.render(false)));
    let boot = |name: &str| loaded.inventory.nodes[&id(name)].boot.clone();
    let lan = |name: &str| boot(name).lan.unwrap();
    assert_eq!(
        (lan("a001-s01").network.to_string(), lan("b001-s01").network.to_string()),
        ("10.101.0.0/16".into(), "10.102.0.0/16".into())
    );
    assert_eq!(lan("b001-s01").router.unwrap().to_string(), "10.102.255.254");
    assert_eq!((lan("a001-s01").lease_s, lan("b001-s01").lease_s), (12 * 3600, 1800));
    assert_eq!((boot("a001-s01").arch, boot("b001-s01").arch), (Arch::X86_64, Arch::Aarch64));
    assert_eq!(lan("b001-s01").next_server.unwrap().to_string(), "10.7.7.7");
    assert_eq!((lan("a001-s01").dns.len(), lan("a002-s01").dns.len(), lan("a002-s01").reply_delay_s), (1, 0, 2));
    let why = loaded.why(&id("b001-s01"), "boot.lan.lease_s");
    assert_eq!(why.iter().map(|p| p.layer.as_str()).collect::<Vec<_>>(), ["profile npu"]);
    // Nothing is written: the inventory's digest is what it was before there were such words.
    let plain = load(SITE, FACTS).unwrap().inventory;
    assert!(!serde_json::to_string(&plain).unwrap().contains("\"lan\"") && plain.nodes[&id("a001-s01")].boot.lan.is_none());
    let idle = load(&site_with("boot: {", "boot: {router: 10.1.1.1, "), FACTS).unwrap();
    let told = idle.warnings.render(false);
    assert!(told.contains("`boot.router` has no effect without `boot.network`"), "{told}");
}
