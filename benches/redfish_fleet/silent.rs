//! What silent BMCs cost the others: the same verb on the same farm, once with all BMCs answering and once with every twentieth silent. An
//! answer is timed when its line is printed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// When each line came.
pub struct Lines {
    pub answers: Vec<(Duration, String)>,
    pub all: Duration,
}

impl Lines {
    /// Runs `power status` and keeps the time of each line.
    pub fn of(inventory: &Path) -> Self {
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["power", "status", "-o", "ndjson", "-i"]).arg(inventory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let answers = lines.map(|line| (begun.elapsed(), line.unwrap())).collect();
        drop(child.wait());
        Self { answers, all: begun.elapsed() }
    }

    /// When the last of the BMCs that answer had answered, and how many they were.
    pub fn well(&self) -> (Duration, usize) {
        let well = self.answers.iter().filter(|(_, line)| line.contains("\"went\":\"well\""));
        (well.clone().map(|(at, _)| *at).max().unwrap_or_default(), well.count())
    }

    /// Lines of nodes that did not answer.
    pub fn unreached(&self) -> Vec<&str> {
        self.answers.iter().map(|(_, line)| line.as_str()).filter(|line| !line.contains("\"went\":\"well\"")).collect()
    }
}
