//! tftp-hpa, curl and busybox fetch the loaders; what they may not have they are refused, in words.

use std::path::Path;
use std::process::{Command, Output};

use super::rig::{EVEN, LONG, Rig, SHORT};
use crate::support::need_program;

pub fn curl(rig: &Rig, at: std::net::SocketAddrV4, name: &str, block: u32, into: &Path) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--path-as-is", "--max-time", "300", "--tftp-blksize", &block.to_string(), "--output"])
        .arg(into)
        .arg(format!("tftp://{at}/{name}"))
        .current_dir(rig.dir.path())
        .output()
        .unwrap()
}

pub fn hpa(at: std::net::SocketAddrV4, mode: &str, verb: &[&str]) -> Output {
    let mut command = Command::new("tftp");
    command.args(["-4", "-m", mode, &at.ip().to_string(), &at.port().to_string(), "-c"]).args(verb);
    command.output().unwrap()
}

pub fn busybox(at: std::net::SocketAddrV4, name: &str, block: Option<u32>, into: &Path) -> Output {
    let mut command = Command::new("busybox");
    command.args(["tftp", "-g", "-r", name, "-l"]).arg(into);
    if let Some(block) = block {
        command.args(["-b", &block.to_string()]);
    }
    command.args([at.ip().to_string(), at.port().to_string()]).output().unwrap()
}

/// The client ended well and holds exactly the file.
pub fn exact(rig: &Rig, what: &str, name: &str, into: &Path, out: &Output) {
    assert!(out.status.success(), "{what}: {out:?}\n{}", rig.lines());
    assert!(std::fs::read(into).unwrap() == rig.holds(name), "{what}: {name} is not what was served");
    std::fs::remove_file(into).unwrap();
}

#[test]
fn curl_gets_every_loader_at_every_block_size() {
    if need_program("boot::tftp::clients::curl_gets_every_loader_at_every_block_size", "curl").is_none() {
        return;
    }
    let rig = Rig::start("127.91.1.1");
    let into = rig.out("got");
    for name in [LONG, EVEN, SHORT] {
        // curl takes no block below 8. At 8 the long file's block numbers wrap; at 512 and 1468 the even one ends with an empty block.
        for block in [8, 512, 1024, 1468, 8192, 65_464] {
            if block == 8 && name == EVEN {
                continue;
            }
            exact(&rig, &format!("curl --tftp-blksize {block}"), name, &into, &curl(&rig, rig.at, name, block, &into));
        }
    }
    rig.told(&format!(" tftp {LONG} 600003 bytes in "), 6);
    rig.told(&format!(" tftp {EVEN} 751616 bytes in "), 5);
    rig.told(&format!(" tftp {SHORT} 300 bytes in "), 6);
    assert_eq!(rig.stop().last().map(String::as_str), Some("stopped"));
}

#[test]
fn tftp_hpa_gets_every_loader_and_is_told_why_not() {
    if need_program("boot::tftp::clients::tftp_hpa_gets_every_loader_and_is_told_why_not", "tftp").is_none() {
        return;
    }
    let rig = Rig::start("127.91.1.2");
    let into = rig.out("got");
    for name in [LONG, EVEN, SHORT] {
        exact(&rig, "tftp-hpa", name, &into, &hpa(rig.at, "binary", &["get", name, into.to_str().unwrap()]));
    }
    let said = |out: Output| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    for path in ["../../../../etc/passwd", "/etc/passwd", "loaders/ipxe.efi", "./ipxe.efi", "ipxe"] {
        let said = said(hpa(rig.at, "binary", &["get", path, into.to_str().unwrap()]));
        assert!(said.contains("no such file"), "{path}: {said}");
        rig.told(&format!(" tftp {path} refused: no such file"), 1);
    }
    let text = said(hpa(rig.at, "netascii", &["get", SHORT, into.to_str().unwrap()]));
    assert!(text.contains("only mode octet"), "{text}");
    std::fs::write(rig.out("mine"), b"mine").unwrap();
    let put = said(hpa(rig.at, "binary", &["put", rig.out("mine").to_str().unwrap(), SHORT]));
    assert!(put.contains("read only"), "{put}");
    rig.told(&format!(" tftp {SHORT} refused: this server is read only"), 1);
    assert!(!rig.lines().contains("root:"));
}

#[test]
fn busybox_gets_every_loader() {
    if need_program("boot::tftp::clients::busybox_gets_every_loader", "busybox").is_none() {
        return;
    }
    let rig = Rig::start("127.91.1.3");
    let into = rig.out("got");
    for name in [LONG, EVEN, SHORT] {
        for block in [None, Some(1468), Some(16_384)] {
            exact(&rig, &format!("busybox -b {block:?}"), name, &into, &busybox(rig.at, name, block, &into));
        }
    }
    let out = busybox(rig.at, "passwd", None, &into);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("no such file"), "{out:?}");
}

#[test]
fn what_it_cannot_begin_with_is_told() {
    let rig = Rig::start("127.91.1.4");
    let serve = |tftp: &str, loaders: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.args(["serve", "--listen", "127.91.0.1:0", "--tftp", tftp, "--loaders"]).arg(loaders);
        let out = command.arg("--state").arg(rig.out("other.db")).output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, said) = serve(&rig.at.to_string(), &rig.out("loaders"));
    assert!(code == Some(1) && said.contains(&format!("error: listen for TFTP on {}", rig.at)), "{said}");
    assert!(said.contains("hint: is dnsmasq"), "{said}");
    let (code, said) = serve("127.91.1.4:0", rig.dir.path());
    assert!(code == Some(1) && said.contains("holds no iPXE loader") && said.contains("hint: install"), "{said}");
}
