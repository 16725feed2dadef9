//! What a person is told about each mistake, word for word: one file of `golden/` a mistake. `SNAPSHOTS=overwrite` writes them anew.

use std::path::Path;

use bringup::spec::load_inventory;

use super::fixture::{FACTS, SITE, TODAY, facts_with, load, site_with, told};

#[track_caller]
fn golden(name: &str, told: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/golden").join(format!("{name}.txt"));
    // Nothing in a message is a pattern, so the comparison is byte by byte.
    let expected = snapbox::Data::read_from(&file, Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(format!("{told}\n"), expected);
}

macro_rules! in_the_site {
    ($($name:ident: $part:expr => $by:expr,)*) => {
        $(#[test] fn $name() { golden(stringify!($name), &told(&site_with($part, $by), FACTS)); })*
    };
}
macro_rules! in_the_facts {
    ($($name:ident: $part:expr => $by:expr,)*) => {
        $(#[test] fn $name() { golden(stringify!($name), &told(SITE, &facts_with($part, $by))); })*
    };
}

in_the_site! {
    not_yaml: "site: lab" => "site: [lab",
    tab: "  boot:" => "\tboot:",
    unknown_key: "inherits: gpu" => "inherit: gpu",
    unknown_key_without_neighbour: "pool: train" => "pool: train\n    colour: red",
    duplicate_key: "site: lab" => "site: lab\nsite: lab2",
    missing_key: "profile: gpu, " => "",
    wrong_type: "slots: 2" => "slots: two",
    wrong_bool: "admit: false" => "admit: no",
    octal: "slots: 2" => "slots: 02",
    list_for_a_string: "pool: train" => "pool: [train]",
    wrong_version: "rack/v1" => "rack/v2",
    merge_key: "inherits: gpu" => "<<: {pool: infer}",
    tag: "pool: train" => "pool: !x train",
    two_documents: "policy:" => "---\npolicy:",
    plaintext_password: "env:BMC_PASSWORD" => "hunter2",
    plaintext_key: "ssh: {user: prov, key: \"file:keys/prov\"}"
        => "ssh:\n    user: prov\n    key: |\n      -----BEGIN OPENSSH PRIVATE KEY-----\n      b3Blbn",
    unsupported_secret: "env:BMC_PASSWORD" => "vault:bmc/prov",
    unknown_profile: "profile: npu" => "profile: nup",
    inherits_in_a_circle: "pool: train" => "inherits: npu",
    inherits_from_nobody: "inherits: gpu" => "inherits: gpuu",
    overlapping_ranges: "range: \"b001\"" => "range: \"a[002-004]\"",
    backward_range: "a[001-002]" => "a[002-001]",
    uneven_range: "a[001-002]" => "a[001-0002]",
    unclosed_range: "a[001-002]" => "a[001-002",
    huge_range: "a[001-002]" => "a[000000-999999]",
    bad_rack_name: "range: \"b001\"" => "range: \"B001\"",
    colliding_names: "{rack}-s{slot:02}" => "{rack}",
    expired_override: "until: 2026-12-31" => "until: 2026-10-31",
    until_is_no_date: "until: 2026-12-31" => "until: soon",
    override_without_why: ", why: \"CDU work order 4471\"" => "",
    empty_selector: "a002-s*" => "a003-s*",
    misspelt_selector: "a001-s02: {" => "a001-s2: {",
    outside_the_network: "cidr(10.{row}.0.0/16" => "cidr(10.{row}.0.0/28",
    unknown_variable: "(n-1)*16+slot)" => "(n-1)*16+solt)",
    division_by_zero: "(n-1)/25" => "(n-1)/0",
    no_network: "cidr(10.{row}.0.0/16" => "cidr(10.{row}.0.0",
    same_computed_address: "\"cidr(10.{row}.0.0/16, (n-1)*16+slot)\"" => "\"10.0.0.{slot}\"",
    no_naming: "bmc_ip: " => "#",
    bad_choice: "driver: redfish" => "driver: redfihs",
    method_as_mode: "method: uefi-http" => "mode: uefi-http",
    bad_url: "http://10.77.0.1:8088" => "10.77.0.1",
    bad_port: "user: prov, key" => "port: 70000, user: prov, key",
    no_reason_for_plaintext: "driver: redfish" => "tls: none",
    limit_without_draw: "power: {idle_w: 2400, boot_w: 6500}" => "power: {idle_w: 2400}",
    pci_without_id: "kind: nvidia" => "kind: pci",
    nothing_written: "    verify: gpu-acceptance\n" => "",
    unknown_demand: "facts.serial" => "facts.serail",
    facts_elsewhere: "policy:" => "facts: [\"../*.csv\", \"other/*.csv\"]\npolicy:",
    bad_network: "boot: {" => "boot: {network: 10.101.0.1/16, ",
    outside_the_boot_network: "boot: {" => "boot: {network: 10.99.0.0/16, ",
    router_at_the_broadcast_address: "boot: {" => "boot: {network: \"10.{row+100}.0.0/16\", router: \"10.{row+100}.255.255\", ",
    router_outside_its_network: "boot: {" => "boot: {network: \"10.{row+100}.0.0/16\", router: 10.99.0.1, ",
    bad_name_server: "boot: {" => "boot: {dns: [10.0.0.1, dns.lab], ",
    bad_lease: "boot: {" => "boot: {lease: 30s, ",
    bad_delay: "boot: {" => "boot: {reply_delay: 20s, ",
    bad_arch: "boot: {" => "boot: {arch: arm64, ",
    path_as_a_name: "verify: gpu-acceptance" => "verify: ../../etc/passwd",
}

in_the_facts! {
    duplicate_serial: "S102" => "S101",
    duplicate_mac: "02:00:00:00:02:01" => "02:00:00:00:01:01",
    mac_twice_in_a_row: "02:00:00:00:11:01" => "02:00:00:00:01:01",
    bad_mac: "02:00:00:00:01:01" => "03:00:00:00:01:01",
    unknown_node: "a002-s01" => "a002-s10",
    second_row: "a001-s02" => "a001-s01",
    unknown_column: "serial," => "serail,",
    no_node_column: "node," => "bmc_address,",
    unclosed_quote: "S301," => "S301,\"",
    missing_cell: "S301,02" => "02",
    missing_fact: "S301" => "",
    control_character: "S301" => "S3\u{7}01",
}

#[test]
fn same_address_in_and_out_of_band() {
    let site = site_with("{row+100}", "{row}").replace("user: prov, key", "port: 443, user: prov, key");
    golden("same_address_in_and_out_of_band", &told(&site, FACTS));
}

#[test]
fn all_at_once() {
    let site = site_with("inherits: gpu", "inherits: gpu\n    inherit: gpu")
        .replace("driver: redfish", "driver: redfisch")
        .replace("hold: liquid", "\"ho ld\": x")
        .replace("2026-12-31", "2025-12-31");
    let text = told(&site, &facts_with("S102", "S101"));
    let codes: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("error[")?.get(..4)).collect();
    assert_eq!(codes, ["E104", "E007", "E004", "E112", "E113"], "{text}");
}

#[test]
fn a_secret_is_never_repeated() {
    // The secret stands on a line with another mistake, in a key that is misspelt, behind an alias, in a comment, and in broken YAML.
    for site in [
        site_with("env:BMC_PASSWORD", "hunter2"),
        site_with("user: prov, password: \"env:BMC_PASSWORD\"", "usr: prov, password: hunter2, x: 1"),
        site_with("password: \"env:BMC_PASSWORD\"", "pasword: hunter2, bmc_password: \"hunter2\", Secret: hunter2"),
        site_with("password: \"env:BMC_PASSWORD\"", "password: [hunter2, {a: hunter2}], usr: x"),
        site_with("site: lab", "site: lab # password: hunter2\nsite: [lab"),
        site_with("key: \"file:keys/prov\"", "key: 'hunter2', usr: x"),
        site_with("  ssh: {user: prov, key: \"file:keys/prov\"}", "  ssh: {user: prov, key: &k hunter2, port: *k}"),
        site_with("pool: train", "pool: {password: hunter2}"),
    ] {
        let wrong = load(&site, FACTS).unwrap_err();
        for told in
            [wrong.render(false), wrong.render(true), wrong.to_json().to_string(), wrong.to_string(), format!("{wrong:?}")]
        {
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = |what: &str| {
        let told = load_inventory(dir.path(), TODAY).unwrap_err().render(false).replace(&dir.path().display().to_string(), "DIR");
        golden(what, told.trim_end());
    };
    wrong("missing_file");
    std::fs::write(dir.path().join("site.yaml"), b"site: \xff\xfe").unwrap();
    wrong("not_utf8");
    std::fs::write(dir.path().join("site.yaml"), b"").unwrap();
    wrong("empty_file");
    let big = std::fs::File::create(dir.path().join("site.yaml")).unwrap();
    big.set_len((64 << 20) + 1).unwrap();
    wrong("too_big");
}

#[test]
fn bombs_are_refused_quickly() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        laughs.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    for (bomb, code) in [
        (laughs, "error[E008]: more than"),
        ("[".repeat(100_000), "error[E00"),
        ("- ".repeat(100_000), "error[E00"),
        ("{a: ".repeat(90) + "x" + &"}".repeat(90), "error[E008]: nested more than 64"),
        ("a: &a [*a]".to_owned(), "error[E00"),
    ] {
        let told = load(&bomb, FACTS).unwrap_err().render(false);
        assert!(told.starts_with(code), "{}", told.chars().take(300).collect::<String>());
        assert!(told.len() < 3000, "a bomb is not echoed");
    }
}

#[test]
fn only_a_hundred_are_shown_and_all_are_in_the_json() {
    let mut facts = String::from("node,serial\n");
    for i in 0..250 {
        facts.push_str(&format!("z{i:03},S{i}\n"));
    }
    let wrong = load(SITE, &facts).unwrap_err();
    assert!(wrong.render(false).contains("… and 151 more"), "250 rows and one missing fact");
    assert_eq!(wrong.to_json()["diagnostics"].as_array().unwrap().len(), 251);
    assert_eq!(wrong.to_json()["format_version"], 1);
}
