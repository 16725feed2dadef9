//! Power state of many Redfish BMCs over TLS, with a session for each: `bringup power status` beside `curl --parallel` (one resource, no
//! session) and sushy in threads, on the same farm in the same run; then with silent BMCs among them; then a survey of 12,500 from one process.
//! Prints figures, asserts that every answer was right and nothing about time.
//!
//! `cargo bench --bench redfish_fleet`. `BRINGUP_BENCH_BMCS` (1000), `BRINGUP_BENCH_SUSHY` (how many of them sushy is asked for: 200, since it
//! takes minutes), `BRINGUP_BENCH_SURVEY` (12500; 0 leaves it out).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod farm;
#[path = "../ipmi_fleet/measure.rs"]
mod measure;
mod peers;
mod silent;

use std::path::Path;
use std::process::{Command, Stdio};

use farm::Farm;
use measure::{Figures, median, run};
use silent::Lines;

const ROUNDS: usize = 5;
const PER_RACK: usize = 250;
/// gofish v0.15 beside curl, wall for 1,000 BMCs (3.8 s and 1.04 s; `shared/reference/performance.md` §1): another farm, another day.
const GOFISH_TO_CURL: f64 = 3.8 / 1.04;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    let count = number("BRINGUP_BENCH_BMCS", 1000).next_multiple_of(PER_RACK);
    let mut farm = Farm::start(count / PER_RACK, PER_RACK);
    println!("power state of {count} BMCs; median of {ROUNDS} rounds, one after the other; the farm shares the machine");
    let (mut ours, mut curls) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        curls.push(peers::curl(&farm));
        ours.push(power(&farm.inventory()));
    }
    let (ours, curl) = (median(ours), median(curls));
    show("curl --parallel, 1 GET, no session", &curl, count);
    show("bringup power status, session", &ours, count);
    assert_eq!((curl.right, ours.right), (count, count), "answers are missing");
    let ratio = ours.wall.as_secs_f64() / curl.wall.as_secs_f64();
    println!("ratio ours/curl: wall {ratio:.2} (target <= 1.3), cpu {:.2}", ours.cpu.as_secs_f64() / curl.cpu.as_secs_f64());
    println!(
        "gofish: NOT MEASURED (its sources are not to be had here); reference/performance.md has it at {GOFISH_TO_CURL:.2} x curl's wall, \
         which with the ratio above would be {:.1} x ours (target >= 3)",
        GOFISH_TO_CURL / ratio
    );
    sushy(&farm, &ours, count);
    silent_ones(&mut farm);
    drop(farm);
    survey();
}

fn show(name: &str, figures: &Figures, count: usize) {
    println!(
        "{name:36} wall {:>7.3} s  cpu {:>6.3} s ({:.2} ms/BMC)  peak {:>6.1} MiB  right {}",
        figures.wall.as_secs_f64(),
        figures.cpu.as_secs_f64(),
        figures.cpu.as_secs_f64() * 1000.0 / count as f64,
        figures.peak_kib as f64 / 1024.0,
        figures.right,
    );
}

fn power(inventory: &Path) -> Figures {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["power", "status", "-o", "ndjson", "-i"]).arg(inventory);
    run(&mut command, |text| text.lines().filter(|line| line.contains("\"answer\":\"off\"")).count())
}

fn sushy(farm: &Farm, ours: &Figures, count: usize) {
    let Some(python) = peers::python() else {
        println!("SKIPPED sushy: no Python with sushy (tests/peers/python.sh makes one)");
        return;
    };
    let asked = number("BRINGUP_BENCH_SUSHY", 200).min(count);
    let theirs = peers::sushy(farm, &python, &farm.bmcs[..asked]);
    show("sushy, 32 threads, session", &theirs, asked);
    assert_eq!(theirs.right, asked, "sushy's answers are missing");
    let each = |figures: &Figures, n: usize| figures.wall.as_secs_f64() / n as f64;
    println!("ratio sushy/ours: wall per BMC {:.0} (target >= 50)", each(&theirs, asked) / each(ours, count));
}

/// Every twentieth takes the connection and never says a word.
fn silent_ones(farm: &mut Farm) {
    let (with, named) = farm.with_silent(20);
    let heard = Lines::of(&farm.inventory());
    let some = Lines::of(&with);
    let ((all, _), (rest, well)) = (heard.well(), some.well());
    let unreached = some.unreached();
    assert_eq!(well, farm.bmcs.len() - named.len(), "answers are missing");
    assert!(named.iter().all(|node| unreached.iter().any(|line| line.contains(&format!("\"{node}\"")))), "{unreached:?}");
    println!(
        "{} of {} silent: the others answered within {:.2} s ({:.2} s with none silent), ratio {:.2}; all {} named within {:.1} s: {}",
        named.len(),
        farm.bmcs.len(),
        rest.as_secs_f64(),
        all.as_secs_f64(),
        rest.as_secs_f64() / all.as_secs_f64(),
        unreached.len(),
        some.all.as_secs_f64(),
        unreached.first().copied().unwrap_or_default()
    );
}

/// Identity, power, boot override and firmware of every BMC.
fn survey() {
    let count = number("BRINGUP_BENCH_SURVEY", 12_500);
    if count == 0 {
        return;
    }
    let farm = Farm::start(count.div_ceil(PER_RACK), PER_RACK);
    let count = farm.bmcs.len();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["bmc", "info", "-o", "ndjson", "-i"]).arg(farm.inventory()).stderr(Stdio::null());
    let survey = run(&mut command, |text| text.lines().filter(|line| line.contains("\"power\":{\"known\":\"off\"}")).count());
    show("bringup bmc info (survey)", &survey, count);
    println!("target: < 512 MiB; the simulator beside it has {:.0} MiB", farm.resident_mib());
    assert_eq!(survey.right, count, "answers are missing");
}
