//! `bmc cert`: what each BMC shows to whoever connects, held against what is recorded, and what it says of it itself. It is asked for more only where its
//! certificate is accepted: no credential goes to anybody else.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Args, cell, tell_recorded};
use crate::bmc::BmcTrouble::{Malformed, PasswordChange, Refused, Unsupported};
use crate::bmc::keeping::{BmcCertificate, ShownCertificate};
use crate::bmc::{BmcError, WholeBmc};
use crate::cli::bmc::heard::{Heard, hear_of};
use crate::cli::failure::Result;
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::{record, site};
use crate::journal::{Journal, Touched};
use crate::model::{BmcTrust, Digest, EvidenceNote, Node, NodeId, Reading, Touch};

/// What is known of one BMC's certificate.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    /// What it showed just now; absent without TLS.
    shown: Reading<ShownCertificate>,
    /// What the inventory trusts.
    recorded: BmcTrust,
    /// What it says of it itself, where what it showed is accepted.
    told: Option<Reading<BmcCertificate>>,
}

impl Answer {
    /// What it showed, where that is not accepted.
    fn strange(&self) -> Option<&ShownCertificate> {
        self.shown.known().filter(|shown| !shown.accepted)
    }

    /// True when the BMC says that it has another one than it shows: one that waits for its restart, as a rule.
    fn waits(&self) -> bool {
        let told = self.told.as_ref().and_then(Reading::known).and_then(|told| told.sha256.known());
        matches!((self.shown.known(), told), (Some(shown), Some(told)) if shown.sha256 != *told)
    }
}

async fn ask(node: Node, bmc: &dyn WholeBmc) -> std::result::Result<Answer, BmcError> {
    let shown = bmc.shown_certificate().await?;
    let told = match shown.known() {
        Some(shown) if shown.accepted => Some(match bmc.own_certificate().await {
            Ok(told) => told,
            // What it shows is known all the same.
            Err(e) if matches!(e.kind, Unsupported | Refused | Malformed | PasswordChange) => Reading::unknown(e.to_string()),
            Err(e) => return Err(e),
        }),
        _ => None,
    };
    Ok(Answer { shown, recorded: node.bmc.trust, told })
}

fn recorded(trust: &BmcTrust) -> String {
    match trust {
        BmcTrust::Pinned(digest) => digest.to_string(),
        BmcTrust::PinnedKey(digest) => format!("spki:{digest}"),
        BmcTrust::Authority { file, name: None } => format!("by authority {file}"),
        BmcTrust::Authority { file, name: Some(name) } => format!("by authority {file}, for {name}"),
        BmcTrust::FirstContact => "nothing".to_owned(),
        BmcTrust::Plaintext => "no TLS".to_owned(),
    }
}

fn recorded_short(trust: &BmcTrust) -> String {
    match trust {
        BmcTrust::Pinned(digest) => digest.short().to_owned(),
        BmcTrust::PinnedKey(digest) => format!("spki:{}", digest.short()),
        BmcTrust::Authority { .. } => "by authority".to_owned(),
        BmcTrust::FirstContact | BmcTrust::Plaintext => recorded(trust),
    }
}

fn word(reading: Option<&Reading<String>>) -> String {
    reading.and_then(Reading::known).cloned().unwrap_or_else(|| "not told".to_owned())
}

/// The end of its validity, with a word when that has passed. Both are RFC 3339 in UTC, which sorts as text.
fn until(shown: &ShownCertificate) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    match shown.until.known() {
        Some(until) if *until < now => format!("{until} (expired)"),
        Some(until) => until.clone(),
        None => "not told".to_owned(),
    }
}

/// One line of a node among many.
fn line(id: &NodeId, answer: &Answer) -> Vec<String> {
    let told = answer.told.as_ref().and_then(Reading::known);
    let trusted = match (&answer.shown, answer.strange(), answer.waits()) {
        (Reading::Known(_), Some(_), _) => "no",
        (Reading::Known(_), None, true) => "yes; another one waits",
        (Reading::Known(_), None, false) => "yes",
        _ => "-",
    };
    let of = |text: fn(&ShownCertificate) -> String| answer.shown.known().map_or_else(|| "-".to_owned(), text);
    vec![
        id.to_string(),
        of(|shown| shown.sha256.short().to_owned()),
        of(|shown| shown.spki.known().map_or("not found", |key| key.short()).to_owned()),
        recorded_short(&answer.recorded),
        trusted.to_owned(),
        of(until),
        match &answer.told {
            Some(Reading::Unknown { why }) => why.clone(),
            _ => word(told.map(|t| &t.subject)),
        },
    ]
}

/// All that is known of one node, a line each.
fn whole(id: &NodeId, answer: &Answer) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let mut add = |what: &str, text: String| lines.push(vec![id.to_string(), what.to_owned(), text]);
    match &answer.shown {
        Reading::Known(shown) => {
            add("sha256", shown.sha256.to_string());
            add("spki", shown.spki.known().map_or_else(|| "not found".to_owned(), |key| format!("spki:{key}")));
            add("valid until", until(shown));
            add("trusted", if shown.accepted { "yes" } else { "no; no credential was sent" }.to_owned());
        }
        Reading::Absent => add("shown", "nothing: it is reached without TLS".to_owned()),
        Reading::Unknown { why } => add("shown", why.clone()),
    }
    add("recorded", recorded(&answer.recorded));
    match &answer.told {
        Some(Reading::Known(told)) => {
            add("subject", word(Some(&told.subject)));
            add("issuer", word(Some(&told.issuer)));
            if answer.waits() {
                let waits = told.sha256.known().map_or_else(String::new, ToString::to_string);
                add("has", format!("{waits}, which it does not show: some show a new certificate from their next restart on"));
            }
        }
        Some(Reading::Unknown { why }) => add("says of it", format!("nothing: {why}")),
        Some(Reading::Absent) | None => {}
    }
    lines
}

/// Shows them, and with `--record` records those that bringup put there by its own journal.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or the facts or the journal cannot be read or written.
pub async fn run(args: &Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let heard: Heard<Answer> = hear_of(global, args.nodes.as_deref(), &Trust::default(), "certificate", |node, bmc| async move {
        ask(node, bmc.as_ref()).await
    })
    .await?;
    if heard.answers.len() == 1 {
        heard.show(global, &["node", "certificate", "seen"], whole);
    } else {
        let columns = ["node", "shows", "key", "recorded", "trusted", "valid until", "subject"];
        heard.show(global, &columns, |id, answer| vec![line(id, answer)]);
    }
    let put = ours(global)?;
    let new: BTreeMap<&NodeId, &ShownCertificate> = heard
        .well()
        .filter_map(|(id, answer)| Some((id, answer.strange()?)))
        .filter(|(id, shown)| put.get(*id).is_some_and(|put| put.contains(&shown.sha256)))
        .collect();
    let mut kept = BTreeSet::new();
    if args.record {
        let fact = |(id, shown): (&&NodeId, &&ShownCertificate)| {
            let node = loaded.inventory.nodes.get(*id)?;
            Some(((*id).clone(), cell(node, &shown.sha256, shown.spki.known())?))
        };
        let cells: BTreeMap<NodeId, record::Cells> = new.iter().filter_map(fact).collect();
        tell_recorded(global, &record::facts(&global.flags.inventory, loaded.inputs.keys(), &cells)?);
        kept.extend(cells.into_keys());
    } else if !new.is_empty() {
        let names = crate::spec::fold(new.keys().map(|id| id.as_str()));
        global.talk(format!(
            "{names}: by the journal bringup put the certificate there that is shown; --record records it in the facts"
        ));
    }
    let ends = heard.answers.iter().map(|(id, answer)| {
        let told = match answer {
            Ok(answer) if answer.strange().is_none() || kept.contains(id) => Told::well("trusted"),
            Ok(_) => Told { went: Went::Unreached, answer: "certificate not trusted".to_owned(), detail: None },
            Err(told) => told.clone(),
        };
        (id.clone(), told)
    });
    Ok(exit(&ends.collect()))
}

/// The certificates that this program put on BMCs, by the journal; what was certainly not put there does not count.
fn ours(global: &Global) -> Result<BTreeMap<NodeId, Vec<Digest>>> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let all = Journal::touched(&path, |touch| matches!(touch, Touch::ReplaceCertificate { .. }))?;
    let digests = |touched: Vec<Touched>| {
        let put = touched.into_iter().filter(|t| !matches!(t.seen, Some(EvidenceNote::NotApplied(_))));
        put.filter_map(|t| if let Touch::ReplaceCertificate { sha256 } = t.touch { Some(sha256) } else { None }).collect()
    };
    Ok(all.into_iter().map(|(node, touched)| (node, digests(touched))).collect())
}
