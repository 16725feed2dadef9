//! `bmc cert` as a user runs it: what is shown is what the handshake showed, a replacement is journaled before and after, proved by a new connection and
//! recorded in the facts, and no key is in any text.

use bringup::model::{EvidenceNote, Touch};
use bringup::sim::Seed;
use bringup::sim::tls::Certified;
use serde_json::{Value, json};

use super::bad_rig::{Ran, Rig};
use super::keep::{NODE, flat, touched, written};

const REPLACE: [&str; 8] = ["bmc", "cert", NODE, "--replace", "{node}.pem", "--key", "file:../secrets/{node}.key", "--yes"];

/// A chain and its key, where the commands look for them; the digest that it will be known by.
struct Made {
    sha256: String,
    key: String,
}

fn made(rig: &Rig, name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(rig.path(&format!("{NODE}.pem")), made.cert.pem()).unwrap();
    let key = rig.path(&format!("secrets/{NODE}.key"));
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let sha256 = bringup::bmc::keeping::leaf_of(&made.cert.pem()).unwrap().to_string();
    Made { sha256, key: made.signing_key.serialize_pem() }
}

/// SHA-256 of the key of what was made last, by `openssl`'s way: over the SubjectPublicKeyInfo.
fn spki(made: &Made) -> String {
    use rcgen::PublicKeyData as _;
    use sha2::Digest as _;
    let pair = rcgen::KeyPair::from_pem(&made.key).unwrap();
    sha2::Sha256::digest(pair.subject_public_key_info()).iter().map(|byte| format!("{byte:02x}")).collect()
}

const FACTS: &str = "inventory/facts/nodes.csv";

/// The touches, each with how it ended.
fn ends(rig: &Rig) -> Vec<(String, &'static str)> {
    let end = |seen: &Option<EvidenceNote>| match seen {
        Some(EvidenceNote::Applied(_)) => "applied",
        Some(EvidenceNote::NotApplied(_)) => "not applied",
        Some(EvidenceNote::Ambiguous(_)) => "ambiguous",
        _ => "nothing",
    };
    let digest = |touch: &Touch| match touch {
        Touch::ReplaceCertificate { sha256 } => sha256.to_string(),
        other => format!("{other:?}"),
    };
    touched(rig).iter().map(|(touch, seen)| (digest(touch), end(seen))).collect()
}

fn shown(ran: &Ran) -> Value {
    ran.json()["nodes"][0]["certificate"].clone()
}

#[test]
fn what_is_shown_is_what_the_handshake_showed() {
    let rig = Rig::up(2, &[]);
    let leaf = rig.farm().nodes()[0].certificate.as_ref().unwrap().to_string();
    let key = Certified::derive(Seed(7), NODE).unwrap().key_fingerprint().to_string();
    // One node: everything, in full.
    let ran = rig.run(&["bmc", "cert", NODE]).ends(0, &[]);
    for words in [leaf.as_str(), &format!("spki:{key}"), "2049-12-31T00:00:00Z", "trusted yes", "recorded"] {
        assert!(flat(&ran).contains(words), "`{words}`: {}", ran.out);
    }
    let known = |value: &Value| value["known"].clone();
    let answer = shown(&rig.run(&["bmc", "cert", NODE, "-o", "json"]).ends(0, &[]));
    let seen = known(&answer["shown"]);
    assert_eq!((seen["sha256"].as_str(), known(&seen["spki"]).as_str()), (Some(leaf.as_str()), Some(key.as_str())));
    assert_eq!((&seen["accepted"], &answer["recorded"]), (&json!(true), &json!({ "pinned": leaf })));
    assert_eq!(known(&known(&answer["told"])["sha256"]).as_str(), Some(leaf.as_str()), "{answer:#}");
    // Many nodes: a line each. The second one speaks IPMI, which has no certificate.
    let ran = rig.run(&["bmc", "cert"]).ends(4, &[]);
    assert!(ran.out.contains(&leaf[..12]) && ran.out.contains(&key[..12]) && ran.out.contains("a001-s02"), "{}", ran.out);

    // One that is not the recorded one, and one of which none is recorded: told, and no credential sent.
    let logins = rig.logins();
    rig.edit(FACTS, &leaf, &"ab".repeat(32));
    let ran = rig.run(&["bmc", "cert", NODE]).ends(10, &[]);
    for words in [leaf.as_str(), "no; no credential was sent", &"ab".repeat(32)] {
        assert!(flat(&ran).contains(words), "`{words}`: {}", ran.out);
    }
    rig.edit(FACTS, &"ab".repeat(32), "");
    let answer = shown(&rig.run(&["bmc", "cert", NODE, "-o", "json"]).ends(10, &[]));
    assert_eq!((&answer["recorded"], &answer["told"]), (&json!("first-contact"), &json!(null)));
    // The journal knows of no replacement: nothing is recorded, however often that is asked for.
    let ran = rig.run(&["bmc", "cert", "--record"]).ends(4, &[]);
    assert!(!ran.err.contains("recorded"), "{}", ran.err);
    assert!(!rig.read(FACTS).contains(&leaf));
    assert_eq!(rig.logins()[0], logins[0]);
}

#[test]
fn a_certificate_is_replaced_proved_and_recorded_in_one_command() {
    let rig = Rig::up(1, &[]);
    let new = made(&rig, "bmc.example");
    rig.run(&["bmc", "cert", "--replace", "{node}.pem", "--yes"]).refused(64, &["needs to be told which nodes"]);
    rig.run(&REPLACE[..7]).refused(64, &["was not agreed to", "--yes"]);
    let ran = rig.run(&REPLACE).ends(0, &["recorded 1 certificates", "facts/nodes.csv"]);
    assert!(flat(&ran).contains(&format!("a new connection shows {}", &new.sha256[..8])), "{}", ran.out);
    assert!(rig.read(FACTS).contains(&new.sha256));
    assert_eq!(ends(&rig), [(new.sha256.clone(), "applied")]);
    // The next contact is trusted, by the new one alone.
    assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
    let ran = rig.run(&REPLACE).ends(0, &[]);
    assert!(flat(&ran).contains("already; nothing was sent"), "{}", ran.out);
    let part = new.key.lines().nth(1).unwrap();
    assert!(!format!("{ran:?}{}", written(&rig)).contains(part), "the key stands somewhere");

    // A key that is not the certificate's: refused before anything is sent, by us and by the BMC.
    let other = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap().cert.pem();
    std::fs::write(rig.path(&format!("{NODE}.pem")), other).unwrap();
    let ran = rig.run(&REPLACE).ends(4, &[]);
    assert!(flat(&ran).contains("the key is not that of the certificate"), "{}", ran.out);
    let ran = rig.run(&["bmc", "cert", NODE, "--replace", "{node}.pem", "--yes"]).ends(4, &[]);
    assert!(flat(&ran).contains("400 Bad Request"), "{}", ran.out);
    rig.run(&["bmc", "cert", NODE, "--replace", "none.pem", "--yes"])
        .refused(3, &["write none.pem", "the BMC's own certificate first"]);
    // A chain that is too long is refused whole: the half that was read is never sent.
    let long = format!("{}{}", std::fs::read_to_string(rig.path(&format!("{NODE}.pem"))).unwrap(), "\n".repeat(1 << 20));
    std::fs::write(rig.path("long.pem"), long).unwrap();
    rig.run(&["bmc", "cert", NODE, "--replace", "long.pem", "--yes"]).refused(3, &["longer than 1 MiB"]);
    assert!(rig.read(FACTS).contains(&new.sha256), "what was refused is not recorded");
    let ends: Vec<&str> = ends(&rig).iter().map(|(_, end)| *end).collect();
    assert_eq!(ends, ["applied", "applied", "not applied", "not applied"]);
}

#[test]
fn a_refusal_of_what_was_done_is_not_believed() {
    let rig = Rig::up(1, &["a001-s01=act.409"]);
    let new = made(&rig, "bmc.example");
    let ran = rig.run(&REPLACE).ends(0, &["recorded 1 certificates"]);
    assert!(flat(&ran).contains("it was refused") && flat(&ran).contains("but a new connection shows"), "{}", ran.out);
    assert_eq!(ends(&rig), [(new.sha256.clone(), "applied")]);
    assert!(rig.read(FACTS).contains(&new.sha256));
    assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
}

#[test]
fn a_certificate_that_shows_late_is_found_again_by_the_journal() {
    // By the certificate, and by its key.
    for by_key in [false, true] {
        // The BMC is away for some seconds: it tells no start time, so that its restart must be seen.
        let rig = Rig::at_speed(1, &["a001-s01=cert.late"], 40);
        let leaf = rig.farm().nodes()[0].certificate.as_ref().unwrap().to_string();
        if by_key {
            let key = Certified::derive(Seed(7), NODE).unwrap().key_fingerprint();
            rig.edit(FACTS, &leaf, &format!("spki:{key}"));
        }
        let new = made(&rig, "bmc.example");
        let ran = rig.run(&[&REPLACE[..], &["--deadline", "1s"]].concat()).ends(4, &[]);
        assert!(flat(&ran).contains("unclear") && flat(&ran).contains("from their next restart on"), "{}", ran.out);
        assert!(!rig.read(FACTS).contains(&new.sha256), "nothing was seen, nothing is recorded");
        assert_eq!(ends(&rig), [(new.sha256.clone(), "ambiguous")]);
        // From the restart on it shows the new one, which nobody has recorded: not trusted, no credential sent.
        let ran = rig.run(&["bmc", "reset", NODE, "--yes", "--deadline", "120s"]).ends(4, &[]);
        assert!(flat(&ran).contains("unclear") && flat(&ran).contains("it showed certificate"), "{}", ran.out);
        assert_eq!(rig.farm().nodes()[0].machine.bmc_restarts(), 1);
        let logins = rig.logins();
        let ran = rig.run(&["bmc", "cert"]).ends(10, &["by the journal bringup put the certificate there", "--record"]);
        assert!(flat(&ran).contains("no; no credential was sent") && ran.out.contains(&new.sha256[..12]), "{}", ran.out);
        rig.run(&["bmc", "cert", "--record"]).ends(0, &["recorded 1 certificates"]);
        let want = if by_key { format!("spki:{}", spki(&new)) } else { new.sha256.clone() };
        assert!(rig.read(FACTS).contains(&want), "{}", rig.read(FACTS));
        assert_eq!(rig.logins(), logins);
        assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
    }
}

#[test]
fn a_pin_of_the_key_moves_to_the_new_key() {
    let rig = Rig::up(1, &[]);
    let leaf = rig.farm().nodes()[0].certificate.as_ref().unwrap().to_string();
    let key = Certified::derive(Seed(7), NODE).unwrap().key_fingerprint();
    rig.edit(FACTS, &leaf, &format!("spki:{key}"));
    let new = made(&rig, "bmc.example");
    rig.run(&REPLACE).ends(0, &["recorded 1 certificates"]);
    let facts = rig.read(FACTS);
    assert!(facts.contains(&format!("spki:{}", spki(&new))) && !facts.contains(key.as_str()), "{facts}");
    assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
    let ran = rig.run(&["bmc", "cert"]).ends(0, &[]);
    assert!(flat(&ran).contains(&new.sha256) && flat(&ran).contains("trusted yes"), "{}", ran.out);
}

#[test]
fn without_a_pin_nothing_is_replaced() {
    let rig = Rig::up(1, &[]);
    let leaf = rig.farm().nodes()[0].certificate.as_ref().unwrap().to_string();
    rig.edit(FACTS, &leaf, "");
    let new = made(&rig, "bmc.example");
    let ran = rig.run(&REPLACE).ends(10, &[]);
    assert!(flat(&ran).contains("certificate not trusted"), "{}", ran.out);
    assert!(touched(&rig).is_empty() && rig.logins() == [0], "neither touched nor logged in");
    assert!(!rig.read(FACTS).contains(&new.sha256));
}

#[test]
fn a_signing_request_is_answered_by_an_authority() {
    if crate::support::need_program("a_signing_request_is_answered_by_an_authority", "openssl").is_none() {
        return;
    }
    let rig = Rig::up(1, &[]);
    let openssl = |args: &str| {
        let ran = std::process::Command::new("openssl").args(args.split(' ')).current_dir(rig.dir.path()).output().unwrap();
        assert!(ran.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    rig.run(&["bmc", "cert", NODE, "--request", "CN=x", "--out", "csr", "--yes"]).refused(64, &["the subject has no O"]);
    let subject = "CN={node}.bmc.example,O=Example,OU=DC1,L=Seoul,ST=Seoul,C=KR";
    let request = ["bmc", "cert", NODE, "--request", subject, "--alt", "{node}.bmc.example", "--out", "csr", "--yes"];
    rig.run(&request).ends(0, &[]);
    let told = openssl(&format!("req -in csr/{NODE}.csr.pem -noout -subject -verify"));
    assert!(told.contains("a001-s01.bmc.example") && told.contains("Example"), "{told}");
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Rack-CA -days 2");
    openssl(&format!(
        "x509 -req -in csr/{NODE}.csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 1 -out {NODE}.pem"
    ));
    let ran = rig.run(&["bmc", "cert", NODE, "--replace", "{node}.pem", "--yes"]).ends(0, &["recorded 1 certificates"]);
    assert!(flat(&ran).contains("a new connection shows"), "{}", ran.out);
    assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
    let ends: Vec<_> =
        touched(&rig).into_iter().map(|(touch, seen)| (touch, matches!(seen, Some(EvidenceNote::Applied(_))))).collect();
    assert!(matches!(&ends[..], [(Touch::RequestCertificate, true), (Touch::ReplaceCertificate { .. }, true)]), "{ends:?}");
    // Python's and openssl's digest is ours, and so is the end.
    let digest = openssl(&format!("x509 -in {NODE}.pem -noout -fingerprint -sha256"));
    let digest: String = digest.split('=').nth(1).unwrap().trim().replace(':', "").to_ascii_lowercase();
    assert!(rig.read(FACTS).contains(&digest), "{digest}");
    let end = openssl(&format!("x509 -in {NODE}.pem -noout -enddate -dateopt iso_8601"));
    let end = end.split('=').nth(1).unwrap().trim().replace(' ', "T");
    let ran = rig.run(&["bmc", "cert"]).ends(0, &[]);
    assert!(flat(&ran).contains(&format!("valid until {end}")), "{end}: {}", ran.out);

    // From now on by the authority, whose certificate it shows; one that nobody vouches for is not sent.
    std::fs::create_dir_all(rig.path("inventory/ca")).unwrap();
    std::fs::copy(rig.path("ca.pem"), rig.path("inventory/ca/bmc.pem")).unwrap();
    rig.edit("inventory/site.yaml", "tls: pinned", "tls: authority, ca: ca/bmc.pem");
    let ran = rig.run(&["bmc", "cert"]).ends(0, &[]);
    assert!(flat(&ran).contains("by authority ca/bmc.pem") && flat(&ran).contains("trusted yes"), "{}", ran.out);
    let strange = made(&rig, "bmc.example");
    let ran = rig.run(&REPLACE).ends(4, &[]);
    assert!(flat(&ran).contains("nothing was sent: the BMC could not be reached under it"), "{}", ran.out);
    assert!(!rig.read(FACTS).contains(&strange.sha256));
    assert!(rig.run(&["power", "status"]).ends(0, &[]).out.contains("off"));
}

#[test]
fn ipmi_has_no_certificate() {
    let rig = Rig::ipmi(1);
    let ran = rig.run(&["bmc", "cert"]).ends(4, &[]);
    assert!(flat(&ran).contains("not supported"), "{}", ran.out);
    made(&rig, "bmc.example");
    let ran = rig.run(&REPLACE).ends(4, &[]);
    assert!(flat(&ran).contains("not supported"), "{}", ran.out);
}
