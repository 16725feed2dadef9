//! The cache that a node fetches from stands in its plan.

use bringup::model::{ActionSpec, BootTarget, Node};
use bringup::planner::{Ask, Line, line};

use super::written::{inventory, off, playbook};

const CACHE: &str = "http://10.1.0.2:8088";

fn planned(root: bool, change: impl FnOnce(&mut Node)) -> (Option<String>, String) {
    let (mut inventory, mut playbook) = (inventory(1, 1), playbook());
    if let Some(image) = &mut playbook.baseline.image {
        image.root = root.then(|| image.kernel.clone());
    }
    let node = inventory.nodes.values_mut().next().unwrap();
    change(node);
    let Line::Walk(plan) = line(&Ask { node, playbook: &playbook, observed: &off("SN00101"), in_pool: false }) else {
        panic!("no line")
    };
    let ActionSpec::Netboot { files_from, .. } = plan.steps[0].action.clone() else { panic!("no netboot") };
    (files_from, serde_json::to_string(&plan).unwrap())
}

#[test]
fn the_plan_names_the_cache_and_a_plan_without_one_reads_as_before() {
    let (from, text) = planned(false, |node| node.boot.cache = Some(CACHE.into()));
    assert!(from.as_deref() == Some(CACHE) && text.contains(&format!("\"files_from\":\"{CACHE}\"")), "{text}");
    let (from, text) = planned(false, |_| {});
    assert!(from.is_none() && !text.contains("files_from"), "{text}");
}

#[test]
fn of_a_boot_medium_only_the_root_comes_by_the_cache() {
    let media = |node: &mut Node| {
        node.boot.cache = Some(CACHE.into());
        node.boot.method = BootTarget::Cd;
    };
    assert_eq!(planned(true, media).0.as_deref(), Some(CACHE));
    assert_eq!(planned(false, media).0, None, "the BMC reads the medium from the boot server itself");
}
