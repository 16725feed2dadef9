//! The main job on machines that other people wrote: a powered-off machine, a plan, an apply, a login in the image, the pool.

use super::lab::{self, Lab, Machine};
use super::verbs::{apply_to_ssh, plan, run, standing};
use super::words::Words;

#[test]
fn redfish_plan_apply_boots_a_real_machine() {
    let Some((lab, _turn)) = lab::need("redfish_plan_apply_boots_a_real_machine") else { return };
    bring_up(lab, lab.machine(1), &Words::write(lab, &[]), "Redfish override, UEFI PXE, site's DHCP");
}

#[test]
fn ipmi_plan_apply_boots_a_real_machine() {
    let Some((lab, _turn)) = lab::need("ipmi_plan_apply_boots_a_real_machine") else { return };
    bring_up(lab, lab.machine(2), &Words::write(lab, &[2]), "IPMI override, UEFI PXE, site's DHCP");
}

fn bring_up(lab: &Lab, machine: &Machine, words: &Words, road: &str) {
    let _off = lab.unplug_at_the_end(machine);
    let (starts, kernels) = (lab.starts(machine), lab.kernels(machine).len());
    plan(lab, words, machine);
    let began = std::time::Instant::now();
    let (said, to_ssh) = apply_to_ssh(lab, words, machine);
    let took = began.elapsed();
    assert_eq!(said.exit, Some(0), "stdout:\n{}\nstderr:\n{}\nconsole:\n{}", said.out, said.err, lab.console(machine));
    assert_eq!(lab.starts(machine), starts + 1, "powered on once");
    assert_eq!(lab.kernels(machine).len(), kernels + 1, "one kernel started");
    must_run_the_plan(lab, machine);
    must_be_admitted(lab, words, machine);
    // Both BMCs keep "once" for ever: a run that did not give the override back would make every reboot a netboot.
    assert_eq!(lab.device(machine), "hd", "stdout:\n{}\nstderr:\n{}", said.out, said.err);
    // virtualbmc shows the device that the machine was powered on with; it is not claimed that the new one was seen.
    let by_ipmi = machine.number == 2;
    assert_eq!(said.out.contains("not given back"), by_ipmi, "{}", said.out);
    assert_eq!(said.out.contains("the BMC took it and still shows the old one"), by_ipmi, "{}", said.out);
    // Everything is as planned: planning again changes nothing.
    run(lab, words, &["plan", "--select", &super::words::node(machine), "--detailed-exitcode"]).must_exit(0);
    for seen in ["boot server: script", "boot server: kernel", "boot server: initrd", "given back: grant"] {
        assert!(said.err.contains(seen), "{seen} is not in:\n{}", said.err);
    }
    println!("{road} \u{2192} {to_ssh:.1} s to SSH");
    println!("{}: off to admitted in {:.1} s\n{}", super::words::node(machine), took.as_secs_f64(), said.out);
}

/// By OpenSSH, not by us: the machine runs what the plan says, and did not come up from its disk.
pub fn must_run_the_plan(lab: &Lab, machine: &Machine) {
    let cmdline = lab.on_machine(machine, "cat /proc/cmdline").unwrap();
    assert!(cmdline.contains("bringup.plan="), "{cmdline}");
    assert!(cmdline.contains("bringup.image="), "{cmdline}");
    assert!(!cmdline.contains("bringup-lab.from="), "{cmdline}");
    assert_eq!(lab.on_machine(machine, "cat /sys/class/dmi/id/product_serial").unwrap(), machine.serial);
}

/// The journal and the pool both say that both accelerators work.
pub fn must_be_admitted(lab: &Lab, words: &Words, machine: &Machine) {
    let standing = standing(lab, words, machine);
    assert_eq!(standing["phase"], "admitted", "{standing}");
    let pool = run(lab, words, &["pool", "list", "--output", "json"]).must_exit(0).out;
    assert!(pool.contains(&super::words::node(machine)), "{pool}");
}
