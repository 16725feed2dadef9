//! The SSH host keys that boots brought: read from the grants at each connection, since a node shows another one after each boot.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::global::Global;
use crate::boot::{BootError, BootKey, Grants};
use crate::model::NodeId;
use crate::shell::HostKeys;

/// The grants beside the journal, opened when there are some.
pub struct BootKeys {
    path: PathBuf,
    grants: OnceCell<Grants>,
}

impl BootKeys {
    /// `None` when the state is nowhere that this version knows.
    #[must_use]
    pub fn beside_journal(global: &Global) -> Option<Arc<Self>> {
        let path = global.journal_path().ok()?.with_file_name("grants.db");
        Some(Arc::new(Self { path, grants: OnceCell::new() }))
    }

    /// The host key of the system that a node's newest boot started.
    ///
    /// # Errors
    /// The grants are there and cannot be read.
    pub async fn of(&self, node: &NodeId) -> Result<BootKey, BootError> {
        // Looking must not make a store.
        if self.grants.get().is_none() && !self.path.exists() {
            return Ok(BootKey::Elsewhere);
        }
        self.grants.get_or_try_init(|| async { Grants::open(&self.path) }).await?.boot_key(node).await
    }
}

/// The keys of one node.
pub struct KeysOfNode {
    /// Where they are.
    pub boots: Arc<BootKeys>,
    /// Node.
    pub node: NodeId,
    /// Its image has no key of its own: what no boot of ours brought is never trusted at first contact.
    pub by_grant: bool,
}

#[async_trait]
impl HostKeys for KeysOfNode {
    async fn now(&self) -> Result<Option<BTreeSet<String>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match self.boots.of(&self.node).await? {
            BootKey::Given(key) => Some(BTreeSet::from([key])),
            BootKey::Awaited => Some(BTreeSet::new()),
            BootKey::Elsewhere => self.by_grant.then(BTreeSet::new),
        })
    }
}
