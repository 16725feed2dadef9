//! A real SSH server for one test, with its own keys, configuration and log; gone when the test ends.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bringup::shell::{FirstContact, PrivateKeyText, SshOptions, SshShell};

use crate::support::{Service, need_program, wait_until};

/// How long anything may take before a test gives up; the quiet time is under half a second.
pub const DEADLINE: Duration = Duration::from_secs(30);

static NEXT: AtomicU8 = AtomicU8::new(1);

pub struct Far {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    kind: Kind,
    service: Option<Service>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    OpenSsh,
    Dropbear,
}

fn keygen(kind: &str, path: &Path) {
    let done = Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "a comment", "-t", kind, "-f"]).arg(path).status().unwrap();
    assert!(done.success());
}

impl Far {
    /// OpenSSH with an Ed25519 and an RSA host key, or nothing after telling what is missing.
    pub fn openssh(test: &str) -> Option<Self> {
        need_program(test, "ssh-keygen")?;
        need_program(test, "sshd")?;
        let mut far = Self::prepare(Kind::OpenSsh);
        keygen("ed25519", &far.path("host_ed25519"));
        keygen("rsa", &far.path("host_rsa"));
        far.start();
        Some(far)
    }

    /// dropbear with an Ed25519 host key, as in the boot image.
    pub fn dropbear(test: &str) -> Option<Self> {
        need_program(test, "ssh-keygen")?;
        need_program(test, "dropbear")?;
        let convert = need_program(test, "dropbearconvert")?;
        need_program(test, "unshare")?;
        let mut far = Self::prepare(Kind::Dropbear);
        keygen("ed25519", &far.path("host_ed25519"));
        let done = Command::new(convert)
            .args(["openssh", "dropbear"])
            .args([far.path("host_ed25519"), far.path("host_dropbear")])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        far.start();
        Some(far)
    }

    fn prepare(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        keygen("ed25519", &dir.path().join("user"));
        keygen("ed25519", &dir.path().join("stranger"));
        let home = dir.path().join("home/.ssh");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::copy(dir.path().join("user.pub"), home.join("authorized_keys")).unwrap();
        for (path, mode) in [(dir.path().join("home"), 0o700), (home.clone(), 0o700), (home.join("authorized_keys"), 0o600)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        // Each server has an address of its own; 127.89/16 is used by no other room's tests.
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id().to_le_bytes();
        let probe = std::net::TcpListener::bind((std::net::Ipv4Addr::new(127, 89, process[0], n), 0)).unwrap();
        Self { dir, address: probe.local_addr().unwrap(), kind, service: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the server (again).
    pub fn start(&mut self) {
        self.start_with("");
    }

    /// The same with more lines of OpenSSH's configuration.
    pub fn start_with(&mut self, more: &str) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = match self.kind {
            Kind::OpenSsh => {
                // sshd's own empty directory; Debian's unit makes it.
                std::fs::create_dir_all("/run/sshd").unwrap();
                std::fs::write(
                    self.path("config"),
                    format!(
                        "ListenAddress {}\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
                         PermitRootLogin prohibit-password\nPasswordAuthentication no\nLogLevel VERBOSE\nUseDNS no\nMaxStartups 100\n\
                         SetEnv HOME={}\n{more}",
                        self.address,
                        self.path("host_ed25519").display(),
                        self.path("host_rsa").display(),
                        self.path("home/.ssh/authorized_keys").display(),
                        // Bash under sshd reads `~/.bashrc`, and what this machine's own says there (pyenv: "cannot rehash") is none of ours.
                        self.path("home").display(),
                    ),
                )
                .unwrap();
                let mut command = Command::new("/usr/sbin/sshd");
                command.args(["-D", "-e", "-f"]).arg(self.path("config"));
                command
            }
            Kind::Dropbear => {
                // dropbear reads authorized keys from the account's home and nowhere else, so it gets a home of its own: a private mount.
                let script = "mount --bind \"$1\" /root && shift && exec /usr/sbin/dropbear \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", script, "sh"]).arg(self.path("home"));
                command.args(["-F", "-E", "-s", "-p", &self.address.to_string(), "-r"]).arg(self.path("host_dropbear"));
                command.arg("-P").arg(self.path("pid"));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.service = Some(Service::start(&mut command).unwrap());
        wait_until("the SSH server listens", DEADLINE, || TcpStream::connect(self.address).is_ok());
    }

    /// Kills the server and every session that it serves, as a reboot does.
    pub fn crash(&mut self) {
        self.kill(|_| true);
    }

    /// Kills the server's own processes; what they ran lives on without them, as after a network failure.
    pub fn crash_sshd_only(&mut self) {
        self.kill(|name| name.starts_with("sshd"));
    }

    fn kill(&mut self, which: impl Fn(&str) -> bool) {
        let pid = self.service.as_ref().unwrap().pid();
        let mut doomed = vec![pid];
        let mut at = 0;
        while let Some(parent) = doomed.get(at).copied() {
            at += 1;
            let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            doomed.extend(text.split_whitespace().map(|p| p.parse::<u32>().unwrap()));
        }
        doomed.retain(|pid| which(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim()));
        for pid in doomed {
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status());
        }
        self.service = None;
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self, key: &str) -> String {
        let out = Command::new("ssh-keygen").arg("-lf").arg(self.path(&format!("{key}.pub"))).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }

    pub fn options(&self, host_keys: &[&str]) -> SshOptions {
        SshOptions {
            address: self.address,
            user: "root".into(),
            key: PrivateKeyText::new(std::fs::read_to_string(self.path("user")).unwrap()),
            host_keys: host_keys.iter().map(|k| self.fingerprint(k)).collect::<BTreeSet<_>>(),
            first_contact: FirstContact::Refuse,
        }
    }

    /// A shell that trusts the server's Ed25519 key.
    pub fn shell(&self) -> SshShell {
        SshShell::new(self.options(&["host_ed25519"]))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if self.service.is_some() {
            self.crash();
        }
    }
}

/// Each test has a runtime of its own; its connections die with it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}
