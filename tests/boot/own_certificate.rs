//! `serve --https --tls-cert --tls-key`: the site's own certificate, made by OpenSSL as a site makes it; curl and OpenSSL are the clients. What cannot be
//! shown is told before anything is served.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Service, need_program, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

/// An authority, a certificate of its making over a key on P-384, another key, and one whose time is over.
const MAKE: &str = r#"set -e; cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Site authority' -keyout ca.key -out ca.pem
openssl ecparam -name secp384r1 -genkey -noout -out boot.key
openssl req -new -key boot.key -subj '/CN=boot.site.example' -out boot.csr
printf 'subjectAltName=DNS:boot.site.example,IP:127.90.0.3\n' >ext
openssl x509 -req -in boot.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 -extfile ext -out leaf.pem
cat leaf.pem ca.pem >boot.pem
openssl genpkey -algorithm ed25519 -out other.key
openssl genpkey -algorithm ed25519 -out old.key
openssl req -new -key old.key -subj '/CN=boot.site.example' -out old.csr
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' >ca.conf
touch index; echo 01 >serial
openssl ca -batch -notext -config ca.conf -in old.csr -cert ca.pem -keyfile ca.key -days 7 -out one.pem
echo 02 >serial; printf 'unique_subject=no\n' >index.attr
openssl ca -batch -notext -config ca.conf -extfile ext -in old.csr -cert ca.pem -keyfile ca.key -startdate 20240101000000Z -enddate 20240201000000Z -out old.pem
openssl x509 -in leaf.pem -outform DER | sha256sum | cut -d' ' -f1 >digest
printf 'sha256//' >pin; openssl x509 -in leaf.pem -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64 >>pin
echo nothing >empty.pem
"#;

fn made(test: &str) -> Option<tempfile::TempDir> {
    for program in ["openssl", "curl"] {
        need_program(test, program)?;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("sh").args(["-c", MAKE, "sh"]).arg(dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(dir)
}

fn serve(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["--state", "state/journal.db", "serve", "--listen", "127.90.0.3:0"]).args(words);
    command.current_dir(dir).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

#[test]
fn a_sites_certificate_is_shown_and_pinned() {
    let test = "boot::own_certificate::a_sites_certificate_is_shown_and_pinned";
    let Some(dir) = made(test) else { return };
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let file = |name: &str| std::fs::File::create(dir.path().join(name)).unwrap();
    let mut command = serve(dir.path(), &["--https", "127.90.0.3:0", "--tls-cert", "boot.pem", "--tls-key", "boot.key"]);
    let mut serving = Service::start(command.stdout(file("out")).stderr(file("err"))).unwrap();
    wait_until("it serves", PATIENCE, || read("err").contains("serving on http://") || !serving.alive());
    let said = read("err");
    // OpenSSL's own words for the digests of what was given.
    let (digest, pin) = (read("digest"), read("pin"));
    let want = format!(": certificate SHA-256 {}, curl --pinnedpubkey {}", digest.trim(), pin.trim());
    assert!(said.contains(&want), "{want}\n{said}");
    let at = said.split("HTTPS on ").nth(1).unwrap().split(": ").next().unwrap().to_owned();
    let url = format!("https://{at}/healthz");
    let curl = |words: &[&str]| {
        let out = Command::new("curl")
            .args(["-sS", "--max-time", "60"])
            .args(words)
            .arg(&url)
            .current_dir(dir.path())
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    // By the site's authority and the name, as its other clients know it; and by the key, as curl is told to.
    let (code, health) = curl(&["--cacert", "ca.pem"]);
    assert_eq!(code, Some(0));
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    // What scripts will tell nodes to pin.
    assert_eq!(health["https"]["sha256"], digest.trim(), "{health}");
    assert_eq!(curl(&["-k", "--pinnedpubkey", pin.trim()]).0, Some(0));
    assert_eq!(curl(&[]).0, Some(60), "no other authority vouches for it");
    let see = "openssl s_client -connect \"$1\" -showcerts </dev/null 2>/dev/null | grep -c 'BEGIN CERTIFICATE'";
    let chain = Command::new("sh").args(["-c", see, "sh", &at]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&chain.stdout), "2\n", "with the authority's beside it");
    // None was made in its place.
    assert!(!dir.path().join("state/boot-server.pem").exists());
    assert!(!said.contains("PRIVATE") && !read("out").contains("PRIVATE"));
}

#[test]
fn what_cannot_be_shown_is_told_before_anything_is_served() {
    let Some(dir) = made("boot::own_certificate::what_cannot_be_shown_is_told_before_anything_is_served") else { return };
    let refused = |certificate: &str, key: &str, words: &[&str]| {
        let command = &mut serve(dir.path(), &["--https", "127.90.0.3:0", "--tls-cert", certificate, "--tls-key", key]);
        let out = command.output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not told: {said}");
        }
        assert!(!said.contains("serving on") && !said.contains("panicked") && said.matches("error: ").count() == 1, "{said}");
        println!("{said}");
    };
    refused("boot.pem", "other.key", &["error: show the certificate of boot.pem", "hint: does --tls-key hold the key"]);
    refused("no.pem", "boot.key", &["error: use no.pem", "No such file"]);
    refused("boot.pem", "no.key", &["error: use no.key", "No such file"]);
    refused("empty.pem", "boot.key", &["error: empty.pem holds no certificate in PEM form"]);
    refused("boot.key", "boot.key", &["error: boot.key holds no certificate in PEM form"]);
    refused("boot.pem", "ca.pem", &["error: ca.pem holds no private key in PEM form"]);
    refused(
        "one.pem",
        "old.key",
        &["error: show the certificate of one.pem", "hint: a certificate of X.509 version 3 is wanted"],
    );
    refused(
        "old.pem",
        "old.key",
        &["error: the certificate of old.pem expired at 2024-02-01T00:00:00Z", "hint: renew it, or leave out --tls-cert"],
    );
    // One without the other, or without the port that they are for.
    for words in [
        &["--https", "--tls-cert", "boot.pem"][..],
        &["--https", "--tls-key", "boot.key"],
        &["--tls-cert", "boot.pem", "--tls-key", "boot.key"],
    ] {
        let out = serve(dir.path(), words).output().unwrap();
        assert_eq!(out.status.code(), Some(64), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}
