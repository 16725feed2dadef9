//! A small inventory that is right, and ways to make it wrong.

use std::path::Path;

use bringup::spec::{Diagnostics, LoadedInventory, load_inventory};

/// Two racks of two GPU nodes and one rack of one NPU node.
pub const SITE: &str = r#"apiVersion: rack/v1
site: lab
defaults:
  bmc: {driver: redfish, user: prov, password: "env:BMC_PASSWORD"}
  boot: {method: uefi-http, server: "http://10.77.0.1:8088"}
  ssh: {user: prov, key: "file:keys/prov"}
profiles:
  gpu:
    expect: {vendor: Supermicro, model: SYS-821GE-TNHR, accel: {kind: nvidia, model: H100, count: 8}}
    stack: cuda-580
    power: {idle_w: 2400, boot_w: 6500}
    verify: gpu-acceptance
    pool: train
  npu:
    inherits: gpu
    expect: {accel: {kind: furiosa, model: RNGD}}
    stack: rngd-26
    pool: infer
racks:
  - {range: "a[001-002]", profile: gpu, slots: 2, feed: "a-{(n-1)/25+1}", limit_w: 44000}
  - {range: "b001", profile: npu, slots: 1, labels: {ring: canary}}
naming:
  node: "{rack}-s{slot:02}"
  bmc_ip: "cidr(10.{row}.0.0/16, (n-1)*16+slot)"
  ip: "cidr(10.{row+100}.0.0/16, (n-1)*16+slot)"
overrides:
  a001-s02: {bmc: {driver: ipmi}, why: "drops Redfish sessions", until: 2026-12-31}
  "a002-s*": {labels: {hold: liquid}, admit: false, why: "CDU work order 4471"}
policy: {require: [facts.serial], unique: [bmc_mac, serial, bmc_ip, ip], forbid: [plaintext_secrets]}
"#;

/// Facts for [`SITE`].
pub const FACTS: &str = "node,serial,bmc_mac,boot_mac
a001-s01,S101,02:00:00:00:01:01,02:00:00:00:11:01
a001-s02,S102,02:00:00:00:01:02,02:00:00:00:11:02
a002-s01,S201,02:00:00:00:02:01,02:00:00:00:12:01
a002-s02,S202,02:00:00:00:02:02,02:00:00:00:12:02
b001-s01,S301,02:00:00:00:03:01,02:00:00:00:13:01
";

/// The day of all tests.
pub const TODAY: &str = "2026-11-22";

/// Writes and loads an inventory; paths in diagnostics are made relative.
pub fn load(site: &str, facts: &str) -> Result<LoadedInventory, Diagnostics> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), site, facts);
    load_inventory(dir.path(), TODAY)
}

/// Writes the files of an inventory.
pub fn write(dir: &Path, site: &str, facts: &str) {
    std::fs::create_dir_all(dir.join("facts")).unwrap();
    std::fs::write(dir.join("site.yaml"), site).unwrap();
    std::fs::write(dir.join("facts/all.csv"), facts).unwrap();
}

/// What a person sees for a wrong inventory, with the directory cut out.
pub fn told(site: &str, facts: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), site, facts);
    let wrong = load_inventory(dir.path(), TODAY).expect_err("the inventory is wrong");
    let prefix = format!("{}/", dir.path().display());
    wrong.render(false).replace(&prefix, "").lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The right site with one part replaced; the part must be there.
pub fn site_with(part: &str, by: &str) -> String {
    assert!(SITE.contains(part), "the fixture has no `{part}`");
    SITE.replacen(part, by, 1)
}

/// The right facts with one part replaced.
pub fn facts_with(part: &str, by: &str) -> String {
    assert!(FACTS.contains(part), "the fixture has no `{part}`");
    FACTS.replacen(part, by, 1)
}
