//! The client against a BMC that breaks rules one at a time. Row numbers are those of the reference's conformance list.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bringup::bmc::redfish::{FirstContact, Redfish};
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{BmcTrust, BootMode, BootOverride, BootTarget, Digest, PowerState, PowerVerb, Reading};
use serde_json::json;

use super::redfish_model::{RESET, SESSIONS, SYSTEM, Tags, bmc, good};
use super::redfish_server::{Reply, Server, first_contact, quick};

const SOON: Duration = Duration::from_secs(5);

fn http_boot() -> BootOverride {
    BootOverride {
        target: BootTarget::UefiHttp,
        once: true,
        mode: Some(BootMode::Uefi),
        http_uri: Some("http://10.0.0.1/grant/x".into()),
    }
}

fn applied(written: Written) -> String {
    match written {
        Written::Applied(text) => text,
        other => panic!("not applied: {other:?}"),
    }
}

#[tokio::test]
async fn a_good_bmc_is_read_written_and_left_without_a_session() {
    let (server, state) = good().await;
    let bmc = server.client();
    let facts = bmc.identity().await.unwrap();
    assert_eq!(facts.serial.known().map(String::as_str), Some("S-1"));
    assert_eq!(facts.uuid.known().map(String::as_str), Some("4c4c4544-0035-3410-8050-c6c04f314733"));
    assert_eq!(facts.bmc_version.known().map(|v| v.as_str()), Some("1.2.3"));
    assert_eq!(bmc.certificate(), server.fingerprint);
    assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
    assert!(applied(bmc.set_power(PowerVerb::On, SOON).await).contains("PowerState on was seen"));
    assert!(applied(bmc.set_power(PowerVerb::On, SOON).await).contains("nothing was sent"));
    let text = applied(bmc.set_power(PowerVerb::Cycle, SOON).await);
    assert!(text.contains("PowerState off was seen") && text.contains("PowerState on was seen"), "{text}");
    applied(bmc.set_power(PowerVerb::Graceful, SOON).await);
    assert_eq!(state.lock().unwrap().resets, ["On", "ForceOff", "On", "GracefulShutdown"]);
    applied(bmc.set_power(PowerVerb::Cycle, SOON).await);
    assert_eq!(state.lock().unwrap().resets.last().map(String::as_str), Some("On"));

    assert_eq!(bmc.boot().await.unwrap().known().map(|b| b.target), Some(BootTarget::None));
    let text = applied(bmc.set_boot(&http_boot()).await);
    assert!(text.contains("Target UefiHttp, Enabled Once, Mode UEFI, HttpBootUri http://10.0.0.1/grant/x"), "{text}");
    assert_eq!(bmc.boot().await.unwrap(), Reading::Known(http_boot()));
    applied(bmc.set_boot(&BootOverride::none()).await);

    assert_eq!(*server.connections.lock().unwrap(), 1, "one keep-alive connection");
    let firmware = bmc.firmware().await.unwrap();
    let known: Vec<String> = firmware.known().unwrap().iter().map(|(c, v)| format!("{c}={v}")).collect();
    assert_eq!(known, ["BIOS=2.1b", "NIC=40.45"]);
    let detail = bmc.firmware_detail().await.unwrap().known().cloned().unwrap();
    let told: Vec<String> = detail.components.iter().map(|(c, r)| format!("{c}:{r:?}")).collect();
    assert!(told.iter().any(|t| t == "Gone:Absent") && told.iter().any(|t| t.contains("Silent:Unknown")), "{told:?}");
    let tasks = bmc.tasks().await.unwrap();
    assert_eq!(tasks.known().map(|t| (t.len(), t[0].percent)), Some((1, Some(40))), "{tasks:?}");

    bmc.close().await;
    let state = state.lock().unwrap();
    assert_eq!((state.logins, state.sessions.len()), (1, 0));
    assert!(*server.connections.lock().unwrap() <= 3, "a second one for each inventory");
    let log = server.log.lock().unwrap();
    assert!(log.iter().all(|s| s.header("authorization").is_none()));
    assert!(log.iter().all(|s| s.header("accept-encoding") == Some("identity")));
    assert!(log.iter().filter(|s| s.method == "POST" || s.method == "PATCH").all(|s| s.header("content-length").is_some()));
}

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
async fn rc08_a_truncated_body_is_read_again_and_then_given_up() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"PowerState\":".to_vec();
    let raw = head.clone();
    let (server, _) = bmc(move |s, _| (s.is("GET", SYSTEM) && s.before < 2).then(|| Reply::Raw(raw.clone()))).await;
    assert_eq!(server.client().power().await.unwrap(), Reading::Known(PowerState::Off));
    let (server, _) = bmc(move |s, _| s.is("GET", SYSTEM).then(|| Reply::Raw(head.clone()))).await;
    let error = server.client().power().await.unwrap_err();
    assert_eq!((error.kind.clone(), server.count("GET", "/Systems/1")), (BmcTrouble::Unreachable, 3), "{error}");
}

#[tokio::test]
async fn endless_deep_and_foreign_bodies_are_refused_in_time() {
    let start = Instant::now();
    for (body, kind, words) in [
        (Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), BmcTrouble::Malformed, "longer than"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec()), BmcTrouble::Malformed, "longer than"),
        (Reply::Say(200, vec![], "[".repeat(100_000)), BmcTrouble::Malformed, "64 levels"),
        (Reply::Say(200, vec![], format!("{{\"a\":[{}1]}}", "1,".repeat(20_000))), BmcTrouble::Malformed, "10000 members"),
        (Reply::Say(200, vec![], "\u{1b}[31m<html>".into()), BmcTrouble::Malformed, "not JSON"),
        (Reply::Say(200, vec![], String::new()), BmcTrouble::Malformed, "not JSON"),
        (Reply::Say(200, vec![], "[]".into()), BmcTrouble::Malformed, "not a JSON object"),
        (Reply::Say(200, vec![("content-encoding".into(), "gzip".into())], "{}".into()), BmcTrouble::Malformed, "encoded"),
        (Reply::Say(200, vec![], "{\"error\": {\"message\": \"in truth not\"}}".into()), BmcTrouble::Refused, "in truth not"),
        (Reply::Raw(b"SSH-2.0-dropbear\r\n".to_vec()), BmcTrouble::Malformed, "not HTTP"),
        (Reply::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_vec()), BmcTrouble::TimedOut, "stood still"),
        (
            Reply::Raw(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(200_000)).into_bytes()),
            BmcTrouble::Malformed,
            "not HTTP",
        ),
    ] {
        let reply = body.clone();
        let (server, _) = bmc(move |s, _| s.is("GET", SYSTEM).then(|| reply.clone())).await;
        let error = server.client().power().await.unwrap_err();
        assert!(error.kind == kind && error.to_string().contains(words), "{body:.40?}: {error:?}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn rc46_retry_after_is_obeyed_within_bounds() {
    for (asked, least) in [("1", 1_000), ("0", 50), ("999999", 2_000), ("nonsense", 2_000), ("Sun, 06 Nov 1994 08:49:37 GMT", 50)]
    {
        let (server, _) =
            bmc(move |s, _| (s.is("GET", SYSTEM) && s.before < 1).then(|| Reply::status(503).with("Retry-After", asked))).await;
        let bmc = server.client();
        let start = Instant::now();
        assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off));
        let took = start.elapsed().as_millis();
        assert!((least..least + 5_000).contains(&took), "{asked}: {took} ms");
    }
    let (server, _) = bmc(|s, _| s.is("GET", SYSTEM).then(|| Reply::status(503).with("Retry-After", "0"))).await;
    assert_eq!(server.client().power().await.unwrap_err().kind, BmcTrouble::Busy);
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
async fn rc10_identity_is_dropped_when_it_is_not_acceptable() {
    let (server, _) = bmc(|s, _| s.header("accept-encoding").is_some().then(|| Reply::status(406))).await;
    assert_eq!(server.client().power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(server.log.lock().unwrap().iter().filter(|s| s.header("accept-encoding").is_some()).count(), 1);
}

#[tokio::test]
async fn rc35_to_37_the_tag_ladder_finds_what_each_bmc_wants() {
    for (tags, most) in [(Tags::Any, 1), (Tags::Strict, 1), (Tags::Star, 3), (Tags::None, 4), (Tags::Drift, 3)] {
        let (server, state) = good().await;
        state.lock().unwrap().tags = tags;
        applied(server.client().set_boot(&http_boot()).await);
        let patches = server.count("PATCH", "/Systems/1");
        assert!(patches <= most, "{patches} > {most}");
    }
    // No tag in the answers, yet one is wanted.
    let (server, state) = bmc(|s, shared| {
        let untagged = s.is("GET", SYSTEM);
        untagged.then(|| match super::redfish_model::behave(s, shared) {
            Reply::Say(status, headers, body) => {
                Reply::Say(status, headers.into_iter().filter(|(n, _)| n != "ETag").collect(), body)
            }
            other => other,
        })
    })
    .await;
    state.lock().unwrap().tags = Tags::Star;
    applied(server.client().set_boot(&http_boot()).await);
    // Refused for ever: bounded, and not applied.
    let (server, _) = bmc(|s, _| (s.method == "PATCH").then(|| Reply::status(412))).await;
    assert!(matches!(server.client().set_boot(&http_boot()).await, Written::NotApplied(_)));
    assert_eq!(server.count("PATCH", "/Systems/1"), 4);
}

#[tokio::test]
async fn rc36_an_action_that_wants_a_star_gets_it() {
    let (server, state) = bmc(|s, _| (s.is("POST", RESET) && s.header("if-match").is_none()).then(|| Reply::status(428))).await;
    applied(server.client().set_power(PowerVerb::On, SOON).await);
    assert_eq!((state.lock().unwrap().resets.len(), server.count("POST", "Reset")), (1, 2));
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_or_settled_by_looking_and_never_sent_again() {
    // The BMC acts, the answer is lost: looking settles it.
    let (server, state) = bmc(|s, shared| {
        s.is("POST", RESET).then(|| {
            let _ = super::redfish_model::behave(s, shared);
            Reply::Drop
        })
    })
    .await;
    let text = applied(server.client().set_power(PowerVerb::On, SOON).await);
    assert!(text.contains("was lost"), "{text}");
    assert_eq!(state.lock().unwrap().resets, ["On"]);
    // It does not act, and the answer is lost.
    for reply in [Reply::Drop, Reply::status(500), Reply::status(504), Reply::Raw(b"HTTP/1.1 2".to_vec())] {
        let (server, _) = bmc(move |s, _| s.is("POST", RESET).then(|| reply.clone())).await;
        let written = server.client().set_power(PowerVerb::On, Duration::from_millis(400)).await;
        assert!(matches!(&written, Written::Ambiguous(text) if text.contains("last: PowerState off")), "{written:?}");
        assert_eq!(server.count("POST", "Reset"), 1);
    }
    let (server, _) = bmc(|s, _| (s.method == "PATCH").then_some(Reply::Drop)).await;
    assert!(matches!(server.client().set_boot(&http_boot()).await, Written::Ambiguous(text) if text.contains("Target None")));
    assert_eq!(server.count("PATCH", "/Systems/1"), 1);
}

#[tokio::test]
async fn rc32_conflict_is_looked_into() {
    // "Already so", told as 409.
    let (server, _) = bmc(|s, shared| {
        s.is("POST", RESET).then(|| {
            shared.lock().unwrap().power = "On".into();
            Reply::status(409)
        })
    })
    .await;
    applied(server.client().set_power(PowerVerb::On, SOON).await);
    // A real refusal keeps its words and its arguments.
    let (server, _) = bmc(|s, _| {
        s.is("POST", RESET).then(|| {
            Reply::json(
                400,
                &json!({"error": {"@Message.ExtendedInfo": {"MessageId": "iLO.2.8.PowerValueNotOptimal", "MessageArgs": ["x"],
                "Message": "not \u{7} now", "Resolution": "later"}}}),
            )
        })
    })
    .await;
    match server.client().set_power(PowerVerb::On, SOON).await {
        Written::NotApplied(e) => {
            assert!(e.to_string().contains("iLO.2.8.PowerValueNotOptimal: not \\u{7} now [later]"), "{e}");
        }
        other => panic!("{other:?}"),
    }
    // RC-57: refused for a while after off, then taken; each touch was certainly refused before the next.
    let tries = AtomicUsize::new(0);
    let (server, state) = bmc(move |s, _| {
        (s.is("POST", RESET) && s.body.contains("\"On\"") && tries.fetch_add(1, Ordering::SeqCst) < 2).then(|| Reply::status(409))
    })
    .await;
    state.lock().unwrap().power = "On".into();
    applied(server.client().set_power(PowerVerb::Cycle, SOON).await);
    assert_eq!(state.lock().unwrap().resets, ["ForceOff", "On"]);
}

#[tokio::test]
async fn a_cycle_that_stops_halfway_is_not_called_without_effect() {
    let (server, state) = bmc(|s, _| (s.is("POST", RESET) && s.body.contains("\"On\"")).then(|| Reply::status(400))).await;
    state.lock().unwrap().power = "On".into();
    let written = server.client().set_power(PowerVerb::Cycle, SOON).await;
    assert!(matches!(&written, Written::Ambiguous(text) if text.contains("powering on was refused")), "{written:?}");
    assert_eq!(state.lock().unwrap().power, "Off");
}

#[tokio::test]
async fn rc57_lag_is_waited_for_and_rc31_every_success_code_is_only_a_claim() {
    for code in [200, 201, 202, 204] {
        let (server, _) = bmc(move |s, shared| {
            if s.is("POST", RESET) {
                return Some(Reply::status(code));
            }
            // Three looks after the touch it is on its way, then there.
            if s.is("GET", SYSTEM) && s.before >= 3 {
                shared.lock().unwrap().power = if s.before < 6 { "PoweringOn" } else { "On" }.into();
            }
            None
        })
        .await;
        applied(server.client().set_power(PowerVerb::On, SOON).await);
    }
    let (server, _) = bmc(|s, _| s.is("POST", RESET).then(|| Reply::status(200))).await;
    let written = server.client().set_power(PowerVerb::On, Duration::from_millis(300)).await;
    assert!(matches!(&written, Written::Ambiguous(text) if text.contains("was not seen")), "{written:?}");
}

#[tokio::test]
async fn rc58_only_allowed_reset_types_are_sent() {
    let info = "/redfish/v1/Systems/1/ResetActionInfo";
    for listed in [true, false] {
        let (server, state) = bmc(move |s, shared| {
            if s.is("GET", info) {
                return Some(Reply::json(
                    200,
                    &json!({"Parameters": [{"Name": "ResetType", "AllowableValues": ["On", "ForceRestart"]}]}),
                ));
            }
            if !s.is("GET", SYSTEM) {
                return None;
            }
            let action = if listed {
                json!({"target": RESET, "ResetType@Redfish.AllowableValues": ["On", "ForceRestart"]})
            } else {
                json!({"target": RESET, "@Redfish.ActionInfo": info})
            };
            let power = shared.lock().unwrap().power.clone();
            Some(Reply::json(
                200,
                &json!({"@odata.id": SYSTEM, "PowerState": power, "Actions": {"#ComputerSystem.Reset": action}}),
            ))
        })
        .await;
        state.lock().unwrap().power = "On".into();
        for verb in [PowerVerb::Off, PowerVerb::Graceful, PowerVerb::Cycle] {
            match server.client().set_power(verb, SOON).await {
                Written::NotApplied(e) => assert_eq!(e.kind, BmcTrouble::Unsupported, "{e}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(server.count("POST", "Reset"), 0);
    }
}

#[tokio::test]
async fn rc60_an_override_that_does_not_stick_is_told_as_it_is() {
    // A taken PATCH without effect.
    let (server, _) = bmc(|s, _| (s.method == "PATCH").then(|| Reply::status(200))).await;
    match server.client().set_boot(&http_boot()).await {
        Written::NotApplied(e) => assert!(e.to_string().contains("Target None, Enabled Disabled"), "{e}"),
        other => panic!("{other:?}"),
    }
    // The target is kept, Once is not; and the URI is not.
    for (key, value, want) in [
        ("BootSourceOverrideEnabled", json!("Continuous"), "Once was not kept"),
        ("HttpBootUri", json!(null), "HttpBootUri is not the one"),
        ("BootSourceOverrideMode", json!("Legacy"), "mode is not the one"),
    ] {
        let (server, _) = bmc(move |s, shared| {
            (s.method == "PATCH").then(|| {
                let reply = super::redfish_model::behave(s, shared);
                shared.lock().unwrap().boot[key] = value.clone();
                reply
            })
        })
        .await;
        match server.client().set_boot(&http_boot()).await {
            Written::Applied(text) if key == "BootSourceOverrideEnabled" => assert!(text.contains(want), "{text}"),
            Written::Ambiguous(text) if key != "BootSourceOverrideEnabled" => assert!(text.contains(want), "{text}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn rc25_collections_that_never_end_are_left() {
    let at = "/redfish/v1/UpdateService/FirmwareInventory";
    let (server, _) = bmc(move |s, _| {
        s.path
            .starts_with(at)
            .then(|| Reply::json(200, &json!({"Members": [], "Members@odata.nextLink": format!("{at}?$skip=2")})))
    })
    .await;
    let firmware = server.client().firmware().await.unwrap();
    assert!(firmware.why_unknown().is_some_and(|why| why.contains("leads back")), "{firmware:?}");
    // RC-24: members that are an object, missing or without links.
    for (members, known) in [(json!({"@odata.id": "/fw/BIOS"}), true), (json!(null), true), (json!([{"x": 1}, 7]), false)] {
        let (server, _) = bmc(move |s, _| s.is("GET", at).then(|| Reply::json(200, &json!({"Members": members})))).await;
        assert_eq!(server.client().firmware().await.unwrap().known().is_some(), known);
    }
    // An entry that cannot be read makes the inventory Unknown and is named.
    let (server, _) = bmc(|s, _| s.is("GET", "/fw/NIC").then(|| Reply::status(500))).await;
    let firmware = server.client().firmware().await.unwrap();
    assert!(firmware.why_unknown().is_some_and(|why| why.contains("NIC: GET /fw/NIC: 500")), "{firmware:?}");
}

#[tokio::test]
async fn rc27_the_node_is_chosen_by_facts_and_never_by_position() {
    let systems = |s: &super::redfish_server::Seen, _: &super::redfish_model::Shared| match s.path.as_str() {
        "/redfish/v1/Systems" => {
            Some(Reply::json(200, &json!({"Members": [{"@odata.id": "/s/a"}, {"@odata.id": "/s/b"}, {"@odata.id": "/s/gone"}]})))
        }
        "/s/a" => Some(Reply::json(
            200,
            &json!({"Id": "A", "SerialNumber": "SA", "PowerState": "Off", "Actions": {"#ComputerSystem.Reset": {"target": "/r/a"}}}),
        )),
        "/s/b" => Some(Reply::json(
            200,
            &json!({"Id": "B", "UUID": "00112233-4455-6677-8899-AABBCCDDEEFF", "PowerState": "On",
            "Actions": {"#ComputerSystem.Reset": {"target": "/r/b"}}}),
        )),
        _ => None,
    };
    let (server, _) = bmc(systems).await;
    let error = server.client().power().await.unwrap_err();
    assert!(error.to_string().contains("SA") && error.to_string().contains("00112233"), "{error}");
    for (system, serial, uuid, power) in [
        (Some("b"), None, None, Some(PowerState::On)),
        (Some("A"), None, None, Some(PowerState::Off)),
        (None, Some("sa"), None, Some(PowerState::Off)),
        (None, None, Some("33221100-5544-7766-8899-aabbccddeeff"), Some(PowerState::On)),
        (None, Some("other"), None, None),
        (Some("zz"), None, None, None),
    ] {
        let mut options = server.options("password");
        options.system = system.map(str::to_owned);
        options.expect_serial = serial.map(str::to_owned);
        options.expect_uuid = uuid.map(str::to_owned);
        let bmc = Redfish::new(options).unwrap();
        assert_eq!(bmc.power().await.ok().and_then(|r| r.known().copied()), power, "{system:?} {serial:?} {uuid:?}");
        bmc.close().await;
    }
}

#[tokio::test]
async fn another_node_behind_the_address_is_read_and_never_written() {
    let (server, _) = good().await;
    let mut options = server.options("password");
    options.expect_serial = Some("S-2".into());
    let bmc = Redfish::new(options).unwrap();
    assert_eq!(bmc.identity().await.unwrap().serial.known().map(String::as_str), Some("S-1"));
    for written in [bmc.set_power(PowerVerb::On, SOON).await, bmc.set_boot(&http_boot()).await] {
        match written {
            Written::NotApplied(e) => {
                assert!(e.kind == BmcTrouble::Refused && e.to_string().contains("nothing was touched"), "{e}")
            }
            other => panic!("{other:?}"),
        }
    }
    let writes = server.log.lock().unwrap().iter().filter(|s| s.method != "GET" && !s.is("POST", SESSIONS)).count();
    assert_eq!(writes, 0);
}

#[tokio::test]
async fn rc04_a_kept_connection_that_died_costs_nothing() {
    // Every answer closes the connection without saying so.
    let (server, state) = bmc(|s, shared| match super::redfish_model::behave(s, shared) {
        Reply::Say(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            Some(Reply::Raw(format!("{text}\r\n{body}").into_bytes()))
        }
        other => Some(other),
    })
    .await;
    let bmc = server.client();
    applied(bmc.set_power(PowerVerb::Cycle, SOON).await);
    applied(bmc.set_boot(&http_boot()).await);
    bmc.close().await;
    let state = state.lock().unwrap();
    assert_eq!((state.resets.len(), state.sessions.len(), state.logins), (1, 0, 1));
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
            BmcTrouble::Credentials,
        ),
        (Reply::Say(403, vec![], "<html>no</html>".into()), BmcTrouble::Credentials),
        (Reply::status(201), BmcTrouble::Malformed),
        (Reply::Drop, BmcTrouble::Unreachable),
    ] {
        let given = reply.clone();
        let (server, _) = bmc(move |s, _| s.is("POST", SESSIONS).then(|| given.clone())).await;
        let error = server.client().power().await.unwrap_err();
        assert_eq!(error.kind, kind, "{reply:?}: {error}");
        assert_eq!(server.count("POST", "Sessions"), 1);
    }
}

#[tokio::test]
async fn a_slow_bmc_is_left_at_the_deadline() {
    let (server, _) = bmc(|s, _| s.is("GET", SYSTEM).then(|| Reply::Stall(Vec::new()))).await;
    let mut options = server.options("password");
    options.limits = bringup::bmc::redfish::Limits { request: Duration::from_millis(500), ..quick() };
    let start = Instant::now();
    let bmc = Redfish::new(options).unwrap();
    assert_eq!(bmc.power().await.unwrap_err().kind, BmcTrouble::TimedOut);
    let written = bmc.set_power(PowerVerb::On, Duration::from_millis(300)).await;
    assert!(matches!(written, Written::NotApplied(_)));
    assert!(start.elapsed() < Duration::from_secs(5));
}
