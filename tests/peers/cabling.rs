//! Real cables: the bring-up ramdisk in QEMU hears `lldpd`, which other people wrote, on two wires of a network namespace that are plugged into each
//! other's ports; `verify --cabling` says so by SSH, and `patch` mends the file.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use bringup::image::identity;
use russh::keys::{HashAlg, PrivateKey};

use super::ramdisk::{PATIENCE, image, key, text};
use crate::cli::bad_rig::Rig;
use crate::support::{Service, need_program, skip, wait_until};

const CABLES: [&str; 2] = ["52:54:77:00:01:43", "52:54:77:00:01:44"];

fn ip(words: &str) -> Result<(), String> {
    let done = Command::new("ip").args(words.split_whitespace()).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

/// A namespace that stands for a switch; it goes, with the wires in it, when the test ends.
struct Switch {
    space: String,
    wires: [String; 2],
}

impl Switch {
    fn up(test: &str) -> Option<Self> {
        let pid = std::process::id();
        let switch = Self { space: format!("bu-cable{pid}"), wires: [format!("buc{pid}a"), format!("buc{pid}b")] };
        let made = ip(&format!("netns add {}", switch.space))
            .and_then(|()| switch.wires.iter().try_for_each(|wire| ip(&format!("tuntap add {wire} mode tap"))));
        match made {
            Ok(()) => Some(switch),
            Err(why) => {
                skip(test, &format!("the right to make network namespaces and taps ({why})"));
                None
            }
        }
    }

    /// Plugs a wire, whose other end a machine holds, into a port.
    fn plug(&self, wire: &str, port: &str) {
        ip(&format!("link set {wire} netns {}", self.space)).unwrap();
        ip(&format!("-n {} link set {wire} name {port}", self.space)).unwrap();
        ip(&format!("-n {} link set {port} up", self.space)).unwrap();
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(ip(&format!("netns del {}", self.space)));
        for wire in &self.wires {
            drop(ip(&format!("link del {wire}")));
        }
    }
}

#[test]
fn two_real_cables_in_each_others_ports_are_a_pair() {
    let test = "two_real_cables_in_each_others_ports_are_a_pair";
    for program in ["lldpd", "lldpcli", "unshare", "ip", "patch"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    let Some(image) = image(test) else { return };
    let Some(switch) = Switch::up(test) else { return };
    // Its BMC is simulated, and knows the serial number that the machine in QEMU has.
    let rig = Rig::up(1, &[]);
    let id = rig.farm().node("a001-s01").unwrap().machine.identity().clone();

    let host = key(21);
    let fleet = PrivateKey::from_openssh(rig.read("secrets/ssh_key")).unwrap();
    let mut initrd = std::fs::read(image.out.join("bringup/initrd.img")).unwrap();
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend_from_slice(&identity(&host, &[fleet.public_key().clone()]).unwrap());
    std::fs::write(rig.path("initrd"), initrd).unwrap();
    let ssh = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("qemu-system-x86_64");
    command.args("-accel tcg -machine q35 -cpu max -m 768 -smp 2 -display none -vga none -no-reboot -monitor none".split(' '));
    command.args(["-kernel", &text(&image.out.join("bringup/vmlinuz")), "-initrd", &text(&rig.path("initrd"))]);
    command.args(["-append", "console=ttyS0", "-serial", &format!("file:{}", text(&rig.path("console")))]);
    command.args(["-smbios", &format!("type=1,manufacturer=Laboratory,product=Node,serial={},uuid={}", id.serial, id.uuid)]);
    command.args(["-netdev", &format!("user,id=site,restrict=on,hostfwd=tcp:127.0.0.1:{ssh}-:22")]);
    command.args(["-device", &format!("virtio-net-pci,netdev=site,mac={}", id.boot_mac)]);
    for (index, (wire, mac)) in switch.wires.iter().zip(CABLES).enumerate() {
        command.args(["-netdev", &format!("tap,id=w{index},ifname={wire},script=no,downscript=no")]);
        command.args(["-device", &format!("e1000e,netdev=w{index},mac={mac}")]);
    }
    let mut qemu = Service::start(command.stdin(Stdio::null()).stdout(Stdio::null())).unwrap();
    let console = || std::fs::read(rig.path("console")).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    // It holds its ends of the wires once its firmware speaks; the other ends are plugged in: each into the other's port.
    wait_until("the kernel speaks", PATIENCE, || {
        assert!(qemu.alive(), "QEMU ended: {}", console());
        console().contains("Linux version")
    });
    switch.plug(&switch.wires[0], "swp2");
    switch.plug(&switch.wires[1], "swp1");
    let socket = text(&rig.path("lldpd.sock"));
    let script = format!("hostname leaf-a001; exec lldpd -d -u {socket} -I swp1,swp2");
    let mut lldpd = Command::new("ip");
    lldpd.args(["netns", "exec", &switch.space, "unshare", "--uts", "sh", "-c", &script]);
    let log = std::fs::File::create(rig.path("lldpd.log")).unwrap();
    let mut lldpd = Service::start(lldpd.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log)).unwrap();
    // Every 5 s instead of every 30.
    wait_until("lldpd takes its interval", PATIENCE, || {
        assert!(lldpd.alive(), "{}", rig.read("lldpd.log"));
        let set = Command::new("lldpcli").args(["-u", &socket, "configure", "lldp", "tx-interval", "5"]).output().unwrap();
        set.status.success()
    });
    wait_until("SSH", PATIENCE, || {
        assert!(qemu.alive(), "QEMU ended: {}", console());
        console().contains("bringup: stage ssh port=22")
    });

    let facts = rig.read("inventory/facts/nodes.csv");
    let node = rig.farm().node("a001-s01").unwrap();
    let key = host.fingerprint(HashAlg::Sha256).to_string();
    let facts = facts.replace(&format!(",{}\n", node.ssh), &format!(",127.0.0.1:{ssh}\n")).replace(&node.host_key, &key);
    std::fs::write(rig.path("inventory/facts/nodes.csv"), facts).unwrap();
    let cables =
        format!("node,interface,switch,port\na001-s01,{},leaf-a001,swp1\na001-s01,{},leaf-a001,swp2\n", CABLES[0], CABLES[1]);
    std::fs::write(rig.path("inventory/cabling/nodes.csv"), cables).unwrap();

    let ran = rig.run(&["verify", "--cabling", "--patch", "mend.patch"]).ends(4, &["patch -p1 <mend.patch"]);
    println!("{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("end at each other's ports") && ran.out.contains("swap the cables at leaf-a001 port swp1"),
        "{ran:#?}"
    );
    let mend = Command::new("patch").args(["-p1", "-i", "mend.patch"]).current_dir(rig.dir.path()).output().unwrap();
    assert!(mend.status.success(), "{}", String::from_utf8_lossy(&mend.stdout));
    let ran = rig.run(&["verify", "--cabling", "-o", "json"]).ends(0, &["8 of 8 are where they are written"]);
    let told = ran.json();
    let seen: Vec<&str> = told["nodes"][0]["findings"].as_array().unwrap().iter().filter_map(|f| f["seen"].as_str()).collect();
    assert!(seen.contains(&"leaf-a001 port swp2") && seen.contains(&id.serial.as_str()), "{told:#}");

    // The cable comes out: what was heard of it is over with its time to live, and silence is not right.
    ip(&format!("-n {} link set swp1 down", switch.space)).unwrap();
    drop(lldpd);
    wait_until("the neighbour is forgotten", PATIENCE, || rig.run(&["verify", "--cabling"]).code == Some(4));
}
