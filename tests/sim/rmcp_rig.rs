//! One simulated BMC on a free loopback port, for clients that other people wrote. The password goes by environment or file, never by argv.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bringup::model::{AcceleratorKind, NodeId, RackId};
use bringup::sim::{Clock, Durations, Fault, Fitted, Identity, MachineHandle, Seed, profile, rmcp};

pub const USER: &str = "admin";
pub const PASSWORD: &str = "Sim-pass.17";

pub fn machine(faults: &[Fault]) -> MachineHandle {
    let identity = Identity::derive(
        Seed(17),
        NodeId::new("a001-s01").unwrap(),
        RackId::new("a001").unwrap(),
        1,
        profile::by_name("supermicro").unwrap(),
        Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
        faults,
    );
    // Power changes take 4 virtual seconds; at this speed that is under a millisecond.
    let account = (USER.to_owned(), PASSWORD.to_owned());
    MachineHandle::new(Clock::start(10_000), Arc::new(identity), faults.to_vec(), Durations::default(), false, account)
}

pub struct Rig {
    pub machine: MachineHandle,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub fn new(faults: &[Fault]) -> Self {
        Self::on(std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), faults)
    }

    /// On a port below 32768: `ipmiconsole` 1.6.10 calls a host with a higher one invalid.
    pub fn on_a_low_port(faults: &[Fault]) -> Self {
        let mut ports = (20_000_u16..32_768).cycle().skip(std::process::id() as usize % 12_000);
        let socket = std::iter::repeat_with(|| std::net::UdpSocket::bind(("127.0.0.1", ports.next().unwrap())));
        Self::on(socket.take(12_768).find_map(Result::ok).expect("a free port below 32768"), faults)
    }

    fn on(socket: std::net::UdpSocket, faults: &[Fault]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let machine = machine(faults);
        socket.set_nonblocking(true).unwrap();
        let socket = runtime.block_on(async { tokio::net::UdpSocket::from_std(socket) }).unwrap();
        let address = socket.local_addr().unwrap();
        runtime.spawn(rmcp::serve(machine.clone(), socket));
        let folder = tempfile::tempdir().unwrap();
        Self { machine, address, folder, _runtime: runtime }
    }

    /// `ipmitool` in lanplus mode.
    pub fn ipmitool(&self, suite: &str, args: &[&str]) -> Output {
        self.ipmitool_as(PASSWORD, suite, args)
    }

    pub fn ipmitool_as(&self, password: &str, suite: &str, args: &[&str]) -> Output {
        let port = self.address.port().to_string();
        Command::new("ipmitool")
            .args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", USER, "-E", "-C", suite, "-N", "1", "-R", "4"])
            .args(args)
            .env("IPMITOOL_PASSWORD", password)
            .output()
            .unwrap()
    }

    /// The line that runs a FreeIPMI tool on a terminal; the account stands in its configuration file.
    pub fn freeipmi_line(&self, program: &str, suite: &str, args: &str) -> String {
        let config = self.config();
        format!("{program} --config-file={} -I {suite} -h {} {args}", config.display(), self.address)
    }

    fn config(&self) -> std::path::PathBuf {
        let config = self.folder.path().join("freeipmi.conf");
        std::fs::write(&config, format!("username {USER}\npassword {PASSWORD}\n")).unwrap();
        std::os::unix::fs::chown(&config, None, None).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        config
    }

    /// A FreeIPMI tool; the account stands in its configuration file.
    pub fn freeipmi(&self, program: &Path, suite: &str, args: &[&str]) -> Output {
        let config = self.config();
        Command::new(program)
            .arg(format!("--config-file={}", config.display()))
            .args(["-D", "LAN_2_0", "-I", suite, "-h", &self.address.to_string()])
            .args(args)
            .output()
            .unwrap()
    }
}

/// Standard output of a command that ended well.
pub fn good(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\nstdout: {out}\nstderr: {err}", output.status);
    out.into_owned()
}

/// Both streams of a command that did not.
pub fn bad(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "it ended well: {text}");
    text
}
