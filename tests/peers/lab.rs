//! The laboratory as the tests see it: started once by `lab.sh`, gone when this process ends, and observed by other people's clients only
//! (libvirt's log, the serial console, OpenSSH). Nothing of `bringup` looks here, so that its own mistakes cannot agree with themselves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::support;

/// One machine behind its BMC.
#[derive(Debug, Clone)]
pub struct Machine {
    pub number: usize,
    pub mac: String,
    pub uuid: String,
    pub serial: String,
    pub address: String,
    pub certificate: String,
}

/// The running laboratory.
#[derive(Debug)]
pub struct Lab {
    /// Network namespace.
    pub namespace: String,
    /// Kernel, initrd, keys.
    pub built: PathBuf,
    machines: Vec<Machine>,
    script: PathBuf,
    state: PathBuf,
    /// What makes it another laboratory than the usual one.
    settings: &'static [(&'static str, &'static str)],
    /// Standard input of the script: it stops the laboratory when this process is gone and the pipe closes.
    _holder: Child,
}

static LAB: OnceLock<Lab> = OnceLock::new();
/// Two machines, and nobody who answers DHCP.
static LAB_WITHOUT_DHCP: OnceLock<Lab> = OnceLock::new();
/// One test at a time: all boots fetch from the one address that the site's DHCP names.
static TURN: Mutex<()> = Mutex::new(());

/// The laboratory and the right to use it, or `None` after telling what is missing.
pub fn need(test: &str) -> Option<(&'static Lab, MutexGuard<'static, ()>)> {
    need_one(test, &LAB, "", &[])
}

/// The same with two machines, in a network where nobody answers DHCP. Two, since sushy-tools gives the chassis of all machines one serial number of its
/// own making, which is taken for the machine's where there is but one.
pub fn need_without_dhcp(test: &str) -> Option<(&'static Lab, MutexGuard<'static, ()>)> {
    need_one(test, &LAB_WITHOUT_DHCP, "-quiet", &[("DHCP", "none"), ("MACHINES", "2")])
}

fn need_one(
    test: &str,
    lab: &'static OnceLock<Lab>,
    suffix: &str,
    settings: &'static [(&'static str, &'static str)],
) -> Option<(&'static Lab, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for program in ["virsh", "qemu-system-x86_64", "dnsmasq", "ip", "ipmitool", "ssh", "curl"] {
        support::need_program(test, program)?;
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    if !root {
        support::skip(test, "the right to make network namespaces (root)");
        return None;
    }
    for (variable, file) in [("BRINGUP_LAB", "disk.img"), ("BRINGUP_VENV", "bin/sushy-emulator")] {
        let there = std::env::var_os(variable).is_some_and(|dir| Path::new(&dir).join(file).exists());
        if !there {
            support::skip(test, &format!("${variable}/{file}, which `tests/run` makes,"));
            return None;
        }
    }
    Some((lab.get_or_init(|| Lab::start(suffix, settings)), turn))
}

impl Lab {
    fn start(suffix: &str, settings: &'static [(&'static str, &'static str)]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/lab.sh");
        let namespace = format!("bringup-{}{suffix}", std::process::id());
        let state = std::env::temp_dir().join(&namespace);
        let mut holder = Command::new(&script)
            .arg("hold")
            .env("NS", &namespace)
            .env("STATE", &state)
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "{} did not bring the laboratory up", script.display());
        let built = PathBuf::from(std::env::var_os("BRINGUP_LAB").unwrap());
        let mut lab = Self { namespace, built, machines: Vec::new(), script, state, settings, _holder: holder };
        lab.machines = lab.script(&["facts"]).lines().map(machine).collect();
        lab
    }

    /// Machine by number, from 1.
    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number - 1]
    }

    /// All machines.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(arguments).env("NS", &self.namespace).env("STATE", &self.state).stdin(Stdio::null());
        command.envs(self.settings.iter().copied());
        command
    }

    fn script(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "lab.sh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// How often libvirt started the machine.
    pub fn starts(&self, machine: &Machine) -> usize {
        let count = self.script(&["starts", &machine.number.to_string()]);
        if count.trim().is_empty() { 0 } else { count.trim().parse().unwrap() }
    }

    /// Where the machine goes at its next power-on, by libvirt's own word: `hd` or `network`.
    pub fn device(&self, machine: &Machine) -> String {
        self.script(&["device", &machine.number.to_string()]).trim().to_owned()
    }

    /// Presses the machine's power button, behind the BMC's back.
    pub fn press(&self, machine: &Machine, power: &str) {
        drop(self.script(&["power", &machine.number.to_string(), power]));
    }

    /// One line for each kernel that started on the machine, as its serial console showed it.
    pub fn kernels(&self, machine: &Machine) -> Vec<String> {
        self.script(&["kernels", &machine.number.to_string()]).lines().map(str::to_owned).collect()
    }

    /// How many requests the machine's Redfish service has answered, by its own log.
    pub fn redfish_requests(&self, machine: &Machine) -> usize {
        let log = std::fs::read_to_string(self.state.join(format!("bmc/node{}/log", machine.number))).unwrap();
        log.lines().filter(|line| line.contains(" HTTP/1.")).count()
    }

    /// Cuts the machine's power behind the BMC's back when the test ends, however it ends.
    #[must_use]
    pub fn unplug_at_the_end<'a>(&'a self, machine: &'a Machine) -> Unplug<'a> {
        Unplug { lab: self, machine }
    }

    /// Gives a machine that is off a disk of that size with the usual system on it; it gets the usual disk back when the test ends.
    #[must_use]
    pub fn larger_disk<'a>(&'a self, machine: &'a Machine, size: &str) -> LargerDisk<'a> {
        self.make_disk(machine, &[size]).unwrap();
        LargerDisk { lab: self, machine }
    }

    fn make_disk(&self, machine: &Machine, size: &[&str]) -> Result<(), String> {
        let disk = self.state.join(format!("libvirt/disks/node{}.qcow2", machine.number));
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(self.built.join("disk.img")).arg(disk).args(size);
        let made = command.output().map_err(|e| e.to_string())?;
        if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).into_owned()) }
    }

    /// What a command on the machine prints, by OpenSSH with the image's host key pinned.
    pub fn on_machine(&self, machine: &Machine, command: &str) -> Result<String, String> {
        let known = self.state.join(format!("known_hosts.{}", machine.number));
        let key = std::fs::read_to_string(self.built.join("host_key.pub")).unwrap();
        std::fs::write(&known, format!("{} {key}", machine.address)).unwrap();
        let output = self
            .inside("ssh")
            .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(self.built.join("id_ed25519"))
            .arg(format!("root@{}", machine.address))
            .arg(command)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// A command inside the laboratory's network.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program).stdin(Stdio::null());
        command
    }

    /// The last lines that the machine wrote to its serial console, for failure messages.
    pub fn console(&self, machine: &Machine) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(self.state.join(format!("libvirt/log/node{}.console", machine.number))) {
            drop(file.read_to_end(&mut bytes));
        }
        let text = String::from_utf8_lossy(&bytes).replace('\u{1b}', "");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

/// Puts the usual disk back.
#[derive(Debug)]
pub struct LargerDisk<'a> {
    lab: &'a Lab,
    machine: &'a Machine,
}

impl Drop for LargerDisk<'_> {
    fn drop(&mut self) {
        drop(self.lab.make_disk(self.machine, &[]));
    }
}

/// Leaves a machine off.
#[derive(Debug)]
pub struct Unplug<'a> {
    lab: &'a Lab,
    machine: &'a Machine,
}

impl Drop for Unplug<'_> {
    fn drop(&mut self) {
        // A machine that is off already makes the script fail, which is as good.
        let number = self.machine.number.to_string();
        drop(self.lab.command(&["power", &number, "off"]).output());
    }
}

fn machine(line: &str) -> Machine {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let [name, mac, uuid, serial, address, _bmc, certificate] = words.try_into().unwrap();
    let number = name.trim_start_matches("node").parse().unwrap();
    Machine { number, mac, uuid, serial, address, certificate }
}
