//! One boot server with a store, an image and curl; gone when the test ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use bringup::boot::{
    BootLog, Door, GrantSpec, GrantStatus, Grants, Issued, Loaders, Noted, Seen, ServeOptions, Shown, Storm, new_grant_id,
    now_ms, serve_https, serve_with,
};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::support::need_program;

pub const MAC: &str = "52:54:00:aa:00:01";

pub struct Site {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    pub grants: Grants,
    pub runtime: tokio::runtime::Runtime,
    pub seen: std::sync::Mutex<tokio::sync::broadcast::Receiver<Seen>>,
    stop: CancellationToken,
    shown: Shown,
    options: ServeOptions,
}

/// Bytes that stand for GRUB: what is written on a medium is looked at, not started.
pub fn grub() -> Vec<u8> {
    let mut bytes = b"MZ".to_vec();
    bytes.extend((0..3_000_001_u32).map(|n| (n % 253) as u8));
    bytes
}

/// What curl saw.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()))
    }
}

impl Site {
    pub fn start(test: &str) -> Option<Self> {
        Self::start_in(test, Storm::default())
    }

    pub fn start_in(test: &str, storm: Storm) -> Option<Self> {
        need_program(test, "curl")?;
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let grants = Grants::open(&dir.path().join("grants.db")).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.90.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (log, stop) = (BootLog::default(), CancellationToken::new());
        let loaders = dir.path().join("loaders");
        std::fs::create_dir(&loaders).unwrap();
        std::fs::write(loaders.join("ipxe.efi"), b"MZ loader").unwrap();
        std::fs::write(loaders.join("gcdx64.efi"), grub()).unwrap();
        crate::support::pin_loaders(&loaders);
        let loaders = Loaders::open(&loaders, None).unwrap();
        let seen = std::sync::Mutex::new(log.watch());
        let shown = Shown::own(&dir.path().join("boot-server.pem")).unwrap();
        let tls = runtime.block_on(tokio::net::TcpListener::bind("127.90.0.1:0")).unwrap();
        let door = Some(Door { address: None, port: tls.local_addr().unwrap().port(), sha256: shown.sha256().clone() });
        let options = ServeOptions { loaders, log, door, storm };
        runtime.spawn(serve_with(listener, grants.clone(), options.clone(), stop.clone()));
        runtime.spawn(serve_https(tls, shown.clone(), grants.clone(), options.clone(), stop.clone()));
        Some(Self { dir, address, grants, runtime, seen, stop, shown, options })
    }

    /// Where it serves over TLS.
    pub fn door(&self) -> &Door {
        self.options.door.as_ref().unwrap()
    }

    /// Starts another server of the same grants, which has no HTTPS.
    pub fn another_without_https(&self) -> SocketAddr {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.90.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { door: None, ..self.options.clone() };
        self.runtime.spawn(serve_with(listener, self.grants.clone(), options, self.stop.clone()));
        address
    }

    pub fn file(&self, name: &str, content: &[u8]) -> Artifact {
        let path: PathBuf = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        Artifact { path, sha256: Digest::from_bytes(&Sha256::digest(content).into()) }
    }

    pub fn spec(&self) -> GrantSpec {
        GrantSpec {
            id: new_grant_id(),
            node: NodeId::new("a001-s01").unwrap(),
            plan: PlanId::new("plan-0123").unwrap(),
            run: RunId::new("run-1").unwrap(),
            mac: Some(MAC.parse().unwrap()),
            uuid: Some("4c4c4544-0042-3510-8052-b4c04f4d3332".into()),
            serial: Some("SN-1".into()),
            image: Digest::from_bytes(&[9; 32]),
            kernel: self.file("kernel", &kernel()),
            initrd: vec![self.file("initrd", b"initrd zero"), self.file("more", b"initrd one")],
            root: Some(self.file("root", b"squashfs")),
            cmdline: vec!["console=ttyS0".into(), "fetch={root-url}".into()],
            expires_at_ms: now_ms() + 600_000,
        }
    }

    pub fn issue(&self, spec: GrantSpec) -> Issued {
        self.runtime.block_on(self.grants.issue(spec)).unwrap()
    }

    pub fn issue_medium(&self, spec: GrantSpec) -> Issued {
        self.runtime.block_on(self.grants.issue_medium(spec, None)).unwrap()
    }

    pub fn status(&self, id: &str) -> GrantStatus {
        self.runtime.block_on(self.grants.status(id)).unwrap().unwrap()
    }

    pub fn events(&self) -> Vec<Noted> {
        self.runtime.block_on(self.grants.events_since(0)).unwrap()
    }

    /// curl over TLS with the server's key pinned.
    pub fn https(&self, path: &str, more: &[&str]) -> Got {
        let pin = ["-k", "--pinnedpubkey", self.shown.key_pin()];
        self.fetch(&format!("https://{}:{}{path}", self.address.ip(), self.door().port), &[&pin, more].concat())
    }

    /// curl with a path and more arguments; the path is sent as it is written.
    pub fn curl(&self, path: &str, more: &[&str]) -> Got {
        self.fetch(&format!("http://{}{path}", self.address), more)
    }

    fn fetch(&self, url: &str, more: &[&str]) -> Got {
        let (head, body) = (self.dir.path().join("curl-head"), self.dir.path().join("curl-body"));
        drop((std::fs::remove_file(&head), std::fs::remove_file(&body)));
        let done = Command::new("curl")
            .args(["-sS", "--path-as-is", "--max-time", "60", "-D"])
            .arg(&head)
            .arg("-o")
            .arg(&body)
            .args(more)
            .arg(url)
            .output()
            .unwrap();
        let head = std::fs::read_to_string(head).unwrap_or_default();
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("curl {url}: {}", String::from_utf8_lossy(&done.stderr)));
        Got { status, head, body: std::fs::read(body).unwrap_or_default() }
    }

    pub fn get(&self, path: &str) -> Got {
        self.curl(path, &[])
    }

    /// Fetches the script and returns the path under which its files lie.
    pub fn files_of(&self, issued: &Issued) -> String {
        let got = self.get(&issued.script_path());
        assert_eq!(got.status, 200, "{}", got.text());
        base(got.text())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// `/g/<token>` as a script names it.
pub fn base(script: &str) -> String {
    let line = script.lines().find(|l| l.starts_with("kernel ")).unwrap_or_else(|| panic!("no kernel in {script}"));
    line.split_whitespace().find_map(|w| w.strip_suffix("/kernel")).unwrap().to_owned()
}

/// A kernel of a few blocks and a bit.
pub fn kernel() -> Vec<u8> {
    (0..700_001_u32).map(|i| (i % 251) as u8).collect()
}
