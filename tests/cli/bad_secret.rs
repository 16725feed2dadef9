//! Secrets that are not to be had, and far ends that are not who they should be: nothing is sent that should not be, nothing is touched.

use super::bad_rig::Rig;

fn reference(rig: &Rig) -> String {
    let text = rig.read("inventory/site.yaml");
    text.split("password: ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

#[test]
fn a_secret_that_is_not_set_or_that_others_may_read() {
    let rig = Rig::up(2, &[]);
    let file = reference(&rig);
    rig.edit("inventory/site.yaml", &file, "\"env:NO_SUCH_SECRET_HERE\"");
    for verb in [&["power", "status"][..], &["power", "off", "*", "--yes"], &["plan"], &["apply", "--yes"]] {
        rig.run(verb).refused(3, &["env:NO_SUCH_SECRET_HERE is not set", "hint: export NO_SUCH_SECRET_HERE"]);
    }
    rig.edit("inventory/site.yaml", "\"env:NO_SUCH_SECRET_HERE\"", &file);
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(rig.path("secrets/bmc_password"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for verb in [&["power", "status"][..], &["plan"], &["apply", "--yes"]] {
        rig.run(verb).refused(3, &["may be read by others (mode 644)", "chmod 600"]);
    }
    std::fs::set_permissions(rig.path("secrets/bmc_password"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(rig.path("secrets/ssh_key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    rig.run(&["exec", "*", "--", "true"]).refused(3, &["may be read by others (mode 640)"]);
    rig.untouched();
    assert_eq!(rig.logins(), [0, 0], "no credential left this machine");
}

#[test]
fn a_wrong_credential_is_tried_once() {
    let rig = Rig::up(2, &[]);
    std::fs::write(rig.path("secrets/bmc_password"), "n0t-the-one\n").unwrap();
    let ran = rig.run(&["plan"]).ends(10, &["hint: "]);
    assert!(ran.out.contains("credentials") && !format!("{ran:?}").contains("n0t-the-one"), "{ran:#?}");
    // The second node speaks IPMI: there the BMC proves the password first, so that a wrong one is known without having been tried. One more handshake
    // tells it from a packet gone bad (IP-06).
    assert_eq!((rig.logins(), rig.refused()), (vec![1, 2], vec![1, 0]), "a lock-out counter must not be fed");
    // Nor by one command after the other: three of them lock an account as well as one.
    rig.run(&["apply", "--yes"]).ends(10, &["this password was refused"]);
    let ran = rig.run(&["power", "off", "*", "--yes"]).ends(10, &[]);
    // The table breaks lines where it must.
    let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("wrong credentials") && told.contains("so that the account is not locked"), "{ran:#?}");
    assert_eq!((rig.logins()[0], rig.refused()), (1, vec![1, 0]));
    rig.untouched();
}

#[test]
fn a_wrong_certificate_gets_no_credential() {
    let rig = Rig::up(2, &["a001-s01=wrong-cert"]);
    let ran = rig.run(&["plan"]).ends(0, &[]);
    assert!(ran.out.contains("blocked") && ran.out.contains("a001-s01") && ran.out.contains("certificate"), "{ran:#?}");
    rig.run(&["plan", "-s", "a001-s01"]).ends(10, &[]);
    // First contact is for nodes without a recorded certificate, never for one whose certificate differs.
    rig.run(&["bmc", "info", "a001-s01", "--accept-new"]).ends(10, &[]);
    // A plan rests on what is recorded: it takes no first contacts at all.
    rig.run(&["plan", "-s", "a001-s01", "--accept-new"]).ends(64, &[]);
    let ran = rig.run(&["power", "off", "a001-s01", "--yes"]).ends(10, &[]);
    assert!(ran.out.contains("certificate not trusted"), "{ran:#?}");
    assert_eq!(rig.logins()[0], 0, "no credential was sent");
    rig.untouched();
}

#[test]
fn a_wrong_serial_behind_an_address_is_blocked_and_not_touched() {
    let rig = Rig::up(3, &["a001-s01=wrong-serial", "a001-s03=wrong-serial"]);
    let plan = rig.run(&["plan", "-o", "json"]).ends(0, &[]).json();
    let blocked: Vec<&str> = plan["blocked"].as_array().unwrap().iter().map(|b| b["node"].as_str().unwrap()).collect();
    assert_eq!(blocked, ["a001-s01", "a001-s03"], "{plan:#}");
    assert!(plan["blocked"][0]["why"].as_str().unwrap().contains("serial"), "{plan:#}");
    rig.run(&["apply", "--yes", "-s", "a001-s[01,03]"]).ends(10, &["blocked"]);
    // A hand must not touch another machine either.
    let ran = rig.run(&["power", "on", "a001-s[01,03]", "--yes"]);
    assert!(matches!(ran.code, Some(4 | 10)) && ran.out.contains("serial"), "{ran:#?}");
    rig.untouched();
}

#[test]
fn a_closed_port_blocks_its_node_and_when_all_are_blocked_it_is_10() {
    let rig = Rig::up(3, &["a001-s01=dead-bmc", "a001-s02=dead-bmc"]);
    let ran = rig.run(&["plan"]).ends(0, &[]);
    assert!(ran.out.contains("1 node to bring up") && ran.out.contains("2 blocked"), "{ran:#?}");
    for verb in [&["plan"][..], &["apply", "--yes"], &["power", "status"], &["power", "on", "--yes"]] {
        rig.run(&[verb, &["-s", "a001-s[01,02]"]].concat()).ends(10, &[]);
    }
    rig.untouched();
}
