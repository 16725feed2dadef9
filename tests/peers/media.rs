//! Virtual media on a machine that other people wrote, in a network where nobody answers DHCP: the BMC (sushy-emulator) fetches the medium that `apply`
//! made, the machine's firmware (OVMF) starts GRUB from it, and the bring-up ramdisk takes its address from the command line and fetches the host key that
//! was made for this boot. The machine has a disk of its own to boot from.

use std::time::{Duration, Instant};

use bringup::boot::{Grants, Stage};
use russh::keys::PrivateKey;

use super::boots::must_be_admitted;
use super::brought::{listen, on_machine, write};
use super::identity::{must_not_hold, secrets};
use super::lab;
use super::ramdisk::image;
use super::verbs::{plan, run, start};
use crate::support::need_program;

/// More than ten times what a boot from the disk takes on two quiet cores.
const BOOT: Duration = Duration::from_secs(300);

#[test]
fn redfish_virtual_media_boots_a_machine_without_dhcp() {
    let test = "redfish_virtual_media_boots_a_machine_without_dhcp";
    let (Some(image), Some(_)) = (image(test), need_program(test, "tcpdump")) else { return };
    let Some((lab, _turn)) = lab::need_without_dhcp(test) else { return };
    let machine = lab.machine(1);
    let _off = lab.unplug_at_the_end(machine);
    // By another's client: nobody gives an address here.
    let asked = lab.inside("busybox").args("udhcpc -i br0 -f -n -q -t 2 -T 1 -s /bin/true".split(' ')).output().unwrap();
    assert!(!asked.status.success(), "somebody answers DHCP: {}", String::from_utf8_lossy(&asked.stderr));

    let words = write(lab, &image.out);
    words.change(
        "inventory/site.yaml",
        "boot: {method: pxe,",
        "boot: {method: virtual-media, network: 10.77.0.0/16, router: 10.77.0.1, dns: [10.77.0.1],",
    );
    words.pin_grub();
    plan(lab, &words, machine);
    let wire = listen(lab, &words);
    let began = Instant::now();
    let mut apply = start(lab, &words, &["apply", "plan.json", "--yes", "-v"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    while !words.path("state/grants.db").exists() && !apply.ended() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let grants = Grants::open(&words.path("state/grants.db")).unwrap();
    let given = || {
        let events = runtime.block_on(grants.events_since(0)).unwrap();
        events.into_iter().find(|e| e.stage == Stage::Identity)
    };
    let (mut key, mut to_ssh) = (None, None);
    while to_ssh.is_none() && !apply.ended() {
        key = key.or_else(&given);
        // Its SSH server says so itself before anybody asks it.
        if let Some(noted) = key.as_ref().filter(|_| lab.console(machine).contains("bringup: stage ssh port=22")) {
            on_machine(lab, machine, &words, noted.detail.strip_prefix("host key ").unwrap(), "true");
            to_ssh = Some(began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = apply.wait(Duration::from_secs(900));
    assert_eq!(said.exit, Some(0), "stdout:\n{}\nstderr:\n{}\nconsole:\n{}", said.out, said.err, lab.console(machine));
    println!(
        "Redfish virtual media, no DHCP, host key by HTTPS \u{2192} {:.1} s to SSH",
        to_ssh.unwrap_or_else(|| began.elapsed().as_secs_f64())
    );
    let noted = given().unwrap();
    let key = noted.detail.strip_prefix("host key ").unwrap();
    let node = |command: &str| on_machine(lab, machine, &words, key, command);
    must_be_admitted(lab, &words, machine);
    // By OpenSSH, not by us: the machine runs what the plan says, and did not come up from its disk.
    let cmdline = node("cat /proc/cmdline");
    for want in ["bringup.plan=", "bringup.image=", "bringup.identity=https://10.77.0.1:8443/g/"] {
        assert!(cmdline.contains(want), "{want}: {cmdline}");
    }
    assert!(!cmdline.contains("bringup-lab.from="), "{cmdline}");
    assert_eq!(node("cat /sys/class/dmi/id/product_serial").trim(), machine.serial);
    // In nobody's hands but the node's: the medium went over plain HTTP, the host key did not.
    drop(wire);
    let host = PrivateKey::from_openssh(node("cat /run/bringup/identity/ssh_host_ed25519_key")).unwrap();
    let dump =
        std::process::Command::new("tcpdump").args(["-nn", "-r"]).arg(words.path("wire.pcap")).arg("tcp port 8443").output();
    assert!(String::from_utf8_lossy(&dump.unwrap().stdout).lines().count() > 10, "the wire was heard");
    let mut files: Vec<_> = ["wire.pcap", "plan.json"].iter().map(|name| words.path(name)).collect();
    files
        .extend(std::fs::read_dir(words.path("state")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    assert!(files.iter().any(|f| f.ends_with("grants.db")) && files.iter().any(|f| f.ends_with("journal.db")), "{files:?}");
    must_not_hold(&files, &secrets(&host));
    let mac = machine.mac.replace(':', "-");
    let address = format!("ip={}::10.77.0.1:255.255.0.0:lab1-s01:{mac}:off:10.77.0.1", machine.address);
    assert!(cmdline.split_whitespace().any(|word| word == address), "{cmdline}");
    assert_eq!((lab.starts(machine), lab.kernels(machine).len()), (1, 0), "powered on once, and never came up from its disk");
    for seen in ["boot server: medium", "given back: boot medium in Cd: ejected", "given back: grant"] {
        assert!(said.err.contains(seen), "{seen} is not in:\n{}", said.err);
    }
    assert!(!said.err.contains("boot server: script") && !said.err.contains("boot server: kernel"), "{}", said.err);

    // Nothing is left behind: the drive is empty, the next power-on goes to the disk, and that is where the machine comes up.
    let drives = run(lab, &words, &["bmc", "media", "lab1-s01", "-o", "json"]).must_exit(0).out;
    assert!(!drives.contains("bringup.iso"), "{drives}");
    assert_eq!(lab.device(machine), "hd", "stdout:\n{}\nstderr:\n{}", said.out, said.err);
    lab.press(machine, "off");
    lab.press(machine, "on");
    let began = Instant::now();
    while !lab.kernels(machine).last().is_some_and(|line| line.contains("from=disk")) {
        assert!(began.elapsed() < BOOT, "it did not come up from its disk:\n{}", lab.console(machine));
        std::thread::sleep(Duration::from_millis(200));
    }
    // No secret of the grant in the journal, although the BMC repeated the medium's address.
    let journal: Vec<u8> = ["journal.db", "journal.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(words.path(&format!("state/{name}"))).unwrap_or_default())
        .collect();
    let journal = String::from_utf8_lossy(&journal);
    assert!(journal.contains("/bringup.iso"));
    let secret = journal.split("/g/").skip(1).any(|rest| rest.chars().take_while(char::is_ascii_hexdigit).count() == 32);
    assert!(!secret && !said.err.contains("/g/0") && !said.out.contains("/g/"), "a token in the journal or on the screen");
}
