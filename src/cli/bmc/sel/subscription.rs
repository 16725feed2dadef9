//! What following leaves on a BMC: a subscription under a mark. It is announced in the journal before it is made and told again when it is gone. A mark
//! whose process is no more, and of which the journal does not say that it is gone, was left behind; a file that is locked while its process lives
//! tells the two apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::bmc::follow::{Follow, Intent};
use crate::bmc::{WholeBmc, Written};
use crate::cli::deed::note;
use crate::cli::failure::Result;
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::journal::{Journal, Touched};
use crate::model::{EvidenceNote, NodeId, Touch};

/// Folder of the files, beside the journal.
const FOLDER: &str = "following";
/// Longest time for taking one away; a BMC that is silent keeps it until the next run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says that the process of a mark lives, as long as it does.
pub struct Alive {
    path: PathBuf,
    _locked: File,
}

/// A mark is a hand's name; whatever else a journal calls so is no file of ours.
fn file_of(folder: &Path, mark: &str) -> Option<PathBuf> {
    let plain = !mark.is_empty() && mark.len() <= 64 && mark.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then(|| folder.join(format!("{mark}.lock")))
}

impl Alive {
    /// Begins to live.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn begin(global: &Global, mark: &str) -> Result<Self> {
        Ok(Self::at(&global.state_dir()?.join(FOLDER), mark)?)
    }

    fn at(folder: &Path, mark: &str) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = file_of(folder, mark).ok_or_else(|| std::io::Error::other("a mark that is no file name"))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.try_lock().map_err(std::io::Error::from)?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Without its file a mark is of a process that is no more, which is what this one is about to be.
        drop(std::fs::remove_file(&self.path));
    }
}

/// True while the process of a mark lives. The file of one that does not is removed.
fn lives(folder: &Path, mark: &str) -> bool {
    let Some(path) = file_of(folder, mark) else { return false };
    let Ok(file) = File::open(&path) else { return false };
    if file.try_lock_shared().is_err() {
        return true;
    }
    drop(std::fs::remove_file(&path));
    false
}

/// Marks that runs which are no more left behind, by node.
///
/// # Errors
/// The journal cannot be read.
pub fn left_behind(global: &Global, nodes: &BTreeSet<NodeId>) -> Result<BTreeMap<NodeId, Vec<String>>> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let folder = global.state_dir()?.join(FOLDER);
    let mut all = Journal::touched(&path, |touch| matches!(touch, Touch::Subscribe { .. } | Touch::Unsubscribe { .. }))?;
    all.retain(|node, _| nodes.contains(node));
    let left = all.into_iter().map(|(node, touched)| (node, open(touched)));
    let dead = left.map(|(node, marks)| (node, marks.into_iter().filter(|mark| !lives(&folder, mark)).collect::<Vec<_>>()));
    Ok(dead.filter(|(_, marks)| !marks.is_empty()).collect())
}

/// Marks under which something may stand, by what the journal says of one node.
fn open(touched: Vec<Touched>) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for Touched { touch, seen, .. } in touched {
        match (touch, seen) {
            // Seen not to be made; everything else may have been.
            (Touch::Subscribe { .. }, Some(EvidenceNote::NotApplied(_))) => {}
            (Touch::Subscribe { mark, .. }, _) => drop(open.insert(mark)),
            (Touch::Unsubscribe { mark }, Some(EvidenceNote::Applied(_))) => drop(open.remove(&mark)),
            _ => {}
        }
    }
    open
}

/// Takes away what stands on a BMC under a mark, journaled. `None`: it could not be journaled, and nothing was touched.
pub async fn end_left(book: &HandBook, node: &NodeId, bmc: &dyn WholeBmc, mark: &str) -> Option<Written> {
    let touch = Touch::Unsubscribe { mark: mark.to_owned() };
    if !book.announce(node, &touch).await {
        return None;
    }
    let written = in_time(bmc.unsubscribe(mark)).await;
    book.tell(node, &touch, note(&written)).await;
    Some(written)
}

async fn in_time(writing: impl Future<Output = Written>) -> Written {
    let late = || Written::Ambiguous(format!("the BMC did not say so within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, writing).await.unwrap_or_else(|_| late())
}

/// One subscription on one BMC, from its announcement to its end.
pub struct Subscription {
    book: Arc<HandBook>,
    node: NodeId,
    mark: String,
    touch: Touch,
    announced: AtomicBool,
}

#[async_trait]
impl Intent for Subscription {
    async fn announce(&self) -> bool {
        // Whatever the journal answers: a line that may have been written is told the end of.
        self.announced.store(true, Ordering::SeqCst);
        self.book.announce(&self.node, &self.touch).await
    }
}

impl Subscription {
    /// One that is not made yet.
    #[must_use]
    pub fn new(book: Arc<HandBook>, node: &NodeId, mark: &str, to: &str) -> Self {
        let touch = Touch::Subscribe { mark: mark.to_owned(), to: to.to_owned() };
        Self { book, node: node.clone(), mark: mark.to_owned(), touch, announced: AtomicBool::new(false) }
    }

    fn was_announced(&self) -> bool {
        self.announced.load(Ordering::SeqCst)
    }

    /// Tells what became of it: made, or (since the follower does without) taken away if it stands all the same.
    pub async fn begun(&self, bmc: &dyn WholeBmc, owed: Option<String>) {
        if !self.was_announced() {
            return;
        }
        let seen = match owed {
            Some(at) => EvidenceNote::Applied(format!("{at} stands in the BMC's list")),
            None => match in_time(bmc.unsubscribe(&self.mark)).await {
                Written::Applied(seen) => EvidenceNote::NotApplied(seen),
                other => EvidenceNote::Ambiguous(match note(&other) {
                    EvidenceNote::Applied(seen) | EvidenceNote::NotApplied(seen) | EvidenceNote::Ambiguous(seen) => seen,
                }),
            },
        };
        self.book.tell(&self.node, &self.touch, seen).await;
    }

    /// Takes it away, journaled. `None`: there is none, or it could not be journaled.
    pub async fn end(&self, follower: &mut (dyn Follow + Send)) -> Option<Written> {
        follower.owes()?;
        let touch = Touch::Unsubscribe { mark: self.mark.clone() };
        if !self.book.announce(&self.node, &touch).await {
            return None;
        }
        let written = in_time(follower.end()).await;
        self.book.tell(&self.node, &touch, note(&written)).await;
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunId;

    #[test]
    fn what_may_stand_is_open_until_it_was_seen_to_be_gone() {
        let touched =
            |touch: Touch, seen: Option<EvidenceNote>| Touched { at_ms: 0, run: RunId::new("hand-1").unwrap(), touch, seen };
        let make = |mark: &str| Touch::Subscribe { mark: mark.into(), to: "https://x".into() };
        let end = |mark: &str| Touch::Unsubscribe { mark: mark.into() };
        let text = || "seen".to_owned();
        let all = vec![
            touched(make("killed-before"), None),
            touched(make("killed-after"), Some(EvidenceNote::Applied(text()))),
            touched(make("unclear"), Some(EvidenceNote::Ambiguous(text()))),
            touched(make("never"), Some(EvidenceNote::NotApplied(text()))),
            touched(make("ended"), Some(EvidenceNote::Applied(text()))),
            touched(end("ended"), Some(EvidenceNote::Applied(text()))),
            touched(make("half"), Some(EvidenceNote::Applied(text()))),
            touched(end("half"), None),
            touched(make("refused"), Some(EvidenceNote::Applied(text()))),
            touched(end("refused"), Some(EvidenceNote::NotApplied(text()))),
        ];
        let open: Vec<String> = open(all).into_iter().collect();
        assert_eq!(open, ["half", "killed-after", "killed-before", "refused", "unclear"]);
    }

    #[test]
    fn a_process_lives_as_long_as_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        assert!(!lives(&folder, "hand-1"), "it never began");
        let alive = Alive::at(&folder, "hand-1").unwrap();
        assert!(lives(&folder, "hand-1") && lives(&folder, "hand-1"));
        drop(alive);
        assert!(!lives(&folder, "hand-1") && !folder.join("hand-1.lock").exists());
        // Killed: its file is there, and nobody holds it.
        std::fs::write(folder.join("hand-2.lock"), "").unwrap();
        assert!(!lives(&folder, "hand-2") && !folder.join("hand-2.lock").exists());
        for hostile in ["../x", "", "a/b", "a\0b"] {
            assert!(file_of(&folder, hostile).is_none() && !lives(&folder, hostile), "{hostile:?}");
        }
    }
}
