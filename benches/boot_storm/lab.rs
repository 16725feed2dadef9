//! Two network namespaces on one wire, a site of 1,250 nodes in a folder, and the servers that are measured, each a process of its own. Needs
//! root; all of it is gone when the bench ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const NODES: usize = 1250;
pub const SERVER: &str = "10.78.0.1";
/// Where it speaks HTTP.
pub const AT: &str = "10.78.0.1:8088";
/// The relay of all racks; the nodes' own addresses are the client's too.
pub const RELAY: &str = "10.78.0.2";
const INSIDE: &str = "BRINGUP_BENCH_SERVER_SPACE";

/// Runs this bench in the client's namespace: in the first process it never returns.
pub fn enter() -> String {
    if let Ok(space) = std::env::var(INSIDE) {
        return space;
    }
    let (client, server) = (format!("bu-load{}", std::process::id()), format!("bu-serve{}", std::process::id()));
    let laid = [
        format!("netns add {client}"),
        format!("netns add {server}"),
        format!("-n {client} link set lo up"),
        format!("-n {server} link set lo up"),
        format!("-n {client} link add eth0 type veth peer name eth0 netns {server}"),
        format!("-n {client} address add {RELAY}/16 dev eth0"),
        format!("-n {server} address add {SERVER}/16 dev eth0"),
        format!("-n {client} link set eth0 up"),
        format!("-n {server} link set eth0 up"),
        // All addresses of the nodes are the client's, without 1,250 lines of `ip address`.
        format!("-n {client} route add local 10.78.16.0/20 dev lo"),
        format!("-n {server} route add 10.78.16.0/20 via {RELAY}"),
    ];
    let mut code = 1;
    match laid.iter().try_for_each(|words| ip(words)) {
        Err(why) => println!("SKIPPED: network namespaces cannot be made ({why}); root is needed"),
        Ok(()) => {
            let mut again = Command::new("ip");
            again.args(["netns", "exec", &client]).arg(std::env::current_exe().unwrap()).env(INSIDE, &server);
            code = again.status().unwrap().code().unwrap_or(1);
        }
    }
    for space in [client, server] {
        drop(ip(&format!("netns del {space}")));
    }
    std::process::exit(code)
}

fn ip(words: &str) -> Result<(), String> {
    let done = Command::new("ip").args(words.split_whitespace()).output().map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

/// Name, MAC and address of node `n`, from 0.
pub fn node(n: usize) -> (String, [u8; 6], [u8; 4]) {
    let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
    let [third, fourth] = u16::try_from(4097 + n).unwrap().to_be_bytes();
    (format!("r{:03}-s{:02}", n / 8 + 1, n % 8 + 1), [2, 0x78, 0, 0, high, low], [10, 78, third, fourth])
}

pub fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// Where rack cache `n` listens: beside the nodes.
pub fn cache(n: usize) -> String {
    format!("{RELAY}:{}", 8100 + n)
}

/// Writes the inventory.
pub fn inventory(dir: &Path) {
    let site = r#"apiVersion: rack/v1
site: storm
defaults:
  bmc: {driver: redfish, user: prov, password: "env:BMC_PASSWORD"}
  boot: {method: pxe, network: 10.78.0.0/16, router: 10.78.0.1, dns: [10.78.0.1], lease: 10m}
  ssh: {user: prov, key: "file:keys/prov"}
profiles:
  gpu:
    expect: {vendor: Supermicro, model: SYS-821GE-TNHR, accel: {kind: nvidia, model: H100, count: 8}}
    stack: cuda-580
    verify: gpu-acceptance
    pool: train
racks: [{range: "r[001-157]", profile: gpu, slots: 8}]
naming:
  bmc_ip: "cidr(10.60.0.0/16, (n-1)*8+slot)"
  ip: "cidr(10.78.0.0/16, 4096+(n-1)*8+slot)"
"#;
    let mut facts = String::from("node,serial,boot_mac\n");
    for n in 0..NODES {
        let (name, octets, _) = node(n);
        facts.push_str(&format!("{name},S{n},{}\n", mac(octets)));
    }
    std::fs::create_dir_all(dir.join("inventory/facts")).unwrap();
    std::fs::write(dir.join("inventory/site.yaml"), site).unwrap();
    std::fs::write(dir.join("inventory/facts/all.csv"), facts).unwrap();
}

/// Pins whatever loaders are in a folder: these are none of Debian's.
pub fn pin(folder: &Path) {
    let mut found = bringup::boot::look_at_loaders(folder, None).unwrap();
    found.retain(|loader| loader.artifact.path.starts_with(folder));
    std::fs::write(folder.join("loaders.lock"), bringup::boot::write_loaders_lock(&found)).unwrap();
}

/// A program in the server's namespace; `ip netns exec` becomes the program itself.
pub fn at_server(space: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space]).arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A server, stopped by its process id.
pub struct Server {
    pub name: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// `bringup serve`, when it serves.
    pub fn ours(space: &str, dir: &Path, loaders: &Path, words: &[&str]) -> Self {
        let mut command = at_server(space, env!("CARGO_BIN_EXE_bringup"));
        command.arg("-i").arg(dir.join("inventory")).arg("--state").arg(dir.join("state/journal.db"));
        command.args(["serve", "--listen", "10.78.0.1:8088", "--dhcp", "eth0", "--no-ra", "--loaders"]).arg(loaders).args(words);
        Self::of("bringup", command)
    }

    /// A rack cache of it, in the clients' namespace.
    pub fn cache(dir: &Path, n: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.arg("--state").arg(dir.join(format!("rack{n}/journal.db"))).stdin(Stdio::null()).stdout(Stdio::null());
        command.args(["serve", "--listen", &cache(n), "--cache", &format!("http://{AT}")]);
        Self::of(&format!("cache {n}"), command)
    }

    fn of(name: &str, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut all) = (String::new(), String::new());
        while !line.starts_with("serving on http://") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "serve did not start: {all}");
            all.push_str(&line);
        }
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { name: name.into(), child }
    }

    /// Another server; `ready` says when it serves.
    pub fn peer(name: &str, command: &mut Command, ready: impl Fn() -> bool) -> Option<Self> {
        let Ok(child) = command.spawn() else {
            println!("SKIPPED {name}: it is not here");
            return None;
        };
        let mut server = Self { name: name.into(), child };
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            if server.child.try_wait().unwrap().is_some() {
                break;
            }
            if ready() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("SKIPPED {name}: it does not serve");
        None
    }

    /// Processor time of all its threads.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // utime and stime, fields 14 and 15 (proc(5)), in ticks of 10 ms; counted after the closing bracket of the name.
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * fields.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("");
        line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

/// TCP segments that have been sent again in the network namespace of this process (`RetransSegs`, RFC 4022; proc_pid_net(5)).
pub fn segments_again(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/snmp")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: ")).map(|line| line.split(' '));
    let (mut names, mut values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.position(|name| name == "RetransSegs").unwrap();
    values.nth(at).unwrap().parse().unwrap()
}

/// A program, also where root's search path does not look.
pub fn program(name: &str) -> PathBuf {
    let all = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&all).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.find(|place| place.join(name).is_file()).map_or_else(|| name.into(), |place| place.join(name))
}
