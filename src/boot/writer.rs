//! Group commit: questions that come while the disk writes share the next write. Each is all or nothing by itself, and none is answered
//! before it is on the disk. 1,250 nodes that ask for their script at once then wait for a few writes, and not for 1,250.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::store::BootError;

/// Most questions in one write; what waits beyond is in the next.
const TOGETHER: usize = 256;
/// Most that wait; who asks more waits to be heard.
const QUEUE: usize = 1024;

type Shared = Arc<rusqlite::Error>;
/// Told what became of the write.
type Deliver = Box<dyn FnOnce(Result<(), Shared>) + Send>;
/// Asks, and says whether its changes are to be kept.
type Job = Box<dyn FnOnce(Result<&Connection, Shared>) -> (bool, Deliver) + Send>;

/// What is done when a write is on the disk, and before anybody is answered.
type After = fn(&Connection) -> rusqlite::Result<()>;

/// The thread that writes; it begins with the first question and ends with the store.
pub(super) struct Writer {
    queue: OnceLock<SyncSender<Job>>,
    after: After,
}

impl Writer {
    pub(super) fn new(after: After) -> Self {
        Self { queue: OnceLock::new(), after }
    }

    /// Asks within a transaction, and waits until it is on the disk. An error undoes what this question changed, and nothing else.
    ///
    /// # Errors
    /// What `question` says, or the disk.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        db: &Arc<Mutex<Connection>>,
        question: impl FnOnce(&Connection) -> Result<T, BootError> + Send + 'static,
    ) -> Result<T, BootError> {
        let (tell, told) = sync_channel(1);
        let job: Job = Box::new(move |db| {
            let answer = db.map_err(BootError::Commit).and_then(question);
            let keep = answer.is_ok();
            let deliver: Deliver = Box::new(move |written| {
                let answer = match (answer, written) {
                    (Ok(_), Err(error)) => Err(BootError::Commit(error)),
                    (answer, _) => answer,
                };
                // Who asked waits for this; were it gone, nobody would miss the answer.
                drop(tell.send(answer));
            });
            (keep, deliver)
        });
        let queue = self.queue.get_or_init(|| start(Arc::clone(db), self.after));
        queue.send(job).map_err(|_| BootError::WriterGone)?;
        told.recv().map_err(|_| BootError::WriterGone)?
    }
}

fn start(db: Arc<Mutex<Connection>>, after: After) -> SyncSender<Job> {
    let (queue, jobs) = sync_channel(QUEUE);
    // Without a thread the receiver is dropped, and every question is told so.
    drop(std::thread::Builder::new().name("grants".into()).spawn(move || run(&db, &jobs, after)));
    queue
}

fn run(db: &Mutex<Connection>, jobs: &Receiver<Job>, after: After) {
    while let Ok(first) = jobs.recv() {
        let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(TOGETHER - 1)).collect();
        let mut delivered = Vec::with_capacity(batch.len());
        let mut batch = batch.into_iter();
        let written = {
            let mut db = db.lock().unwrap_or_else(PoisonError::into_inner);
            write(&mut db, &mut batch, &mut delivered).and_then(|()| after(&db)).map_err(Arc::new)
        };
        if let Err(error) = &written {
            // The transaction broke before their turn.
            delivered.extend(batch.map(|job| job(Err(Arc::clone(error))).1));
        }
        for deliver in delivered {
            deliver(written.clone());
        }
    }
}

fn write(db: &mut Connection, batch: &mut impl Iterator<Item = Job>, delivered: &mut Vec<Deliver>) -> rusqlite::Result<()> {
    let mut all = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        // Dropped, it undoes what was changed since.
        let one = all.savepoint()?;
        let (keep, deliver) = job(Ok(&one));
        delivered.push(deliver);
        if keep {
            one.commit()?;
        }
    }
    all.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db() -> (tempfile::TempDir, Arc<Mutex<Connection>>) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("x.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").unwrap();
        (dir, Arc::new(Mutex::new(db)))
    }

    fn add(db: &Connection, n: i64) -> Result<usize, BootError> {
        Ok(db.execute("INSERT INTO t (n) VALUES (?1)", [n])?)
    }

    #[test]
    fn many_share_a_write_and_one_that_fails_undoes_itself_alone() {
        let (_dir, db) = db();
        let writer = Writer::new(|_| Ok(()));
        // All of them come while the disk is busy, and are written together.
        let busy = db.lock().unwrap();
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..100_i64)
                .map(|n| {
                    let (writer, db) = (&writer, &db);
                    scope.spawn(move || {
                        writer.ask(db, move |tx| {
                            add(tx, n)?;
                            // Every tenth asks for what is there already, after it has changed something.
                            if n % 10 == 9 { add(tx, n) } else { Ok(1) }
                        })
                    })
                })
                .collect();
            drop(busy);
            for (n, asked) in asked.into_iter().enumerate() {
                assert_eq!(asked.join().unwrap().is_ok(), n % 10 != 9, "{n}");
            }
        });
        let kept: i64 = db.lock().unwrap().query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, 90);
    }

    #[test]
    fn what_cannot_be_written_is_said_to_all_who_share_it() {
        let (dir, db) = db();
        let writer = Writer::new(|_| Ok(()));
        db.lock().unwrap().busy_timeout(std::time::Duration::from_millis(50)).unwrap();
        let other = Connection::open(dir.path().join("x.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..2 {
            assert!(matches!(writer.ask(&db, |tx| add(tx, 1)), Err(BootError::Commit(_))));
        }
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(writer.ask(&db, |tx| add(tx, 1)).unwrap(), 1, "it goes on");
    }
}
