//! A diskless boot that must not come to be: the machine says why on its console, and is never half there. Each machine is QEMU's with the
//! bring-up ramdisk; its root comes from a few lines of HTTP here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::image::identity;
use sha2::{Digest as _, Sha256};

use super::ramdisk::{Image, image, key, said, text};
use crate::support::{Service, need_program, wait_until};

/// A refusal takes 10 s on two quiet cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// Serves one file to whoever asks, and breaks off the first answer after a third of it. Ends with the test's process.
fn serve(bytes: Vec<u8>, said_length: usize, status: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A machine that is gone is nobody's loss.
            drop(answer(stream, &bytes, said_length, status, &notes));
        }
    });
    (port, asked)
}

fn answer(mut stream: TcpStream, bytes: &[u8], length: usize, status: &str, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?.take(8192)).lines() {
        let line = line?;
        if line.to_ascii_lowercase().starts_with("range:") {
            range = line.clone();
        }
        if line.is_empty() {
            break;
        }
    }
    let first = asked.lock().unwrap().is_empty();
    asked.lock().unwrap().push(range.clone());
    let from = range.split(['=', '-']).nth(1).and_then(|n| n.trim().parse::<usize>().ok());
    let head = match from {
        Some(from) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}\r\nContent-Length: {}",
            length - 1,
            length - from
        ),
        None => format!("{status}\r\nContent-Length: {length}"),
    };
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    let rest = &bytes[from.unwrap_or(0)..];
    stream.write_all(if first { &rest[..rest.len() / 3] } else { rest })
}

fn sha256(bytes: &[u8]) -> String {
    bringup::model::Digest::from_bytes(&Sha256::digest(bytes).into()).to_string()
}

struct Machine {
    dir: tempfile::TempDir,
    qemu: Service,
    what: &'static str,
}

impl Machine {
    fn boot(image: &Image, what: &'static str, with_keys: bool, port: u16, sha256: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut initrd = std::fs::read(image.out.join("bringup/initrd.img")).unwrap();
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        if with_keys {
            initrd.extend_from_slice(&identity(&key(11), &[key(12).public_key().clone()]).unwrap());
        }
        std::fs::write(dir.path().join("initrd"), initrd).unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args("-accel tcg -machine q35 -cpu max -m 512 -smp 1 -display none -vga none -no-reboot -monitor none".split(' '));
        command.args(["-kernel", &text(&image.out.join("bringup/vmlinuz")), "-initrd", &text(&dir.path().join("initrd"))]);
        let root = format!("bringup.root=http://10.0.2.2:{port}/root bringup.root.sha256={sha256}");
        command.args(["-append", &format!("console=ttyS0 quiet {root}")]);
        command.args(["-serial", &format!("file:{}", dir.path().join("console").display())]);
        command.args(["-netdev", "user,id=site", "-device", "virtio-net-pci,netdev=site"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self { qemu: Service::start(&mut command).unwrap(), dir, what }
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("console")).unwrap_or_default()).into_owned()
    }

    fn says(&mut self, words: &str) {
        let what = self.what;
        wait_until(&format!("{what}: {words}"), PATIENCE, || {
            let console = self.console();
            assert!(self.qemu.alive(), "{what}: QEMU ended:\n{console}");
            let refused = console.lines().any(|l| l.contains("root refused: ") && l.contains(" uptime="));
            assert!(!refused || console.contains(words), "{what}: not {words}:\n{console}");
            console.contains(words)
        });
        let console = self.console();
        assert!(!console.contains("stage ssh") && !console.contains("root ready"), "{what} stays dark:\n{console}");
    }
}

#[test]
fn a_root_that_is_not_the_one_of_the_boot_is_refused() {
    let test = "a_root_that_is_not_the_one_of_the_boot_is_refused";
    let Some(image) = image(test) else { return };
    if need_program(test, "mksquashfs").is_none() {
        return;
    }
    // A file system, but of another kernel's modules.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("tree/lib/modules/9.9.9-other")).unwrap();
    let (tree, file) = (folder.path().join("tree"), folder.path().join("root.squashfs"));
    let out =
        Command::new("mksquashfs").arg(&tree).arg(&file).args(["-quiet", "-no-progress", "-comp", "zstd"]).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let other = std::fs::read(&file).unwrap();
    let wrong = vec![7; 3 << 20];

    let (port, asked) = serve(wrong.clone(), wrong.len(), "200 OK");
    let want = "ab".repeat(32);
    let mut changed = Machine::boot(image, "another digest", true, port, &want);
    let (port, _) = serve(vec![0; 4096], 5 << 30, "200 OK");
    let mut large = Machine::boot(image, "short memory", true, port, &want);
    changed.says("bringup: stage root broken off at 1048576 of 3145728 bytes, goes on");
    changed.says(&format!("bringup: stage root refused: SHA-256 is {}, wanted {want}: http://10.0.2.2:", sha256(&wrong)));
    assert_eq!(*asked.lock().unwrap(), ["", "Range: bytes=1048576-"], "it goes on where it was broken off");
    large.says("bringup: stage root refused: memory is short: the root has 5120 MiB, ");
    drop((changed, large));

    let (port, _) = serve(Vec::new(), 0, "404 Not Found");
    let mut gone = Machine::boot(image, "no such file", true, port, &want);
    let (port, _) = serve(other.clone(), other.len(), "200 OK");
    let mut modules = Machine::boot(image, "another kernel", true, port, &sha256(&other));
    gone.says("bringup: stage root refused: wget: server returned error: HTTP/1.1 404 Not Found");
    modules.says("-amd64 and the root has modules of 9.9.9-other");
    drop((gone, modules));

    // A root that would do, in a boot that brings nobody's keys.
    let lock = std::fs::read_to_string(image.definition.with_extension("lock")).unwrap();
    let release = lock.split("package: \"linux-image-").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    std::fs::create_dir_all(tree.join("lib/modules").join(release)).unwrap();
    std::fs::create_dir_all(tree.join("sbin")).unwrap();
    std::fs::copy("/bin/sh", tree.join("sbin/init")).unwrap();
    let out = Command::new("mksquashfs").arg(&tree).arg(&file).args(["-quiet", "-no-progress", "-noappend"]).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let whole = std::fs::read(&file).unwrap();
    let (port, _) = serve(whole.clone(), whole.len(), "200 OK");
    let mut keyless = Machine::boot(image, "no keys", false, port, &sha256(&whole));
    keyless.says("bringup: stage root refused: no SSH host key and authorized keys came with this boot");
}
