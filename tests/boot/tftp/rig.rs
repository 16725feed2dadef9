//! `bringup serve --tftp` as a process of its own, with loaders of known bytes.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Service, wait_until};

/// 600,003 bytes: more than 65,535 blocks of 8, and no multiple of anything.
pub const LONG: &str = "ipxe.efi";
/// 40 blocks of 1468 and 512 each: its last block is empty.
pub const EVEN: &str = "snponly.efi";
/// Less than one block.
pub const SHORT: &str = "undionly.kpxe";

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub at: SocketAddrV4,
    pub serve: Service,
    talk: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Rig {
    /// Serves on an address of 127/8, at a port that the kernel chooses.
    pub fn start(address: &str) -> Self {
        Self::start_with(address, 300)
    }

    /// As [`Self::start`], with another length for the short one.
    pub fn start_with(address: &str, short: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loaders = dir.path().join("loaders");
        std::fs::create_dir(&loaders).unwrap();
        for (name, length) in [(LONG, 600_003), (EVEN, 1468 * 512), (SHORT, short)] {
            std::fs::write(loaders.join(name), bytes(name, length)).unwrap();
        }
        crate::support::pin_loaders(&loaders);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["serve", "--listen", "127.91.0.1:0", "--tftp", &format!("{address}:0"), "--loaders"]).arg(&loaders);
        command.arg("--state").arg(dir.path().join("journal.db"));
        command.stdout(std::fs::File::create(dir.path().join("lines")).unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
        let serve = Service::from(child);
        let said = talk.next().unwrap().unwrap();
        let at = said.strip_prefix("serving TFTP on ").and_then(|s| s.split(',').next()).expect(&said).parse().unwrap();
        Self { dir, at, serve, talk }
    }

    /// What a loader holds.
    pub fn holds(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join("loaders").join(name)).unwrap()
    }

    /// Where a client may write.
    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The lines so far.
    pub fn lines(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("lines")).unwrap()
    }

    /// Waits until as many lines hold `what`.
    pub fn told(&self, what: &str, count: usize) {
        wait_until(&format!("{count} lines with `{what}`"), Duration::from_secs(120), || {
            self.lines().lines().filter(|line| line.contains(what)).count() >= count
        });
    }

    /// Stops it as an operator does; returns what it said to the end.
    pub fn stop(mut self) -> Vec<String> {
        assert!(Command::new("kill").args(["-INT", &self.serve.pid().to_string()]).status().unwrap().success());
        let said = self.talk.by_ref().map(|line| line.unwrap()).collect();
        assert!(self.serve.wait(Duration::from_secs(60)).success());
        said
    }
}

/// Bytes that differ from name to name and from block to block.
pub fn bytes(name: &str, length: usize) -> Vec<u8> {
    let salt = name.len();
    (0..length).map(|n| (n.wrapping_add(salt).wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}
