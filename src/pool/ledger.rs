//! The pool as one SQLite file: who works with which accelerators, who is drained and why. It is told; it never asks a node.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Member, Pool, PoolError, Standing};
use crate::model::{DeviceVerdict, Judgement, NodeId};
use crate::verify::Admission;

/// Schema that this build writes; kept in `PRAGMA user_version`.
const SCHEMA: i64 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "brup".
const APPLICATION: i64 = 0x6272_7570;
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE member (
    node     TEXT PRIMARY KEY NOT NULL,
    pool     TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('working', 'drained')),
    why      TEXT NOT NULL,
    devices  TEXT NOT NULL,
    withheld TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;";

/// A pool in a file. Clones share the connection; blocking work runs on the blocking threads of the runtime.
#[derive(Clone)]
pub struct Ledger {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the file, or makes it with its folder. Every change is on the disk before it is told (`synchronous=FULL`).
    ///
    /// # Errors
    /// [`PoolError`] when the file cannot be opened, is not a pool, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, PoolError> {
        let doing = || format!("opening the pool {}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| failed(doing(), "its folder cannot be made", e))?;
        }
        let open = || -> Result<(Connection, i64, i64, i64), rusqlite::Error> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let (application, schema) = (number("application_id")?, number("user_version")?);
            let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            Ok((connection, application, schema, tables))
        };
        let (mut connection, application, schema, tables) = open().map_err(|e| failed(doing(), "SQLite refused", e))?;
        if schema > SCHEMA && application == APPLICATION {
            return Err(refused(doing(), format!("it has schema {schema}, this version knows {SCHEMA}")));
        }
        if tables > 0 && application != APPLICATION {
            return Err(refused(doing(), "the file is a database, but not a pool".to_owned()));
        }
        let prepare = |connection: &mut Connection| -> Result<(), rusqlite::Error> {
            // The mode is answered with a row, hence not `pragma_update`.
            connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have made the tables since we looked.
            if write.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == 0 {
                write.execute_batch(TABLES)?;
                write.pragma_update(None, "application_id", APPLICATION)?;
                write.pragma_update(None, "user_version", SCHEMA)?;
            }
            write.commit()
        };
        prepare(&mut connection).map_err(|e| failed(doing(), "its tables cannot be made", e))?;
        Ok(Self { path: Arc::new(path.to_owned()), connection: Arc::new(Mutex::new(connection)) })
    }

    /// The accelerators that the gate withheld from nodes that work, with their findings.
    ///
    /// # Errors
    /// [`PoolError`] when the file cannot be read.
    pub async fn withheld(&self) -> Result<Vec<(NodeId, Judgement)>, PoolError> {
        self.blocking("reading the pool's withheld accelerators", |connection| {
            let mut query = connection.prepare("SELECT node, withheld FROM member WHERE standing = 'working' ORDER BY node")?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let mut all = Vec::new();
            for row in rows {
                let (node, withheld) = row?;
                let node: NodeId = NodeId::new(node).map_err(broken)?;
                let withheld: Vec<Judgement> = serde_json::from_str(&withheld).map_err(broken)?;
                all.extend(withheld.into_iter().map(|device| (node.clone(), device)));
            }
            Ok(all)
        })
        .await
    }

    /// Runs one piece of blocking work. The lock is held on a blocking thread only, never across an await.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: impl Into<String>,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, PoolError> {
        let doing = format!("{} in {}", doing.into(), self.path.display());
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // A panic elsewhere leaves SQLite's own state whole: its transaction was rolled back on drop.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(doing, "SQLite refused", error)),
            Err(error) => Err(failed(doing, "the work was stopped", error)),
        }
    }
}

#[async_trait]
impl Pool for Ledger {
    async fn admit(&self, admission: Admission) -> Result<(), PoolError> {
        let doing = format!("admitting {} to the pool", admission.node());
        let listed: Vec<DeviceVerdict> = admission.devices().iter().map(brief).collect();
        let devices = serde_json::to_string(&listed).map_err(|e| failed(doing.clone(), "it cannot be written down", e))?;
        let withheld =
            serde_json::to_string(admission.withheld()).map_err(|e| failed(doing.clone(), "it cannot be written down", e))?;
        let (node, pool) = (admission.node().to_string(), admission.pool().to_owned());
        self.blocking(doing, move |connection| {
            // Admitting again what works already, unchanged, leaves `since_ms` as it is.
            connection.execute(
                "INSERT INTO member (node, pool, standing, why, devices, withheld, since_ms) VALUES (?1, ?2, 'working', '', ?3, ?4, ?5)
                 ON CONFLICT (node) DO UPDATE SET
                   since_ms = CASE WHEN standing = 'working' AND pool = excluded.pool AND devices = excluded.devices
                                    AND withheld = excluded.withheld THEN since_ms ELSE excluded.since_ms END,
                   pool = excluded.pool, standing = 'working', why = '', devices = excluded.devices, withheld = excluded.withheld",
                params![node, pool, devices, withheld, now_ms()],
            )?;
            Ok(())
        })
        .await
    }

    /// The latest reason wins; `since_ms` is when it stopped working. A node that the pool did not know is known from now on, in no pool,
    /// so that its reason can be told.
    async fn drain(&self, node: &NodeId, why: &str) -> Result<bool, PoolError> {
        let (node, why) = (node.to_string(), why.to_owned());
        self.blocking(format!("draining {node} from the pool"), move |connection| {
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let standing: Option<String> =
                write.query_row("SELECT standing FROM member WHERE node = ?1", [&node], |row| row.get(0)).optional()?;
            let worked = standing.as_deref() == Some("working");
            if worked {
                write.execute(
                    "UPDATE member SET standing = 'drained', why = ?2, devices = '[]', withheld = '[]', since_ms = ?3 WHERE node = ?1",
                    params![node, why, now_ms()],
                )?;
            } else {
                write.execute(
                    "INSERT INTO member (node, pool, standing, why, devices, withheld, since_ms) VALUES (?1, '', 'drained', ?2, '[]', '[]', ?3)
                     ON CONFLICT (node) DO UPDATE SET why = excluded.why",
                    params![node, why, now_ms()],
                )?;
            }
            write.commit()?;
            Ok(worked)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Member>, PoolError> {
        self.blocking("listing the pool", |connection| {
            let mut query =
                connection.prepare("SELECT node, pool, standing, why, devices, withheld, since_ms FROM member ORDER BY node")?;
            let mut rows = query.query([])?;
            let mut members = Vec::new();
            while let Some(row) = rows.next()? {
                let standing: String = row.get(2)?;
                let standing = if standing == "working" {
                    let withheld: Vec<Judgement> = serde_json::from_str(&row.get::<_, String>(5)?).map_err(broken)?;
                    Standing::Working {
                        devices: serde_json::from_str(&row.get::<_, String>(4)?).map_err(broken)?,
                        withheld: withheld.iter().map(brief).collect(),
                    }
                } else {
                    Standing::Drained { why: row.get(3)? }
                };
                members.push(Member {
                    node: NodeId::new(row.get::<_, String>(0)?).map_err(broken)?,
                    pool: row.get(1)?,
                    standing,
                    since_ms: row.get(6)?,
                });
            }
            Ok(members)
        })
        .await
    }
}

fn brief(judged: &Judgement) -> DeviceVerdict {
    DeviceVerdict { device: judged.device.clone(), serial: judged.serial.clone(), verdict: judged.verdict }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

/// A row that this version cannot read.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

fn failed(doing: String, seen: &str, source: impl std::error::Error + Send + Sync + 'static) -> PoolError {
    PoolError { doing, seen: seen.to_owned(), source: Some(Box::new(source)) }
}

fn refused(doing: String, seen: String) -> PoolError {
    PoolError { doing, seen, source: None }
}
