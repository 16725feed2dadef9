//! What must not pass: a boot override that a real BMC lost, a network boot that somebody else answered, and a stop in the middle.

use std::time::Duration;

use super::boots::{must_be_admitted, must_run_the_plan};
use super::lab::{self, Lab, Machine};
use super::verbs::{Said, plan, run, standing, start};
use super::words::{Words, node};
use crate::support::wait_until;

/// Machine 4's Redfish service answers a boot override with 2xx and keeps none; the machine then starts from its disk, where the same
/// system waits with the right serial and lets us in.
#[test]
fn lost_override_is_caught() {
    let Some((lab, _turn)) = lab::need("lost_override_is_caught") else { return };
    let (machine, words) = (lab.machine(4), Words::write(lab, &[]));
    let (said, standing) = must_fail(lab, machine, &words);
    let told = format!("{} {}", said.err, standing);
    assert!(told.contains("override") || told.contains("bringup.plan") || told.contains("not netbooted"), "{told}");
}

/// Machine 5 keeps its override and boots from the network, but the site's DHCP leads it to somebody else's script.
#[test]
fn a_boot_that_somebody_else_answered_is_caught() {
    let Some((lab, _turn)) = lab::need("a_boot_that_somebody_else_answered_is_caught") else { return };
    let (machine, words) = (lab.machine(5), Words::write(lab, &[]));
    // The system that comes up is not the plan's and never will be: there is no reason to wait for long.
    words.change("playbooks/lab.yaml", "boot_deadline: 5m", "boot_deadline: 2m");
    let (said, standing) = must_fail(lab, machine, &words);
    let cmdline = lab.on_machine(machine, "cat /proc/cmdline");
    assert!(cmdline.as_ref().is_ok_and(|c| c.contains("bringup-lab.from=elsewhere")), "the machine did not come up: {cmdline:?}");
    let told = format!("{} {}", said.err, standing);
    assert!(told.contains("bringup.plan") || told.contains("bringup.image") || told.contains("netbooted"), "{told}");
    lab.pull_the_plug(machine);
}

fn must_fail(lab: &Lab, machine: &Machine, words: &Words) -> (Said, serde_json::Value) {
    plan(lab, words, machine);
    // One node failed, and the playbook's budget allows it.
    let said = run(lab, words, &["apply", "plan.json", "--yes"]).must_exit(4);
    let standing = standing(lab, words, machine);
    assert_eq!(standing["phase"], "failed", "{standing}");
    let pool = run(lab, words, &["pool", "list", "--output", "json"]).must_exit(0).out;
    assert!(!pool.contains("\"working\"") || !pool.contains(&node(machine)), "{pool}");
    (said, standing)
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
    lab.pull_the_plug(machine);
}
