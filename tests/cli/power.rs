//! `power` and `bmc info` as a user runs them, against two `ipmi_sim` and one address where nobody listens.

use std::path::Path;

use assert_cmd::Command;

use crate::bmc::ipmi_rig::{Sim, free_ip};

fn inventory(dir: &Path, addresses: &[String]) {
    std::fs::create_dir_all(dir.join("facts")).unwrap();
    let site = format!(
        "apiVersion: rack/v1\nsite: t\n\
         defaults:\n  bmc: {{driver: ipmi, user: admin, password: \"env:TEST_BMC_PASSWORD\"}}\n  boot: {{method: pxe, mode: uefi}}\n  \
         ssh: {{user: root, key: \"file:/nonexistent\"}}\n\
         profiles:\n  n:\n    expect: {{accel: {{kind: nvidia, model: H100, count: 8}}}}\n    verify: v\n    pool: p\n    \
         power: {{idle_w: 1, boot_w: 1}}\n\
         racks:\n  - {{range: r1, profile: n, slots: {}, feed: f1}}\n\
         naming:\n  node: \"{{rack}}-s{{slot}}\"\n  bmc_ip: \"198.51.100.{{slot}}\"\n  ip: \"192.0.2.{{slot}}\"\n\
         facts: facts/*.csv\n",
        addresses.len()
    );
    std::fs::write(dir.join("site.yaml"), site).unwrap();
    let rows: String = addresses.iter().enumerate().map(|(i, at)| format!("r1-s{},{at}\n", i + 1)).collect();
    std::fs::write(dir.join("facts/nodes.csv"), format!("node,bmc_address\n{rows}")).unwrap();
}

fn bringup(dir: &Path, password: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("bringup").unwrap();
    command.args(args).arg("-i").arg(dir).current_dir(dir).env("TEST_BMC_PASSWORD", password).env("CI", "true");
    let out = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn power_and_info_tell_what_was_seen() {
    let (Some(one), Some(two)) =
        (Sim::start("power_and_info_tell_what_was_seen"), Sim::start("power_and_info_tell_what_was_seen"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    inventory(dir.path(), &[one.addr.to_string(), two.addr.to_string()]);
    let run = |args: &[&str]| bringup(dir.path(), "s3cret", args);

    let (code, out, err) = run(&["power", "status"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("r1-s[1-2]") && out.contains("off"), "equal answers fold: {out}");

    let (code, _, err) = run(&["power", "off", "r1-s1"]);
    assert_eq!(code, Some(64), "nobody agreed: {err}");
    assert!(err.contains("--yes"), "{err}");
    let (code, _, err) = run(&["power", "off", "--yes"]);
    assert_eq!(code, Some(64), "no nodes were named: {err}");

    let (code, out, err) = run(&["power", "cycle", "r1-s1", "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!((one.times("set power 1"), two.times("set power 1")), (1, 0));

    let (code, out, _) = run(&["power", "status", "-o", "json"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["format_version"], 1);
    assert_eq!((&json["nodes"][0]["answer"], &json["nodes"][1]["answer"]), (&"on".into(), &"off".into()), "{out}");

    let (code, out, err) = run(&["bmc", "info"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Racks Ltd") && out.contains("SN-0042") && out.contains("9.08"), "{out}");

    let (code, out, err) = bringup(dir.path(), "n0t-it", &["power", "status"]);
    assert_eq!(code, Some(10), "{out}{err}");
    assert!(out.contains("wrong credentials") && !format!("{out}{err}").contains("n0t-it"), "{out}{err}");
}

#[test]
fn some_unreachable_is_4_and_all_unreachable_is_10() {
    let Some(one) = Sim::start("some_unreachable_is_4_and_all_unreachable_is_10") else { return };
    let dir = tempfile::tempdir().unwrap();
    inventory(dir.path(), &[one.addr.to_string(), format!("{}:6239", free_ip())]);
    let (code, out, err) = bringup(dir.path(), "s3cret", &["power", "status"]);
    assert_eq!(code, Some(4), "{out}{err}");
    assert!(out.contains("unreachable"), "{out}");
    let (code, out, err) = bringup(dir.path(), "s3cret", &["power", "status", "r1-s2"]);
    assert_eq!(code, Some(10), "{out}{err}");
}
