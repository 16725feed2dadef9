//! Hands used by themselves: announced in the journal before each touch, read back after it, and no part of any run.

use bringup::journal::Journal;
use bringup::model::Event;

use super::bad_rig::Rig;

#[test]
fn hands_write_what_they_do_into_the_chain() {
    let rig = Rig::up(2, &["a001-s01=power.soft-ignored"]);
    rig.run(&["power", "status"]).ends(0, &[]);
    assert!(!rig.path(".bringup/journal.db").exists(), "a question is no touch");
    rig.run(&["power", "on", "*"]).ends(0, &[]);
    let path = rig.path(".bringup/journal.db");
    let hands = Journal::hands(&path).unwrap();
    assert_eq!((hands.len(), hands[0].nodes.len(), hands[0].applied.len()), (1, 2, 2), "{hands:?}");
    assert!(hands[0].id.as_str().starts_with("hand-"));
    let events = Journal::events(&path, &hands[0].id).unwrap();
    for node in &hands[0].nodes {
        let mine: Vec<&Event> = events.iter().map(|l| &l.event).filter(|e| e.node() == Some(node)).collect();
        assert!(matches!(mine[..], [Event::HandTouched { .. }, Event::HandSeen { .. }]), "{mine:?}");
    }
    crate::support::wait_until("ssh listens", super::bad_rig::PATIENCE, || {
        rig.farm().nodes().iter().all(|n| std::net::TcpStream::connect(n.ssh).is_ok())
    });
    rig.run(&["exec", "*", "--", "true"]);
    rig.run(&["push", "playbooks/sim.yaml", "*", "--to", "/run/bringup/x"]);
    // Nothing comes of it within the deadline: told, and journaled as such.
    let ran = rig.run(&["power", "graceful", "a001-s01", "--yes", "--deadline", "1s"]);
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    let hands = Journal::hands(&path).unwrap();
    assert_eq!(hands.len(), 4, "{hands:?}");
    assert!(hands[3].applied.is_empty());
    assert_eq!(Journal::runs(&path).unwrap().len(), 0, "no run");
    assert!(Journal::verify(&path).unwrap().0 >= 14);
    let told = rig.run(&["history", "-o", "json"]).ends(0, &[]).json();
    assert_eq!((told["runs"].as_array().unwrap().len(), told["hands"].as_array().unwrap().len()), (0, 4), "{told:#}");
    assert!(rig.run(&["history"]).ends(0, &["chain whole"]).out.contains("power on"));
    rig.run(&["report", hands[0].id.as_str()]).refused(1, &["no run hand-"]);
    rig.run(&["resume"]).refused(1, &["every run has ended"]);
    rig.run(&["status"]).refused(1, &["no run yet"]);
}
