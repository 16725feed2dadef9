//! The front door of the grants for asynchronous callers: each call runs on a thread of its own, since each waits for the disk.

use std::path::Path;
use std::sync::Arc;

use super::grant::{GrantSpec, GrantStatus, Issued, Noted, Opens, now_ms};
use super::identity::{BootKey, Identity};
use super::sightings::Sighting;
use super::signs::{Sign, SignsOf};
use super::store::{BootError, Store};
use crate::model::{Artifact, NodeId, PlanId};

/// The grants of a site: one file that `apply` and `serve` share. Cheap to clone.
#[derive(Clone)]
pub struct Grants(pub(super) Arc<Store>);

impl Grants {
    /// Opens the file, and makes it when it is not there. Several processes may hold it open.
    ///
    /// # Errors
    /// [`BootError::Open`] or [`BootError::Newer`].
    pub fn open(path: &Path) -> Result<Self, BootError> {
        Ok(Self(Arc::new(Store::open(path)?)))
    }

    /// Random name of the store, made with the file: equal in all processes that share it, and in no other.
    #[must_use]
    pub fn store_id(&self) -> &str {
        self.0.store_id()
    }

    /// Makes a grant. The files are read and checked first, which takes as long as reading them the first time. An older open grant of
    /// the same node is revoked: one node boots one image.
    ///
    /// # Errors
    /// [`BootError`]; nothing was granted.
    pub async fn issue(&self, spec: GrantSpec) -> Result<Issued, BootError> {
        self.on_disk(move |store| store.issue(&spec, None, Opens::Script, now_ms())).await
    }

    /// Makes a grant that opens a boot medium for a BMC, and nothing for a node that asks for a script. It may bring an identity.
    ///
    /// # Errors
    /// [`BootError`]; nothing was granted.
    pub async fn issue_medium(&self, spec: GrantSpec, identity: Option<Identity>) -> Result<Issued, BootError> {
        self.on_disk(move |store| store.issue(&spec, identity.as_ref(), Opens::Medium, now_ms())).await
    }

    /// Makes a grant that brings its node an identity, which is kept here until the node has fetched it or the grant ends.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub async fn issue_with(&self, spec: GrantSpec, identity: Identity) -> Result<Issued, BootError> {
        self.on_disk(move |store| store.issue(&spec, Some(&identity), Opens::Script, now_ms())).await
    }

    /// The host key of the system that a node's newest boot started.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn boot_key(&self, node: &NodeId) -> Result<BootKey, BootError> {
        let node = node.clone();
        self.on_disk(move |store| store.boot_key(&node)).await
    }

    /// Makes a grant last until that moment at least; `false` when it is over.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub async fn extend(&self, id: &str, until_ms: i64) -> Result<bool, BootError> {
        let id = id.to_owned();
        self.on_disk(move |store| store.extend(&id, until_ms, now_ms())).await
    }

    /// Lets the node of an open grant fetch a root, such as one that it writes to its disk; `false` when the grant is over, or its node has fetched
    /// nothing by it.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], a file that is not what it should be, or the store's trouble; nothing has changed.
    pub async fn bring_root(&self, id: &str, root: &Artifact, until_ms: i64) -> Result<bool, BootError> {
        let (id, root) = (id.to_owned(), root.clone());
        self.on_disk(move |store| store.bring_root(&id, &root, until_ms, now_ms())).await
    }

    /// Gives a grant back; `false` when it was closed already.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub async fn release(&self, id: &str) -> Result<bool, BootError> {
        let id = id.to_owned();
        self.on_disk(move |store| store.release(&id, now_ms())).await
    }

    /// Takes a grant back, and says why; `false` when it was closed already.
    ///
    /// # Errors
    /// [`BootError::NoGrant`], or the store's trouble.
    pub async fn revoke(&self, id: &str, why: &str) -> Result<bool, BootError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        self.on_disk(move |store| store.revoke(&id, &why, now_ms())).await
    }

    /// Closes every grant whose time is over; returns their names. Every request to the server does so too.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn expire(&self) -> Result<Vec<String>, BootError> {
        self.on_disk(|store| store.expire(now_ms())).await
    }

    /// What became of a grant, as of now.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn status(&self, id: &str) -> Result<Option<GrantStatus>, BootError> {
        let id = id.to_owned();
        self.on_disk(move |store| store.status(&id, now_ms())).await
    }

    /// The open grant of a node under a plan, if there is one.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn find_open(&self, plan: &PlanId, node: &NodeId) -> Result<Option<GrantStatus>, BootError> {
        let (plan, node) = (plan.clone(), node.clone());
        self.on_disk(move |store| store.find_open(&plan, &node, now_ms())).await
    }

    /// The newest grant of a node under a plan, open or closed.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn find_newest(&self, plan: &PlanId, node: &NodeId) -> Result<Option<GrantStatus>, BootError> {
        let (plan, node) = (plan.clone(), node.clone());
        self.on_disk(move |store| store.find_newest(&plan, &node, now_ms())).await
    }

    /// What happened after line `seq`, oldest first, at most 1,000 lines; for the journal.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn events_since(&self, seq: i64) -> Result<Vec<Noted>, BootError> {
        self.on_disk(move |store| store.events_since(seq)).await
    }

    /// Adds to what the DHCP server saw.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) async fn saw(&self, news: Vec<Sighting>) -> Result<(), BootError> {
        self.on_disk(move |store| store.saw(&news)).await
    }

    /// What the DHCP server saw, the latest first: machines that the inventory does not know, other servers, refusals.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn sightings(&self) -> Result<Vec<Sighting>, BootError> {
        self.on_disk(Store::sightings).await
    }

    /// What was seen of one node while its grant was there: by DHCP, TFTP and HTTP, the oldest first. Bounded: of more than 200 the newest.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn signs(&self, of: SignsOf) -> Result<Vec<Sign>, BootError> {
        self.on_disk(move |store| store.signs(&of)).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, BootError> + Send + 'static,
    ) -> Result<T, BootError> {
        let store = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(BootError::Stopped)?
    }
}
