//! Two writers who read the same entity tag: one writes, the other is told that he is late (DSP0266 §6.5), however close together they come.

use std::sync::Barrier;

use base64::Engine as _;
use bringup::sim::redfish::route::{Asked, Service};

use super::rmcp_rig::{PASSWORD, USER, machine};

const WRITERS: usize = 4;
const ROUNDS: usize = 300;
const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";

#[test]
fn of_writers_with_one_tag_one_wins() {
    let service = Service::new(machine(&[]), None);
    let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let ask = |method: &str, path: &str, tag: Option<&str>, body: &str| {
        let asked = Asked { method, path, authorization: Some(&login), if_match: tag, body: body.as_bytes(), ..Asked::default() };
        service.answer(&asked)
    };
    let made = ask("POST", ACCOUNTS, None, r#"{"UserName":"racer","Password":"Racing-pass.17","RoleId":"Operator"}"#);
    assert_eq!(made.status, 201);
    let path = made.body.unwrap()["@odata.id"].as_str().unwrap().to_owned();
    for round in 0..ROUNDS {
        let tag = ask("GET", &path, None, "").headers.into_iter().find(|(name, _)| *name == "ETag").unwrap().1;
        let role = ["ReadOnly", "Operator"][round % 2];
        let together = Barrier::new(WRITERS);
        let mut ends: Vec<u16> = std::thread::scope(|scope| {
            let write = || {
                together.wait();
                ask("PATCH", &path, Some(&tag), &format!(r#"{{"RoleId":"{role}"}}"#)).status
            };
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        ends.sort_unstable();
        assert_eq!(ends, [200, 412, 412, 412], "round {round}");
    }
}
