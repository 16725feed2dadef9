//! How long an inventory takes from files to checked nodes, beside what Python needs to read the result back. Prints; asserts no time.
//!
//! `cargo bench --bench expand`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bringup::spec::{load_inventory, validate_words};

const TODAY: &str = "2026-09-01";

fn main() {
    let folder = std::env::temp_dir().join(format!("bringup-bench-expand-{}", std::process::id()));
    for (racks, target) in [(313, 200), (3125, 2000)] {
        let nodes = write_site(&folder, racks);
        let best = best_of(5, || {
            let loaded = load_inventory(&folder.join("inventory"), TODAY).expect("the generated site is valid");
            let found = validate_words(&folder, Some(&loaded.inventory), None, TODAY);
            assert_eq!((loaded.inventory.nodes.len(), found.errors()), (nodes, 0));
        });
        println!("expand {nodes} nodes: {} ms (target {target})", best.as_millis());
        peers(&folder, nodes);
    }
    std::fs::remove_dir_all(&folder).expect("the folder was made here");
}

/// A site of four nodes a rack, one of them short so that the numbers are round; returns how many nodes.
fn write_site(folder: &Path, racks: usize) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["playbooks", "playbooks/stacks", "playbooks/policies", "images", "inventory/facts"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    for part in ["playbooks", "playbooks/stacks", "playbooks/policies", "images"] {
        for file in std::fs::read_dir(root.join(part))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        {
            std::fs::copy(&file, folder.join(part).join(file.file_name().unwrap())).unwrap();
        }
    }
    let short = racks * 4 % 10;
    let site = format!(
        r#"apiVersion: rack/v1
site: bench
defaults:
  bmc: {{driver: redfish, user: svc, password: "file:/etc/bringup/{{rack}}", tls: pinned}}
  boot: {{method: uefi-http, mode: uefi, server: "http://10.200.0.1:8088"}}
  ssh: {{user: root, key: "file:/etc/bringup/key"}}
profiles:
  gpu: {{expect: {{vendor: V, model: M, accel: {{kind: nvidia, model: H100, count: 8}}}}, stack: cuda-580, verify: h100-acceptance, pool: train, power: {{idle_w: 2400, boot_w: 6500}}}}
racks:
  - {{range: "a[0001-{full:04}]", profile: gpu, slots: 4, feed: "f-{{(n-1)/25+1}}", limit_w: 44000}}
{rest}naming:
  node: "{{rack}}-s{{slot:02}}"
  bmc_ip: "cidr(10.{{row}}.0.0/16, (n-1)*16+slot)"
  ip: "cidr(10.{{row+100}}.0.0/16, (n-1)*16+slot)"
facts: facts/*.csv
policy: {{require: [facts.serial, facts.bmc_cert_sha256], unique: [serial, uuid, bmc_mac, boot_mac, bmc_ip, ip]}}
overrides:
  a0017-s03: {{bmc: {{driver: ipmi}}, why: "drops sessions"}}
"#,
        full = if short == 0 { racks } else { racks - 1 },
        rest =
            if short == 0 { String::new() } else { format!("  - {{range: a{racks:04}, profile: gpu, slots: {}}}\n", 4 - short) },
    );
    std::fs::write(folder.join("inventory/site.yaml"), site).unwrap();
    let mut facts = String::from("node,serial,uuid,bmc_mac,boot_mac,bmc_cert_sha256\n");
    let mut nodes = 0;
    for rack in 1..=racks {
        for slot in 1..=(if rack == racks { 4 - short } else { 4 }) {
            let (hi, lo) = (rack >> 8, rack & 255);
            writeln!(facts, "a{rack:04}-s{slot:02},EX{rack:04}{slot},00000000-0000-8000-a000-{rack:08x}{slot:04x},02:b0:00:{hi:02x}:{lo:02x}:{slot:02x},02:b1:00:{hi:02x}:{lo:02x}:{slot:02x},{:064x}", rack * 8 + slot).unwrap();
            nodes += 1;
        }
    }
    std::fs::write(folder.join("inventory/facts/a.csv"), facts).unwrap();
    nodes
}

fn best_of(times: usize, mut work: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..times).map(once).min().expect("at least once")
}

/// The same nodes, already expanded, read by PyYAML and by Python's json: neither expands nor checks anything. And Ansible, if it is there.
fn peers(folder: &Path, nodes: usize) {
    let loaded = load_inventory(&folder.join("inventory"), TODAY).expect("the generated site is valid");
    let json = folder.join("expanded.json");
    let yaml = folder.join("expanded.yaml");
    std::fs::write(&json, serde_json::to_string(&loaded.inventory).unwrap()).unwrap();
    std::fs::write(&yaml, serde_saphyr::to_string(&loaded.inventory).unwrap()).unwrap();
    const READ: &str = r"
import json, sys, time
def best(name, times, read):
    span = min(timed(read) for _ in range(times))
    print(f'  peer {name}: {span * 1000:.0f} ms to read {sys.argv[3]} expanded nodes (no expansion, no checks)')
def timed(read):
    start = time.perf_counter()
    assert len(read()['nodes']) == int(sys.argv[3])
    return time.perf_counter() - start
best('python json', 3, lambda: json.load(open(sys.argv[1])))
try:
    import yaml
except ImportError:
    print('  peer missing: python3-yaml')
else:
    if hasattr(yaml, 'CSafeLoader'):
        best('PyYAML ' + yaml.__version__ + ' (libyaml)', 1, lambda: yaml.load(open(sys.argv[2]), yaml.CSafeLoader))
    else:
        best('PyYAML ' + yaml.__version__, 1, lambda: yaml.safe_load(open(sys.argv[2])))
";
    let python = Command::new("python3").args(["-c", READ]).arg(&json).arg(&yaml).arg(nodes.to_string()).output();
    match python {
        Ok(out) if out.status.success() => print!("{}", String::from_utf8_lossy(&out.stdout)),
        Ok(out) => println!("  peer python3 failed: {}", String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("")),
        Err(_) => println!("  peer missing: python3"),
    }
    let hosts = folder.join("hosts.ini");
    let names: Vec<&str> = loaded.inventory.nodes.keys().map(|n| n.as_str()).collect();
    std::fs::write(&hosts, format!("[all]\n{}\n", names.join("\n"))).unwrap();
    let start = Instant::now();
    match Command::new("ansible-inventory").arg("-i").arg(&hosts).arg("--list").output() {
        Ok(out) if out.status.success() => {
            println!("  peer ansible-inventory: {} ms for {nodes} bare names", start.elapsed().as_millis())
        }
        Ok(_) => println!("  peer ansible-inventory failed"),
        Err(_) => println!("  peer missing: ansible-inventory"),
    }
}
