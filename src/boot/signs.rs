//! What the boot server saw of one node while its grant was there, in the order of time: DHCP, TFTP, HTTP, and every refusal with its reason. It is
//! what a person reads who asks why a node fell silent. It reads only.

use std::net::IpAddr;

use rusqlite::params;
use serde::Serialize;

use super::grant::Stage;
use super::sightings::Sighting;
use super::store::{BootError, Store};
use crate::model::Mac;

/// Most lines that are read of each source.
const MOST: i64 = 200;

/// Whose signs are wanted.
#[derive(Debug, Clone)]
pub struct SignsOf {
    /// Public name of the grant.
    pub grant: String,
    /// Interface that boots: DHCP knows nodes by it.
    pub mac: Mac,
    /// Address of the node: TFTP knows nodes by it. A router that rewrites addresses makes it another's.
    pub address: IpAddr,
    /// Nothing older, in milliseconds since 1970 (UTC).
    pub since_ms: i64,
}

/// What a sign is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignKind {
    /// DHCP answered it.
    Address,
    /// It asked by DHCP and was not answered.
    AddressRefused,
    /// It fetched a loader.
    Loader,
    /// It began to fetch a loader, or only asked how long it is.
    LoaderPart,
    /// It came to this stage under its grant.
    Reached(Stage),
    /// What it asked for by HTTP was refused.
    Refused,
}

/// One sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sign {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// What of.
    pub kind: SignKind,
    /// The line for people, escaped.
    pub text: String,
}

impl Store {
    /// The signs of one node, the oldest first.
    pub(super) fn signs(&self, of: &SignsOf) -> Result<Vec<Sign>, BootError> {
        let db = self.db();
        let mut signs = Vec::new();
        let address = of.address.to_canonical().to_string();
        let mut by_dhcp = db.prepare_cached(
            "SELECT kind, detail, last_ms FROM dhcp_sighting WHERE kind IN ('given', 'refused') AND key >= ?1 AND key < ?2 \
             AND last_ms >= ?3 ORDER BY last_ms DESC LIMIT ?4",
        )?;
        let mac = of.mac.to_string();
        // A space follows the address in the key, and `!` is the character after it.
        let rows = by_dhcp.query_map(params![format!("{mac} "), format!("{mac}!"), of.since_ms, MOST], |row| {
            let kind: String = row.get(0)?;
            let kind = if kind == "given" { SignKind::Address } else { SignKind::AddressRefused };
            Ok(Sign { at_ms: row.get(2)?, kind, text: row.get(1)? })
        })?;
        for sign in rows {
            signs.push(sign?);
        }
        let mut by_address = db.prepare_cached(
            "SELECT kind, detail, last_ms FROM dhcp_sighting WHERE kind IN ('tftp', 'tftp-part', 'loader') AND key >= ?1 AND key < ?2 \
             AND last_ms >= ?3 ORDER BY last_ms DESC LIMIT ?4",
        )?;
        let rows = by_address.query_map(params![format!("{address} "), format!("{address}!"), of.since_ms, MOST], |row| {
            let kind: String = row.get(0)?;
            let kind = if kind == "tftp-part" { SignKind::LoaderPart } else { SignKind::Loader };
            Ok(Sign { at_ms: row.get(2)?, kind, text: row.get(1)? })
        })?;
        for sign in rows {
            signs.push(sign?);
        }
        // Its own grant's lines, and what was refused to its address without any grant: an address that nobody granted, a used-up token.
        let mut noted = db.prepare_cached(
            "SELECT at_ms, stage, peer, detail FROM noted WHERE (grant_id = ?1 OR (grant_id IS NULL AND peer = ?2)) AND at_ms >= ?3 \
             AND stage <> 'issued' ORDER BY seq DESC LIMIT ?4",
        )?;
        let rows = noted.query_map(params![of.grant, address, of.since_ms, MOST], |row| {
            let (at_ms, stage): (i64, String) = (row.get(0)?, row.get(1)?);
            let (peer, detail): (Option<String>, String) = (row.get(2)?, row.get(3)?);
            Ok((at_ms, Stage::from_word(&stage), peer, detail))
        })?;
        for row in rows {
            let (at_ms, stage, peer, detail) = row?;
            // A stage that a newer build wrote.
            let Some(stage) = stage else { continue };
            let from = peer.filter(|peer| *peer != address).map(|peer| format!(" from {peer}")).unwrap_or_default();
            let (kind, text) = match stage {
                Stage::Refused => (SignKind::Refused, format!("http refused: {detail}{from}")),
                Stage::Userspace | Stage::Network | Stage::Ssh | Stage::Installed => {
                    (SignKind::Reached(stage), format!("told: {stage}{from}"))
                }
                stage if stage.is_progress() => (SignKind::Reached(stage), format!("http {stage}{from}")),
                _ if detail.is_empty() => (SignKind::Reached(stage), format!("grant {stage}")),
                _ => (SignKind::Reached(stage), format!("grant {stage}: {detail}")),
            };
            signs.push(Sign { at_ms, kind, text });
        }
        signs.sort_by_key(|sign| sign.at_ms);
        let first = signs.len().saturating_sub(usize::try_from(MOST).unwrap_or(usize::MAX));
        signs.drain(..first);
        Ok(signs)
    }

    /// Notes a loader that was fetched by HTTP without a grant: only its address says who it was. It is no part of the answer: trouble of the
    /// store does not keep a node from its loader.
    pub(super) fn saw_loader(&self, from: IpAddr, file: &'static str, now_ms: i64) {
        let sighting = Sighting {
            kind: "loader".to_owned(),
            key: format!("{from} {file}"),
            detail: format!("http loader {file}"),
            discovery: None,
            first_ms: now_ms,
            last_ms: now_ms,
            times: 1,
        };
        drop(self.saw(std::slice::from_ref(&sighting)));
    }
}
