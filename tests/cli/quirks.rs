//! The site's own quirks, what BMCs teach between two runs, and the powers beyond on and off, as a user meets them.

use serde_json::Value;

use super::bad_rig::Rig;

const OURS: &str = "format_version: 1\nquirks:\n  - name: ours\n    fits: {vendor: \"NVIDIA*\", model: DGXH100}\n    habits:\n      - set: {bmc_boot_s: 420}\n        evidence: [\"[SITE] seen on a001\"]\n";

/// The lines of an output, as one text without the breaks that a table makes.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_site_adds_its_own_quirks_and_mistakes_are_told_before_anything_is_touched() {
    let rig = Rig::up(1, &[]);
    let profile = |rig: &Rig| rig.run(&["bmc", "info", "-o", "json"]).ends(0, &[]).json()["nodes"][0]["info"]["profile"].clone();
    assert_eq!(profile(&rig)["entries"], serde_json::json!(["nvidia-dgx"]));
    assert!(flat(&rig.run(&["bmc", "info"]).ends(0, &[]).out).contains("nvidia-dgx"));

    std::fs::write(rig.path("inventory/quirks.yaml"), OURS).unwrap();
    rig.run(&["validate"]).ends(0, &[]);
    let told = profile(&rig);
    assert_eq!(told["entries"], serde_json::json!(["nvidia-dgx", "ours"]));
    let because = &told["because"]["bmc_boot_s"];
    assert_eq!(because["value"], 420);
    assert_eq!((&because["entry"], &because["evidence"][0]), (&"ours".into(), &"[SITE] seen on a001".into()), "{told:#}");

    rig.edit("inventory/quirks.yaml", "bmc_boot_s", "bmc_boots");
    let ran = rig.run(&["validate"]).ends(3, &["quirks.yaml:6:", "entry `ours`", "bmc_boots", "bringup schema quirks"]);
    assert!(!ran.err.contains("2 mistakes"), "{}", ran.err);
    let json = rig.run(&["validate", "-o", "json"]);
    assert_eq!((json.code, json.out.contains("bmc_boots")), (Some(3), true), "{json:#?}");
    rig.run(&["power", "on", "*"]).refused(3, &["quirks.yaml:6:", "entry `ours`", "bringup validate"]);
    rig.untouched();

    let schema = rig.run(&["schema", "quirks"]).ends(0, &[]).out;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(schema.pointer("/$defs/habits/properties/bmc_boot_s").is_some(), "{schema:#}");
}

#[test]
fn what_a_bmc_teaches_is_kept_for_the_next_run_and_a_corrupt_memory_is_told() {
    let rig = Rig::up(1, &["a001-s01=etag.refuse_on_post"]);
    let memory = ".bringup/bmc-memory.json";
    rig.run(&["bmc", "info"]).ends(0, &[]);
    assert!(!rig.path(memory).exists(), "nothing was taught yet");
    rig.run(&["power", "on", "*"]).ends(0, &[]);
    let kept: Value = serde_json::from_str(&rig.read(memory)).unwrap();
    assert_eq!(kept["makes"][0]["make"]["model"], "DGXH100");
    // The profile says `*`, and this one refuses any.
    assert_eq!(kept["makes"][0]["learned"]["action_tag"], "none", "{kept:#}");
    rig.run(&["power", "off", "*", "--yes"]).ends(0, &[]);

    std::fs::write(rig.path(memory), "{\"format_version\": 1").unwrap();
    rig.run(&["power", "on", "*"]).ends(0, &["is no memory of BMCs", "learned anew"]);
    let kept: Value = serde_json::from_str(&rig.read(memory)).unwrap();
    assert_eq!(kept["makes"][0]["learned"]["action_tag"], "none", "it was written anew: {kept:#}");
}

#[test]
fn powers_beyond_on_and_off_are_proved_or_refused() {
    let rig = Rig::up(1, &[]);
    rig.run(&["power", "on", "*"]).ends(0, &[]);
    rig.run(&["power", "reset", "*"]).refused(64, &["--yes"]);
    let ran = rig.run(&["power", "reset", "*", "--yes"]).ends(0, &[]);
    assert!(flat(&ran.out).contains("LastResetTime went from"), "{}", ran.out);
    assert_eq!(rig.farm().nodes()[0].machine.deeds().restart_asked, 1);
    rig.run(&["power", "ac", "*"]).ends(64, &["standby power", "--yes"]);
    let ran = rig.run(&["power", "ac", "*", "--yes"]).ends(4, &["standby power"]);
    assert!(flat(&ran.out).contains("not supported") && flat(&ran.out).contains("PDU"), "{}", ran.out);
    // An interrupt that this make does not offer.
    let ran = rig.run(&["power", "nmi", "*", "--yes"]).ends(4, &[]);
    assert!(flat(&ran.out).contains("but not Nmi"), "{}", ran.out);
    let told = rig.run(&["history"]).ends(0, &[]).out;
    assert!(told.contains("power reset") && told.contains("power ac"), "{told}");
    let deeds = rig.farm().nodes()[0].machine.deeds();
    assert_eq!((deeds.ac_cycled, deeds.nmi_asked), (0, 0));
}
