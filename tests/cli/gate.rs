//! `verify` and `pool` against a simulated rack: the gate in front of the pool, with the contract's exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Service, wait_until};

struct Rack {
    folder: tempfile::TempDir,
    _sim: Service,
}

impl Rack {
    /// One rack of four nodes: the second has two bad GPUs, the third one (its policy lets seven work), the fourth speaks IPMI.
    fn up() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command
            .current_dir(folder.path())
            .args(["sim", "up", "--racks", "1", "--nodes", "4", "--seed", "11", "--speed", "5000", "--ipmi"]);
        // A port that this test's boot server alone has.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command.args(["--boot-server", &format!("http://127.0.0.1:{port}"), "--dir", "sim"]);
        for fault in ["a001-s02=gpu.remap-failure(0)", "a001-s02=gpu.ecc(5)", "a001-s03=gpu.remap-pending(3)"] {
            command.args(["--fault", fault]);
        }
        let log = std::fs::File::create(folder.path().join("sim.log")).unwrap();
        let sim = Service::start(command.stdout(log.try_clone().unwrap()).stderr(log)).unwrap();
        let rack = Self { folder, _sim: sim };
        let log = rack.path("sim.log");
        wait_until("the rack runs", Duration::from_secs(60), || {
            std::fs::read_to_string(&log).is_ok_and(|t| t.contains("running"))
        });
        rack
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bringup"))
            .current_dir(self.folder.path())
            .args(["-i", "sim/inventory", "-p", "sim/playbooks/sim.yaml"])
            .args(args)
            .env("NO_COLOR", "1")
            .env("CI", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs with this exit code; the JSON on standard output.
    fn json(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", shown(&output));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", shown(&output)));
        assert_eq!(value["format_version"], 1, "{args:?}");
        value
    }
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Accelerators by reason, and those that work.
fn capacity(rack: &Rack) -> (u64, u64, Vec<(String, u64)>) {
    let counted = rack.json(0, &["pool", "capacity"]);
    let idle = counted["idle"].as_array().unwrap().iter();
    let idle: Vec<(String, u64)> =
        idle.map(|i| (i["why"].as_str().unwrap().to_owned(), i["accelerators"].as_u64().unwrap())).collect();
    let (total, working) = (counted["total"].as_u64().unwrap(), counted["working"].as_u64().unwrap());
    assert_eq!(idle.iter().map(|(_, n)| n).sum::<u64>() + working, total, "each is counted once: {counted:#}");
    (total, working, idle)
}

#[test]
fn the_gate_in_front_of_the_pool() {
    let rack = Rack::up();
    // Nothing runs yet: nobody is reached, nothing is blamed.
    let dark = rack.run(&["verify"]);
    assert_eq!(dark.status.code(), Some(10), "{}", shown(&dark));
    let refused = rack.run(&["pool", "admit", "a001-s01"]);
    assert_eq!(refused.status.code(), Some(10), "{}", shown(&refused));
    assert_eq!(capacity(&rack).1, 0);
    assert_eq!(capacity(&rack).2, [("never brought up".to_owned(), 32)]);

    let applied = rack.run(&["apply", "--yes"]);
    // One of four is quarantined; the policy of this rack lets seven of eight work.
    assert!(matches!(applied.status.code(), Some(4 | 5 | 8)), "{}", shown(&applied));
    let list = rack.json(0, &["pool", "list"]);
    let standing: Vec<(&str, usize)> = list["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["node"].as_str().unwrap(), m["devices"].as_array().unwrap().len()))
        .collect();
    assert_eq!(standing, [("a001-s01", 8), ("a001-s02", 0), ("a001-s03", 7), ("a001-s04", 8)], "{}", shown(&applied));

    let judged = rack.json(8, &["verify"]);
    let verdicts: Vec<&str> = judged["nodes"].as_array().unwrap().iter().map(|n| n["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["pass", "reject", "quarantine", "pass"]);
    let keys: Vec<[bool; 2]> =
        judged["nodes"].as_array().unwrap().iter().map(|n| ["admissible", "degraded"].map(|k| n[k].as_bool().unwrap())).collect();
    assert_eq!(keys, [[true, false], [false, false], [true, true], [true, false]]);
    let gpu3 = &judged["nodes"][2]["devices"][3];
    assert_eq!((gpu3["device"].as_str(), gpu3["verdict"].as_str()), (Some("gpu3"), Some("quarantine")), "{gpu3:#}");
    assert_eq!(rack.run(&["verify", "a001-s01"]).status.code(), Some(0));
    assert_eq!(rack.run(&["pool", "admit", "a001-s02"]).status.code(), Some(8), "the gate cannot be gone round");

    let (total, working, idle) = capacity(&rack);
    assert_eq!((total, working), (32, 23));
    let found = |accelerators: u64, word: &str| idle.iter().any(|(why, n)| *n == accelerators && why.contains(word));
    assert!(idle.len() == 2 && found(8, "remap-failure") && found(1, "remap-pending"), "{idle:?}");

    // Out by hand with a reason, and in again through the gate.
    assert_eq!(rack.run(&["pool", "drain", "a001-s04", "--why", "fan 2 rattles"]).status.code(), Some(0));
    let (_, working, idle) = capacity(&rack);
    assert!(working == 15 && idle.contains(&("drained: fan 2 rattles".to_owned(), 8)), "{idle:?}");
    let back = rack.json(0, &["pool", "admit", "a001-s04"]);
    assert_eq!(back["nodes"][0]["outcome"], "admitted");
    assert_eq!(capacity(&rack).1, 23);
    assert_eq!(rack.run(&["pool", "drain", "a001-s04", "--why", " "]).status.code(), Some(64));
}
