//! The whole line onto a disk: `plan` and `apply` netboot a machine of the laboratory that holds another system, write its disk, start it from there,
//! and the gate admits what runs then. The host key is the one that came with the netboot, over TLS.

use std::path::Path;
use std::process::{Command, Stdio};

use bringup::boot::{Grants, Stage};
use bringup::model::{Event, Touch};

use super::boots::must_be_admitted;
use super::brought::{on_machine, said, write};
use super::lab;
use super::ramdisk::image;
use super::verbs::{plan, run};
use super::words::node;
use crate::support::need_program;

/// A root file system of two programs: enough to boot, take an address, let somebody in and answer the gate. Debian is `install.rs`'s.
const ROOT: &str = r#"set -e; mkdir -p root/bin root/sbin root/etc/ssh root/etc/dropbear root/etc/systemd root/usr/sbin root/usr/bin root/root
cp /bin/busybox root/bin/busybox; ln -s busybox root/bin/sh; cp /usr/sbin/dropbear root/usr/sbin/
for lib in $(ldd /usr/sbin/dropbear | grep -o '/[^ ]*'); do mkdir -p "root$(dirname "$lib")"; cp -L "$lib" "root$lib"; done
echo root:x:0:0:root:/root:/bin/sh >root/etc/passwd; echo root:x:0: >root/etc/group; echo /bin/sh >root/etc/shells
echo everybodys >root/etc/machine-id; echo baked >root/etc/ssh/ssh_host_rsa_key
cat >root/sbin/init <<'I'
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox --install -s /bin
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
hostname -F /etc/hostname
printf '#!/bin/sh\n[ "$1" = bound ] && ip addr replace "$ip/${mask:-24}" dev "$interface"\n' >/run/lease; chmod +x /run/lease
for nic in /sys/class/net/e*; do ip link set "${nic##*/}" up; udhcpc -i "${nic##*/}" -s /run/lease -b -t 30 -T 1; done
dropbear -F -E -s -r /etc/dropbear/dropbear_ed25519_host_key -p 22 &
while :; do sleep 1000; done
I
chmod 755 root/sbin/init; mksquashfs root root.squashfs -quiet -no-progress -all-root -comp zstd; sha256sum root.squashfs"#;

/// `images/small.yaml`: the ramdisk's kernel and initrd, and that root.
fn small(images: &Path) {
    let made = Command::new("sh").args(["-c", ROOT]).current_dir(images).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success());
    let sum = String::from_utf8(made.stdout).unwrap();
    let manifest = std::fs::read_to_string(images.join("lab.yaml")).unwrap();
    let root = format!("root: {{file: root.squashfs, sha256: \"{}\"}}\n", sum.split(' ').next().unwrap());
    std::fs::write(images.join("small.yaml"), manifest + &root).unwrap();
}

#[test]
fn plan_and_apply_install_a_machine_that_held_another_system() {
    let test = "peers::installed::plan_and_apply_install_a_machine_that_held_another_system";
    for program in ["mksquashfs", "dropbear", "busybox", "qemu-img"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    let Some(image) = image(test) else { return };
    let Some((lab, _turn)) = lab::need(test) else { return };
    let (machine, words) = (lab.machine(3), write(lab, &image.out));
    small(&words.path("images"));
    words.change(
        "playbooks/lab.yaml",
        "  stack: none\n",
        "  stack: none\n  install: {image: small, disk: {transport: virtio}, wipe: yes}\n",
    );
    let _disk = lab.larger_disk(machine, "2G");
    let _off = lab.unplug_at_the_end(machine);
    let starts = lab.starts(machine);
    plan(lab, &words, machine);

    // Said once is not enough.
    let refused = run(lab, &words, &["apply", "plan.json", "--yes"]).must_exit(9);
    assert!(refused.err.contains("--allow wipe") && lab.starts(machine) == starts, "{}", refused.err);
    let began = std::time::Instant::now();
    let applied = run(lab, &words, &["apply", "plan.json", "--yes", "--allow", "wipe", "-v"]);
    let told = format!("stdout:\n{}\nstderr:\n{}\nconsole:\n{}", applied.out, applied.err, lab.console(machine));
    assert_eq!(applied.exit, Some(0), "{told}");
    println!(
        "{}: off to admitted from its disk in {:.1} s\n{}\n{}",
        node(machine),
        began.elapsed().as_secs_f64(),
        applied.err,
        applied.out
    );
    must_be_admitted(lab, &words, machine);

    // One netboot, one disk written, one start from it; what it held is in the journal, and the root came from the boot server.
    let journal = words.path("state/journal.db");
    let newest = bringup::journal::Journal::newest(&journal).unwrap();
    let events = bringup::journal::Journal::events(&journal, &newest).unwrap();
    let touches: Vec<&Touch> =
        events.iter().filter_map(|e| if let Event::AttemptBegan { touch, .. } = &e.event { Some(touch) } else { None }).collect();
    let count = |is: &dyn Fn(&Touch) -> bool| touches.iter().filter(|t| is(t)).count();
    assert_eq!(count(&|t| matches!(t, Touch::Power(_))), 1, "{touches:?}");
    assert_eq!(count(&|t| matches!(t, Touch::StartInstalled(_))), 1, "{touches:?}");
    assert_eq!(count(&|t| matches!(t, Touch::Push { to, .. } if to.ends_with("/root"))), 0, "{touches:?}");
    let held = touches.iter().find_map(|t| if let Touch::InstallImage { holds, .. } = t { Some(holds.join("; ")) } else { None });
    assert!(held.as_ref().is_some_and(|held| held.contains("LABEL=BRINGUPLAB")), "{held:?}");
    assert_eq!(count(&|t| matches!(t, Touch::InstallImage { .. })), 1, "{touches:?}");

    // The key that the grant brought is the disk's now, whoever asks; and nothing is left to do.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let grants = Grants::open(&words.path("state/grants.db")).unwrap();
    let noted = runtime.block_on(grants.events_since(0)).unwrap();
    let key = noted.iter().find(|e| e.stage == Stage::Identity).unwrap().detail.strip_prefix("host key ").unwrap().to_owned();
    let look = "cat /proc/cmdline /etc/hostname /etc/bringup/installed; awk '$2 == \"/\" { print $1 }' /proc/mounts; ls /etc/ssh /etc/bringup";
    let seen = on_machine(lab, machine, &words, &key, look);
    for word in [" bringup.plan=plan-", " bringup.disk=", &format!("\n{}\n", node(machine)), "\n/dev/vda2\n"] {
        assert!(seen.contains(word), "{word}: {seen}");
    }
    assert!(!seen.contains("bringup-lab.from=") && !seen.contains("ssh_host_rsa_key"), "{seen}");
    run(lab, &words, &["plan", "--select", &node(machine), "--detailed-exitcode"]).must_exit(0);
    assert_eq!(lab.device(machine), "hd", "{told}");
    assert!(!said(&journal).contains("/dev/vda"), "a device name means another disk after the next boot");
}
