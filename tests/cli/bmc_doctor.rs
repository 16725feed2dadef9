//! `bmc doctor` as a user runs it: on simulated BMCs with faults, on sushy-emulator and on `ipmi_sim`. It finds what is odd, changes nothing, and its
//! dossiers hold no secret.

use serde_json::Value;

use super::bad_rig::Rig;
use crate::bmc::ipmi_rig::Sim;
use crate::bmc::redfish_sushy::Sushy;

/// The dossier of a node, and the words of its text form.
fn dossier(rig: &Rig, node: &str) -> (Value, String) {
    let json = serde_json::from_str(&rig.read(&format!(".bringup/dossiers/{node}.json"))).unwrap();
    (json, rig.read(&format!(".bringup/dossiers/{node}.txt")).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Rows of which it showed a quirk.
fn quirks(dossier: &Value) -> Vec<&str> {
    let looks = dossier["looks"].as_array().unwrap();
    let mut rows: Vec<&str> =
        looks.iter().filter(|l| l["seen"].get("quirk").is_some()).map(|l| l["row"].as_str().unwrap()).collect();
    rows.dedup();
    rows
}

fn answer<'a>(dossier: &'a Value, what: &str) -> &'a str {
    let asked = dossier["supports"].as_array().unwrap();
    asked.iter().find(|s| s["what"] == what).unwrap_or_else(|| panic!("{what}: {dossier:#}"))["answer"].as_str().unwrap()
}

#[test]
fn a_sound_bmc_shows_no_quirk_and_each_fault_is_found() {
    // The last node of a rack speaks IPMI.
    let faults = [
        "a001-s02=etag.drift",
        "a001-s02=topo.multi",
        "a001-s02=clock.skew(4000)",
        "a001-s03=err.object",
        "a001-s03=coll.count",
        "a001-s03=root.no_sessions",
        "a001-s04=etag.weak",
        "a001-s04=body.html",
        "a001-s04=power.types",
        "a001-s05=dead-bmc",
    ];
    let rig = Rig::up(6, &faults);
    let ran = rig.run(&["bmc", "doctor", "--all"]).ends(4, &["5 dossiers are in"]);
    assert!(ran.out.contains("RC-37") && ran.out.contains("unreachable"), "{ran:#?}");

    let (sound, text) = dossier(&rig, "a001-s01");
    assert_eq!(quirks(&sound), [] as [&str; 0], "{sound:#}");
    for what in ["identity", "power", "boot override", "firmware", "tasks"] {
        assert_eq!(answer(&sound, what), "yes", "{sound:#}");
    }
    assert_eq!(sound["identity"]["model"]["known"], "DGXH100");
    assert_eq!(sound["latencies"]["count"], 8);
    assert_eq!(sound["profile"]["entries"], serde_json::json!(["nvidia-dgx"]));
    assert!(text.contains("RC-35") && text.contains("it has one"), "{text}");

    for (node, rows) in
        [("a001-s02", &["RC-27", "RC-34", "RC-37"][..]), ("a001-s03", &["RC-20", "RC-24", "RC-29"]), ("a001-s04", &["RC-22", "RC-37", "RC-58"])]
    {
        let (found, _) = dossier(&rig, node);
        assert_eq!(quirks(&found), rows, "{node}: {found:#}");
    }
    let (ipmi, text) = dossier(&rig, "a001-s06");
    assert_eq!(ipmi["protocol"], "ipmi");
    assert_eq!(answer(&ipmi, "power"), "yes");
    assert_eq!(quirks(&ipmi), [] as [&str; 0], "{ipmi:#}");
    assert!(text.contains("IP-04") && text.contains("17 of 3, 17"), "{text}");
    assert!(!rig.path(".bringup/dossiers/a001-s05.json").exists(), "nothing is known of the dead");

    for node in rig.farm().nodes() {
        assert_eq!(node.machine.sessions(), 0, "{}", node.machine.identity().node);
        assert!(node.machine.logins() <= 1);
    }
    rig.untouched();
    let mut all = format!("{ran:?}");
    for node in ["a001-s01", "a001-s02", "a001-s03", "a001-s04", "a001-s06"] {
        let (json, text) = dossier(&rig, node);
        all.push_str(&format!("{json}{text}"));
    }
    assert!(!all.contains(rig.farm().bmc_password()), "a password");

    let told = rig.run(&["bmc", "doctor", "a001-s02", "-o", "json", "--dossiers", "elsewhere"]).ends(0, &[]).json();
    assert_eq!(told["nodes"][0]["dossier"]["node"], "a001-s02");
    assert!(rig.path("elsewhere/a001-s02.txt").exists());
}

#[test]
fn faults_of_an_ipmi_service_are_found() {
    let rig = Rig::up(2, &["a001-s02=ipmi.cipher_lie", "a001-s02=ipmi.setpriv"]);
    rig.run(&["bmc", "doctor", "a001-s02"]).ends(0, &[]);
    let (found, _) = dossier(&rig, "a001-s02");
    let rows = quirks(&found);
    assert!(rows.contains(&"IP-08"), "{found:#}");
}

/// A site of one node at this address.
fn site(rig: &Rig, bmc: &str, secret: &str, cells: (&str, &str)) {
    let (dir, secret_file) = (rig.path("other"), rig.path("other/secret"));
    std::fs::create_dir_all(dir.join("facts")).unwrap();
    std::fs::write(&secret_file, secret).unwrap();
    std::fs::set_permissions(&secret_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "apiVersion: rack/v1\nsite: t\n\
         defaults:\n  bmc: {{{bmc}, user: admin, password: \"file:secret\"}}\n  boot: {{method: pxe, mode: uefi}}\n  \
         ssh: {{user: root, key: \"file:/nonexistent\"}}\n\
         profiles:\n  n:\n    expect: {{accel: {{kind: nvidia, model: H100, count: 8}}}}\n    verify: v\n    pool: p\n    \
         power: {{idle_w: 1, boot_w: 1}}\n\
         racks:\n  - {{range: r1, profile: n, slots: 1, feed: f1}}\n\
         naming:\n  node: \"{{rack}}-s{{slot}}\"\n  bmc_ip: \"198.51.100.{{slot}}\"\n  ip: \"192.0.2.{{slot}}\"\n\
         facts: facts/*.csv\n"
    );
    std::fs::write(dir.join("site.yaml"), text).unwrap();
    std::fs::write(dir.join("facts/nodes.csv"), format!("node,{}\nr1-s1,{}\n", cells.0, cells.1)).unwrap();
}

/// Runs it on that site, and gives the dossier.
fn of_site(rig: &Rig) -> (Value, String) {
    let mut command = rig.command(&["bmc", "doctor", "--all"]);
    let out = command.args(["-i", "other"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
    println!("{}", text(&out.stdout));
    dossier(rig, "r1-s1")
}

#[test]
fn sushy_emulator_has_a_dossier() {
    let Some(sushy) = Sushy::start("sushy_emulator_has_a_dossier") else { return };
    let rig = Rig::up(1, &[]);
    let cells = format!("{},{}", sushy.address(), sushy.fingerprint().as_str());
    site(&rig, "driver: redfish, tls: pinned, system: c7a5fdbd-cdaf-9455-926a-d65c16db1809", "password", ("bmc_address,bmc_cert_sha256", &cells));
    let (found, text) = of_site(&rig);
    assert_eq!(answer(&found, "power"), "yes", "{found:#}");
    // It has two systems, and gives no entity tags.
    let rows = quirks(&found);
    assert!(rows.contains(&"RC-27") && rows.contains(&"RC-35"), "{found:#}");
    assert!(!format!("{found}{text}").contains("password\""), "{found:#}");
}

#[test]
fn ipmi_sim_has_a_dossier() {
    let Some(sim) = Sim::start("ipmi_sim_has_a_dossier") else { return };
    let rig = Rig::up(1, &[]);
    site(&rig, "driver: ipmi", "s3cret", ("bmc_address", &sim.addr.to_string()));
    let (found, text) = of_site(&rig);
    assert_eq!((answer(&found, "power"), answer(&found, "identity")), ("yes", "yes"), "{found:#}");
    assert_eq!(found["latencies"]["count"], 8);
    assert!(!format!("{found}{text}").contains("s3cret"));
    assert!(sim.told().iter().all(|line| !line.starts_with("set ")), "{:?}", sim.told());
}
