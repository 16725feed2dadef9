//! Does one thing on many nodes by SSH, so many at once, and gathers what became of it. Shared by `exec` and `push`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::failure::{Exit, Failure, Result};
use super::global::{Global, today};
use super::handbook::HandBook;
use super::hands::{Hands, Trust};
use super::output::escape;
use super::site;
use crate::model::{EvidenceNote, NodeId, Touch};
use crate::shell::{Shell, ShellError, ShellTrouble};
use crate::spec::{fold, load_playbook};

/// Flags of the verbs that go to nodes by SSH.
#[derive(Debug, clap::Args)]
pub struct Reach {
    /// Most nodes at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub at_once: u16,
    /// What may be trusted beyond the facts.
    #[command(flatten)]
    pub trust: Trust,
}

/// What became of each node.
pub struct Gathered<T> {
    /// By node.
    pub nodes: BTreeMap<NodeId, std::result::Result<T, ShellError>>,
    /// Host keys that were believed at first contact.
    pub new_keys: BTreeMap<NodeId, String>,
    book: HandBook,
}

/// What is done on every node, and how its end reads in the journal.
pub struct Deed<'a, T> {
    /// What is announced before it is done.
    pub touch: Touch,
    /// What an answer says of the touch.
    pub seen: &'a (dyn Fn(&T) -> EvidenceNote + Sync),
}

/// Visits every selected node. Each visit is journaled before it begins, under the run lock.
///
/// # Errors
/// The inventory, the selection, a private key, or a run that is under way; no node was touched.
pub async fn visit<T, F>(
    global: &Global,
    expr: &str,
    reach: &Reach,
    deed: Deed<'_, T>,
    visit: impl Fn(Arc<dyn Shell>) -> F,
) -> Result<Gathered<T>>
where
    F: Future<Output = std::result::Result<T, ShellError>>,
{
    let inventory = site::inventory(global)?.inventory;
    let selected = site::select(global, &inventory, Some(expr))?;
    // With a playbook, the host keys of its image count for nodes whose facts name none.
    let words = match &global.flags.playbook {
        Some(file) => Some(site::accept(global, load_playbook(file, &today()))?.playbook),
        None => None,
    };
    let hands = Hands::new(&global.flags.inventory, words.as_ref(), &reach.trust).knowing_boots(global);
    let by_image = hands.knows_by_image();
    hands.prepare_shells(selected.iter().filter_map(|id| inventory.nodes.get(id))).await;
    let mut opened = Vec::new();
    for node in selected.iter().filter_map(|id| inventory.nodes.get(id)) {
        opened.push((node, hands.shell(node)?));
    }
    let book = HandBook::open(global).await?;
    let (hands, visit, log, deed) = (&hands, &visit, &book, &deed);
    let done: Vec<_> = futures_util::stream::iter(opened)
        .map(|(node, shell)| async move {
            let result = if log.announce(&node.id, &deed.touch).await {
                let result = visit(Arc::clone(&shell)).await;
                log.tell(&node.id, &deed.touch, note(&result, deed.seen)).await;
                result
            } else {
                Err(ShellError::new(format!("touch {}", node.id), ShellTrouble::Refused, "not journaled, so it was not touched"))
            };
            let believed = shell.host_key();
            let known = !node.ssh.host_keys.is_empty() || by_image || hands.brought(&node.id, believed.as_deref()).await;
            let new_key = believed.filter(|_| !known);
            hands.leave(&node.id).await;
            (node.id.clone(), result, new_key)
        })
        .buffer_unordered(reach.at_once.into())
        .collect()
        .await;
    let mut gathered = Gathered { nodes: BTreeMap::new(), new_keys: BTreeMap::new(), book };
    for (id, result, new_key) in done {
        gathered.new_keys.extend(new_key.map(|key| (id.clone(), key)));
        gathered.nodes.insert(id, result);
    }
    for (node, key) in &gathered.new_keys {
        global.talk(format!("first contact with {node}: believed {key}; record it as its ssh host key"));
    }
    Ok(gathered)
}

/// How the end of a visit reads in the journal: a refusal touched nothing, a broken connection may have.
fn note<T>(result: &std::result::Result<T, ShellError>, seen: impl Fn(&T) -> EvidenceNote) -> EvidenceNote {
    match result {
        Ok(answer) => seen(answer),
        Err(error) => match error.kind {
            ShellTrouble::Unreachable | ShellTrouble::TimedOut => EvidenceNote::Ambiguous(chain(error)),
            ShellTrouble::Credentials | ShellTrouble::HostKey { .. } | ShellTrouble::Refused | ShellTrouble::Artifact => {
                EvidenceNote::NotApplied(chain(error))
            }
        },
    }
}

/// An error with its causes on one line, safe for a terminal.
#[must_use]
pub fn chain(error: &ShellError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    escape(&text).replace('\n', " · ")
}

/// Nodes that share an answer, as `a001-s[01-04] (4)`.
#[must_use]
pub fn title(nodes: &[&NodeId]) -> String {
    format!("{} ({})", fold(nodes.iter().map(|n| n.as_str())), nodes.len())
}

/// The exit code of a visit: 0, 4 when some failed, 10 when no node could be reached at all.
///
/// # Errors
/// No node was reached, or the journal could not be written.
pub fn verdict<T>(gathered: Gathered<T>, failed: usize) -> Result {
    gathered.book.close()?;
    let not_reached = |e: &ShellError| {
        matches!(
            e.kind,
            ShellTrouble::Unreachable | ShellTrouble::Credentials | ShellTrouble::HostKey { .. } | ShellTrouble::TimedOut
        )
    };
    let untouched = gathered.nodes.values().all(|r| r.as_ref().err().is_some_and(not_reached));
    if untouched && !gathered.nodes.is_empty() {
        let host_key = gathered.nodes.values().any(|r| matches!(r, Err(ShellError { kind: ShellTrouble::HostKey { .. }, .. })));
        let failure = Failure::new(Exit::UNREACHABLE, "no node could be reached");
        return Err(if host_key {
            failure
                .hint("compare the host keys with the nodes' own, then record them, or give --accept-new for nodes without one")
        } else {
            failure.hint("bringup bmc info SELECT shows whether the nodes have power")
        });
    }
    Ok(if failed > 0 { Exit::SOME_FAILED } else { Exit::DONE })
}
