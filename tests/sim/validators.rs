//! The simulated BMCs under DMTF's own judges: the Redfish Service Validator (every resource against its schema, offline) and the Redfish Protocol
//! Validator (HTTP, headers, sessions, accounts, security). No failure, in any profile, with the node off and with it running.

use std::path::Path;
use std::process::Command;

use bringup::sim::farm::SimNode;
use bringup::sim::{Farm, FarmSpec, Seed, profile};

use super::site::run;
use crate::support::{need_program, need_shared, need_venv};

/// One node of each profile; every second one runs.
async fn farm() -> Farm {
    let mut spec = FarmSpec::racks(1, 6, Seed(7), false).unwrap();
    for (at, node) in spec.nodes.iter_mut().enumerate() {
        node.profile = profile::ALL[at / 2 % profile::ALL.len()];
        node.running = at % 2 == 1;
    }
    Farm::start(spec).await.unwrap()
}

fn validator(program: &Path, farm: &Farm, node: &SimNode) -> Command {
    let mut command = Command::new(program);
    command.args(["--user", "admin", "--password", farm.bmc_password(), "--rhost", &format!("https://{}", node.bmc)]);
    // An environment that names a CA bundle overrides "do not check" in python-requests.
    for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

fn named(node: &SimNode) -> String {
    let running = node.machine.system().is_some();
    format!("{}, {}", node.machine.identity().profile.name, if running { "running" } else { "off" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_is_as_its_schema_says() {
    let test = "every_resource_is_as_its_schema_says";
    let (Some(program), Some(schema), Some(_)) =
        (need_venv(test, "rf_service_validator"), need_shared(test, "redfish-schema.tar.xz"), need_program(test, "xz"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").arg("-xJf").arg(&schema).arg("-C").arg(dir.path()).status().unwrap();
    assert!(unpacked.success(), "{schema:?} could not be unpacked");
    let farm = farm().await;
    for node in farm.nodes() {
        let mut command = validator(&program, &farm, node);
        command.args(["--authtype", "Session", "--skipschema", "--schema_directory"]).arg(dir.path().join("rsv"));
        command.arg("--logdir").arg(dir.path().join("logs"));
        let (exit, out, complaints) = run(command).await;
        // The line of numbers below `| PASS | WARN | FAIL | NOT TESTED |`.
        let numbers = out.lines().skip_while(|line| !line.contains("NOT TESTED")).nth(2).unwrap_or_default();
        let numbers: Vec<u32> = numbers.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        let failed: Vec<&str> = out.lines().chain(complaints.lines()).filter(|line| line.contains("ERROR")).collect();
        let [pass, warn, fail, _] = numbers[..] else { panic!("{}: {exit}\n{out}\n{complaints}", named(node)) };
        println!("{}: {pass} passed, {warn} warned, {fail} failed", named(node));
        assert!((exit, fail) == (0, 0) && pass > 250, "{}: {fail} failed\n{}", named(node), failed.join("\n"));
        assert_eq!(node.machine.sessions(), 0, "the validator logs out, and the simulator forgets");
    }
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_is_as_it_is_specified() {
    let Some(program) = need_venv("the_protocol_is_as_it_is_specified", "rf_protocol_validator") else { return };
    let dir = tempfile::tempdir().unwrap();
    let farm = farm().await;
    // One of each profile; each takes 20 s of waiting for what must not come, so all of them together.
    let nodes: Vec<&SimNode> = farm.nodes().iter().step_by(2).collect();
    let runs = nodes.iter().map(|node| {
        let mut command = validator(&program, &farm, node);
        let reports = dir.path().join(node.machine.identity().node.as_str());
        command.args(["--no-cert-check", "--avoid-http-redirect", "--report-type", "tsv", "--report-dir"]).arg(&reports);
        run(command)
    });
    for (node, (exit, out, complaints)) in nodes.iter().zip(futures_util::future::join_all(runs).await) {
        let summary = out.lines().find(|line| line.starts_with("Summary")).unwrap_or_default();
        println!("{}: {summary}", named(node));
        let reports = dir.path().join(node.machine.identity().node.as_str());
        let report = std::fs::read_dir(reports).unwrap().next().expect("a report").unwrap();
        let text = std::fs::read_to_string(report.path()).unwrap();
        let failed: Vec<&str> = text.lines().filter(|line| line.split('\t').nth(4) == Some("FAIL")).collect();
        assert!(
            failed.is_empty() && summary.contains("FAIL: 0,"),
            "{}: {exit} {summary}\n{}\n{complaints}",
            named(node),
            failed.join("\n")
        );
    }
    farm.stop().await;
}
