//! A diskless node from power-on to systemd: `bringup serve` alone gives address, script, kernel, ramdisk and root to QEMU's firmware, and OpenSSH
//! logs in to the root that it fetched, with the host key that was made for this boot and handed to it once, over TLS with the server's certificate pinned.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bringup::boot::{BootKey, GrantSpec, Grants, Identity, Stage, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use sha2::{Digest as _, Sha256};

use super::identity::{must_not_hold, secrets};
use super::login::by_fingerprint;
use super::node_image::node_image;
use super::ramdisk::key;
use crate::boot::dhcp_lab::{ADDRESS, Lab, MAC};
use crate::support::{need_program, wait_until};

const UUID: &str = "4c4c4544-0077-4000-8000-000000000102";
const SERIAL: &str = "S102";
/// A boot takes 40 s on two quiet cores.
const BOOT: Duration = Duration::from_secs(600);

fn artifact(path: PathBuf) -> Artifact {
    let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
    Artifact { path, sha256 }
}

/// A command on the node, by OpenSSH with this host key pinned.
fn on_node(lab: &Lab, host: &PrivateKey, mine: &PrivateKey, command: &str) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(lab.path("known_hosts"), format!("{ADDRESS} {}\n", host.public_key().to_openssh().unwrap())).unwrap();
    drop(std::fs::remove_file(lab.path("key")));
    std::fs::write(lab.path("key"), mine.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    std::fs::set_permissions(lab.path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut ssh = lab.inside("server", "ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=20"]);
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=known_hosts", "-o", "LogLevel=ERROR"]);
    ssh.args(["-o", "IdentitiesOnly=yes", "-i", "key"]).arg(format!("root@{ADDRESS}")).arg(command);
    let output = ssh.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr) + &text(&output.stdout)) }
}

#[test]
fn a_diskless_node_boots_to_systemd_and_a_login() {
    let test = "a_diskless_node_boots_to_systemd_and_a_login";
    for program in ["qemu-system-x86_64", "ssh", "ssh-keyscan", "tcpdump", "curl"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    let Some(image) = node_image(test) else { return };
    let Some(mut lab) = Lab::up(test, &[]) else { return };
    std::fs::write(lab.path("inventory/facts/all.csv"), format!("node,serial,uuid,boot_mac\na001-s01,{SERIAL},{UUID},{MAC}\n"))
        .unwrap();
    let (mine, stranger) = (key(22), key(23));
    let identity = Identity::fresh(&[mine.public_key().to_openssh().unwrap()], Some(ADDRESS.parse().unwrap())).unwrap();
    let host_key = identity.note().host_key.clone();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::fs::create_dir(lab.path("state")).unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let root = artifact(image.out.join("node/root.squashfs"));
    let spec = GrantSpec {
        id: new_grant_id(),
        node: NodeId::new("a001-s01").unwrap(),
        plan: PlanId::new("plan-diskless").unwrap(),
        run: RunId::new("run-diskless").unwrap(),
        mac: Some(MAC.parse().unwrap()),
        uuid: Some(UUID.into()),
        serial: Some(SERIAL.into()),
        image: Digest::from_bytes(&[7; 32]),
        kernel: artifact(image.out.join("node/vmlinuz")),
        initrd: vec![artifact(image.out.join("node/initrd.img"))],
        root: Some(root.clone()),
        cmdline: vec!["console=ttyS0".into(), "quiet".into()],
        expires_at_ms: now_ms() + 3_600_000,
    };
    let id = spec.id.clone();
    runtime.block_on(grants.issue_with(spec, identity)).unwrap();
    lab.serve(&["--dhcp", "eth0", "--tftp", "--https"]);
    lab.plug();
    lab.start("server", "tcpdump", "tcpdump", &["-i", "eth0", "-U", "-s", "0", "-Z", "root", "-w", "wire.pcap", "tcp port 8443"]);
    wait_until("tcpdump listens", BOOT, || lab.text("tcpdump.err").contains("listening on eth0"));
    let nic = format!("virtio-net-pci,netdev=n,bootindex=1,mac={MAC}");
    let smbios = format!("type=1,serial={SERIAL},uuid={UUID}");
    let mut words = vec!["-accel", "tcg", "-machine", "q35,graphics=off", "-cpu", "max", "-m", "1024", "-smp", "2"];
    words.extend(["-display", "none", "-nodefaults", "-serial", "file:console", "-smbios", &smbios]);
    words.extend(["-device", "virtio-rng-pci", "-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", &nic]);
    let began = Instant::now();
    lab.start("client", "qemu", "qemu-system-x86_64", &words);
    let until = |what: &str, so: &mut dyn FnMut() -> bool| {
        while !so() {
            let said = |name: &str| format!("--- {name}\n{}\n", lab.text(name));
            let all = ["console", "serve.out", "serve.err", "qemu.err"].map(said).concat();
            assert!(began.elapsed() < BOOT && !lab.text("console").contains("root refused: "), "in vain: {what}\n{all}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until("SSH is told on the console", &mut || lab.text("console").contains("bringup: stage ssh port=22"));
    let mut up = String::new();
    until("a login", &mut || match by_fingerprint(&lab, &host_key, &mine, "cat /proc/uptime") {
        Ok(text) => {
            up = text;
            true
        }
        Err(why) => {
            assert!(!why.contains("Permission denied") && !why.contains("Host key verification failed"), "{why}");
            false
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let host = by_fingerprint(&lab, &host_key, &mine, "cat /etc/ssh/ssh_host_ed25519_key").unwrap();
    let host = PrivateKey::from_openssh(host + "\n").unwrap();
    assert_eq!(host.fingerprint(HashAlg::Sha256).to_string(), host_key);
    let node = |command: &str| on_node(&lab, &host, &mine, command);
    let stages: Vec<_> =
        lab.text("console").lines().filter(|l| l.contains("bringup: stage")).map(|l| l.trim().to_owned()).collect();
    println!("diskless \u{2192} {seconds:.1} s from power-on to SSH, {up} s after the kernel began\n{}", stages.join("\n"));

    let mut state = String::new();
    until("systemd has started all", &mut || {
        state = node("systemctl is-system-running").unwrap_or_else(|why| why);
        state != "starting" && state != "initializing"
    });
    assert_eq!(state, "running", "{}", node("systemctl --failed --no-legend").unwrap_or_default());
    // The root is an overlay on the squashfs that was granted, in memory; the node can write, and not on that.
    let mounts = node("cat /proc/mounts").unwrap();
    assert!(mounts.contains("root / overlay rw,") && mounts.contains(" /run/bringup/root/lower squashfs ro,"), "{mounts}");
    assert_eq!(node("cat /run/bringup/root/store/root.squashfs | sha256sum").unwrap(), format!("{}  -", root.sha256));
    assert_eq!(
        node("touch /etc/written && touch /run/bringup/root/lower/etc/no 2>&1; ls /etc/written")
            .unwrap_or_else(|e| e)
            .lines()
            .last(),
        Some("/etc/written")
    );
    // What a netboot is known by has survived, in the root's own system.
    let cmdline = node("cat /proc/cmdline").unwrap();
    for mark in
        [format!("bringup.grant={id} "), "bringup.plan=plan-diskless ".into(), format!("bringup.root.sha256={} ", root.sha256)]
    {
        assert!(cmdline.contains(&mark), "{mark} {cmdline}");
    }
    assert_eq!(node("cat /sys/class/dmi/id/product_serial; cat /proc/1/comm").unwrap(), format!("{SERIAL}\nsystemd"));
    // Name and address are those of the facts, kept by systemd-networkd for this card; the ramdisk's processes are gone.
    assert_eq!(node("hostname; ls /run/bringup/identity /etc/bringup 2>/dev/null | wc -l").unwrap(), "a001-s01\n0");
    let net = node("networkctl --no-legend list; ip -br address; pgrep -c 'udhcpc|dropbear'").unwrap_or_else(|e| e);
    assert!(net.contains("routable configured") || net.contains("routable   configured"), "{net}");
    assert!(net.contains(&format!("{ADDRESS}/16")) && net.ends_with("\n0"), "{net}");
    // Nobody else gets in: no password is asked for, no other key is taken; and this host key is the one of this boot.
    assert!(on_node(&lab, &host, &stranger, "true").unwrap_err().contains("Permission denied (publickey)"));
    assert!(on_node(&lab, &stranger, &mine, "true").unwrap_err().contains("Host key verification failed"));
    // What the gate and the identity proof read is there, and drivers can be loaded.
    node("modprobe e1000e && grep -q ^e1000e /proc/modules && lspci >/dev/null && dmidecode -s system-serial-number").unwrap();
    let served = lab.text("serve.out");
    assert!(served.contains(&format!("{ADDRESS} a001-s01 {id} root ")), "{served}");

    // The identity: handed out once, and in nobody's hands but the node's.
    let events = runtime.block_on(grants.events_since(0)).unwrap();
    let handed: Vec<&str> = events.iter().filter(|e| e.stage == Stage::Identity).map(|e| e.detail.as_str()).collect();
    assert_eq!(handed, [format!("host key {host_key}")]);
    assert_eq!(runtime.block_on(grants.boot_key(&NodeId::new("a001-s01").unwrap())).unwrap(), BootKey::Given(host_key));
    let url = cmdline.split_whitespace().find_map(|word| word.strip_prefix("bringup.identity=")).unwrap();
    assert!(url.starts_with("https://10.77.0.1:8443/g/"), "{url}");
    let pin = lab.text("serve.err").split("--pinnedpubkey ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let again = lab.inside("server", "curl").args(["-ksS", "--max-time", "60", "--pinnedpubkey", &pin, url]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), "the identity was handed out already\n", "{again:?}");
    let heard = std::process::Command::new("tcpdump").args(["-nn", "-r"]).arg(lab.path("wire.pcap")).output().unwrap();
    assert!(String::from_utf8_lossy(&heard.stdout).lines().count() > 10, "the wire was heard: {heard:?}");
    let kept = ["wire.pcap", "serve.out", "serve.err", "console", "state/grants.db", "state/grants.db-wal"];
    must_not_hold(&kept.map(|name| lab.path(name)), &secrets(&host));
}
