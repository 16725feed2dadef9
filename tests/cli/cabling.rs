//! `verify --cabling` and `plan` as a user runs them, on a simulated rack whose trays and cables are not where they are written.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::bad_rig::Rig;

/// Exchanges cells of two rows: of the rows that begin so, in these columns.
fn exchange(rig: &Rig, file: &str, rows: [&str; 2], columns: &[&str]) {
    let text = rig.read(file);
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let mut lines: Vec<Vec<String>> = text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect();
    let [one, two] = rows.map(|row| text.lines().position(|l| l.starts_with(&format!("{row},"))).unwrap());
    for column in columns {
        let at = names.iter().position(|n| n == column).unwrap();
        let kept = lines[one][at].clone();
        lines[one][at] = lines[two][at].clone();
        lines[two][at] = kept;
    }
    let text: String = lines.iter().map(|l| l.join(",") + "\n").collect();
    std::fs::write(rig.path(file), text).unwrap();
}

fn patch(rig: &Rig, file: &str) {
    let input = std::fs::File::open(rig.path(file)).unwrap();
    let done = Command::new("patch").arg("-p1").current_dir(rig.dir.path()).stdin(Stdio::from(input)).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

fn standings(told: &Value, node: usize) -> Vec<(String, String)> {
    let found = told["nodes"][node]["findings"].as_array().unwrap();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    found.iter().map(|f| (text(&f["what"]), text(&f["standing"]))).collect()
}

const FACTS: &str = "inventory/facts/nodes.csv";
const CABLES: &str = "inventory/cabling/nodes.csv";

#[test]
fn trays_and_cables_in_each_others_place_are_pairs_and_the_patch_mends_the_files() {
    let rig = Rig::up(4, &["a001-s04=lldp.silent"]);
    let (facts, cables) = (rig.read(FACTS), rig.read(CABLES));
    rig.run(&["apply", "--yes"]).ends(0, &[]);
    // Node 4 hears no switch: unknown is not right.
    let told = rig.run(&["verify", "--cabling", "-o", "json"]).ends(4, &["are where they are written, 2 were not heard"]).json();
    for node in 0..3 {
        assert!(told["nodes"][node]["right"] == true && standings(&told, node).len() == 8, "{told:#}");
    }
    assert!(standings(&told, 3).contains(&("{\"cable\":\"boot\"}".to_owned(), "not heard".to_owned())), "{told:#}");
    rig.run(&["verify", "a001-s[01-03]", "--cabling"]).ends(0, &["24 of 24 are where they are written"]);

    // The words of two trays, and those of two cables, changed places.
    exchange(&rig, FACTS, ["a001-s01", "a001-s03"], &["serial", "uuid", "boot_mac"]);
    exchange(&rig, CABLES, ["a001-s02,boot", "a001-s03,boot"], &["port"]);
    let ran = rig.run(&["verify", "a001-s[01-03]", "--cabling", "--patch", "mend.patch"]).ends(4, &["patch -p1 <mend.patch"]);
    assert!(ran.out.contains("a001-s01 and a001-s03 stand in each other's place"), "{ran:#?}");
    assert!(
        ran.out.contains("or swap the trays") && ran.out.contains("the cables of a001-s02 boot and a001-s03 boot"),
        "{ran:#?}"
    );
    assert!(ran.out.contains("or swap the cables at leaf-a001 port swp3 and leaf-a001 port swp2"), "{ran:#?}");
    let told = rig.run(&["verify", "a001-s[01-03]", "--cabling", "-o", "json"]).ends(4, &[]).json();
    let kinds: Vec<&str> = told["mixed"].as_array().unwrap().iter().map(|m| m["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["trays", "cables"], "{told:#}");
    assert_eq!(told["patch"].as_str().unwrap(), rig.read("mend.patch"));

    // `plan` blocks both, says that they are a pair, and shows the same lines of the facts.
    let planned = rig.run(&["plan"]).ends(0, &[]);
    let pair = format!("bringup verify '{}' --cabling", bringup::spec::fold(["a001-s01", "a001-s03"]));
    for word in ["a001-s01 and a001-s03 stand in each other's place", &pair, "--- a/inventory/facts/nodes.csv"] {
        assert!(planned.out.contains(word), "`{word}`: {planned:#?}");
    }
    patch(&rig, "mend.patch");
    assert_eq!((rig.read(FACTS), rig.read(CABLES)), (facts, cables), "as before the exchange, to the byte");
    rig.run(&["verify", "a001-s[01-03]", "--cabling"]).ends(0, &[]);
}

#[test]
fn a_cable_in_another_port_is_found_and_nobody_at_all_is_exit_code_10() {
    let rig = Rig::up(3, &["a001-s01=lldp.port(2)", "a001-s02=lldp.port(1)", "a001-s03=lldp.port(9)"]);
    let dark = rig.run(&["verify", "--cabling"]).ends(4, &["were not heard"]);
    assert!(dark.out.contains("not heard"), "{dark:#?}");
    rig.run(&["apply", "--yes"]).ends(0, &[]);
    let told = rig.run(&["verify", "--cabling", "-o", "json"]).ends(4, &[]).json();
    let pairs = told["mixed"].as_array().unwrap();
    assert!(pairs.len() == 1 && pairs[0]["places"] == serde_json::json!(["a001-s01 boot", "a001-s02 boot"]), "{told:#}");
    assert_eq!(pairs[0]["or"], "swap the cables at leaf-a001 port swp1 and leaf-a001 port swp2");
    let third = &told["nodes"][2]["findings"].as_array().unwrap().iter().find(|f| f["standing"] != "right").unwrap().clone();
    assert_eq!((&third["standing"], &third["seen"]), (&"unknown".into(), &"leaf-a001.dc.example port swp9".into()), "{told:#}");

    let away = Rig::up(1, &["a001-s01=dead-bmc"]);
    away.run(&["verify", "--cabling"]).ends(10, &["nothing was heard of any node"]);
}
