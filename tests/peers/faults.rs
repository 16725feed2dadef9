//! What must not pass: a boot override that a real BMC lost, a network boot that somebody else answered, and a stop in the middle.

use std::time::Duration;

use super::boots::{must_be_admitted, must_run_the_plan};
use super::lab::{self, Lab, Machine};
use super::verbs::{plan, run, standing, start};
use super::words::{Words, node};
use crate::support::wait_until;

/// Machine 4's Redfish service answers a boot override with 2xx and keeps none; on its disk the same system waits with the right serial.
#[test]
fn lost_override_is_caught() {
    let Some((lab, _turn)) = lab::need("lost_override_is_caught") else { return };
    let (machine, words) = (lab.machine(4), Words::write(lab, &[]));
    let starts = lab.starts(machine);
    let _off = lab.unplug_at_the_end(machine);
    let told = must_fail(lab, machine, &words);
    assert!(told.contains("set the boot override"), "{told}");
    assert_eq!(lab.starts(machine), starts, "powered on though the override was seen lost");
}

/// Machine 6 keeps its override, but every network boot fails and its firmware goes on to the disk: SSH lets us in, serial and host key
/// are right, and it is not the plan's system.
#[test]
fn a_fall_through_to_the_disk_is_caught() {
    let Some((lab, _turn)) = lab::need("a_fall_through_to_the_disk_is_caught") else { return };
    let (machine, words) = (lab.machine(6), Words::write(lab, &[]));
    // Firmware takes more than a minute to give the network up.
    words.change("playbooks/lab.yaml", "boot_deadline: 5m", "boot_deadline: 12m");
    let _off = lab.unplug_at_the_end(machine);
    let told = must_fail(lab, machine, &words);
    assert!(told.contains("does not carry the plan's mark"), "{told}");
    assert!(told.contains("the boot server never heard of it") && told.contains("look next at: bringup bmc info"), "{told}");
    assert_eq!(lab.device(machine), "hd", "the override was not given back: {told}");
    must_come_from(lab, machine, "disk");
}

/// Machine 5 keeps its override and boots from the network, but the site's DHCP leads it to somebody else's script.
#[test]
fn a_boot_that_somebody_else_answered_is_caught() {
    let Some((lab, _turn)) = lab::need("a_boot_that_somebody_else_answered_is_caught") else { return };
    let (machine, words) = (lab.machine(5), Words::write(lab, &[]));
    let _off = lab.unplug_at_the_end(machine);
    let told = must_fail(lab, machine, &words);
    assert!(told.contains("does not carry the plan's mark"), "{told}");
    must_come_from(lab, machine, "elsewhere");
}

fn must_come_from(lab: &Lab, machine: &Machine, from: &str) {
    let cmdline = lab.on_machine(machine, "cat /proc/cmdline").unwrap();
    assert!(cmdline.contains(&format!("bringup-lab.from={from}")), "{cmdline}");
}

/// Plans and applies; one node fails, which the playbook's budget allows. Gives everything that was told about it.
fn must_fail(lab: &Lab, machine: &Machine, words: &Words) -> String {
    plan(lab, words, machine);
    let said = run(lab, words, &["apply", "plan.json", "--yes"]).must_exit(4);
    let standing = standing(lab, words, machine);
    assert_eq!(standing["phase"], "failed", "{standing}");
    assert_eq!(standing["working"], 0, "{standing}");
    let told = format!("{}{}{standing}", said.out, said.err);
    println!("{}: {}", node(machine), standing["why"]);
    told
}

/// `kill -9` right after the machine was powered on: the boot server is gone in the middle of the boot.
#[test]
fn kill_nine_then_resume() {
    let Some((lab, _turn)) = lab::need("kill_nine_then_resume") else { return };
    let (machine, words) = (lab.machine(3), Words::write(lab, &[]));
    let starts = lab.starts(machine);
    killed_and_resumed(lab, machine, &words, "the machine to be powered on", &|| lab.starts(machine) > starts);
}

/// `kill -9` when the kernel has started: what is left is the login, the gate and the pool.
#[test]
fn kill_nine_after_the_kernel_started_then_resume() {
    let Some((lab, _turn)) = lab::need("kill_nine_after_the_kernel_started_then_resume") else { return };
    let (machine, words) = (lab.machine(3), Words::write(lab, &[]));
    let kernels = lab.kernels(machine).len();
    killed_and_resumed(lab, machine, &words, "the kernel to start", &|| lab.kernels(machine).len() > kernels);
}

fn killed_and_resumed(lab: &Lab, machine: &Machine, words: &Words, what: &str, moment: &dyn Fn() -> bool) {
    let _off = lab.unplug_at_the_end(machine);
    let (starts, kernels) = (lab.starts(machine), lab.kernels(machine).len());
    plan(lab, words, machine);
    let mut apply = start(lab, words, &["apply", "plan.json", "--yes"]);
    wait_until(what, Duration::from_secs(300), || moment() || apply.ended());
    let killed = apply.kill_nine();
    assert_eq!(killed.exit, None, "apply ended before it was killed:\n{}\n{}", killed.out, killed.err);
    let resumed = run(lab, words, &["resume"]);
    let told = format!("stdout:\n{}\nstderr:\n{}\nconsole:\n{}", resumed.out, resumed.err, lab.console(machine));
    assert_eq!(resumed.exit, Some(0), "{told}");
    assert_eq!(lab.starts(machine), starts + 1, "powered on exactly once: {told}");
    assert_eq!(lab.kernels(machine).len(), kernels + 1, "exactly one kernel started: {told}");
    must_run_the_plan(lab, machine);
    must_be_admitted(lab, words, machine);
    println!("{}: killed while waiting for {what}, then resumed\n{}", node(machine), resumed.out);
}
