//! What of a grant changes after it was issued. Its time begins when the node is powered. And once its system is up it may bring the root that an
//! installer writes to a disk, fetched under the token that the system booted with: the node that asks is the one that fetched the kernel; its
//! command line was made without this root, and a script is not handed out again.

use rusqlite::{TransactionBehavior, params};

use super::fetch::held;
use super::grant::GrantSpec;
use super::store::{BootError, Store, expire};
use crate::model::Artifact;

impl Store {
    /// Makes a grant last until that moment at least; `false` when it is over.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub(super) fn extend(&self, id: &str, until_ms: i64, now_ms: i64) -> Result<bool, BootError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        expire(&tx, now_ms)?;
        let Some(held) = held(&tx, id)? else { return Err(BootError::NoGrant(id.escape_debug().take(40).collect())) };
        let open = held.over().is_none();
        if open && held.spec.expires_at_ms < until_ms {
            let spec = serde_json::to_string(&GrantSpec { expires_at_ms: until_ms, ..held.spec })?;
            tx.execute("UPDATE boot_grant SET spec = ?2, expires_ms = ?3 WHERE id = ?1", params![id, spec, until_ms])?;
        }
        tx.commit()?;
        Ok(open)
    }

    /// Lets the node of an open grant fetch a root, until that moment at least; `false` when the grant is over, or its node has fetched nothing by
    /// it. The file is read and checked first.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], a file that is not what it should be, or the store's trouble; nothing has changed.
    pub(super) fn bring_root(&self, id: &str, root: &Artifact, until_ms: i64, now_ms: i64) -> Result<bool, BootError> {
        self.artifacts.open(root)?;
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        expire(&tx, now_ms)?;
        let Some(held) = held(&tx, id)? else { return Err(BootError::NoGrant(id.escape_debug().take(40).collect())) };
        if held.over().is_some() || !held.fetched {
            tx.commit()?;
            return Ok(false);
        }
        let expires_at_ms = held.spec.expires_at_ms.max(until_ms);
        let spec = GrantSpec { root: Some(root.clone()), expires_at_ms, ..held.spec };
        tx.execute(
            "UPDATE boot_grant SET spec = ?2, expires_ms = ?3 WHERE id = ?1",
            params![id, serde_json::to_string(&spec)?, expires_at_ms],
        )?;
        tx.commit()?;
        Ok(true)
    }
}
