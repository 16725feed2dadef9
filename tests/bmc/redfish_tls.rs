//! TLS of the wrong age and certificates of every sort, served by OpenSSL and by certificates that OpenSSL made: what is said, and that no
//! credential is sent.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::redfish::{Authority, FirstContact, Redfish, RedfishOptions};
use bringup::bmc::{Bmc, BmcError, BmcTrouble, Password};
use bringup::model::{BmcTrust, Digest, PowerState, Reading};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

use super::redfish_model::behave;
use super::redfish_server::{Server, fingerprint, quick};
use crate::support::{Service, need_program, wait_until};

/// Runs `openssl` in a folder.
pub fn openssl(dir: &Path, args: &[&str]) {
    let out = Command::new("openssl").current_dir(dir).args(args).output().unwrap();
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// `openssl s_server` with these options; `None` when this OpenSSL does not know them.
pub fn served(dir: &Path, options: &[&str]) -> Option<(Service, SocketAddr)> {
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = dir.join("s_server.log");
    let to = |log: &Path| Stdio::from(std::fs::File::create(log).unwrap());
    let mut service = Service::start(
        Command::new("openssl")
            .current_dir(dir)
            .args(["s_server", "-accept", &at.to_string(), "-cert", "cert.pem", "-key", "key.pem", "-www"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(to(&log))
            .stderr(to(&dir.join("s_server.err"))),
    )
    .unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("s_server listens or ends", Duration::from_secs(10), || said().contains("ACCEPT") || !service.alive());
    service.alive().then_some((service, at))
}

async fn met(at: SocketAddr, trust: BmcTrust, first: FirstContact) -> BmcError {
    let mut options = RedfishOptions::new(at, "admin", Password::new("hunter2-is-not-told"), trust);
    (options.limits, options.first_contact) = (quick(), first);
    let bmc = Redfish::new(options).unwrap();
    let error = bmc.power().await.unwrap_err();
    bmc.close().await;
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn rc02_and_rc03_openssl_of_the_wrong_age_is_told_by_name() {
    let test = "rc02_and_rc03_openssl_of_the_wrong_age_is_told_by_name";
    if need_program(test, "openssl").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        &[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=bmc",
            "-days", "30",
        ],
    );
    let mut met_by_name = Vec::new();
    for (options, words) in [
        (
            &["-tls1_2", "-cipher", "AES256-GCM-SHA384"][..],
            &["TLS 1.2", "TLS_RSA_WITH_AES_256_GCM_SHA384", "RSA key exchange"][..],
        ),
        (&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], &["TLS 1.2", "TLS_RSA_WITH_AES_128_CBC_SHA", "RSA key exchange"]),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"], &["TLS 1.2", "TLS_DHE_RSA", "finite-field Diffie-Hellman"]),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA"], &["TLS 1.2", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "not spoken here"]),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], &["TLS 1.1"]),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], &["TLS 1.0"]),
        (&["-tls1_1", "-cipher", "DES-CBC3-SHA:@SECLEVEL=0"], &["TLS 1.1", "3DES"]),
    ] {
        // Debian's OpenSSL has no 3DES: that row is met by the simulator alone there.
        let Some((_service, at)) = served(dir.path(), options) else {
            println!("this openssl does not serve {options:?}");
            continue;
        };
        let error = met(at, BmcTrust::FirstContact, FirstContact::Accept).await;
        let text = error.to_string();
        assert_eq!(error.kind, BmcTrouble::Unsupported, "{options:?}: {error:?}");
        for word in words.iter().chain(&["driver: ipmi", "old_tls: allowed"]) {
            assert!(text.contains(word), "{options:?}: `{word}` is not told: {text}");
        }
        met_by_name.push(text);
    }
    assert!(met_by_name.len() >= 4, "{met_by_name:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_version_1_with_an_old_date_is_pinned_like_any_other() {
    let test = "a_certificate_of_version_1_with_an_old_date_is_pinned_like_any_other";
    if need_program(test, "openssl").is_none() {
        return;
    }
    for key in [&["-newkey", "rsa:2048"][..], &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]] {
        let dir = tempfile::tempdir().unwrap();
        let request = [&["req"][..], key, &["-nodes", "-keyout", "key.pem", "-out", "req.pem", "-subj", "/CN=bmc"]].concat();
        openssl(dir.path(), &request);
        // Without extensions this makes version 1; the days lie in the past.
        openssl(dir.path(), &["x509", "-req", "-in", "req.pem", "-signkey", "key.pem", "-out", "cert.pem", "-days", "-1"]);
        openssl(dir.path(), &["x509", "-in", "cert.pem", "-outform", "der", "-out", "cert.der"]);
        openssl(dir.path(), &["x509", "-in", "cert.pem", "-noout", "-text", "-out", "text"]);
        assert!(std::fs::read_to_string(dir.path().join("text")).unwrap().contains("Version: 1 (0x0)"));
        let pin = fingerprint(&std::fs::read(dir.path().join("cert.der")).unwrap());
        // The key's digest as people make it: openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum.
        openssl(dir.path(), &["x509", "-in", "cert.pem", "-noout", "-pubkey", "-out", "pub.pem"]);
        openssl(dir.path(), &["pkey", "-pubin", "-in", "pub.pem", "-outform", "der", "-out", "pub.der"]);
        let spki = fingerprint(&std::fs::read(dir.path().join("pub.der")).unwrap());
        for version in ["-tls1_2", "-tls1_3"] {
            let (_service, at) = served(dir.path(), &[version]).unwrap();
            for trust in [BmcTrust::Pinned(pin.clone()), BmcTrust::PinnedKey(spki.clone())] {
                // It got as far as the page that `s_server -www` gives: TLS and the certificate were accepted.
                let error = met(at, trust, FirstContact::Refuse).await;
                assert!(error.kind == BmcTrouble::Malformed && error.to_string().contains("not JSON"), "{version}: {error:?}");
            }
            let error = met(at, BmcTrust::PinnedKey(pin.clone()), FirstContact::Refuse).await;
            let told = error.to_string();
            assert!(matches!(error.kind, BmcTrouble::Certificate { .. }) && told.contains(spki.as_str()), "{told}");
        }
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(by: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (Arc<rustls::ServerConfig>, Digest) {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, by).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (Arc::new(config), fingerprint(leaf.der()))
}

#[tokio::test]
async fn an_authority_vouches_for_its_own_and_for_the_written_name() {
    let (ours, theirs) = (authority("rack"), authority("somebody"));
    let state = super::redfish_model::good().await.1;
    let server = Server::certified(signed(&ours, "a1-s1.bmc.example"), move |seen| behave(seen, &state)).await;
    let client = |by: Option<&CertifiedIssuer<'static, KeyPair>>, name: Option<&str>| {
        let mut options = server.options("password");
        options.trust = BmcTrust::Authority { file: "rack.pem".into(), name: name.map(str::to_owned) };
        options.first_contact = FirstContact::Accept;
        options.authority = by.map(|by| Authority::read("rack.pem", by.pem().as_bytes(), name).unwrap());
        Redfish::new(options).unwrap()
    };
    for name in [None, Some("a1-s1.bmc.example")] {
        let bmc = client(Some(&ours), name);
        assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
        assert_eq!(bmc.certificate(), server.fingerprint);
        bmc.close().await;
    }
    server.log.lock().unwrap().clear();
    *server.bytes.lock().unwrap() = 0;
    for (by, name, words) in [
        (Some(&theirs), None, "signed by somebody else"),
        (Some(&ours), Some("a1-s2.bmc.example"), "it is not made out to a1-s2.bmc.example"),
        (None, None, "none is recorded"),
    ] {
        let error = client(by, name).power().await.unwrap_err();
        assert!(matches!(error.kind, BmcTrouble::Certificate { .. }) && error.to_string().contains(words), "{error:?}");
    }
    assert_eq!((server.log.lock().unwrap().len(), *server.bytes.lock().unwrap()), (0, 0), "nothing was sent");
}

#[cfg(not(feature = "old-tls"))]
#[test]
fn old_tls_that_was_not_built_in_is_told() {
    let at = "127.0.0.1:9".parse().unwrap();
    let mut options = RedfishOptions::new(at, "admin", Password::new("x"), BmcTrust::FirstContact);
    options.old_tls = true;
    let error = Redfish::new(options).err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.kind == BmcTrouble::Unsupported && cause.contains("--features old-tls"), "{error:?}");
}
