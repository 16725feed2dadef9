//! The servers, each listening on an address of its own, stopped by their process ids.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    pub name: &'static str,
    pub at: SocketAddr,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Ours first; a peer that is missing or does not start is told.
    pub fn all(folder: &Path) -> Vec<Self> {
        let mut all = vec![Self::ours(folder)];
        let tftpd = std::env::var_os("BRINGUP_TFTPD").map_or_else(|| "/usr/sbin/in.tftpd".into(), PathBuf::from);
        // Foreground, standalone; `--secure` is its way to serve a folder.
        let mut command = Command::new(&tftpd);
        command.args(["-L", "-4", "--user", "root", "--address", "127.92.0.2:6969", "--secure"]).arg(folder);
        all.extend(Self::peer("tftpd-hpa", "127.92.0.2:6969", &mut command));
        // dnsmasq knows no port but 69, so it needs root.
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--bind-interfaces"]);
        command.args(["--listen-address=127.92.0.3", "--enable-tftp", "--tftp-max=2000", "--log-facility=-", "--pid-file"]);
        command.arg(format!("--tftp-root={}", folder.display()));
        all.extend(Self::peer("dnsmasq", "127.92.0.3:69", &mut command));
        all
    }

    fn ours(folder: &Path) -> Self {
        let found = bringup::boot::look_at_loaders(folder, None).unwrap();
        std::fs::write(folder.join("loaders.lock"), bringup::boot::write_loaders_lock(&found)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["serve", "--listen", "127.92.0.1:0", "--tftp", "127.92.0.1:0", "--loaders"]).arg(folder);
        command.arg("--state").arg(folder.join("journal.db")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let at = line.strip_prefix("serving TFTP on ").and_then(|s| s.split(',').next()).expect(&line).parse().unwrap();
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { name: "bringup", at, child }
    }

    fn peer(name: &'static str, at: &str, command: &mut Command) -> Option<Self> {
        let at: SocketAddr = at.parse().unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            println!("SKIPPED {name}: {} is not here", command.get_program().display());
            return None;
        };
        let server = Self { name, at, child };
        let socket = UdpSocket::bind("127.92.9.9:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            // A name that is not there: an error is the quickest sign of life.
            drop(socket.send_to(b"\0\x01nothing\0octet\0", at));
            if socket.recv_from(&mut [0; 600]).is_ok() {
                return Some(server);
            }
        }
        println!("SKIPPED {name}: it does not answer (root is needed)");
        None
    }

    /// Of it and of its children that have ended.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // utime, stime, cutime and cstime, fields 14 to 17 (proc(5)), in ticks of 10 ms; counted after the closing bracket of the name.
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(4);
        Duration::from_millis(10 * fields.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>())
    }

    /// Of the process that listens; tftpd-hpa's children are not in it.
    pub fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("");
        line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}
