//! A node's line when an image is to be on its disk.

use bringup::model::{
    ActionSpec, Artifact, BootMode, Digest, DiskContent, DiskImage, DiskInstall, DiskMark, DiskRule, Image, Installable,
    Observed, Packed, PlanId, Playbook, PowerState, Reading, RootDisk, SystemFacts, Transport, Wipe,
};
use bringup::planner::{Ask, Line, image_digest, install_digest, line};

use super::written::{image, inventory, off, playbook};

fn on_disk() -> Image {
    let first = image();
    Image { name: "node".to_owned(), root: Some(first.kernel.clone()), ..first }
}

fn wanted() -> Playbook {
    let disk = DiskRule { transport: Some(Transport::Nvme), ..DiskRule::default() };
    let mut playbook = playbook();
    playbook.baseline.install = Some(DiskInstall { image: on_disk().into(), disk, wipe: Wipe::BlankOnly, deadline_s: 1800 });
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
        root: None,
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

/// The image of a whole disk, whose host key is known.
fn whole_disk() -> DiskImage {
    let file = Artifact { path: "/srv/site.raw.zst".into(), sha256: Digest::from_bytes(&[3; 32]) };
    let content = DiskContent { file, packed: Packed::Zstd, sha256: Digest::from_bytes(&[4; 32]), bytes: 4 << 30 };
    let keys = [format!("SHA256:{}", "a".repeat(43))].into();
    DiskImage { name: "site".to_owned(), arch: image().arch, content, ssh_host_keys: keys }
}

fn ask_disk(image: &DiskImage, observed: &Observed) -> Line {
    let (inventory, mut playbook) = (inventory(1, 1), wanted());
    let mut node = inventory.nodes.values().next().unwrap().clone();
    node.boot.mode = BootMode::Uefi;
    node.ssh.host_keys.clear();
    playbook.baseline.install.as_mut().unwrap().image = Installable::Disk(image.clone());
    line(&Ask { node: &node, playbook: &playbook, observed, in_pool: true })
}

/// A system that says nothing of us, on a disk with this table.
fn on_table(table: Option<Reading<String>>) -> Observed {
    let mut observed = running("BOOT_IMAGE=/vmlinuz root=UUID=1 ro");
    if let Reading::Known(system) = &mut observed.system {
        system.root = table.map(|table| table.map(|table| RootDisk { serial: "D1".into(), wwn: "eui.1".into(), table }));
    }
    observed
}

#[test]
fn a_whole_disk_is_known_by_the_table_of_the_disk_below_the_system() {
    let image = whole_disk();
    let Line::Walk(plan) = ask_disk(&image, &off("SN00101")) else { panic!("no line") };
    let ActionSpec::WriteDisk { content, image_digest: digest, netboot, .. } = &plan.steps[0].action else { panic!("{plan:?}") };
    assert!(*content == image.content && matches!(netboot.as_ref(), ActionSpec::Netboot { .. }), "{plan:?}");
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<bringup::model::NodePlan>(&text).unwrap(), *plan);

    let table = |serial: &str, image: &Digest| {
        let mark = DiskMark { node: &plan.node, image, serial, wwn: "eui.1" };
        Some(Reading::Known(mark.by(&PlanId::new("plan-of-last-year").unwrap())))
    };
    assert_eq!(ask_disk(&image, &on_table(table("D1", digest))), Line::Settled);
    for (found, why) in [
        (table("D2", digest), "does not say that disk image"),
        (table("D1", &install_digest(&on_disk().into())), "does not say that disk image"),
        (Some(Reading::Known(String::new())), "does not say that disk image"),
        (Some(Reading::unknown("Permission denied")), "could not be read"),
        (None, "could not be read"),
    ] {
        let Line::Walk(plan) = ask_disk(&image, &on_table(found)) else { panic!("{why}") };
        assert!(plan.steps[0].why.contains(why), "{}", plan.steps[0].why);
    }
    // Packed otherwise, it is the same disk.
    let plain = DiskContent { packed: Packed::None, ..image.content.clone() };
    assert_eq!(install_digest(&Installable::Disk(DiskImage { content: plain, ..image.clone() })), *digest);
}

#[test]
fn a_whole_disk_whose_host_key_nobody_knows_is_not_planned() {
    let image = DiskImage { ssh_host_keys: Default::default(), ..whole_disk() };
    let Line::Blocked(blocked) = ask_disk(&image, &off("SN00101")) else { panic!("planned") };
    assert!(blocked.why.contains("which SSH host key") && blocked.hint.contains("ssh.host_keys"), "{blocked:?}");
}
