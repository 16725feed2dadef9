//! What the server asks of the grants: may this be had, once, by this machine? The answer and its record are one transaction.

use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::grant::{GrantSpec, Stage, Token};
use super::handover;
use super::route::{Claims, Which};
use super::store::{BootError, Line, Store, expire};
use crate::model::{Artifact, Mac, NodeId, uuid_key};

/// How often a ROM that fetched the script and then nothing may fetch it, the first time included.
const SCRIPTS: i64 = 3;
/// Refusals of one grant that are recorded one by one; after that they are only counted.
const RECORDED: i64 = 50;
/// Refusals without a grant that are kept; older ones make room.
const STRAY: i64 = 1000;
/// Refusals without a grant that are recorded in any one second: a scanner must not turn into disk writes.
const STRAY_PER_SECOND: i64 = 20;

/// Why a grant with an identity is not served.
const NO_HTTPS: &str = "the grant brings an identity, and this boot server has no HTTPS to hand it out";

/// Why something is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// 403 for the wrong machine, 404 for what never was, 410 for what is over.
    pub(super) status: u16,
    /// For the log and the answer; holds nothing that was sent.
    pub(super) why: &'static str,
    pub(super) grant: Option<String>,
    pub(super) node: Option<NodeId>,
}

/// How a script was asked for.
#[derive(Clone)]
pub(super) enum By {
    Token(Token),
    Mac(Mac),
}

/// A script may be handed out.
pub(super) struct Script {
    pub(super) spec: GrantSpec,
    /// Opens the files.
    pub(super) files: Token,
    /// The node may fetch an identity.
    pub(super) identity: bool,
}

/// A file may be handed out.
pub(super) struct Given {
    pub(super) grant: String,
    pub(super) node: NodeId,
    pub(super) artifact: Artifact,
}

pub(super) struct Held {
    pub(super) spec: GrantSpec,
    closed: Option<String>,
    scripts: i64,
    script_to: Option<String>,
    pub(super) fetched: bool,
}

impl Held {
    pub(super) fn refusal(&self, status: u16, why: &'static str) -> Refusal {
        Refusal { status, why, grant: Some(self.spec.id.clone()), node: Some(self.spec.node.clone()) }
    }

    pub(super) fn over(&self) -> Option<Refusal> {
        self.closed.as_deref().map(|how| {
            self.refusal(
                410,
                match how {
                    "released" => "the grant was released",
                    "expired" => "the grant has expired",
                    _ => "the grant was revoked",
                },
            )
        })
    }

    /// A claim that contradicts the grant.
    pub(super) fn foreign(&self, claims: &Claims) -> Option<Refusal> {
        let differs = |want: Option<&str>, said: Option<&str>| matches!((want, said), (Some(want), Some(said)) if !want.trim().eq_ignore_ascii_case(said));
        let spec = &self.spec;
        let why = if matches!((spec.mac, claims.mac), (Some(want), Some(said)) if want != said) {
            "another MAC than the grant's"
        } else if matches!((&spec.uuid, &claims.uuid), (Some(want), Some(said)) if uuid_key(want.trim()) != uuid_key(said)) {
            "another UUID than the grant's"
        } else if differs(spec.serial.as_deref(), claims.serial.as_deref()) {
            "another serial than the grant's"
        } else {
            return None;
        };
        Some(self.refusal(403, why))
    }
}

impl Store {
    /// The script. A look (`HEAD`) uses nothing up. `Ok(Err(None))`: there is nothing for this MAC, which is no misdeed. Without a way to
    /// fetch an identity (`https`) a node that needs one is not sent on its way.
    pub(super) fn script(
        &self,
        by: &By,
        claims: &Claims,
        look: bool,
        https: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<Script, Option<Refusal>>, BootError> {
        let (by, claims) = (by.clone(), claims.clone());
        self.ask(from, now_ms, move |tx| {
            let id = match &by {
                By::Token(token) => grant_of(tx, token, "script")?,
                By::Mac(mac) => tx
                    .prepare_cached("SELECT id FROM boot_grant WHERE mac = ?1 AND closed IS NULL")?
                    .query_row([mac.to_string()], |r| r.get(0))
                    .optional()?,
            };
            let Some(held) = id.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(match by {
                    By::Token(_) => Some(unknown_token()),
                    By::Mac(_) => None,
                }));
            };
            if let Some(refusal) = held.over().or_else(|| held.foreign(&claims)) {
                return Ok(Err(Some(refusal)));
            }
            // A ROM that got the script and then nothing tries again; anybody else is a replay.
            let retry = !held.fetched && held.script_to == Some(from.to_string()) && held.scripts < SCRIPTS;
            if held.scripts > 0 && !retry {
                return Ok(Err(Some(held.refusal(410, "the script was fetched already"))));
            }
            let identity = handover::wanted(tx, &held.spec.id)?;
            if identity && !https {
                return Ok(Err(Some(held.refusal(503, NO_HTTPS))));
            }
            let files = Token::fresh();
            if !look {
                let id = &held.spec.id;
                tx.prepare_cached("UPDATE boot_grant SET scripts = scripts + 1, script_to = ?2 WHERE id = ?1")?
                    .execute(params![id, from.to_string()])?;
                // A retry gets files of its own; those of the script before it are shut.
                tx.prepare_cached("DELETE FROM token WHERE grant_id = ?1 AND opens = 'files'")?.execute([id])?;
                tx.prepare_cached("INSERT INTO token (hash, grant_id, opens) VALUES (?1, ?2, 'files')")?
                    .execute(params![files.hash(), id])?;
                note(tx, &held.spec, Stage::Script, from, now_ms)?;
            }
            Ok(Ok(Script { spec: held.spec, files, identity }))
        })
    }

    /// The loader: for an open grant, as often as the firmware likes.
    pub(super) fn loader(
        &self,
        token: &Token,
        look: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<GrantSpec, Refusal>, BootError> {
        let token = token.clone();
        let answer = self.ask(from, now_ms, move |tx| {
            let Some(held) = grant_of(tx, &token, "script")?.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(Some(unknown_token())));
            };
            if let Some(refusal) = held.over() {
                return Ok(Err(Some(refusal)));
            }
            if !look {
                note_first(tx, &held.spec, Stage::Loader, from, now_ms)?;
            }
            Ok(Ok(held.spec))
        })?;
        Ok(answer.map_err(|refusal| refusal.unwrap_or_else(unknown_token)))
    }

    /// The medium, to whoever asked for it first and for as long as the grant is open: a BMC reads a medium in many pieces, and again while
    /// the node boots. Gives the token under which the node may fetch what is not on the medium.
    pub(super) fn medium(
        &self,
        token: &Token,
        look: bool,
        https: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<Script, Refusal>, BootError> {
        let token = token.clone();
        let answer = self.ask(from, now_ms, move |tx| {
            let Some(held) = grant_of(tx, &token, "medium")?.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(Some(unknown_token())));
            };
            if let Some(refusal) = held.over() {
                return Ok(Err(Some(refusal)));
            }
            if held.script_to.as_ref().is_some_and(|first| *first != from.to_string()) {
                return Ok(Err(Some(held.refusal(403, "another machine fetched the medium first"))));
            }
            let identity = handover::wanted(tx, &held.spec.id)?;
            if identity && !https {
                return Ok(Err(Some(held.refusal(503, NO_HTTPS))));
            }
            let files = token.derived("files");
            if !look && held.script_to.is_none() {
                let id = &held.spec.id;
                tx.execute("UPDATE boot_grant SET script_to = ?2 WHERE id = ?1", params![id, from.to_string()])?;
                tx.execute("INSERT INTO token (hash, grant_id, opens) VALUES (?1, ?2, 'files')", params![files.hash(), id])?;
                note(tx, &held.spec, Stage::Medium, from, now_ms)?;
            }
            Ok(Ok(Script { spec: held.spec, files, identity }))
        })?;
        Ok(answer.map_err(|refusal| refusal.unwrap_or_else(unknown_token)))
    }

    /// One of the files, under the token that the script names.
    pub(super) fn file(
        &self,
        token: &Token,
        which: Which,
        look: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<Given, Refusal>, BootError> {
        let token = token.clone();
        let answer = self.ask(from, now_ms, move |tx| {
            let Some(held) = grant_of(tx, &token, "files")?.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(Some(unknown_token())));
            };
            if let Some(refusal) = held.over() {
                return Ok(Err(Some(refusal)));
            }
            let artifact = match which {
                Which::Kernel => Some(&held.spec.kernel),
                Which::Initrd(n) => held.spec.initrd.get(n),
                Which::Root => held.spec.root.as_ref(),
            };
            let Some(artifact) = artifact.cloned() else {
                return Ok(Err(Some(held.refusal(404, "the image has no such file"))));
            };
            if !look {
                if !held.fetched {
                    tx.prepare_cached("UPDATE boot_grant SET fetched = 1 WHERE id = ?1")?.execute([&held.spec.id])?;
                }
                note_first(tx, &held.spec, which.stage(), from, now_ms)?;
            }
            Ok(Ok(Given { grant: held.spec.id, node: held.spec.node, artifact }))
        })?;
        Ok(answer.map_err(|refusal| refusal.unwrap_or_else(unknown_token)))
    }

    /// Something that the node does with the token of its files, while its grant is open.
    pub(super) fn under_grant<T: Send + 'static>(
        &self,
        token: &Token,
        from: IpAddr,
        now_ms: i64,
        deed: impl FnOnce(&Connection, &GrantSpec) -> Result<T, BootError> + Send + 'static,
    ) -> Result<Result<T, Refusal>, BootError> {
        let token = token.clone();
        let answer = self.ask(from, now_ms, move |tx| {
            let Some(held) = grant_of(tx, &token, "files")?.map_or(Ok(None), |id| held(tx, &id))? else {
                return Ok(Err(Some(unknown_token())));
            };
            match held.over() {
                Some(refusal) => Ok(Err(Some(refusal))),
                None => deed(tx, &held.spec).map(Ok),
            }
        })?;
        Ok(answer.map_err(|refusal| refusal.unwrap_or_else(unknown_token)))
    }

    /// Records what was refused outside of a grant's own rules: a file that is not what it should be any more.
    pub(super) fn refuse(&self, refusal: &Refusal, from: IpAddr, now_ms: i64) -> Result<(), BootError> {
        let refusal = refusal.clone();
        self.together(move |tx| Ok(record(tx, &refusal, from, now_ms)?))
    }

    /// One question: expiry first, then the question, then the record of a refusal, all or nothing.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        from: IpAddr,
        now_ms: i64,
        question: impl FnOnce(&Connection) -> Result<Result<T, Option<Refusal>>, BootError> + Send + 'static,
    ) -> Result<Result<T, Option<Refusal>>, BootError> {
        self.together(move |tx| {
            expire(tx, now_ms)?;
            let answer = question(tx)?;
            if let Err(Some(refusal)) = &answer {
                record(tx, refusal, from, now_ms)?;
            }
            Ok(answer)
        })
    }
}

pub(super) fn unknown_token() -> Refusal {
    Refusal { status: 404, why: "no such grant", grant: None, node: None }
}

pub(super) fn grant_of(tx: &Connection, token: &Token, opens: &str) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT grant_id FROM token WHERE hash = ?1 AND opens = ?2")?
        .query_row(params![token.hash(), opens], |r| r.get(0))
        .optional()
}

pub(super) fn held(tx: &Connection, id: &str) -> Result<Option<Held>, BootError> {
    let mut query = tx.prepare_cached("SELECT spec, closed, scripts, script_to, fetched FROM boot_grant WHERE id = ?1")?;
    let mut rows = query.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let spec: String = row.get(0)?;
    Ok(Some(Held {
        spec: serde_json::from_str(&spec)?,
        closed: row.get(1)?,
        scripts: row.get(2)?,
        script_to: row.get(3)?,
        fetched: row.get(4)?,
    }))
}

fn note(tx: &Connection, spec: &GrantSpec, stage: Stage, from: IpAddr, now_ms: i64) -> rusqlite::Result<()> {
    Line { grant: Some(&spec.id), node: Some(&spec.node), stage, from: Some(from), detail: "" }.write(tx, now_ms)
}

/// Ranges and retries make many requests of one file; its first is what counts. True when this was it.
pub(super) fn note_first(tx: &Connection, spec: &GrantSpec, stage: Stage, from: IpAddr, now_ms: i64) -> rusqlite::Result<bool> {
    let before = tx
        .prepare_cached("SELECT 1 FROM noted WHERE grant_id = ?1 AND stage = ?2 LIMIT 1")?
        .query_row(params![spec.id, stage.word()], |_| Ok(()))
        .optional()?;
    if before.is_none() {
        note(tx, spec, stage, from, now_ms)?;
    }
    Ok(before.is_none())
}

fn record(tx: &Connection, refusal: &Refusal, from: IpAddr, now_ms: i64) -> rusqlite::Result<()> {
    if let Some(id) = &refusal.grant {
        tx.execute("UPDATE boot_grant SET refused = refused + 1 WHERE id = ?1", [id])?;
        let refused: i64 = tx.query_row("SELECT refused FROM boot_grant WHERE id = ?1", [id], |r| r.get(0))?;
        if refused > RECORDED {
            return Ok(());
        }
    } else {
        let sql = "SELECT count(*) FROM noted WHERE grant_id IS NULL AND at_ms > ?1";
        let recent: i64 = tx.prepare_cached(sql)?.query_row([now_ms - 1000], |r| r.get(0))?;
        if recent >= STRAY_PER_SECOND {
            return Ok(());
        }
        let newest: Option<i64> = tx.query_row("SELECT max(seq) FROM noted", [], |r| r.get(0))?;
        let oldest_kept = newest.unwrap_or_default() - STRAY;
        tx.prepare_cached("DELETE FROM noted WHERE grant_id IS NULL AND seq < ?1")?.execute([oldest_kept])?;
    }
    let line = Line {
        grant: refusal.grant.as_deref(),
        node: refusal.node.as_ref(),
        stage: Stage::Refused,
        from: Some(from),
        detail: refusal.why,
    };
    line.write(tx, now_ms)
}
