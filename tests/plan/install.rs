//! A node's line when an image is to be on its disk.

use bringup::model::{
    ActionSpec, BootMode, DiskInstall, DiskRule, Image, Observed, Playbook, PowerState, Reading, SystemFacts, Transport, Wipe,
};
use bringup::planner::{Ask, Line, image_digest, line};

use super::written::{image, inventory, off, playbook};

fn on_disk() -> Image {
    let first = image();
    Image { name: "node".to_owned(), root: Some(first.kernel.clone()), ..first }
}

fn wanted() -> Playbook {
    let disk = DiskRule { transport: Some(Transport::Nvme), ..DiskRule::default() };
    let mut playbook = playbook();
    playbook.baseline.install = Some(DiskInstall { image: on_disk(), disk, wipe: Wipe::BlankOnly, deadline_s: 1800 });
    playbook
}

fn ask(observed: &Observed, mode: BootMode) -> Line {
    let (inventory, playbook) = (inventory(1, 1), wanted());
    let mut node = inventory.nodes.values().next().unwrap().clone();
    node.boot.mode = mode;
    line(&Ask { node: &node, playbook: &playbook, observed, in_pool: true })
}

fn running(cmdline: &str) -> Observed {
    let system = SystemFacts {
        boot_id: "b1".to_owned(),
        serial: Reading::Known("SN00101".to_owned()),
        uuid: Reading::Absent,
        cmdline: Reading::Known(cmdline.to_owned()),
    };
    Observed { power: Reading::Known(PowerState::On), system: Reading::Known(system), ..off("SN00101") }
}

#[test]
fn one_step_brings_an_image_onto_the_disk() {
    let Line::Walk(plan) = ask(&off("SN00101"), BootMode::Uefi) else { panic!("no line") };
    assert_eq!((plan.steps.len(), plan.steps[0].id.as_str()), (1, "1-install"));
    let ActionSpec::InstallImage { netboot, image_digest: digest, .. } = &plan.steps[0].action else { panic!("{plan:?}") };
    assert_eq!(*digest, image_digest(&on_disk()));
    assert!(matches!(netboot.as_ref(), ActionSpec::Netboot { image_digest: first, .. } if *first == image_digest(&image())));
    // It is read back as it was written.
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<bringup::model::NodePlan>(&text).unwrap(), *plan);
}

#[test]
fn the_same_image_counts_only_from_a_disk() {
    let mark = format!("quiet bringup.plan=plan-1 bringup.image={}", image_digest(&on_disk()));
    assert_eq!(ask(&running(&format!("{mark} bringup.disk=1-2-3")), BootMode::Uefi), Line::Settled);
    let Line::Walk(plan) = ask(&running(&mark), BootMode::Uefi) else { panic!("no line") };
    assert!(plan.steps[0].why.contains("from the network, wanted"), "{}", plan.steps[0].why);
    let Line::Walk(plan) = ask(&running("root=/dev/sda1"), BootMode::Uefi) else { panic!("no line") };
    assert!(plan.steps[0].why.contains("not installed by bringup"), "{}", plan.steps[0].why);
}

#[test]
fn a_node_in_bios_mode_is_not_planned() {
    let Line::Blocked(blocked) = ask(&off("SN00101"), BootMode::Legacy) else { panic!("planned") };
    assert!(blocked.why.contains("BIOS mode") && blocked.hint.contains("boot.mode"), "{blocked:?}");
}
