//! A simulated site for tests of bad input: the farm lives in the test, so that its machines can be asked what they saw; the program under
//! test is the built binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bringup::model::{BmcProtocol, PowerState};
use bringup::sim::{Farm, FarmSpec, Fault, Seed};
use serde_json::Value;

use crate::support::{Service, wait_until};

pub const PATIENCE: Duration = Duration::from_secs(120);

/// What the program did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Ended with this code and says these words; nothing panicked.
    #[track_caller]
    pub fn ends(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not told: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// As [`Self::ends`], with one error and nothing on standard output.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        let ran = self.ends(code, words);
        assert_eq!(ran.out, "", "data was printed");
        assert_eq!(ran.err.lines().filter(|l| l.starts_with("error: ")).count(), 1, "one error: {}", ran.err);
        ran
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        assert_eq!(value["format_version"], 1, "{value:#}");
        value
    }
}

/// One rack of a farm, and its files.
pub struct Rig {
    pub farm: Option<Farm>,
    pub dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub fn up(nodes: u32, faults: &[&str]) -> Self {
        Self::at_speed(nodes, faults, 5000)
    }

    pub fn at_speed(nodes: u32, faults: &[&str], speed: u32) -> Self {
        Self::of(FarmSpec { speed, ..FarmSpec::racks(1, nodes, Seed(7), nodes > 1).unwrap() }, faults)
    }

    /// With BMCs that speak IPMI alone.
    pub fn ipmi(nodes: u32) -> Self {
        let mut spec = FarmSpec { speed: 5000, ..FarmSpec::racks(1, nodes, Seed(7), false).unwrap() };
        spec.nodes.iter_mut().for_each(|node| node.protocol = BmcProtocol::Ipmi);
        Self::of(spec, &[])
    }

    fn of(mut spec: FarmSpec, faults: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for text in faults {
            let (node, fault) = text.split_once('=').unwrap();
            spec.fault(node, fault.parse::<Fault>().unwrap()).unwrap();
        }
        let farm = runtime.block_on(Farm::start(spec)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!("http://127.0.0.1:{port}");
        farm.write_inventory(dir.path(), &server).unwrap();
        farm.chain_to(format!("{server}/boot.ipxe"));
        Self { farm: Some(farm), dir, runtime }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command
            .current_dir(self.dir.path())
            .args(["-i", "inventory", "-p", "playbooks/sim.yaml"])
            .args(args)
            .env("NO_COLOR", "1")
            .env("CI", "true")
            .env_remove("BRINGUP_STATE")
            .stdin(Stdio::null());
        // `resume` and `apply` look at nodes often, so that fast machines are not waited for.
        if matches!(args.first(), Some(&("apply" | "resume"))) {
            command.args(["--pace", "50ms", "--loaders", "loaders"]);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Starts it and goes on; its output goes to `name.out` and `name.err`.
    pub fn spawn(&self, name: &str, args: &[&str]) -> Service {
        let file = |end: &str| std::fs::File::create(self.path(&format!("{name}.{end}"))).unwrap();
        Service::start(self.command(args).stdout(file("out")).stderr(file("err"))).unwrap()
    }

    /// Changes a file by one replacement that must be there.
    #[track_caller]
    pub fn edit(&self, file: &str, part: &str, by: &str) {
        let text = self.read(file);
        assert!(text.contains(part), "{file} has no `{part}`:\n{text}");
        std::fs::write(self.path(file), text.replacen(part, by, 1)).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    pub fn farm(&self) -> &Farm {
        self.farm.as_ref().unwrap()
    }

    /// How often each BMC was shown credentials, in node order.
    pub fn logins(&self) -> Vec<u32> {
        self.farm().nodes().iter().map(|n| n.machine.logins()).collect()
    }

    /// How often each BMC was proven a wrong password.
    pub fn refused(&self) -> Vec<u32> {
        self.farm().nodes().iter().map(|n| n.machine.refused()).collect()
    }

    /// No machine was touched: all are off, none has an override, none ever booted.
    #[track_caller]
    pub fn untouched(&self) {
        for node in self.farm().nodes() {
            let (machine, id) = (&node.machine, &node.machine.identity().node);
            assert_eq!((machine.power_state(), machine.boots()), (PowerState::Off, 0), "{id}: {:?}", machine.log());
            assert!(machine.log().iter().all(|(_, line)| !line.starts_with("bmc: ")), "{id}: {:?}", machine.log());
        }
    }

    /// The events of the newest run, as the journal holds them.
    pub fn events(&self, state: &str) -> Vec<Value> {
        let path = self.path(state);
        let Ok(run) = bringup::journal::Journal::newest(&path) else { return Vec::new() };
        let events = bringup::journal::Journal::events(&path, &run).unwrap();
        events.iter().map(|line| serde_json::to_value(&line.event).unwrap()).collect()
    }

    /// Waits until the newest run's journal holds an event of this name.
    pub fn until_event(&self, name: &str) {
        wait_until(name, PATIENCE, || {
            let path = self.path(".bringup/journal.db");
            let Ok(run) = bringup::journal::Journal::newest(&path) else { return false };
            // The file may be in the making.
            let events = bringup::journal::Journal::events(&path, &run).unwrap_or_default();
            events.iter().any(|line| serde_json::to_value(&line.event).unwrap()["event"] == name)
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(farm) = self.farm.take() {
            self.runtime.block_on(farm.stop());
        }
    }
}

/// Sends a signal to a child of this test, by its process id.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// Waits for a child's end and gives its exit code.
pub fn code(service: Service) -> Option<i32> {
    service.wait(PATIENCE).code()
}
