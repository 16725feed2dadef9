//! The simulated rack in a process of its own (`bringup sim up`), stopped by process id when dropped, and the inventory that it wrote.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::measure::field;

pub struct Bmc {
    pub address: SocketAddr,
    /// Path of its one system, by the maker that the simulator gives the rack.
    pub system: String,
}

pub struct Farm {
    child: Child,
    pub dir: tempfile::TempDir,
    pub bmcs: Vec<Bmc>,
    pub password: String,
    /// Listeners that a silent BMC of [`Farm::with_silent`] has.
    silent: Vec<TcpListener>,
}

impl Drop for Farm {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Farm {
    /// Starts so many racks of so many nodes, all of them off; every BMC has a certificate and a listener of its own.
    pub fn start(racks: usize, nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["sim", "up", "--racks", &racks.to_string(), "--nodes", &nodes.to_string(), "--dir"]).arg(dir.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut farm = Self { child, dir, bmcs: Vec::new(), password: String::new(), silent: Vec::new() };
        let said = BufReader::new(farm.child.stderr.take().unwrap()).lines();
        assert!(said.map_while(Result::ok).any(|line| line.starts_with("running")), "the simulator did not start");
        farm.read();
        println!(
            "sim up, {} BMCs over TLS: {:.1} s, {:.0} MiB",
            farm.bmcs.len(),
            begun.elapsed().as_secs_f64(),
            farm.resident_mib()
        );
        farm
    }

    /// Memory of the simulator, in MiB.
    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        field(&status, "VmRSS:") as f64 / 1024.0
    }

    pub fn inventory(&self) -> PathBuf {
        self.dir.path().join("inventory")
    }

    fn read(&mut self) {
        self.password = std::fs::read_to_string(self.dir.path().join("secrets/bmc_password")).unwrap().trim().to_owned();
        let facts = std::fs::read_to_string(self.inventory().join("facts/nodes.csv")).unwrap();
        let mut lines = facts.lines();
        let column = column(lines.next().unwrap(), "bmc_address");
        self.bmcs = lines
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                // `aNNN-sNN`: racks are dealt out to makers by number (`sim::farm::layout`).
                let rack: usize = cells[0][1..4].parse().unwrap();
                let system = match rack % 4 {
                    1 => "DGX",
                    3 => "System.Embedded.1",
                    _ => "1",
                };
                Bmc { address: cells[column].parse().unwrap(), system: format!("/redfish/v1/Systems/{system}") }
            })
            .collect();
    }

    /// A copy of the inventory in which every `nth` BMC stands at an address that takes connections and never says a word; says which nodes.
    pub fn with_silent(&mut self, nth: usize) -> (PathBuf, Vec<String>) {
        let copy = self.dir.path().join("silent");
        copy_dir(&self.inventory(), &copy);
        let facts = std::fs::read_to_string(copy.join("facts/nodes.csv")).unwrap();
        let column = column(facts.lines().next().unwrap(), "bmc_address");
        let mut silent = Vec::new();
        let lines = facts.lines().enumerate().map(|(at, line)| {
            if at == 0 || at % nth != 0 {
                return line.to_owned();
            }
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
            cells[column] = listener.local_addr().unwrap().to_string();
            self.silent.push(listener);
            silent.push(cells[0].clone());
            cells.join(",")
        });
        let text: Vec<String> = lines.collect();
        std::fs::write(copy.join("facts/nodes.csv"), text.join("\n") + "\n").unwrap();
        (copy, silent)
    }
}

fn column(head: &str, name: &str) -> usize {
    head.split(',').position(|cell| cell == name).unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
