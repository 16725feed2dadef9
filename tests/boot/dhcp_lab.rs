//! A network for DHCP: namespaces on one wire, gone when the test ends, and `bringup serve` in one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Service, need_program, skip, wait_until};

/// The MAC of node a001-s01, and its address.
pub const MAC: &str = "02:00:00:00:11:01";
pub const ADDRESS: &str = "10.77.1.1";
/// Long: a build may hold both cores.
pub const PATIENCE: Duration = Duration::from_secs(90);

const SITE: &str = r#"apiVersion: rack/v1
site: lab
defaults:
  bmc: {driver: redfish, user: prov, password: "env:BMC_PASSWORD"}
  boot: {method: pxe, network: 10.77.0.0/16, router: 10.77.0.1, dns: [10.77.0.1, 10.77.0.2], lease: 10m}
  ssh: {user: prov, key: "file:keys/prov"}
profiles:
  gpu:
    expect: {vendor: Supermicro, model: SYS-821GE-TNHR, accel: {kind: nvidia, model: H100, count: 8}}
    stack: cuda-580
    verify: gpu-acceptance
    pool: train
racks: [{range: a001, profile: gpu, slots: 2}]
naming:
  bmc_ip: "cidr(10.{row}.0.0/16, (n-1)*16+slot)"
  ip: "cidr(10.77.0.0/16, 256+slot)"
"#;
const FACTS: &str = "node,serial,boot_mac\na001-s01,S101,02:00:00:00:11:01\na001-s02,S102,02:00:00:00:11:02\n";

/// Three namespaces on one bridge: `server` (10.77.0.1), `site` (10.77.0.9) and `client` (no address).
pub struct Lab {
    pub dir: tempfile::TempDir,
    name: String,
    /// Stopped before the namespaces go.
    services: Vec<(String, Service)>,
}

pub fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn ip(words: &str) -> Result<String, String> {
    run("ip", &words.split_whitespace().collect::<Vec<_>>())
}

impl Lab {
    /// Lays the wire, or tells what is missing.
    pub fn up(test: &str, programs: &[&str]) -> Option<Self> {
        for program in programs.iter().chain(&["ip"]) {
            need_program(test, program)?;
        }
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("bu-dhcp{}-{number}", std::process::id());
        let lab = Self { dir: tempfile::tempdir().unwrap(), name, services: Vec::new() };
        if let Err(why) = ip(&format!("netns add {}", lab.space("wire"))) {
            skip(test, &format!("the right to make network namespaces ({})", why.trim()));
            return None;
        }
        let wire = lab.space("wire");
        let must = |words: String| drop(ip(&words).unwrap_or_else(|why| panic!("ip {words}: {why}")));
        must(format!("-n {wire} link add br0 type bridge mcast_snooping 0"));
        must(format!("-n {wire} link set br0 up"));
        for (space, address) in [("server", Some("10.77.0.1")), ("site", Some("10.77.0.9")), ("client", None)] {
            let (inside, port) = (lab.space(space), format!("to-{space}"));
            must(format!("netns add {inside}"));
            must(format!("-n {inside} link set lo up"));
            must(format!("-n {wire} link add {port} type veth peer name eth0 netns {inside}"));
            must(format!("-n {wire} link set {port} master br0 up"));
            if let Some(address) = address {
                must(format!("-n {inside} address add {address}/16 dev eth0"));
            } else {
                must(format!("-n {inside} link set eth0 address {MAC}"));
            }
            must(format!("-n {inside} link set eth0 up"));
        }
        std::fs::create_dir_all(lab.dir.path().join("inventory/facts")).unwrap();
        std::fs::write(lab.dir.path().join("inventory/site.yaml"), SITE).unwrap();
        std::fs::write(lab.dir.path().join("inventory/facts/all.csv"), FACTS).unwrap();
        Some(lab)
    }

    pub fn space(&self, which: &str) -> String {
        format!("{}-{which}", self.name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// A command in a namespace; `ip netns exec` becomes the program itself.
    pub fn inside(&self, which: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(which)]).arg(program).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Starts something that stays; its output goes to `NAME.out` and `NAME.err`.
    pub fn start(&mut self, which: &str, name: &str, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) {
        let mut command = self.inside(which, program);
        command.args(words);
        command.stdout(std::fs::File::create(self.path(&format!("{name}.out"))).unwrap());
        command.stderr(std::fs::File::create(self.path(&format!("{name}.err"))).unwrap());
        self.services.push((name.to_owned(), Service::start(&mut command).unwrap()));
    }

    /// Ends what was started under this name, by its process id.
    pub fn stop(&mut self, name: &str) {
        self.services.retain(|(own, _)| own != name);
    }

    /// Ends everything that was started, each by its process id; the wire stays.
    pub fn halt(&mut self) {
        self.services.clear();
    }

    /// Starts `bringup serve` and waits until it serves.
    pub fn serve(&mut self, words: &[&str]) {
        let all = [&["-i", "inventory", "--state", "state/journal.db", "serve", "--listen", "10.77.0.1:8088"], words].concat();
        self.start("server", "serve", env!("CARGO_BIN_EXE_bringup"), &all);
        wait_until("serve serves", PATIENCE, || self.text("serve.err").contains("serving on http://"));
    }

    /// Sets the MAC of the client.
    pub fn become_mac(&self, mac: &str) {
        let client = self.space("client");
        for words in [
            format!("-n {client} link set eth0 down"),
            format!("-n {client} link set eth0 address {mac}"),
            format!("-n {client} link set eth0 up"),
        ] {
            ip(&words).unwrap();
        }
    }

    /// Writes the script that busybox and dhclient call, which notes what they learnt in `NAME`.
    pub fn notes(&self, name: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let script = self.path(&format!("{name}.sh"));
        let text = format!("#!/bin/sh\n(echo \"event=$1$reason\"; env) >>{}\n", self.path(name).display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    /// Starts dnsmasq as the site's own DHCP server.
    pub fn dnsmasq(&mut self) {
        let config = format!(
            "port=0\ninterface=eth0\nbind-interfaces\nno-ping\ndhcp-authoritative\ndhcp-range=10.77.0.0,static,255.255.0.0,2h\n\
             dhcp-host={MAC},{ADDRESS}\ndhcp-leasefile={}\nlog-dhcp\nlog-facility=-\npid-file=\nuser=root\n",
            self.path("leases").display()
        );
        std::fs::write(self.path("dnsmasq.conf"), config).unwrap();
        let program = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"].into_iter().find(|p| std::path::Path::new(p).exists());
        self.start("site", "dnsmasq", program.unwrap_or("dnsmasq"), &["--keep-in-foreground", "--conf-file=dnsmasq.conf"]);
        wait_until("dnsmasq serves", PATIENCE, || self.text("dnsmasq.err").contains("DHCP, static leases only"));
    }

    /// Puts a bridge with the tap `tap0` on the client's wire, for a machine of QEMU; the client itself keeps quiet.
    pub fn plug(&self) {
        let client = self.space("client");
        for words in [
            "link set eth0 down",
            "link set eth0 address 02:99:99:99:99:99",
            "link add br1 type bridge mcast_snooping 0",
            "tuntap add dev tap0 mode tap",
            "link set eth0 master br1",
            "link set tap0 master br1",
            "link set br1 up",
            "link set tap0 up",
            "link set eth0 up",
        ] {
            ip(&format!("-n {client} {words}")).unwrap();
        }
    }

    /// Runs busybox's DHCP client once; true when it got an address.
    pub fn udhcpc(&self, script: &Path, words: &[&str]) -> bool {
        let mut command = self.inside("client", "busybox");
        command.args(["udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "3", "-T", "2", "-s"]).arg(script).args(words);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(self.path("udhcpc.err")).unwrap());
        command.status().unwrap().success()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.halt();
        for which in ["server", "site", "client", "wire"] {
            drop(Command::new("ip").args(["netns", "del", &self.space(which)]).stderr(Stdio::null()).status());
        }
    }
}

/// Every one of the lines is among the notes.
#[track_caller]
pub fn has(notes: &str, want: &[&str]) {
    for line in want {
        assert!(notes.lines().any(|l| l == *line), "{line} is missing in:\n{notes}");
    }
}
