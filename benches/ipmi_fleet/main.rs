//! Power status of many IPMI BMCs: `bringup power status` beside FreeIPMI's `ipmipower`, over the same farm of OpenIPMI `ipmi_sim` processes, in the same
//! run; then the memory of one process that keeps a session open with each of them. Prints figures, asserts nothing about time.
//!
//! `BRINGUP_BENCH_BMCS` sets how many (1000). Needs `ipmi_sim` and `ipmipower`, and port 623 (root): ipmipower takes no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod farm;
mod idle;
mod measure;

use std::path::Path;
use std::process::Command;

use farm::Farm;
use measure::{Figures, median, run};

const ROUNDS: usize = 5;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("idle") {
        idle::measure(&args.collect::<Vec<_>>());
        return;
    }
    let count: usize = std::env::var("BRINGUP_BENCH_BMCS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let count = count.next_multiple_of(farm::PER_RACK);
    let (Some(sim), Some(peer)) = (farm::program("ipmi_sim"), farm::program("ipmipower")) else {
        println!("SKIPPED ipmi_fleet: ipmi_sim (openipmi) or ipmipower (freeipmi-tools) is missing");
        return;
    };
    let farm = Farm::start(&sim, count);
    println!("{count} x ipmi_sim on {}…, cipher suite 3; median of {ROUNDS} rounds, one after the other", farm::address(0));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(ipmipower(&peer, &farm));
        ours.push(bringup(&farm));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    assert_eq!(ours.right, count, "answers are missing (ipmipower: {})", theirs.right);
    show("ipmipower -s", &theirs);
    show("bringup power status", &ours);
    println!(
        "ratio ours/ipmipower: wall {:.2}, cpu {:.2}, memory {:.2} (targets: wall <= 1.00, memory <= 0.25)",
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(),
        ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64(),
        ours.peak_kib as f64 / theirs.peak_kib as f64,
    );
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("idle")
        .args((0..count).map(farm::address))
        .status()
        .expect("re-exec for the idle measure");
    assert!(status.success(), "the idle measure failed");
}

fn show(name: &str, figures: &Figures) {
    println!(
        "{name:22} wall {:>7.3} s  cpu {:>6.3} s  peak {:>7.1} MiB  right answers {}",
        figures.wall.as_secs_f64(),
        figures.cpu.as_secs_f64(),
        figures.peak_kib as f64 / 1024.0,
        figures.right,
    );
}

fn ipmipower(program: &Path, farm: &Farm) -> Figures {
    let hosts: Vec<String> = (0..farm.count).map(farm::address).collect();
    let mut command = Command::new(program);
    // `opensesspriv`: ipmi_sim does not grant the highest privilege unless asked for a certain one.
    command.args(["-s", "-D", "LAN_2_0", "-I", "3", "-u", "admin", "-p", farm::PASSWORD, "-W", "opensesspriv", "-h"]);
    command.arg(hosts.join(","));
    run(&mut command, |text| text.lines().filter(|line| line.ends_with(": off")).count())
}

fn bringup(farm: &Farm) -> Figures {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["power", "status", "-o", "ndjson", "-i"]).arg(farm.inventory());
    command.arg("--state").arg(farm.inventory().join("none/journal.db"));
    command.env("BENCH_BMC_PASSWORD", farm::PASSWORD);
    run(&mut command, |text| text.lines().filter(|line| line.contains("\"answer\":\"off\"")).count())
}
