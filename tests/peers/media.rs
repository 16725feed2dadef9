//! Virtual media on a machine that other people wrote, in a network where nobody answers DHCP: the BMC (sushy-emulator) fetches the medium that `apply`
//! made, the machine's firmware (OVMF) starts GRUB from it, and the image takes its address from the command line. The machine has a disk that
//! boots the same system.

use std::time::{Duration, Instant};

use super::boots::{must_be_admitted, must_run_the_plan};
use super::lab;
use super::verbs::{apply_to_ssh, plan, run};
use super::words::Words;

/// More than ten times what a boot from the disk takes on two quiet cores.
const BOOT: Duration = Duration::from_secs(300);

#[test]
fn redfish_virtual_media_boots_a_machine_without_dhcp() {
    let Some((lab, _turn)) = lab::need_without_dhcp("redfish_virtual_media_boots_a_machine_without_dhcp") else { return };
    let machine = lab.machine(1);
    let _off = lab.unplug_at_the_end(machine);
    // By another's client: nobody gives an address here.
    let asked = lab.inside("busybox").args("udhcpc -i br0 -f -n -q -t 2 -T 1 -s /bin/true".split(' ')).output().unwrap();
    assert!(!asked.status.success(), "somebody answers DHCP: {}", String::from_utf8_lossy(&asked.stderr));

    let words = Words::write(lab, &[]);
    words.change(
        "inventory/site.yaml",
        "boot: {method: pxe,",
        "boot: {method: virtual-media, network: 10.77.0.0/16, router: 10.77.0.1, dns: [10.77.0.1],",
    );
    words.pin_grub();
    plan(lab, &words, machine);
    let (said, to_ssh) = apply_to_ssh(lab, &words, machine);
    assert_eq!(said.exit, Some(0), "stdout:\n{}\nstderr:\n{}\nconsole:\n{}", said.out, said.err, lab.console(machine));
    println!("Redfish virtual media, no DHCP \u{2192} {to_ssh:.1} s to SSH");
    must_run_the_plan(lab, machine);
    must_be_admitted(lab, &words, machine);
    let cmdline = lab.on_machine(machine, "cat /proc/cmdline").unwrap();
    let mac = machine.mac.replace(':', "-");
    let address = format!("ip={}::10.77.0.1:255.255.0.0:lab1-s01:{mac}:off:10.77.0.1", machine.address);
    assert!(cmdline.split_whitespace().any(|word| word == address), "{cmdline}");
    assert_eq!((lab.starts(machine), lab.kernels(machine).len()), (1, 1), "powered on once, one kernel");
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
