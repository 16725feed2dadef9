//! The bring-up ramdisk fetches the host key of its boot from `bringup serve`, inside QEMU, with OpenSSH as the one who logs in; and between them,
//! whoever likes: a wire that is written down, a server with another certificate, one that is swapped between two connections.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::boot::{BootKey, GrantSpec, Grants, Identity, Stage, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use sha2::{Digest as _, Sha256};

use super::ramdisk::{Image, image, key, text};
use crate::support::{Service, wait_until};

/// A boot takes 8 s on two quiet cores.
const PATIENCE: Duration = Duration::from_secs(300);
const SERIAL: &str = "BRTEST 0077/a";
const UUID: &str = "4c4c4544-0077-4000-8000-000000000077";
const MAC: &str = "52:54:77:00:00:77";
const NODE: &str = "a001-s01";

/// A port that is free now, and hardly taken before somebody takes it.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A grant of the ramdisk, `bringup serve` with it, and, when it is on, the machine.
struct Boot {
    dir: tempfile::TempDir,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
    id: String,
    host_key: String,
    http: u16,
    https: u16,
    ssh: u16,
    services: Vec<Service>,
}

impl Boot {
    fn new(image: &Image, mine: &PrivateKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let grants = Grants::open(&dir.path().join("grants.db")).unwrap();
        let file = |name: &str| {
            let path = image.out.join("bringup").join(name);
            let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
            Artifact { path, sha256 }
        };
        let spec = GrantSpec {
            id: new_grant_id(),
            node: NodeId::new(NODE).unwrap(),
            plan: PlanId::new("plan-identity").unwrap(),
            run: RunId::new("run-identity").unwrap(),
            mac: Some(MAC.parse().unwrap()),
            uuid: Some(UUID.into()),
            serial: Some(SERIAL.into()),
            image: Digest::from_bytes(&[7; 32]),
            kernel: file("vmlinuz"),
            initrd: vec![file("initrd.img")],
            root: None,
            cmdline: vec!["console=ttyS0".into()],
            expires_at_ms: now_ms() + 3_600_000,
        };
        // QEMU's own network stack comes from here.
        let identity = Identity::fresh(&[mine.public_key().to_openssh().unwrap()], Some("127.0.0.1".parse().unwrap())).unwrap();
        let (id, host_key) = (spec.id.clone(), identity.note().host_key.clone());
        runtime.block_on(grants.issue_with(spec, identity)).unwrap();
        let mut boot = Self { dir, grants, runtime, id, host_key, http: port(), https: port(), ssh: port(), services: vec![] };
        let mut serve = Command::new(env!("CARGO_BIN_EXE_bringup"));
        serve.args(["-v", "--state", &text(&boot.at("journal.db")), "serve", "--listen", &format!("127.0.0.1:{}", boot.http)]);
        serve.args(["--https", &boot.https.to_string()]).stdin(Stdio::null());
        serve.stdout(boot.file("serve.out")).stderr(boot.file("serve.err"));
        boot.services.push(Service::start(&mut serve).unwrap());
        wait_until("serve serves", PATIENCE, || boot.text("serve.err").contains("serving on http://"));
        boot
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str) -> std::fs::File {
        std::fs::File::create(self.at(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.at(name)).unwrap_or_default()).into_owned()
    }

    fn curl(&self, words: &[&str]) -> String {
        let out = Command::new("curl").args(["-sS", "--max-time", "60"]).args(words).output().unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    }

    /// What a loader does before the system starts; gives the kernel's arguments.
    fn load(&self) -> String {
        let at = format!("http://127.0.0.1:{}", self.http);
        // The machine knows this host as 10.0.2.2.
        let host = format!("Host: 10.0.2.2:{}", self.http);
        let script = self.curl(&["-H", &host, &format!("{at}/boot.ipxe?mac={}", MAC.replace(':', "-"))]);
        let kernel = script.lines().find(|l| l.starts_with("kernel ")).unwrap_or_else(|| panic!("{script}"));
        let arguments = kernel.split(" initrd=initrd0 ").nth(1).unwrap().trim_end_matches(" || goto failed").to_owned();
        let base = kernel.split_whitespace().find_map(|w| w.strip_suffix("/kernel")).unwrap();
        for name in ["kernel", "initrd/0"] {
            self.curl(&["-r", "0-0", &format!("{at}{base}/{name}")]);
        }
        arguments
    }

    fn power_on(&mut self, image: &Image, arguments: &str, serial: &str) {
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args("-accel tcg -machine q35 -cpu max -m 512 -smp 2 -display none -vga none -no-reboot -monitor none".split(' '));
        command.args([
            "-kernel",
            &text(&image.out.join("bringup/vmlinuz")),
            "-initrd",
            &text(&image.out.join("bringup/initrd.img")),
        ]);
        command.args(["-append", arguments, "-serial", &format!("file:{}", self.at("console").display())]);
        command.args(["-smbios", &format!("type=1,manufacturer=Laboratory,product=Node,serial={serial},uuid={UUID}")]);
        command.args(["-netdev", &format!("user,id=site,hostfwd=tcp:127.0.0.1:{}-:22", self.ssh)]);
        command.args(["-device", &format!("virtio-net-pci,netdev=site,mac={MAC}"), "-device", "virtio-rng-pci"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.services.push(Service::start(&mut command).unwrap());
    }

    fn until(&mut self, words: &str) -> String {
        wait_until(words, PATIENCE, || {
            let console = self.text("console");
            assert!(self.services.iter_mut().all(Service::alive), "{console}\n{}", self.text("serve.err"));
            // A line that is not ended yet may lack its number.
            console.split_inclusive('\n').any(|l| l.contains(words) && l.ends_with('\n'))
        });
        let console = self.text("console");
        console.lines().find(|l| l.contains(words)).unwrap().to_owned()
    }

    /// By OpenSSH, which takes the host key with this fingerprint and no other.
    fn ssh(&self, fingerprint: &str, mine: &PrivateKey, command: &str) -> String {
        let script = "set -e; cd \"$1\"; ssh-keyscan -T 60 -t ed25519 -p \"$2\" 127.0.0.1 >shown 2>/dev/null
            [ \"$(ssh-keygen -lf shown | cut -d' ' -f2)\" = \"$3\" ] || { echo another host key: $(ssh-keygen -lf shown); exit 1; }
            exec ssh -F none -p \"$2\" -i key -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=60 \
              -o StrictHostKeyChecking=yes -o UserKnownHostsFile=shown root@127.0.0.1 \"$4\"";
        drop(std::fs::remove_file(self.at("key")));
        std::fs::write(self.at("key"), mine.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(self.at("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut ssh = Command::new("sh");
        ssh.args(["-c", script, "sh", &text(self.dir.path()), &self.ssh.to_string(), fingerprint, command]).stdin(Stdio::null());
        let out = ssh.output().unwrap();
        assert!(out.status.success(), "{out:?}\n{}", self.text("console"));
        String::from_utf8(out.stdout).unwrap()
    }

    fn boot_key(&self) -> BootKey {
        self.runtime.block_on(self.grants.boot_key(&NodeId::new(NODE).unwrap())).unwrap()
    }

    fn must_be_shut(&mut self) {
        // QEMU takes the connection, and the machine behind it refuses: nothing is ever said.
        let mut knock = TcpStream::connect(("127.0.0.1", self.ssh)).unwrap();
        knock.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut banner = Vec::new();
        let ended = knock.read_to_end(&mut banner);
        assert!(banner.is_empty(), "{banner:?} {ended:?}");
        assert!(!self.text("console").contains("stage ssh port"), "{}", self.text("console"));
        assert_eq!(self.boot_key(), BootKey::Awaited, "nobody was given anything");
    }
}

/// What must not be found: the seed as it is, each line of the key as text, and both forms as an identity is sent.
pub fn secrets(key: &PrivateKey) -> Vec<Vec<u8>> {
    use base64::engine::{Engine as _, general_purpose::STANDARD};
    let seed = key.key_data().ed25519().unwrap().private.to_bytes().to_vec();
    let text = key.to_openssh(LineEnding::LF).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('-') && l.len() > 40).skip(1);
    let public = key.public_key().key_data().ed25519().unwrap().0;
    let dropbear = [&b"\0\0\0\x0bssh-ed25519\0\0\0\x40"[..], &seed, &public].concat();
    let sent = [STANDARD.encode(text.as_bytes()), STANDARD.encode(dropbear)].map(String::into_bytes);
    std::iter::once(seed).chain(lines.map(|l| l.as_bytes().to_vec())).chain(sent).collect()
}

/// None of the files holds it.
pub fn must_not_hold(files: &[std::path::PathBuf], secrets: &[Vec<u8>]) {
    for file in files {
        let bytes = std::fs::read(file).unwrap_or_default();
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{} holds the host key", file.display());
        }
    }
}

/// A wire: passes each connection on to the port that is its turn (the last one stays), and keeps every byte of both ways.
fn wire(to: Vec<u16>) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (n, near) in listener.incoming().enumerate() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", to[n.min(to.len() - 1)]))) else { continue };
            for (mut from, mut into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let mut block = [0; 4096];
                    while let Ok(n @ 1..) = from.read(&mut block) {
                        kept.lock().unwrap().extend_from_slice(&block[..n]);
                        if into.write_all(&block[..n]).is_err() {
                            break;
                        }
                    }
                    drop(into.shutdown(std::net::Shutdown::Write));
                });
            }
        }
    });
    (at, seen)
}

#[test]
fn the_ramdisk_fetches_its_host_key_once_over_tls() {
    let Some(image) = image("peers::identity::the_ramdisk_fetches_its_host_key_once_over_tls") else { return };
    let mine = key(11);
    let mut boot = Boot::new(image, &mine);
    let (through, wire) = wire(vec![boot.https]);
    let arguments = boot.load();
    let url = arguments.split(' ').find_map(|w| w.strip_prefix("bringup.identity=")).unwrap().to_owned();
    assert!(url.starts_with(&format!("https://10.0.2.2:{}/g/", boot.https)), "{url}");
    let arguments = arguments.replace(&format!(":{}/g/", boot.https), &format!(":{through}/g/"));
    boot.power_on(image, &arguments, SERIAL);
    boot.until("bringup: stage identity");
    let told = boot.until("bringup: stage ssh port=22");
    println!("ramdisk with an identity over HTTPS: {told}");
    assert_eq!(boot.boot_key(), BootKey::Given(boot.host_key.clone()));

    let host = boot.ssh(&boot.host_key, &mine, "cat /run/bringup/identity/ssh_host_ed25519_key");
    let host = PrivateKey::from_openssh(host).unwrap();
    assert_eq!(host.fingerprint(HashAlg::Sha256).to_string(), boot.host_key);
    let rest =
        boot.ssh(&boot.host_key, &mine, "cd /run/bringup/identity; ls; stat -c %a . ssh_host_ed25519_key; cat authorized_keys");
    let lets_in = mine.public_key().to_openssh().unwrap();
    let lets_in = lets_in.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert!(rest.contains(&lets_in) && rest.contains("700\n600\n") && !rest.contains("answer"), "{rest}");

    // Whoever read the command line on the wire comes too late, and is seen.
    let pin = boot.text("serve.err").split("--pinnedpubkey ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let replay = url.replace("10.0.2.2", "127.0.0.1");
    assert!(boot.curl(&["-k", "--pinnedpubkey", &pin, &replay]).contains("handed out already"));
    let plain = replay.replace(&format!("https://127.0.0.1:{}", boot.https), &format!("http://127.0.0.1:{}", boot.http));
    assert!(boot.curl(&[&plain]).contains("over HTTPS only"));
    let events = boot.runtime.block_on(boot.grants.events_since(0)).unwrap();
    let refused: Vec<&str> = events.iter().filter(|e| e.stage == Stage::Refused).map(|e| e.detail.as_str()).collect();
    assert_eq!(refused, ["the identity was handed out already", "the identity is handed out over HTTPS only"]);
    assert!(boot.text("serve.out").contains(&format!("{NODE} {} refused: the identity was handed out already", boot.id)));

    // It is in nobody's hands but the node's.
    std::fs::write(boot.at("wire"), &*wire.lock().unwrap()).unwrap();
    assert!(wire.lock().unwrap().len() > 2000, "the wire was listened to");
    let names = ["wire", "serve.out", "serve.err", "console", "grants.db", "grants.db-wal", "journal.db"];
    must_not_hold(&names.map(|n| boot.at(n)), &secrets(&host));
}

/// Somebody with another certificate, who answers in the server's place from the first connection on, and from the second on.
#[test]
fn an_impostor_gets_no_further_than_the_handshake() {
    let Some(image) = image("peers::identity::an_impostor_gets_no_further_than_the_handshake") else { return };
    let mine = key(12);
    for (turns, words) in [(0, "shows another certificate than the boot's"), (1, "gave no answer: ")] {
        let mut boot = Boot::new(image, &mine);
        let theirs = port();
        let make = "cd \"$1\" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
            -subj '/CN=bringup boot server' -keyout theirs.key -out theirs.pem 2>/dev/null && echo impostor >g";
        assert!(Command::new("sh").args(["-c", make, "sh", &text(boot.dir.path())]).status().unwrap().success());
        let mut impostor = Command::new("openssl");
        impostor.args([
            "s_server",
            "-accept",
            &format!("127.0.0.1:{theirs}"),
            "-key",
            "theirs.key",
            "-cert",
            "theirs.pem",
            "-www",
        ]);
        impostor
            .current_dir(boot.dir.path())
            .stdin(Stdio::null())
            .stdout(boot.file("theirs.out"))
            .stderr(boot.file("theirs.err"));
        boot.services.push(Service::start(&mut impostor).unwrap());
        wait_until("the impostor listens", PATIENCE, || TcpStream::connect(("127.0.0.1", theirs)).is_ok());
        let to = [vec![boot.https; turns], vec![theirs]].concat();
        let (through, seen) = wire(to);
        let arguments = boot.load().replace(&format!(":{}/g/", boot.https), &format!(":{through}/g/"));
        boot.power_on(image, &arguments, SERIAL);
        let told = boot.until("bringup: stage ssh refused: ");
        println!("{told}");
        assert!(told.contains(words), "{told}");
        boot.must_be_shut();
        let seen = seen.lock().unwrap();
        assert!(seen.len() > 500 && !seen.windows(5).any(|w| w == b"GET /"), "the request left the node");
        // `-www` prints what it was asked; it was asked nothing.
        assert!(!boot.text("theirs.out").contains("GET"), "{}", boot.text("theirs.out"));
        assert!(Path::new(&boot.at("theirs.pem")).exists());
    }
}

/// The cables of two nodes were swapped: the machine that asks is another one than the grant's, and says so itself.
#[test]
fn another_machine_is_not_given_the_identity() {
    let Some(image) = image("peers::identity::another_machine_is_not_given_the_identity") else { return };
    let mut boot = Boot::new(image, &key(13));
    let arguments = boot.load();
    boot.power_on(image, &arguments, "BRTEST 0078/a");
    let told = boot.until("bringup: stage ssh refused: ");
    assert!(told.contains("the boot server refused it: 403 another serial than the grant's"), "{told}");
    boot.must_be_shut();
    let events = boot.runtime.block_on(boot.grants.events_since(0)).unwrap();
    assert!(events.iter().any(|e| e.stage == Stage::Refused && e.detail == "another serial than the grant's"), "{events:?}");
}
