//! The whole line with a host key that nobody knew before: `plan` and `apply` bring a powered-off machine of the laboratory up with the built
//! ramdisk, are killed when it has just taken its identity, and `resume` knows the node by what the grants say. tcpdump hears all of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bringup::boot::{Grants, Stage};
use bringup::model::NodeId;
use russh::keys::PrivateKey;

use super::identity::{must_not_hold, secrets};
use super::lab::{self, Lab, Machine};
use super::ramdisk::image;
use super::verbs::{plan, run, start};
use super::words::{Words, node};
use crate::support::{Service, need_program, wait_until};

const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn said(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}

/// The laboratory's words with the ramdisk as image, and no host key written down anywhere.
pub(super) fn write(lab: &Lab, built: &Path) -> Words {
    let words = Words::write(lab, &[]);
    words.change("inventory/site.yaml", "host_key: pinned", "host_key: first-contact");
    let facts = std::fs::read_to_string(words.path("inventory/facts/lab.csv")).unwrap();
    let cut: Vec<&str> = facts.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    assert!(cut[0].ends_with("bmc_cert_sha256"), "{facts}");
    std::fs::write(words.path("inventory/facts/lab.csv"), cut.join("\n") + "\n").unwrap();
    std::fs::copy(built.join("bringup.yaml"), words.path("images/lab.yaml")).unwrap();
    std::os::unix::fs::symlink(built.join("bringup"), words.path("images/bringup")).unwrap();
    words.change("playbooks/lab.yaml", "boot_deadline: 5m", "boot_deadline: 8m");
    words
}

/// What a command on the machine prints, by OpenSSH, which takes the host key with this fingerprint and no other.
pub(super) fn on_machine(lab: &Lab, machine: &Machine, words: &Words, fingerprint: &str, command: &str) -> String {
    let script = "set -e; cd \"$1\"; ssh-keyscan -T 60 -t ed25519 \"$2\" >shown 2>/dev/null
        [ \"$(ssh-keygen -lf shown | cut -d' ' -f2)\" = \"$3\" ] || { echo another host key: $(ssh-keygen -lf shown); exit 1; }
        exec ssh -F none -i \"$4\" -o BatchMode=yes -o ConnectTimeout=60 -o StrictHostKeyChecking=yes \
          -o UserKnownHostsFile=shown \"root@$2\" \"$5\"";
    let key = lab.built.join("id_ed25519");
    let mut ssh = lab.inside("sh");
    ssh.args(["-c", script, "sh"]).arg(words.dir()).args([&machine.address, fingerprint]).arg(key).arg(command);
    let out = ssh.output().unwrap();
    assert!(out.status.success(), "{out:?}\n{}", lab.console(machine));
    String::from_utf8(out.stdout).unwrap()
}

/// `bringup exec`, which may believe a key at first contact; what comes after `--` comes last.
fn exec(lab: &Lab, machine: &Machine, words: &Words, state: &str, argv: &[&str]) -> (Option<i32>, String) {
    let mut command = lab.inside(env!("CARGO_BIN_EXE_bringup"));
    command.args(["exec", &node(machine), "--accept-new", "--state"]).arg(words.path(state));
    command.arg("--inventory").arg(words.path("inventory")).arg("--playbook").arg(words.path("playbooks/lab.yaml"));
    let out = command.arg("--").args(argv).current_dir(words.dir()).env("LAB_BMC_PASSWORD", "lab-password").output().unwrap();
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// Writes down every frame of the laboratory's bridge.
pub(super) fn listen(lab: &Lab, words: &Words) -> Service {
    let mut dump = lab.inside("tcpdump");
    dump.args(["-i", "br0", "-U", "-s", "0", "-Z", "root", "-w"]).arg(words.path("wire.pcap"));
    dump.stdout(Stdio::null()).stderr(std::fs::File::create(words.path("tcpdump.err")).unwrap());
    let dump = Service::start(&mut dump).unwrap();
    wait_until("tcpdump listens", PATIENCE, || said(&words.path("tcpdump.err")).contains("listening on br0"));
    dump
}

#[test]
fn plan_and_apply_boot_the_built_ramdisk_with_a_host_key_of_its_own() {
    let test = "peers::brought::plan_and_apply_boot_the_built_ramdisk_with_a_host_key_of_its_own";
    let (Some(image), Some(_)) = (image(test), need_program(test, "tcpdump")) else { return };
    let Some((lab, _turn)) = lab::need(test) else { return };
    let (machine, words) = (lab.machine(1), write(lab, &image.out));
    let _off = lab.unplug_at_the_end(machine);
    let starts = lab.starts(machine);
    let wire = listen(lab, &words);
    plan(lab, &words, machine);
    assert!(said(&words.path("plan.json")).replace(' ', "").contains("\"identity\":\"grant\""));

    let began = std::time::Instant::now();
    let mut apply = start(lab, &words, &["apply", "plan.json", "--yes", "-v"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait_until("the run makes its grants", PATIENCE, || words.path("state/grants.db").exists() || apply.ended());
    let grants = Grants::open(&words.path("state/grants.db")).unwrap();
    let given = |events: &[bringup::boot::Noted]| events.iter().find(|e| e.stage == Stage::Identity).cloned();
    // Not before the node has it: what is handed out and lost with the server is lost, since nothing is handed out twice.
    wait_until("the node has its identity", PATIENCE, || {
        lab.console(machine).contains("bringup: stage identity") || apply.ended()
    });
    let killed = apply.kill_nine();
    assert_eq!(killed.exit, None, "it ended before it was killed:\n{}\n{}\n{}", killed.out, killed.err, lab.console(machine));
    let resumed = run(lab, &words, &["resume", "-v", "--events", "events.ndjson"]);
    let told = format!("stdout:\n{}\nstderr:\n{}\nconsole:\n{}", resumed.out, resumed.err, lab.console(machine));
    assert_eq!(resumed.exit, Some(0), "{told}");
    println!(
        "{}: off to admitted in {:.1} s, killed and resumed between\n{}",
        node(machine),
        began.elapsed().as_secs_f64(),
        resumed.out
    );
    assert_eq!(lab.starts(machine), starts + 1, "powered on once: {told}");

    // The journal names the key that the node was handed, and the node shows that one.
    let noted = given(&runtime.block_on(grants.events_since(0)).unwrap()).unwrap();
    let key = noted.detail.strip_prefix("host key ").unwrap().to_owned();
    let status = runtime.block_on(grants.status(noted.grant.as_deref().unwrap())).unwrap().unwrap();
    assert_eq!((status.refused, status.identity.unwrap().host_key), (0, key.clone()));
    assert_eq!(status.spec.node, NodeId::new(node(machine)).unwrap());
    let cmdline = on_machine(lab, machine, &words, &key, "cat /proc/cmdline");
    assert!(
        cmdline.contains("bringup.plan=plan-") && cmdline.contains("bringup.identity=https://10.77.0.1:8443/g/"),
        "{cmdline}"
    );
    // Later commands, each a process of its own, know it too, and plan that nothing is left to do.
    let (exit, told) = exec(lab, machine, &words, "state/journal.db", &["cat", "/sys/class/dmi/id/product_serial"]);
    assert!(exit == Some(0) && told.contains(&machine.serial) && !told.contains("SHA256:"), "{told}");
    run(lab, &words, &["plan", "--select", &node(machine), "--detailed-exitcode"]).must_exit(0);
    // Without the grants nobody knows it, and nobody is asked to believe it.
    let (exit, told) = exec(lab, machine, &words, "elsewhere/journal.db", &["true"]);
    assert!(exit != Some(0) && told.contains("is not recorded yet"), "{exit:?} {told}");

    drop(wire);
    let host = on_machine(lab, machine, &words, &key, "cat /run/bringup/identity/ssh_host_ed25519_key");
    let host = PrivateKey::from_openssh(host).unwrap();
    let dump = Command::new("tcpdump").args(["-nn", "-r"]).arg(words.path("wire.pcap")).arg("tcp port 8443").output().unwrap();
    assert!(String::from_utf8_lossy(&dump.stdout).lines().count() > 10, "the wire was heard: {dump:?}");
    let mut files: Vec<_> = ["wire.pcap", "plan.json", "events.ndjson"].iter().map(|n| words.path(n)).collect();
    for entry in std::fs::read_dir(words.dir()).unwrap().chain(std::fs::read_dir(words.path("state")).unwrap()) {
        files.extend(Some(entry.unwrap().path()).filter(|p| p.is_file() && p.file_name().is_some_and(|n| n != "shown")));
    }
    assert!(files.iter().any(|f| f.ends_with("grants.db")) && files.iter().any(|f| f.ends_with("journal.db")), "{files:?}");
    must_not_hold(&files, &secrets(&host));
    let journal = said(&words.path("state/journal.db")) + &said(&words.path("state/journal.db-wal"));
    assert!(journal.contains(&format!("brings the host key {key}")), "the journal names the key");
}
