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

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::boot::fetch::By;
    use crate::boot::grant::{GrantSpec, new_grant_id};
    use crate::boot::route::Claims;
    use crate::model::{Artifact, Digest, NodeId, PlanId, RunId};

    fn sighting(kind: &str, key: &str, last_ms: i64) -> Sighting {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        Sighting { kind, detail: format!("line of {key}"), key, discovery: None, first_ms: 1, last_ms, times: 1 }
    }

    /// Only its own, only since then, in the order of time, and with the reason of each refusal.
    #[test]
    fn the_signs_of_one_node() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("grants.db")).unwrap();
        std::fs::write(dir.path().join("kernel"), b"k").unwrap();
        let sha256 = Digest::from_bytes(&Sha256::digest(b"k").into());
        let mac: Mac = "52:54:00:aa:00:01".parse().unwrap();
        let spec = GrantSpec {
            id: new_grant_id(),
            node: NodeId::new("a001-s01").unwrap(),
            plan: PlanId::new("plan-1").unwrap(),
            run: RunId::new("run-1").unwrap(),
            mac: Some(mac),
            uuid: None,
            serial: Some("S1".into()),
            image: sha256.clone(),
            kernel: Artifact { path: dir.path().join("kernel"), sha256 },
            initrd: vec![],
            root: None,
            cmdline: vec![],
            expires_at_ms: 1_000_000,
        };
        let id = spec.id.clone();
        store.issue(&spec, None, crate::boot::Opens::Script, 1000).unwrap();
        store
            .saw(&[
                sighting("given", &format!("{mac} dhcp ack"), 2000),
                sighting("given", &format!("{mac} dhcp offer of an earlier boot"), 900),
                sighting("given", "52:54:00:aa:00:02 dhcp ack", 2000),
                sighting("refused", &format!("{mac} its architecture"), 1500),
                sighting("tftp", "10.0.0.1 tftp undionly.kpxe whole", 3000),
                sighting("tftp", "10.0.0.11 tftp undionly.kpxe whole", 3000),
                sighting("tftp-part", "10.0.0.1 tftp undionly.kpxe asked", 2500),
                sighting("discovered", &mac.to_string(), 2600),
            ])
            .unwrap();
        let from: IpAddr = "10.0.0.1".parse().unwrap();
        let other: IpAddr = "10.0.0.9".parse().unwrap();
        store.saw_loader(from, "snponly.efi", 3100);
        let wrong = Claims { serial: Some("S2".into()), ..Claims::default() };
        assert!(store.script(&By::Mac(mac), &wrong, false, false, other, 3500).unwrap().is_err());
        assert!(store.script(&By::Mac(mac), &Claims::default(), false, false, from, 4000).unwrap().is_ok());
        let of = SignsOf { grant: id, mac, address: from, since_ms: 1000 };
        let signs: Vec<(SignKind, String)> = store.signs(&of).unwrap().into_iter().map(|s| (s.kind, s.text)).collect();
        let text = |key: &str| format!("line of {key}");
        assert_eq!(
            signs,
            [
                (SignKind::AddressRefused, text(&format!("{mac} its architecture"))),
                (SignKind::Address, text(&format!("{mac} dhcp ack"))),
                (SignKind::LoaderPart, text("10.0.0.1 tftp undionly.kpxe asked")),
                (SignKind::Loader, text("10.0.0.1 tftp undionly.kpxe whole")),
                (SignKind::Loader, "http loader snponly.efi".into()),
                (SignKind::Refused, "http refused: another serial than the grant's from 10.0.0.9".into()),
                (SignKind::Reached(Stage::Script), "http script".into()),
            ]
        );
        let known: Vec<String> = store.sightings().unwrap().into_iter().map(|s| s.kind).collect();
        assert_eq!(known, ["discovered", "refused"], "the ordinary course of things is nobody's discovery");
    }
}
