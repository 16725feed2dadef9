//! `bmc cert`: the certificate that each BMC shows, and the one that is recorded; signing requests; and the replacement, journaled, proved by a new
//! connection, and recorded in the facts by the same command, so that the next contact is trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::bmc::keeping::{BmcCertificate, Subject, leaf_of};
use crate::bmc::{BmcTrouble, Password, WholeBmc, Written};
use crate::cli::bmc::heard::{Heard, hear};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::{Global, parse_duration};
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::output::escape;
use crate::cli::{deed, record, site};
use crate::journal::Journal;
use crate::model::{BmcTrust, Digest, Node, NodeId, Reading, SecretRef, Touch};

/// Shows or replaces the certificate of a BMC
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc cert rack=a017\n  bringup bmc cert rack=a017 --request 'CN={node}.bmc.example,O=Example,OU=DC1,L=Seoul,ST=Seoul,C=KR' --out csr --yes\n  bringup bmc cert rack=a017 --replace 'chains/{node}.pem' --yes"
)]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Have each BMC make a key and a signing request for this subject: CN, O, OU, L, ST and C, with {node} for the node's name
    #[arg(long, value_name = "SUBJECT", conflicts_with_all = ["replace", "record"], requires = "out")]
    request: Option<String>,
    /// A further name or address in the request, with {node} (repeat for more)
    #[arg(long, value_name = "NAME", requires = "request")]
    alt: Vec<String>,
    /// Folder that the signing requests go to, as NODE.csr.pem
    #[arg(long, value_name = "DIR", requires = "request")]
    out: Option<PathBuf>,
    /// Replace it by this chain (PEM, its own certificate first), with {node}
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replace: Option<String>,
    /// Where the chain's private key is found: `file:PATH`, `env:NAME` or `exec:PROGRAM`, with {node}; without it the key of the last request is meant
    #[arg(long, value_name = "SECRET", requires = "replace")]
    key: Option<String>,
    /// Record in the facts what a BMC shows, where the journal says that bringup put that very certificate there
    #[arg(long)]
    record: bool,
    /// Longest wait for a BMC to show the new one
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    deadline: Duration,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a chain or key cannot be had, nobody agreed, or the facts cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    match (&args.request, &args.replace) {
        (Some(subject), _) => request(&args, subject, global).await,
        (None, Some(chain)) => replace(&args, chain, global).await,
        (None, None) => show(&args, global).await,
    }
}

/// What is known of one BMC's certificate.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    /// What it showed.
    shown: Option<Digest>,
    /// Whether that was accepted; no credential is sent before.
    trusted: bool,
    /// What it says of it.
    told: Option<Reading<BmcCertificate>>,
}

async fn ask(bmc: &dyn WholeBmc) -> std::result::Result<Answer, crate::bmc::BmcError> {
    match bmc.own_certificate().await {
        Ok(told) => Ok(Answer { shown: bmc.certificate(), trusted: true, told: Some(told) }),
        Err(crate::bmc::BmcError { kind: BmcTrouble::Certificate { seen }, .. }) if !seen.is_empty() => {
            Ok(Answer { shown: Digest::new(seen).ok(), trusted: false, told: None })
        }
        Err(e) => Err(e),
    }
}

fn recorded(node: &Node) -> String {
    match &node.bmc.trust {
        BmcTrust::Pinned(digest) => digest.short().to_owned(),
        BmcTrust::PinnedKey(digest) => format!("key {}", digest.short()),
        BmcTrust::Authority { .. } => "by authority".to_owned(),
        BmcTrust::FirstContact => "none".to_owned(),
        BmcTrust::Plaintext => "no TLS".to_owned(),
    }
}

async fn show(args: &Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let heard: Heard<Answer> =
        hear(global, args.nodes.as_deref(), &Trust::default(), "certificate", |bmc| async move { ask(bmc.as_ref()).await })
            .await?;
    heard.show(global, &["node", "shows", "recorded", "subject", "valid until"], |id, answer| {
        let told = answer.told.as_ref().and_then(Reading::known);
        let word = |reading: Option<&Reading<String>>| {
            reading.and_then(Reading::known).map_or_else(|| "not told".to_owned(), |t| escape(t))
        };
        let recorded = loaded.inventory.nodes.get(id).map_or_else(String::new, recorded);
        let shown = answer.shown.as_ref().map_or_else(|| "-".to_owned(), |shown| shown.short().to_owned());
        let trusted = if answer.trusted { "" } else { " (not trusted)" };
        vec![vec![
            id.to_string(),
            format!("{shown}{trusted}"),
            recorded,
            word(told.map(|t| &t.subject)),
            word(told.map(|t| &t.until)),
        ]]
    });
    let put = ours(global)?;
    let strange = |answer: &Answer| if answer.trusted { None } else { answer.shown.clone() };
    let new: BTreeMap<NodeId, Digest> = heard
        .answers
        .iter()
        .filter_map(|(id, answer)| Some((id.clone(), strange(answer.as_ref().ok()?)?)))
        .filter(|(id, shown)| put.get(id).is_some_and(|put| put.contains(shown)))
        .collect();
    let names = crate::spec::fold(new.keys().map(NodeId::as_str));
    if args.record {
        let cells = new
            .iter()
            .filter_map(|(id, shown)| Some((id.clone(), cell(loaded.inventory.nodes.get(id)?, shown, None)?)))
            .collect();
        tell_recorded(global, &record::facts(&global.flags.inventory, loaded.inputs.keys(), &cells)?);
    } else if !new.is_empty() {
        global.talk(format!(
            "{names}: by the journal bringup put the certificate there that is shown; --record records it in the facts"
        ));
    }
    let ends = heard.answers.iter().map(|(id, answer)| {
        let told = match answer {
            Ok(answer) if answer.trusted || (args.record && new.contains_key(id)) => Told::well("trusted"),
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
    let digests = |touched: Vec<crate::journal::Touched>| {
        let put = touched.into_iter().filter(|t| !matches!(t.seen, Some(crate::model::EvidenceNote::NotApplied(_))));
        put.filter_map(|t| if let Touch::ReplaceCertificate { sha256 } = t.touch { Some(sha256) } else { None }).collect()
    };
    Ok(all.into_iter().map(|(node, touched)| (node, digests(touched))).collect())
}

/// What the facts must say for a node whose BMC shows this; `None` where they say nothing of it.
fn cell(node: &Node, leaf: &Digest, key: Option<&Digest>) -> Option<record::Cells> {
    let text = match (&node.bmc.trust, key) {
        (BmcTrust::Pinned(_) | BmcTrust::FirstContact, _) => leaf.to_string(),
        (BmcTrust::PinnedKey(_), Some(key)) => format!("spki:{key}"),
        _ => return None,
    };
    Some(record::Cells::from([(record::CERTIFICATE, text)]))
}

fn tell_recorded(global: &Global, files: &[(PathBuf, usize)]) {
    for (file, count) in files {
        global.talk(format!("recorded {count} certificates in {}", file.display()));
    }
}

fn of_node(text: &str, node: &NodeId) -> String {
    text.replace("{node}", node.as_str())
}

/// Reads `CN=…,O=…,OU=…,L=…,ST=…,C=…`; BMCs want every part.
fn subject(text: &str, node: &NodeId, alt: &[String]) -> std::result::Result<Subject, String> {
    let mut subject = Subject { names: alt.iter().map(|name| of_node(name, node)).collect(), ..Subject::default() };
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("`{}` is not KEY=VALUE", part.escape_debug()))?;
        let value = of_node(value.trim(), node);
        let place = match key.trim().to_ascii_uppercase().as_str() {
            "CN" => &mut subject.common_name,
            "O" => &mut subject.organization,
            "OU" => &mut subject.unit,
            "L" => &mut subject.city,
            "ST" => &mut subject.state,
            "C" => &mut subject.country,
            other => return Err(format!("`{}` is not one of CN, O, OU, L, ST, C", other.escape_debug())),
        };
        *place = value;
    }
    let parts = [
        ("CN", &subject.common_name),
        ("O", &subject.organization),
        ("OU", &subject.unit),
        ("L", &subject.city),
        ("ST", &subject.state),
        ("C", &subject.country),
    ];
    let missing = parts.into_iter().find(|(_, value)| value.is_empty()).map(|(key, _)| key);
    match missing {
        Some(key) => Err(format!("the subject has no {key}; BMCs want CN, O, OU, L, ST and C")),
        None => Ok(subject),
    }
}

async fn request(args: &Args, text: &str, global: &Global) -> Result {
    deed::must_name(global, args.nodes.as_deref(), "a signing request", "bringup bmc cert SELECT --request SUBJECT --out DIR")?;
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    let mut subjects = BTreeMap::new();
    for id in &selected {
        let subject = subject(text, id, &args.alt).map_err(|why| Failure::new(Exit::USAGE, why))?;
        subjects.insert(id.clone(), subject);
    }
    deed::agree(global, "making new keys and signing requests", &selected, args.yes, false)?;
    let out = args.out.clone().unwrap_or_default();
    std::fs::create_dir_all(&out).map_err(|e| Failure::new(Exit::ERROR, FileError { file: out.clone(), source: e }))?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let made: Mutex<BTreeMap<NodeId, String>> = Mutex::default();
    let book = HandBook::open(global).await?;
    let (hands, log, subjects, made) = (&hands, &book, &subjects, &made);
    let mut told = deed::each(global, nodes, |node| async move {
        let make = |bmc: std::sync::Arc<dyn WholeBmc>| async move {
            let Some(subject) = subjects.get(&node.id) else { return Written::Ambiguous("no subject".to_owned()) };
            match bmc.signing_request(subject).await {
                Ok(request) => {
                    made.lock().unwrap_or_else(PoisonError::into_inner).insert(node.id.clone(), request);
                    Written::Applied("a signing request was made".to_owned())
                }
                // A request that was lost on the way back has left a new key behind, and nothing that is used.
                Err(e) => Written::NotApplied(e),
            }
        };
        deed::touch(hands, log, node, &Touch::RequestCertificate, make).await
    })
    .await;
    for (id, request) in made.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let file = out.join(format!("{id}.csr.pem"));
        let end = match std::fs::write(&file, request) {
            Ok(()) => Told { detail: Some(file.display().to_string()), ..Told::well("written") },
            Err(e) => {
                Told { went: Went::Failed, answer: "not written".to_owned(), detail: Some(format!("{}: {e}", file.display())) }
            }
        };
        told.insert(id.clone(), end);
    }
    deed::show(global, "cert", "request", &told);
    book.close()?;
    Ok(exit(&told))
}

/// A file of a person's could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("use {}", file.display())]
struct FileError {
    file: PathBuf,
    source: std::io::Error,
}

/// What one BMC is to get.
struct Order {
    chain: String,
    leaf: Digest,
    key: Option<Password>,
}

fn order(args: &Args, chain: &str, node: &Node, hands: &Hands) -> Result<Order> {
    let file = of_node(chain, &node.id);
    let text = std::fs::read_to_string(Path::new(&file))
        .map_err(|e| Failure::new(Exit::INVALID, FileError { file: PathBuf::from(&file), source: e }))?;
    let leaf = leaf_of(&text).map_err(|why| Failure::new(Exit::INVALID, format!("{file}: {why}")))?;
    let key = match &args.key {
        None => None,
        Some(reference) => {
            let reference: SecretRef = of_node(reference, &node.id).parse().map_err(|e| Failure::new(Exit::USAGE, e))?;
            let text: std::sync::Arc<Zeroizing<String>> = hands.secret(node, &reference)?;
            Some(Password::new(text.as_str()))
        }
    };
    Ok(Order { chain: text, leaf, key })
}

async fn replace(args: &Args, chain: &str, global: &Global) -> Result {
    deed::must_name(global, args.nodes.as_deref(), "a new certificate", "bringup bmc cert SELECT --replace FILE")?;
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    deed::agree(global, "replacing the BMC's certificate", &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    // Every chain and key is read before the first packet.
    let mut orders = BTreeMap::new();
    for node in &nodes {
        orders.insert(node.id.clone(), order(args, chain, node, &hands)?);
    }
    let book = HandBook::open(global).await?;
    let keys: Mutex<BTreeMap<NodeId, Option<Digest>>> = Mutex::default();
    let (hands, log, all, keys) = (&hands, &book, &orders, &keys);
    let told = deed::each(global, nodes, |node| async move {
        let Some(order) = all.get(&node.id) else { return Told::unclear("no hand", "the node is not in the inventory") };
        let make = |bmc: std::sync::Arc<dyn WholeBmc>| async move {
            let written = bmc.replace_certificate(&order.chain, order.key.as_ref(), args.deadline).await;
            if let Written::Applied(_) = &written {
                keys.lock().unwrap_or_else(PoisonError::into_inner).insert(node.id.clone(), bmc.certificate_key());
            }
            written
        };
        deed::touch(hands, log, node, &Touch::ReplaceCertificate { sha256: order.leaf.clone() }, make).await
    })
    .await;
    // What was seen is recorded before anything else can go wrong: the next contact must be trusted.
    let keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    let fact = |(id, key): (&NodeId, &Option<Digest>)| {
        Some((id.clone(), cell(loaded.inventory.nodes.get(id)?, &orders.get(id)?.leaf, key.as_ref())?))
    };
    let cells: BTreeMap<NodeId, record::Cells> = keys.iter().filter_map(fact).collect();
    let recorded = record::facts(&global.flags.inventory, loaded.inputs.keys(), &cells);
    deed::show(global, "cert", "certificate", &told);
    tell_recorded(global, &recorded.map_err(|e| e.hint("bringup bmc cert SELECT --record"))?);
    book.close()?;
    Ok(exit(&told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_every_part_and_the_nodes_name() {
        let node = NodeId::new("a1-s1").unwrap();
        let read = |text: &str| subject(text, &node, &["{node}.example".to_owned()]);
        let whole = read("CN={node}.bmc, O=Ex ample,OU=u,L=l,ST=s,c=KR").unwrap();
        assert_eq!(
            (whole.common_name.as_str(), whole.organization.as_str(), whole.country.as_str()),
            ("a1-s1.bmc", "Ex ample", "KR")
        );
        assert_eq!(whole.names, ["a1-s1.example"]);
        assert!(read("CN=x").unwrap_err().contains("has no O"));
        assert!(read("CN=x,X=y").unwrap_err().contains("`X` is not one of"));
        assert!(read("CN").unwrap_err().contains("KEY=VALUE"));
    }
}
