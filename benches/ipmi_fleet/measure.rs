//! Runs a program and reads from /proc what it cost: wall, CPU, peak memory. Counts right answers, so that a fast failure shows.

use std::io::BufRead as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub struct Figures {
    pub wall: Duration,
    pub cpu: Duration,
    pub peak_kib: u64,
    pub right: usize,
    /// When the last right answer was printed.
    pub last_right: Duration,
    /// BMCs that were named as not answering, with the reason.
    pub named: usize,
}

/// Runs it to its end; `right` counts the right answers in its output.
#[allow(dead_code, reason = "not every bench has the whole text read")]
pub fn run(command: &mut Command, right: impl Fn(&str) -> usize) -> Figures {
    let (figures, lines) = measured(command);
    let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    Figures { right: right(&text.join("\n")), ..figures }
}

/// Runs it to its end; `right` and `named` tell a line of its output, as it comes.
#[allow(dead_code, reason = "not every bench asks when a line came")]
pub fn watch(command: &mut Command, right: impl Fn(&str) -> bool, named: impl Fn(&str) -> bool) -> Figures {
    let (figures, lines) = measured(command);
    let rights: Vec<Duration> = lines.iter().filter(|(_, line)| right(line)).map(|(at, _)| *at).collect();
    Figures {
        right: rights.len(),
        last_right: rights.into_iter().max().unwrap_or_default(),
        named: lines.iter().filter(|(_, line)| named(line)).count(),
        ..figures
    }
}

fn measured(command: &mut Command) -> (Figures, Vec<(Duration, String)>) {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = std::io::BufReader::new(stdout).lines();
        lines.map_while(Result::ok).map(|line| (begun.elapsed(), line)).collect::<Vec<_>>()
    });
    let proc = format!("/proc/{}", child.id());
    let mut peak_kib = 0;
    // The high-water mark only grows, and goes away with the process's memory; its CPU time stays until it is waited for.
    let wall = loop {
        if let Ok(status) = std::fs::read_to_string(format!("{proc}/status")) {
            peak_kib = peak_kib.max(field(&status, "VmHWM:"));
            if status.contains("State:\tZ") {
                break begun.elapsed();
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stat = std::fs::read_to_string(format!("{proc}/stat")).unwrap_or_default();
    // utime and stime, fields 14 and 15 (proc(5)), in ticks of 10 ms; counted after the closing bracket of the name.
    let ticks: u64 =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    drop(child.wait());
    let cpu = Duration::from_millis(ticks * 10);
    (Figures { wall, cpu, peak_kib, right: 0, last_right: Duration::ZERO, named: 0 }, reader.join().unwrap())
}

/// A field of /proc/PID/status in KiB.
pub fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The median of each figure; the fewest right answers of all rounds.
pub fn median(all: Vec<Figures>) -> Figures {
    let middle = |mut values: Vec<u128>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    Figures {
        wall: Duration::from_nanos(middle(all.iter().map(|f| f.wall.as_nanos()).collect()) as u64),
        cpu: Duration::from_nanos(middle(all.iter().map(|f| f.cpu.as_nanos()).collect()) as u64),
        peak_kib: middle(all.iter().map(|f| u128::from(f.peak_kib)).collect()) as u64,
        right: all.iter().map(|f| f.right).min().unwrap_or(0),
        last_right: Duration::from_nanos(middle(all.iter().map(|f| f.last_right.as_nanos()).collect()) as u64),
        named: all.iter().map(|f| f.named).min().unwrap_or(0),
    }
}
