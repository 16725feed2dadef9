//! `bmc doctor` as a user runs it: on simulated BMCs with faults, on sushy-emulator and on `ipmi_sim`. It finds what is odd, says of every row what it
//! knows, changes nothing, and its dossiers hold no secret.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::bad_rig::Rig;
use crate::bmc::ipmi_rig::Sim;
use crate::bmc::redfish_sushy::Sushy;

/// The dossier of a node, and the words of its text form. Both are for their owner alone.
fn dossier(rig: &Rig, node: &str) -> (Value, String) {
    let [json, text] = ["json", "txt"].map(|end| {
        let name = format!(".bringup/dossiers/{node}.{end}");
        assert_eq!(std::fs::metadata(rig.path(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        rig.read(&name)
    });
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["format_version"], &json["node"]), (&Value::from(1), &Value::from(node)));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    (json, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Rows whose look ended in this way.
fn rows<'a>(dossier: &'a Value, seen: &str) -> Vec<&'a str> {
    let looks = dossier["looks"].as_array().unwrap();
    let mut rows: Vec<&str> =
        looks.iter().filter(|l| l["seen"].get(seen).is_some()).map(|l| l["row"].as_str().unwrap()).collect();
    rows.dedup();
    rows
}

/// Rows that a loaded machine shows of itself: answers that come late.
const WEATHER: [&str; 5] = ["IP-01", "IP-03", "IP-11", "RC-05", "RC-14"];

/// Rows that showed their quirk; those of the weather only where they are `placed`.
fn quirks<'a>(dossier: &'a Value, placed: &[&str]) -> Vec<&'a str> {
    let mut shown = rows(dossier, "quirk");
    shown.retain(|row| !WEATHER.contains(row) || placed.contains(row));
    shown
}

/// Every row of the list is in the dossier, and no other.
fn is_whole(dossier: &Value) {
    let said: BTreeSet<&str> = dossier["looks"].as_array().unwrap().iter().map(|l| l["row"].as_str().unwrap()).collect();
    let (kind, last) = if dossier["protocol"] == "ipmi" { ("IP", 15) } else { ("RC", 64) };
    let all: BTreeSet<String> = (1..=last).map(|n| format!("{kind}-{n:02}")).collect();
    assert_eq!(said, all.iter().map(String::as_str).collect(), "{dossier:#}");
}

fn answer<'a>(dossier: &'a Value, what: &str) -> &'a str {
    let asked = dossier["supports"].as_array().unwrap();
    asked.iter().find(|s| s["what"] == what).unwrap_or_else(|| panic!("{what}: {dossier:#}"))["answer"].as_str().unwrap()
}

/// What a machine has been told, all of it: compared before and after.
fn held(rig: &Rig) -> Vec<String> {
    let each = |n: &bringup::sim::farm::SimNode| {
        let m = &n.machine;
        let kept = (m.accounts(|a| format!("{a:?}")), m.media(|d| format!("{d:?}")), m.bios(|b| format!("{b:?}")));
        format!("{} {:?} {:?} {:?} {kept:?}", m.identity().node, m.deeds(), m.power_state(), m.boot_override())
    };
    rig.farm().nodes().iter().map(each).collect()
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
        "a001-s04=json.null_version",
        "a001-s05=dead-bmc",
        "a001-s06=conn.rst_on_reuse",
        "a001-s06=query.501",
        "a001-s06=bios.registry",
        "a001-s06=vm.usbcd",
        "a001-s07=http.406_identity",
        "a001-s07=slash.double",
        "a001-s07=auth.login_code(200)",
        "a001-s07=body.truncate@14x1",
        "a001-s08=http.host_strict",
        "a001-s08=auth.expire_after(12)",
        "a001-s08=vm.no_cd",
        "a001-s08=ok.empty@16x1",
        "a001-s08=json.no_odata_id",
    ];
    let rig = Rig::up(9, &faults);
    let before = held(&rig);
    let ran = rig.run(&["bmc", "doctor", "--all"]).ends(4, &["8 dossiers are in"]);
    for words in ["RC-[27,34,37]", "unreachable", "RC-[11,13,38-41,43-44,49-51,53-56]"] {
        assert!(ran.out.contains(words), "{words}: {ran:#?}");
    }
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    assert_eq!(held(&rig), before, "something was changed");

    let (sound, text) = dossier(&rig, "a001-s01");
    assert_eq!(quirks(&sound, &[]), [] as [&str; 0], "{sound:#}");
    assert_eq!(rows(&sound, "unseen"), [] as [&str; 0], "{sound:#}");
    is_whole(&sound);
    for what in
        ["identity", "power", "boot override", "firmware", "tasks", "sensors", "BIOS attributes", "virtual media", "accounts"]
    {
        assert_eq!(answer(&sound, what), "yes", "{sound:#}");
    }
    assert_eq!(sound["identity"]["model"]["known"], "DGXH100");
    assert_eq!(sound["latencies"]["count"], 8);
    assert_eq!(sound["profile"]["entries"], serde_json::json!(["nvidia-dgx"]));
    assert!(text.contains("RC-35 the system's entity tag it has one") && text.contains("an update of firmware"), "{text}");
    // What would write is named as such, and not as something that went well.
    let untried = rows(&sound, "untried");
    assert!(["RC-07", "RC-23", "RC-36", "RC-49", "RC-64"].iter().all(|row| untried.contains(row)), "{untried:?}");

    for (node, rows) in [
        ("a001-s02", &["RC-27", "RC-34", "RC-37"][..]),
        ("a001-s03", &["RC-20", "RC-24", "RC-29"]),
        ("a001-s04", &["RC-22", "RC-28", "RC-37", "RC-58"]),
        ("a001-s06", &["RC-04", "RC-26", "RC-62", "RC-63"]),
        ("a001-s07", &["RC-08", "RC-10", "RC-15", "RC-21"]),
        ("a001-s08", &["RC-12", "RC-17", "RC-30", "RC-33", "RC-63"]),
    ] {
        let (found, _) = dossier(&rig, node);
        assert_eq!(quirks(&found, rows), rows, "{node}: {found:#}");
        is_whole(&found);
    }
    let (ipmi, text) = dossier(&rig, "a001-s09");
    assert_eq!(ipmi["protocol"], "ipmi");
    assert_eq!(answer(&ipmi, "power"), "yes");
    assert_eq!(quirks(&ipmi, &[]), [] as [&str; 0], "{ipmi:#}");
    assert_eq!(rows(&ipmi, "untried"), ["IP-13", "IP-14"]);
    is_whole(&ipmi);
    assert!(text.contains("IP-04") && text.contains("17 of 3, 17"), "{text}");
    assert!(!rig.path(".bringup/dossiers/a001-s05.json").exists(), "nothing is known of the dead");

    // What it taught is kept for its make, and no dossier is needed to use it.
    assert!(rig.read(".bringup/bmc-memory.json").contains("\"expand\": false"));

    for node in rig.farm().nodes() {
        let id = &node.machine.identity().node;
        assert_eq!(node.machine.sessions(), 0, "{id}");
        // A session that ends in the middle is the only reason for another login.
        let most = if id.as_str() == "a001-s08" { 20 } else { 1 };
        assert!(node.machine.logins() <= most, "{id}: {}", node.machine.logins());
    }
    rig.untouched();
    let mut all = format!("{ran:?}");
    for node in ["a001-s01", "a001-s02", "a001-s03", "a001-s04", "a001-s06", "a001-s07", "a001-s08", "a001-s09"] {
        let (json, text) = dossier(&rig, node);
        all.push_str(&format!("{json}{text}"));
    }
    assert!(!all.contains(rig.farm().bmc_password()), "a password");

    let told = rig.run(&["bmc", "doctor", "a001-s02", "-o", "json", "--dossiers", "elsewhere"]).ends(0, &[]).json();
    assert_eq!(told["nodes"][0]["dossier"]["node"], "a001-s02");
    let left: Vec<_> = std::fs::read_dir(rig.path("elsewhere")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "a file of data, one of text, and nothing beside them: {left:?}");
}

#[test]
fn faults_of_an_ipmi_service_are_found() {
    for (faults, rows) in [
        (&["ipmi.cipher_lie", "ipmi.setpriv", "ipmi.priv0"][..], &["IP-04", "IP-07", "IP-08"][..]),
        (&["ipmi.slots(1)", "rakp.drop(1)@0x1", "ipmi.name_only"], &["IP-03", "IP-07", "IP-09"]),
    ] {
        let placed: Vec<String> = faults.iter().map(|fault| format!("a001-s02={fault}")).collect();
        let rig = Rig::up(2, &placed.iter().map(String::as_str).collect::<Vec<_>>());
        let before = held(&rig);
        rig.run(&["bmc", "doctor", "a001-s02"]).ends(0, &["1 dossier is in"]);
        let (found, _) = dossier(&rig, "a001-s02");
        assert_eq!(quirks(&found, rows), rows, "{faults:?}: {found:#}");
        is_whole(&found);
        assert_eq!(held(&rig), before, "something was changed");
        assert_eq!(rig.farm().nodes()[1].machine.sessions(), 0);
        rig.untouched();
    }
}

#[test]
fn a_wrong_password_is_shown_once_and_leaves_no_dossier() {
    let rig = Rig::up(2, &["a001-s01=auth.lockout(2)"]);
    std::fs::write(rig.path("secrets/bmc_password"), "n0t-the-one\n").unwrap();
    for _ in 0..2 {
        let ran = rig.run(&["bmc", "doctor", "a001-s01"]).ends(10, &[]);
        assert!(ran.out.contains("wrong credentials"), "{ran:#?}");
    }
    assert_eq!(rig.logins()[0], 1, "the account has two tries");
    assert!(!rig.path(".bringup/dossiers").exists());
    rig.untouched();
}

/// A site of one node at this address.
fn site(rig: &Rig, bmc: &str, secret: &str, cells: (&str, &str)) {
    let (dir, secret_file) = (rig.path("other"), rig.path("other/secret"));
    std::fs::create_dir_all(dir.join("facts")).unwrap();
    std::fs::write(&secret_file, secret).unwrap();
    std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
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

/// Runs a verb on that site.
fn on_site(rig: &Rig, args: &[&str]) -> String {
    let out = rig.command(args).args(["-i", "other"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

/// Runs it on that site, and gives the dossier.
fn of_site(rig: &Rig) -> (Value, String) {
    println!("{}", on_site(rig, &["bmc", "doctor", "--all"]));
    dossier(rig, "r1-s1")
}

#[test]
fn sushy_emulator_has_a_dossier() {
    let Some(sushy) = Sushy::start("sushy_emulator_has_a_dossier") else { return };
    let rig = Rig::up(1, &[]);
    let cells = format!("{},{}", sushy.address(), sushy.fingerprint().as_str());
    site(
        &rig,
        "driver: redfish, tls: pinned, system: c7a5fdbd-cdaf-9455-926a-d65c16db1809",
        "password",
        ("bmc_address,bmc_cert_sha256", &cells),
    );
    // It writes down the state of each thing, as it is, when that is first read.
    on_site(&rig, &["bmc", "doctor"]);
    let before = sushy.holds();
    assert!(before.contains("INSERT INTO"), "{before}");
    let (found, text) = of_site(&rig);
    assert_eq!(answer(&found, "power"), "yes", "{found:#}");
    // It has two systems, gives no entity tags, and knows no sessions.
    let seen = quirks(&found, &[]);
    assert!(["RC-20", "RC-21", "RC-27", "RC-35"].iter().all(|row| seen.contains(row)), "{found:#}");
    is_whole(&found);
    // Its password is the word itself, which words may hold; as it goes over the wire, they may not.
    assert!(!format!("{found}{text}").contains("YWRtaW46cGFzc3dvcmQ"), "{found:#}");
    assert_eq!(sushy.holds(), before, "its state was changed");
    // The only thing but reads is the question without credentials whether logins are taken, once by each verb.
    assert_eq!(sushy.writes(), ["POST /redfish/v1/SessionService/Sessions"; 2]);
}

#[test]
fn ipmi_sim_has_a_dossier() {
    let Some(sim) = Sim::start("ipmi_sim_has_a_dossier") else { return };
    let rig = Rig::up(1, &[]);
    site(&rig, "driver: ipmi", "s3cret", ("bmc_address", &sim.addr.to_string()));
    let (found, text) = of_site(&rig);
    assert_eq!((answer(&found, "power"), answer(&found, "identity")), ("yes", "yes"), "{found:#}");
    assert_eq!(found["latencies"]["count"], 8);
    is_whole(&found);
    assert!(!format!("{found}{text}").contains("s3cret"));
    assert!(sim.told().iter().all(|line| !line.starts_with("set ")), "{:?}", sim.told());
}
