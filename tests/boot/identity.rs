//! What a grant brings its node: once, over TLS alone, to the machine that it was made for, and nothing of it stays behind. curl is the client.

use bringup::boot::{BootKey, GrantStatus, Identity, Issued, Stage, now_ms};
use bringup::model::NodeId;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::HashAlg;

use super::site::{Got, Site, base};
use crate::support::wait_until;

/// Who may log in.
const LETS_IN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// A grant that brings something, and where its files lie.
struct Boot {
    issued: Issued,
    host_key: String,
    base: String,
}

fn boot(site: &Site, address: Option<&str>, expires_in_ms: i64) -> Boot {
    let identity = Identity::fresh(&[LETS_IN.into()], address.map(|a| a.parse().unwrap())).unwrap();
    let host_key = identity.note().host_key.clone();
    let mut spec = site.spec();
    spec.expires_at_ms = now_ms() + expires_in_ms;
    let issued = site.runtime.block_on(site.grants.issue_with(spec, identity)).unwrap();
    let script = site.get(&issued.script_path());
    assert_eq!(script.status, 200, "{}", script.text());
    let (ip, door) = (site.address.ip(), site.door());
    let base = base(script.text());
    let want = format!(" bringup.identity=https://{ip}:{}{base}/identity bringup.identity.sha256={} ", door.port, door.sha256);
    assert!(script.text().contains(&want), "{want}\n{}", script.text());
    Boot { issued, host_key, base }
}

/// As the machine's loader does before its system asks.
fn load(site: &Site, boot: &Boot) {
    for file in ["kernel", "initrd/0"] {
        assert_eq!(site.get(&format!("{}/{file}", boot.base)).status, 200);
    }
}

fn ask(site: &Site, boot: &Boot, query: &str) -> Got {
    site.https(&format!("{}/identity{query}", boot.base), &[])
}

fn status(site: &Site, boot: &Boot) -> GrantStatus {
    site.status(&boot.issued.public_id)
}

fn key(site: &Site) -> BootKey {
    site.runtime.block_on(site.grants.boot_key(&NodeId::new("a001-s01").unwrap())).unwrap()
}

/// The private key that was handed out.
fn private_key(got: &Got) -> PrivateKey {
    use base64::Engine as _;
    let line = got.text().lines().find_map(|l| l.strip_prefix("openssh_host_key ")).unwrap();
    PrivateKey::from_openssh(base64::engine::general_purpose::STANDARD.decode(line).unwrap()).unwrap()
}

/// What must not lie anywhere: the seed as it is, and each line of the key as text.
fn secrets(key: &PrivateKey) -> Vec<Vec<u8>> {
    let seed = key.key_data().ed25519().unwrap().private.to_bytes().to_vec();
    let text = key.to_openssh(russh::keys::ssh_key::LineEnding::LF).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('-') && l.len() > 40).skip(1);
    std::iter::once(seed).chain(lines.map(|l| l.as_bytes().to_vec())).collect()
}

fn stored(site: &Site, secret: &[u8]) -> bool {
    ["grants.db", "grants.db-wal", "grants.db-shm"].iter().any(|name| {
        let bytes = std::fs::read(site.dir.path().join(name)).unwrap_or_default();
        bytes.windows(secret.len()).any(|w| w == secret)
    })
}

#[test]
fn it_is_handed_out_once_over_tls_to_a_machine_that_has_its_kernel() {
    let Some(site) = Site::start("boot::identity::it_is_handed_out_once_over_tls_to_a_machine_that_has_its_kernel") else {
        return;
    };
    assert_eq!(key(&site), BootKey::Elsewhere);
    let boot = boot(&site, Some("127.90.0.1"), 600_000);
    assert_eq!(key(&site), BootKey::Awaited, "nobody can be the node while it boots");
    for name in ["grants.db", "grants.db-wal", "grants.db-shm"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(site.dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // Each in its turn, and none of them uses it up.
    let plain = format!("{}/identity", boot.base);
    let from = |address: &str| site.https(&plain, &["--interface", address]);
    assert_eq!((site.get(&plain).status, site.get(&plain).text().contains("HTTPS only")), (403, true));
    let early = from("127.90.0.1");
    assert_eq!((early.status, early.text().contains("before kernel and initrd")), (409, true));
    load(&site, &boot);
    assert_eq!(site.get(&plain).status, 403, "still over HTTPS only");
    for other in ["?serial=SN-2", "?mac=52-54-00-aa-00-02", "?uuid=00000000-0042-3510-8052-b4c04f4d3332"] {
        assert_eq!(site.https(&format!("{plain}{other}"), &["--interface", "127.90.0.1"]).status, 403, "{other}");
    }
    let elsewhere = from("127.90.0.9");
    assert_eq!((elsewhere.status, elsewhere.text().contains("another address")), (403, true));
    assert_eq!(site.https(&plain, &["-I", "--interface", "127.90.0.1"]).status, 405);
    assert_eq!(status(&site, &boot).identity.unwrap().given_ms, None);

    let mine = "?mac=52-54-00-aa-00-01&uuid=4C4C4544-0042-3510-8052-B4C04F4D3332&serial=%53N-1";
    let got = site.https(&format!("{plain}{mine}"), &["--interface", "127.90.0.1"]);
    assert_eq!((got.status, got.header("cache-control")), (200, Some("no-store")), "{}", got.text());
    let host = private_key(&got);
    assert_eq!(host.fingerprint(HashAlg::Sha256).to_string(), boot.host_key);
    assert_eq!(key(&site), BootKey::Given(boot.host_key.clone()));
    let again = from("127.90.0.1");
    assert_eq!((again.status, again.text().contains("handed out already")), (410, true));

    let told = status(&site, &boot);
    let note = told.identity.clone().unwrap();
    assert!(note.given_ms.is_some() && note.host_key == boot.host_key && note.let_in.len() == 1, "{note:?}");
    let events = site.events();
    let given: Vec<_> = events.iter().filter(|e| e.stage == Stage::Identity).collect();
    assert_eq!((given.len(), given[0].detail.as_str()), (1, format!("host key {}", boot.host_key).as_str()));
    let why: Vec<&str> = events.iter().filter(|e| e.stage == Stage::Refused).map(|e| e.detail.as_str()).collect();
    assert_eq!(why.len(), 9, "{why:?}");
    assert!(why.last().unwrap().contains("already") && told.refused == 9, "{why:?}");

    // Wiped as soon as it is gone out, in every form; and nothing that can be read of the grants holds it.
    let records = format!("{events:?}{}", serde_json::to_string(&told).unwrap());
    for secret in secrets(&host) {
        assert!(!stored(&site, &secret), "the host key lies in the store");
        assert!(!records.contains(&*String::from_utf8_lossy(&secret)));
    }
    assert!(!stored(&site, b"dropbear_host_key"));
}

#[test]
fn what_was_never_fetched_is_wiped_when_the_grant_ends() {
    let Some(site) = Site::start("boot::identity::what_was_never_fetched_is_wiped_when_the_grant_ends") else { return };
    let released = boot(&site, None, 600_000);
    load(&site, &released);
    assert!(stored(&site, b"dropbear_host_key"), "it waits in the store");
    site.runtime.block_on(site.grants.release(&released.issued.public_id)).unwrap();
    assert!(!stored(&site, b"dropbear_host_key"), "released");
    assert_eq!(ask(&site, &released, "").status, 410);

    let replaced = boot(&site, None, 600_000);
    let expiring = boot(&site, None, 1500);
    assert_eq!(ask(&site, &replaced, "").status, 410, "a newer grant revokes the older");
    wait_until("it expires", std::time::Duration::from_secs(60), || {
        !site.runtime.block_on(site.grants.expire()).unwrap().is_empty()
    });
    assert_eq!(ask(&site, &expiring, "").status, 410);
    assert!(!stored(&site, b"dropbear_host_key"), "expired");
    assert_eq!(key(&site), BootKey::Awaited, "the newest boot showed us nothing that could be believed");
    // A boot of an image with keys of its own is no boot of ours to know.
    let plain = site.issue(site.spec());
    site.files_of(&plain);
    assert_eq!(key(&site), BootKey::Elsewhere);
    assert_eq!(site.https(&format!("{}/identity", expiring.base), &[]).status, 410);
}

#[test]
fn everything_else_goes_over_tls_too_and_a_pin_is_a_pin() {
    let Some(site) = Site::start("boot::identity::everything_else_goes_over_tls_too_and_a_pin_is_a_pin") else { return };
    let issued = site.issue(site.spec());
    let script = site.https(&issued.script_path(), &[]);
    let base = base(script.text());
    assert!(!script.text().contains("bringup.identity"), "it brings none");
    assert_eq!(site.https(&format!("{base}/kernel"), &["-r", "5-9"]).body, super::site::kernel()[5..=9]);
    assert_eq!(site.https(&format!("{base}/identity"), &[]).status, 404);
    assert!(site.https("/healthz", &[]).text().contains(site.grants.store_id()));
    let health = site.runtime.block_on(bringup::boot::health(site.address)).unwrap();
    assert_eq!(health.https.unwrap(), *site.door());
    // Another pin: curl ends it inside the handshake (its code 90).
    let wrong = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let url = format!("https://{}:{}/healthz", site.address.ip(), site.door().port);
    let out = std::process::Command::new("curl").args(["-ksS", "--pinnedpubkey", wrong, &url]).output().unwrap();
    assert_eq!((out.status.code(), out.stdout.len()), (Some(90), 0));
    // The certificate that OpenSSL sees is the one of the scripts.
    let see = "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -outform DER | sha256sum";
    let at = format!("{}:{}", site.address.ip(), site.door().port);
    let out = std::process::Command::new("sh").args(["-c", see, "sh", &at]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with(&site.door().sha256.to_string()), "{out:?}");
}

/// A server without HTTPS does not send a node on its way that could never be let in; its script stays.
#[test]
fn a_server_without_https_keeps_the_script() {
    let Some(mut site) = Site::start("boot::identity::a_server_without_https_keeps_the_script") else { return };
    let with_tls = site.address;
    site.address = site.another_without_https();
    let identity = Identity::fresh(&[LETS_IN.into()], None).unwrap();
    let issued = site.runtime.block_on(site.grants.issue_with(site.spec(), identity)).unwrap();
    let got = site.get(&issued.script_path());
    assert_eq!((got.status, got.text().contains("has no HTTPS")), (503, true), "{}", got.text());
    assert!(site.events().iter().any(|e| e.stage == Stage::Refused && e.detail.contains("has no HTTPS")));
    site.address = with_tls;
    assert_eq!(site.get(&issued.script_path()).status, 200);
}

/// Who talks no TLS, or begins and says no more, hurts nobody.
#[test]
fn what_is_no_tls_ends_at_the_handshake() {
    use std::io::{Read as _, Write as _};
    let Some(site) = Site::start("boot::identity::what_is_no_tls_ends_at_the_handshake") else { return };
    let connect = || std::net::TcpStream::connect((site.address.ip(), site.door().port)).unwrap();
    let silent: Vec<_> = (0..50).map(|_| connect()).collect();
    for junk in [
        &b"GET /healthz HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        &[0; 70_000],
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
    ] {
        let mut stream = connect();
        drop(stream.write_all(junk));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(!answer.windows(4).any(|w| w == b"HTTP"), "{answer:?}");
    }
    assert_eq!(site.https("/healthz", &[]).status, 200);
    for mut stream in silent {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(100))).unwrap();
        let mut answer = Vec::new();
        // Closed; a time-out of the read would be another kind of error.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}

/// A medium has no script: its own command line leads to the identity, and the BMC's fetch is what begins the boot.
#[test]
fn a_medium_leads_to_an_identity_too() {
    let Some(site) = Site::start("boot::identity::a_medium_leads_to_an_identity_too") else { return };
    let identity = Identity::fresh(&[LETS_IN.into()], None).unwrap();
    let host_key = identity.note().host_key.clone();
    let issued = site.runtime.block_on(site.grants.issue_medium(site.spec(), Some(identity))).unwrap();
    assert_eq!(key(&site), BootKey::Elsewhere, "its medium has not gone out");
    let disc = site.get(&issued.medium_path()).body;
    assert_eq!(key(&site), BootKey::Awaited);
    let words = String::from_utf8_lossy(&disc[disc.len() - 4096..]).into_owned();
    let address = words.split("'bringup.identity=https://").nth(1).and_then(|rest| rest.split('\'').next()).expect(&words);
    let path = format!("/{}", address.split_once('/').unwrap().1);
    assert_eq!(site.get(&path).status, 403, "over HTTPS only");
    let got = site.https(&path, &[]);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(private_key(&got).fingerprint(HashAlg::Sha256).to_string(), host_key);
    assert_eq!(key(&site), BootKey::Given(host_key));
    assert_eq!(site.https(&path, &[]).status, 410);
}
