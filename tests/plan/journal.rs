//! The journal: on the disk before it is told, whole or named as broken, readable as a copy.

use bringup::journal::{Journal, JournalError, RunLock};
use bringup::model::{Event, Lifecycle, NodeId, Phase, RunId, Verdict};

use super::decide::plan;

fn run_id() -> RunId {
    RunId::new("run-1").unwrap()
}

async fn filled(path: &std::path::Path) -> Vec<Event> {
    let plan = plan(1, 2, |_| {});
    let journal = Journal::open(path).unwrap();
    let mut begun = vec![journal.begin(&run_id(), 1, &plan, "t", "0").await.unwrap().event];
    let mut events = Vec::new();
    for node in plan.nodes.iter().map(|n| n.node.clone()) {
        events.push(Event::DrainBegan { node: node.clone() });
        events.push(Event::NodeDrained { node: node.clone(), was_member: false });
        events.push(Event::Checked { node: node.clone(), verdict: Verdict::Pass, findings: vec![], devices: vec![] });
        events.push(Event::NodeAdmitted { node, pool: "p".into(), devices: vec![], withheld: vec![], degraded: false });
    }
    events.push(Event::RunFinished);
    for event in &events {
        journal.append(&run_id(), 5, event.clone()).await.unwrap();
    }
    begun.append(&mut events);
    begun
}

#[tokio::test]
async fn what_was_written_is_folded_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let events = filled(&path).await;
    let run = Journal::load(&path, &run_id()).unwrap();
    assert_eq!(run.state.lifecycle, Lifecycle::Finished);
    assert!(run.state.nodes.values().all(|n| n.phase == Phase::Admitted));
    let (lines, _) = Journal::verify(&path).unwrap();
    assert_eq!(lines, events.len() as u64);
}

#[tokio::test]
async fn every_prefix_of_a_journal_folds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let events = filled(&path).await;
    for keep in 1..=events.len() {
        let copy = dir.path().join(format!("copy-{keep}.db"));
        rusqlite_copy(&path, &copy, keep);
        let run = Journal::load(&copy, &run_id()).unwrap();
        assert_eq!(run.state.lifecycle == Lifecycle::Finished, keep == events.len());
        Journal::verify(&copy).unwrap();
    }
}

/// Copies a journal with its first `keep` lines.
fn rusqlite_copy(from: &std::path::Path, to: &std::path::Path, keep: usize) {
    let db = rusqlite::Connection::open(from).unwrap();
    db.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
    let copy = rusqlite::Connection::open(to).unwrap();
    copy.execute("DELETE FROM event WHERE seq > ?1", [i64::try_from(keep).unwrap()]).unwrap();
}

#[tokio::test]
async fn a_changed_a_dropped_and_a_moved_line_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    filled(&path).await;
    for (name, sql, seq) in [
        ("changed", "UPDATE event SET body = replace(body, 'n1', 'n2') || ' ' WHERE seq = 3", 3),
        ("dropped", "DELETE FROM event WHERE seq = 4", 5),
        ("retimed", "UPDATE event SET at_ms = at_ms + 1 WHERE seq = 2", 2),
    ] {
        let copy = dir.path().join(format!("{name}.db"));
        rusqlite_copy(&path, &copy, 1000);
        rusqlite::Connection::open(&copy).unwrap().execute(sql, []).unwrap();
        match Journal::verify(&copy) {
            Err(JournalError::Broken(fault)) => assert_eq!(fault.seq, seq, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_thousand_writers_share_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let journal = Journal::open(&path).unwrap();
    journal.begin(&run_id(), 1, &plan(1, 1, |_| {}), "t", "0").await.unwrap();
    let write = |n: u32| {
        let journal = journal.clone();
        let node = NodeId::new(format!("n{n}")).unwrap();
        async move { journal.append(&run_id(), 1, Event::NodeBlocked { node, accelerators: 8, why: "x".into() }).await }
    };
    let written = futures_util::future::join_all((0..1000).map(write)).await;
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(Journal::verify(&path).unwrap().0, 1001);
}

#[tokio::test]
async fn a_newer_journal_and_a_file_that_is_none_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let newer = dir.path().join("newer.db");
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Journal::open(&newer), Err(JournalError::Newer { found: 99, .. })));
    let none = dir.path().join("none.db");
    std::fs::write(&none, b"this is no journal, it is a text file that somebody put there by mistake").unwrap();
    assert!(matches!(Journal::open(&none), Err(JournalError::Open { .. })));
    // Half a journal: the file ends in the middle of its first page.
    let half = dir.path().join("half.db");
    filled(&dir.path().join("live.db")).await;
    rusqlite_copy(&dir.path().join("live.db"), &dir.path().join("whole.db"), 1000);
    let bytes = std::fs::read(dir.path().join("whole.db")).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Journal::load(&half, &run_id()).is_err());
}

#[tokio::test]
async fn one_run_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = RunLock::take(dir.path(), "first", std::time::Duration::ZERO).await.unwrap();
    match RunLock::take(dir.path(), "second", std::time::Duration::ZERO).await {
        Err(JournalError::Locked { holder }) => assert_eq!(holder, "first"),
        other => panic!("{other:?}"),
    }
    drop(first);
    RunLock::take(dir.path(), "second", std::time::Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_plan_that_was_changed_after_the_run_began_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    filled(&path).await;
    let copy = dir.path().join("copy.db");
    rusqlite_copy(&path, &copy, 1000);
    Journal::verify(&copy).unwrap();
    let changed = "UPDATE run SET plan = replace(plan, '\"count\":8', '\"count\":4')";
    rusqlite::Connection::open(&copy).unwrap().execute(changed, []).unwrap();
    assert!(matches!(Journal::verify(&copy), Err(JournalError::Plan { .. })));
    assert!(matches!(Journal::load(&copy, &run_id()), Err(JournalError::Plan { .. })), "no report on a changed plan");
}

#[tokio::test]
async fn a_report_is_not_made_from_a_broken_chain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    filled(&path).await;
    let copy = dir.path().join("copy.db");
    rusqlite_copy(&path, &copy, 1000);
    rusqlite::Connection::open(&copy).unwrap().execute("UPDATE event SET at_ms = 9 WHERE seq = 2", []).unwrap();
    assert!(matches!(Journal::load(&copy, &run_id()), Err(JournalError::Broken(_))));
}

#[tokio::test]
async fn a_settled_journal_is_whole_in_its_one_file_and_read_where_nothing_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let journal = Journal::open(&path).unwrap();
    journal.begin(&run_id(), 1, &plan(1, 1, |_| {}), "t", "0").await.unwrap();
    journal.settle().await.unwrap();
    let copy = dir.path().join("a copy #1.db");
    std::fs::copy(&path, &copy).unwrap();
    // A folder in its place: no `-shm` can be made, as on a read-only disk, and root is refused too.
    std::fs::create_dir(dir.path().join("a copy #1.db-shm")).unwrap();
    assert_eq!(Journal::verify(&copy).unwrap().0, 1);
    assert_eq!(Journal::load(&copy, &run_id()).unwrap().state.lifecycle, Lifecycle::Running);
}

#[tokio::test]
async fn a_journal_without_its_tables_is_empty_and_another_database_is_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::fs::write(&path, b"").unwrap();
    assert_eq!(Journal::unfinished(&path).unwrap(), None);
    assert!(matches!(Journal::load(&path, &run_id()), Err(JournalError::NoRun(_))));
    std::fs::write(&path, b"S").unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Open { .. })), "what is left of a journal is not written over");
    let other = dir.path().join("pool.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE member (node TEXT)").unwrap();
    assert!(matches!(Journal::open(&other), Err(JournalError::Open { .. })));
}
