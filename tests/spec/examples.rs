//! The worked examples at the top of the repository: they load, they count, and they fit together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bringup::model::{AcceleratorKind, BmcProtocol, BmcTrust, Inventory};
use bringup::spec::{LoadedInventory, load_inventory, load_playbook, validate_words};

use super::playbook::TODAY;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn example(name: &str) -> LoadedInventory {
    let dir = root().join("inventory").join(name);
    load_inventory(&dir, TODAY).unwrap_or_else(|found| panic!("{}", found.render(false)))
}

/// Cards by family and model.
fn cards(inventory: &Inventory) -> BTreeMap<(AcceleratorKind, String), u32> {
    let mut all = BTreeMap::new();
    for node in inventory.nodes.values() {
        *all.entry((node.accelerator.kind, node.accelerator.model.clone())).or_default() += node.accelerator.count;
    }
    all
}

#[test]
fn kr_ai_1_is_1250_nodes_and_10000_accelerators() {
    let loaded = example("kr-ai-1");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
    let site = &loaded.inventory;
    assert_eq!((site.nodes.len(), site.racks.len()), (1250, 275 + 10 + 8 + 3));
    let want = [
        ((AcceleratorKind::Nvidia, "H100".to_owned()), 8848),
        ((AcceleratorKind::Furiosa, "RNGD".to_owned()), 640),
        ((AcceleratorKind::Rebellions, "ATOM-Max".to_owned()), 512),
    ];
    assert_eq!(cards(site), want.into_iter().collect());
    assert_eq!(site.nodes.values().map(|n| n.accelerator.count).sum::<u32>(), 10_000);
    assert!(
        site.nodes
            .values()
            .all(|n| n.serial.is_some() && matches!(n.bmc.trust, BmcTrust::Pinned(_)) || n.id.as_str() == "a017-s03")
    );

    let node = |name: &str| &site.nodes[&name.parse().unwrap()];
    let last = node("a275-s04");
    assert_eq!(last.bmc.address.to_string(), "10.1.17.36:443", "(275-1)*16+4 = 4388 = 17*256+36");
    assert_eq!(
        (last.ssh.address.ip().to_string(), site.racks[&last.rack].feed.as_deref()),
        ("10.101.17.36".to_owned(), Some("a-11"))
    );
    assert_eq!(node("t003-s02").labels.get("ring").map(String::as_str), Some("canary"));
    assert_eq!(node("a017-s03").bmc.protocol, BmcProtocol::Ipmi);
    assert_eq!(site.nodes.values().filter(|n| !n.admit).count(), 12);
    assert!(node("a121-s02").hold.as_deref().unwrap().contains("4471"));
    assert_eq!((node("c001-s01").vendor.as_deref(), node("c001-s01").pool.as_str()), (Some("Supermicro"), "infer"));
}

#[test]
fn two_racks_is_small_and_whole() {
    let loaded = example("two-racks");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
    assert_eq!((loaded.inventory.nodes.len(), loaded.inventory.racks.len()), (8, 2));
    assert!(loaded.inventory.nodes.values().all(|n| n.accelerator_serials.len() == 8));
}

#[test]
fn the_playbooks_fit_the_inventories_and_the_gate() {
    let gate = bringup::cli::gate_words::gate();
    for site in ["kr-ai-1", "two-racks"] {
        let inventory = example(site).inventory;
        let found = validate_words(&root(), Some(&inventory), Some(&gate), TODAY);
        assert!(found.is_empty(), "{}", found.render(false));
    }
    let inventory = example("kr-ai-1").inventory;
    for (name, kinds) in [
        ("gpu-bringup", vec![AcceleratorKind::Nvidia]),
        ("npu-bringup", vec![AcceleratorKind::Furiosa, AcceleratorKind::Rebellions]),
        ("site", vec![AcceleratorKind::Nvidia, AcceleratorKind::Furiosa, AcceleratorKind::Rebellions]),
    ] {
        let loaded = load_playbook(&root().join("playbooks").join(format!("{name}.yaml")), TODAY)
            .unwrap_or_else(|d| panic!("{}", d.render(false)));
        let (fits, rest): (Vec<_>, Vec<_>) = inventory.nodes.values().partition(|n| kinds.contains(&n.accelerator.kind));
        assert!(loaded.check_nodes(fits).is_empty(), "{name}");
        assert_eq!(loaded.check_nodes(rest.iter().copied()).refused(), !rest.is_empty(), "{name}");
    }
}

#[test]
fn nodes_that_a_playbook_does_not_serve_are_told_once_a_name() {
    let loaded = load_playbook(&root().join("playbooks/gpu-bringup.yaml"), TODAY).unwrap();
    let inventory = example("kr-ai-1").inventory;
    let told = loaded.check_nodes(inventory.nodes.values());
    let messages: Vec<&str> = told.sorted().iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "64 nodes (first c001-s01) name the stack `rbln-3`, which is not in the playbook `gpu-bringup`",
            "80 nodes (first b001-s01) name the stack `rngd-2026`, which is not in the playbook `gpu-bringup`",
            "64 nodes (first c001-s01) name the policy `atom-max-acceptance`, which is not in the playbook `gpu-bringup`",
            "80 nodes (first b001-s01) name the policy `rngd-acceptance`, which is not in the playbook `gpu-bringup`",
        ]
    );
    let mut wrong = inventory;
    wrong.nodes.retain(|_, n| n.accelerator.kind == AcceleratorKind::Furiosa);
    wrong.nodes.values_mut().for_each(|n| (n.verify, n.stack) = ("h100-acceptance".to_owned(), None));
    let told = loaded.check_nodes(wrong.nodes.values());
    let messages: Vec<&str> = told.sorted().iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "none of the nodes has the label `ring=canary`, so there is no canary wave",
            "80 nodes (first b001-s01) name the policy `h100-acceptance`, which is for `nvidia`, but hold `furiosa` accelerators",
        ]
    );
    assert_eq!((told.errors(), told.warnings()), (1, 1));

    let mut few = example("two-racks").inventory;
    few.nodes.retain(|_, n| n.accelerator.kind == AcceleratorKind::Nvidia);
    few.nodes.values_mut().for_each(|n| n.accelerator.count = 4);
    let told = loaded.check_nodes(few.nodes.values());
    let first = told.sorted()[0].message.clone();
    assert!(first.starts_with("4 nodes (first r1-s1) name the policy `h100-acceptance`, which lets 7 healthy"), "{first}");
}

/// The committed facts are what the script writes: nobody edited one of them by hand.
#[test]
fn the_facts_come_from_the_script() {
    const TEST: &str = "the_facts_come_from_the_script";
    let Some(python) = crate::support::need_program(TEST, "python3") else { return };
    let copy = tempfile::tempdir().unwrap();
    let site = root().join("inventory/kr-ai-1");
    std::fs::copy(site.join("generate-facts.py"), copy.path().join("generate-facts.py")).unwrap();
    let status = std::process::Command::new(python).arg(copy.path().join("generate-facts.py")).status().unwrap();
    assert!(status.success());
    for name in ["a", "b", "c", "t"] {
        let file = Path::new("facts").join(name).with_extension("csv");
        assert!(
            std::fs::read(copy.path().join(&file)).unwrap() == std::fs::read(site.join(&file)).unwrap(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn artifacts_are_named_and_never_committed() {
    for name in ["gpu-bringup", "npu-bringup"] {
        let loaded = load_playbook(&root().join("playbooks").join(format!("{name}.yaml")), TODAY).unwrap();
        let found = loaded.check_artifacts();
        assert!(
            found.errors() >= 4 && found.sorted().iter().all(|d| d.message.ends_with("is missing")),
            "{}",
            found.render(false)
        );
    }
}
