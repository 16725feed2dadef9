//! What the boot server gave and refused, as the journal of the run gets it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bringup::action::Workbench as _;
use bringup::cli::bench::Bench;
use bringup::cli::hands::{Hands, Trust};
use bringup::model::{Digest, Event, Inventory, RunId};

use super::site::Site;

fn told(event: &Event) -> String {
    match event {
        Event::BootSeen { stage, from, .. } => format!("{stage} {}", from.unwrap()),
        Event::GrantRefused { why, from, .. } => format!("{why}: {}", from.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stages_and_replays_reach_the_journal_of_their_run_and_no_other() {
    let Some(site) = Site::start("boot::record::stages_and_replays_reach_the_journal_of_their_run_and_no_other") else { return };
    let spec = site.spec();
    let (id, run) = (spec.id.clone(), spec.run.clone());
    let issued = site.issue(spec);
    let base = site.files_of(&issued);
    site.get(&format!("{base}/kernel"));
    // A replay from somewhere else, and one after the grant was given back.
    assert_eq!(site.curl(&issued.script_path(), &["--interface", "127.90.0.9"]).status, 410);
    assert!(site.runtime.block_on(site.grants.release(&id)).unwrap());
    assert_eq!(site.get(&format!("{base}/initrd/0")).status, 410);

    let inventory =
        Inventory { site: "s".into(), racks: BTreeMap::new(), nodes: BTreeMap::new(), digest: Digest::from_bytes(&[0; 32]) };
    let hands = Arc::new(Hands::new(site.dir.path(), None, &Trust::default()));
    let bench = Bench::new(Arc::new(inventory), hands, site.grants.clone(), Duration::from_secs(1));
    let (events, line) = site.runtime.block_on(bench.boots_since(&run, 0));
    let told: Vec<String> = events.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "script 127.0.0.1",
            "kernel 127.0.0.1",
            "the script was fetched already: 127.90.0.9",
            "the grant was released: 127.0.0.1"
        ]
    );
    // Read to the end: nothing is told twice. Another run hears nothing of it.
    assert_eq!(site.runtime.block_on(bench.boots_since(&run, line)), (vec![], line));
    let other = RunId::new("run-2").unwrap();
    assert_eq!(site.runtime.block_on(bench.boots_since(&other, 0)), (vec![], line));
    let secret = issued.token.expose();
    assert!(events.iter().all(|e| !serde_json::to_string(e).unwrap().contains(secret)), "the grant's secret in an event");
}
