//! Power status of many IPMI BMCs: `bringup power status` beside FreeIPMI's `ipmipower`, over the same farm of OpenIPMI `ipmi_sim` processes, in the same
//! run: on a good network, on a bad one (5 % loss each way, 20 to 60 ms), and with 5 % of the BMCs dead; then the memory of one process that keeps
//! a session open with each of them. Prints figures, asserts nothing about time.
//!
//! `BRINGUP_BENCH_BMCS` sets how many (1000). Needs `ipmi_sim` and `ipmipower`, and port 623 (root): ipmipower takes no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod farm;
mod idle;
mod measure;
mod weather;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use farm::Farm;
use measure::{Figures, median, watch};
use weather::{LATE_MS, LOSS, Weather};

const ROUNDS: usize = 5;
/// One BMC in twenty is dead in the last part.
const DEAD_ONE_IN: usize = 20;

/// How the BMCs are reached.
#[derive(Clone, Copy)]
enum Way {
    Good,
    Bad,
    SomeDead,
}

fn behind_weather(i: usize) -> Ipv4Addr {
    farm::at(2, i)
}

fn straight(i: usize) -> Ipv4Addr {
    farm::at(1, i)
}

fn dead(i: usize) -> bool {
    i % DEAD_ONE_IN == DEAD_ONE_IN / 2
}

fn address(way: Way, i: usize) -> String {
    match way {
        Way::Good => straight(i),
        Way::Bad => behind_weather(i),
        Way::SomeDead if dead(i) => farm::at(3, i),
        Way::SomeDead => straight(i),
    }
    .to_string()
}

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
    let holes: Vec<Ipv4Addr> = (0..count).filter(|i| dead(*i)).map(|i| farm::at(3, i)).collect();
    let _weather = Weather::start(count, 17, behind_weather, straight, &holes);
    println!("{count} x ipmi_sim, cipher suite 3; median of {ROUNDS} rounds, one after the other");
    println!("a good network:");
    let good = both(&peer, &farm, Way::Good, count);
    println!(
        "a bad network: {LOSS} % of the packets lost in each direction, answers {}-{} ms late:",
        LATE_MS.start(),
        LATE_MS.end()
    );
    both(&peer, &farm, Way::Bad, count);
    println!("a good network, {} of the BMCs dead (they take every packet and say nothing):", holes.len());
    let some = both(&peer, &farm, Way::SomeDead, count - holes.len());
    println!(
        "the living beside the dead: last right answer after {:.3} s, {:.3} s with none dead (ratio {:.2}); all dead named after {:.3} s",
        some.last_right.as_secs_f64(),
        good.last_right.as_secs_f64(),
        some.last_right.as_secs_f64() / good.last_right.as_secs_f64(),
        some.wall.as_secs_f64(),
    );
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("idle")
        .args((0..count).map(|i| address(Way::Good, i)))
        .status()
        .expect("re-exec for the idle measure");
    assert!(status.success(), "the idle measure failed");
}

/// Both programs in turn; gives ours. None of our answers may be missing.
fn both(peer: &Path, farm: &Farm, way: Way, right: usize) -> Figures {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let inventory = farm.write_inventory(way as usize, |i| address(way, i));
    for _ in 0..ROUNDS {
        theirs.push(ipmipower(peer, farm, way));
        ours.push(bringup(&inventory));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    assert_eq!(ours.right, right, "answers are missing (ipmipower: {})", theirs.right);
    if matches!(way, Way::SomeDead) {
        assert_eq!(ours.named, farm.count - right, "a dead BMC is not named with its reason");
    }
    show("ipmipower -s", &theirs);
    show("bringup power status", &ours);
    println!(
        "ratio ours/ipmipower: wall {:.2}, last right answer {:.2}, cpu {:.2}, memory {:.2} (targets: wall <= 1.00, memory <= 0.25)",
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(),
        ours.last_right.as_secs_f64() / theirs.last_right.as_secs_f64(),
        ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64(),
        ours.peak_kib as f64 / theirs.peak_kib as f64,
    );
    ours
}

fn show(name: &str, figures: &Figures) {
    println!(
        "{name:22} wall {:>7.3} s  last right answer {:>7.3} s  cpu {:>6.3} s  peak {:>7.1} MiB  right answers {}",
        figures.wall.as_secs_f64(),
        figures.last_right.as_secs_f64(),
        figures.cpu.as_secs_f64(),
        figures.peak_kib as f64 / 1024.0,
        figures.right,
    );
}

fn ipmipower(program: &Path, farm: &Farm, way: Way) -> Figures {
    let hosts: Vec<String> = (0..farm.count).map(|i| address(way, i)).collect();
    let mut command = Command::new(program);
    // `opensesspriv`: ipmi_sim does not grant the highest privilege unless asked for a certain one.
    command.args(["-s", "-D", "LAN_2_0", "-I", "3", "-u", "admin", "-p", farm::PASSWORD, "-W", "opensesspriv", "-h"]);
    command.arg(hosts.join(","));
    watch(&mut command, |line| line.ends_with(": off"), |line| line.contains(": connection timeout"))
}

fn bringup(inventory: &Path) -> Figures {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["power", "status", "-o", "ndjson", "-i"]).arg(inventory);
    command.arg("--state").arg(inventory.join("none/journal.db"));
    command.env("BENCH_BMC_PASSWORD", farm::PASSWORD);
    let named = |line: &str| line.contains("\"answer\":\"unreachable\"") && line.contains("no answer from udp/");
    watch(&mut command, |line| line.contains("\"answer\":\"off\""), named)
}
