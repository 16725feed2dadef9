//! How long the release program's `demo` takes, start to end: two simulated racks from powered off to proven. Prints; asserts no time.
//!
//! `cargo bench --bench demo`. There is no peer: no other tool carries its own far end.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the demo's files");
    let start = Instant::now();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_bringup"))
        .args(["demo", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built for this bench");
    let file = format!("/proc/{}/status", demo.id());
    let mut peak_kib: u32 = 0;
    let status = loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        peak_kib =
            text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok()).unwrap_or(peak_kib);
        if let Some(status) = demo.try_wait().expect("the demo is our child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    println!(
        "demo, 16 nodes: {:.1} s (target < 30 s), peak {:.1} MiB simulator included, {status} (0: it ended as seeded)",
        start.elapsed().as_secs_f64(),
        f64::from(peak_kib) / 1024.0,
    );
    println!("  peer missing: no other tool carries its own far end");
}
