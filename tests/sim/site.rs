//! Farms for tests: small, fast, and gone when the test ends.

use std::process::Command;
use std::time::Duration;

use bringup::sim::farm::SimNode;
use bringup::sim::{Farm, FarmSpec, Fault, Seed};

/// Far above anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One rack of NVIDIA nodes and, when asked for, one of NPUs; `a001-s01=dead-bmc` gives faults.
pub fn spec(racks: u32, nodes: u32, faults: &[&str]) -> FarmSpec {
    let mut spec = FarmSpec::racks(racks, nodes, Seed(7), false).unwrap();
    spec.speed = 600;
    for text in faults {
        let (node, fault) = text.split_once('=').unwrap();
        spec.fault(node, fault.parse::<Fault>().unwrap()).unwrap();
    }
    spec
}

/// Starts a farm of [`spec`].
pub async fn farm(racks: u32, nodes: u32, faults: &[&str]) -> Farm {
    Farm::start(spec(racks, nodes, faults)).await.unwrap()
}

/// Runs another program and gives its exit status, output and complaints.
pub async fn run(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Waits for something about a node.
pub async fn until(what: &str, mut test: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !test() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A node by name.
pub fn node<'a>(farm: &'a Farm, id: &str) -> &'a SimNode {
    farm.node(id).unwrap()
}
