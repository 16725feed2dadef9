//! The identities in the store: kept until they are handed out, once, over TLS, to the machine that fetched its kernel; then, or when the
//! grant ends, the secret is wiped: out of the table, its page overwritten, and the write-ahead log emptied.

use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fetch::{Refusal, grant_of, held, unknown_token};
use super::grant::{GrantSpec, Stage, Token};
use super::identity::{BootKey, Identity, IdentityNote};
use super::route::Claims;
use super::store::{BootError, Line, Store};
use crate::model::NodeId;

/// Made with the other tables; a build that knows no identities does not look at it. A secret of no bytes is one that is to be wiped from the
/// log still.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS boot_identity (
    grant_id TEXT PRIMARY KEY, host_key TEXT NOT NULL, let_in TEXT NOT NULL, address TEXT, secret BLOB, given_ms INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS boot_identity_secret ON boot_identity (grant_id) WHERE secret IS NOT NULL;
";

/// An identity may be handed out.
pub(super) struct Handed {
    pub(super) spec: GrantSpec,
    pub(super) answer: String,
}

/// Keeps the identity of a grant that is being issued.
pub(super) fn keep(tx: &Connection, grant: &str, identity: &Identity) -> Result<(), BootError> {
    let note = &identity.note;
    tx.execute(
        "INSERT INTO boot_identity (grant_id, host_key, let_in, address, secret) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            grant,
            note.host_key,
            serde_json::to_string(&note.let_in)?,
            note.address.map(|ip| ip.to_string()),
            identity.answer.as_bytes()
        ],
    )?;
    Ok(())
}

/// Takes the secret of a grant that ends away.
pub(super) fn drop_secret(tx: &Connection, grant: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE boot_identity SET secret = x'' WHERE grant_id = ?1 AND secret IS NOT NULL")?.execute([grant])?;
    Ok(())
}

/// Empties the log of what was taken away; a reader that stands in the way leaves it for the next time.
pub(super) fn scrub(db: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT 1 FROM boot_identity WHERE secret IS NOT NULL AND length(secret) = 0 LIMIT 1";
    if db.prepare_cached(sql)?.query_row([], |_| Ok(())).optional()?.is_none() {
        return Ok(());
    }
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
    if busy == 0 {
        db.execute("UPDATE boot_identity SET secret = NULL WHERE secret IS NOT NULL AND length(secret) = 0", [])?;
    }
    Ok(())
}

/// What may be known of a grant's identity.
pub(super) fn note(db: &Connection, grant: &str) -> Result<Option<IdentityNote>, BootError> {
    let sql = "SELECT host_key, let_in, address, given_ms FROM boot_identity WHERE grant_id = ?1";
    let row: Option<(String, String, Option<String>, Option<i64>)> =
        db.prepare_cached(sql)?.query_row([grant], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).optional()?;
    let Some((host_key, let_in, address, given_ms)) = row else { return Ok(None) };
    let address = address.and_then(|text| text.parse().ok());
    Ok(Some(IdentityNote { host_key, let_in: serde_json::from_str(&let_in)?, address, given_ms }))
}

/// The grant brings an identity.
pub(super) fn wanted(tx: &Connection, grant: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM boot_identity WHERE grant_id = ?1";
    Ok(tx.prepare_cached(sql)?.query_row([grant], |_| Ok(())).optional()?.is_some())
}

impl Store {
    /// The identity, once, under the token that the script names.
    pub(super) fn identity(
        &self,
        token: &Token,
        claims: &Claims,
        secure: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<Handed, Refusal>, BootError> {
        let (token, claims) = (token.clone(), claims.clone());
        let answer = self.ask(from, now_ms, move |tx| {
            let Some(held) = grant_of(tx, &token, "files")?.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(Some(unknown_token())));
            };
            let id = held.spec.id.clone();
            let sql = "SELECT secret, given_ms, address, host_key FROM boot_identity WHERE grant_id = ?1";
            type Kept = (Option<Vec<u8>>, Option<i64>, Option<String>, String);
            let kept: Option<Kept> =
                tx.prepare_cached(sql)?.query_row([&id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).optional()?;
            let no = |status, why| Ok(Err(Some(held.refusal(status, why))));
            let Some((secret, given, address, host_key)) = kept else { return no(404, "the grant brings no identity") };
            if !secure {
                return no(403, "the identity is handed out over HTTPS only");
            }
            if let Some(refusal) = held.over().or_else(|| held.foreign(&claims)) {
                return Ok(Err(Some(refusal)));
            }
            if given.is_some() {
                return no(410, "the identity was handed out already");
            }
            if address.is_some_and(|want| want != from.to_string()) {
                return no(403, "the identity was asked for from another address than the node's");
            }
            let seen = |stage: Stage| {
                tx.prepare_cached("SELECT 1 FROM noted WHERE grant_id = ?1 AND stage = ?2 LIMIT 1")?
                    .query_row(params![id, stage.word()], |_| Ok(()))
                    .optional()
            };
            // A node that boots from a medium fetches neither; its BMC did, before.
            let booted = seen(Stage::Medium)?.is_some()
                || seen(Stage::Kernel)?.is_some() && (held.spec.initrd.is_empty() || seen(Stage::Initrd)?.is_some());
            if !booted {
                return no(409, "the identity was asked for before kernel and initrd were fetched");
            }
            let answer = secret.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty());
            let Some(answer) = answer else { return no(410, "the identity is gone") };
            tx.execute("UPDATE boot_identity SET given_ms = ?2 WHERE grant_id = ?1", params![id, now_ms])?;
            drop_secret(tx, &id)?;
            let detail = format!("host key {host_key}");
            let (grant, node) = (Some(id.as_str()), Some(&held.spec.node));
            Line { grant, node, stage: Stage::Identity, from: Some(from), detail: &detail }.write(tx, now_ms)?;
            Ok(Ok(Handed { spec: held.spec, answer }))
        })?;
        Ok(answer.map_err(|refusal| refusal.unwrap_or_else(unknown_token)))
    }

    /// The host key of the system that a node's newest boot started.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn boot_key(&self, node: &NodeId) -> Result<BootKey, BootError> {
        let sql = "SELECT i.host_key, i.given_ms FROM boot_grant g LEFT JOIN boot_identity i ON i.grant_id = g.id \
                   WHERE g.node = ?1 AND g.script_to IS NOT NULL ORDER BY g.rowid DESC LIMIT 1";
        let row: Option<(Option<String>, Option<i64>)> =
            self.db().prepare_cached(sql)?.query_row([node.as_str()], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        Ok(match row {
            Some((Some(key), Some(_))) => BootKey::Given(key),
            Some((Some(_), None)) => BootKey::Awaited,
            Some((None, _)) | None => BootKey::Elsewhere,
        })
    }
}
