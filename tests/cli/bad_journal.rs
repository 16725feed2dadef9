//! Journals that are damaged, newer, not writable, or on a full disk: a clear error, nothing touched, nothing lost.

use std::process::Command;

use bringup::journal::Journal;

use super::bad_rig::Rig;
use crate::support::skip;

/// A rig whose one run has ended, with its journal folded into one file.
fn ended() -> Rig {
    let rig = Rig::up(1, &[]);
    rig.run(&["apply", "--yes"]).ends(0, &[]);
    let db = rusqlite::Connection::open(rig.path(".bringup/journal.db")).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    rig
}

const READERS: [&[&str]; 6] = [&["status"], &["history"], &["report"], &["resume"], &["abort"], &["apply", "--yes"]];

#[test]
fn a_journal_cut_in_the_middle() {
    let rig = ended();
    let boots = rig.farm().nodes()[0].machine.boots();
    let whole = std::fs::read(rig.path(".bringup/journal.db")).unwrap();
    for keep in [1, 50, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(rig.path(".bringup/journal.db"), &whole[..keep]).unwrap();
        for verb in READERS {
            let ran = rig.run(verb);
            let ran = if ran.code == Some(0) {
                panic!("{keep} of {} bytes pass for a journal: {verb:?} {ran:#?}", whole.len())
            } else {
                ran.refused(1, &["error: "])
            };
            assert!(ran.err.contains("journal"), "{keep}: {verb:?}: {}", ran.err);
        }
        assert_eq!(std::fs::read(rig.path(".bringup/journal.db")).unwrap().len(), keep, "what is left is not written over");
    }
    assert_eq!(rig.farm().nodes()[0].machine.boots(), boots);
    std::fs::write(rig.path(".bringup/journal.db"), &whole).unwrap();
    rig.run(&["history"]).ends(0, &["chain whole"]);
}

#[test]
fn a_torn_wal_loses_at_most_what_was_never_told() {
    let rig = ended();
    let lines = Journal::verify(&rig.path(".bringup/journal.db")).unwrap().0;
    std::fs::write(rig.path(".bringup/journal.db-wal"), [0x5a; 9000]).unwrap();
    rig.run(&["history"]).ends(0, &[&format!("{lines} events, chain whole")]);
    rig.run(&["status"]).ends(0, &[]);
}

#[test]
fn a_changed_line_is_found() {
    let rig = ended();
    let db = rusqlite::Connection::open(rig.path(".bringup/journal.db")).unwrap();
    db.execute("UPDATE event SET body = replace(body, 'run-started', 'run-resumed') WHERE seq = 1", []).unwrap();
    drop(db);
    rig.run(&["history"]).refused(1, &["event 1", "hash"]);
    rig.run(&["doctor", "--loaders", "loaders"]).ends(1, &["not ready"]);
}

#[test]
fn a_newer_journal_and_one_that_cannot_be_written() {
    let rig = ended();
    let db = rusqlite::Connection::open(rig.path(".bringup/journal.db")).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    drop(db);
    for verb in READERS {
        rig.run(verb).refused(1, &["has format 9"]);
    }
    rig.run(&["power", "off", "*", "--yes"]).refused(1, &["has format 9"]);
    // A folder where the journal should be, and a file where its folder should be.
    std::fs::create_dir(rig.path("folder")).unwrap();
    std::fs::write(rig.path("file"), "").unwrap();
    for state in ["folder", "file/journal.db", "/proc/bringup/journal.db", "postgres://x"] {
        let ran = rig.run(&["power", "off", "*", "--yes", "--state", state]);
        assert!(
            matches!(ran.code, Some(1 | 64)) && ran.err.contains("error: ") && !ran.err.contains("panicked"),
            "{state}: {ran:#?}"
        );
        let ran = rig.run(&["apply", "--yes", "--state", state]);
        assert!(
            matches!(ran.code, Some(1 | 64)) && ran.err.contains("error: ") && !ran.err.contains("panicked"),
            "{state}: {ran:#?}"
        );
    }
    assert_eq!(rig.farm().nodes()[0].machine.power_state(), bringup::model::PowerState::On, "not touched");
}

/// A small file system of the test's own; unmounted when the test ends.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "bringup-test"]).arg(&at).output();
        done.is_ok_and(|o| o.status.success()).then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_full_disk_stops_the_run_before_the_next_touch_and_resume_goes_on() {
    let rig = Rig::at_speed(2, &[], 60);
    let Some(small) = Small::mount(rig.path("small"), "4m") else {
        skip("a_full_disk_stops_the_run_before_the_next_touch_and_resume_goes_on", "the right to mount a tmpfs");
        return;
    };
    let state = "small/journal.db";
    let fill = || {
        // Until not even one byte fits.
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(small.0.join("ballast")).unwrap();
        for chunk in [vec![0_u8; 65536], vec![0; 512], vec![0; 1]] {
            while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        }
    };
    // Full before it begins: nothing is begun.
    fill();
    rig.run(&["apply", "--yes", "--state", state]).ends(1, &["No space left"]);
    rig.run(&["power", "on", "*", "--state", state]).ends(1, &["error: "]);
    rig.untouched();
    for name in std::fs::read_dir(&small.0).unwrap() {
        drop(std::fs::remove_file(name.unwrap().path()));
    }
    // Full in the middle: the run ends, and every touch that was made stands in the journal.
    let run = rig.spawn("apply", &["apply", "--yes", "--state", state]);
    crate::support::wait_until("a touch", super::bad_rig::PATIENCE, || {
        rig.path(state).exists()
            && Journal::newest(&rig.path(state)).is_ok()
            && rig.events(state).iter().any(|e| e["event"] == "attempt-began")
    });
    fill();
    assert_eq!(super::bad_rig::code(run), Some(1), "{}", rig.read("apply.err"));
    let told = rig.read("apply.err");
    assert!(told.contains("bringup resume") && told.contains("full") && !told.contains("panicked"), "{told}");
    std::fs::remove_file(small.0.join("ballast")).unwrap();
    let boots: Vec<u64> = rig.farm().nodes().iter().map(|n| n.machine.boots()).collect();
    assert!(boots.iter().all(|b| *b <= 1), "{boots:?}");
    rig.run(&["resume", "--state", state]).ends(0, &[]);
    assert!(rig.farm().nodes().iter().all(|n| n.machine.boots() == 1));
    rig.run(&["history", "--state", state]).ends(0, &["chain whole"]);
}
