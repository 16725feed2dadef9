//! The house's floors: who may name whom, and what every file must be. A wall that is broken fails the build here, with file and line.

mod names;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest file, in lines: one is read in one sitting.
const MAX_LINES: usize = 500;
/// Names that say nothing about what a file is for.
const EMPTY_NAMES: [&str; 9] = ["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "imp"];

/// Who may name whom. `cli` may name every room.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let rooms: [(&str, &[&str]); 17] = [
        ("model", &[]),
        ("spec", &["model"]),
        ("planner", &["model"]),
        ("rollout", &["model"]),
        ("verify", &["model"]),
        ("bmc", &["model"]),
        ("boot", &["model"]),
        ("image", &["model"]),
        ("journal", &["model"]),
        ("shell", &["model", "verify"]),
        ("pool", &["model", "verify"]),
        ("survey", &["model", "bmc", "shell"]),
        ("action", &["model", "verify", "bmc", "shell", "boot"]),
        ("engine", &["model", "rollout", "verify", "action", "journal", "pool"]),
        ("report", &["model", "journal"]),
        // Its own codecs, so that two bugs cannot cancel out.
        ("sim", &["model"]),
        ("cli", &["all"]),
    ];
    rooms.into_iter().map(|(room, may)| (room, may.iter().copied().collect())).collect()
}

/// What is wrong with one source file of `src/`, given by its path below `src/`.
fn broken_walls(path: &str, source: &str) -> Vec<String> {
    let table = table();
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let room = parts[0];
    // The binary is another crate and knows the command line only; the library's root holds the map.
    let allowed: BTreeSet<&str> = match room {
        "main" => BTreeSet::from(["cli"]),
        "lib" => BTreeSet::new(),
        _ => match table.get(room) {
            Some(may) => may.clone(),
            None => return vec![format!("src/{path}: the room `{room}` is not in the table of tests/floors/mod.rs")],
        },
    };
    let depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
    let mut wrong = Vec::new();
    for named in names::named(source, depth) {
        let at = format!("src/{path}:{}", named.line);
        if !named.plainly && room != "main" {
            wrong.push(format!("{at}: reaches `{}` by `super` or `bringup::`; write `crate::`", named.room));
        } else if named.room == "*" {
            wrong.push(format!("{at}: takes everything from the crate's root"));
        } else if named.room != room && !allowed.contains("all") && !allowed.contains(named.room.as_str()) {
            wrong.push(format!("{at}: `{room}` may not name `{}`", named.room));
        } else if room != "main" && !table.contains_key(named.room.as_str()) {
            wrong.push(format!("{at}: `{}` is no room", named.room));
        }
    }
    let tokens = tokens::tokens(source);
    for window in tokens.windows(3) {
        let [a, b, c] = window else { continue };
        if (a.text.as_str(), b.text.as_str(), c.text.as_str()) == ("process", "::", "exit") && room != "main" && room != "cli" {
            wrong.push(format!("src/{path}:{}: only `cli` exits", a.line));
        }
    }
    wrong
}

/// What is wrong with the shape of any source file, whatever it says.
fn bad_shape(path: &str, source: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !source.starts_with("//!") {
        wrong.push(format!("{path}: does not begin with `//!` and what the file is for"));
    }
    let lines = source.lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("{path}: {lines} lines; more than {MAX_LINES} are not read in one sitting"));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            wrong.push(format!("{path}: `{part}` says nothing about what it is for"));
        }
    }
    // Words only: a lint such as `unsafe_code` is another word, and strings and comments are left out.
    for token in tokens::tokens(source) {
        if token.text == "unsafe" {
            wrong.push(format!("{path}:{}: `unsafe`", token.line));
        }
    }
    wrong
}

/// Every Rust file below a folder of the repository, as path and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = if root.is_dir() { vec![root.clone()] } else { Vec::new() };
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn nobody_names_a_room_that_it_may_not() {
    let files = sources("src");
    assert!(files.len() > 20, "only {} files found: the scan looks in the wrong place", files.len());
    let wrong: Vec<_> = files.iter().flat_map(|(path, source)| broken_walls(path, source)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_has_the_shape_of_the_house() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (path, source) in sources(folder) {
            wrong.extend(bad_shape(&format!("{folder}/{path}"), &source));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_in_lib_rs_is_this_table() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut map = BTreeMap::new();
    for line in lib.lines().filter_map(|l| l.strip_prefix("//! | [`")) {
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        let room = cells[0].trim_end_matches("`]");
        map.insert(room, cells[2].split(", ").filter(|name| *name != "nothing").collect::<BTreeSet<_>>());
    }
    assert_eq!(map, table());
}

#[test]
fn a_broken_wall_is_caught() {
    let caught = |path: &str, source: &str| !broken_walls(path, source).is_empty();
    assert!(caught("sim/redfish.rs", "use crate::bmc::Bmc;"));
    assert!(caught("engine/walk.rs", "use crate::{model::NodeId, shell::Shell};"));
    assert!(caught("model/plan.rs", "use crate::spec::Thing;"));
    assert!(caught("model/plan.rs", "use super::super::spec::Thing;"));
    assert!(caught("survey.rs", "use super::journal::Journal;"));
    assert!(caught("bmc/redfish/client.rs", "fn f() { bringup::model::x() }"));
    assert!(caught("planner/mod.rs", "use crate::*;"));
    assert!(caught("verify/mod.rs", "fn f() { std::process::exit(1) }"));
    assert!(caught("newroom/mod.rs", "fn f() {}"));
    assert!(caught("cli/plan.rs", "use crate::nowhere::X;"));
    assert!(caught("main.rs", "use bringup::engine;"));
    assert!(!caught("main.rs", "fn main() { bringup::cli::main() }"));
    assert!(!caught("cli/plan.rs", "use crate::{bmc, sim};"));
    assert!(!caught("verify/mod.rs", "//! crate::bmc\n// crate::bmc\nconst S: &str = \"crate::bmc\";"));
    assert!(!caught("bmc/redfish/client.rs", "use super::super::Bmc; use crate::model::Mac; use crate::bmc::Written;"));
}

#[test]
fn a_bad_shape_is_caught() {
    let count = |path: &str, source: &str| bad_shape(path, source).len();
    assert_eq!(count("src/a.rs", "//! Good.\n#![forbid(unsafe_code)]\n"), 0);
    assert_eq!(count("src/a.rs", "use std::fs;\n"), 1);
    assert_eq!(count("src/boot/utils.rs", "//! Bad.\n"), 1);
    assert_eq!(count("src/common/a.rs", "//! Bad.\n"), 1);
    assert_eq!(count("src/a.rs", "//! Bad.\nfn f() { unsafe { g() } }\n"), 1);
    assert_eq!(count("src/a.rs", &"//! Long.\n".repeat(MAX_LINES + 1)), 1);
}
