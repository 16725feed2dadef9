//! Many `ipmi_sim` processes on 127.1.x.y:623, and an inventory that names them. Stopped by process id when dropped.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nodes in a rack of the inventory; the farm is a whole number of racks.
pub const PER_RACK: usize = 20;
pub const PASSWORD: &str = "bench-pw";

/// Address of BMC `i` in the network `127.net`.
pub fn at(net: u8, i: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, net, (i / 250) as u8, (i % 250) as u8 + 1)
}

fn address(i: usize) -> String {
    at(1, i).to_string()
}

/// A program on the search path or where Debian puts tools of root.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).chain(["/usr/sbin".into()]).map(|dir| dir.join(name)).find(|file| file.is_file())
}

pub struct Farm {
    pub count: usize,
    dir: tempfile::TempDir,
    children: Vec<Child>,
}

impl Drop for Farm {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
        }
        for child in &mut self.children {
            drop(child.wait());
        }
    }
}

impl Farm {
    pub fn start(sim: &Path, count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut farm = Self { count, dir, children: Vec::new() };
        for i in 0..count {
            let at = farm.dir.path().join(format!("b{i}"));
            std::fs::create_dir_all(at.join("state")).unwrap();
            let lan = format!(
                "name \"b{i}\"\nset_working_mc 0x20\nstartlan 1\naddr {} 623\npriv_limit admin\n\
                 allowed_auths_user none md2 md5 straight\nallowed_auths_operator none md2 md5 straight\n\
                 allowed_auths_admin none md2 md5 straight\nguid a123456789abcdefa1234567{i:08x}\nendlan\n\
                 user 2 true \"admin\" \"{PASSWORD}\" admin 10 md2 md5 straight\n",
                address(i)
            );
            std::fs::write(at.join("lan.conf"), lan).unwrap();
            let emu = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";
            std::fs::write(at.join("sim.emu"), emu).unwrap();
            let mut command = Command::new(sim);
            command.args(["-n", "-c"]).arg(at.join("lan.conf")).arg("-f").arg(at.join("sim.emu")).arg("-s").arg(at.join("state"));
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            farm.children.push(child);
        }
        farm.wait_until_all_answer();
        farm
    }

    fn wait_until_all_answer(&self) {
        let ask = [6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 4, 0xb5];
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let until = Instant::now() + Duration::from_secs(300);
        for i in 0..self.count {
            loop {
                assert!(
                    Instant::now() < until,
                    "ipmi_sim {i} does not answer on {}:623 (is port 623 free, are we root?)",
                    address(i)
                );
                let _closed_yet = socket.send_to(&ask, (address(i), 623));
                if socket.recv_from(&mut [0; 64]).is_ok() {
                    break;
                }
            }
        }
    }

    /// Writes an inventory in which the BMCs have these addresses, and gives its directory.
    pub fn write_inventory(&self, number: usize, address: impl Fn(usize) -> String) -> PathBuf {
        let dir = self.dir.path().join(format!("inventory{number}"));
        std::fs::create_dir_all(dir.join("facts")).unwrap();
        let site = format!(
            "apiVersion: rack/v1\nsite: bench\n\
             defaults:\n  bmc: {{driver: ipmi, user: admin, password: \"env:BENCH_BMC_PASSWORD\", cipher_suite: 3}}\n  \
             boot: {{method: pxe, mode: uefi}}\n  ssh: {{user: root, key: \"file:/nonexistent\"}}\n\
             profiles:\n  n:\n    expect: {{accel: {{kind: nvidia, model: H100, count: 8}}}}\n    verify: v\n    pool: p\n    power: {{idle_w: 1, boot_w: 1}}\n\
             racks:\n  - {{range: \"r[001-{:03}]\", profile: n, slots: {PER_RACK}, feed: f1}}\n\
             naming:\n  node: \"{{rack}}-s{{slot:02}}\"\n  bmc_ip: \"cidr(127.1.0.0/16, n*100+slot)\"\n  \
             ip: \"cidr(10.0.0.0/16, n*100+slot)\"\n\
             facts: facts/*.csv\n",
            self.count / PER_RACK
        );
        std::fs::write(dir.join("site.yaml"), site).unwrap();
        let mut facts = String::from("node,bmc_address\n");
        for i in 0..self.count {
            facts.push_str(&format!("r{:03}-s{:02},{}:623\n", i / PER_RACK + 1, i % PER_RACK + 1, address(i)));
        }
        std::fs::write(dir.join("facts/nodes.csv"), facts).unwrap();
        dir
    }
}
