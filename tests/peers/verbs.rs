//! Runs the real binary inside the laboratory's network, as a user would.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::lab::{Lab, Machine};
use super::words::{Words, node};

/// What a verb printed and how it ended.
#[derive(Debug)]
pub struct Said {
    pub exit: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Fails with everything that was said unless the exit code is the one wanted.
    #[track_caller]
    pub fn must_exit(self, wanted: i32) -> Self {
        assert_eq!(self.exit, Some(wanted), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in:\n{}\nstderr:\n{}", self.out, self.err))
    }
}

/// A verb that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Waits for its end; kills it at the deadline and fails.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> Said {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if start.elapsed() > deadline {
                break None;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let said = self.said(status);
        assert!(status.is_some(), "not finished within {deadline:?}; stdout:\n{}\nstderr:\n{}", said.out, said.err);
        said
    }

    /// `kill -9`, by process id: `ip netns exec` has become the binary itself.
    pub fn kill_nine(mut self) -> Said {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.said(Some(status))
    }

    /// True when it has ended already.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn said(&self, status: Option<ExitStatus>) -> Said {
        let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        Said { exit: status.and_then(|s| s.code()), out: read(&self.out), err: read(&self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a verb on one machine.
pub fn start(lab: &Lab, words: &Words, verb: &[&str]) -> Running {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (out, err) = (words.path(&format!("{number}.out")), words.path(&format!("{number}.err")));
    let mut command: Command = lab.inside(env!("CARGO_BIN_EXE_bringup"));
    command
        .args(verb)
        .arg("--inventory")
        .arg(words.path("inventory"))
        .arg("--playbook")
        .arg(words.path("playbooks/lab.yaml"))
        .arg("--state")
        .arg(words.path("state/journal.db"))
        .current_dir(words.dir())
        .env("LAB_BMC_PASSWORD", "lab-password")
        .env("CI", "true")
        .envs(words.loaders_lock().map(|lock| ("BRINGUP_LOADERS_LOCK", lock)))
        .stdout(Stdio::from(std::fs::File::create(&out).unwrap()))
        .stderr(Stdio::from(std::fs::File::create(&err).unwrap()));
    Running { child: command.spawn().unwrap(), out, err }
}

/// Runs a verb to its end. A boot takes 20 s on a quiet machine.
#[track_caller]
pub fn run(lab: &Lab, words: &Words, verb: &[&str]) -> Said {
    start(lab, words, verb).wait(Duration::from_secs(900))
}

/// Applies `plan.json`, and says how many seconds passed from its start until OpenSSH got into a system that the plan booted.
#[track_caller]
pub fn apply_to_ssh(lab: &Lab, words: &Words, machine: &Machine) -> (Said, f64) {
    let began = Instant::now();
    let mut running = start(lab, words, &["apply", "plan.json", "--yes", "-v"]);
    let mut first = None;
    while first.is_none() && !running.ended() {
        if lab.on_machine(machine, "cat /proc/cmdline").is_ok_and(|cmdline| cmdline.contains("bringup.plan=")) {
            first = Some(began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = running.wait(Duration::from_secs(900));
    (said, first.unwrap_or_else(|| began.elapsed().as_secs_f64()))
}

/// Plans one machine into `plan.json`; nothing may have been touched.
#[track_caller]
pub fn plan(lab: &Lab, words: &Words, machine: &Machine) -> Said {
    let starts = lab.starts(machine);
    let said = run(lab, words, &["plan", "--select", &node(machine), "--out", "plan.json"]).must_exit(0);
    assert_eq!(lab.starts(machine), starts, "planning powered the machine on");
    said
}

/// Where the last run left a machine: its entry in `status -o json`.
#[track_caller]
pub fn standing(lab: &Lab, words: &Words, machine: &Machine) -> serde_json::Value {
    let status = run(lab, words, &["status", "--output", "json"]).must_exit(0).json();
    let name = node(machine);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    nodes.into_iter().find(|n| n["node"] == name.as_str()).unwrap_or_else(|| panic!("{name} is not in {status}"))
}
