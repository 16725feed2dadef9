//! The grants on disk: one SQLite file that `apply` writes and `serve` reads and marks, each in its own process. Every change is a
//! transaction that is on the disk before it is answered. No token is ever stored, only its SHA-256.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::artifact::{ArtifactError, Artifacts};
use super::grant::{GrantSpec, GrantState, GrantStatus, Issued, Noted, Opens, SpecError, Stage, Token};
use super::handover;
use super::identity::Identity;
use super::media;
use super::writer::Writer;
use crate::model::{NodeId, PlanId};

/// Format that this build writes.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS store (id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS boot_grant (
    id TEXT PRIMARY KEY, node TEXT NOT NULL, plan TEXT NOT NULL, mac TEXT, spec TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    closed TEXT, scripts INTEGER NOT NULL DEFAULT 0, script_to TEXT, fetched INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS grant_mac ON boot_grant (mac) WHERE closed IS NULL;
CREATE INDEX IF NOT EXISTS grant_open ON boot_grant (expires_ms) WHERE closed IS NULL;
CREATE INDEX IF NOT EXISTS grant_node ON boot_grant (node, plan);
CREATE TABLE IF NOT EXISTS token (hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL, opens TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS token_grant ON token (grant_id);
CREATE TABLE IF NOT EXISTS noted (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, grant_id TEXT, node TEXT, stage TEXT NOT NULL, peer TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS noted_grant ON noted (grant_id, stage);
";

/// Why the grants could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The file cannot be opened or made.
    #[error("open the boot grants {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It cannot be kept from the eyes of others.
    #[error("make the boot grants {path} readable for their owner alone")]
    Private {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A newer build wrote it.
    #[error("the boot grants {0} were written by a newer version")]
    Newer(PathBuf),
    /// SQLite said no: a full disk, a lock that was held for ten seconds, a damaged file.
    #[error("use the boot grants")]
    Store(#[from] rusqlite::Error),
    /// A write that several questions shared was refused.
    #[error("write to the boot grants")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// The thread that writes has ended.
    #[error("the boot grants are not written any more")]
    WriterGone,
    /// What is stored cannot be understood.
    #[error("read a stored grant")]
    Stored(#[from] serde_json::Error),
    /// The grant cannot be made as asked.
    #[error("issue a boot grant")]
    Spec(#[from] SpecError),
    /// A file of the image is missing or is not what its digest says.
    #[error("issue a boot grant")]
    Artifact(#[from] ArtifactError),
    /// Another node has an open grant for this MAC.
    #[error("issue a boot grant: MAC {mac} is granted to node {node} at this time")]
    MacTaken {
        /// The address.
        mac: String,
        /// Who has it.
        node: String,
    },
    /// The program is ending.
    #[error("use the boot grants")]
    Stopped(#[source] tokio::task::JoinError),
    /// No grant of this name.
    #[error("there is no boot grant `{0}`")]
    NoGrant(String),
}

/// The store. Methods block for a disk write each; asynchronous callers use `spawn_blocking`.
pub(super) struct Store {
    db: Arc<Mutex<Connection>>,
    writer: Writer,
    store_id: String,
    pub(super) artifacts: Artifacts,
    pub(super) media: media::Remembered,
}

impl Store {
    /// Opens the file, and makes it when it is not there. Several processes may hold it open.
    ///
    /// # Errors
    /// [`BootError::Open`] or [`BootError::Newer`].
    pub(super) fn open(path: &Path) -> Result<Self, BootError> {
        let fail = |source| BootError::Open { path: path.to_path_buf(), source };
        private(path).map_err(|source| BootError::Private { path: path.to_path_buf(), source })?;
        let mut db = Connection::open(path).map_err(fail)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(fail)?;
        let found: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(fail)?;
        if found > FORMAT {
            return Err(BootError::Newer(path.to_path_buf()));
        }
        db.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        // FULL: a token that was handed out stays used after a power loss.
        db.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        // What is taken out of a table is overwritten: identities hold private keys.
        db.pragma_update(None, "secure_delete", "ON").map_err(fail)?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        tx.execute_batch(&[SCHEMA, super::sightings::SCHEMA, handover::SCHEMA].concat()).map_err(fail)?;
        tx.pragma_update(None, "user_version", FORMAT).map_err(fail)?;
        let id: Option<String> = tx.query_row("SELECT id FROM store", [], |r| r.get(0)).optional().map_err(fail)?;
        let store_id = match id {
            Some(id) => id,
            None => {
                let id = format!("{:016x}", rand::random::<u64>());
                tx.execute("INSERT INTO store (id) VALUES (?1)", [&id]).map_err(fail)?;
                id
            }
        };
        tx.commit().map_err(fail)?;
        let writer = Writer::new(handover::scrub);
        let (artifacts, media) = (Artifacts::default(), media::Remembered::default());
        Ok(Self { db: Arc::new(Mutex::new(db)), writer, store_id, artifacts, media })
    }

    /// Random name of the store, made with the file: equal in all processes that share it, and in no other.
    #[must_use]
    pub(super) fn store_id(&self) -> &str {
        &self.store_id
    }

    pub(super) fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks together with all who ask at the same time: see [`Writer`].
    ///
    /// # Errors
    /// What `question` says, or the disk.
    pub(super) fn together<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, BootError> + Send + 'static,
    ) -> Result<T, BootError> {
        self.writer.ask(&self.db, question)
    }

    /// Makes a grant. The files are read and checked first. An older open grant of the same node is revoked: one node boots one image.
    ///
    /// # Errors
    /// [`BootError`]; nothing was granted.
    pub(super) fn issue(
        &self,
        spec: &GrantSpec,
        identity: Option<&Identity>,
        opens: Opens,
        now_ms: i64,
    ) -> Result<Issued, BootError> {
        spec.check(now_ms)?;
        if opens == Opens::Medium
            && let Some((argument, why)) = spec.cmdline.iter().find_map(|a| media::argument_fault(a).map(|why| (a, why)))
        {
            return Err(SpecError::Medium { argument: argument.escape_debug().take(80).collect(), why }.into());
        }
        for artifact in std::iter::once(&spec.kernel).chain(&spec.initrd).chain(&spec.root) {
            self.artifacts.open(artifact)?;
        }
        let token = Token::fresh();
        // A medium's grant is not found by its MAC: its node does not come for a script.
        let mac = spec.mac.filter(|_| opens == Opens::Script).map(|mac| mac.to_string());
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        expire(&tx, now_ms)?;
        let other: Option<String> = tx
            .query_row(
                "SELECT node FROM boot_grant WHERE mac = ?1 AND closed IS NULL AND node <> ?2",
                params![mac, spec.node.as_str()],
                |r| r.get(0),
            )
            .optional()?;
        if let (Some(node), Some(mac)) = (other, &mac) {
            return Err(BootError::MacTaken { mac: mac.clone(), node });
        }
        let older: Vec<String> = tx
            .prepare("SELECT id FROM boot_grant WHERE node = ?1 AND closed IS NULL")?
            .query_map([spec.node.as_str()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for id in older {
            close(&tx, &id, Stage::Revoked, &format!("replaced by {}", spec.id), now_ms)?;
        }
        tx.execute(
            "INSERT INTO boot_grant (id, node, plan, mac, spec, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![spec.id, spec.node.as_str(), spec.plan.as_str(), mac, serde_json::to_string(spec)?, spec.expires_at_ms],
        )?;
        tx.execute(
            "INSERT INTO token (hash, grant_id, opens) VALUES (?1, ?2, ?3)",
            params![token.hash(), spec.id, opens.word()],
        )?;
        if let Some(identity) = identity {
            handover::keep(&tx, &spec.id, identity)?;
        }
        let line = Line { grant: Some(&spec.id), node: Some(&spec.node), stage: Stage::Issued, from: None, detail: "" };
        line.write(&tx, now_ms)?;
        tx.commit()?;
        handover::scrub(&db)?;
        Ok(Issued { public_id: spec.id.clone(), token })
    }

    /// Gives a grant back; `false` when it was closed already.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub(super) fn release(&self, id: &str, now_ms: i64) -> Result<bool, BootError> {
        self.end(id, Stage::Released, "", now_ms)
    }

    /// Takes a grant back, and says why; `false` when it was closed already.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub(super) fn revoke(&self, id: &str, why: &str, now_ms: i64) -> Result<bool, BootError> {
        self.end(id, Stage::Revoked, why, now_ms)
    }

    fn end(&self, id: &str, how: Stage, why: &str, now_ms: i64) -> Result<bool, BootError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = tx.query_row("SELECT 1 FROM boot_grant WHERE id = ?1", [id], |_| Ok(())).optional()?;
        if known.is_none() {
            return Err(BootError::NoGrant(id.escape_debug().take(40).collect()));
        }
        expire(&tx, now_ms)?;
        let was_open = close(&tx, id, how, why, now_ms)?;
        tx.commit()?;
        handover::scrub(&db)?;
        Ok(was_open)
    }

    /// Closes every grant whose time is over; returns their names.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn expire(&self, now_ms: i64) -> Result<Vec<String>, BootError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let ids = expire(&tx, now_ms)?;
        tx.commit()?;
        handover::scrub(&db)?;
        Ok(ids)
    }

    /// What became of a grant, as of now.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn status(&self, id: &str, now_ms: i64) -> Result<Option<GrantStatus>, BootError> {
        status(&self.db(), id, now_ms)
    }

    /// The open grant of a node under a plan, if there is one.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn find_open(&self, plan: &PlanId, node: &NodeId, now_ms: i64) -> Result<Option<GrantStatus>, BootError> {
        let db = self.db();
        let sql = "SELECT id FROM boot_grant WHERE plan = ?1 AND node = ?2 AND closed IS NULL AND expires_ms > ?3";
        let id: Option<String> = db.query_row(sql, params![plan.as_str(), node.as_str(), now_ms], |r| r.get(0)).optional()?;
        id.map_or(Ok(None), |id| status(&db, &id, now_ms))
    }

    /// The newest grant of a node under a plan, open or closed.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn find_newest(&self, plan: &PlanId, node: &NodeId, now_ms: i64) -> Result<Option<GrantStatus>, BootError> {
        let db = self.db();
        let sql = "SELECT id FROM boot_grant WHERE plan = ?1 AND node = ?2 ORDER BY rowid DESC LIMIT 1";
        let id: Option<String> = db.query_row(sql, params![plan.as_str(), node.as_str()], |r| r.get(0)).optional()?;
        id.map_or(Ok(None), |id| status(&db, &id, now_ms))
    }

    /// What happened after line `seq`, oldest first, at most 1,000 lines.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn events_since(&self, seq: i64) -> Result<Vec<Noted>, BootError> {
        let db = self.db();
        let sql = "SELECT seq, at_ms, grant_id, node, stage, peer, detail FROM noted WHERE seq > ?1 ORDER BY seq LIMIT 1000";
        let mut found = db.prepare(sql)?;
        let lines = found.query_map([seq], noted)?.collect::<Result<_, _>>()?;
        Ok(lines)
    }
}

/// Identities lie in it. SQLite gives its log the mode of the file; one that an older build left behind is set too.
fn private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::metadata(&name) {
            Ok(about) if about.permissions().mode() & 0o077 != 0 => {
                std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o600))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn noted(row: &Row<'_>) -> rusqlite::Result<Noted> {
    let (node, stage, from): (Option<String>, String, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(Noted {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        grant: row.get(2)?,
        node: node.and_then(|n| NodeId::new(n).ok()),
        // A stage that a newer build wrote is shown as a refusal's detail would be; none exists in format 1.
        stage: Stage::from_word(&stage).unwrap_or(Stage::Refused),
        from: from.and_then(|f| f.parse().ok()),
        detail: row.get(6)?,
    })
}

fn status(db: &Connection, id: &str, now_ms: i64) -> Result<Option<GrantStatus>, BootError> {
    let sql = "SELECT spec, closed, refused, expires_ms FROM boot_grant WHERE id = ?1";
    let found: Option<(String, Option<String>, u32, i64)> =
        db.query_row(sql, [id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).optional()?;
    let Some((spec, closed, refused, expires_ms)) = found else { return Ok(None) };
    let state = match closed.as_deref() {
        None if expires_ms <= now_ms => GrantState::Expired,
        None => GrantState::Open,
        Some("released") => GrantState::Released,
        Some("expired") => GrantState::Expired,
        Some(_) => GrantState::Revoked,
    };
    let mut rows = db.prepare("SELECT stage, min(at_ms) FROM noted WHERE grant_id = ?1 GROUP BY stage")?;
    let pairs: Vec<(String, i64)> = rows.query_map([id], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let stages: BTreeMap<Stage, i64> =
        pairs.into_iter().filter_map(|(word, at)| Stage::from_word(&word).map(|stage| (stage, at))).collect();
    let identity = handover::note(db, id)?;
    Ok(Some(GrantStatus { spec: serde_json::from_str(&spec)?, state, stages, refused, identity }))
}

/// Closes what has run out.
pub(super) fn expire(tx: &Connection, now_ms: i64) -> rusqlite::Result<Vec<String>> {
    let ids: Vec<String> = tx
        .prepare_cached("SELECT id FROM boot_grant WHERE closed IS NULL AND expires_ms <= ?1")?
        .query_map([now_ms], |r| r.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        close(tx, id, Stage::Expired, "", now_ms)?;
    }
    Ok(ids)
}

fn close(tx: &Connection, id: &str, how: Stage, why: &str, now_ms: i64) -> rusqlite::Result<bool> {
    let changed = tx.execute("UPDATE boot_grant SET closed = ?2 WHERE id = ?1 AND closed IS NULL", params![id, how.word()])?;
    if changed == 0 {
        return Ok(false);
    }
    handover::drop_secret(tx, id)?;
    // Its tokens are kept: a later use of one is recorded against the grant that it belonged to.
    let node: String = tx.query_row("SELECT node FROM boot_grant WHERE id = ?1", [id], |r| r.get(0))?;
    let node = NodeId::new(node).ok();
    Line { grant: Some(id), node: node.as_ref(), stage: how, from: None, detail: why }.write(tx, now_ms)?;
    Ok(true)
}

/// A line for `noted`.
pub(super) struct Line<'a> {
    pub(super) grant: Option<&'a str>,
    pub(super) node: Option<&'a NodeId>,
    pub(super) stage: Stage,
    pub(super) from: Option<IpAddr>,
    pub(super) detail: &'a str,
}

impl Line<'_> {
    pub(super) fn write(&self, tx: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        let detail = shown(self.detail);
        tx.prepare_cached("INSERT INTO noted (at_ms, grant_id, node, stage, peer, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                now_ms,
                self.grant,
                self.node.map(NodeId::as_str),
                self.stage.word(),
                self.from.map(|ip| ip.to_string()),
                detail
            ])?;
        Ok(())
    }
}

/// Fit for a terminal: quotes stay, everything that does not print is escaped.
pub(super) fn shown(text: &str) -> String {
    let fit = |c: char| if matches!(c, '\'' | '"') { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().take(300).map(fit).collect()
}
