//! OpenIPMI's `ipmi_sim` as a BMC that somebody else wrote, one process each, with a shell hook that counts what it was told to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bringup::bmc::Password;
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};

use crate::support::{Service, need_program, wait_until};

/// A running `ipmi_sim`; account `admin`, password `s3cret`.
pub struct Sim {
    dir: tempfile::TempDir,
    pub addr: SocketAddr,
    program: PathBuf,
    namespace: Option<String>,
    service: Option<Service>,
}

const HOOK: &str = r#"#!/bin/sh
state=$1; shift
what=$1; shift
echo "$what $*" >> "$state/told"
case $what in
get) for name in "$@"; do echo "$name:$(cat "$state/$name")"; done ;;
set) while [ $# -ge 2 ]; do echo "$2" > "$state/$1"; [ "$1" = shutdown ] && echo 0 > "$state/power"; shift 2; done ;;
esac
exit 0
"#;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A loopback address that no other test of this process uses.
pub fn free_ip() -> String {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    format!("127.{}.{}.{}", 64 + pid % 64, pid / 64 % 250, n % 250 + 1)
}

fn area(fixed: &[u8], fields: &[&str]) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend(fixed);
    for field in fields {
        out.push(0xc0 | field.len() as u8);
        out.extend(field.bytes());
    }
    out.push(0xc1);
    while out.len() % 8 != 7 {
        out.push(0);
    }
    out[1] = ((out.len() + 1) / 8) as u8;
    out.push(out.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg());
    out
}

fn fru() -> Vec<u8> {
    let board = area(&[25, 0, 0, 0], &["Boards Ltd", "BRD-8", "BRD-SN", "BRD-PN"]);
    let product = area(&[25], &["Racks Ltd", "GPU-8", "PN-8", "v1", "SN-0042", "asset"]);
    let mut out = vec![1, 0, 0, 1, (1 + board.len() / 8) as u8, 0, 0];
    out.push(out.iter().fold(0u8, |s, b| s.wrapping_add(*b)).wrapping_neg());
    out.extend(board);
    out.extend(product);
    out
}

impl Sim {
    /// Starts one, or says that the test is skipped.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, "", "")
    }

    /// As [`Self::start`], with more in its two configuration files; `{dir}` in them is its folder.
    pub fn start_with(test: &str, more_lan: &str, more_emu: &str) -> Option<Self> {
        Self::start_whole(test, format!("{}:6230", free_ip()).parse().unwrap(), None, more_lan, more_emu, &[])
    }

    /// As [`Self::start_with`], with files in its folder.
    pub fn start_with_files(test: &str, more_emu: &str, files: &[(&str, &str)]) -> Option<Self> {
        Self::start_whole(test, format!("{}:6230", free_ip()).parse().unwrap(), None, "", more_emu, files)
    }

    /// One at this address, with its serial port there and another password.
    pub fn start_beside(test: &str, addr: SocketAddr, serial: SocketAddr, password: &str) -> Option<Self> {
        let sol = format!("sol \"tcp:{serial}\" 115200\n");
        Self::start_whole(test, addr, None, &sol, "", &[("password", password)])
    }

    /// `ipmitool` against it; what it printed.
    pub fn ipmitool(&self, args: &[&str]) -> String {
        let (ip, port) = (self.addr.ip().to_string(), self.addr.port().to_string());
        let out = Command::new("ipmitool")
            .args(["-I", "lanplus", "-H", &ip, "-p", &port, "-U", "admin", "-E", "-C", "3"])
            .args(args)
            .env("IPMITOOL_PASSWORD", "s3cret")
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Starts one at this address, in this network namespace.
    pub fn start_at(test: &str, addr: SocketAddr, namespace: Option<&str>) -> Option<Self> {
        Self::start_whole(test, addr, namespace, "", "", &[])
    }

    fn start_whole(
        test: &str,
        addr: SocketAddr,
        namespace: Option<&str>,
        more_lan: &str,
        more_emu: &str,
        files: &[(&str, &str)],
    ) -> Option<Self> {
        let program = need_program(test, "ipmi_sim")?;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("state")).unwrap();
        for (name, value) in [("power", "0"), ("boot", "none"), ("hook.sh", HOOK), ("told", "")] {
            std::fs::write(at(name), value).unwrap();
        }
        std::fs::write(at("fru.bin"), fru()).unwrap();
        for (name, text) in files {
            std::fs::write(at(name), text).unwrap();
        }
        let password = files.iter().find(|(name, _)| *name == "password").map_or("s3cret", |(_, password)| password);
        let lan = format!(
            "name \"t\"\nset_working_mc 0x20\nstartlan 1\naddr {} {}\npriv_limit admin\n\
             allowed_auths_user none md2 md5 straight\nallowed_auths_operator none md2 md5 straight\n\
             allowed_auths_admin none md2 md5 straight\nguid 336a1b2c5d0e4f9091a2b3c4d5e6f708\nendlan\n\
             chassis_control \"/bin/sh {} {}\"\n{more_lan}user 2 true \"admin\" \"{password}\" admin 10 md2 md5 straight\n",
            addr.ip(),
            addr.port(),
            at("hook.sh").display(),
            dir.path().display(),
        );
        let place = |text: String| text.replace("{dir}", &dir.path().display().to_string());
        std::fs::write(at("lan.conf"), place(lan)).unwrap();
        let emu = format!(
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
             mc_add_fru_data 0x20 0 512 file 0 \"{}\"\n{more_emu}mc_enable 0x20\n",
            at("fru.bin").display()
        );
        std::fs::write(at("sim.emu"), place(emu)).unwrap();
        let namespace = namespace.map(str::to_owned);
        let mut sim = Self { dir, addr, program, namespace, service: None };
        sim.restart();
        Some(sim)
    }

    /// Ends it, as a BMC that loses its power, and starts it again. It forgets all sessions.
    pub fn restart(&mut self) {
        self.service = None;
        let at = |name: &str| self.dir.path().join(name);
        let mut command = match &self.namespace {
            None => Command::new(&self.program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.program);
                command
            }
        };
        let service = Service::start(
            command
                .args(["-n", "-c"])
                .arg(at("lan.conf"))
                .arg("-f")
                .arg(at("sim.emu"))
                .arg("-s")
                .arg(at("state"))
                .stdin(Stdio::null())
                .stdout(std::fs::File::create(at("log")).unwrap())
                .stderr(Stdio::null()),
        )
        .unwrap();
        self.service = Some(service);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        // Get Channel Authentication Capabilities outside a session, as ipmitool 1.8.19 sends it first.
        let ask = [6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 4, 0xb5];
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        wait_until("ipmi_sim answers", Duration::from_secs(20), || {
            socket.send_to(&ask, self.addr).unwrap();
            socket.recv_from(&mut [0; 64]).is_ok()
        });
    }

    /// What the hook was told, line by line.
    pub fn told(&self) -> Vec<String> {
        std::fs::read_to_string(self.dir.path().join("told")).unwrap().lines().map(str::to_owned).collect()
    }

    /// How often the hook was told exactly this.
    pub fn times(&self, what: &str) -> usize {
        self.told().iter().filter(|line| *line == what).count()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

/// An account with the right password.
pub fn admin(suite: Option<u8>) -> Account {
    Account::new("admin", Password::new("s3cret"), suite).unwrap()
}

/// A client with a way out of its own.
pub fn client(to: SocketAddr, account: Account) -> (Arc<Lan>, IpmiBmc) {
    let lan = Lan::new();
    let bmc = IpmiBmc::new(Arc::clone(&lan), to, account);
    (lan, bmc)
}
