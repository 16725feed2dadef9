//! `bmc cert --replace`: another certificate for each BMC, journaled before, proved by a new connection, and recorded in the facts by the same command, so
//! that the next contact is trusted.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::{Args, FileError, cell, of_node, tell_recorded};
use crate::bmc::keeping::leaf_of;
use crate::bmc::{Password, WholeBmc, Written};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, exit};
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, record, site};
use crate::model::{Digest, Node, NodeId, SecretRef, Touch};

/// What one BMC is to get.
struct Order {
    chain: String,
    leaf: Digest,
    key: Option<Password>,
}

/// Largest chain, in bytes: hundreds of certificates. A longer one is refused, never sent in part.
const LARGEST_CHAIN: u64 = 1 << 20;

fn chain_text(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file)?.take(LARGEST_CHAIN + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST_CHAIN) {
        return String::from_utf8(bytes)
            .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "it is not text, so it is no PEM"));
    }
    Err(std::io::Error::new(ErrorKind::InvalidData, "it is longer than 1 MiB, which no chain of a BMC is"))
}

fn order(args: &Args, chain: &str, node: &Node, hands: &Hands) -> Result<Order> {
    let file = of_node(chain, &node.id);
    let hint =
        format!("{} is to get a chain in PEM, the BMC's own certificate first; `{{node}}` in FILE is the node's name", node.id);
    let text = chain_text(Path::new(&file))
        .map_err(|e| Failure::new(Exit::INVALID, FileError { file: PathBuf::from(&file), source: e }).hint(hint.clone()))?;
    let leaf = leaf_of(&text).map_err(|why| Failure::new(Exit::INVALID, format!("{file}: {why}")).hint(hint))?;
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

/// Replaces them.
///
/// # Errors
/// A chain or key cannot be had, the selection or inventory is wrong, nobody agreed, or the facts cannot be written.
pub async fn run(args: &Args, chain: &str, global: &Global) -> Result {
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
