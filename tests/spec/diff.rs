//! Two inventories compared: few groups, the right cause, the right risk.

use std::path::Path;
use std::process::{Command, Output};

use bringup::model::Inventory;
use bringup::spec::diff::{Change, Group, Side, diff};
use bringup::spec::fold;
use bringup::spec::risk::Risk;

use super::examples::{example, root};

fn compare(a: &Inventory, b: &Inventory) -> Vec<Group> {
    let cause = |_: &bringup::model::NodeId, field: &str| Some(format!("site.yaml:{}", field.len()));
    diff(&Side { inventory: a, cause: &cause }, &Side { inventory: b, cause: &cause })
}

fn nodes(group: &Group) -> String {
    fold(group.nodes.iter().map(|n| n.as_str()))
}

#[test]
fn the_same_inventory_has_no_difference() {
    let site = example("kr-ai-1").inventory;
    assert_eq!(compare(&site, &site), []);
}

#[test]
fn a_thousand_equal_edits_are_one_group() {
    let a = example("kr-ai-1").inventory;
    let mut b = a.clone();
    for node in b.nodes.values_mut().filter(|n| n.id.as_str().starts_with('a')) {
        node.bmc.address.set_port(8443);
    }
    let groups = compare(&a, &b);
    // a017-s03 is reached by IPMI, so its port was another one before.
    assert_eq!(groups.len(), 2, "{groups:#?}");
    let big = groups.iter().max_by_key(|g| g.nodes.len()).unwrap();
    let change = |from: &str| Change::Field {
        field: "bmc.address.port".into(),
        from: Some(from.into()),
        to: Some("8443".into()),
        each: false,
    };
    assert_eq!((&big.change, big.nodes.len(), big.risk), (&change("443"), 1099, Risk::None));
    assert_eq!(big.cause.as_deref(), Some("site.yaml:16"));
    assert!(groups.iter().any(|g| g.change == change("623") && nodes(g) == "a017-s03"));
}

#[test]
fn the_risk_depends_on_the_field_and_the_accelerator() {
    let a = example("kr-ai-1").inventory;
    let mut b = a.clone();
    let node = |b: &mut Inventory, name: &str, edit: &dyn Fn(&mut bringup::model::Node)| {
        edit(b.nodes.get_mut(&name.parse().unwrap()).unwrap())
    };
    node(&mut b, "a001-s01", &|n| n.stack = Some("cuda-590".into()));
    node(&mut b, "c001-s01", &|n| n.stack = Some("rbln-4".into()));
    node(&mut b, "a001-s02", &|n| n.power.boot_w += 1);
    node(&mut b, "a001-s03", &|n| n.boot.server = None);
    node(&mut b, "a001-s04", &|n| drop(n.labels.insert("ring".into(), "canary".into())));
    node(&mut b, "a002-s01", &|n| n.accelerator.count = 4);
    b.racks.get_mut(&"b001".parse().unwrap()).unwrap().limit_w = Some(1);
    let told: Vec<(String, Risk)> = compare(&a, &b)
        .iter()
        .map(|g| {
            let field = match &g.change {
                Change::Field { field, .. } => field.clone(),
                Change::RackField { field, racks, .. } => format!("{} {field}", racks.join(",")),
                other => panic!("{other:?}"),
            };
            (format!("{} {field}", g.nodes[0]), g.risk)
        })
        .collect();
    let want = [
        ("a002-s01 accelerator.count", Risk::Identity),
        ("c001-s01 stack", Risk::Reflash),
        ("a001-s03 boot.server", Risk::Reboot),
        ("a001-s01 stack", Risk::Reboot),
        ("a001-s02 power.boot_w", Risk::Power),
        ("b001-s01 b001 limit_w", Risk::Power),
        ("a001-s04 labels.ring", Risk::None),
    ];
    assert_eq!(told, want.map(|(what, risk)| (what.to_owned(), risk)));
}

#[test]
fn a_swap_is_a_swap_and_a_replacement_a_replacement() {
    let a = example("kr-ai-1").inventory;
    let mut b = a.clone();
    let board = |from: &Inventory, name: &str| from.nodes[&name.parse().unwrap()].clone();
    let put = |b: &mut Inventory, at: &str, from: bringup::model::Node| {
        let node = b.nodes.get_mut(&at.parse().unwrap()).unwrap();
        (node.serial, node.uuid, node.boot.mac, node.bmc.mac, node.bmc.trust) =
            (from.serial, from.uuid, from.boot.mac, from.bmc.mac, from.bmc.trust);
    };
    put(&mut b, "a001-s01", board(&a, "a002-s02"));
    put(&mut b, "a002-s02", board(&a, "a001-s01"));
    b.nodes.get_mut(&"a009-s01".parse().unwrap()).unwrap().serial = Some("EXNEW".into());
    let groups = compare(&a, &b);
    assert_eq!(groups.len(), 2, "what travels with a board is no news of its own: {groups:#?}");
    let Change::BoardsMoved { boards } = &groups[0].change else { panic!("{:?}", groups[0]) };
    let moves: Vec<(&str, &str)> = boards.iter().map(|b| (b.node.as_str(), b.came_from.as_ref().unwrap().as_str())).collect();
    assert_eq!(moves, [("a001-s01", "a002-s02"), ("a002-s02", "a001-s01")]);
    let Change::BoardsReplaced { boards } = &groups[1].change else { panic!("{:?}", groups[1]) };
    assert_eq!((boards[0].node.as_str(), boards[0].to.as_str(), &boards[0].came_from), ("a009-s01", "EXNEW", &None));
    assert!(groups.iter().all(|g| g.risk == Risk::Identity));
}

#[test]
fn nodes_come_and_go() {
    let a = example("kr-ai-1").inventory;
    let mut b = a.clone();
    b.nodes.retain(|id, _| !id.as_str().starts_with('t'));
    let gone = compare(&a, &b);
    assert_eq!((gone.len(), &gone[0].change, nodes(&gone[0]).as_str()), (1, &Change::Removed, "t[001-003]-s[01-02]"));
    let new = compare(&b, &a);
    assert_eq!((new.len(), &new[0].change, new[0].risk), (1, &Change::Added, Risk::Reboot));
}

fn bringup(at: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bringup")).current_dir(at).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn copy_site(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("facts")).unwrap();
    std::fs::copy(from.join("site.yaml"), to.join("site.yaml")).unwrap();
    for file in std::fs::read_dir(from.join("facts")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("facts").join(file.file_name())).unwrap();
    }
}

#[test]
fn revisions_folders_and_what_they_print() {
    const TEST: &str = "revisions_folders_and_what_they_print";
    let Some(git) = crate::support::need_program(TEST, "git") else { return };
    let repo = tempfile::tempdir().unwrap();
    copy_site(&root().join("inventory/two-racks"), &repo.path().join("site/inventory"));
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"];
        let done = Command::new(&git).current_dir(repo.path()).args(identity).args(args).output().unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    let at = repo.path().join("site");
    let site = at.join("inventory/site.yaml");
    let text = std::fs::read_to_string(&site).unwrap();
    std::fs::write(&site, text.replace("{driver: redfish,", "{driver: redfish, port: 8443,")).unwrap();

    let run = bringup(&at, &["diff", "HEAD", "inventory", "--exit-code"]);
    let want = "\
none     bmc.address.port 443 → 8443 on r[1-2]-s[1-4] (8 nodes), cause: inventory/site.yaml:6
         how the BMC is reached; nothing on it is changed
";
    assert_eq!((stdout(&run).as_str(), run.status.code()), (want, Some(2)), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(bringup(&at, &["diff", "HEAD", "inventory"]).status.code(), Some(0));

    git(&["commit", "-q", "-a", "-m", "second"]);
    let run = bringup(&at, &["diff", "HEAD~1", "HEAD", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&value["format_version"], value["groups"].as_array().unwrap().len()), (&1.into(), 1));
    let group = &value["groups"][0];
    assert_eq!((&group["cause"], &group["count"], &group["risk"]), (&"HEAD:site.yaml:6".into(), &8.into(), &"none".into()));
    assert_eq!(
        group["change"],
        serde_json::json!({"kind": "field", "field": "bmc.address.port", "from": "443", "to": "8443", "each": false})
    );

    let run = bringup(&at, &["diff", "HEAD:site/inventory", "inventory", "--exit-code"]);
    assert_eq!((stdout(&run).as_str(), run.status.code()), ("", Some(0)));
    let run = bringup(&at, &["diff", "HEAD~1", "HEAD", "-o", "md"]);
    assert!(
        stdout(&run).contains("| none | bmc.address.port 443 → 8443 | r[1-2]-s[1-4] (8 nodes) | HEAD:site.yaml:6 |"),
        "{}",
        stdout(&run)
    );

    // A revision that is broken is told by its own name, not by that of a copy that is gone.
    std::fs::write(&site, text.replace("slots: 4", "slots: x")).unwrap();
    git(&["commit", "-q", "-a", "-m", "third"]);
    let run = bringup(&at, &["diff", "HEAD~1", "HEAD"]);
    let err = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(3));
    assert!(err.contains("HEAD:site.yaml:26") && !err.contains("bringup-diff-"), "{err}");

    for (args, code, says) in [
        (["diff", "nosuch", "inventory"], 1, "neither a folder nor a folder at a git revision"),
        (["diff", "inventory/site.yaml", "inventory"], 64, "is a file"),
        (["diff", "HEAD:nowhere", "inventory"], 1, "neither a folder nor a folder at a git revision"),
    ] {
        let run = bringup(&at, &args);
        let err = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(code), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
