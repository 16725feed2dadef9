//! `bringup exec` and `bringup push` as a user runs them, against real SSH servers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::far::Far;

/// Writes an inventory of nodes r1-s1, r1-s2, …: address and recorded host key (or none) of each.
fn inventory(dir: &Path, key: &Path, nodes: &[(String, String)]) {
    std::fs::create_dir_all(dir.join("inventory/facts")).unwrap();
    let site = format!(
        r#"apiVersion: rack/v1
site: test
defaults:
  bmc: {{driver: redfish, user: admin, password: "env:PASSWORD", tls: pinned}}
  boot: {{method: uefi-http, mode: uefi, server: "http://192.0.2.1:8088"}}
  ssh: {{user: root, key: "file:{}"}}
profiles:
  node:
    expect: {{vendor: X, model: Y, accel: {{kind: nvidia, model: H100, count: 8}}}}
    stack: s
    verify: v
    pool: p
    power: {{idle_w: 1, boot_w: 2}}
racks:
  - {{range: r1, profile: node, slots: {}, feed: f1, limit_w: 30000}}
naming:
  node: "{{rack}}-s{{slot}}"
  bmc_ip: "198.51.100.{{slot}}"
facts: facts/*.csv
policy: {{require: [facts.serial], unique: [serial]}}
"#,
        key.display(),
        nodes.len()
    );
    std::fs::write(dir.join("inventory/site.yaml"), site).unwrap();
    let mut facts = String::from("node,serial,bmc_mac,boot_mac,bmc_cert_sha256,ssh_address,ssh_host_key\n");
    for (n, (address, host_key)) in nodes.iter().enumerate() {
        let n = n + 1;
        facts.push_str(&format!(
            "r1-s{n},S{n},02:b0:00:00:01:0{n},02:b1:00:00:01:0{n},{},{address},{host_key}\n",
            "ab".repeat(32)
        ));
    }
    std::fs::write(dir.join("inventory/facts/nodes.csv"), facts).unwrap();
}

fn bringup(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_bringup")).current_dir(dir).args(args).env("CI", "true").output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Two nodes that answer and one whose port is closed.
fn three(test: &str) -> Option<(Far, Far, tempfile::TempDir)> {
    let (a, b) = (Far::openssh(test)?, Far::openssh(test)?);
    // Both let the same key in.
    std::fs::copy(a.path("home/.ssh/authorized_keys"), b.path("home/.ssh/authorized_keys")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.89.0.250:0").unwrap().local_addr().unwrap();
    let nodes = [
        (a.address.to_string(), a.fingerprint("host_ed25519")),
        (b.address.to_string(), b.fingerprint("host_rsa")),
        (closed.to_string(), a.fingerprint("host_ed25519")),
    ];
    inventory(dir.path(), &a.path("user"), &nodes);
    Some((a, b, dir))
}

#[test]
fn exec_groups_equal_answers() {
    let Some((_a, _b, dir)) = three("shell::verbs::exec_groups_equal_answers") else { return };
    let (code, out, err) = bringup(dir.path(), &["exec", "r1-s[1-2]", "--", "echo", "a  b", "$HOME"]);
    assert_eq!((code, out.as_str()), (0, "--- r1-s[1-2] (2): exit 0\na  b $HOME\n"), "{err}");
    let (code, out, _) = bringup(dir.path(), &["exec", "r1-s*", "--", "sh", "-c", "printf '\\033[2Jx'; echo bad >&2; exit 7"]);
    assert_eq!(code, 4);
    assert!(out.starts_with("--- r1-s[1-2] (2): exit 7\n\\u{1b}[2Jx\nstderr: bad\n--- r1-s3 (1): failed\n"), "{out}");
    let (code, out, _) = bringup(dir.path(), &["-o", "json", "exec", "r1-s*", "--", "echo", "x"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["format_version"]), (4, &1.into()));
    assert_eq!(json["nodes"][0], serde_json::json!({"node": "r1-s1", "exit": 0, "stdout": "x\n", "stderr": ""}));
    assert_eq!(json["nodes"][2]["class"], "transient");
}

#[test]
fn exec_stops_at_its_deadline_and_says_unknown() {
    let Some((_a, _b, dir)) = three("shell::verbs::exec_stops_at_its_deadline_and_says_unknown") else { return };
    let (code, out, _) = bringup(dir.path(), &["exec", "--deadline", "1s", "r1-s1", "--", "sleep", "600"]);
    assert_eq!(code, 4);
    assert!(out.starts_with("--- r1-s1 (1): unknown\nit had not ended after 1 s"), "{out}");
}

#[test]
fn push_sends_once_and_says_so() {
    let Some((a, _b, dir)) = three("shell::verbs::push_sends_once_and_says_so") else { return };
    std::fs::write(dir.path().join("file"), "content").unwrap();
    // Both servers show the same files, so what the first got is there for the second.
    let to = a.path("pushed");
    let push = |select: &str| bringup(dir.path(), &["push", "file", select, "--to", to.to_str().unwrap(), "--mode", "0750"]);
    let (code, out, err) = push("r1-s1");
    assert_eq!((code, out.as_str()), (0, "r1-s1 (1): sent, 7 bytes\n"), "{err}");
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o750);
    let (code, out, _) = push("r1-s[1-2]");
    assert_eq!((code, out.as_str()), (0, "r1-s[1-2] (2): already there\n"));
    let (code, out, _) = push("r1-s*");
    assert_eq!(code, 4);
    assert!(out.contains("r1-s[1-2] (2): already there") && out.contains("r1-s3 (1): failed"), "{out}");
}

#[test]
fn what_cannot_be_reached_or_trusted_ends_with_10() {
    let Some((a, _b, dir)) = three("shell::verbs::what_cannot_be_reached_or_trusted_ends_with_10") else { return };
    let (code, _, err) = bringup(dir.path(), &["exec", "r1-s3", "--", "true"]);
    assert_eq!(code, 10);
    assert!(err.contains("error: no node could be reached"), "{err}");
    // Another node's host key is recorded: no credential is sent.
    inventory(dir.path(), &a.path("user"), &[(a.address.to_string(), a.fingerprint("stranger"))]);
    let (code, out, err) = bringup(dir.path(), &["exec", "--accept-new", "r1-s1", "--", "true"]);
    assert_eq!(code, 10);
    assert!(out.contains("is not one of the recorded ones") && err.contains("hint:"), "{out}{err}");
    assert!(!a.log().contains("publickey"));
    // None is recorded: refused, then believed and told.
    inventory(dir.path(), &a.path("user"), &[(a.address.to_string(), String::new())]);
    assert_eq!(bringup(dir.path(), &["exec", "r1-s1", "--", "true"]).0, 10);
    let (code, _, err) = bringup(dir.path(), &["exec", "--accept-new", "r1-s1", "--", "true"]);
    assert_eq!(code, 0);
    assert!(err.contains(&a.fingerprint("host_ed25519")), "{err}");
    // A key that anybody can read is refused before anything is sent.
    std::fs::set_permissions(a.path("user"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = bringup(dir.path(), &["exec", "r1-s1", "--", "true"]);
    assert_eq!(code, 10);
    assert!(err.contains("chmod 600"), "{err}");
}
