//! `bmc cert --request`: a key and a signing request by each BMC, journaled; the request goes to a file, the key stays where it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Args, FileError, of_node};
use crate::bmc::keeping::Subject;
use crate::bmc::{WholeBmc, Written};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, site};
use crate::model::{NodeId, Touch};

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

/// Asks for them.
///
/// # Errors
/// A subject is not whole, the selection or inventory is wrong, nobody agreed, or the folder cannot be made.
pub async fn run(args: &Args, text: &str, global: &Global) -> Result {
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
