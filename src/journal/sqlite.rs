//! The file itself: schema, appends and reads. Blocking; called from the writer thread or from short reads.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{JournalError, chain};
use crate::model::{Event, Plan, Recorded, RunId};

/// Format that this build writes. Older ones are read for ever.
pub(super) const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, plan TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY, run TEXT NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_run ON event (run, seq);
";

/// An event on its way to the disk.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) run: RunId,
    pub(super) at_ms: i64,
    pub(super) event: Event,
}

fn read(e: impl std::error::Error + Send + Sync + 'static) -> JournalError {
    JournalError::Read(Box::new(e))
}
fn write(e: impl std::error::Error + Send + Sync + 'static) -> JournalError {
    JournalError::Write(Box::new(e))
}

/// Opens the file for writing, and makes it when it is not there.
pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    let fail = |e: rusqlite::Error| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) };
    let db = Connection::open(path).map_err(fail)?;
    db.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(fail)?;
    if found > FORMAT {
        return Err(JournalError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    db.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    // FULL: a commit is on the disk before it returns, also after a power loss (sqlite.org/pragma.html#pragma_synchronous).
    db.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    db.execute_batch(SCHEMA).map_err(fail)?;
    db.pragma_update(None, "user_version", FORMAT).map_err(fail)?;
    Ok(db)
}

/// Opens the file for reading only; works on a copied journal.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, JournalError> {
    let fail = |e: rusqlite::Error| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) };
    let db =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fail)?;
    db.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(fail)?;
    if found > FORMAT {
        return Err(JournalError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    Ok(db)
}

/// Keeps a run's plan.
pub(super) fn insert_run(db: &Connection, run: &RunId, at_ms: i64, plan: &Plan) -> Result<(), JournalError> {
    let text = serde_json::to_string(plan).map_err(write)?;
    db.execute("INSERT INTO run (id, at_ms, plan) VALUES (?1, ?2, ?3)", params![run.as_str(), at_ms, text]).map_err(write)?;
    Ok(())
}

/// The plan of a run.
pub(super) fn plan(db: &Connection, run: &RunId) -> Result<Plan, JournalError> {
    let text: Option<String> =
        db.query_row("SELECT plan FROM run WHERE id = ?1", [run.as_str()], |r| r.get(0)).optional().map_err(read)?;
    let text = text.ok_or_else(|| JournalError::NoRun(run.to_string()))?;
    serde_json::from_str(&text).map_err(read)
}

/// All runs, oldest first: id and start.
pub(super) fn runs(db: &Connection) -> Result<Vec<(RunId, i64)>, JournalError> {
    let mut query = db.prepare("SELECT id, at_ms FROM run ORDER BY at_ms, rowid").map_err(read)?;
    let rows = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?))).map_err(read)?;
    rows.map(|row| {
        let (id, at) = row.map_err(read)?;
        Ok((RunId::new(id).map_err(read)?, at))
    })
    .collect()
}

/// Position and hash of the last line.
pub(super) fn tip(db: &Connection) -> Result<(u64, String), JournalError> {
    let row: Option<(i64, String)> = db
        .query_row("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .map_err(read)?;
    Ok(row.map_or((0, chain::GENESIS.to_owned()), |(seq, hash)| (u64::try_from(seq).unwrap_or(0), hash)))
}

/// Appends a batch in one transaction: all of it is on the disk when this returns, or none.
pub(super) fn append(db: &mut Connection, batch: &[Entry]) -> Result<Vec<Recorded>, JournalError> {
    // IMMEDIATE: the tip is read under the write lock, so that two processes cannot both follow the same line.
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(write)?;
    let (mut seq, mut hash) = tip(&tx)?;
    let mut recorded = Vec::with_capacity(batch.len());
    {
        let mut insert =
            tx.prepare_cached("INSERT INTO event (seq, run, at_ms, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)").map_err(write)?;
        for entry in batch {
            let body = serde_json::to_string(&entry.event).map_err(write)?;
            seq += 1;
            hash = chain::link(&hash, seq, entry.run.as_str(), entry.at_ms, &body);
            insert
                .execute(params![i64::try_from(seq).map_err(write)?, entry.run.as_str(), entry.at_ms, body, hash])
                .map_err(write)?;
            recorded.push(Recorded {
                seq,
                run: entry.run.clone(),
                at_ms: entry.at_ms,
                event: entry.event.clone(),
                hash: hash.clone(),
            });
        }
    }
    tx.commit().map_err(write)?;
    Ok(recorded)
}

/// Reads every line in order, with its stored body.
pub(super) fn walk(
    db: &Connection,
    run: Option<&RunId>,
    mut each: impl FnMut(Recorded, &str) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let (sql, run) = match run {
        Some(run) => ("SELECT seq, run, at_ms, body, hash FROM event WHERE run = ?1 ORDER BY seq", run.as_str()),
        None => ("SELECT seq, run, at_ms, body, hash FROM event WHERE ?1 = '' ORDER BY seq", ""),
    };
    let mut query = db.prepare(sql).map_err(read)?;
    let mut rows = query.query([run]).map_err(read)?;
    while let Some(row) = rows.next().map_err(read)? {
        let body: String = row.get(3).map_err(read)?;
        let line = Recorded {
            seq: u64::try_from(row.get::<_, i64>(0).map_err(read)?).map_err(read)?,
            run: RunId::new(row.get::<_, String>(1).map_err(read)?).map_err(read)?,
            at_ms: row.get(2).map_err(read)?,
            event: serde_json::from_str(&body).map_err(read)?,
            hash: row.get(4).map_err(read)?,
        };
        each(line, &body)?;
    }
    Ok(())
}
