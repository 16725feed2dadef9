//! Writes to a BMC that breaks rules one at a time: each has one of three ends, and none is sent twice blindly. Row numbers (RC) are those
//! of the reference's conformance list.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{BootOverride, BootTarget, PowerState, PowerVerb, Reading};
use serde_json::json;

use super::redfish_model::{RESET, SESSIONS, SYSTEM, Tags, applied, bmc, good, http_boot};
use super::redfish_server::Reply;

const SOON: Duration = Duration::from_secs(5);

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

    assert_eq!(*server.connections.lock().unwrap(), 8, "one that is kept alive, and one for each of the seven writes (RC-04)");
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
    assert!(*server.connections.lock().unwrap() <= 10, "a second one for each inventory");
    let log = server.log.lock().unwrap();
    assert!(log.iter().all(|s| s.header("authorization").is_none()));
    assert!(log.iter().all(|s| s.header("accept-encoding") == Some("identity")));
    assert!(log.iter().filter(|s| s.method == "POST" || s.method == "PATCH").all(|s| s.header("content-length").is_some()));
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
    let replies = [Reply::Drop, Reply::status(500), Reply::status(504), Reply::Raw(b"HTTP/1.1 2".to_vec())];
    futures_util::future::join_all(replies.map(|reply| async move {
        let (server, _) = bmc(move |s, _| s.is("POST", RESET).then(|| reply.clone())).await;
        let written = server.client().set_power(PowerVerb::On, Duration::from_secs(2)).await;
        assert!(matches!(&written, Written::Ambiguous(text) if text.contains("last: PowerState off")), "{written:?}");
        assert_eq!(server.count("POST", "Reset"), 1);
    }))
    .await;
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
    let written = server.client().set_power(PowerVerb::On, Duration::from_secs(2)).await;
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
async fn a_write_that_cannot_be_sent_is_not_applied() {
    // The BMC goes away between the look and the touch: nothing was sent, and that is certain.
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = gone.clone();
    let (server, state) = bmc(move |s, _| {
        if s.is("POST", SESSIONS) && flag.load(Ordering::SeqCst) {
            return Some(Reply::Drop);
        }
        None
    })
    .await;
    let bmc = server.client();
    bmc.power().await.unwrap();
    gone.store(true, Ordering::SeqCst);
    state.lock().unwrap().sessions.clear();
    assert!(matches!(bmc.set_power(PowerVerb::On, SOON).await, Written::NotApplied(_)));
    assert!(state.lock().unwrap().resets.is_empty());
}
