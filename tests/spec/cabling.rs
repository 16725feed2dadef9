//! `cabling/*.csv`: what is read of it, what a person who writes it wrong is told, and the patches of it and of the facts, applied by `patch` and
//! by `git apply`.

use std::path::Path;
use std::process::{Command, Stdio};

use bringup::model::{Cell, CellMove, Node, NodeId};
use bringup::spec::{LoadedInventory, load_inventory};

use super::fixture::{FACTS, SITE, TODAY, facts_with, told, write};
use crate::support::need_program;

const CABLES: &str = "node,interface,switch,port
a001-s01,boot,leaf-a001,swp1
a001-s02,boot,leaf-a001,swp2
a001-s02,02-00-00-00-21-02,rail-1,Ethernet1/2
a002-s01,eth1,rail-1,Ethernet1/3
";

fn with(cables: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), SITE, FACTS);
    std::fs::create_dir(dir.path().join("cabling")).unwrap();
    std::fs::write(dir.path().join("cabling/all.csv"), cables).unwrap();
    match load_inventory(dir.path(), TODAY) {
        Ok(loaded) => format!("{:?}", loaded.inventory.nodes.values().map(|n| &n.cabling).collect::<Vec<_>>()),
        Err(wrong) => wrong.render(false).replace(&format!("{}/", dir.path().display()), ""),
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn loaded(dir: &Path) -> LoadedInventory {
    load_inventory(dir, TODAY).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)))
}

#[test]
fn cables_are_the_nodes_and_each_says_where_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), SITE, FACTS);
    std::fs::create_dir(dir.path().join("cabling")).unwrap();
    std::fs::write(dir.path().join("cabling/all.csv"), CABLES).unwrap();
    let before = load_inventory(dir.path(), TODAY).unwrap();
    let node: &Node = &before.inventory.nodes[&id("a001-s02")];
    let interfaces: Vec<&str> = node.cabling.keys().map(String::as_str).collect();
    assert_eq!(interfaces, ["02:00:00:00:21:02", "boot"], "a MAC address in its usual form");
    assert_eq!(node.cabling["boot"].to_string(), "leaf-a001 port swp2");
    let why = before.why(&id("a001-s02"), "cabling.boot");
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why.iter().all(|p| p.line == 3 && p.layer == "cabling" && p.decides), "{why:?}");
    assert!(before.inputs.keys().any(|file| file.ends_with("cabling/all.csv")));
    // Without the file, the inventory is what it was before there was such a thing.
    std::fs::remove_dir_all(dir.path().join("cabling")).unwrap();
    let plain = load_inventory(dir.path(), TODAY).unwrap();
    assert!(!serde_json::to_string(&plain.inventory).unwrap().contains("cabling"));
}

#[test]
fn mistakes_name_both_places() {
    for (part, by, words) in [
        ("swp2", "SWP1", &["two cables end at leaf-a001 port SWP1", "cabling/all.csv:3", "cabling/all.csv:2", "first"][..]),
        ("a001-s02,boot", "a001-s01,boot", &["`boot` of a001-s01 has a second cable", "all.csv:3", "all.csv:2"]),
        (
            "a002-s01,eth1",
            "a002-s01,02:00:00:00:21:02",
            &["a001-s02 and a002-s01 have the same MAC address 02:00:00:00:21:02", "all.csv:5"],
        ),
        (
            "a002-s01,eth1",
            "a002-s01,02:00:00:00:11:01",
            &["a001-s01 and a002-s01 have the same MAC address", "the facts give it to a001-s01"],
        ),
        ("02-00-00-00-21-02", "02:00:00:00:11:02", &["is the boot interface of a001-s02, whose cable has a row of its own"]),
        ("a002-s01", "a009-s01", &["a cable for `a009-s01`, but no rack holds such a node", "did you mean"]),
        ("interface,switch", "nic,switch", &["unknown column `nic`", "no column `interface`"]),
        ("leaf-a001,swp2", ",swp2", &["this row has no switch", "all.csv:3"]),
        ("leaf-a001,swp2", "leaf-a001", &["3 cells and the header 4"]),
    ] {
        assert!(CABLES.contains(part));
        let told = with(&CABLES.replacen(part, by, 1));
        for word in words {
            assert!(told.contains(word), "`{word}` is not told of `{by}`:\n{told}");
        }
    }
    assert_eq!(with("").matches("{}").count(), 5, "an empty file writes no cable");
}

/// The same in the facts, over two racks: one error, both lines.
#[test]
fn a_mac_that_is_in_two_racks_is_one_error_with_both_lines() {
    let told = told(SITE, &facts_with("02:00:00:00:12:01", "02:00:00:00:11:02"));
    assert_eq!(told.matches("error[").count(), 1, "{told}");
    for word in [
        "a001-s02 and a002-s01 have the same MAC address 02:00:00:00:11:02",
        "facts/all.csv:4",
        "facts/all.csv:3",
        "first, for a001-s02",
    ] {
        assert!(told.contains(word), "`{word}`:\n{told}");
    }
}

fn fact(node: &str, column: &'static str) -> Cell {
    Cell::Fact { node: id(node), column }
}
fn cable(node: &str, interface: &str) -> Cell {
    Cell::Cable { node: id(node), interface: interface.to_owned() }
}
fn both(one: Cell, two: Cell) -> [CellMove; 2] {
    [CellMove { to: one.clone(), from: two.clone() }, CellMove { to: two, from: one }]
}

/// Applies a patch with a real program in a folder; the words are its own.
fn apply(program: &str, words: &[&str], at: &Path, patch: &str) {
    let file = at.join("the.patch");
    std::fs::write(&file, patch).unwrap();
    let mut command = Command::new(program);
    command.args(words).current_dir(at).stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
    // No repository above the folder may have a say.
    let done = command.env("GIT_CEILING_DIRECTORIES", at.parent().unwrap()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{program}: {said}\n{patch}");
    assert!(!said.contains("fuzz") && !said.contains("offset"), "{program} had to guess: {said}\n{patch}");
}

/// In every form that a CSV file may have: the exchanged cells are exchanged, every other byte stays.
#[test]
fn patch_and_git_take_the_patch_and_no_other_byte_changes() {
    let test = "patch_and_git_take_the_patch_and_no_other_byte_changes";
    if need_program(test, "patch").is_none() || need_program(test, "git").is_none() {
        return;
    }
    let many: String = (1..=9).map(|i| format!("# {i}\n")).collect();
    let plain = FACTS.replace("b001-s01", &format!("{many}b001-s01"));
    let forms = [
        plain.clone(),
        plain.trim_end().to_owned(),
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        plain.replace("S101", "\"S101\"").replace("S301", "\"S\"\"301\""),
    ];
    for facts in forms {
        for (program, words) in [("patch", &["-p1", "--binary"][..]), ("git", &["apply", "-"][..])] {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("inventory");
            write(&dir, SITE, &facts);
            std::fs::create_dir(dir.join("cabling")).unwrap();
            std::fs::write(dir.join("cabling/all.csv"), CABLES).unwrap();
            let before = loaded(&dir);
            let moves: Vec<CellMove> = [
                both(fact("a001-s01", "serial"), fact("b001-s01", "serial")),
                both(fact("a001-s01", "boot_mac"), fact("a001-s02", "boot_mac")),
                both(cable("a001-s02", "02:00:00:00:21:02"), cable("a002-s01", "eth1")),
            ]
            .concat();
            before.can_move(&moves).unwrap();
            let patch = before.patch(&moves);
            let prefix = format!("{}/", outer.path().display()).trim_start_matches('/').to_owned();
            assert!(patch.contains(&prefix), "{patch}");
            let patch = patch.replace(&prefix, "");
            assert_eq!(patch.matches("\n@@ ").count(), 3, "{patch}");
            apply(program, words, outer.path(), &patch);
            let after = loaded(&dir);
            let (old, new) = (&before.inventory.nodes, &after.inventory.nodes);
            let [a1, a2, b1, c1] = ["a001-s01", "a001-s02", "b001-s01", "a002-s01"].map(id);
            assert_eq!((&new[&a1].serial, &new[&b1].serial), (&old[&b1].serial, &old[&a1].serial));
            assert_eq!((new[&a1].boot.mac, new[&a2].boot.mac), (old[&a2].boot.mac, old[&a1].boot.mac));
            assert_eq!(new[&a2].cabling["02:00:00:00:21:02"], old[&c1].cabling["eth1"]);
            assert_eq!(new[&c1].cabling["eth1"], old[&a2].cabling["02:00:00:00:21:02"]);
            assert_eq!(new[&a2].serial, old[&a2].serial);
            // And back again: nothing else was touched.
            let back = after.patch(&moves).replace(&prefix, "");
            apply(program, words, outer.path(), &back);
            assert_eq!(std::fs::read(dir.join("facts/all.csv")).unwrap(), facts.as_bytes());
            assert_eq!(std::fs::read_to_string(dir.join("cabling/all.csv")).unwrap(), CABLES);
        }
    }
}

#[test]
fn what_is_not_in_the_files_is_not_patched() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), SITE, FACTS);
    let loaded = loaded(dir.path());
    let moves = both(fact("a001-s01", "bmc_address"), fact("a001-s02", "bmc_address"));
    assert_eq!(loaded.can_move(&moves).unwrap_err(), "`bmc_address` of a001-s01 is not in the CSV files");
    assert_eq!(loaded.patch(&both(fact("a001-s01", "uuid"), fact("a001-s02", "uuid"))), "");
}
