//! A node that falls silent, and one that tells how far it has come, both on machines that other people wrote: QEMU behind OpenIPMI's `ipmi_sim`
//! with its serial port as SOL, SeaBIOS, iPXE and Linux; DHCP, TFTP and HTTP come from `bringup serve` and the rest from `bringup apply`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bringup::boot::{GrantSpec, Grants, Stage, new_grant_id, now_ms};
use bringup::image::identity;
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use super::ramdisk;
use crate::boot::dhcp_lab::{ADDRESS, Lab, MAC, run};
use crate::support::{need_program, skip, wait_until};

const UUID: &str = "4c4c4544-0077-4000-8000-000000000101";
const SERIAL: &str = "S101";
/// More than ten times what a boot takes on two quiet cores.
const BOOT: Duration = Duration::from_secs(400);
/// The machine's serial port, where `ipmi_sim` finds it.
const PORT: &str = "7155";
const FAR_END: &str = "10.77.0.77";

const SITE: &str = r#"apiVersion: rack/v1
site: lab
defaults:
  bmc: {driver: ipmi, user: admin, password: "env:LAB_BMC_PASSWORD", cipher_suite: 3, address: 10.77.0.1, port: 6230}
  boot: {method: pxe, mode: legacy, server: "http://10.77.0.1:8088", network: 10.77.0.0/16}
  ssh: {user: root, key: "file:KEY"}
profiles:
  virtual-node:
    expect: {accel: {kind: pci, model: virtio-rng, count: 1, pci: "1af4:1044"}}
    verify: one-rng
    pool: lab
racks: [{range: a001, profile: virtual-node, slots: 1}]
naming:
  ip: "cidr(10.77.0.0/16, 256+slot)"
facts: facts/*.csv
"#;
const POLICY: &str = "apiVersion: verify/v1\nkind: AcceptancePolicy\nmetadata: {name: one-rng, version: 1}\napplies: {kind: pci}\n\
    links:\n  pcie: {gen: 1, width: 1}\n";
const PLAYBOOK: &str = "apiVersion: playbook/v1\nbaseline: {image: lab, stack: none, boot_deadline: 30m}\npolicies: [one-rng]\n\
    rollout: {waves: [1], max_nodes: 1, total_failures: 100%, attempts: 1}\n";

/// What `ipmi_sim` calls: the machine's power is QEMU, and its boot device is written down.
const HOOK: &str = r#"#!/bin/sh
cd DIR
[ "$1" = 0x20 ] && shift
what=$1; shift
alive() { [ -s qemu.pid ] && kill -0 "$(cat qemu.pid)" 2>/dev/null; }
case $what in
get) for name in "$@"; do case $name in power) alive && echo power:1 || echo power:0 ;; *) echo "$name:$(cat "set.$name" 2>/dev/null || echo none)" ;; esac; done ;;
set) while [ $# -ge 2 ]; do
  case "$1 $2" in
  "power 1") alive || { setsid ip netns exec CLIENT qemu-system-x86_64 QEMU >qemu.out 2>qemu.err </dev/null & echo $! >qemu.pid; } ;;
  "power 0") alive && kill "$(cat qemu.pid)"; rm -f qemu.pid ;;
  *) echo "$2" >"set.$1" ;;
  esac
  shift 2
done ;;
esac
exit 0
"#;

/// Ends the machine that the hook started, by its process id.
struct PowerCut(PathBuf);

impl Drop for PowerCut {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.0.join("qemu.pid")) {
            drop(Command::new("kill").args(["-KILL", pid.trim()]).status());
        }
    }
}

fn artifact(path: PathBuf) -> Artifact {
    let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
    Artifact { path, sha256 }
}

fn write(lab: &Lab, name: &str, text: &str) {
    let path = lab.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn built(test: &str) -> Option<PathBuf> {
    let built = std::env::var_os("BRINGUP_LAB").map(PathBuf::from).filter(|dir| dir.join("initrd.gz").exists());
    if built.is_none() {
        skip(test, "$BRINGUP_LAB/initrd.gz, which `tests/run` makes,");
    }
    built
}

/// Site, playbook, image and BMC. The image's kernel is told to run a first process that is not there: it panics, which only its console shows.
fn write_site(lab: &Lab, built: &std::path::Path) {
    write(lab, "inventory/site.yaml", &SITE.replace("KEY", &built.join("id_ed25519").display().to_string()));
    write(lab, "inventory/facts/all.csv", &format!("node,serial,uuid,boot_mac\na001-s01,{SERIAL},{UUID},{MAC}\n"));
    write(lab, "playbooks/policies/one-rng.yaml", POLICY);
    write(lab, "playbooks/lab.yaml", PLAYBOOK);
    for name in ["vmlinuz", "initrd.gz"] {
        write(lab, &format!("images/{name}"), "");
        std::fs::copy(built.join(name), lab.path(&format!("images/{name}"))).unwrap();
    }
    let digest = |name: &str| artifact(lab.path(&format!("images/{name}"))).sha256;
    let image = format!(
        "apiVersion: image/v1\narch: x86_64\nkernel: {{file: vmlinuz, sha256: \"{}\"}}\ninitrd: [{{file: initrd.gz, sha256: \"{}\"}}]\n\
         cmdline: [console=ttyS0, rdinit=/nonexistent]\n",
        digest("vmlinuz"),
        digest("initrd.gz")
    );
    write(lab, "images/lab.yaml", &image);
    // `wait=on`: the machine starts when `ipmi_sim` has its serial port, so that it misses nothing.
    let qemu = format!(
        "-accel tcg -machine q35,graphics=off -cpu max -m 512 -display none -nodefaults -no-reboot \
         -chardev socket,id=s,host={FAR_END},port={PORT},server=on,wait=on,logfile=console -serial chardev:s \
         -smbios type=1,serial={SERIAL},uuid={UUID} -netdev tap,id=n,ifname=tap0,script=no,downscript=no \
         -device virtio-net-pci,netdev=n,bootindex=1,mac={MAC}"
    );
    let dir = lab.path("").display().to_string();
    let hook = HOOK.replace("DIR", &dir).replace("CLIENT", &lab.space("client")).replace("QEMU", &qemu);
    write(lab, "hook.sh", &hook);
    std::fs::set_permissions(lab.path("hook.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let lan = format!(
        "name \"t\"\nset_working_mc 0x20\nstartlan 1\naddr 10.77.0.1 6230\npriv_limit admin\n\
         allowed_auths_user none md2 md5 straight\nallowed_auths_operator none md2 md5 straight\nallowed_auths_admin none md2 md5 straight\n\
         guid {guid}\nendlan\nchassis_control \"{}\"\nsol \"telnet:{FAR_END}:{PORT}\" 115200\n\
         user 2 true \"admin\" \"s3cret\" admin 10 md2 md5 straight\n",
        lab.path("hook.sh").display(),
        guid = UUID.replace('-', ""),
    );
    write(lab, "lan.conf", &lan);
    write(
        lab,
        "sim.emu",
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n",
    );
    std::fs::create_dir(lab.path("bmc-state")).unwrap();
}

fn bringup(lab: &Lab, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = lab.inside("server", env!("CARGO_BIN_EXE_bringup"));
    command.args(["-i", "inventory", "-p", "playbooks/lab.yaml", "--state", "state/journal.db"]).args(words);
    let out = command.env("LAB_BMC_PASSWORD", "s3cret").env("CI", "true").env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// A kernel that panics after it came over the network. The error names the stage and shows the panic, although nobody can log in.
#[test]
fn a_panic_after_the_netboot_is_told_with_the_lines_of_the_console() {
    let test = "peers::silent::a_panic_after_the_netboot_is_told_with_the_lines_of_the_console";
    let Some(mut lab) = Lab::up(test, &["qemu-system-x86_64", "ipmi_sim", "ipmitool"]) else { return };
    let Some(built) = built(test) else { return };
    write_site(&lab, &built);
    lab.plug();
    let client = lab.space("client");
    run("ip", &["-n", &client, "address", "add", &format!("{FAR_END}/16"), "dev", "br1"]).unwrap();
    let _off = PowerCut(lab.path(""));
    let sim = need_program(test, "ipmi_sim").unwrap();
    lab.start("server", "bmc", sim, &["-n", "-c", "lan.conf", "-f", "sim.emu", "-s", "bmc-state"]);
    let tool = ["-I", "lanplus", "-C", "3", "-H", "10.77.0.1", "-p", "6230", "-U", "admin", "-P", "s3cret", "-R", "1"];
    wait_until("the BMC answers", BOOT, || {
        let said = lab.inside("server", "ipmitool").args(tool).args(["chassis", "power", "status"]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("Chassis Power is off")
    });
    std::fs::create_dir(lab.path("state")).unwrap();
    lab.serve(&["--dhcp", "eth0", "--tftp"]);

    // The grant's time is over as soon as the machine has panicked: nobody waits half an hour.
    let panicked = || lab.text("console").contains("end Kernel panic");
    let ((code, out, err), took) = std::thread::scope(|scope| {
        let applied = scope.spawn(|| {
            let began = Instant::now();
            (bringup(&lab, &["apply", "--yes", "-v"]), began.elapsed())
        });
        let began = Instant::now();
        while !panicked() && !applied.is_finished() && began.elapsed() < BOOT {
            std::thread::sleep(Duration::from_millis(100));
        }
        // The console is a second or two behind on a loaded machine.
        std::thread::sleep(Duration::from_secs(5));
        let db = rusqlite::Connection::open(lab.path("state/grants.db")).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        db.execute("UPDATE boot_grant SET expires_ms = ?1 WHERE closed IS NULL", [now_ms()]).unwrap();
        applied.join().unwrap()
    });
    let all = format!(
        "stdout:\n{out}\nstderr:\n{err}\nserve:\n{}\nqemu:\n{}\nbmc:\n{}\nconsole:\n{}",
        lab.text("serve.out"),
        lab.text("qemu.err"),
        lab.text("bmc.out"),
        lab.text("console")
    );
    assert_eq!(code, Some(4), "{all}");
    assert!(panicked(), "{all}");
    for words in [
        "what was seen of a001-s01:",
        "boot server, seconds after the grant:",
        &format!("dhcp {MAC} a001-s01 ack {ADDRESS} boot http://10.77.0.1:8088/boot.ipxe"),
        "http script",
        "http kernel",
        "http initrd",
        "console, the last 10 lines of ",
        "---[ end Kernel panic - not syncing: VFS: Unable to mount root fs",
    ] {
        assert!(out.contains(words), "`{words}` is not told:\n{all}");
    }
    let (code, status, _) = bringup(&lab, &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let node = &status["nodes"][0];
    assert_eq!((code, &node["reached"]), (Some(0), &"initrd".into()), "{node:#}");
    let why = node["why"].as_str().unwrap();
    for words in [
        "the boot server saw it reach: initrd, the last part of its image; whether its kernel came up only its console tells",
        "look next at: the lines of its console, or bringup console a001-s01",
    ] {
        assert!(why.contains(words), "{why}");
    }
    println!("{}\n{:#}\npower-on to the error: {:.1} s", node["why"], node["seen"], took.as_secs_f64());
    // The console was given back: the next one has it at once.
    let (code, _, said) = bringup(&lab, &["console", "a001-s01", "--for", "1s", "--record", "rec.log"]);
    assert_eq!(code, Some(0), "{said}");
    // No secret of the grant in anything that was kept: the kernel printed its command line.
    let kept = format!("{out}{err}{status}");
    let token = lab.text("console").split("bringup.at=http://10.77.0.1:8088/g/").nth(1).unwrap_or_else(|| panic!("{all}"))[..32]
        .to_owned();
    assert!(!kept.contains(&token), "{kept}");
}

/// The bring-up ramdisk tells the boot server how far it has come.
#[test]
fn the_ramdisk_tells_the_boot_server_how_far_it_has_come() {
    let test = "peers::silent::the_ramdisk_tells_the_boot_server_how_far_it_has_come";
    let Some(mut lab) = Lab::up(test, &["qemu-system-x86_64"]) else { return };
    let Some(image) = ramdisk::image(test) else { return };
    write(&lab, "inventory/facts/all.csv", &format!("node,serial,uuid,boot_mac\na001-s01,{SERIAL},{UUID},{MAC}\n"));
    let (host, mine) = (ramdisk::key(1), ramdisk::key(2));
    std::fs::write(lab.path("identity.img"), identity(&host, &[mine.public_key().clone()]).unwrap()).unwrap();
    std::fs::create_dir(lab.path("state")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let spec = GrantSpec {
        id: new_grant_id(),
        node: NodeId::new("a001-s01").unwrap(),
        plan: PlanId::new("plan-told").unwrap(),
        run: RunId::new("run-told").unwrap(),
        mac: Some(MAC.parse().unwrap()),
        uuid: Some(UUID.into()),
        serial: Some(SERIAL.into()),
        image: Digest::from_bytes(&[7; 32]),
        kernel: artifact(image.out.join("bringup/vmlinuz")),
        initrd: vec![artifact(image.out.join("bringup/initrd.img")), artifact(lab.path("identity.img"))],
        root: None,
        cmdline: vec!["console=ttyS0".into()],
        expires_at_ms: now_ms() + 3_600_000,
    };
    let id = spec.id.clone();
    runtime.block_on(grants.issue(spec)).unwrap();
    lab.serve(&["--dhcp", "eth0"]);
    lab.plug();
    let (nic, smbios) = (format!("virtio-net-pci,netdev=n,bootindex=1,mac={MAC}"), format!("type=1,serial={SERIAL},uuid={UUID}"));
    let words = [
        "-accel",
        "tcg",
        "-machine",
        "q35,graphics=off",
        "-cpu",
        "max",
        "-m",
        "768",
        "-display",
        "none",
        "-nodefaults",
        "-serial",
        "file:console",
        "-device",
        "virtio-rng-pci",
        "-smbios",
        &smbios,
        "-netdev",
        "tap,id=n,ifname=tap0,script=no,downscript=no",
        "-device",
        &nic,
    ];
    let began = Instant::now();
    lab.start("client", "qemu", "qemu-system-x86_64", &words);
    let stages = || runtime.block_on(grants.status(&id)).unwrap().unwrap().stages;
    while !stages().contains_key(&Stage::Ssh) {
        let all = format!("{:?}\n{}\n{}", stages(), lab.text("serve.out"), lab.text("console"));
        assert!(began.elapsed() < BOOT, "it never told of its SSH server:\n{all}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let stages = stages();
    let order = [Stage::Issued, Stage::Script, Stage::Kernel, Stage::Initrd, Stage::Userspace, Stage::Network, Stage::Ssh];
    assert_eq!(stages.keys().copied().collect::<Vec<_>>(), order, "{}", lab.text("serve.out"));
    assert!(stages.values().is_sorted(), "{stages:?}");
    let lines = lab.text("serve.out");
    for stage in ["userspace", "network", "ssh"] {
        let want = format!("{ADDRESS} a001-s01 {id} {stage} ");
        assert_eq!(lines.matches(&want).count(), 1, "{want}: {lines}");
    }
    let seconds = |stage: Stage| (stages[&stage] - stages[&Stage::Script]) as f64 / 1000.0;
    println!(
        "ramdisk: script to initrd {:.1} s, told userspace {:.1} s, network {:.1} s, ssh {:.1} s",
        seconds(Stage::Initrd),
        seconds(Stage::Userspace),
        seconds(Stage::Network),
        seconds(Stage::Ssh)
    );
}
