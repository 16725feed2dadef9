//! One node's line: what is planned from what is seen.

use bringup::model::{Observed, PowerState, Reading, SystemFacts};
use bringup::planner::{Ask, Line, image_digest, line, stale};

use super::written::{image, inventory, off, playbook};

fn ask(observed: &Observed, in_pool: bool) -> Line {
    let (inventory, playbook) = (inventory(1, 1), playbook());
    line(&Ask { node: inventory.nodes.values().next().unwrap(), playbook: &playbook, observed, in_pool })
}

fn blocked(observed: &Observed) -> String {
    match ask(observed, false) {
        Line::Blocked(blocked) => blocked.why,
        other => panic!("expected a blocked node, got {other:?}"),
    }
}

fn running(cmdline: &str) -> Observed {
    let system = SystemFacts {
        boot_id: "b1".to_owned(),
        serial: Reading::Known("SN00101".to_owned()),
        uuid: Reading::Absent,
        cmdline: Reading::Known(cmdline.to_owned()),
        root: None,
    };
    Observed { power: Reading::Known(PowerState::On), system: Reading::Known(system), ..off("SN00101") }
}

#[test]
fn a_node_that_is_off_is_netbooted() {
    let Line::Walk(plan) = ask(&off("SN00101"), false) else { panic!("no line") };
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].id.as_str(), "1-netboot");
}

#[test]
fn planning_again_after_success_gives_no_steps() {
    let done = running(&format!("quiet bringup.plan=plan-1 bringup.image={}", image_digest(&image())));
    assert_eq!(ask(&done, true), Line::Settled);
    let Line::Walk(gate_only) = ask(&done, false) else { panic!("no line") };
    assert!(gate_only.steps.is_empty(), "only the gate is left");
}

#[test]
fn a_system_from_the_disk_is_not_ours() {
    let Line::Walk(plan) = ask(&running("root=/dev/sda1"), true) else { panic!("no line") };
    assert!(plan.steps[0].why.contains("not netbooted by bringup"), "{}", plan.steps[0].why);
}

#[test]
fn another_machine_is_never_planned() {
    assert!(blocked(&off("OTHER")).contains("wrong serial behind its BMC address"));
    let mut swapped = running("x");
    if let Reading::Known(system) = &mut swapped.system {
        system.serial = Reading::Known("OTHER".to_owned());
    }
    assert!(blocked(&swapped).contains("wrong machine behind its SSH address"));
}

#[test]
fn silence_is_not_a_state() {
    let silent = Observed { bmc: Reading::unknown("no answer"), ..off("SN00101") };
    assert!(blocked(&silent).contains("no answer"));
    let powerless = Observed { power: Reading::unknown("lost"), ..off("SN00101") };
    assert!(blocked(&powerless).contains("power state is unknown"));
}

#[test]
fn a_plan_goes_stale_when_what_it_rests_on_changes() {
    let Line::Walk(plan) = ask(&off("SN00101"), false) else { panic!("no line") };
    assert_eq!(stale(&plan, &off("SN00101")), None);
    assert!(stale(&plan, &running("x")).unwrap().contains("power was off and is on"));
    assert!(stale(&plan, &off("OTHER")).unwrap().contains("BMC serial"));
}

#[test]
fn the_words_of_a_silence_and_the_secrets_of_a_grant_are_not_in_a_plan() {
    let with = |why: &str| {
        let mut seen = off("SN00101");
        seen.firmware = Reading::unknown(why);
        let uri = format!("http://10.0.0.1/g/{}/ipxe.efi", "ab".repeat(16));
        let target = bringup::model::BootTarget::UefiHttp;
        seen.boot = Reading::Known(bringup::model::BootOverride { target, once: true, mode: None, http_uri: Some(uri) });
        let Line::Walk(plan) = ask(&seen, false) else { panic!("no line") };
        serde_json::to_string(&plan).unwrap()
    };
    assert_eq!(with("connection reset from port 40001"), with("timed out after 15.2 s"));
    assert!(!with("x").contains(&"ab".repeat(16)));
}

#[test]
fn what_made_a_plan_stale_is_escaped() {
    let Line::Walk(plan) = ask(&off("SN00101"), false) else { panic!("no line") };
    let why = stale(&plan, &off("\u{1b}[2J")).unwrap();
    assert!(!why.contains('\u{1b}'), "{why:?}");
}
