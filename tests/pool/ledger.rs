//! The ledger: only keys admit, both changes are idempotent, and what was told is on the disk.

use bringup::model::{NodeId, Verdict};
use bringup::pool::{Ledger, Member, Pool, Standing};
use bringup::verify::{Admission, judge};

use crate::verify::world::{self, TODAY, World};

fn key(world: &World, node: &str) -> Admission {
    judge(&NodeId::new(node).unwrap(), "train", &world.suite, &world.answers, TODAY).1.expect("a key")
}

fn degraded() -> World {
    world::nvidia()
        .edit("nvidia-smi", "<remapped_row_pending>No", "<remapped_row_pending>Yes")
        .with(|s| s.policy.degraded_min = Some(7))
}

async fn one(ledger: &Ledger) -> Member {
    let mut all = ledger.list().await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[tokio::test]
async fn admit_drain_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/pool.db");
    let ledger = Ledger::open(&path).unwrap();
    let node = NodeId::new("a001-s01").unwrap();
    assert!(ledger.list().await.unwrap().is_empty());
    assert!(!ledger.drain(&node, "not there").await.unwrap(), "a node that never joined was not working");
    let known = one(&ledger).await;
    assert_eq!((known.pool.as_str(), known.standing), ("", Standing::Drained { why: "not there".into() }));

    ledger.admit(key(&world::nvidia(), "a001-s01")).await.unwrap();
    let first = one(&ledger).await;
    assert!(matches!(&first.standing, Standing::Working { devices, withheld } if devices.len() == 8 && withheld.is_empty()));
    assert_eq!(first.pool, "train");
    ledger.admit(key(&world::nvidia(), "a001-s01")).await.unwrap();
    assert_eq!(one(&ledger).await, first, "the same again changes nothing, not even the time");

    ledger.admit(key(&degraded(), "a001-s01")).await.unwrap();
    let Standing::Working { devices, withheld } = one(&ledger).await.standing else { panic!("drained") };
    assert_eq!((devices.len(), withheld.len()), (7, 1));
    assert_eq!((withheld[0].device.as_str(), withheld[0].verdict), ("gpu0", Verdict::Quarantine));
    let kept = ledger.withheld().await.unwrap();
    assert!(kept[0].1.findings.iter().any(|f| f.check == "remap-pending"), "with its evidence");

    assert!(ledger.drain(&node, "fan").await.unwrap());
    assert!(!ledger.drain(&node, "fan 3").await.unwrap());
    assert_eq!(one(&ledger).await.standing, Standing::Drained { why: "fan 3".into() });
    assert!(ledger.withheld().await.unwrap().is_empty());

    // Another process sees the same.
    drop(ledger);
    let again = Ledger::open(&path).unwrap();
    assert_eq!(one(&again).await.standing, Standing::Drained { why: "fan 3".into() });
    again.admit(key(&world::nvidia(), "a001-s01")).await.unwrap();
    assert!(matches!(one(&again).await.standing, Standing::Working { .. }));
}

#[tokio::test]
async fn two_ledgers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.db");
    let (a, b) = (Ledger::open(&path).unwrap(), Ledger::open(&path).unwrap());
    let world = world::furiosa();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..40 {
        let ledger = if index % 2 == 0 { a.clone() } else { b.clone() };
        let admission = key(&world, &format!("n{index:02}"));
        tasks.spawn(async move { ledger.admit(admission).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let names: Vec<String> = a.list().await.unwrap().into_iter().map(|m| m.node.to_string()).collect();
    assert_eq!(names, (0..40).map(|i| format!("n{i:02}")).collect::<Vec<_>>(), "in node order");
}

#[tokio::test]
async fn files_that_are_no_pool() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "this is no database, not at all, and it is long enough to be read as one ....................................",
    )
    .unwrap();
    let error = Ledger::open(&text).unwrap_err();
    assert!(error.to_string().starts_with("opening the pool "), "{error}");

    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(Ledger::open(&other).unwrap_err().to_string().contains("not a pool"));

    let newer = folder.path().join("newer.db");
    drop(Ledger::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(Ledger::open(&newer).unwrap_err().to_string().contains("schema 99"));

    assert!(Ledger::open(folder.path()).is_err(), "a folder");
}
