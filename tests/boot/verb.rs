//! `bringup serve` as a process of its own, on grants that this process issues.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use bringup::boot::{Stage, ask};

use super::site::{Site, base};
use crate::support::Service;

#[test]
fn serve_shares_the_grants_of_another_process_and_stops_at_sigint() {
    let Some(mut site) = Site::start("boot::verb::serve_shares_the_grants_of_another_process_and_stops_at_sigint") else {
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
    command.args(["serve", "--listen", "127.90.0.2:0", "--state"]).arg(site.dir.path().join("journal.db"));
    command.stdout(std::fs::File::create(site.dir.path().join("lines")).unwrap()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut serve = Service::from(child);
    let said = talk.next().unwrap().unwrap();
    site.address =
        said.split_whitespace().find_map(|w| w.strip_prefix("http://")).unwrap().trim_end_matches(';').parse().unwrap();

    assert_eq!(site.runtime.block_on(ask(site.address)).unwrap(), site.grants.store_id());
    let issued = site.issue(site.spec());
    let base = base(site.get(&issued.script_path()).text());
    assert_eq!(site.get(&format!("{base}/initrd/0")).body, b"initrd zero");
    // What the other process did is seen here, and what is done here is seen there.
    let stages = site.status(&issued.public_id).stages;
    assert!(stages.contains_key(&Stage::Script) && stages.contains_key(&Stage::Initrd));
    site.runtime.block_on(site.grants.release(&issued.public_id)).unwrap();
    assert_eq!(site.get(&format!("{base}/initrd/0")).status, 410);

    assert!(Command::new("kill").args(["-INT", &serve.pid().to_string()]).status().unwrap().success());
    let rest: Vec<String> = talk.map(|l| l.unwrap()).collect();
    assert_eq!(rest.last().map(String::as_str), Some("stopped"));
    crate::support::wait_until("serve ends", std::time::Duration::from_secs(60), || !serve.alive());
    let lines = std::fs::read_to_string(site.dir.path().join("lines")).unwrap();
    let id = &issued.public_id;
    for want in [
        format!("a001-s01 {id} script "),
        format!("a001-s01 {id} initrd 11 bytes"),
        format!("a001-s01 {id} refused: the grant was released"),
    ] {
        assert!(lines.contains(&want), "{want}: {lines}");
    }
    assert!(!lines.contains(issued.token.expose()) && !lines.contains(base.trim_start_matches("/g/")), "no token is printed");
}

#[test]
fn an_address_in_use_is_told() {
    let Some(site) = Site::start("boot::verb::an_address_in_use_is_told") else { return };
    let out = Command::new(env!("CARGO_BIN_EXE_bringup"))
        .args(["serve", "--listen", &site.address.to_string(), "--state"])
        .arg(site.dir.path().join("journal.db"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains(&format!("error: listen on {}", site.address)) && said.contains("hint:"), "{said}");
}

/// Eight machines ask for one script at the same time: one gets it.
#[test]
fn many_askers_of_one_grant_get_one_script() {
    let Some(site) = Site::start("boot::verb::many_askers_of_one_grant_get_one_script") else { return };
    let issued = site.issue(site.spec());
    let url = format!("http://{}{}", site.address, issued.script_path());
    let asked: Vec<_> = (1..=8)
        .map(|n| {
            Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", &format!("127.90.1.{n}"), &url])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let codes: Vec<String> =
        asked.into_iter().map(|c| String::from_utf8(c.wait_with_output().unwrap().stdout).unwrap()).collect();
    assert_eq!(codes.iter().filter(|c| *c == "200").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| *c == "410").count(), 7, "{codes:?}");
}
