//! What the DHCP server saw, on disk beside the grants: machines that nobody wrote down, other servers, refusals. Bounded; the oldest go.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::dhcp::Discovery;
use super::store::{BootError, Store};

/// Made with the other tables; a build without DHCP does not look at it.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS dhcp_sighting (
    kind TEXT NOT NULL, key TEXT NOT NULL, detail TEXT NOT NULL, discovery TEXT, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL, PRIMARY KEY (kind, key)
) STRICT;
";

/// Most rows of one kind.
const MOST: i64 = 4096;
/// The ordinary course of things: answers of DHCP, transfers of TFTP (whole, or not), loaders by HTTP.
pub(super) const COURSE: [&str; 4] = ["given", "tftp", "tftp-part", "loader"];
/// Most rows of that: 1,250 nodes leave up to six DHCP answers and two transfers each.
const MOST_COURSE: i64 = 16_384;

/// One thing that was seen, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// `discovered`, `refused`, `foreign`, `malformed` or `trouble`; what a boot did in its course is kept beside them, for whoever looks for one node.
    pub kind: String,
    /// What equal ones have in common: for a discovery the MAC.
    pub key: String,
    /// The line for people, of the first time.
    pub detail: String,
    /// The machine, of a discovery.
    pub discovery: Option<Discovery>,
    /// First time, in milliseconds since 1970 (UTC).
    pub first_ms: i64,
    /// Last time.
    pub last_ms: i64,
    /// How often.
    pub times: u64,
}

impl Store {
    /// Adds to what was seen: all in one write to the disk.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn saw(&self, news: &[Sighting]) -> Result<(), BootError> {
        let news = news.to_vec();
        self.together(move |tx| add(tx, &news))
    }

    /// Everything that was seen and is not the ordinary course of things, the latest first.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn sightings(&self) -> Result<Vec<Sighting>, BootError> {
        let db = self.db();
        let sql = "SELECT kind, key, detail, discovery, first_ms, last_ms, times FROM dhcp_sighting \
                   WHERE kind NOT IN ('given', 'tftp', 'tftp-part', 'loader') ORDER BY last_ms DESC, kind, key";
        let mut found = db.prepare(sql)?;
        let rows = found.query_map([], read)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

fn add(tx: &Connection, news: &[Sighting]) -> Result<(), BootError> {
    let mut add = tx.prepare_cached(
        "INSERT INTO dhcp_sighting (kind, key, detail, discovery, first_ms, last_ms, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (kind, key) DO UPDATE SET last_ms = max(last_ms, excluded.last_ms), times = times + excluded.times, \
         discovery = coalesce(excluded.discovery, discovery)",
    )?;
    for one in news {
        let discovery = one.discovery.as_ref().map(serde_json::to_string).transpose()?;
        let times = i64::try_from(one.times).unwrap_or(i64::MAX);
        add.execute(params![one.kind, one.key, one.detail, discovery, one.first_ms, one.last_ms, times])?;
    }
    let kinds: std::collections::BTreeSet<&str> = news.iter().map(|one| one.kind.as_str()).collect();
    for kind in kinds {
        let most = if COURSE.contains(&kind) { MOST_COURSE } else { MOST };
        let rows: i64 =
            tx.prepare_cached("SELECT count(*) FROM dhcp_sighting WHERE kind = ?1")?.query_row([kind], |row| row.get(0))?;
        if rows > most {
            tx.execute(
                "DELETE FROM dhcp_sighting WHERE kind = ?1 AND key NOT IN \
                 (SELECT key FROM dhcp_sighting WHERE kind = ?1 ORDER BY last_ms DESC, key LIMIT ?2)",
                params![kind, most],
            )?;
        }
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Sighting> {
    let (discovery, times): (Option<String>, i64) = (row.get(3)?, row.get(6)?);
    Ok(Sighting {
        kind: row.get(0)?,
        key: row.get(1)?,
        detail: row.get(2)?,
        // What a newer build wrote in another form is still a line.
        discovery: discovery.and_then(|text| serde_json::from_str(&text).ok()),
        first_ms: row.get(4)?,
        last_ms: row.get(5)?,
        times: u64::try_from(times).unwrap_or_default(),
    })
}
