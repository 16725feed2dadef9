//! `discover` as a user runs it: on a simulated rack, and on an `ipmi_sim` that nobody wrote down.

use super::bad_rig::Rig;
use crate::bmc::ipmi_rig::Sim;

/// Changes cells of a node's row in the facts.
fn set(rig: &Rig, node: &str, cells: &[(&str, &str)]) {
    let text = rig.read("inventory/facts/nodes.csv");
    let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let lines = text.lines().map(|line| {
        let mut row: Vec<String> = line.split(',').map(str::to_owned).collect();
        if row[0] == node {
            for (name, value) in cells {
                row[columns.iter().position(|c| c == name).unwrap()] = (*value).to_owned();
            }
        }
        row.join(",") + "\n"
    });
    std::fs::write(rig.path("inventory/facts/nodes.csv"), lines.collect::<String>()).unwrap();
}

fn cell(rig: &Rig, node: &str, column: &str) -> String {
    let text = rig.read("inventory/facts/nodes.csv");
    let at = text.lines().next().unwrap().split(',').position(|c| c == column).unwrap();
    let row = text.lines().find(|l| l.starts_with(&format!("{node},"))).unwrap();
    row.split(',').nth(at).unwrap().to_owned()
}

#[test]
fn what_is_new_is_written_once_and_first_contact_is_asked_for() {
    let rig = Rig::up(2, &[]);
    let node = rig.farm().node("a001-s01").unwrap();
    let id = node.machine.identity().clone();
    let range = format!("{}/30", node.bmc.ip());
    let before: Vec<String> = ["serial", "uuid", "bmc_mac", "bmc_cert_sha256"].map(|c| cell(&rig, "a001-s01", c)).to_vec();
    set(&rig, "a001-s01", &[("serial", ""), ("uuid", ""), ("bmc_mac", ""), ("bmc_cert_sha256", "")]);

    let ran = rig.run(&["discover", &range, "--yes"]).ends(4, &[]);
    assert!(ran.out.contains("--accept-new") && ran.out.contains("bmc_cert_sha256"), "{ran:#?}");
    assert_eq!(rig.logins()[0], 0, "no credential was sent");
    assert_eq!(cell(&rig, "a001-s01", "bmc_cert_sha256"), "", "nothing was written");

    let ran = rig.run(&["discover", &range, "--accept-new"]).ends(2, &["4 facts of 1 nodes were not written", "--yes"]);
    assert!(ran.out.contains("serial, uuid, bmc_mac") && ran.out.contains("new"), "{ran:#?}");
    assert_eq!(cell(&rig, "a001-s01", "serial"), "", "nobody agreed");

    rig.run(&["discover", &range, "--accept-new", "--yes"]).ends(0, &["recorded facts of 1 nodes"]);
    let after: Vec<String> = ["serial", "uuid", "bmc_mac", "bmc_cert_sha256"].map(|c| cell(&rig, "a001-s01", c)).to_vec();
    assert_eq!(after, before);
    assert_eq!(after[0], id.serial);
    let told = rig.run(&["discover", &range, "-o", "json"]).ends(0, &[]).json();
    let facts = told["met"][0]["facts"].as_array().unwrap();
    assert!(facts.len() == 4 && facts.iter().all(|f| f["standing"] == "same"), "{told:#}");
    rig.untouched();
}

#[test]
fn what_differs_is_shown_and_left() {
    let rig = Rig::up(3, &["a001-s01=wrong-serial", "a001-s02=wrong-cert"]);
    let at = |node: &str| rig.farm().node(node).unwrap().bmc.ip().to_string();
    let recorded = cell(&rig, "a001-s01", "serial");
    let ran = rig.run(&["discover", &at("a001-s01"), &at("a001-s02"), "--yes", "--accept-new"]).ends(4, &["--replace"]);
    assert!(ran.out.contains(&recorded) && ran.out.contains("not logged in"), "{ran:#?}");
    assert_eq!(cell(&rig, "a001-s01", "serial"), recorded);
    assert_eq!(rig.logins()[1], 0, "no credential went to the wrong certificate");
    rig.run(&["discover", &at("a001-s01"), "--yes", "--replace"]).ends(0, &[]);
    assert_eq!(cell(&rig, "a001-s01", "serial"), rig.farm().node("a001-s01").unwrap().machine.identity().serial);
}

#[test]
fn a_node_at_another_address_is_named_by_its_serial_and_never_written() {
    let rig = Rig::up(3, &[]);
    let node = rig.farm().node("a001-s02").unwrap();
    let (ip, port) = (node.bmc.ip().to_string(), node.bmc.port().to_string());
    set(&rig, "a001-s02", &[("bmc_address", "127.11.200.1")]);
    let facts = rig.read("inventory/facts/nodes.csv");
    let ran = rig.run(&["discover", &ip, "--redfish-port", &port, "-o", "json"]).ends(0, &[]).json();
    assert_eq!(ran["strangers"][0]["greeting"]["vendor"]["known"], node.machine.identity().profile.manufacturer, "{ran:#}");
    assert!(ran["strangers"][0]["identity"].is_null() && rig.logins()[1] == 0);

    std::fs::write(rig.path("factory"), rig.farm().bmc_password()).unwrap();
    std::fs::set_permissions(rig.path("factory"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret = format!("file:{}", rig.path("factory").display());
    let args = ["discover", &ip, "--redfish-port", &port, "--user", "admin", "--password", &secret, "--accept-new", "--yes"];
    let ran = rig.run(&args).ends(0, &[]);
    assert!(ran.out.contains("a001-s02, elsewhere"), "{ran:#?}");
    assert_eq!(rig.read("inventory/facts/nodes.csv"), facts);
    assert!(!format!("{ran:?}").contains(rig.farm().bmc_password()));
}

#[test]
fn an_ipmi_bmc_that_nobody_wrote_down_is_found() {
    let Some(sim) = Sim::start("an_ipmi_bmc_that_nobody_wrote_down_is_found") else { return };
    let rig = Rig::up(1, &[]);
    let (ip, port) = (sim.addr.ip().to_string(), sim.addr.port().to_string());
    std::fs::write(rig.path("factory"), "s3cret\n").unwrap();
    std::fs::set_permissions(rig.path("factory"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret = format!("file:{}", rig.path("factory").display());
    let args = ["discover", &ip, "--ipmi-port", &port, "--user", "admin", "--password", &secret, "-o", "json"];
    let told = rig.run(&args).ends(0, &[]).json();
    assert_eq!(
        (&told["strangers"][0]["protocol"], &told["strangers"][0]["identity"]["serial"]["known"]),
        (&"ipmi".into(), &"SN-0042".into()),
        "{told:#}"
    );
}

#[test]
fn silence_and_nonsense_are_said() {
    let rig = Rig::up(1, &[]);
    rig.run(&["discover", "127.11.250.1"]).refused(10, &["none of 1 addresses answered"]);
    rig.run(&["discover", "10.0.0.0/8"]).refused(64, &["at most 65536"]);
    rig.run(&["discover", "10.0.0.0/24", "--user", "x", "--password", "s3cret"]).refused(3, &["plain-text secret is refused"]);
}
