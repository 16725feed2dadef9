//! Reads from a BMC that breaks rules one at a time. Row numbers (RC) are those of the reference's conformance list.

use std::time::{Duration, Instant};

use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{PowerState, PowerVerb, Reading};
use serde_json::json;

use super::redfish_model::{SYSTEM, applied, bmc, good, http_boot};
use super::redfish_server::{Reply, quick};

const SOON: Duration = Duration::from_secs(5);

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
        (
            Reply::Say(200, vec![("content-encoding".into(), "gzip".into())], "{}".into()),
            BmcTrouble::Malformed,
            "compressed and is not",
        ),
        (Reply::Say(200, vec![("content-encoding".into(), "br".into())], "{}".into()), BmcTrouble::Malformed, "encoded as br"),
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
async fn rc10_identity_is_dropped_when_it_is_not_acceptable() {
    let (server, _) = bmc(|s, _| s.header("accept-encoding").is_some().then(|| Reply::status(406))).await;
    assert_eq!(server.client().power().await.unwrap(), Reading::Known(PowerState::Off));
    assert_eq!(server.log.lock().unwrap().iter().filter(|s| s.header("accept-encoding").is_some()).count(), 1);
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
    for (members, known) in [(json!({"@odata.id": "/fw/BIOS"}), true), (json!(null), false), (json!([{"x": 1}, 7]), false)] {
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

#[tokio::test]
async fn many_questions_at_once_share_few_connections_and_one_login() {
    let (server, state) = good().await;
    let bmc = std::sync::Arc::new(server.client());
    let asked: Vec<_> = (0..20)
        .map(|i| {
            let bmc = bmc.clone();
            tokio::spawn(async move {
                if i == 10 {
                    applied(bmc.set_power(PowerVerb::On, SOON).await);
                }
                bmc.power().await.unwrap();
            })
        })
        .collect();
    for task in asked {
        task.await.unwrap();
    }
    bmc.close().await;
    // Three by the permits; the server may notice an end a moment later than the client.
    let most = *server.open.lock().unwrap();
    assert!(most <= 5, "{most} connections at once");
    let state = state.lock().unwrap();
    assert_eq!((state.logins, state.sessions.len(), state.resets.len()), (1, 0, 1));
}
