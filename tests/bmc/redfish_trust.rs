//! Certificates, passwords, sessions and redirects: what is sent to whom, and how often.

use std::time::Duration;

use bringup::bmc::redfish::{FirstContact, Redfish};
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{BmcTrust, Digest, PowerState, PowerVerb, Reading};
use serde_json::json;

use super::redfish_model::{RESET, SESSIONS, SYSTEM, bmc, good};
use super::redfish_server::{Reply, Server, first_contact};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn wrong_password_is_tried_once_for_ever() {
    let (server, state) = good().await;
    let bmc = Redfish::new(server.options("hunter2-not-it")).unwrap();
    let (a, b) = tokio::join!(bmc.power(), bmc.identity());
    let (a, b) = (a.unwrap_err(), b.unwrap_err());
    assert_eq!((a.kind.clone(), b.kind.clone()), (BmcTrouble::Credentials, BmcTrouble::Credentials));
    assert_eq!(bmc.power().await.unwrap_err().kind, BmcTrouble::Credentials);
    assert!(matches!(bmc.set_power(PowerVerb::On, SOON).await, Written::NotApplied(e) if e.kind == BmcTrouble::Credentials));
    assert_eq!(state.lock().unwrap().logins, 1);
    for text in [format!("{a} {a:?}"), format!("{b} {b:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    bmc.close().await;
}

#[tokio::test]
async fn a_wrong_pin_sends_nothing_and_reports_what_was_seen() {
    let (server, _) = good().await;
    let mut options = server.options("password");
    options.trust = BmcTrust::Pinned(Digest::new("ab".repeat(32)).unwrap());
    // A recorded pin cannot be overridden by a first contact.
    options.first_contact = FirstContact::Accept;
    let bmc = Redfish::new(options).unwrap();
    let error = bmc.power().await.unwrap_err();
    let seen = server.fingerprint.clone().unwrap();
    assert_eq!(error.kind, BmcTrouble::Certificate { seen: seen.as_str().to_owned() });
    assert!(error.to_string().contains(&"ab".repeat(32)), "{error}");
    assert_eq!(bmc.certificate(), None);
    assert_eq!((server.log.lock().unwrap().len(), *server.bytes.lock().unwrap()), (0, 0));
}

#[tokio::test]
async fn first_contact_is_refused_or_recorded() {
    let (server, _) = good().await;
    let refused = first_contact(&server, FirstContact::Refuse);
    let error = refused.power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Certificate { seen: server.fingerprint.clone().unwrap().as_str().to_owned() });
    assert_eq!((server.log.lock().unwrap().len(), *server.bytes.lock().unwrap()), (0, 0));
    let accepted = first_contact(&server, FirstContact::Accept);
    accepted.power().await.unwrap();
    assert_eq!(accepted.certificate(), server.fingerprint);
    accepted.close().await;
}

#[tokio::test]
async fn plain_http_is_not_spoken_to_a_tls_trust_nor_the_reverse() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            drop(tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    let (server, _) = good().await;
    let mut options = server.options("password");
    options.address = plain;
    let error = Redfish::new(options).unwrap().power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Unsupported, "{error}");

    let mut options = server.options("password");
    options.trust = BmcTrust::Plaintext;
    let error = Redfish::new(options).unwrap().power().await.unwrap_err();
    assert!(matches!(error.kind, BmcTrouble::Malformed | BmcTrouble::Unreachable), "{error}");
    assert_eq!(server.log.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let (server, _) = good().await;
    let mut options = server.options("password");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options.address = free;
    assert_eq!(Redfish::new(options).unwrap().power().await.unwrap_err().kind, BmcTrouble::Unreachable);
}

#[tokio::test]
async fn rc17_a_session_that_vanishes_is_opened_again_once() {
    let (server, state) = good().await;
    let bmc = server.client();
    bmc.power().await.unwrap();
    state.lock().unwrap().sessions.clear();
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(state.lock().unwrap().logins, 2);
    bmc.close().await;
    assert_eq!(state.lock().unwrap().sessions.len(), 0);

    // A BMC that answers 401 for ever: one more login, then an end; and no Basic.
    let (server, state) = bmc_always_401().await;
    let bmc = server.client();
    let error = bmc.power().await.unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Refused, "{error}");
    assert_eq!(state.lock().unwrap().logins, 2);
    assert!(server.log.lock().unwrap().iter().all(|s| s.header("authorization").is_none()));
}

async fn bmc_always_401() -> (Server, super::redfish_model::Shared) {
    bmc(|s, _| s.is("GET", "/redfish/v1/Systems").then(|| Reply::status(401))).await
}

#[tokio::test]
async fn rc16_redirects_stay_on_this_bmc() {
    let elsewhere = Server::plain(|_| Reply::json(200, &json!({"PowerState": "On"}))).await;
    let there = format!("http://127.0.0.2:{}/steal", elsewhere.address.port());
    let (server, _) = bmc(move |s, _| s.is("GET", SYSTEM).then(|| Reply::status(307).with("Location", &there))).await;
    let error = server.client().power().await.unwrap_err();
    assert!(error.kind == BmcTrouble::Refused && error.to_string().contains("another host"), "{error}");
    assert_eq!(elsewhere.log.lock().unwrap().len(), 0);

    let (server, _) = bmc(|s, _| match s.path.as_str() {
        SYSTEM => Some(Reply::status(308).with("Location", "/moved//here/")),
        "/moved/here/" => Some(Reply::json(200, &json!({"PowerState": "On"}))),
        _ => None,
    })
    .await;
    assert_eq!(server.client().power().await.unwrap(), Reading::Known(PowerState::On));

    let (server, _) = bmc(|s, _| s.is("GET", SYSTEM).then(|| Reply::status(302).with("Location", SYSTEM))).await;
    let error = server.client().power().await.unwrap_err();
    assert!(error.to_string().contains("more than 3 redirects"), "{error}");

    // A write is never redirected.
    let (server, state) = bmc(|s, _| s.is("POST", RESET).then(|| Reply::status(308).with("Location", "/other"))).await;
    assert!(matches!(server.client().set_power(PowerVerb::On, SOON).await, Written::NotApplied(_)));
    assert_eq!((state.lock().unwrap().resets.len(), server.count("POST", "/other")), (0, 0));
}

#[tokio::test]
async fn rc18_and_rc22_login_troubles_have_their_kind() {
    for (reply, kind) in [
        (Reply::json(503, &json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "IDRAC.2.8.RAC0218"}]}})), BmcTrouble::Busy),
        (
            Reply::json(
                400,
                &json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.5.CreateLimitReachedForResource"}]}}),
            ),
            BmcTrouble::Busy,
        ),
        (
            Reply::json(403, &json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.5.PasswordChangeRequired"}]}})),
            BmcTrouble::PasswordChange,
        ),
        (Reply::Say(403, vec![], "<html>no</html>".into()), BmcTrouble::Credentials),
        (Reply::status(201), BmcTrouble::Malformed),
        (Reply::Drop, BmcTrouble::Unreachable),
    ] {
        let given = reply.clone();
        let (server, _) = bmc(move |s, _| s.is("POST", SESSIONS).then(|| given.clone())).await;
        let error = server.client().power().await.unwrap_err();
        assert_eq!(error.kind, kind, "{reply:?}: {error}");
        // A connection that carried the root before and gives no answer may have been given up by the BMC: once more on a new one (RC-04).
        let sent = if matches!(reply, Reply::Drop) { 2 } else { 1 };
        assert_eq!(server.count("POST", "Sessions"), sent, "{reply:?}");
    }
}
