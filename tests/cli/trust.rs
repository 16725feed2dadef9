//! What makes a BMC trusted, as an inventory writes it: the certificate, its key, or an authority; and what is said when it changes.

use bringup::sim::Seed;
use bringup::sim::tls::Certified;

use super::bad_rig::Rig;

/// What was seen, in one piece: a table breaks long words.
fn seen(ran: &super::bad_rig::Ran) -> String {
    let json = ran.json();
    let row = &json["nodes"][0];
    [&row["detail"], &row["error"]["detail"]].iter().find_map(|text| text.as_str()).unwrap_or_default().to_owned()
}

const FACTS: &str = "inventory/facts/nodes.csv";

fn recorded(rig: &Rig) -> (String, Certified) {
    let node = &rig.farm().nodes()[0];
    let certified = Certified::derive(Seed(7), node.machine.identity().node.as_str()).unwrap();
    (node.certificate.as_ref().unwrap().to_string(), certified)
}

#[test]
fn a_key_is_pinned_in_place_of_a_certificate() {
    let rig = Rig::up(1, &[]);
    let (leaf, certified) = recorded(&rig);
    let key = certified.key_fingerprint();
    rig.edit(FACTS, &leaf, &format!("SPKI:{}", key.as_str().to_uppercase()));
    rig.run(&["validate"]).ends(0, &[]);
    let ran = rig.run(&["bmc", "info", "-o", "json"]).ends(0, &[]);
    let info = &ran.json()["nodes"][0]["info"];
    assert_eq!((info["certificate"].as_str(), info["certificate_key"].as_str()), (Some(leaf.as_str()), Some(key.as_str())));
    let ran = rig.run(&["show", "a001-s01", "-o", "json"]).ends(0, &[]);
    assert!(ran.out.contains("pinned-key") && ran.out.contains(key.as_str()), "{}", ran.out);

    let wrong = "ab".repeat(32);
    rig.edit(FACTS, &format!("SPKI:{}", key.as_str().to_uppercase()), &format!("spki:{wrong}"));
    let logins = rig.logins();
    let ran = rig.run(&["bmc", "info", "--accept-new", "-o", "json"]).ends(10, &[]);
    let told = seen(&ran);
    for word in [leaf.as_str(), &wrong, key.as_str(), "bmc_cert_sha256", "somebody else may be answering"] {
        assert!(told.contains(word), "`{word}` is not told: {told}");
    }
    assert_eq!(rig.logins(), logins, "no credential was sent");
    rig.edit(FACTS, &wrong, "xyz");
    rig.run(&["validate"]).ends(3, &["`spki:xyz` is not a SHA-256 fingerprint"]);
}

#[test]
fn a_certificate_that_was_renewed_passes_under_its_key_and_is_told_under_its_digest() {
    for (by_key, passes) in [(true, true), (false, false)] {
        let rig = Rig::up(1, &["a001-s01=tls.renew@4"]);
        let (leaf, certified) = recorded(&rig);
        let renewed = Certified::renewed(Seed(7), rig.farm().nodes()[0].machine.identity().node.as_str()).unwrap();
        if by_key {
            rig.edit(FACTS, &leaf, &format!("spki:{}", certified.key_fingerprint()));
        }
        // Root, login, systems, system, log out: then it is renewed.
        rig.run(&["power", "status"]).ends(0, &[]);
        let ran = rig.run(&["power", "status", "-o", "json"]).ends(if passes { 0 } else { 10 }, &[]);
        if !passes {
            for word in [leaf.as_str(), renewed.fingerprint().as_str(), "certificate not trusted", "if its firmware was updated"]
            {
                assert!(ran.out.contains(word), "`{word}` is not told: {}", ran.out);
            }
        }
    }
}

#[test]
fn an_authority_is_read_from_the_inventory_and_asked() {
    let rig = Rig::up(1, &[]);
    rig.edit("inventory/site.yaml", "tls: pinned", "tls: authority");
    rig.run(&["validate"]).ends(3, &["`tls: authority` needs `ca`"]);
    rig.edit("inventory/site.yaml", "tls: authority", "tls: authority, ca: ca/bmc.pem");
    rig.run(&["validate"]).ends(0, &[]);
    rig.run(&["power", "status"])
        .refused(3, &["use the certificate authority", "ca/bmc.pem", "counts from the inventory's directory"]);
    std::fs::create_dir(rig.path("inventory/ca")).unwrap();
    std::fs::write(rig.path("inventory/ca/bmc.pem"), "nothing\n").unwrap();
    rig.run(&["power", "status"]).refused(3, &["it holds no certificate in PEM form"]);
    // A simulated BMC signs its own certificate: another authority does not vouch for it.
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(rig.path("inventory/ca/bmc.pem"), authority.pem()).unwrap();
    let ran = rig.run(&["power", "status", "-o", "json"]).ends(10, &[]);
    let told = seen(&ran);
    assert!(told.contains("the certificate authority ca/bmc.pem does not accept it: it was signed by somebody else"), "{told}");
    assert_eq!(rig.logins(), [0], "no credential was sent");
    let ran = rig.run(&["show", "a001-s01", "--why", "bmc.trust"]).ends(0, &[]);
    assert!(ran.out.contains("ca/bmc.pem"), "{}", ran.out);
}
