//! The file itself: schema, appends and reads. Blocking; called from the writer thread or from short reads.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::{JournalError, chain};
use crate::model::{Digest, Event, Plan, Recorded, RunId};

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
    refuse_stump(path)?;
    let fail = |e: rusqlite::Error| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) };
    let db = Connection::open(path).map_err(fail)?;
    db.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(fail)?;
    if found > FORMAT {
        return Err(JournalError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    if foreign(&db).map_err(fail)? {
        let source = "it is a database, but not a journal".into();
        return Err(JournalError::Open { path: path.to_path_buf(), source });
    }
    db.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    // FULL: a commit is on the disk before it returns, also after a power loss (sqlite.org/pragma.html#pragma_synchronous).
    db.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    db.execute_batch(SCHEMA).map_err(fail)?;
    db.pragma_update(None, "user_version", FORMAT).map_err(fail)?;
    Ok(db)
}

/// True when somebody else's tables are in the file, such as the pool's.
fn foreign(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('run', 'event')";
    db.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|others| others > 0)
}

/// Opens the file for reading only; works on a copied journal, also where nothing may be written.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, JournalError> {
    refuse_stump(path)?;
    let fail = |e: rusqlite::Error| JournalError::Open { path: path.to_path_buf(), source: Box::new(e) };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let format = |db: &Connection| db.query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0));
    let mut db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.busy_timeout(std::time::Duration::from_secs(10)).map_err(fail)?;
    let found = match format(&db) {
        // A reader of a WAL file makes a `-shm` beside it. Where that cannot be, and no `-wal` holds newer lines, the file is all there is
        // and nobody writes it (sqlite.org/wal.html §5, sqlite.org/uri.html "immutable").
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) && !has_wal(path) => {
            let uri = immutable(path).ok_or_else(|| fail(error))?;
            db = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(fail)?;
            format(&db).map_err(fail)?
        }
        found => found.map_err(fail)?,
    };
    if found > FORMAT {
        return Err(JournalError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    Ok(db)
}

/// SQLite takes a file that is shorter than its smallest page (512 bytes, sqlite.org/fileformat.html §1.3.2) for an empty database, and would
/// write over what is left of a journal.
fn refuse_stump(path: &Path) -> Result<(), JournalError> {
    match std::fs::metadata(path).map(|m| m.len()) {
        Ok(length @ 1..512) if !has_wal(path) => {
            let source =
                std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("it is cut short: {length} bytes are left"));
            Err(JournalError::Open { path: path.to_path_buf(), source: Box::new(source) })
        }
        _ => Ok(()),
    }
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|m| m.len() > 0)
}

fn immutable(path: &Path) -> Option<String> {
    let whole = std::path::absolute(path).ok()?;
    // The three characters that mean something in SQLite's URIs.
    let text = whole.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file://{text}?immutable=1"))
}

/// False for a file that was made and never got its tables: the process or the disk ended in between.
fn made(db: &Connection) -> Result<bool, JournalError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('run', 'event')";
    db.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|tables| tables == 2).map_err(read)
}

/// Begins a run: its plan and its first line, both or neither. The line carries the plan's digest, so that the chain covers the plan.
pub(super) fn begin(
    db: &mut Connection,
    run: &RunId,
    at_ms: i64,
    plan: &Plan,
    who: (&str, &str),
) -> Result<Recorded, JournalError> {
    let text = serde_json::to_string(plan).map_err(write)?;
    let (by, version) = (who.0.to_owned(), who.1.to_owned());
    let event = Event::RunStarted { plan: plan.id.clone(), plan_digest: Some(digest(&text)), by, version };
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(write)?;
    tx.execute("INSERT INTO run (id, at_ms, plan) VALUES (?1, ?2, ?3)", params![run.as_str(), at_ms, text]).map_err(write)?;
    let recorded = lines(&tx, &[Entry { run: run.clone(), at_ms, event }])?;
    tx.commit().map_err(write)?;
    recorded.into_iter().next().ok_or_else(|| JournalError::NoRun(run.to_string()))
}

/// Brings everything from the write-ahead file into the journal's own file, so that a copy of that file is whole.
pub(super) fn settle(db: &Connection) -> Result<(), JournalError> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(write)
}

fn digest(text: &str) -> Digest {
    Digest::from_bytes(&Sha256::digest(text.as_bytes()).into())
}

/// The text of a run's plan as it is kept.
pub(super) fn plan_text(db: &Connection, run: &RunId) -> Result<String, JournalError> {
    if !made(db)? {
        return Err(JournalError::NoRun(run.to_string()));
    }
    let text: Option<String> =
        db.query_row("SELECT plan FROM run WHERE id = ?1", [run.as_str()], |r| r.get(0)).optional().map_err(read)?;
    text.ok_or_else(|| JournalError::NoRun(run.to_string()))
}

/// The plan of a run.
pub(super) fn plan(db: &Connection, run: &RunId) -> Result<Plan, JournalError> {
    serde_json::from_str(&plan_text(db, run)?).map_err(read)
}

/// Proves that the plan that is kept for a run is the one that its first line names.
pub(super) fn prove_plan(db: &Connection, run: &RunId, first: Option<&Event>) -> Result<(), JournalError> {
    let fault = |what| Err(JournalError::Plan { run: run.to_string(), what });
    match first {
        Some(Event::RunStarted { plan_digest: Some(want), .. }) if digest(&plan_text(db, run)?) == *want => Ok(()),
        Some(Event::RunStarted { plan_digest: Some(_), .. }) => fault("its content was changed"),
        Some(Event::RunStarted { plan_digest: None, .. }) => fault("the run's first line does not cover it"),
        _ => fault("the run has no first line"),
    }
}

/// All runs, oldest first: id and start.
pub(super) fn runs(db: &Connection) -> Result<Vec<(RunId, i64)>, JournalError> {
    if !made(db)? {
        return Ok(Vec::new());
    }
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
    let recorded = lines(&tx, batch)?;
    tx.commit().map_err(write)?;
    Ok(recorded)
}

fn lines(tx: &Transaction<'_>, batch: &[Entry]) -> Result<Vec<Recorded>, JournalError> {
    let (mut seq, mut hash) = tip(tx)?;
    let mut recorded = Vec::with_capacity(batch.len());
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
    Ok(recorded)
}

/// Reads every line in order, with its stored body.
pub(super) fn walk(
    db: &Connection,
    run: Option<&RunId>,
    mut each: impl FnMut(Recorded, &str) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    if !made(db)? {
        return Ok(());
    }
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
