//! The whole job on 1,280 simulated nodes (10,240 accelerators): what `sim up`, `plan` and `apply` cost in time and memory, every BMC and every
//! SSH server behind its own real socket. Prints figures; asserts that every node was admitted and nothing about time.
//!
//! `cargo bench --bench fleet`; `BRINGUP_BENCH_RACKS` sets how many racks of eight (160). There is no peer: no other tool does this job.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

// The median is for benches with rounds.
#[allow(dead_code)]
#[path = "ipmi_fleet/measure.rs"]
mod measure;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use measure::{Figures, field, run};

const PER_RACK: usize = 8;

/// The simulator, stopped by process id when dropped.
struct Sim(Child);

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() {
    let racks: usize = std::env::var("BRINGUP_BENCH_RACKS").ok().and_then(|n| n.parse().ok()).unwrap_or(160);
    let nodes = racks * PER_RACK;
    let folder = tempfile::tempdir().expect("a folder for the site");
    let dir = folder.path();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["sim", "up", "--speed", "600", "--racks", &racks.to_string(), "--nodes", &PER_RACK.to_string()]);
    command.args(["--boot-server", &format!("http://127.0.0.1:{free}"), "--dir"]).arg(dir);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut sim = Sim(child);
    let mut said = BufReader::new(sim.0.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("running")), "the simulator did not start");
    let status = format!("/proc/{}/status", sim.0.id());
    let held = |name: &str| field(&std::fs::read_to_string(&status).unwrap(), name) as f64 / 1024.0;
    println!("sim up, {nodes} nodes: {:.2} s, {:.1} MiB", start.elapsed().as_secs_f64(), held("VmRSS:"));
    let plan = dir.join("plan.json");
    let planned = step(dir, &["plan", "--out", plan.to_str().unwrap()]);
    println!("plan of {nodes} nodes: {}", show(&planned));
    let loaders = dir.join("loaders");
    let applied = step(dir, &["apply", plan.to_str().unwrap(), "--loaders", loaders.to_str().unwrap()]);
    println!("apply of {nodes} nodes: {} (virtual boot 600 times as fast as a real one)", show(&applied));
    let status = Command::new(env!("CARGO_BIN_EXE_bringup"))
        .args(["-o", "json", "status", "--state"])
        .arg(dir.join("state/journal.db"))
        .output()
        .unwrap();
    let account = String::from_utf8_lossy(&status.stdout);
    let admitted = account.matches("\"phase\": \"admitted\"").count();
    println!("admitted: {admitted} of {nodes} nodes; the simulator's peak was {:.1} MiB", held("VmHWM:"));
    println!("  peer missing: no other tool does this job");
    assert_eq!(admitted, nodes, "not every node was admitted");
}

/// One verb against the simulated site.
fn step(dir: &Path, verb: &[&str]) -> Figures {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.arg("-i").arg(dir.join("inventory")).arg("-p").arg(dir.join("playbooks/sim.yaml"));
    command.arg("--state").arg(dir.join("state/journal.db")).args(verb);
    command.stderr(Stdio::null());
    run(&mut command, |_| 0)
}

fn show(figures: &Figures) -> String {
    let (wall, cpu): (Duration, Duration) = (figures.wall, figures.cpu);
    let mib = figures.peak_kib as f64 / 1024.0;
    format!("wall {:.2} s, cpu {:.2} s, peak {mib:.1} MiB", wall.as_secs_f64(), cpu.as_secs_f64())
}
