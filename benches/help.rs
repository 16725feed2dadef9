//! How long `bringup --help` takes from spawn to end, beside small tools of other people in the same run. Prints; asserts no time.
//!
//! `cargo bench --bench help`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SPAWNS: usize = 20;

fn main() {
    let ours = median(env!("CARGO_BIN_EXE_bringup"), &["--help"]).expect("the binary was built for this bench");
    println!("bringup --help: {:.1} ms, median of {SPAWNS} (target < 20 ms)", ms(ours));
    // The floor of fork and exec, a C tool of the same trade, a C tool with a help text, a Go tool and a Python tool.
    for (program, args) in
        [("true", &[][..]), ("ipmitool", &["-V"]), ("curl", &["--help"]), ("kubectl", &["--help"]), ("ansible", &["--version"])]
    {
        match median(program, args) {
            Some(theirs) => println!("  peer {program} {}: {:.1} ms", args.join(" "), ms(theirs)),
            None => println!("  peer missing: {program}"),
        }
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Median time of a call; `None` when the program is not installed or fails.
fn median(program: &str, args: &[&str]) -> Option<Duration> {
    let mut spans = Vec::with_capacity(SPAWNS);
    // The first call reads the program from the disk and does not count.
    for call in 0..=SPAWNS {
        let start = Instant::now();
        let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.ok()?.success() {
            return None;
        }
        if call > 0 {
            spans.push(start.elapsed());
        }
    }
    spans.sort_unstable();
    spans.get(SPAWNS / 2).copied()
}
