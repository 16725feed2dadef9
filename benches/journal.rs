//! How many events a second the journal takes from 1,250 nodes that write at once, each event on the disk before its node goes on; how long the
//! fold of such a run takes; and beside it Python's sqlite3 with one commit an event. Prints; asserts no time.
//!
//! `cargo bench --bench journal`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::Command;
use std::time::{Duration, Instant};

use bringup::journal::Journal;
use bringup::model::{Event, NodeId, RunId, StepId};

const NODES: usize = 1250;
/// Steps of a node; two events each.
const STEPS: usize = 10;

fn main() {
    // Beside the build and not in /tmp, which may lie in memory: the fsync is what is measured.
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let path = folder.path().join("journal.db");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (span, one) = runtime.block_on(write(&path));
    let events = NODES * STEPS * 2;
    println!(
        "journal: {:.0} events/s from {NODES} writers ({events} events in {:.2} s, each waits for its fsync); one writer alone {:.0} events/s",
        events as f64 / span.as_secs_f64(),
        span.as_secs_f64(),
        1.0 / one.as_secs_f64(),
    );
    let start = Instant::now();
    let (lines, _) = Journal::verify(&path).unwrap();
    println!("  whole hash chain of {lines} events checked in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
    peer(folder.path());
}

async fn write(path: &std::path::Path) -> (Duration, Duration) {
    let journal = Journal::open(path).unwrap();
    let run = RunId::new("run-bench").unwrap();
    let event = |node: &NodeId, step: &StepId, done: bool| match done {
        false => Event::StepBegan { node: node.clone(), step: step.clone(), title: "boot sim-live from the network".into() },
        true => {
            let evidence = "boot id 3f0c2c1e-5a0b-4b6e-9d9a-0d7a7f6f2a11, serial EX00010001, image digest as planned".into();
            Event::StepFinished { node: node.clone(), step: step.clone(), changed: true, evidence }
        }
    };
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..NODES {
        let (journal, run) = (journal.clone(), run.clone());
        tasks.spawn(async move {
            let node = NodeId::new(format!("a{:03}-s{:02}", n / 8 + 1, n % 8 + 1)).unwrap();
            for s in 0..STEPS {
                let step = StepId::new(format!("step-{s}")).unwrap();
                journal.append(&run, 1, event(&node, &step, false)).await.unwrap();
                journal.append(&run, 2, event(&node, &step, true)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let span = start.elapsed();
    let (node, step) = (NodeId::new("a001-s01").unwrap(), StepId::new("alone").unwrap());
    let start = Instant::now();
    for _ in 0..200 {
        journal.append(&run, 3, event(&node, &step, true)).await.unwrap();
    }
    (span, start.elapsed() / 200)
}

/// The same durability (WAL, synchronous FULL) with one commit an event, no chain.
fn peer(folder: &std::path::Path) {
    const SCRIPT: &str = r"
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('PRAGMA journal_mode=WAL'); db.execute('PRAGMA synchronous=FULL')
db.execute('CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)')
start = time.perf_counter()
for n in range(1000):
    db.execute('INSERT INTO event (body) VALUES (?)', ('x' * 180,))
print(f'  peer python sqlite3 {sqlite3.sqlite_version}, one commit an event: {1000 / (time.perf_counter() - start):.0f} events/s')
";
    match Command::new("python3").args(["-c", SCRIPT]).arg(folder.join("peer.db")).output() {
        Ok(out) if out.status.success() => print!("{}", String::from_utf8_lossy(&out.stdout)),
        Ok(out) => println!("  peer python3 failed: {}", String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("")),
        Err(_) => println!("  peer missing: python3"),
    }
}
