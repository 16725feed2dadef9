//! Sessions of a command that is killed or interrupted, and passwords that were refused, as the built program meets them.

use std::time::Duration;

use super::bad_rig::{Rig, code, signal};
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// Files of sessions that are open or were left; none when all is well.
fn notes(rig: &Rig) -> usize {
    std::fs::read_dir(rig.path(".bringup/bmc-sessions")).map(|dir| dir.flatten().count()).unwrap_or(0)
}

/// Starts a look at the BMC and waits until it hangs in the middle, logged in: the BMC takes a minute for the sixth answer.
fn hanging(rig: &Rig, name: &str) -> crate::support::Service {
    let service = rig.spawn(name, &["bmc", "info"]);
    let machine = &rig.farm().nodes()[0].machine;
    wait_until("it is logged in and waits", SOON, || machine.sessions() == 1 && machine.requests() >= 6);
    service
}

const SLOW: &str = "a001-s01=latency(300000)@5x1";

#[test]
fn sessions_of_a_killed_run_are_gone_after_the_next() {
    let rig = Rig::up(1, &[SLOW]);
    let machine = &rig.farm().nodes()[0].machine;
    let service = hanging(&rig, "killed");
    signal(service.pid(), "KILL");
    assert_eq!(code(service), None, "killed");
    assert_eq!((machine.sessions(), notes(&rig)), (1, 1), "it left one behind, and a note of it");
    let note = std::fs::read_dir(rig.path(".bringup/bmc-sessions")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(note).unwrap();
    let token = machine.identity().seed.hex(&format!("{}/token/1", machine.identity().node), 32);
    assert!(text.contains("/redfish/v1/SessionService/Sessions/1") && !text.contains(&token), "{text}");
    assert!(!text.contains(rig.farm().bmc_password()), "{text}");
    rig.run(&["bmc", "info"]).ends(0, &[]);
    assert_eq!((machine.sessions(), notes(&rig)), (0, 0), "both are gone");
    assert_eq!(machine.logins(), 2);
}

#[test]
fn an_interrupted_command_logs_out() {
    for (name, with) in [("INT", "interrupted"), ("TERM", "terminated")] {
        let rig = Rig::up(1, &[SLOW]);
        let machine = &rig.farm().nodes()[0].machine;
        let service = hanging(&rig, with);
        signal(service.pid(), name);
        assert_eq!(code(service), Some(130), "SIG{name}: {}", rig.read(&format!("{with}.err")));
        assert_eq!((machine.sessions(), notes(&rig)), (0, 0), "SIG{name}");
    }
}

#[test]
fn another_password_is_tried_at_once_and_the_refused_one_rests() {
    let rig = Rig::up(1, &["a001-s01=auth.lockout(2)"]);
    let right = rig.read("secrets/bmc_password");
    std::fs::write(rig.path("secrets/bmc_password"), "n0t-the-one\n").unwrap();
    for _ in 0..4 {
        let ran = rig.run(&["power", "status"]).ends(10, &[]);
        assert!(ran.out.contains("wrong credentials") && !format!("{ran:?}").contains("n0t-the-one"), "{ran:#?}");
    }
    assert_eq!(rig.logins(), [1], "two would have locked the account");
    std::fs::write(rig.path("secrets/bmc_password"), right).unwrap();
    rig.run(&["power", "status"]).ends(0, &[]);
    assert_eq!((rig.logins(), notes(&rig)), (vec![2], 0), "and nothing is remembered against it");
}
